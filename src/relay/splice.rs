//! Fill a pipe from the source, empty it into the sink, again.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;
use tokio::net::TcpStream;

use super::pool::{PipeLease, Pool};
use super::{Ending, Step, is_transient};
use crate::sys::socket::has_unread;

/// A pipe and what it holds.
pub(super) struct Splice {
    /// The pipe.
    lease: PipeLease,
    /// Either end was waited for since bytes came.
    waited: bool,
}

impl Splice {
    /// For a long transfer, with a pipe of the pool's; None where there is none to be had.
    pub(super) fn new(pool: &Arc<Pool>) -> Option<Self> {
        pool.pipe().map(Self::through)
    }

    /// For a transfer that begins; None where no pipe is to spare.
    pub(super) fn early(pool: &Arc<Pool>) -> Option<Self> {
        pool.early_pipe().map(Self::through)
    }

    /// Through this pipe.
    const fn through(lease: PipeLease) -> Self {
        Self {
            lease,
            waited: false,
        }
    }

    /// How many bytes were taken from the source and not yet given to the sink.
    pub(super) fn held(&self) -> usize {
        self.lease.held()
    }

    /// Fills the pipe once. A splice stops at urgent data for good, as if there were nothing, or the end
    /// once that has come: bytes behind it are found by looking, which the ordinary pause between two
    /// pieces is not worth.
    ///
    /// # Errors
    /// As of [`PipeLease::fill`]; `InvalidInput` where there are such bytes.
    fn fill(&mut self, source: &TcpStream) -> io::Result<usize> {
        let filled = self.lease.fill(source);
        let is_doubtful = match &filled {
            Ok(0) => true,
            Ok(_) => {
                self.waited = false;
                false
            }
            Err(error) => {
                error.kind() == io::ErrorKind::WouldBlock
                    && std::mem::replace(&mut self.waited, true)
            }
        };
        if is_doubtful && has_unread(source)? {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        filled
    }

    /// Fills the pipe if it is empty, then empties it once. `is_late`: what the kernel has is taken,
    /// whatever the runtime knows of it.
    pub(super) fn poll_step(
        &mut self,
        source: &TcpStream,
        sink: &TcpStream,
        mut is_late: bool,
        context: &mut Context<'_>,
    ) -> Poll<Step> {
        while self.held() == 0 {
            let filled = if std::mem::take(&mut is_late) {
                self.fill(source)
            } else {
                if ready!(source.poll_read_ready(context)).is_err() {
                    return Poll::Ready(Step::Over(Ending::SourceBroke));
                }
                source.try_io(Interest::READABLE, || self.fill(source))
            };
            match filled {
                Ok(0) => return Poll::Ready(Step::Over(Ending::Source)),
                Ok(_) => {}
                Err(error) if is_transient(&error) => {}
                Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                    return Poll::Ready(Step::Unspliceable);
                }
                Err(_) => return Poll::Ready(Step::Over(Ending::SourceBroke)),
            }
        }
        loop {
            if ready!(sink.poll_write_ready(context)).is_err() {
                return Poll::Ready(Step::Over(Ending::SinkBroke));
            }
            match sink.try_io(Interest::WRITABLE, || self.lease.drain(sink)) {
                Ok(0) => return Poll::Ready(Step::Over(Ending::SinkBroke)),
                Ok(bytes) => return Poll::Ready(Step::Moved(bytes)),
                Err(error) if is_transient(&error) => self.waited = true,
                Err(_) => return Poll::Ready(Step::Over(Ending::SinkBroke)),
            }
        }
    }
    /// Gives `sink` what it takes at this moment of what the pipe holds; returns how much.
    ///
    /// # Errors
    /// As of a write.
    pub(super) fn push(&mut self, sink: &TcpStream) -> io::Result<usize> {
        self.lease.drain(sink)
    }
}
