//! One session's task: waits for whatever happens next, feeds the session, does what it says.
//!
//! Owns both control connections, both data connections, the relay and the deadline of one
//! session. Decides nothing about FTP. Backpressure is decided here: while more than
//! [`UNWRITTEN_BYTES`] wait for the client neither leg is read, while as much waits for the server
//! the client is not.

mod act;
mod event;

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

use super::admission::Slot;
use super::bandwidth::SessionBandwidth;
use super::clock::{self, Clock};
use super::data::{DataLeg, Fading};
use super::leg::ControlLeg;
use super::plan::{Bench, Plan, Route};
use super::{Orders, Shared, Stage};
use crate::relay::Relay;
use crate::session::{Direction, End, Leg, RelayEnd, Session, Told};
use crate::telemetry::{Opening, SessionRecorder};
use crate::tls::client::ClientSession;
use crate::tls::server::ServerSession;
use crate::upstream;

/// How many bytes may wait to be written to a leg before reading stops.
const UNWRITTEN_BYTES: usize = 64 * 1024;

/// How many ended data connections wait for their peer's end at once.
const FADING: usize = 4;

/// How long ends may take when the program itself is ending.
const HURRY: Duration = Duration::from_secs(1);

/// A connection that was counted in.
pub(super) struct Arrived {
    /// The connection.
    pub(super) stream: TcpStream,
    /// Who dialled.
    pub(super) client: SocketAddr,
    /// What was dialled.
    pub(super) local: SocketAddr,
    /// Its place in the counts.
    pub(super) slot: Slot,
    /// The configuration in force when it came: a change behind that is still to be followed.
    pub(super) plan: Arc<Plan>,
}

/// One of each for the two legs.
struct Pair<T> {
    /// The client's.
    client: T,
    /// The server's.
    server: T,
}

impl<T> Pair<T> {
    /// That of `leg`.
    const fn of(&self, leg: Leg) -> &T {
        match leg {
            Leg::Client => &self.client,
            Leg::Server => &self.server,
        }
    }

    /// That of `leg`, to be changed.
    const fn of_mut(&mut self, leg: Leg) -> &mut T {
        match leg {
            Leg::Client => &mut self.client,
            Leg::Server => &mut self.server,
        }
    }
}

/// The addresses of one control connection.
#[derive(Clone, Copy, Debug)]
struct Ends {
    /// The peer's.
    peer: SocketAddr,
    /// Our own.
    local: SocketAddr,
}

/// A relay that runs.
struct Running {
    /// The relay.
    relay: Relay,
    /// Which way.
    direction: Direction,
}

/// A dial of the upstream.
type Connecting = Pin<Box<dyn Future<Output = Result<upstream::Dialled, upstream::Fault>> + Send>>;

/// The next change of orders, and whoever waits for it.
type Changed = Pin<Box<dyn Future<Output = Option<watch::Receiver<Orders>>> + Send>>;

/// Waits for a change of orders.
fn changed(mut orders: watch::Receiver<Orders>) -> Changed {
    Box::pin(async move { orders.changed().await.ok().map(|()| orders) })
}

/// The task of one session, from its arrival to its end.
pub(super) async fn serve(
    shared: Arc<Shared>,
    route: Arc<Route>,
    orders: watch::Receiver<Orders>,
    arrived: Arrived,
) {
    // Lent, not moved: else the task would hold room for two.
    let mut driver = Driver::new(shared, route, orders, arrived);
    driver.run().await;
}

/// All that one session owns.
struct Driver {
    /// The gateway.
    shared: Arc<Shared>,
    /// What the session was born with.
    route: Arc<Route>,
    /// The policies that judge it.
    bench: Bench,
    /// The configuration that it follows.
    plan: Arc<Plan>,
    /// The next change of orders.
    changed: Option<Changed>,
    /// What the gateway is doing.
    stage: Stage,
    /// The session.
    session: Session,
    /// What it is to be told next.
    told: VecDeque<Told>,
    /// Where its facts go; dropped when it is over.
    recorder: Option<SessionRecorder>,
    /// Its time.
    clock: Clock,
    /// When the upstream's dial began, until its greeting is there.
    dialled_at: Option<Instant>,
    /// The dial of the upstream.
    connecting: Option<Connecting>,
    /// The TLS session of the client's control connection.
    client_tls: Option<Arc<ServerSession>>,
    /// The TLS session of the server's.
    server_tls: Option<Arc<ClientSession>>,
    /// The control connections.
    legs: Pair<ControlLeg>,
    /// Their addresses.
    ends: Pair<Option<Ends>>,
    /// The data connections.
    data: Pair<DataLeg>,
    /// The end of the server's data connection, held until what precedes it on the control
    /// connection is out, or then at the latest.
    held_end: Option<(End, Instant)>,
    /// Data connections that wait for their peer's end.
    fading: Vec<Fading>,
    /// What its transfers may move.
    bandwidth: SessionBandwidth,
    /// The relay that runs.
    relay: Option<Running>,
    /// What it came to, until the session is told.
    relayed: Option<(u64, RelayEnd)>,
    /// What the last relay moved.
    moved: u64,
    /// The client's control connection ended as the data of its upload did: told before the
    /// relay's end if it was reset, and else after it.
    client_end: Option<End>,
    /// Wakes the task at its next deadline.
    alarm: Option<Pin<Box<Sleep>>>,
    /// Which source of events is looked at first.
    turn: usize,
    /// Its place in the counts.
    _slot: Slot,
}

impl Driver {
    /// The task of a session that has just arrived.
    fn new(
        shared: Arc<Shared>,
        route: Arc<Route>,
        orders: watch::Receiver<Orders>,
        arrived: Arrived,
    ) -> Self {
        let Arrived {
            stream,
            client,
            local,
            slot,
            plan,
        } = arrived;
        let mut recorder = shared.telemetry.session(&Opening {
            listener: Arc::clone(&route.listener.name),
            upstream: Arc::clone(&route.upstream.name),
            client,
            local,
        });
        recorder.judge_changed(&plan.policies);
        let clock = Clock::start();
        let session = Session::new(
            Arc::clone(&route.profile),
            Arc::clone(&route.judge),
            client,
            local,
            clock.now(),
        );
        let stall_limit = route.profile.limits.idle_timeout;
        let keepalive = plan.settings.limits.keepalive;
        let tls = route.upstream.tls.as_ref();
        let tolerant = tls.is_some_and(|tls| tls.tolerates_truncation);
        let mut legs = Pair {
            client: ControlLeg::of_client(stall_limit),
            server: ControlLeg::of_server(stall_limit),
        };
        legs.client.open(stream);
        Self {
            bench: route.bench.clone(),
            changed: Some(changed(orders)),
            told: VecDeque::new(),
            recorder: Some(recorder),
            dialled_at: None,
            connecting: None,
            client_tls: None,
            server_tls: None,
            ends: Pair {
                client: Some(Ends {
                    peer: client,
                    local,
                }),
                server: None,
            },
            data: Pair {
                client: DataLeg::new(keepalive, false),
                server: DataLeg::new(keepalive, tolerant),
            },
            held_end: None,
            fading: Vec::new(),
            bandwidth: SessionBandwidth::default(),
            relay: None,
            relayed: None,
            moved: 0,
            client_end: None,
            alarm: None,
            turn: 0,
            _slot: slot,
            shared,
            route,
            plan,
            stage: Stage::Running,
            session,
            clock,
            legs,
        }
    }

    /// Runs the session to its end.
    async fn run(&mut self) {
        loop {
            self.perform();
            if self.is_finished() {
                break;
            }
            poll_fn(|context| self.poll_event(context)).await;
        }
    }

    /// Draws and does all that the session wants done, and tells it what that came to.
    fn perform(&mut self) {
        loop {
            self.draw();
            if !self.tell_next() {
                break;
            }
        }
        let now = clock::instant();
        self.legs.server.flush(now);
        self.legs.client.flush(now);
        self.release_held_end(now);
        if self.session.is_over() {
            self.wind_up(now);
        }
    }

    /// Does all that the session wants done.
    fn draw(&mut self) {
        while let Some(action) = self.session.next_action() {
            self.act(action);
        }
    }

    /// Tells the session the next thing; returns whether there was one.
    fn tell_next(&mut self) -> bool {
        let now = self.clock.now();
        if let Some(told) = self.told.pop_front() {
            self.session.tell(told, now);
        } else if self.client_end == Some(End::Reset) {
            self.client_end = None;
            self.session.ended(Leg::Client, End::Reset, now);
        } else if let Some((bytes, end)) = self.relayed.take() {
            self.session.tell(Told::RelayEnded { bytes, end }, now);
        } else if let (Some(end), None) = (self.client_end, &self.relay) {
            self.client_end = None;
            self.session.ended(Leg::Client, end, now);
        } else {
            return false;
        }
        true
    }

    /// The session is over: what it left goes.
    fn wind_up(&mut self, now: Instant) {
        self.recorder = None;
        self.connecting = None;
        self.relay = None;
        for leg in [Leg::Client, Leg::Server] {
            let held = leg == Leg::Server && self.held_end.is_some();
            if !held {
                self.data.of_mut(leg).end(End::Reset, now);
            }
            self.legs.of_mut(leg).close(End::Fin, now);
            if self.stage == Stage::Ending {
                self.legs.of_mut(leg).hurry(now, HURRY);
            }
        }
        if self.stage == Stage::Ending {
            self.fading.clear();
        }
    }

    /// Whether nothing is left to be done.
    fn is_finished(&self) -> bool {
        self.session.is_over()
            && self.legs.client.is_closed()
            && self.legs.server.is_closed()
            && self.held_end.is_none()
            && self.fading.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The size of what a function's future holds.
    const fn size_of_future<A, B, C, D, F>(_function: fn(A, B, C, D) -> F) -> usize {
        size_of::<F>()
    }

    #[test]
    fn a_session_that_waits_is_small() {
        // Besides that there are only the boxes of its alarm and of its wait for orders.
        assert!(size_of_future(serve) <= 3072, "{}", size_of_future(serve));
    }
}
