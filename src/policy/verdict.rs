//! What policy says of a command, and the proof that a line may be forwarded.
//!
//! Owns [`Permit`], which nothing outside `policy` can make: law L1 is a type.

use bytes::Bytes;

/// Proof that policy allowed a line, and the line itself, encoded: the only way in which
/// anything of a client reaches a server.
#[derive(Debug, Eq, PartialEq)]
pub struct Permit {
    /// The encoded line.
    line: Bytes,
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
}

/// A reply that policy gives: final, one line.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    /// Its code.
    pub code: u16,
    /// Its text.
    pub text: std::sync::Arc<str>,
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
}

/// Which way of deciding it was: an index into [`super::PolicySet::rules`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct RuleId(pub(super) u32);

impl RuleId {
    /// The index into [`super::PolicySet::rules`].
    pub const fn index(self) -> usize {
        self.0 as usize
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
}
