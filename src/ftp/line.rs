//! Bounded framing of a client's control lines, with Telnet decoding (RFC 854, RFC 959 §5.3.1).
//!
//! Owns where a line ends and what of it is Telnet. Must not know verbs, but for ABOR, which is
//! looked for ahead of its turn. Holds what was pushed and not yet taken, and no buffer at all after
//! [`LineReader::put_away`] when that is nothing; how much is pushed ahead is bounded by the caller.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use super::foreign;
use super::misbehaviour::ClientFault;

#[cfg(test)]
mod tests;

/// How far behind its limit a line without an end is discarded before it is a fault of its own.
const DISCARD_BYTES: usize = 64 * 1024;

/// How many bytes the buffer holds at first: most lines of most clients.
const ROOM: usize = 512;

/// Telnet's IAC, which begins a command (RFC 854).
const IAC: u8 = 0xFF;
/// Telnet's Interrupt Process.
const IP: u8 = 0xF4;
/// Telnet's Data Mark.
const DM: u8 = 0xF2;
/// Telnet's WILL, the first of WILL, WONT, DO, DONT.
const WILL: u8 = 0xFB;
/// Telnet's DONT.
const DONT: u8 = 0xFE;

/// A framed line, or what stood in its place.
#[derive(Clone, Eq, PartialEq)]
pub enum Framed {
    /// A line without its end, Telnet decoded.
    Line(Bytes),
    /// An empty line, or one of blanks.
    Empty,
    /// Bytes that are no line; they have been dropped through their LF. The raw bytes, as far
    /// as they were held, are for finding the verb only: they may hold a password.
    Fault(ClientFault, Bytes),
}

impl fmt::Debug for Framed {
    /// Writes lengths, for a line may be a PASS (law L4).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(formatter, "Line({} bytes)", line.len()),
            Self::Empty => formatter.write_str("Empty"),
            Self::Fault(fault, raw) => write!(formatter, "Fault({fault:?}, {} bytes)", raw.len()),
        }
    }
}

/// What the first byte that is held belongs to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Phase {
    /// A line that is being discarded through its LF; so many more bytes without an LF make it
    /// an endless one.
    Discarding(usize),
    /// The start of a line.
    Framing,
}

/// Cuts a client's byte stream into lines.
pub struct LineReader {
    /// What came and was not taken.
    held: BytesMut,
    /// More than [`ROOM`] was held at a time: a line that shared such a buffer would keep all of it.
    grown: bool,
    /// How many LF are held.
    ends: usize,
    /// What the first held byte belongs to.
    phase: Phase,
    /// The longest line, CR LF included.
    line_bytes: usize,
    /// How many held bytes were searched for ABOR: whole lines only.
    searched: usize,
    /// How many of the held LF were in them.
    searched_ends: usize,
    /// Where the last ABOR line that was found ends.
    abort: Option<usize>,
}

impl LineReader {
    /// A reader of lines of at most `line_bytes` raw bytes, CR LF included; a line that ends in
    /// a bare LF is counted as if it had its CR, since that is how it goes on.
    pub fn new(line_bytes: usize) -> Self {
        Self {
            held: BytesMut::new(),
            grown: false,
            ends: 0,
            phase: Phase::Framing,
            line_bytes,
            searched: 0,
            searched_ends: 0,
            abort: None,
        }
    }

    /// Takes bytes from the wire.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.held.capacity() == 0 {
            self.held.reserve(bytes.len().max(ROOM));
        }
        self.held.extend_from_slice(bytes);
        self.grown |= self.held.len() > ROOM;
        self.ends = self.ends.saturating_add(count_ends(bytes));
    }

    /// The next line, or None until more bytes come.
    pub fn next_line(&mut self) -> Option<Framed> {
        if let Phase::Discarding(room) = self.phase {
            match self.discard(room) {
                Discarded::All => return None,
                Discarded::Endless => {
                    return Some(Framed::Fault(ClientFault::EndlessLine, Bytes::new()));
                }
                Discarded::Line => {}
            }
        }
        if self.held.starts_with(&foreign::TLS_RECORD) {
            // A TLS record has no LF to wait for.
            let raw = Bytes::copy_from_slice(&foreign::TLS_RECORD);
            self.consume(raw.len());
            self.phase = Phase::Discarding(DISCARD_BYTES);
            return Some(Framed::Fault(ClientFault::CrossProtocol, raw));
        }
        let within = self.held.get(..self.line_bytes).unwrap_or(&self.held);
        if let Some(length) = (self.ends > 0).then(|| through_end(within)).flatten() {
            return Some(self.take(length));
        }
        if self.held.is_empty() || self.held.len() < self.line_bytes {
            return None;
        }
        let framed = fault(ClientFault::LineTooLong, within);
        self.consume(self.line_bytes);
        self.phase = Phase::Discarding(DISCARD_BYTES);
        Some(framed)
    }

    /// Works with the buffer `room` where it has none of its own.
    pub fn take_up(&mut self, room: &mut BytesMut) {
        if self.held.capacity() == 0 {
            std::mem::swap(&mut self.held, room);
        }
    }

    /// Gives the buffer back as `room` if it holds nothing.
    pub fn put_away(&mut self, room: &mut BytesMut) {
        if self.held.is_empty() {
            *room = std::mem::take(&mut self.held);
        }
    }

    /// Raw bytes held and not yet returned as lines.
    pub fn buffered(&self) -> usize {
        self.held.len()
    }

    /// Whether a line has begun and not ended (the command timeout runs), a line being discarded
    /// included. Not while a whole line is held: then it is the gateway that is behind.
    pub fn in_line(&self) -> bool {
        self.ends == 0 && (!self.held.is_empty() || self.phase != Phase::Framing)
    }

    /// Whether an ABOR line stands anywhere in what is held, taking none of it out. Remembers
    /// how far it looked: bytes are searched once.
    pub fn finds_abort(&mut self) -> bool {
        while self.searched_ends < self.ends {
            let rest = self.held.get(self.searched..).unwrap_or_default();
            let Some(raw) = through_end(rest).and_then(|length| rest.get(..length)) else {
                break;
            };
            // The first bytes held may be the tail of a line that is being discarded.
            let is_tail = self.searched == 0 && self.phase != Phase::Framing;
            let is_abort =
                !is_tail && is_abort(&frame(raw, self.line_bytes, Bytes::copy_from_slice));
            self.searched = self.searched.saturating_add(raw.len());
            self.searched_ends = self.searched_ends.saturating_add(1);
            if is_abort {
                self.abort = Some(self.searched);
            }
        }
        self.abort.is_some()
    }

    /// Drops held bytes of the line that is being discarded, of which `room` more may come.
    fn discard(&mut self, room: usize) -> Discarded {
        let within = self.held.get(..room).unwrap_or(&self.held);
        if let Some(length) = (self.ends > 0).then(|| through_end(within)).flatten() {
            self.consume(length);
            self.phase = Phase::Framing;
            return Discarded::Line;
        }
        let length = within.len();
        self.consume(length);
        if length < room {
            self.phase = Phase::Discarding(room.saturating_sub(length));
            Discarded::All
        } else {
            // Said once; if the session should live on, the line is still never parsed.
            self.phase = Phase::Discarding(usize::MAX);
            Discarded::Endless
        }
    }

    /// Takes the first `length` bytes out, which are a line.
    fn take(&mut self, length: usize) -> Framed {
        if self.grown {
            let raw = self.held.get(..length).unwrap_or(&self.held);
            let framed = frame(raw, self.line_bytes, Bytes::copy_from_slice);
            self.consume(length);
            return framed;
        }
        let raw = self.held.split_to(length.min(self.held.len())).freeze();
        self.forget(length, raw.ends_with(b"\n"));
        frame(&raw, self.line_bytes, |line| raw.slice_ref(line))
    }

    /// Drops the first `length` bytes, which hold an LF at their end or not at all.
    fn consume(&mut self, length: usize) {
        let gone = self.held.get(..length).unwrap_or(&self.held);
        let ends = gone.ends_with(b"\n");
        let length = gone.len();
        self.held.advance(length);
        self.forget(length, ends);
    }

    /// Counts `length` bytes as gone, which had an LF at their end or not at all.
    fn forget(&mut self, length: usize, ended: bool) {
        if self.grown && self.held.is_empty() {
            self.grown = false;
            self.held = BytesMut::new();
        }
        let ends = usize::from(ended);
        self.ends = self.ends.saturating_sub(ends);
        self.searched = self.searched.saturating_sub(length);
        self.searched_ends = self.searched_ends.saturating_sub(ends);
        self.abort = self
            .abort
            .and_then(|end| end.checked_sub(length))
            .filter(|end| *end > 0);
    }
}

impl fmt::Debug for LineReader {
    /// Writes how much is held, for it may be a PASS (law L4).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("LineReader")
            .field("held", &self.held.len())
            .field("ends", &self.ends)
            .field("phase", &self.phase)
            .field("line_bytes", &self.line_bytes)
            .finish_non_exhaustive()
    }
}

/// What discarding came to.
enum Discarded {
    /// All that was held is gone, and the line has not ended.
    All,
    /// The line did not end within its bound.
    Endless,
    /// The line has ended: what is held now begins a new one.
    Line,
}

/// How many LF are in `bytes`.
fn count_ends(bytes: &[u8]) -> usize {
    bytes.split(|byte| *byte == b'\n').count().saturating_sub(1)
}

/// The length of the first line of `bytes`, its LF included.
fn through_end(bytes: &[u8]) -> Option<usize> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    end.checked_add(1)
}

/// The line in `raw`, which ends in LF and has no other. `share` makes bytes of a part of it.
fn frame(raw: &[u8], line_bytes: usize, share: impl Fn(&[u8]) -> Bytes) -> Framed {
    // vsftpd, Pure-FTPd and BSD end a line at a bare LF, ProFTPD waits for CR LF: it ends one
    // here, both halves are judged, and each goes on with CR LF.
    let content = raw.strip_suffix(b"\n").unwrap_or(raw);
    let content = content.strip_suffix(b"\r").unwrap_or(content);
    if content.len().saturating_add(2) > line_bytes {
        return fault(ClientFault::LineTooLong, raw);
    }
    match decode(skip_telnet(content), share) {
        Ok(line) if line.iter().all(|byte| *byte == b' ') => Framed::Empty,
        Ok(line) => Framed::Line(line),
        Err(kind) => fault(kind, raw),
    }
}

/// The fault of `raw`; a line of another protocol ends the session whatever else is wrong.
fn fault(kind: ClientFault, raw: &[u8]) -> Framed {
    let kind = if foreign::is_foreign(raw.trim_ascii_end()) {
        ClientFault::CrossProtocol
    } else {
        kind
    };
    Framed::Fault(kind, Bytes::copy_from_slice(raw))
}

/// `line` without what a client may put before a command: the Synch of an ABOR (RFC 959 §4.1.3)
/// and option negotiation, which is ignored (RFC 1123 §4.1.2.12).
fn skip_telnet(mut line: &[u8]) -> &[u8] {
    loop {
        line = match line {
            // The IAC before a DM is sent urgent, and may have got lost on the way.
            [IAC, IP | DM, rest @ ..] | [IAC, WILL..=DONT, _, rest @ ..] | [DM, rest @ ..] => rest,
            _ => return line,
        };
    }
}

/// `line` with doubled IAC made one (RFC 854); any other Telnet command, and any CR, is refused,
/// since servers disagree on what is left of the line then.
///
/// # Errors
/// [`ClientFault::TelnetCommand`] and [`ClientFault::BareCr`], whichever comes first.
fn decode(line: &[u8], share: impl Fn(&[u8]) -> Bytes) -> Result<Bytes, ClientFault> {
    if !line.iter().any(|byte| matches!(*byte, IAC | b'\r')) {
        return Ok(share(line));
    }
    let mut decoded = Vec::with_capacity(line.len());
    let mut rest = line;
    loop {
        rest = match rest {
            [] => return Ok(decoded.into()),
            [IAC, IAC, rest @ ..] => {
                decoded.push(IAC);
                rest
            }
            [IAC, ..] => return Err(ClientFault::TelnetCommand),
            [b'\r', ..] => return Err(ClientFault::BareCr),
            [byte, rest @ ..] => {
                decoded.push(*byte);
                rest
            }
        };
    }
}

/// Whether a line is ABOR without an argument.
fn is_abort(framed: &Framed) -> bool {
    match framed {
        Framed::Line(line) => line.split_at_checked(4).is_some_and(|(verb, rest)| {
            verb.eq_ignore_ascii_case(b"ABOR") && rest.iter().all(|byte| *byte == b' ')
        }),
        Framed::Empty | Framed::Fault(..) => false,
    }
}
