//! What a rule asks of the channels that a command uses: `tls`, `tls_version` and
//! `client_certificate`.
//!
//! Owns which channels a command uses, and what they lack. Nothing is ever unsure of a command: a
//! channel is under TLS or it is not. Of commands to come it is: see [`Outlook`].

use super::glob::Glob;
use super::judge::{Outlook, Query};
use super::names::{Key, Subject};
use super::path::pattern::Outcome;
use crate::ftp::security::TlsVersion;
use crate::ftp::verb::Verb;

/// The conditions of a rule on channels.
#[derive(Clone, Debug, Default)]
pub(super) struct Security {
    /// `tls`.
    pub(super) tls: Option<bool>,
    /// `tls_version`: the least.
    pub(super) version: Option<TlsVersion>,
    /// `client_certificate`.
    pub(super) certificates: Vec<Glob>,
}

/// What the channels of a command lack for a rule. Of two the first decides the reply: where PROT
/// P alone would do for one rule, nothing else is asked for.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Lack {
    /// PROT P, for a transfer: all else is as it must be.
    PrivateData,
    /// TLS on the control connection.
    Tls,
    /// A newer version of it.
    Version,
    /// A certificate of the client's, or another one.
    Certificate,
}

impl Lack {
    /// The key of the condition that asks for it.
    pub const fn condition(self) -> &'static str {
        match self {
            Self::PrivateData | Self::Tls => "tls",
            Self::Version => "tls_version",
            Self::Certificate => "client_certificate",
        }
    }

    /// One sentence for an operator, without a full stop.
    pub const fn describe(self) -> &'static str {
        match self {
            Self::PrivateData => "the data connection is in clear: PROT P is missing",
            Self::Tls => "the control connection is in clear",
            Self::Version => "the control connection has an older version of TLS",
            Self::Certificate => "the client showed no such certificate",
        }
    }
}

/// How the channels of a command meet the conditions of a rule.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fit {
    /// They do.
    Holds,
    /// They do not, and the client could do something about it.
    Lacks(Lack),
    /// They are under TLS where they should not be: nobody is asked to give it up.
    Protected,
}

impl Security {
    /// Whether it asks for nothing.
    pub(super) const fn is_empty(&self) -> bool {
        self.tls.is_none() && self.asks_nothing_of_tls()
    }

    /// Whether it asks for no version and no certificate, which only TLS has.
    const fn asks_nothing_of_tls(&self) -> bool {
        self.version.is_none() && self.certificates.is_empty()
    }

    /// Whether it asks for channels that are in clear.
    pub(super) fn wants_clear(&self) -> bool {
        self.tls == Some(false)
    }

    /// Whether it asks for clear channels and for what only TLS has: a transfer alone can have
    /// both, on two channels.
    pub(super) fn wants_both(&self) -> bool {
        self.wants_clear() && !self.asks_nothing_of_tls()
    }

    /// Whether the channels of `query` are as it asks.
    pub(super) fn fit(&self, query: &Query<'_>) -> Fit {
        let lack = missing(query);
        if self.wants_clear() && lack.is_none() {
            return Fit::Protected;
        }
        let Some(version) = query.channels.control else {
            let asks = self.tls == Some(true) || !self.asks_nothing_of_tls();
            return if asks {
                Fit::Lacks(Lack::Tls)
            } else {
                Fit::Holds
            };
        };
        if self.version.is_some_and(|least| version < least) {
            return Fit::Lacks(Lack::Version);
        }
        if !self.accepts(query.channels.certificate) {
            return Fit::Lacks(Lack::Certificate);
        }
        match lack {
            Some(lack) if self.tls == Some(true) => Fit::Lacks(lack),
            Some(_) | None => Fit::Holds,
        }
    }

    /// Whether the certificate with this subject is one that it asks for.
    fn accepts(&self, subject: Option<&str>) -> bool {
        let named = |subject| {
            let mut globs = self.certificates.iter();
            globs.any(|glob| glob.matches(subject, false))
        };
        self.certificates.is_empty() || subject.is_some_and(named)
    }

    /// Whether it will hold of commands like `subject` in a session with this outlook.
    pub(super) fn prospect(&self, subject: &Subject<'_>, outlook: Outlook<'_>) -> Outcome {
        let transfers = matches!(subject.key, Key::Known(verb) if verb.transfers());
        if self.wants_both() && !transfers {
            return Outcome::Fails;
        }
        let protected = match outlook {
            Outlook::Clear => Outcome::Fails,
            Outlook::Secured { .. } if !transfers => Outcome::Holds,
            // PROT may be given at any time.
            Outlook::Open | Outlook::Secured { .. } => Outcome::Unsure,
        };
        let tls = match (self.tls, protected) {
            (Some(true), protected) => protected,
            (None, _) | (Some(false), Outcome::Fails) => Outcome::Holds,
            (Some(false), Outcome::Holds) => Outcome::Fails,
            (Some(false), Outcome::Unsure) => Outcome::Unsure,
        };
        let rest = match outlook {
            _ if self.asks_nothing_of_tls() => Outcome::Holds,
            Outlook::Clear => Outcome::Fails,
            Outlook::Open => Outcome::Unsure,
            Outlook::Secured {
                version,
                certificate,
            } => {
                let is_new = self.version.is_none_or(|least| version >= least);
                Outcome::certain(is_new && self.accepts(certificate))
            }
        };
        tls.min(rest)
    }

    /// Whether it holds whenever `later` does, `certificates` apart.
    pub(super) fn subsumes(&self, later: &Self) -> bool {
        let tls = self.tls.is_none() || self.tls == later.tls;
        let version = match (self.version, later.version) {
            (None, _) => true,
            // Every TLS has the oldest version at least.
            (Some(TlsVersion::V1_2), None) => {
                later.tls == Some(true) || !later.certificates.is_empty()
            }
            (Some(_), None) => false,
            (Some(earlier), Some(later)) => earlier <= later,
        };
        tls && version
    }
}

/// What is in clear of the channels that the command of `query` uses.
pub(super) fn missing(query: &Query<'_>) -> Option<Lack> {
    if query.channels.control.is_none() {
        return Some(Lack::Tls);
    }
    let transfers = query.command.judged().is_some_and(Verb::transfers);
    (transfers && !query.channels.data).then_some(Lack::PrivateData)
}

#[cfg(test)]
mod tests;
