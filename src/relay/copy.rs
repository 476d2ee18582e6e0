//! Read into a buffer, write it out, again.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::pool::{Buffer, Pool};
use super::{Ending, Step, is_transient};

/// A buffer and what of it is still to be written.
pub(super) struct Copy {
    /// The buffer.
    buffer: Buffer,
    /// The first byte to be written.
    start: usize,
    /// Behind the last byte to be written.
    end: usize,
}

impl Copy {
    /// With a buffer for short transfers.
    pub(super) fn new(pool: &Arc<Pool>) -> Self {
        Self::with(pool.small())
    }

    /// With a buffer for long ones.
    pub(super) fn large(pool: &Arc<Pool>) -> Self {
        Self::with(pool.large())
    }

    /// With this buffer.
    const fn with(buffer: Buffer) -> Self {
        Self {
            buffer,
            start: 0,
            end: 0,
        }
    }

    /// How many bytes were read and not yet written.
    pub(super) const fn held(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Reads if nothing is held, then writes once.
    pub(super) fn poll_step(
        &mut self,
        source: &TcpStream,
        sink: &TcpStream,
        context: &mut Context<'_>,
    ) -> Poll<Step> {
        while self.held() == 0 {
            if ready!(source.poll_read_ready(context)).is_err() {
                return Poll::Ready(Step::Over(Ending::SourceBroke));
            }
            match source.try_read(self.buffer.bytes_mut()) {
                Ok(0) => return Poll::Ready(Step::Over(Ending::Source)),
                Ok(bytes) => (self.start, self.end) = (0, bytes),
                Err(error) if is_transient(&error) => {}
                Err(_) => return Poll::Ready(Step::Over(Ending::SourceBroke)),
            }
        }
        loop {
            if ready!(sink.poll_write_ready(context)).is_err() {
                return Poll::Ready(Step::Over(Ending::SinkBroke));
            }
            match sink.try_write(self.buffer.slice(self.start, self.end)) {
                Ok(0) => return Poll::Ready(Step::Over(Ending::SinkBroke)),
                Ok(bytes) => {
                    self.start = self.start.saturating_add(bytes);
                    return Poll::Ready(Step::Moved(bytes));
                }
                Err(error) if is_transient(&error) => {}
                Err(_) => return Poll::Ready(Step::Over(Ending::SinkBroke)),
            }
        }
    }
}
