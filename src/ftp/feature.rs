//! What a line of a FEAT reply promises, and the words of a HELP reply.
//!
//! Owns the map from feature labels to commands (RFC 2389 §3.2 and the de-facto labels). Must
//! not know what policy says of them.

use std::ops::{Range, RangeInclusive};

use bytes::Bytes;

use super::verb::{Forward, Verb};

#[cfg(test)]
mod tests;

/// The shortest and the longest word of a HELP reply that may be a verb or a subcommand, in
/// bytes; CHECKMETHOD of wu-ftpd has eleven.
const HELP_WORD_BYTES: RangeInclusive<usize> = 2..=12;

/// What must be allowed for a feature line to stay.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Needs {
    /// Always stays.
    Nothing,
    /// All of these verbs.
    Verbs(&'static [Verb]),
    /// MDTM as a write.
    SettingMdtm,
    /// These words behind a verb: `SITE CHMOD`, `OPTS UTF8`, `MODE Z`; all of them.
    Words(Verb, &'static [&'static str]),
    /// A SITE subcommand, named on the line itself.
    Site,
    /// The gateway's own abilities decide, not the server's line (TLS labels).
    Gateway,
    /// Always goes: the gateway cannot carry it.
    Never,
    /// A label that the gateway does not know.
    Unknown,
}

/// The label of a feature line: its first word, without the blanks, a `211-` or tabs before it,
/// and what it needs. Labels have no letter case (RFC 2389 §3.2); this one is as it was written.
pub fn needs(line: &[u8]) -> (Bytes, Needs) {
    let (label, rest) = split_label(line);
    let value = first_word(rest);
    let needs = match label.to_ascii_uppercase().as_slice() {
        b"TVFS" => Needs::Nothing,
        // RFC 3659 §7.8: the one line stands for both.
        b"MLST" => Needs::Verbs(&[Verb::Mlst, Verb::Mlsd]),
        // Serv-U: `MDTM YYYYMMDDHHMMSS[+-TZ];filename`.
        b"MDTM" if !value.is_empty() => Needs::SettingMdtm,
        b"UTF8" => Needs::Words(Verb::Opts, &["UTF8"]),
        b"MODE" if value.eq_ignore_ascii_case(b"Z") => Needs::Words(Verb::Mode, &["Z"]),
        // Pure-FTPd.
        b"IDLE" => Needs::Words(Verb::Site, &["IDLE"]),
        // ProFTPD: what a server without the verb does in two steps is behind the same label.
        b"SITE" if value.eq_ignore_ascii_case(b"COPY") => {
            Needs::Words(Verb::Site, &["COPY", "CPFR", "CPTO"])
        }
        b"SITE" if !value.is_empty() => Needs::Site,
        b"ADAT" => Needs::Gateway,
        other => of_verb(other),
    };
    (Bytes::copy_from_slice(label), needs)
}

/// What the label that is a verb's name needs.
fn of_verb(label: &[u8]) -> Needs {
    let verb = Verb::ALL
        .iter()
        .find(|verb| verb.name().as_bytes() == label);
    match verb.map(|verb| (verb, verb.row().forward)) {
        Some((verb, Forward::Named | Forward::Yes)) => Needs::Verbs(std::slice::from_ref(verb)),
        Some((_, Forward::Gateway)) => Needs::Gateway,
        Some((_, Forward::Never)) => Needs::Never,
        None => Needs::Unknown,
    }
}

/// The subcommands that a `SITE x` line names, as they were written: one, or several with semicolons
/// between (Serv-U's `SITE PSWD;SET;ZONE`). None of another line.
pub fn site_words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (label, rest) = split_label(line);
    let words = if label.eq_ignore_ascii_case(b"SITE") {
        first_word(rest)
    } else {
        &[]
    };
    words
        .split(|byte| *byte == b';')
        .filter(|word| !word.is_empty())
}

/// The words of a line of a HELP reply that may be verbs or subcommands: `[A-Z][A-Z0-9]{1,11}\*?`
/// between blanks, as ranges into `line`. A star, which marks what the server does not implement,
/// is in its word's range; the code at the line's start is in none.
pub fn help_words(line: &[u8]) -> Vec<Range<usize>> {
    words(line)
        .filter(|range| line.get(range.clone()).is_some_and(is_help_word))
        .collect()
}

/// Whether a line of a HELP reply tells how to use its first word, instead of listing words: it
/// stands or goes as a whole, like `UTIME <sp> YYYYMMDDhhmm[ss] <sp> path`.
pub fn is_usage(line: &[u8]) -> bool {
    let mut words = words(line).filter_map(|range| line.get(range));
    // IIS puts its star behind a blank.
    words.next().is_some_and(is_help_word) && !words.all(|word| is_help_word(word) || word == b"*")
}

/// Whether `word` has the shape of a verb in upper case, perhaps with a star.
fn is_help_word(word: &[u8]) -> bool {
    let name = word.strip_suffix(b"*").unwrap_or(word);
    HELP_WORD_BYTES.contains(&name.len())
        && name.first().is_some_and(u8::is_ascii_uppercase)
        && name
            .iter()
            .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
}

/// The words of `line` behind its reply code, as ranges into it.
fn words(line: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let code = match line {
        [b'0'..=b'9', b'0'..=b'9', b'0'..=b'9', b'-' | b' ', ..] => 4,
        _ => 0,
    };
    let mut start = code;
    line.get(code..)
        .unwrap_or_default()
        .split(u8::is_ascii_whitespace)
        .map(move |word| {
            let range = start..start.saturating_add(word.len());
            start = range.end.saturating_add(1);
            range
        })
        .filter(|range| !range.is_empty())
}

/// The label of a feature line, and what follows it. RFC 2389 §3.2 puts one blank before it, old
/// Microsoft servers four, others tabs or a `211-`.
fn split_label(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.strip_prefix(b"211-").unwrap_or(line).trim_ascii();
    line.split_at_checked(first_word(line).len())
        .unwrap_or((line, &[]))
}

/// The first word of `text`, blanks before it skipped.
fn first_word(text: &[u8]) -> &[u8] {
    text.trim_ascii_start()
        .split(u8::is_ascii_whitespace)
        .next()
        .unwrap_or_default()
}
