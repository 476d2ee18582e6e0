//! Bounded framing of a client's control lines, with Telnet decoding (RFC 854, RFC 959 §5.3.1).
//!
//! Owns where a line ends and what of it is Telnet. Must not know verbs.

use bytes::Bytes;

use super::misbehaviour::ClientFault;

/// A framed line, or what stood in its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Framed {
    /// A line without its end, Telnet decoded.
    Line(Bytes),
    /// An empty line, or one of blanks.
    Empty,
    /// Bytes that are no line; they have been dropped through their LF.
    Fault(ClientFault, Bytes),
}

/// Cuts a client's byte stream into lines.
#[derive(Debug)]
pub struct LineReader {
    _private: (),
}

impl LineReader {
    /// A reader of lines of at most `line_bytes` raw bytes, CR LF included.
    pub fn new(_line_bytes: usize) -> Self {
        todo!()
    }
    /// Takes bytes from the wire.
    pub fn push(&mut self, _bytes: &[u8]) {
        todo!()
    }
    /// The next line, or None until more bytes come.
    pub fn next_line(&mut self) -> Option<Framed> {
        todo!()
    }
    /// Raw bytes held and not yet returned as lines.
    pub fn buffered(&self) -> usize {
        todo!()
    }
    /// Whether a line has begun and not ended (the command timeout runs), a line being discarded
    /// included.
    pub fn in_line(&self) -> bool {
        todo!()
    }
    /// Whether an ABOR line stands anywhere in what is held, taking none of it out. Remembers
    /// how far it looked: bytes are searched once.
    pub fn finds_abort(&mut self) -> bool {
        todo!()
    }
}
