//! One TLS channel over a non-blocking socket: its handshake, its bytes, its end.
//!
//! Sans-io: whoever calls gives what reads and writes the socket. Holds at most 64 KiB that the
//! socket has not taken. An end without `close_notify` is an error (`UnexpectedEof`), so that a cut
//! never looks like an end (RFC 8446 §6.1).

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::ops::RangeInclusive;

use rustls::{Connection, Error};

/// How many bytes of plaintext wait for the socket at most.
const UNSENT_BYTES: usize = 64 * 1024;

/// What a TLS record begins with whose type is none: plaintext was sent.
const CONTENT_TYPES: RangeInclusive<u8> = 20..=24;

/// Why a handshake failed.
#[derive(Debug)]
pub enum Failure {
    /// The connection broke, or ended (`UnexpectedEof`).
    Io(io::Error),
    /// The peer does not speak TLS.
    Plaintext,
    /// The peer, its certificate or its choices were refused, or it refused ours.
    Tls(Error),
}

/// A TLS channel.
#[derive(Debug)]
pub struct Channel {
    /// The state machine.
    connection: Connection,
    /// Bytes of plaintext that were received and not yet read.
    unread: usize,
    /// The peer has announced its end.
    closed: bool,
    /// The first byte was looked at.
    begun: bool,
    /// What befell the connection behind bytes that [`Channel::fill`] gave.
    failure: Option<io::Error>,
}

/// What reads a socket, as a reader.
struct Source<'a, F> {
    /// It.
    read: F,
    /// The first byte of all, if it is to be kept.
    first: Option<&'a mut Option<u8>>,
}

impl<F: FnMut(&mut [u8]) -> io::Result<usize>> Read for Source<'_, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = (self.read)(buffer)?;
        if let (Some(first), 1..) = (self.first.take(), bytes) {
            *first = buffer.first().copied();
        }
        Ok(bytes)
    }
}

/// What writes a socket, as a writer: records that wait together are written together.
struct Sink<F>(F);

impl<F: FnMut(&[IoSlice<'_>]) -> io::Result<usize>> Write for Sink<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        (self.0)(pieces)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Channel {
    /// A channel whose handshake is still to come.
    pub fn new(connection: impl Into<Connection>) -> Self {
        let mut connection = connection.into();
        connection.set_buffer_limit(Some(UNSENT_BYTES));
        Self {
            connection,
            unread: 0,
            closed: false,
            begun: false,
            failure: None,
        }
    }

    /// What is known of the peer.
    pub const fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Moves the handshake on as far as the socket allows; whether it is over.
    ///
    /// # Errors
    /// It failed; the alert that says so to the peer waits in [`Channel::flush`].
    pub fn handshake(
        &mut self,
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> Result<bool, Failure> {
        loop {
            match self.flush(&mut write) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(Failure::Io(error)),
            }
            if !self.connection.is_handshaking() {
                return Ok(true);
            }
            match self.receive(&mut read) {
                Ok(0) => return Err(Failure::Io(ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(Failure::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok(false);
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Reads ciphertext once; returns how much it was.
    fn receive(
        &mut self,
        read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> Result<usize, Failure> {
        let mut first = None;
        let bytes = self
            .connection
            .read_tls(&mut Source {
                read,
                first: (!self.begun).then_some(&mut first),
            })
            .map_err(Failure::Io)?;
        if let Some(first) = first {
            self.begun = true;
            if !CONTENT_TYPES.contains(&first) {
                return Err(Failure::Plaintext);
            }
        }
        let state = self
            .connection
            .process_new_packets()
            .map_err(Failure::Tls)?;
        self.unread = state.plaintext_bytes_to_read();
        self.closed = state.peer_has_closed();
        Ok(bytes)
    }

    /// Whether plaintext, or its end, can be read without the socket.
    pub const fn has_unread(&self) -> bool {
        self.unread > 0 || self.closed
    }

    /// Whether ciphertext waits for the socket.
    pub fn has_unsent(&self) -> bool {
        self.connection.wants_write()
    }

    /// Reads plaintext: 0 at the end that the peer announced.
    ///
    /// # Errors
    /// `WouldBlock` where there is nothing yet, `UnexpectedEof` where the connection ended
    /// without `close_notify`, `InvalidData` where what came is no TLS, and as of `read`.
    pub fn read(
        &mut self,
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        loop {
            match self.connection.reader().read(buffer) {
                Ok(bytes) => {
                    self.unread = self.unread.saturating_sub(bytes);
                    return Ok(bytes);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
            match self.receive(&mut read) {
                Ok(_) => {}
                Err(Failure::Io(error)) => return Err(error),
                Err(Failure::Plaintext) => return Err(ErrorKind::InvalidData.into()),
                Err(Failure::Tls(error)) => {
                    return Err(io::Error::new(ErrorKind::InvalidData, error));
                }
            }
        }
    }

    /// Reads plaintext as far as `buffer` has room and the socket has records: 0 at the end that
    /// the peer announced. What befalls the connection behind bytes that are given is told by the
    /// next call, as the socket says it once.
    ///
    /// # Errors
    /// As of [`Channel::read`].
    pub fn fill(
        &mut self,
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        let mut filled = 0_usize;
        while let Some(room @ [_, ..]) = buffer.get_mut(filled..) {
            match self.read(&mut read, room) {
                Ok(0) => break,
                Ok(bytes) => filled = filled.saturating_add(bytes),
                Err(error) if filled == 0 => return Err(error),
                Err(error) => {
                    let passes = [ErrorKind::WouldBlock, ErrorKind::Interrupted];
                    if !passes.contains(&error.kind()) {
                        self.failure = Some(error);
                    }
                    break;
                }
            }
        }
        Ok(filled)
    }

    /// Takes plaintext to be sent, once what was taken before is out; returns how much.
    ///
    /// # Errors
    /// `WouldBlock` where the socket takes nothing, and as of `write`.
    pub fn write(
        &mut self,
        write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        self.put(write, bytes, false)
    }

    /// The same with the last bytes of all: where all are taken, the end is announced with them.
    ///
    /// # Errors
    /// As of [`Channel::write`].
    pub fn write_last(
        &mut self,
        write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        self.put(write, bytes, true)
    }

    /// Takes plaintext, and the end behind it if it `is_last`.
    fn put(
        &mut self,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
        bytes: &[u8],
        is_last: bool,
    ) -> io::Result<usize> {
        self.flush(&mut write)?;
        let taken = self.connection.writer().write(bytes)?;
        if is_last && taken == bytes.len() {
            self.connection.send_close_notify();
        }
        match self.flush(&mut write) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(taken),
        }
    }

    /// Sends all that waits for the socket.
    ///
    /// # Errors
    /// `WouldBlock` where the socket does not take all of it, and as of `write`.
    pub fn flush(
        &mut self,
        write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<()> {
        let mut sink = Sink(write);
        while self.connection.wants_write() {
            if self.connection.write_tls(&mut sink)? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Announces the end of what is sent, unless that is done; a socket that does not take that
    /// gets a FIN all the same, and the peer sees a cut.
    pub fn close(&mut self, write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) {
        self.connection.send_close_notify();
        self.flush(write).ok();
    }
}

#[cfg(test)]
mod tests;
