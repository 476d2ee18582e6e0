//! Read into a buffer, write it out, again.

use std::io::{self, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::net::TcpStream;

use super::pool::{Buffer, Pool};
use super::{Ending, Step, give_way};
use crate::sys::socket::receive_now;
use crate::tls::stream::Stream;

/// A buffer and what of it is still to be written.
pub(super) struct Copy {
    /// The buffer.
    buffer: Buffer,
    /// The first byte to be written.
    start: usize,
    /// Behind the last byte to be written.
    end: usize,
    /// How many bytes are read at once, at most.
    most: usize,
    /// The source has ended in order.
    ended: bool,
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
            most: usize::MAX,
            ended: false,
        }
    }

    /// Reads at most so many bytes at once.
    pub(super) const fn bound(&mut self, most: usize) {
        self.most = most;
    }

    /// How many bytes were read and not yet written.
    pub(super) const fn held(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Reads if nothing is held, then writes once. `is_late`: what the kernel has is read, whatever the
    /// runtime knows of it.
    pub(super) fn poll_step(
        &mut self,
        source: &Stream,
        sink: &Stream,
        is_late: bool,
        context: &mut Context<'_>,
    ) -> Poll<Step> {
        while self.held() == 0 {
            if !self.ended {
                let room = self.buffer.room(self.most);
                let read = if is_late {
                    source.poll_read_now(receive_now, context, room)
                } else {
                    source.poll_read(context, room)
                };
                match ready!(read) {
                    Ok(0) => self.ended = true,
                    Ok(bytes) => (self.start, self.end) = (0, bytes),
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                        give_way(context);
                        return Poll::Pending;
                    }
                    Err(_) => return Poll::Ready(Step::Over(Ending::SourceBroke)),
                }
            }
            if self.ended {
                let ending = match ready!(sink.poll_flush(context)) {
                    Ok(()) => Ending::Source,
                    Err(_) => Ending::SinkBroke,
                };
                return Poll::Ready(Step::Over(ending));
            }
        }
        let bytes = self.buffer.slice(self.start, self.end);
        match ready!(sink.poll_write(context, bytes)) {
            Ok(0) | Err(_) => Poll::Ready(Step::Over(Ending::SinkBroke)),
            Ok(bytes) => {
                self.start = self.start.saturating_add(bytes);
                Poll::Ready(Step::Moved(bytes))
            }
        }
    }

    /// Writes what `sink` takes at this moment of what is held, if that is anything; returns how much.
    ///
    /// # Errors
    /// As of a write.
    pub(super) fn push(
        &mut self,
        sink: &Stream,
        send_now: impl Fn(&TcpStream, &[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let bytes = sink.write_now(send_now, self.buffer.slice(self.start, self.end))?;
        self.start = self.start.saturating_add(bytes);
        Ok(bytes)
    }
}
