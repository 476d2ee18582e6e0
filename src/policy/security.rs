//! What a rule asks of the channels that a command uses: `tls`, `tls_version` and
//! `client_certificate`.
//!
//! Owns which channels a command uses. Nothing here is ever unsure: a channel is under TLS or it
//! is not.

use super::glob::Glob;
use super::judge::{Channels, Query};
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

impl Security {
    /// Whether it asks for nothing.
    pub(super) const fn is_empty(&self) -> bool {
        self.tls.is_none() && self.version.is_none() && self.certificates.is_empty()
    }

    /// Whether it asks for channels that are in clear.
    pub(super) fn wants_clear(&self) -> bool {
        self.tls == Some(false)
    }

    /// Whether the channels of `query` are as it asks.
    pub(super) fn holds(&self, query: &Query<'_>) -> bool {
        let Channels {
            control,
            certificate,
            ..
        } = query.channels;
        let protected = is_protected(query);
        self.tls.is_none_or(|wanted| wanted == protected)
            && self
                .version
                .is_none_or(|least| control.is_some_and(|version| version >= least))
            && (self.certificates.is_empty()
                || certificate.is_some_and(|subject| {
                    let mut globs = self.certificates.iter();
                    globs.any(|glob| glob.matches(subject, false))
                }))
    }

    /// Whether it holds whenever `later` does, `certificates` apart.
    pub(super) fn subsumes(&self, later: &Self) -> bool {
        let tls = self.tls.is_none() || self.tls == later.tls;
        let version = match (self.version, later.version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(earlier), Some(later)) => earlier <= later,
        };
        tls && version
    }
}

/// Whether every channel that the command of `query` uses is under TLS.
fn is_protected(query: &Query<'_>) -> bool {
    query.channels.control.is_some() && !lacks_private_data(query)
}

/// Whether the command of `query` moves data over a connection that is in clear.
pub(super) fn lacks_private_data(query: &Query<'_>) -> bool {
    !query.channels.data && query.command.judged().is_some_and(Verb::transfers)
}

#[cfg(test)]
mod tests;
