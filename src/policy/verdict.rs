//! What policy says of a command, and the proof that a line may be forwarded.
//!
//! Owns [`Permit`], which nothing outside `policy` can make: law L1 is a type.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

use super::security::Lack;

/// Proof that policy allowed a line, and the line itself, encoded: the only way in which
/// anything of a client reaches a server.
#[derive(Eq, PartialEq)]
pub struct Permit {
    /// The encoded line.
    line: Bytes,
}

impl fmt::Debug for Permit {
    /// The line may be a PASS: nothing of it is shown (law L4).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Permit").finish_non_exhaustive()
    }
}

impl Permit {
    /// Only `policy` permits.
    pub(super) const fn new(line: Bytes) -> Self {
        Self { line }
    }

    /// The line to write, its CR LF included.
    pub fn line(&self) -> &Bytes {
        &self.line
    }

    /// The same, for who writes it.
    pub fn into_line(self) -> Bytes {
        self.line
    }
}

/// A reply that policy gives: final, one line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// Its code.
    pub code: u16,
    /// Its text.
    pub text: Text,
}

/// The text of a reply.
#[derive(Clone, Eq, PartialEq)]
pub enum Text {
    /// The gateway's own words.
    Own(&'static str),
    /// The operator's.
    Written(Arc<str>),
}

impl fmt::Debug for Text {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Own(text) => text,
            Self::Written(text) => text,
        }
    }
}

/// The longest text of a reply that an operator may write, in bytes.
const TEXT_MAX: usize = 400;

/// Why a reply was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum ReplyFault {
    /// Not three digits, then a blank and a text or nothing.
    #[error("it is not a code of three digits and a text")]
    Form,
    /// A control character, or too long a text.
    #[error("its text has a control character or more than {TEXT_MAX} bytes")]
    Text,
}

impl Reply {
    /// The gateway's own words for `code` (RFC 959 §4.2).
    pub(super) const fn own(code: u16) -> Self {
        Self {
            code,
            text: Text::Own(own_text(code)),
        }
    }

    /// What a login is refused with, whatever of it was refused (RFC 2577 §7).
    pub const fn login_incorrect() -> Self {
        Self {
            code: 530,
            text: Text::Own("Login incorrect."),
        }
    }

    /// Reads `550 No.` or `550`, which is given the gateway's own words.
    ///
    /// # Errors
    /// Any [`ReplyFault`].
    pub(super) fn parse(written: &str) -> Result<Self, ReplyFault> {
        let (digits, text) = written.split_at_checked(3).ok_or(ReplyFault::Form)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ReplyFault::Form);
        }
        let code = digits.parse().map_err(|_| ReplyFault::Form)?;
        if text.is_empty() {
            return Ok(Self::own(code));
        }
        let text = text.strip_prefix(' ').ok_or(ReplyFault::Form)?.trim();
        if text.is_empty() {
            return Ok(Self::own(code));
        }
        if text.len() > TEXT_MAX || text.chars().any(char::is_control) {
            return Err(ReplyFault::Text);
        }
        Ok(Self {
            code,
            text: Text::Written(text.into()),
        })
    }
}

/// The gateway's own words for a code; none of them echoes what a client sent.
const fn own_text(code: u16) -> &'static str {
    match code {
        202 => "Command not implemented, superfluous at this site.",
        421 => "Service not available, closing control connection.",
        450 => "Requested file action not taken.",
        500 => "Syntax error, command unrecognized.",
        501 => "Syntax error in parameters or arguments.",
        502 => "Command not implemented.",
        503 => "Bad sequence of commands.",
        504 => "Command not implemented for that parameter.",
        530 => "Not logged in.",
        553 => "Requested action not taken, file name not allowed.",
        200..300 => "Command okay.",
        300..400 => "Further information required.",
        400..500 => "Requested action not taken, try again later.",
        _ => "Requested action not taken.",
    }
}

/// What is to be done with a command.
#[derive(Debug)]
pub enum Verdict {
    /// The gateway answers; not a refusal.
    Answer(Reply),
    /// The gateway answers and closes.
    Close(Reply),
    /// Refused with this reply.
    Deny(Reply),
    /// It may go on.
    Forward(Permit),
}

/// The names of [`Verdict`]s, for counters and the audit.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Action {
    /// Forwarded.
    Allow,
    /// Answered by the gateway.
    Answer,
    /// Refused.
    Deny,
    /// Refused and closed.
    Disconnect,
}

impl Action {
    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Answer => "answer",
            Self::Deny => "deny",
            Self::Disconnect => "disconnect",
        }
    }

    /// Whether it keeps a command from the server.
    pub const fn withholds(self) -> bool {
        match self {
            Self::Allow => false,
            Self::Answer | Self::Deny | Self::Disconnect => true,
        }
    }
}

/// Which [`super::PolicySet`] of this process it is: no two of them have the same.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SetId(u64);

impl SetId {
    /// One that no set has had.
    pub(super) fn next() -> Self {
        static GIVEN: AtomicU64 = AtomicU64::new(0);
        Self(GIVEN.fetch_add(1, Ordering::Relaxed))
    }
}

/// Which way of deciding it was, in which set: after a reload a number alone would be another's.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RuleId {
    /// The set.
    set: SetId,
    /// The index into its rules.
    index: usize,
}

impl RuleId {
    /// The way of `set` with this index.
    pub(super) const fn new(set: SetId, index: usize) -> Self {
        Self { set, index }
    }

    /// The set that it is of.
    pub const fn set(self) -> SetId {
        self.set
    }

    /// The index into [`super::PolicySet::rules`] of that set.
    pub const fn index(self) -> usize {
        self.index
    }
}

/// What policy said of one command, and why.
#[derive(Debug)]
pub struct Judgement {
    /// What is to be done.
    pub verdict: Verdict,
    /// What decided; None for what policy does not see (QUIT, NOOP) and for what is refused
    /// before policy is asked (`never`, `unsupported`).
    pub decided: Option<RuleId>,
    /// What the upstream's policy decided, where it was asked.
    pub upstream: Option<RuleId>,
    /// What the observed policy would have decided.
    pub observed: Option<RuleId>,
    /// The absolute, normalised path that was judged, where the command has one with certainty;
    /// the first of two.
    pub path: Option<Bytes>,
    /// What the client's channels lacked, where a rule would have let the command pass but for
    /// that, or refused it for that.
    pub lack: Option<Lack>,
}

#[cfg(test)]
mod tests;
