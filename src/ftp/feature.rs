//! What a line of a FEAT reply promises, and the words of a HELP reply.
//!
//! Owns the map from feature labels to commands (RFC 2389 §3.2 and the de-facto labels). Must
//! not know what policy says of them.

use bytes::Bytes;

use super::verb::Verb;

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
/// and what it needs.
pub fn needs(_line: &[u8]) -> (Bytes, Needs) {
    todo!()
}

/// The words of a line of a HELP reply that may be verbs or subcommands: `[A-Z][A-Z0-9]{1,9}\*?`
/// between blanks, as ranges into `line`.
pub fn help_words(_line: &[u8]) -> Vec<std::ops::Range<usize>> {
    todo!()
}
