//! One client line as a command: verb, subcommand word, argument.
//!
//! Owns the grammar of a command and its canonical encoding, which is all that a server ever
//! receives of it. Must not know policy or the session's state. Arguments stay bytes.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::misbehaviour::ClientFault;
use super::verb::{self, Argument, Group, Row, SiteRow, Verb};

/// The shortest and the longest verb, in bytes.
const VERB_BYTES: std::ops::RangeInclusive<usize> = 2..=12;

/// What a TLS record with a handshake in it begins with.
pub(super) const TLS_RECORD: [u8; 2] = [0x16, 0x03];

/// The verb of a command: one of the table, or a well-formed one that the table does not have.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Name {
    /// A verb of the table, as the client named it: XMKD stays XMKD.
    Known(Verb),
    /// Another well-formed verb, in upper case.
    Other(Box<str>),
}

impl Name {
    /// The verb spelled `name`, which must be well formed: two to twelve ASCII letters and
    /// digits, begun by a letter.
    pub fn parse(name: &[u8]) -> Option<Self> {
        if !VERB_BYTES.contains(&name.len())
            || !name.first()?.is_ascii_alphabetic()
            || !name.iter().all(u8::is_ascii_alphanumeric)
        {
            return None;
        }
        if let Some(verb) = Verb::parse(name) {
            return Some(Self::Known(verb));
        }
        let text = std::str::from_utf8(name).ok()?;
        Some(Self::Other(text.to_ascii_uppercase().into()))
    }

    /// The verb in upper case.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(verb) => verb.name(),
            Self::Other(name) => name,
        }
    }

    /// The verb of the table, if it is one.
    pub const fn known(&self) -> Option<Verb> {
        match self {
            Self::Known(verb) => Some(*verb),
            Self::Other(_) => None,
        }
    }

    /// The verb of the table with aliases resolved (XMKD is MKD), if it is one.
    pub fn canonical(&self) -> Option<Verb> {
        self.known().map(Verb::canonical)
    }
}

/// A command that a client sent, well formed, with its argument in bytes.
#[derive(Clone, Eq, PartialEq)]
pub struct Command {
    /// The verb.
    pub name: Name,
    /// The verb's letters as the client wrote them.
    pub spelling: Bytes,
    /// What follows the verb's blank, unchanged and undoubled; never empty: a blank with nothing
    /// behind it is no argument, PASS apart, whose empty argument is kept.
    pub argument: Option<Bytes>,
}

impl Command {
    /// Parses a line that has its end, its Telnet commands and its doubled `FF` removed.
    ///
    /// # Errors
    /// [`ClientFault::BadVerb`] for anything that is not a verb followed by the end or one
    /// blank; [`ClientFault::CrossProtocol`] for a line of another protocol;
    /// [`ClientFault::Nul`] for a NUL; [`ClientFault::ControlByte`] for another control byte
    /// but TAB in an argument that is no secret.
    pub fn parse(line: &Bytes) -> Result<Self, ClientFault> {
        let end = line
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(line.len());
        let spelling = line.slice(..end);
        let name = Name::parse(&spelling);
        if is_cross_protocol(line) {
            return Err(ClientFault::CrossProtocol);
        }
        if line.contains(&0) {
            return Err(ClientFault::Nul);
        }
        let name = name.ok_or(ClientFault::BadVerb)?;
        let rest = line.slice(end.saturating_add(1).min(line.len())..);
        let known = name.known();
        let argument = match known.map(|verb| (verb, verb.row())) {
            // RFC 959 gives PASS a mandatory argument, devices send it empty: `PASS ` stays so.
            Some((Verb::Pass, _)) => (end < line.len()).then_some(rest),
            Some((_, row)) if row.argument == Argument::None => {
                // Blanks behind a verb without argument run on four servers and fail on others.
                let only_blanks = rest.iter().all(|byte| *byte == b' ');
                (!only_blanks).then_some(rest)
            }
            Some(_) | None => (!rest.is_empty()).then_some(rest),
        };
        let command = Self {
            name,
            spelling,
            argument,
        };
        if !command.is_password() && command.has_control_byte() {
            return Err(ClientFault::ControlByte);
        }
        Ok(command)
    }

    /// Whether the argument may hold any byte but CR, LF and NUL.
    const fn is_password(&self) -> bool {
        matches!(self.name, Name::Known(Verb::Pass | Verb::Acct))
    }

    /// Whether the argument has a control byte other than TAB, which is legal in a name.
    fn has_control_byte(&self) -> bool {
        self.argument_bytes()
            .iter()
            .any(|byte| byte.is_ascii_control() && *byte != b'\t')
    }

    /// The argument, empty where there is none.
    pub fn argument_bytes(&self) -> &[u8] {
        self.argument.as_deref().unwrap_or_default()
    }

    /// The verb's row, if the table has it.
    pub fn row(&self) -> Option<&'static Row> {
        self.name.known().map(Verb::row)
    }

    /// The first word of the argument of SITE, OPTS, TYPE, MODE and STRU, and of their aliases:
    /// skips leading blanks and is cut at the next blank; not folded. None for other verbs and
    /// where there is no word. Pure-FTPd's CHMOD is SITE with the word `CHMOD`.
    pub fn word(&self) -> Option<&[u8]> {
        let verb = self.name.known()?;
        if let Some(verb::Alias::Subcommand(_, word)) = verb.row().alias {
            return Some(word.as_bytes());
        }
        if !verb::takes_word(verb) {
            return None;
        }
        let rest = self.argument_bytes().trim_ascii_start();
        let end = rest
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(rest.len());
        rest.get(..end).filter(|word| !word.is_empty())
    }

    /// The verb that policy judges: aliases resolved, Pure-FTPd's CHMOD as SITE.
    pub fn judged(&self) -> Option<Verb> {
        let verb = self.name.canonical()?;
        match verb.row().alias {
            Some(verb::Alias::Subcommand(verb, _)) => Some(verb),
            Some(verb::Alias::Verb(_)) | None => Some(verb),
        }
    }

    /// What follows the verb, or behind the subcommand of SITE and OPTS: the value of a rule's
    /// `argument`. Leading blanks behind the subcommand are skipped up to one word.
    pub fn value(&self) -> &[u8] {
        let argument = self.argument_bytes();
        if !matches!(self.name, Name::Known(Verb::Site | Verb::Opts)) {
            return argument;
        }
        let start = argument.trim_ascii_start();
        let word = start
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(start.len());
        start
            .get(word..)
            .map(<[u8]>::trim_ascii_start)
            .unwrap_or_default()
    }

    /// The row of the SITE subcommand, if it is one of the table.
    pub fn site_row(&self) -> Option<&'static SiteRow> {
        if self.judged() != Some(Verb::Site) {
            return None;
        }
        verb::site(self.word()?)
    }

    /// Whether MDTM is of the form that sets a time: fourteen digits, a blank and a name
    /// (Serv-U and its like).
    pub fn sets_time(&self) -> bool {
        self.name == Name::Known(Verb::Mdtm)
            && self
                .argument_bytes()
                .split_at_checked(14)
                .is_some_and(|(time, rest)| {
                    time.iter().all(u8::is_ascii_digit)
                        && matches!(rest, [b' ', name, ..] if *name != b' ')
                        || time.iter().all(u8::is_ascii_digit) && sets_time_with_zone(rest)
                })
    }

    /// The plain groups of this command, by what it does: STAT with an argument is a listing,
    /// MDTM with a time changes the file.
    pub fn groups(&self) -> &'static [Group] {
        match self.judged() {
            Some(Verb::Stat) if self.argument.is_some() => &[Group::List],
            Some(Verb::Mdtm) if self.sets_time() => &[Group::Modify],
            Some(verb) => verb.row().groups,
            None => &[],
        }
    }

    /// Whether the argument, or what follows the subcommand, is a secret of the built-in list.
    pub fn is_secret(&self) -> bool {
        self.row().is_some_and(|row| row.secret) || self.site_row().is_some_and(|row| row.secret)
    }

    /// The line that a server receives: the verb in the client's letter case, one blank and the
    /// argument if any, CR LF; TYPE, MODE and STRU in upper case; `FF` doubled for Telnet
    /// (RFC 854). None when the argument holds CR, LF or NUL, which [`Command::parse`] excludes.
    pub fn encode(&self) -> Option<Bytes> {
        let argument = self.argument.as_deref();
        if argument
            .unwrap_or_default()
            .iter()
            .any(|byte| matches!(byte, b'\r' | b'\n' | 0))
        {
            return None;
        }
        let canonical = matches!(self.name, Name::Known(Verb::Type | Verb::Mode | Verb::Stru));
        let length = self
            .spelling
            .len()
            .saturating_add(self.argument_bytes().len());
        let mut line = BytesMut::with_capacity(length.saturating_add(3));
        if canonical {
            line.put_slice(self.name.as_str().as_bytes());
        } else {
            line.put_slice(&self.spelling);
        }
        if let Some(argument) = argument {
            line.put_u8(b' ');
            if canonical {
                put_canonical_value(&mut line, argument);
            } else {
                put_doubled(&mut line, argument);
            }
        }
        line.put_slice(b"\r\n");
        Some(line.freeze())
    }
}

/// Whether `rest`, behind fourteen digits, is a zone (`+60`, `-300`), a blank and a name.
fn sets_time_with_zone(rest: &[u8]) -> bool {
    let [b'+' | b'-', zone @ ..] = rest else {
        return false;
    };
    let digits = zone.iter().take_while(|byte| byte.is_ascii_digit()).count();
    digits > 0 && matches!(zone.get(digits..), Some([b' ', name, ..]) if *name != b' ')
}

/// Appends words in upper case with one blank between them.
fn put_canonical_value(line: &mut BytesMut, value: &[u8]) {
    let mut first = true;
    for word in value
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty())
    {
        if !first {
            line.put_u8(b' ');
        }
        first = false;
        line.extend(word.iter().map(u8::to_ascii_uppercase));
    }
}

/// Appends `bytes` with each `FF` doubled.
fn put_doubled(line: &mut BytesMut, bytes: &[u8]) {
    for byte in bytes {
        line.put_u8(*byte);
        if *byte == 0xFF {
            line.put_u8(0xFF);
        }
    }
}

/// Whether a line is one of HTTP, TLS, SSH, SMTP or RTSP: only when its verb is not in the table,
/// for `STOR notes on HTTP/1.1` names a file.
pub(super) fn is_cross_protocol(line: &[u8]) -> bool {
    const VERBS: [&[u8]; 13] = [
        b"GET",
        b"POST",
        b"PUT",
        b"HEAD",
        b"OPTIONS",
        b"CONNECT",
        b"DELETE",
        b"PATCH",
        b"TRACE",
        b"PROPFIND",
        b"EHLO",
        b"HELO",
        b"RTSP",
    ];
    let verb = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    if Verb::parse(verb).is_some() {
        return false;
    }
    VERBS.iter().any(|other| other.eq_ignore_ascii_case(verb))
        || line.starts_with(b"SSH-")
        || line.starts_with(&TLS_RECORD)
        || line
            .last_chunk::<8>()
            .is_some_and(|tail| tail.starts_with(b"HTTP/") || tail.starts_with(b"RTSP/"))
}

impl fmt::Debug for Command {
    /// Writes the verb and the argument; secrets are three stars (law L4).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name.as_str())?;
        match &self.argument {
            Some(_) if self.is_secret() => formatter.write_str(" ***"),
            Some(argument) => write!(formatter, " {argument:?}"),
            None => Ok(()),
        }
    }
}
