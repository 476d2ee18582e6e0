//! One listening socket: accepts, counts in or turns away, hands over to a driver.
//!
//! Who is turned away is told so at once and costs no dial. A process without descriptors still
//! answers: one descriptor is held back for that. For whom a balancer has dialled is read before all
//! this, in a task of its own: nobody waits for it.

use std::future::{poll_fn, ready};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::yield_now;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::admission::Place;
use super::clock::instant;
use super::driver::{Arrived, Task};
use super::guard::Refusal;
use super::lanes::{Lane, Passing};
use super::plan::DoorKey;
use super::proxy::header::Source;
use super::proxy::{self, Announcement, Fault};
use super::{Orders, Shared, Stage};
use crate::sys::socket::{self, Spare};
use crate::telemetry::Rejection;

/// How many connections may wait to be accepted.
pub(super) const BACKLOG: i32 = 4096;

/// How many of them are told that the listener closes.
const FAREWELLS: usize = 4096;

/// How many connections are taken at a time, before the lane sees to its sessions.
const BATCH: usize = 64;

/// The first wait of a process that cannot accept; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// One listening socket.
pub(super) struct Entrance {
    /// Where those who come are judged.
    desk: Desk,
    /// The socket.
    listener: TcpListener,
    /// TCP keepalive, which connections have from the socket.
    keepalive: Duration,
    /// Says that the socket is to be closed.
    closed: CancellationToken,
    /// The descriptor that is held back.
    spare: Spare,
    /// The next wait.
    pause: Duration,
}

impl Entrance {
    /// For a socket.
    pub(super) fn new(
        key: DoorKey,
        name: Arc<str>,
        listener: TcpListener,
        lane: Lane,
        shared: Arc<Shared>,
        closed: CancellationToken,
    ) -> Self {
        let orders = shared.orders.subscribe();
        // The socket was bound as the configuration in force has it.
        let keepalive = orders.borrow().plan.settings.limits.keepalive;
        let local = listener.local_addr().ok();
        Self {
            desk: Desk {
                key,
                name,
                local: local.filter(|local| !local.ip().is_unspecified()),
                lane,
                shared,
                orders,
            },
            keepalive,
            listener,
            closed,
            spare: Spare::take(),
            pause: FIRST_PAUSE,
        }
    }

    /// Accepts until the socket is to be closed.
    pub(super) async fn run(mut self) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.closed.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => {
                    self.pause = FIRST_PAUSE;
                    self.take(Passing::Stays(stream), canonical(peer));
                    if self.take_waiting() {
                        yield_now().await;
                    }
                }
                Err(error) if socket::is_exhausted(&error) => self.starve(&error).await,
                // The connection was gone before it was accepted.
                Err(_) => {}
            }
        }
        self.turn_away_waiting();
    }

    /// Takes those who wait behind one who was accepted; whether there may be more than a batch. No
    /// runtime has them before they are on the lane of their session.
    fn take_waiting(&mut self) -> bool {
        for _ in 1..BATCH {
            // An error comes again when the runtime accepts.
            let Ok((stream, peer)) = socket::accept(&self.listener) else {
                return false;
            };
            self.take(Passing::Moves(stream), canonical(peer));
        }
        true
    }

    /// Makes a session of a connection, or turns it away.
    fn take(&mut self, stream: Passing, peer: SocketAddr) {
        let orders = self.desk.orders.borrow_and_update().clone();
        let limits = &orders.plan.settings.limits;
        self.follow_keepalive(limits.keepalive);
        let route = orders.plan.route_of(&self.desk.key);
        if let Some(route) = route {
            // A reload may have given it another name.
            self.desk.name = Arc::clone(&route.listener.name);
        }
        let balancers = route.map(|route| &route.listener.accept_proxy_from);
        if balancers.is_none_or(|balancers| !proxy::is_balancer(balancers, peer)) {
            return self.desk.take(Caller::direct(stream, peer));
        }
        let place = match self.desk.shared.admission.wait(limits) {
            Ok(place) => place,
            Err(rejection) => return self.desk.refuse(stream, peer, rejection),
        };
        let within = orders.plan.settings.session_limits.tls_handshake_timeout;
        let awaited = self.desk.clone().await_header(stream, peer, within, place);
        self.desk.shared.sessions.spawn(awaited);
    }

    /// Connections to come have this keepalive.
    fn follow_keepalive(&mut self, keepalive: Duration) {
        if self.keepalive != keepalive && socket::tune(&self.listener, keepalive).is_ok() {
            self.keepalive = keepalive;
        }
    }

    /// The process is out of descriptors: gives one connection the one that is held back, or
    /// waits.
    async fn starve(&mut self, error: &io::Error) {
        self.spare.give();
        let waiting = self.accept_waiting().await;
        let starving = match waiting {
            Some(Ok((stream, peer))) => {
                let peer = canonical(peer);
                self.desk
                    .refuse(Passing::Stays(stream), peer, Rejection::Descriptors);
                false
            }
            Some(Err(again)) => socket::is_exhausted(&again),
            // The kernel says that it has no descriptor before it looks whether it needs one.
            None => false,
        };
        self.spare = Spare::take();
        if starving {
            tracing::warn!(%error, "no connection can be accepted");
            tokio::select! {
                () = self.closed.cancelled() => {}
                () = sleep(self.pause) => {}
            }
            self.pause = self.pause.saturating_mul(2).min(LONGEST_PAUSE);
        }
    }

    /// Accepts a connection that waits already; None where none does.
    async fn accept_waiting(&self) -> Option<io::Result<(TcpStream, SocketAddr)>> {
        tokio::select! {
            biased;
            accepted = self.listener.accept() => Some(accepted),
            () = ready(()) => None,
        }
    }

    /// Tells those who wait to be accepted that the socket is closing.
    fn turn_away_waiting(self) {
        let Self { listener, desk, .. } = self;
        // The runtime may not have heard of them yet, so the kernel is asked. The socket does not
        // block.
        let Ok(listener) = listener.into_std() else {
            return;
        };
        for _ in 0..FAREWELLS {
            match socket::accept(&listener) {
                Ok((stream, peer)) => {
                    desk.turn_away(&stream, canonical(peer), Rejection::Drain);
                }
                // The connection was gone before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => break,
            }
        }
    }
}

/// Somebody at the door.
struct Caller {
    /// The connection.
    stream: Passing,
    /// Whose it is.
    client: SocketAddr,
    /// A balancer has dialled for him.
    is_brought: bool,
    /// It is a balancer's own, which looks whether somebody is there.
    is_probe: bool,
}

impl Caller {
    /// Who has dialled for himself.
    const fn direct(stream: Passing, client: SocketAddr) -> Self {
        Self {
            stream,
            client,
            is_brought: false,
            is_probe: false,
        }
    }

    /// For whom a balancer has dialled. Whom it cannot name has the balancer's own address.
    fn through(balancer: SocketAddr, stream: Passing, source: Source) -> Self {
        let client = match source {
            Source::Client(client) => client,
            Source::Itself | Source::Unknown => balancer,
        };
        // Version 1 knows no LOCAL: "health checks ... fill with a getsockname()/getpeername() pair".
        let is_named = matches!(source, Source::Client(_));
        Self {
            stream,
            client,
            is_brought: true,
            is_probe: source == Source::Itself || is_named && client.ip() == balancer.ip(),
        }
    }
}

/// What is needed to judge who comes to one listening socket.
#[derive(Clone)]
struct Desk {
    /// Which socket.
    key: DoorKey,
    /// The name of the listener that it serves, or served last.
    name: Arc<str>,
    /// What is dialled, where that is one address only.
    local: Option<SocketAddr>,
    /// The lane that it accepts on.
    lane: Lane,
    /// The gateway.
    shared: Arc<Shared>,
    /// What is in force.
    orders: watch::Receiver<Orders>,
}

impl Desk {
    /// Makes a session of a connection, or turns it away. A balancer's own is neither counted nor
    /// kept out for what its clients do: it would take the gateway for dead.
    fn take(&mut self, caller: Caller) {
        let Caller {
            stream,
            client,
            is_brought,
            is_probe,
        } = caller;
        let orders = self.orders.borrow_and_update().clone();
        // Without a route a reload has taken the listener away, and this socket is being closed.
        let (Some(route), Stage::Running) = (orders.plan.route_of(&self.key), orders.stage) else {
            return self.refuse(stream, client, Rejection::Drain);
        };
        self.name = Arc::clone(&route.listener.name);
        let limits = &orders.plan.settings.limits;
        let guard = &self.shared.guard;
        if !is_probe && let Err(refusal) = guard.admit(client.ip(), limits, instant()) {
            return self.keep_out(stream, client, refusal);
        }
        let admission = &self.shared.admission;
        let counted = (!is_probe).then(|| client.ip());
        let slot = match admission.admit(&route.listener, limits, counted) {
            Ok(slot) => slot,
            Err(rejection) => return self.refuse(stream, client, rejection),
        };
        // A connection without an address is gone already.
        let Ok(local) = self.local(&stream) else {
            return;
        };
        // One that is lost between two runtimes is as good as gone.
        let Ok((runtime, stream)) = self.lane.send(stream) else {
            return;
        };
        let session = Task::new(
            Arc::clone(&self.shared),
            Arc::clone(route),
            self.orders.clone(),
            Arrived {
                stream,
                client,
                local: canonical(local),
                is_brought,
                slot,
                plan: Arc::clone(&orders.plan),
            },
        );
        self.shared.sessions.spawn_on(session, runtime);
    }

    /// Waits for the header of a balancer's connection, and for whom it names does what is done for
    /// others. A connection without one is closed and told nothing: it is no client's.
    async fn await_header(
        mut self,
        stream: Passing,
        balancer: SocketAddr,
        within: Duration,
        place: Place,
    ) {
        // A connection that the runtime does not take is as good as gone.
        let Ok(stream) = stream.arrive() else {
            return;
        };
        let mut announcement = Announcement::new(stream, within);
        let announced = tokio::select! {
            biased;
            _ = self.orders.wait_for(|orders| orders.stage != Stage::Running) => None,
            announced = poll_fn(|context| announcement.poll(context)) => Some(announced),
        };
        drop(place);
        let stream = Passing::Stays(announcement.into_stream());
        match announced {
            None => self.refuse(stream, balancer, Rejection::Drain),
            Some(Ok(source)) => {
                let caller = Caller::through(balancer, stream, source);
                let (listener, client) = (&*self.name, caller.client);
                tracing::debug!(listener, %client, %balancer, "connection announced");
                self.take(caller);
            }
            Some(Err(fault)) => {
                let telemetry = &self.shared.telemetry;
                let is_told = fault != Fault::Silent;
                telemetry.unannounced(&self.name, balancer.ip(), fault.name(), is_told);
            }
        }
    }

    /// What a client dialled.
    ///
    /// # Errors
    /// The connection is gone.
    fn local(&self, stream: &Passing) -> io::Result<SocketAddr> {
        self.local.map_or_else(|| stream.local_addr(), Ok)
    }

    /// Turns away who is kept out. That is told where it begins, and not of each connection: whoever
    /// floods the gateway is not to flood its log.
    fn keep_out(&self, stream: Passing, client: SocketAddr, refusal: Refusal) {
        let (why, is_told) = match refusal {
            Refusal::Banned => (Rejection::Banned, false),
            Refusal::TooFast { is_first } => (Rejection::ConnectionRate, is_first),
        };
        if is_told {
            return self.refuse(stream, client, why);
        }
        self.shared.telemetry.kept_out(&self.name, client.ip(), why);
        if let Ok(stream) = stream.leave() {
            say_farewell(&stream, why);
        }
    }

    /// Says 421 and closes, without waiting for anything.
    fn refuse(&self, stream: Passing, client: SocketAddr, why: Rejection) {
        if let Ok(stream) = stream.leave() {
            self.turn_away(&stream, client, why);
        }
    }

    /// The same for a socket that the runtime does not have.
    fn turn_away(&self, stream: &std::net::TcpStream, client: SocketAddr, why: Rejection) {
        let telemetry = &self.shared.telemetry;
        telemetry.rejected(&self.name, client.ip(), why);
        say_farewell(stream, why);
    }
}

/// Says 421 and closes.
fn say_farewell(mut stream: &std::net::TcpStream, why: Rejection) {
    stream.write_all(farewell(why)).ok();
    socket::shut_down(&stream).ok();
}

/// What somebody who is turned away is told.
const fn farewell(why: Rejection) -> &'static [u8] {
    match why {
        Rejection::Drain => b"421 Service is stopping, closing control connection.\r\n",
        Rejection::ListenerSessions | Rejection::ClientSessions | Rejection::Sessions => {
            b"421 Too many sessions, try again later.\r\n"
        }
        Rejection::Banned => b"421 Too many failed logins, try again later.\r\n",
        Rejection::ConnectionRate => b"421 Too many connections, try again later.\r\n",
        // Of the two only the first is told: what has no header is closed without a word.
        Rejection::Descriptors | Rejection::ProxyHeader => {
            b"421 Service not available, try again later.\r\n"
        }
    }
}

/// An IPv4-mapped address as the IPv4 address that it is.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}
