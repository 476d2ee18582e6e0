//! A data connection in clear or under TLS, as a relay and its owner share it.

use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use rustls::Connection;
use tokio::io::Interest;
use tokio::net::TcpStream;

use super::channel::Channel;

/// A connection that bytes are moved over. Copies are the same connection.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The socket.
    socket: Arc<TcpStream>,
    /// Its TLS. One task owns both sides of a transfer, so nobody waits for the lock.
    channel: Option<Arc<Mutex<Channel>>>,
    /// An end without `close_notify` is taken for one.
    tolerant: bool,
}

/// Writes what the socket takes of `pieces`.
///
/// # Errors
/// As of a write.
pub fn send(socket: &TcpStream, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    match pieces {
        // The plainer call costs less.
        [piece] => socket.try_write(piece),
        _ => socket.try_write_vectored(pieces),
    }
}

/// Reads what there is; a read that did not fill `buffer` has left nothing, unless urgent data
/// stopped it, and the runtime is told so: the next look at the socket waits for more to come
/// instead of asking the kernel.
///
/// # Errors
/// As of a read; `WouldBlock` where there is nothing.
pub fn receive(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut received = 0;
    let result = socket.try_io(Interest::READABLE, || {
        received = socket.try_read(buffer)?;
        if received > 0 && received < buffer.len() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(())
    });
    match result {
        Err(error) if received == 0 => Err(error),
        _ => Ok(received),
    }
}

impl Stream {
    /// In clear.
    pub const fn clear(socket: Arc<TcpStream>) -> Self {
        Self {
            socket,
            channel: None,
            tolerant: false,
        }
    }

    /// Under TLS, whose handshake is over. `tolerant`: an end without `close_notify` is an end.
    pub fn secured(socket: Arc<TcpStream>, channel: Channel, tolerant: bool) -> Self {
        Self {
            socket,
            channel: Some(Arc::new(Mutex::new(channel))),
            tolerant,
        }
    }

    /// The socket.
    pub const fn socket(&self) -> &Arc<TcpStream> {
        &self.socket
    }

    /// Whether it is in clear, so that the kernel may move its bytes.
    pub const fn is_clear(&self) -> bool {
        self.channel.is_none()
    }

    /// The TLS, locked.
    fn channel(&self) -> Option<MutexGuard<'_, Channel>> {
        let channel = self.channel.as_ref()?;
        Some(channel.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads: 0 at an end in order.
    ///
    /// # Errors
    /// As of a read; `UnexpectedEof` where TLS ended without `close_notify`, `Interrupted` where much
    /// has come that was no plaintext and there may be more: others are to have their turn.
    pub fn poll_read(
        &self,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_read_by(receive, context, buffer)
    }

    /// The same with what `receive_now` finds at this moment, whatever the runtime knows of it.
    ///
    /// # Errors
    /// As of [`Stream::poll_read`].
    pub fn poll_read_now(
        &self,
        receive_now: impl Fn(&TcpStream, &mut [u8]) -> io::Result<usize>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if self.is_clear() {
            match receive_now(&self.socket, buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
        let read = |socket: &TcpStream, raw: &mut [u8]| match receive_now(socket, raw) {
            // The runtime may have thought otherwise.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => receive(socket, raw),
            read => read,
        };
        self.poll_read_by(read, context, buffer)
    }

    /// Reads; under TLS `read` reads the socket.
    fn poll_read_by(
        &self,
        read: impl Fn(&TcpStream, &mut [u8]) -> io::Result<usize>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut channel = self.channel();
        loop {
            let bytes = match &mut channel {
                // In clear the kernel is asked until it has nothing more.
                None => {
                    ready!(self.socket.poll_read_ready(context))?;
                    self.socket.try_read(buffer)
                }
                Some(channel) => {
                    let bytes = channel.fill(|raw| read(&self.socket, raw), buffer);
                    // What it made of a key update or an alert; the next write takes the rest.
                    channel.flush(|raw| send(&self.socket, raw)).ok();
                    bytes
                }
            };
            match bytes {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_read_ready(context))?;
                }
                Err(error) if self.tolerant && error.kind() == io::ErrorKind::UnexpectedEof => {
                    return Poll::Ready(Ok(0));
                }
                bytes => return Poll::Ready(bytes),
            }
        }
    }

    /// Writes some bytes; returns how many were taken.
    ///
    /// # Errors
    /// As of a write.
    pub fn poll_write(&self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut channel = self.channel();
        loop {
            let written = match &mut channel {
                None => {
                    ready!(self.socket.poll_write_ready(context))?;
                    self.socket.try_write(bytes)
                }
                Some(channel) => channel.write(|raw| send(&self.socket, raw), bytes),
            };
            match written {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(context))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Writes what `send_now` finds room for at this moment, whatever the runtime knows of it; returns how
    /// many of `bytes` were taken.
    ///
    /// # Errors
    /// As of a write; `WouldBlock` where there is no room.
    pub fn write_now(
        &self,
        send_now: impl Fn(&TcpStream, &[IoSlice<'_>]) -> io::Result<usize>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        match self.channel() {
            None => send_now(&self.socket, &[IoSlice::new(bytes)]),
            Some(mut channel) => channel.write(|raw| send_now(&self.socket, raw), bytes),
        }
    }

    /// Ready when the socket has all that was written.
    ///
    /// # Errors
    /// As of a write.
    pub fn poll_flush(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Some(mut channel) = self.channel() else {
            return Poll::Ready(Ok(()));
        };
        loop {
            match channel.flush(|raw| send(&self.socket, raw)) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(self.socket.poll_write_ready(context))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                flushed => return Poll::Ready(flushed),
            }
        }
    }

    /// Whether bytes were written that the socket does not have.
    pub fn has_unsent(&self) -> bool {
        self.channel().is_some_and(|channel| channel.has_unsent())
    }

    /// What `look` makes of its TLS; None in clear.
    pub fn with_connection<T>(&self, look: impl FnOnce(&Connection) -> T) -> Option<T> {
        Some(look(self.channel()?.connection()))
    }

    /// Announces the end of what was written, where TLS has a word for it.
    pub fn announce_end(&self) {
        if let Some(mut channel) = self.channel() {
            channel.close(|raw| send(&self.socket, raw));
        }
    }
}

#[cfg(test)]
mod tests;
