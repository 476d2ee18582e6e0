//! One client line as a command: verb, subcommand word, argument.
//!
//! Owns the grammar of a command and its canonical encoding, which is all that a server ever
//! receives of it. Must not know policy or the session's state. Arguments stay bytes.

use std::borrow::Cow;
use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

use super::foreign;
use super::misbehaviour::ClientFault;
use super::subcommand::{self, FILETYPE, words};
use super::verb::{self, Argument, Group, Paths, Row, SiteRow, Verb};

#[cfg(test)]
mod tests;

/// The shortest and the longest verb, in bytes.
const VERB_BYTES: std::ops::RangeInclusive<usize> = 2..=12;

/// The verb of a command: one of the table, or a well-formed one that the table does not have.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd)]
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

impl fmt::Debug for Name {
    /// Writes a verb of the table, and no other: `PASShunter2` is well formed (law L4).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.known().map_or("other", Verb::name))
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
    /// [`ClientFault::Nul`] for a NUL; [`ClientFault::BareCr`] for a CR, and for an LF, which no
    /// line has; [`ClientFault::ControlByte`] for another control byte but TAB in an argument
    /// that is no secret, for a TAB at a subcommand, and for a backslash at one of SITE.
    pub fn parse(line: &Bytes) -> Result<Self, ClientFault> {
        let end = line
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(line.len());
        let spelling = line.slice(..end);
        // ProFTPD takes TAB, VT and FF for the blank behind a verb: here they are part of it.
        let name = Name::parse(&spelling);
        if name.as_ref().and_then(Name::known).is_none() && foreign::is_strange(&spelling, line) {
            return Err(ClientFault::CrossProtocol);
        }
        if line.contains(&0) {
            return Err(ClientFault::Nul);
        }
        if line.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
            return Err(ClientFault::BareCr);
        }
        let name = name.ok_or(ClientFault::BadVerb)?;
        let rest = line.slice(end.saturating_add(1).min(line.len())..);
        let argument = match name.known() {
            // RFC 959 gives PASS a mandatory argument, devices send it empty: `PASS ` stays so.
            Some(Verb::Pass) => (end < line.len()).then_some(rest),
            Some(verb) if ignores_blanks(verb) => {
                // Blanks behind a verb without argument run on four servers and fail on others.
                let is_blank = rest.iter().all(|byte| matches!(byte, b' ' | b'\t'));
                if is_blank && rest.contains(&b'\t') {
                    return Err(ClientFault::BadVerb);
                }
                (!is_blank).then_some(rest)
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

    /// Whether the argument has a control byte other than TAB, which is legal in a name, or a TAB
    /// at a subcommand, which some servers take for a blank: `SITE CHMOD<TAB>777 x` would be
    /// CHMOD there, and another subcommand here. So would `SITE "CH\MOD"777 x` at ProFTPD, which
    /// unquotes words.
    fn has_control_byte(&self) -> bool {
        let argument = self.argument_bytes();
        let takes_word = self.name.known().is_some_and(verb::takes_word);
        let is_site = self.name == Name::Known(Verb::Site);
        let is_doubtful = |word: &[u8]| word.contains(&b'\t') || is_site && word.contains(&b'\\');
        (takes_word && words(argument).next().is_some_and(is_doubtful))
            || argument
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
    /// where there is no word. Pure-FTPd's CHMOD is SITE with the word `CHMOD`; what z/OS writes
    /// as `SITE RECFM=FB` has the word `RECFM`, and `FILETYPE` wherever that stands.
    pub fn word(&self) -> Option<&[u8]> {
        let verb = self.name.known()?;
        if let Some(verb::Alias::Subcommand(_, word)) = verb.row().alias {
            return Some(word.as_bytes());
        }
        if !verb::takes_word(verb) {
            return None;
        }
        let first = words(self.argument_bytes()).next()?;
        if verb == Verb::Site {
            Some(self.parameter().unwrap_or(first))
        } else {
            Some(first)
        }
    }

    /// Whether some server may read a subcommand of SITE in it whose name `is_wanted`: as the first
    /// word, strictly or leniently, or as a parameter with a value behind it.
    pub fn may_name(&self, is_wanted: impl Fn(&[u8]) -> bool) -> bool {
        if self.judged() != Some(Verb::Site) {
            return false;
        }
        let strict = self.word();
        if strict.is_some_and(&is_wanted) {
            return true;
        }
        // Of Pure-FTPd's CHMOD the argument has no subcommand.
        self.name == Name::Known(Verb::Site)
            && words(self.argument_bytes())
                .enumerate()
                .any(|(position, word)| {
                    let name = subcommand::lenient_name(word);
                    let may_be_one = position == 0 || subcommand::assigns(word, name);
                    may_be_one && strict != Some(name) && is_wanted(name)
                })
    }

    /// The name of SITE's first parameter, or FILETYPE.
    ///
    /// z/OS takes several parameters in one line and abbreviates them, and FILETYPE among them
    /// submits jobs: it is never hidden behind a harmless one. A word with `=` is no parameter
    /// where a path or a secret stands.
    fn parameter(&self) -> Option<&[u8]> {
        let argument = self.argument_bytes();
        let first = words(argument).next()?;
        if !argument.contains(&b'=') {
            return Some(first);
        }
        let name = first
            .split(|byte| *byte == b'=')
            .next()
            .filter(|name| !name.is_empty())?;
        let takes_other =
            verb::site(name).is_some_and(|row| row.paths != Paths::None || row.secret);
        if !takes_other && words(argument).any(sets_file_type) {
            return Some(FILETYPE);
        }
        Some(name)
    }

    /// The verb that policy judges: aliases resolved, Pure-FTPd's CHMOD as SITE.
    pub fn judged(&self) -> Option<Verb> {
        let verb = self.name.canonical()?;
        match verb.row().alias {
            Some(verb::Alias::Subcommand(verb, _)) => Some(verb),
            Some(verb::Alias::Verb(_)) | None => Some(verb),
        }
    }

    /// What follows the verb, or the subcommand of SITE and OPTS and the blanks behind it: the
    /// value of a rule's `argument`.
    pub fn value(&self) -> &[u8] {
        let argument = self.argument_bytes();
        if !matches!(self.name, Name::Known(Verb::Site | Verb::Opts)) {
            return argument;
        }
        let start = argument.trim_ascii_start();
        let Some(own) = self.word() else {
            return start;
        };
        match start.split_at_checked(own.len()) {
            Some((word, value)) if word.eq_ignore_ascii_case(own) => value.trim_ascii_start(),
            // The subcommand is not the first word: nothing of the argument is left out.
            Some(_) | None => start,
        }
    }

    /// [`Command::value`] as the server receives it: of TYPE, MODE and STRU in upper case, with one blank
    /// between words.
    pub fn sent_value(&self) -> Cow<'_, [u8]> {
        if !self.name.known().is_some_and(is_canonical) {
            return self.value().into();
        }
        let words: Vec<Vec<u8>> = words(self.argument_bytes())
            .map(<[u8]>::to_ascii_uppercase)
            .collect();
        words.join(&b' ').into()
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
        self.timed_path().is_some()
    }

    /// The path of an MDTM that sets a time: what follows the first blank behind it.
    pub fn timed_path(&self) -> Option<&[u8]> {
        if self.name != Name::Known(Verb::Mdtm) {
            return None;
        }
        // Servers that skip more blanks than one see the same name: they count as well.
        let rest = skip_time(self.argument_bytes().trim_ascii_start())?;
        let (blank, path) = rest.split_first()?;
        if !matches!(blank, b' ' | b'\t') {
            return None;
        }
        (!path.trim_ascii().is_empty()).then_some(path)
    }

    /// The path of an MDTM in which one server sees a time to be set, and others a name that begins with
    /// a digit: vsftpd takes eight bytes before the first blank, fourteen, or fourteen and a fraction,
    /// of which the first alone must be a digit.
    pub fn doubtful_path(&self) -> Option<&[u8]> {
        if self.name != Name::Known(Verb::Mdtm) || self.sets_time() {
            return None;
        }
        let argument = self.argument_bytes().trim_ascii_start();
        let blank = argument.iter().position(|byte| *byte == b' ')?;
        let has_fraction = blank > 15 && argument.get(14) == Some(&b'.');
        let is_time =
            argument.first()?.is_ascii_digit() && (matches!(blank, 8 | 14) || has_fraction);
        let path = argument.get(blank..)?.get(1..)?;
        (is_time && !path.trim_ascii().is_empty()).then_some(path)
    }

    /// Of MFF with facts that a subcommand of SITE sets as well, those subcommands:
    /// `MFF UNIX.mode=0644; x` is `SITE CHMOD 0644 x`.
    pub fn site_changes(&self) -> Vec<Self> {
        if self.name != Name::Known(Verb::Mff) {
            return Vec::new();
        }
        let argument = self.argument_bytes();
        let end = argument.iter().position(|byte| *byte == b' ');
        let (facts, path) = argument.split_at(end.unwrap_or(argument.len()));
        let changes = facts.split(|byte| *byte == b';').filter_map(|fact| {
            let mut halves = fact.splitn(2, |byte| *byte == b'=');
            let (name, value) = (halves.next()?.to_ascii_lowercase(), halves.next()?);
            let subcommand: &[u8] = match name.strip_prefix(b"unix.")? {
                b"mode" => b"CHMOD ",
                [b'g', ..] => b"CHGRP ",
                _ => b"CHOWN ",
            };
            Some(Self {
                name: Name::Known(Verb::Site),
                spelling: Bytes::from_static(b"SITE"),
                argument: Some([subcommand, value, path].concat().into()),
            })
        });
        changes.collect()
    }

    /// The plain groups of this command, by what it does: STAT with an argument is a listing,
    /// MDTM with a time changes the file.
    pub fn groups(&self) -> &'static [Group] {
        match self.judged() {
            Some(Verb::Stat) if self.argument.is_some() => &[Group::List],
            Some(Verb::Mdtm) if self.sets_time() || self.doubtful_path().is_some() => {
                &[Group::Modify]
            }
            Some(verb) => verb.row().groups,
            None => &[],
        }
    }

    /// Whether the argument, or what follows a subcommand that some server may read in it, is a
    /// secret of the built-in list.
    pub fn is_secret(&self) -> bool {
        let is_secret_word = |name: &[u8]| verb::site(name).is_some_and(|row| row.secret);
        self.row().is_some_and(|row| row.secret) || self.may_name(is_secret_word)
    }

    /// The line that a server receives: the verb in the client's letter case, one blank and the
    /// argument if any, CR LF; TYPE, MODE and STRU in upper case; `FF` doubled for Telnet
    /// (RFC 854). None when the argument holds CR, LF or NUL or the spelling is not the name's,
    /// which [`Command::parse`] excludes.
    pub fn encode(&self) -> Option<Bytes> {
        self.encode_in(&mut BytesMut::new())
    }

    /// The same, made in `lines`, whose memory serves again when the line is dropped.
    pub fn encode_in(&self, lines: &mut BytesMut) -> Option<Bytes> {
        let argument = self.argument.as_deref();
        let splits = |bytes: &[u8]| bytes.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0));
        if argument.is_some_and(splits)
            || !self.spelling.iter().all(u8::is_ascii_alphanumeric)
            || !self
                .spelling
                .eq_ignore_ascii_case(self.name.as_str().as_bytes())
        {
            return None;
        }
        let canonical = self.name.known().is_some_and(is_canonical);
        let length = self
            .spelling
            .len()
            .saturating_add(self.argument_bytes().len());
        lines.reserve(length.saturating_add(3));
        if canonical {
            lines.put_slice(self.name.as_str().as_bytes());
            put_canonical_value(lines, self.argument_bytes());
        } else {
            lines.put_slice(&self.spelling);
            if let Some(argument) = argument {
                lines.put_u8(b' ');
                put_doubled(lines, argument.iter().copied());
            }
        }
        lines.put_slice(b"\r\n");
        Some(lines.split().freeze())
    }
}

/// Whether `word` is z/OS's `FILEtype=x`, of which the small letters may be left out.
fn sets_file_type(word: &[u8]) -> bool {
    let mut parts = word.splitn(2, |byte| *byte == b'=');
    parts.next().is_some_and(subcommand::is_filetype) && parts.next().is_some()
}

/// Whether blanks alone are no argument of `verb`: it has none, or it is sent in canonical form.
fn ignores_blanks(verb: Verb) -> bool {
    verb.row().argument == Argument::None || is_canonical(verb)
}

/// Whether the value of `verb` is sent in upper case with single blanks.
const fn is_canonical(verb: Verb) -> bool {
    matches!(verb, Verb::Type | Verb::Mode | Verb::Stru)
}

/// What follows a time of RFC 3659 §2.3, fraction included, and a zone (`+60`, `-300`) if any.
fn skip_time(text: &[u8]) -> Option<&[u8]> {
    let (time, rest) = text.split_at_checked(14)?;
    if !time.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let rest = rest.strip_prefix(b".").map_or(rest, skip_digits);
    match rest {
        [b'+' | b'-', zone @ ..] => Some(skip_digits(zone)),
        _ => Some(rest),
    }
}

/// What follows the digits that `text` begins with.
fn skip_digits(text: &[u8]) -> &[u8] {
    let end = text.iter().position(|byte| !byte.is_ascii_digit());
    end.and_then(|end| text.get(end..)).unwrap_or_default()
}

/// Appends the words of `value` in upper case, each behind one blank.
fn put_canonical_value(line: &mut BytesMut, value: &[u8]) {
    for word in words(value) {
        line.put_u8(b' ');
        put_doubled(line, word.iter().map(u8::to_ascii_uppercase));
    }
}

/// Appends `bytes` with each `FF` doubled.
fn put_doubled(line: &mut BytesMut, bytes: impl Iterator<Item = u8>) {
    for byte in bytes {
        line.put_u8(byte);
        if byte == 0xFF {
            line.put_u8(0xFF);
        }
    }
}

impl fmt::Debug for Command {
    /// Writes the verb and the argument; secrets are three stars (law L4), and so is whatever
    /// follows an unknown verb, which may be a mistyped PASS.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.name)?;
        match &self.argument {
            Some(_) if self.is_secret() || self.row().is_none() => formatter.write_str(" ***"),
            Some(argument) => write!(formatter, " {argument:?}"),
            None => Ok(()),
        }
    }
}
