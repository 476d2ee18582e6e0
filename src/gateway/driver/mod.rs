//! One session's task: waits for whatever happens next, feeds the session, does what it says.
//!
//! Owns both control connections, both data connections, the relay and the deadline of one
//! session. Decides nothing about FTP. Backpressure is decided here: while more than
//! [`UNWRITTEN_BYTES`] wait for the client neither leg is read, while as much waits for the server
//! the client is not.

mod act;
mod alarm;
mod event;

use std::cell::Cell;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use alarm::Alarm;

use super::admission::Slot;
use super::bandwidth::SessionBandwidth;
use super::bell::Seat;
use super::clock::Clock;
use super::data::{DataLeg, Fading};
use super::lanes::Passing;
use super::leg::{ControlLeg, Queue};
use super::plan::{Bench, Plan, Route};
use super::{Orders, Shared, Stage};
use crate::relay::{Relay, give_way};
use crate::session::{self, Direction, End, Leg, RelayEnd, Session, Told};
use crate::telemetry::{Opening, SessionRecorder};
use crate::tls::client::ClientSession;
use crate::tls::server::ServerSession;
use crate::upstream;

/// How many bytes may wait to be written to a leg before reading stops.
const UNWRITTEN_BYTES: usize = 64 * 1024;

/// How many events in a row a session may work on before the others have their turn.
const EVENTS: u8 = 8;

/// How many ended data connections wait for their peer's end at once.
const FADING: usize = 4;

/// How long ends may take when the program itself is ending.
const HURRY: Duration = Duration::from_secs(1);

/// A connection that was counted in.
pub(super) struct Arrived {
    /// The connection.
    pub(super) stream: Passing,
    /// Who dialled.
    pub(super) client: SocketAddr,
    /// What was dialled.
    pub(super) local: SocketAddr,
    /// A balancer has dialled it: the client itself may see another address of the gateway's.
    pub(super) is_brought: bool,
    /// Its place in the counts.
    pub(super) slot: Slot,
    /// The configuration in force when it came: a change behind that is still to be followed.
    pub(super) plan: Arc<Plan>,
}

/// One of each for the two legs.
#[derive(Default)]
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

/// A relay that runs.
struct Running {
    /// The relay.
    relay: Relay,
    /// Which way.
    direction: Direction,
}

/// A dial of the upstream.
type Connecting = Pin<Box<dyn Future<Output = Result<upstream::Dialled, upstream::Fault>> + Send>>;

/// What a session's task begins with.
struct Start {
    /// The gateway.
    shared: Arc<Shared>,
    /// What the session is born with.
    route: Arc<Route>,
    /// What is in force.
    orders: watch::Receiver<Orders>,
    /// Its client.
    arrived: Arrived,
}

/// The task of one session, from its arrival to its end. A future written by hand: an `async fn` would keep
/// room for the arrival and for the running session at once, where this has room for the larger of both.
pub(super) struct Task(Life);

/// How far a task has come.
#[expect(clippy::large_enum_variant, reason = "the large one is there to stay")]
enum Life {
    /// It was not looked at yet.
    Born(Start),
    /// The session runs.
    Lives(Driver),
    /// It is over.
    Over,
}

impl Task {
    /// The task of a session whose client has just arrived. What there is to be done for it is
    /// done by whoever runs the task.
    pub(super) const fn new(
        shared: Arc<Shared>,
        route: Arc<Route>,
        orders: watch::Receiver<Orders>,
        arrived: Arrived,
    ) -> Self {
        Self(Life::Born(Start {
            shared,
            route,
            orders,
            arrived,
        }))
    }
}

impl Future for Task {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if let Life::Born(_) = &self.0
            && let Life::Born(start) = std::mem::replace(&mut self.0, Life::Over)
        {
            // A connection that is lost between two runtimes is as good as gone.
            if let Ok(mut driver) = Driver::new(start) {
                driver.with_workspace(Driver::perform);
                self.0 = Life::Lives(driver);
            }
        }
        let Life::Lives(driver) = &mut self.0 else {
            return Poll::Ready(());
        };
        ready!(driver.with_workspace(|driver| driver.poll(context)));
        self.0 = Life::Over;
        Poll::Ready(())
    }
}

/// What sessions work with while their task runs; while they wait they hold none of it.
#[derive(Default)]
struct Workspace {
    /// The session.
    session: session::Workspace,
    /// What it is to be told.
    told: VecDeque<Told>,
    /// What is to be written to the legs.
    queues: Pair<Queue>,
}

thread_local! {
    /// That of all sessions of one thread: one task runs at a time.
    static WORKSPACE: Cell<Option<Box<Workspace>>> = const { Cell::new(None) };
}

/// All that one session owns.
struct Driver {
    /// The gateway.
    shared: Arc<Shared>,
    /// What the session was born with.
    route: Arc<Route>,
    /// The policies that judge it, where a reload has changed which.
    bench: Option<Box<Bench>>,
    /// The configuration that it follows.
    plan: Arc<Plan>,
    /// What is in force.
    orders: watch::Receiver<Orders>,
    /// Where a change of it is heard; from the first look on.
    seat: Option<Seat>,
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
    /// Our own address on the server's.
    server_local: Option<SocketAddr>,
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
    relay: Option<Box<Running>>,
    /// What it came to, until the session is told.
    relayed: Option<(u64, RelayEnd)>,
    /// What the last relay moved.
    moved: u64,
    /// The client's control connection ended as the data of its upload did: told before the
    /// relay's end if it was reset, and else after it.
    client_end: Option<End>,
    /// When it is quiet, if it was not since anybody spoke.
    quiet_at: Option<Instant>,
    /// Wakes the task at its next deadline, or before.
    alarm: Alarm,
    /// Which source of events is looked at first.
    turn: u8,
    /// How many events came since the deadline was last looked at.
    unhurried: u8,
    /// The client came through a balancer.
    is_brought: bool,
    /// Its place in the counts.
    _slot: Slot,
}

impl Driver {
    /// For a session that has just arrived.
    ///
    /// # Errors
    /// The runtime does not take its connection.
    fn new(start: Start) -> io::Result<Self> {
        let Start {
            shared,
            route,
            orders,
            arrived,
        } = start;
        let Arrived {
            stream,
            client,
            local,
            is_brought,
            slot,
            plan,
        } = arrived;
        let stream = stream.arrive()?;
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
        let tls = route.upstream.tls.as_ref();
        let tolerant = tls.is_some_and(|tls| tls.tolerates_truncation);
        let mut legs = Pair {
            client: ControlLeg::of_client(),
            server: ControlLeg::of_server(),
        };
        legs.client.open(stream);
        Ok(Self {
            bench: None,
            orders,
            seat: None,
            told: VecDeque::new(),
            recorder: Some(recorder),
            dialled_at: None,
            connecting: None,
            client_tls: None,
            server_tls: None,
            server_local: None,
            data: Pair {
                client: DataLeg::new(false),
                server: DataLeg::new(tolerant),
            },
            held_end: None,
            fading: Vec::new(),
            bandwidth: SessionBandwidth::default(),
            relay: None,
            relayed: None,
            moved: 0,
            client_end: None,
            quiet_at: None,
            alarm: Alarm::default(),
            turn: 0,
            unhurried: 0,
            is_brought,
            _slot: slot,
            shared,
            route,
            plan,
            stage: Stage::Running,
            session,
            clock,
            legs,
        })
    }

    /// Does `work` with the workspace of the thread.
    fn with_workspace<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let mut workspace = WORKSPACE.take().unwrap_or_default();
        self.session.take_up(&mut workspace.session);
        if self.told.capacity() == 0 {
            std::mem::swap(&mut self.told, &mut workspace.told);
        }
        self.legs.client.take_up(&mut workspace.queues.client);
        self.legs.server.take_up(&mut workspace.queues.server);
        let done = work(self);
        self.session.put_away(&mut workspace.session);
        if self.told.is_empty() {
            workspace.told = std::mem::take(&mut self.told);
        }
        self.legs.client.put_away(&mut workspace.queues.client);
        self.legs.server.put_away(&mut workspace.queues.server);
        WORKSPACE.set(Some(workspace));
        done
    }

    /// Runs the session; ready at its end. A client that has always something to be done has its
    /// turn, and then the others have theirs.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.clock.tick();
        for event in 0..EVENTS {
            if self.is_finished() {
                return Poll::Ready(());
            }
            if !self.session.pauses() {
                ready!(self.poll_event(context));
                // The second event is mostly none: it is of the moment of the first.
                if event > 0 {
                    self.clock.tick();
                }
            }
            self.perform();
            if self.session.pauses() {
                break;
            }
        }
        give_way(context);
        Poll::Pending
    }

    /// Draws and does all that the session wants done, and tells it what that came to; up to where it
    /// pauses.
    fn perform(&mut self) {
        let now = self.clock.instant();
        loop {
            self.draw();
            if self.session.pauses() || !self.tell_next() {
                break;
            }
        }
        self.legs.server.flush(now);
        self.legs.client.flush(now);
        if self.session.pauses() {
            return;
        }
        self.release_held_end(now);
        if self.session.is_over() {
            self.wind_up(now);
        }
    }

    /// Does all that the session wants done, up to where it pauses.
    fn draw(&mut self) {
        while let Some(action) = self.session.next_action() {
            self.act(action);
            if self.session.pauses() {
                break;
            }
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
        } else if let (Some(end), None) = (self.client_end, &self.relay)
            && !self.session.awaits_upload()
        {
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

    /// Our own address on a control connection.
    const fn local(&self, leg: Leg) -> Option<SocketAddr> {
        match leg {
            Leg::Client => Some(self.session.local()),
            Leg::Server => self.server_local,
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

    #[test]
    fn a_session_that_waits_is_small() {
        // Besides that there is only the box of its alarm. The runtime puts 112 bytes of its own to
        // that, and rounds up to 128.
        println!("a task has {} bytes", size_of::<Task>());
        assert!(size_of::<Task>() <= 1936, "{}", size_of::<Task>());
    }
}
