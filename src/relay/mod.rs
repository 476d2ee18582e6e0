//! Moves the bytes of one transfer, one way, and counts them.
//!
//! A relay splices where both connections are in clear and a pipe is to spare. Else it copies through a
//! buffer at first; once a transfer is long enough to be worth a pipe of its own it splices, or takes a
//! larger buffer where it cannot, as under TLS. It never spawns, sets no timer unless its bandwidth is
//! capped, and holds at most one buffer or one
//! pipe of bytes: a sink that takes nothing stops the source. Must not know FTP or why a transfer
//! runs.

mod copy;
mod pool;
mod splice;
mod throttle;

#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::task::yield_now;

use copy::Copy;
pub use pool::Pool;
use splice::Splice;
pub use throttle::{Cap, Throttle};

use crate::sys::socket::send_now;
use crate::tls::stream::Stream;

/// From this many bytes on a transfer is worth a pipe of its own, or a large buffer.
const LONG_BYTES: u64 = 256 * 1024;

/// How many pieces are moved before the other events of a session have their turn.
const BURST: usize = 16;

/// How many bytes are: a piece through a pipe may be a MiB.
const BURST_BYTES: u64 = 1 << 20;

/// How a relay ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Ending {
    /// The sink refused bytes, or was reset.
    SinkBroke,
    /// The source ended in order and the sink has taken every byte.
    Source,
    /// The source was reset or failed.
    SourceBroke,
}

/// What one step of an engine came to.
enum Step {
    /// The sink took this many bytes.
    Moved(usize),
    /// It is over.
    Over(Ending),
    /// The source cannot be spliced, or no further.
    Unspliceable,
}

/// How bytes are moved.
enum Engine {
    /// Through a buffer.
    Copy(Copy),
    /// Through a pipe.
    Splice(Splice),
}

impl Engine {
    /// How many bytes were read and not yet written.
    fn held(&self) -> usize {
        match self {
            Self::Copy(copy) => copy.held(),
            Self::Splice(splice) => splice.held(),
        }
    }
}

/// One running relay.
pub struct Relay {
    /// Where bytes come from.
    source: Stream,
    /// Where they go.
    sink: Stream,
    /// Completes when the sink breaks, also while the source is idle.
    sink_failure: Failure,
    /// How.
    engine: Engine,
    /// What it may move, where that is capped.
    throttle: Option<Throttle>,
    /// Whether a long transfer may still change its engine.
    upgradable: bool,
    /// Where buffers and pipes come from.
    pool: Arc<Pool>,
    /// Bytes that the sink took.
    moved: u64,
    /// The same, for whoever watches.
    counter: Arc<AtomicU64>,
}

impl Relay {
    /// A relay from `source` to `sink` that adds what it moves to `counter`.
    pub fn new(source: Stream, sink: Stream, pool: Arc<Pool>, counter: Arc<AtomicU64>) -> Self {
        let is_clear = source.is_clear() && sink.is_clear();
        let splice = is_clear.then(|| Splice::early(&pool)).flatten();
        Self {
            sink_failure: Failure::of(Arc::clone(sink.socket())),
            throttle: None,
            upgradable: splice.is_none(),
            engine: splice.map_or_else(|| Engine::Copy(Copy::new(&pool)), Engine::Splice),
            source,
            sink,
            pool,
            moved: 0,
            counter,
        }
    }

    /// The same, under `throttle`.
    #[must_use]
    pub fn throttled(mut self, throttle: Option<Throttle>) -> Self {
        if let Some(throttle) = &throttle {
            let mut copy = Copy::new(&self.pool);
            copy.bound(throttle.slice());
            self.engine = Engine::Copy(copy);
            self.upgradable = throttle.suits_pipe();
        }
        self.throttle = throttle;
        self
    }

    /// Whether it waits because its bandwidth is capped.
    pub fn is_held_back(&self) -> bool {
        self.throttle.as_ref().is_some_and(Throttle::waits)
    }

    /// Bytes that the sink took so far.
    pub const fn moved(&self) -> u64 {
        self.moved
    }

    /// Whether bytes were read that the sink has not taken.
    pub fn holds_bytes(&self) -> bool {
        self.engine.held() > 0 || self.sink.has_unsent()
    }

    /// Moves what can be moved; ready when it is over. Not to be polled after that.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        self.poll_steps(false, context)
    }

    /// The same with all that the kernel has at this moment, whatever the runtime knows of it: room that
    /// was made in a socket may have been filled at once.
    pub fn poll_late(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        self.poll_steps(true, context)
    }

    /// Gives the sink what it takes at this moment of what is held; returns whether it took any. The runtime
    /// tells of room only where much is free, and a slow sink may need minutes to make so much.
    pub fn push(&mut self) -> bool {
        if self.engine.held() == 0 || self.is_held_back() {
            return false;
        }
        // What TLS held before counts as well.
        let sent = Cell::new(false);
        let pushed = match &mut self.engine {
            Engine::Copy(copy) => copy.push(&self.sink, |socket, pieces| {
                let bytes = send_now(socket, pieces)?;
                sent.set(true);
                Ok(bytes)
            }),
            Engine::Splice(splice) => splice.push(self.sink.socket()),
        };
        // That the sink has broken is seen where it is watched.
        let bytes = pushed.unwrap_or_default();
        self.count(bytes);
        sent.get() || bytes > 0
    }

    /// Some steps.
    fn poll_steps(&mut self, is_late: bool, context: &mut Context<'_>) -> Poll<Ending> {
        let enough = self.moved.saturating_add(BURST_BYTES);
        for _ in 0..BURST {
            if let Some(throttle) = &mut self.throttle
                && throttle.poll(context).is_pending()
            {
                return self.poll_sink(context);
            }
            match self.poll_step(is_late, context) {
                Poll::Ready(Step::Moved(bytes)) => {
                    self.count(bytes);
                    if self.moved >= enough {
                        break;
                    }
                }
                Poll::Ready(Step::Over(ending)) => return Poll::Ready(ending),
                Poll::Ready(Step::Unspliceable) => {
                    self.engine = Engine::Copy(Copy::large(&self.pool));
                }
                Poll::Pending => return self.poll_sink(context),
            }
        }
        give_way(context);
        Poll::Pending
    }

    /// While nothing can be moved: gives the sink what TLS still holds for it, for which nobody else
    /// may come, and is ready when it has broken.
    fn poll_sink(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        if let Poll::Ready(Err(_)) = self.sink.poll_flush(context) {
            return Poll::Ready(Ending::SinkBroke);
        }
        self.sink_failure.poll(context).map(|()| Ending::SinkBroke)
    }

    /// One step of whichever engine runs.
    fn poll_step(&mut self, is_late: bool, context: &mut Context<'_>) -> Poll<Step> {
        match &mut self.engine {
            Engine::Copy(copy) => copy.poll_step(&self.source, &self.sink, is_late, context),
            Engine::Splice(splice) => {
                splice.poll_step(self.source.socket(), self.sink.socket(), is_late, context)
            }
        }
    }

    /// Counts bytes that the sink took, and changes the engine when they have become many.
    fn count(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.moved = self.moved.saturating_add(bytes);
        self.counter.fetch_add(bytes, Ordering::Relaxed);
        if let Some(throttle) = &mut self.throttle {
            throttle.spend(bytes);
        }
        if self.upgradable && self.moved >= LONG_BYTES && self.engine.held() == 0 {
            self.upgradable = false;
            let is_clear = self.source.is_clear() && self.sink.is_clear();
            let splice = is_clear.then(|| Splice::new(&self.pool)).flatten();
            self.engine =
                splice.map_or_else(|| Engine::Copy(Copy::large(&self.pool)), Engine::Splice);
        }
    }
}

/// Wakes the task behind all others that are ready, once the runtime has polled for new events. A task that
/// only wakes itself would run again before it could learn of any.
pub fn give_way(context: &mut Context<'_>) {
    if pin!(yield_now()).poll(context).is_ready() {
        context.waker().wake_by_ref();
    }
}

/// Completes when a connection breaks (RST, keepalive, an unreachable peer): never at a FIN, and
/// without taking bytes or the error from the connection.
pub struct Failure(Pin<Box<dyn Future<Output = ()> + Send>>);

impl Failure {
    /// Watches `stream`.
    pub fn of(stream: Arc<TcpStream>) -> Self {
        Self(Box::pin(async move {
            while let Ok(state) = stream.ready(Interest::ERROR).await {
                if state.is_error() {
                    break;
                }
            }
        }))
    }

    /// Ready when the connection is broken. Not to be polled after that.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(context)
    }
}

/// Whether an attempt is to be repeated: nothing was there after all, or a signal came.
fn is_transient(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}
