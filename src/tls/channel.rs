//! One TLS channel over a non-blocking socket: its handshake, its bytes, its end.
//!
//! Sans-io: whoever calls gives what reads and writes the socket. Holds at most records of 64 KiB that
//! the socket has not taken. An end without `close_notify` is an error (`UnexpectedEof`), so that a cut
//! never looks like an end (RFC 8446 §6.1).

use std::io::{self, ErrorKind, IoSlice, Read, Write};
use std::ops::RangeInclusive;

use rustls::{Connection, Error, SupportedCipherSuite};

/// How many bytes of plaintext wait for the socket at most.
const UNSENT_BYTES: usize = 64 * 1024;

/// By how much the records of [`UNSENT_BYTES`] may be longer than their plaintext, altogether.
const ROOM_BYTES: usize = 4 * 1024;

/// How many bytes one record holds (RFC 8446 §5.1).
const RECORD_BYTES: usize = 16 * 1024;

/// How many records a connection begins with that are small: over a slow line their bytes are there
/// before 16 KiB have come, without which nothing of a large record can be read.
const SMALL_RECORDS: usize = 8;

/// How many bytes such a record holds, so that it fits in a segment.
const SMALL_RECORD_BYTES: usize = 1_300;

/// How many records the handshake, alerts and the end may take of what a key is good for.
const OTHER_RECORDS: u64 = 64;

/// How often the socket is read for one [`Channel::read`] that finds no plaintext.
const READS: usize = 16;

/// How often it is read for one [`Channel::fill`] once that has found some: mostly there are 4 KiB to be
/// had, and in records of ordinary size that is more than its buffer holds.
const FILL_READS: usize = 128;

/// What a TLS record may begin with, its type (RFC 8446 §5.1). Anything else is plaintext.
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
    /// How many small records are still to be sent.
    small_records: usize,
    /// How many records the key that is written with is still good for; None until that is known.
    records_left: Option<u64>,
    /// What befell the connection behind bytes that [`Channel::fill`] gave.
    failure: Option<io::Error>,
}

/// A function that reads a socket, as a reader.
struct Source<'a, F> {
    /// The function.
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
        connection.set_buffer_limit(Some(UNSENT_BYTES.saturating_add(ROOM_BYTES)));
        Self {
            connection,
            unread: 0,
            closed: false,
            begun: false,
            small_records: SMALL_RECORDS,
            records_left: None,
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
    /// `WouldBlock` where there is nothing yet, `Interrupted` where much has come that was no plaintext
    /// and there may be more, `UnexpectedEof` where the connection ended without `close_notify`,
    /// `InvalidData` where what came is no TLS, and as of `read`.
    pub fn read(
        &mut self,
        read: impl FnMut(&mut [u8]) -> io::Result<usize>,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let mut reads = READS;
        self.read_within(&mut reads, read, buffer)
    }

    /// The same, reading the socket not more than `reads` times, which are taken from that.
    fn read_within(
        &mut self,
        reads: &mut usize,
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
            *reads = reads.checked_sub(1).ok_or(ErrorKind::Interrupted)?;
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
        let mut reads = READS;
        while let Some(room @ [_, ..]) = buffer.get_mut(filled..) {
            match self.read_within(&mut reads, &mut read, room) {
                Ok(0) => break,
                Ok(bytes) => {
                    if filled == 0 {
                        reads = FILL_READS;
                    }
                    filled = filled.saturating_add(bytes);
                }
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
    /// `WouldBlock` where the socket takes nothing, `QuotaExceeded` where the key has protected as many
    /// records as it may (TLS 1.2 has no other), and as of `write`.
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
        let taken = self.protect(bytes)?;
        if is_last && taken == bytes.len() {
            self.connection.send_close_notify();
        }
        match self.flush(&mut write) {
            Err(error) if error.kind() != ErrorKind::WouldBlock => Err(error),
            Ok(()) | Err(_) => Ok(taken),
        }
    }

    /// Makes records of plaintext, the first ones small; returns how much of it.
    ///
    /// The library ends a connection by itself, in order, whose key is used up, and takes all further
    /// plaintext for sent: that would be a cut that looks like an end.
    fn protect(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut taken = 0_usize;
        while taken < bytes.len().min(UNSENT_BYTES) {
            let most = if self.small_records > 0 {
                SMALL_RECORD_BYTES
            } else {
                UNSENT_BYTES
            };
            let until = taken
                .saturating_add(most)
                .min(bytes.len())
                .min(UNSENT_BYTES);
            let piece = bytes.get(taken..until).unwrap_or_default();
            let records = u64::try_from(piece.len().div_ceil(RECORD_BYTES)).unwrap_or(u64::MAX);
            let left = self
                .records_left
                .get_or_insert_with(|| records_of(&self.connection));
            match left.checked_sub(records) {
                Some(rest) => *left = rest,
                None if taken > 0 => break,
                None => return Err(ErrorKind::QuotaExceeded.into()),
            }
            self.small_records = self.small_records.saturating_sub(1);
            let written = self.connection.writer().write(piece)?;
            taken = taken.saturating_add(written);
            if written < piece.len() {
                break;
            }
        }
        Ok(taken)
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

    /// Announces the end of what is sent, unless that is done; what the socket does not take of that
    /// is unsent: a FIN ahead of it is a cut.
    pub fn close(&mut self, write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>) {
        self.connection.send_close_notify();
        self.flush(write).ok();
    }
}

/// How many records the key that a connection writes with is good for: in TLS 1.3 it is followed by
/// others.
fn records_of(connection: &Connection) -> u64 {
    match connection.negotiated_cipher_suite() {
        Some(SupportedCipherSuite::Tls12(suite)) => {
            let limit = suite.common.confidentiality_limit;
            limit.saturating_sub(OTHER_RECORDS)
        }
        Some(SupportedCipherSuite::Tls13(_)) | None => u64::MAX,
    }
}

#[cfg(test)]
mod tests;
