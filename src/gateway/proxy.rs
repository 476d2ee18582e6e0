//! Connections through a balancer: for whom it has dialled, read before anything else is.
//!
//! Owns whose header is believed, and the bytes of a header on a socket: not one byte behind them
//! is taken, so that whatever follows, a TLS hello too, finds its own reader. Must not know what a
//! connection is for. Bounds: those of [`header`] in bytes, and a time in all, not for each byte.

pub mod header;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use ipnet::IpNet;
use tokio::io::ReadBuf;
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

use header::{BINARY_BYTES, Header, HeaderFault, Source};

/// Why a connection whose header is required is closed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    /// It ended within its header, or broke.
    Ended,
    /// It has no header that can be believed.
    Header(HeaderFault),
    /// It ended before its first byte, as a probe does that looks whether a port is open.
    Silent,
    /// The header was not there in time.
    Timeout,
}

impl Fault {
    /// Its name in the log.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::Header(HeaderFault::Checksum) => "checksum",
            Self::Header(HeaderFault::Malformed) => "malformed",
            Self::Header(HeaderFault::Missing) => "missing",
            Self::Header(HeaderFault::TooLong) => "too_long",
            Self::Silent => "silent",
            Self::Timeout => "timeout",
        }
    }
}

/// Whether `peer` is a balancer: the header of its connections is required and believed.
pub(super) fn is_balancer(networks: &[IpNet], peer: SocketAddr) -> bool {
    let peer = peer.ip().to_canonical();
    networks.iter().any(|network| network.contains(&peer))
}

/// A connection whose header is awaited.
pub(super) struct Announcement {
    /// The connection.
    stream: TcpStream,
    /// What has come of the header.
    held: Vec<u8>,
    /// Until when all of it must have.
    patience: Pin<Box<Sleep>>,
}

impl Announcement {
    /// Of a connection, whose header must come `within` that time.
    pub(super) fn new(stream: TcpStream, within: Duration) -> Self {
        Self {
            stream,
            held: Vec::new(),
            patience: Box::pin(sleep(within)),
        }
    }

    /// Reads on; ready when the header is whole or will not be. Not to be polled after that.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<Source, Fault>> {
        loop {
            let mut space = [0; BINARY_BYTES];
            let mut seen = ReadBuf::new(&mut space);
            let Poll::Ready(peeked) = self.stream.poll_peek(context, &mut seen) else {
                ready!(self.patience.as_mut().poll(context));
                return Poll::Ready(Err(Fault::Timeout));
            };
            match peeked {
                Ok(1..) => {}
                Ok(0) if self.held.is_empty() => return Poll::Ready(Err(Fault::Silent)),
                Ok(0) | Err(_) => return Poll::Ready(Err(Fault::Ended)),
            }
            match self.look(seen.filled()) {
                Ok(None) => {}
                Ok(Some(source)) => return Poll::Ready(Ok(source)),
                Err(fault) => return Poll::Ready(Err(fault)),
            }
        }
    }

    /// Takes from the socket what of `seen`, which waits there, is of the header; for whom the
    /// connection is, once that is whole.
    ///
    /// # Errors
    /// [`Fault`].
    fn look(&mut self, seen: &[u8]) -> Result<Option<Source>, Fault> {
        let before = self.held.len();
        self.held.extend_from_slice(seen);
        let read = header::read(&self.held).map_err(Fault::Header)?;
        // All of it, as long as no end is in sight.
        let whole = read.map_or(self.held.len(), |Header { length, .. }| length);
        self.take(whole.saturating_sub(before))
            .map_err(|_| Fault::Ended)?;
        Ok(read.map(|Header { source, .. }| source))
    }

    /// Takes so many bytes, which are there, from the socket.
    ///
    /// # Errors
    /// They are not: the connection broke.
    fn take(&self, mut bytes: usize) -> io::Result<()> {
        let mut space = [0; BINARY_BYTES];
        while let Some(rest @ [_, ..]) = space.get_mut(..bytes) {
            match self.stream.try_read(rest)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                taken => bytes = bytes.saturating_sub(taken),
            }
        }
        Ok(())
    }

    /// The connection, behind its header.
    pub(super) fn into_stream(self) -> TcpStream {
        self.stream
    }
}
