//! Lanes: the threads that sessions run on.
//!
//! Owns on which of them a session runs, which it then does to its end: nothing of it moves from one
//! core to another, and no thread is woken for what a busy one is about to do. Must not know what a
//! session is.

use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::net::TcpStream;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// The share of the shortest lane's tasks that the own lane may have beyond them before somebody
/// who comes is sent there. What is sent wakes the other thread.
const SLACK: usize = 4;

/// Threads with a runtime each. They end when this is dropped, and with them what still runs there.
#[derive(Debug)]
pub struct LaneThreads {
    /// Where they are reached.
    lanes: Lanes,
    /// The threads.
    threads: Vec<JoinHandle<()>>,
    /// Says that they are to end.
    over: CancellationToken,
}

impl LaneThreads {
    /// Starts one for each processor that the process may use.
    ///
    /// # Errors
    /// A thread, or what it waits with, cannot be had.
    pub fn start() -> io::Result<Self> {
        Self::start_some(thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
    }

    /// Starts `count` of them.
    ///
    /// # Errors
    /// A thread, or what it waits with, cannot be had.
    pub fn start_some(count: NonZeroUsize) -> io::Result<Self> {
        let over = CancellationToken::new();
        let (first, thread) = start_thread(0, &over)?;
        let mut all = vec![first.clone()];
        // Dropped on the way out with an error, it ends those that run.
        let mut started = Self {
            lanes: Lanes::only(first),
            threads: vec![thread],
            over,
        };
        for number in 1..count.get() {
            let (runtime, thread) = start_thread(number, &started.over)?;
            all.push(runtime);
            started.threads.push(thread);
        }
        started.lanes.all = all.into();
        Ok(started)
    }

    /// Where they are reached.
    #[must_use]
    pub fn lanes(&self) -> Lanes {
        self.lanes.clone()
    }
}

/// Starts the thread of lane `number`, which ends when it is `over`.
///
/// # Errors
/// It, or what it waits with, cannot be had.
fn start_thread(number: usize, over: &CancellationToken) -> io::Result<(Handle, JoinHandle<()>)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    let over = over.clone();
    let thread = thread::Builder::new().name(format!("lane-{number}"));
    let thread = thread.spawn(move || {
        runtime.block_on(over.cancelled());
        // A name that is being looked up is not waited for.
        runtime.shutdown_background();
    })?;
    Ok((handle, thread))
}

impl Drop for LaneThreads {
    fn drop(&mut self) {
        self.over.cancel();
        for thread in self.threads.drain(..) {
            // One that has panicked is over as well.
            thread.join().ok();
        }
    }
}

/// Where a gateway's sessions run.
#[derive(Clone, Debug)]
pub struct Lanes {
    /// The runtime of the first.
    first: Handle,
    /// Those of all, with it.
    all: Arc<[Handle]>,
}

impl Lanes {
    /// The runtime of the caller alone. To be called within one.
    #[must_use]
    pub fn here() -> Self {
        Self::only(Handle::current())
    }

    /// A runtime alone.
    fn only(runtime: Handle) -> Self {
        Self {
            all: [runtime.clone()].into(),
            first: runtime,
        }
    }

    /// The lane that `number` comes to where they are dealt out in turn.
    pub(super) fn in_turn(&self, number: usize) -> Lane {
        let number = number.checked_rem(self.all.len()).unwrap_or_default();
        Lane {
            own: self.all.get(number).unwrap_or(&self.first).clone(),
            all: Arc::clone(&self.all),
        }
    }
}

/// One lane, of those that there are.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    /// Its runtime.
    own: Handle,
    /// Those of all, with it.
    all: Arc<[Handle]>,
}

impl Lane {
    /// Its runtime.
    pub(super) const fn runtime(&self) -> &Handle {
        &self.own
    }

    /// The runtime for somebody who has come to this lane, its own unless another has less to do; and
    /// the connection, on its way there.
    ///
    /// # Errors
    /// The own runtime does not give the connection back.
    pub(super) fn send(&self, stream: Passing) -> io::Result<(&Handle, Passing)> {
        let lane = self.least_loaded();
        let stream = match stream {
            Passing::Stays(_) if lane.id() != self.own.id() => Passing::Moves(stream.leave()?),
            Passing::Moves(_) | Passing::Stays(_) => stream,
        };
        Ok((lane, stream))
    }

    /// The own runtime, unless another has less to do.
    fn least_loaded(&self) -> &Handle {
        let own = load(&self.own);
        let all = self.all.iter().map(|lane| (load(lane), lane));
        match all.min_by_key(|(load, _)| *load) {
            Some((least, lane)) if own > least.saturating_add(least / SLACK) => lane,
            _ => &self.own,
        }
    }
}

/// A connection on its way to the lane of its session.
pub(super) enum Passing {
    /// The runtime of the lane where it was accepted has it.
    Stays(TcpStream),
    /// No runtime has it.
    Moves(StdStream),
}

impl Passing {
    /// The connection. To be called on that lane.
    ///
    /// # Errors
    /// Its runtime does not take it.
    pub(super) fn arrive(self) -> io::Result<TcpStream> {
        match self {
            Self::Stays(stream) => Ok(stream),
            Self::Moves(stream) => TcpStream::from_std(stream),
        }
    }

    /// The connection, which no runtime has.
    ///
    /// # Errors
    /// Its runtime does not give it back.
    pub(super) fn leave(self) -> io::Result<StdStream> {
        match self {
            Self::Stays(stream) => stream.into_std(),
            Self::Moves(stream) => Ok(stream),
        }
    }

    /// What the peer dialled.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Stays(stream) => stream.local_addr(),
            Self::Moves(stream) => stream.local_addr(),
        }
    }
}

/// How many tasks a lane has.
fn load(lane: &Handle) -> usize {
    lane.metrics().num_alive_tasks()
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::io::Write as _;
    use std::os::unix::net::UnixStream as StdUnixStream;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::task::Poll;

    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    use super::*;
    use crate::relay::give_way;

    const TWO: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1);

    /// The thread that a task of `runtime` runs on.
    fn thread_of(runtime: &Handle) -> Option<String> {
        let (told, hears) = mpsc::channel();
        runtime.spawn(async move { told.send(thread::current().name().map(str::to_owned)) });
        hears.recv().unwrap()
    }

    #[test]
    fn each_lane_is_a_thread_and_they_are_dealt_out_in_turn() {
        let threads = LaneThreads::start_some(TWO).unwrap();
        let names = [0, 1, 2].map(|number| {
            let lane = threads.lanes().in_turn(number);
            thread_of(lane.runtime()).unwrap()
        });
        assert_eq!(names, ["lane-0", "lane-1", "lane-0"]);
    }

    #[test]
    fn who_comes_goes_where_there_is_least_to_do() {
        let threads = LaneThreads::start_some(TWO).unwrap();
        let lanes = threads.lanes();
        let lane = lanes.in_turn(0);
        for _ in 0..40 {
            lane.least_loaded().spawn(pending::<()>());
        }
        // The own one has a little more: who comes there is sent on only if that is worth it.
        assert!(lanes.all.iter().map(load).eq([22, 18]));
    }

    #[test]
    fn what_still_runs_ends_with_its_thread() {
        let threads = LaneThreads::start_some(TWO).unwrap();
        let (held, hears) = mpsc::channel::<()>();
        let lane = threads.lanes().in_turn(1);
        lane.runtime().spawn(async move {
            pending::<()>().await;
            drop(held);
        });
        drop(threads);
        hears.recv().unwrap_err();
    }

    /// How often a task that only ever gives way goes on, from what `begin` does until it was noticed.
    fn turns_until_noticed(begin: impl FnOnce(Arc<AtomicBool>) + Send + 'static) -> usize {
        let threads = LaneThreads::start_some(NonZeroUsize::MIN).unwrap();
        let (told, hears) = mpsc::channel();
        let (noticed, mut begin, mut turns) = (Arc::<AtomicBool>::default(), Some(begin), 0);
        threads.lanes().first.spawn(async move {
            poll_fn(|context| {
                if let Some(begin) = begin.take() {
                    begin(Arc::clone(&noticed));
                }
                if noticed.load(Ordering::Relaxed) {
                    return Poll::Ready(());
                }
                turns += 1;
                give_way(context);
                Poll::Pending
            })
            .await;
            told.send(turns)
        });
        hears.recv().unwrap()
    }

    #[test]
    fn what_comes_is_noticed_while_a_relay_runs_at_full_speed() {
        let turns = turns_until_noticed(|noticed| {
            let (mut near, far) = StdUnixStream::pair().unwrap();
            far.set_nonblocking(true).unwrap();
            let mut far = UnixStream::from_std(far).unwrap();
            tokio::spawn(async move {
                far.read_exact(&mut [0]).await.unwrap();
                noticed.store(true, Ordering::Relaxed);
            });
            near.write_all(b"x").unwrap();
        });
        assert!(turns <= 3, "{turns}");
    }

    #[test]
    fn who_is_sent_to_a_lane_begins_while_a_relay_runs_at_full_speed() {
        let turns = turns_until_noticed(|noticed| {
            let lane = Handle::current();
            let send = move || lane.spawn(async move { noticed.store(true, Ordering::Relaxed) });
            thread::spawn(send).join().unwrap();
        });
        assert!(turns <= 3, "{turns}");
    }
}
