//! A server's replies, line by line, and the replies that the gateway writes itself.
//!
//! Owns reply codes, the multi-line rule of RFC 959 §4.2 and its bounds. Must not know which
//! command a reply answers. Holds one line at most once the caller has taken what there is, and
//! after [`ReplyReader::put_away`] no buffer between replies.

use bytes::{BufMut, Bytes, BytesMut};

use super::misbehaviour::ServerFault;

#[cfg(test)]
mod tests;

/// How many bytes the buffer holds at first: most replies of most servers.
const ROOM: usize = 512;

/// Telnet's IAC, which begins a command (RFC 854).
const IAC: u8 = 0xFF;
/// Telnet's SE, the first of the commands that are two bytes long, and the end of an SB.
const SE: u8 = 0xF0;
/// Telnet's GA, the last of the commands that are two bytes long.
const GA: u8 = 0xF9;
/// Telnet's SB, which begins a subnegotiation.
const SB: u8 = 0xFA;
/// Telnet's WILL, the first of WILL, WONT, DO, DONT.
const WILL: u8 = 0xFB;
/// Telnet's DONT.
const DONT: u8 = 0xFE;

/// A three-digit reply code, 100 to 699.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Code(u16);

impl Code {
    /// The code, if it is one; 6yz are protected replies (RFC 2228 §5.2).
    pub const fn new(value: u16) -> Option<Self> {
        match value {
            100..=699 => Some(Self(value)),
            0..100 | 700..=u16::MAX => None,
        }
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

    /// The code spelled by three digits.
    fn parse(digits: [u8; 3]) -> Option<Self> {
        let mut value: u16 = 0;
        for digit in digits {
            let digit = digit.checked_sub(b'0').filter(|digit| *digit < 10)?;
            value = value.checked_mul(10)?.checked_add(u16::from(digit))?;
        }
        Self::new(value)
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
    /// What came and was not taken.
    held: BytesMut,
    /// How many LF are held.
    ends: usize,
    /// The multi-line reply that is open, and how many bytes of it were taken.
    open: Option<(Code, usize)>,
    /// The longest line.
    line_bytes: usize,
    /// The longest reply.
    reply_bytes: usize,
    /// Whether an error was returned.
    failed: bool,
}

impl ReplyReader {
    /// A reader with the bounds `line_bytes` for a line and `reply_bytes` for a whole reply, in
    /// raw bytes with the ends of lines.
    pub fn new(line_bytes: usize, reply_bytes: usize) -> Self {
        Self {
            held: BytesMut::new(),
            ends: 0,
            open: None,
            line_bytes,
            reply_bytes,
            failed: false,
        }
    }

    /// Other bounds from now on, also for what is held.
    pub const fn bound(&mut self, line_bytes: usize, reply_bytes: usize) {
        self.line_bytes = line_bytes;
        self.reply_bytes = reply_bytes;
    }

    /// Takes bytes from the wire.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed {
            return;
        }
        if self.held.capacity() == 0 {
            self.held.reserve(bytes.len().max(ROOM));
        }
        self.held.extend_from_slice(bytes);
        let ends = bytes.split(|byte| *byte == b'\n').count();
        self.ends = self.ends.saturating_add(ends.saturating_sub(1));
    }

    /// The next line of a reply, or None until more bytes come.
    ///
    /// # Errors
    /// [`ServerFault::NotAReply`], [`ServerFault::LineTooLong`], [`ServerFault::ReplyTooLong`];
    /// the reader is then of no further use, and returns None.
    pub fn next_line(&mut self) -> Option<Result<ReplyLine, ServerFault>> {
        let within = self.held.get(..self.line_bytes).unwrap_or(&self.held);
        let end = if self.ends > 0 {
            within.iter().position(|byte| *byte == b'\n')
        } else {
            None
        };
        let Some(end) = end else {
            let is_too_long = !self.held.is_empty() && self.held.len() >= self.line_bytes;
            return is_too_long.then(|| Err(self.fail(ServerFault::LineTooLong)));
        };
        let raw = self.held.split_to(end.saturating_add(1)).freeze();
        self.ends = self.ends.saturating_sub(1);
        Some(self.line(&raw).map_err(|fault| self.fail(fault)))
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

    /// Whether a reply has begun and not ended: a byte of it has come that was not yet returned,
    /// or its last line has not.
    pub fn in_reply(&self) -> bool {
        self.open.is_some() || !self.held.is_empty()
    }

    /// What `raw`, a line with its end, is in the reply that it belongs to.
    ///
    /// # Errors
    /// [`ServerFault::NotAReply`], [`ServerFault::ReplyTooLong`].
    fn line(&mut self, raw: &Bytes) -> Result<ReplyLine, ServerFault> {
        let taken = self.open.map_or(0, |(_, taken)| taken);
        let taken = taken.saturating_add(raw.len());
        if taken > self.reply_bytes {
            return Err(ServerFault::ReplyTooLong);
        }
        // ProFTPD and BSD answer a Telnet DO with `FF FC 01` right before the code.
        let stripped = raw.slice_ref(skip_telnet(raw));
        let head = Head::parse(&stripped);
        let (code, first, last) = match (self.open, head) {
            (None, None) => return Err(ServerFault::NotAReply),
            (None, Some(head)) => (head.code, true, !head.continues),
            // RFC 959 §4.2: "the last line will begin with the same code, followed immediately
            // by Space <SP>"; between them anything may stand, other codes included.
            (Some((code, _)), Some(head)) => (code, false, head.code == code && !head.continues),
            (Some((code, _)), None) => (code, false, false),
        };
        self.open = (!last).then_some((code, taken));
        let bytes = if first || last { &stripped } else { raw };
        Ok(ReplyLine {
            code,
            first,
            last,
            bytes: clean(bytes),
        })
    }

    /// Drops everything for good.
    fn fail(&mut self, fault: ServerFault) -> ServerFault {
        self.failed = true;
        self.held = BytesMut::new();
        self.ends = 0;
        self.open = None;
        fault
    }
}

/// The beginning of a line that may begin or end a reply.
struct Head {
    /// The code.
    code: Code,
    /// Whether a hyphen follows it.
    continues: bool,
}

impl Head {
    /// The head of `line`: three digits, then a blank, a hyphen or the line's end, which some
    /// servers put there when they have nothing to say.
    fn parse(line: &[u8]) -> Option<Self> {
        let (digits, rest) = line.split_first_chunk::<3>()?;
        let continues = match rest {
            [b'-', ..] => true,
            [b' ', ..] | b"\r\n" | b"\n" => false,
            _ => return None,
        };
        Code::parse(*digits).map(|code| Self { code, continues })
    }
}

/// `line` without the Telnet commands that it begins with. A truncated one stays.
fn skip_telnet(mut line: &[u8]) -> &[u8] {
    loop {
        line = match line {
            [IAC, WILL..=DONT, _, rest @ ..] | [IAC, SE..=GA, rest @ ..] => rest,
            [IAC, SB, rest @ ..] => {
                let end = rest.windows(2).position(|pair| pair == [IAC, SE]);
                match end.and_then(|end| rest.get(end.saturating_add(2)..)) {
                    Some(rest) => rest,
                    None => return line,
                }
            }
            _ => return line,
        };
    }
}

/// `line` with NUL and every CR but the one of its end made `?`, so that a client cannot see a
/// line where the gateway saw none.
fn clean(line: &Bytes) -> Bytes {
    let content = line.strip_suffix(b"\n").unwrap_or(line);
    let content = content.strip_suffix(b"\r").unwrap_or(content);
    if !content.iter().any(|byte| matches!(byte, b'\r' | 0)) {
        return line.clone();
    }
    let mut cleaned = BytesMut::with_capacity(line.len());
    cleaned.extend(content.iter().map(|byte| match byte {
        b'\r' | 0 => b'?',
        other => *other,
    }));
    cleaned.put_slice(line.get(content.len()..).unwrap_or_default());
    cleaned.freeze()
}

/// A one-line reply in the gateway's own words: `code text` and CR LF. What could end the line
/// early in `text` is made `?`.
pub fn render(code: u16, text: &str) -> Bytes {
    let mut line = BytesMut::new();
    put(&mut line, code, text);
    line.freeze()
}

/// The three digits of `code`; of a larger number the last three.
fn digits(code: u16) -> [u8; 3] {
    [code / 100, code / 10, code].map(|number| {
        let digit = u8::try_from(number % 10).unwrap_or_default();
        b'0'.saturating_add(digit)
    })
}

/// Whether `byte` could end a line early, for some reader.
const fn ends_a_line(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n' | 0)
}

/// Appends to `lines` what [`render`] gives.
pub fn put(lines: &mut BytesMut, code: u16, text: &str) {
    lines.reserve(text.len().saturating_add(6));
    lines.put_slice(&digits(code));
    lines.put_u8(b' ');
    if text.bytes().any(ends_a_line) {
        for byte in text.bytes() {
            lines.put_u8(if ends_a_line(byte) { b'?' } else { byte });
        }
    } else {
        lines.put_slice(text.as_bytes());
    }
    lines.put_slice(b"\r\n");
}

/// The directory that a 257 states, as bytes: first quote to last, quotes undoubled; None where
/// that is ambiguous or missing (RFC 959 appendix II).
///
/// Pure-FTPd does not double quotes: a lone one inside says that the text cannot be trusted.
pub fn directory(line: &[u8]) -> Option<Bytes> {
    let first = line.iter().position(|byte| *byte == b'"')?;
    let last = line.iter().rposition(|byte| *byte == b'"')?;
    let mut quoted = line.get(first.saturating_add(1)..last)?;
    let mut directory = BytesMut::with_capacity(quoted.len());
    loop {
        quoted = match quoted {
            [] => break,
            [b'"', b'"', rest @ ..] => {
                directory.put_u8(b'"');
                rest
            }
            [b'"', ..] => return None,
            [byte, rest @ ..] => {
                directory.put_u8(*byte);
                rest
            }
        };
    }
    (!directory.is_empty()).then(|| directory.freeze())
}
