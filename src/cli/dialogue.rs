//! A short FTP dialogue with a server, for `probe`: a line out, a reply in, with a time limit.
//!
//! Owns one blocking connection. Must not know what is asked, or log in anywhere. Everything that
//! the server says is bounded.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _};
use std::time::Duration;

use super::terminal::printable;
use crate::ftp::reply::ReplyReader;

#[cfg(test)]
mod tests;

/// How long a server may take to be dialled.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long it may take for each reply. A server that looks up the client's name before its
/// greeting needs most of it.
const REPLY_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest line of a reply, in bytes.
const LINE_BYTES: usize = 64 * 1024;

/// The longest reply, in bytes.
const REPLY_BYTES: usize = 256 * 1024;

/// A whole reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Reply {
    /// Its code.
    pub(super) code: u16,
    /// Its lines, without their ends and without control characters.
    pub(super) lines: Vec<String>,
}

impl Reply {
    /// What the first line says behind its code.
    pub(super) fn text(&self) -> &str {
        let line = self.lines.first().map_or("", String::as_str);
        line.get(4..).unwrap_or_default()
    }
}

/// A connection to a server.
#[derive(Debug)]
pub(super) struct Dialogue {
    /// The connection.
    stream: TcpStream,
    /// What cuts its bytes into replies.
    reader: ReplyReader,
}

impl Dialogue {
    /// Dials the server at `host`.
    ///
    /// # Errors
    /// It has no address, or none that answers in time.
    pub(super) fn open(host: &str, port: u16) -> io::Result<Self> {
        let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in (host, port).to_socket_addrs()? {
            match Self::dial(&address) {
                Ok(dialogue) => return Ok(dialogue),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Dials one address.
    ///
    /// # Errors
    /// It does not answer in time.
    fn dial(address: &SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(address, CONNECT_TIMEOUT)
            .map_err(|error| in_words(error, "it was not reached", CONNECT_TIMEOUT))?;
        stream.set_read_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_write_timeout(Some(REPLY_TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            reader: ReplyReader::new(LINE_BYTES, REPLY_BYTES),
        })
    }

    /// The greeting, which is the first reply.
    ///
    /// # Errors
    /// As [`Dialogue::reply`], told as what a server did that took the connection.
    pub(super) fn greeting(&mut self) -> io::Result<Reply> {
        self.reply().map_err(|error| {
            let said = match error.kind() {
                io::ErrorKind::TimedOut => format!(
                    "it took the connection and did not greet within {} s",
                    REPLY_TIMEOUT.as_secs()
                ),
                io::ErrorKind::UnexpectedEof => {
                    "it took the connection and ended it without a greeting".to_owned()
                }
                io::ErrorKind::InvalidData => format!("what it greets with is no reply: {error}"),
                _ => return error,
            };
            io::Error::new(error.kind(), said)
        })
    }

    /// Sends `line` and reads the reply to it, preliminary ones skipped.
    ///
    /// # Errors
    /// As [`Dialogue::reply`].
    pub(super) fn ask(&mut self, line: &str) -> io::Result<Reply> {
        self.stream.write_all(format!("{line}\r\n").as_bytes())?;
        self.reply()
    }

    /// The next final reply.
    ///
    /// # Errors
    /// The connection ends or breaks, nothing comes in time, or what comes is no reply.
    pub(super) fn reply(&mut self) -> io::Result<Reply> {
        let mut lines = Vec::new();
        loop {
            while let Some(line) = self.reader.next_line() {
                let line = line.map_err(|fault| {
                    io::Error::new(io::ErrorKind::InvalidData, fault.kind().replace('_', " "))
                })?;
                lines.push(printable(
                    String::from_utf8_lossy(&line.bytes).trim_end_matches(['\r', '\n']),
                ));
                if line.last {
                    let code = line.code.value();
                    if !line.code.is_preliminary() {
                        return Ok(Reply { code, lines });
                    }
                    lines.clear();
                }
            }
            let mut buffer = [0_u8; 4096];
            let count = self
                .stream
                .read(&mut buffer)
                .map_err(|error| in_words(error, "it did not answer", REPLY_TIMEOUT))?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.reader.push(buffer.get(..count).unwrap_or_default());
        }
    }

    /// Says QUIT and reads on to its 221, or to the end: the codes of all that the server says
    /// until then. Some servers leave it to the client to close.
    ///
    /// # Errors
    /// QUIT cannot be sent.
    pub(super) fn quit(mut self) -> io::Result<Vec<u16>> {
        self.stream.write_all(b"QUIT\r\n")?;
        let mut codes = Vec::new();
        loop {
            match self.reply() {
                Ok(reply) => {
                    codes.push(reply.code);
                    if reply.code == 221 {
                        return Ok(codes);
                    }
                }
                Err(_) => return Ok(codes),
            }
        }
    }
}

/// `error`; where time ran out, with what did not happen `within` it. The kernel calls it a resource that is not
/// available at the moment.
pub(super) fn in_words(error: io::Error, what: &str, within: Duration) -> io::Error {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => io::Error::new(
            io::ErrorKind::TimedOut,
            format!("{what} within {} s", within.as_secs()),
        ),
        _ => error,
    }
}
