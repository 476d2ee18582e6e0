//! An independent reader of what a client says: lines, and the commands in them.
//!
//! Written from the reference, not from the program: what it takes for one command is what the
//! program must take for one.

use ftpwarden::ftp::verb::Verb;

/// So many bytes of a line that is too long are passed over before the session is to end.
const PASSED_OVER: usize = 64 * 1024;

/// So many empty lines in a row are borne.
const EMPTY_LINES: usize = 16;

/// Words that begin a line of another protocol.
const FOREIGN: [&str; 14] = [
    "CONNECT", "DELETE", "EHLO", "GET", "HEAD", "HELO", "OPTIONS", "PATCH", "POST", "PROPFIND",
    "PROXY", "PUT", "RTSP", "TRACE",
];

/// Verbs that have no argument: blanks behind them mean nothing.
const BARE: [&str; 20] = [
    "REIN", "QUIT", "CCC", "FEAT", "SYST", "NOOP", "NOP", "PASV", "LPSV", "CDUP", "PWD", "ABOR",
    "XCUP", "XPWD", "CPSV", "ESTA", "APSV", "XDBG", "ESTP", "ABOR",
];

/// A command as a client spelled it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Spoken {
    /// The verb in upper case.
    pub(crate) verb: String,
    /// The verb as it was written.
    pub(crate) spelled: Vec<u8>,
    /// What follows its blank.
    pub(crate) argument: Option<Vec<u8>>,
}

impl Spoken {
    /// The one line that a server may receive of it.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        let mut line = Vec::new();
        let argument = self.argument.clone().unwrap_or_default();
        if ["TYPE", "MODE", "STRU"].contains(&self.verb.as_str()) {
            line.extend(self.verb.bytes());
            for word in argument.split(|byte| *byte == b' ') {
                if !word.is_empty() {
                    line.push(b' ');
                    line.extend(double(&word.to_ascii_uppercase()));
                }
            }
        } else {
            line.extend(&self.spelled);
            if self.argument.is_some() {
                line.push(b' ');
                line.extend(double(&argument));
            }
        }
        line.extend(b"\r\n");
        line
    }

    /// The argument as text, where it is there and plain.
    pub(crate) fn text(&self) -> &str {
        self.argument
            .as_deref()
            .and_then(|bytes| std::str::from_utf8(bytes).ok())
            .unwrap_or_default()
    }
}

/// `bytes` with each `FF` doubled.
fn double(bytes: &[u8]) -> Vec<u8> {
    bytes
        .iter()
        .flat_map(|byte| std::iter::repeat_n(*byte, if *byte == 0xFF { 2 } else { 1 }))
        .collect()
}

/// What a line says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Said {
    /// A command.
    Command(Spoken),
    /// No command.
    Fault,
}

/// A line that is owed a reply, and its length on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// What it says.
    pub(crate) said: Said,
    /// How long it is.
    pub(crate) length: usize,
}

/// Cuts what a client says into lines.
#[derive(Debug)]
pub(crate) struct Framing {
    /// The longest line.
    limit: usize,
    /// What is no line yet.
    held: Vec<u8>,
    /// So many bytes more of a line that is too long.
    passing: Option<usize>,
    /// Empty lines in a row.
    empty: usize,
}

impl Framing {
    /// Of lines of at most `limit` bytes.
    pub(crate) const fn new(limit: usize) -> Self {
        Self {
            limit,
            held: Vec::new(),
            passing: None,
            empty: 0,
        }
    }

    /// Whether nothing is held.
    pub(crate) const fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// How much is held.
    pub(crate) const fn held(&self) -> usize {
        self.held.len()
    }

    /// The lines that `bytes` end, and that are owed a reply.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Line> {
        self.held.extend_from_slice(bytes);
        let mut lines = Vec::new();
        while let Some(line) = self.next() {
            match line.said {
                None if self.empty < EMPTY_LINES => self.empty += 1,
                said => {
                    if said.is_some() {
                        self.empty = 0;
                    }
                    lines.push(Line {
                        said: said.unwrap_or(Said::Fault),
                        length: line.length,
                    });
                }
            }
        }
        lines
    }

    /// The next line; None in it is an empty one.
    fn next(&mut self) -> Option<Raw> {
        if let Some(room) = self.passing {
            let within = &self.held[..self.held.len().min(room)];
            if let Some(end) = within.iter().position(|byte| *byte == b'\n') {
                self.held.drain(..=end);
                self.passing = None;
            } else {
                let length = within.len();
                self.held.drain(..length);
                let over = length == room;
                self.passing = Some(if over { usize::MAX } else { room - length });
                return over.then(|| Raw::fault(length));
            }
        }
        if self.held.starts_with(&[0x16, 0x03]) {
            self.held.drain(..2);
            self.passing = Some(PASSED_OVER);
            return Some(Raw::fault(2));
        }
        let within = &self.held[..self.held.len().min(self.limit)];
        if let Some(end) = within.iter().position(|byte| *byte == b'\n') {
            let raw: Vec<u8> = self.held.drain(..=end).collect();
            let said = read(&raw, self.limit);
            return Some(Raw {
                said,
                length: raw.len(),
            });
        }
        if self.held.len() < self.limit || self.held.is_empty() {
            return None;
        }
        self.held.drain(..self.limit);
        self.passing = Some(PASSED_OVER);
        Some(Raw::fault(self.limit))
    }
}

/// A line as it is cut.
struct Raw {
    /// What it says; None where it is empty.
    said: Option<Said>,
    /// How long it is.
    length: usize,
}

impl Raw {
    /// No command.
    const fn fault(length: usize) -> Self {
        Self {
            said: Some(Said::Fault),
            length,
        }
    }
}

/// What a line with its end says.
fn read(raw: &[u8], limit: usize) -> Option<Said> {
    let content = raw.strip_suffix(b"\n").unwrap();
    let mut content = content.strip_suffix(b"\r").unwrap_or(content);
    if content.len() + 2 > limit {
        return Some(Said::Fault);
    }
    // Telnet: the Synch of an ABOR, and options, come before a command or not at all.
    loop {
        content = match content {
            [0xFF, 0xF4 | 0xF2, rest @ ..]
            | [0xFF, 0xFB..=0xFE, _, rest @ ..]
            | [0xF2, rest @ ..] => rest,
            _ => break,
        };
    }
    let mut line = Vec::new();
    let mut rest = content;
    while let [byte, behind @ ..] = rest {
        rest = behind;
        if *byte == 0xFF {
            // Doubled it is a byte of data.
            let Some(behind) = rest.strip_prefix(&[0xFF]) else {
                return Some(Said::Fault);
            };
            rest = behind;
        }
        line.push(*byte);
    }
    if line.contains(&b'\r') {
        return Some(Said::Fault);
    }
    if line.iter().all(|byte| *byte == b' ') {
        return None;
    }
    Some(command(&line).map_or(Said::Fault, Said::Command))
}

/// The command in `line`, if it is one.
fn command(line: &[u8]) -> Option<Spoken> {
    let end = line
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(line.len());
    let (spelled, rest) = line.split_at(end);
    if is_foreign(line, spelled) || line.contains(&0) {
        return None;
    }
    let formed = (2..=12).contains(&spelled.len())
        && spelled[0].is_ascii_alphabetic()
        && spelled.iter().all(u8::is_ascii_alphanumeric);
    if !formed {
        return None;
    }
    let verb = String::from_utf8(spelled.to_ascii_uppercase()).unwrap();
    let rest = rest.strip_prefix(b" ");
    let blanks = BARE.contains(&verb.as_str()) || ["TYPE", "MODE", "STRU"].contains(&&*verb);
    let argument = match rest {
        None => None,
        Some(rest) if verb == "PASS" => Some(rest.to_vec()),
        Some(rest) if blanks && rest.iter().all(|byte| matches!(byte, b' ' | b'\t')) => {
            if rest.contains(&b'\t') {
                return None;
            }
            None
        }
        Some(rest) => (!rest.is_empty()).then(|| rest.to_vec()),
    };
    let spoken = Spoken {
        verb,
        spelled: spelled.to_vec(),
        argument,
    };
    (!has_control(&spoken)).then_some(spoken)
}

/// Whether a command has a byte that servers read in different ways.
fn has_control(spoken: &Spoken) -> bool {
    let verb = spoken.verb.as_str();
    if ["PASS", "ACCT"].contains(&verb) {
        return false;
    }
    let argument = spoken.argument.as_deref().unwrap_or_default();
    let takes_word = ["SITE", "OPTS", "TYPE", "MODE", "STRU"].contains(&verb);
    let mut words = argument.split(|byte| *byte == b' ');
    let first = words.find(|word| !word.is_empty()).unwrap_or_default();
    takes_word && first.contains(&b'\t')
        || verb == "SITE" && first.contains(&b'\\')
        || argument
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
}

/// Whether a line is one of another protocol.
fn is_foreign(line: &[u8], first: &[u8]) -> bool {
    if Verb::parse(first).is_some() {
        return false;
    }
    let tail = &line[line.len().saturating_sub(8)..];
    FOREIGN
        .iter()
        .any(|word| first.eq_ignore_ascii_case(word.as_bytes()))
        || line.starts_with(b"SSH-")
        || line.starts_with(&[0x16, 0x03])
        || tail.len() == 8 && (tail.starts_with(b"HTTP/") || tail.starts_with(b"RTSP/"))
}
