//! A server's replies, line by line, and the replies that the gateway writes itself.
//!
//! Owns reply codes, the multi-line rule of RFC 959 §4.2 and its bounds. Must not know which
//! command a reply answers.

use bytes::Bytes;

use super::misbehaviour::ServerFault;

/// A three-digit reply code, 100 to 699.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Code(u16);

impl Code {
    /// The code, if it is one.
    pub fn new(_value: u16) -> Option<Self> {
        todo!()
    }
    /// The number.
    pub const fn value(self) -> u16 {
        self.0
    }
    /// Its first digit: 1 preliminary, 2 done, 3 go on, 4 and 5 refused, 6 protected.
    pub const fn class(self) -> u16 {
        self.0 / 100
    }
    /// Whether another reply to the same command follows.
    pub const fn is_preliminary(self) -> bool {
        self.class() == 1
    }
}

/// One line of a reply.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ReplyLine {
    /// The reply's code: of its first line.
    pub code: Code,
    /// Whether this is the reply's first line.
    pub first: bool,
    /// Whether this is the reply's last line.
    pub last: bool,
    /// The line as the client may see it, its end included: as the server sent it (a bare LF
    /// stays one), Telnet commands before the code removed, CR not before LF and NUL made `?`.
    pub bytes: Bytes,
}

/// Cuts a server's byte stream into reply lines.
#[derive(Debug)]
pub struct ReplyReader {
    _private: (),
}

impl ReplyReader {
    /// A reader with the bounds `line_bytes` for a line and `reply_bytes` for a whole reply.
    pub fn new(_line_bytes: usize, _reply_bytes: usize) -> Self {
        todo!()
    }
    /// Takes bytes from the wire.
    pub fn push(&mut self, _bytes: &[u8]) {
        todo!()
    }
    /// The next line of a reply, or None until more bytes come.
    ///
    /// # Errors
    /// [`ServerFault::NotAReply`], [`ServerFault::LineTooLong`], [`ServerFault::ReplyTooLong`];
    /// the reader is then of no further use.
    pub fn next_line(&mut self) -> Option<Result<ReplyLine, ServerFault>> {
        todo!()
    }
    /// Whether a reply has begun and not ended.
    pub fn in_reply(&self) -> bool {
        todo!()
    }
}

/// A one-line reply in the gateway's own words: `code text` and CR LF.
pub fn render(_code: u16, _text: &str) -> Bytes {
    todo!()
}

/// The directory that a 257 states, as bytes: first quote to last, quotes undoubled; None where
/// that is ambiguous or missing (RFC 959 appendix II).
pub fn directory(_line: &[u8]) -> Option<Bytes> {
    todo!()
}
