//! All policies that speak on one session's commands, as one judge.
//!
//! Owns the order in which the gateway's own refusals, the listener's policy and the upstream's
//! are asked.

use std::net::IpAddr;

use super::verdict::Judgement;
use crate::ftp::command::{Command, Name};

/// How a server reads paths and user names (`system`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum System {
    /// Data sets of z/OS.
    Mvs,
    /// Slashes, letter case matters.
    #[default]
    Unix,
    /// Backslashes are slashes, letter case does not matter.
    Windows,
}

/// How a server's paths are read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Dialect {
    /// `system`.
    pub system: System,
    /// `symlinks`: whether a `..` behind a name is undecidable.
    pub symlinks: bool,
    /// `path_bytes`: the longest absolute path.
    pub path_bytes: usize,
}

/// What a decision depends on, beside the policy.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The command.
    pub command: &'a Command,
    /// The name being tried on USER, PASS and ACCT, afterwards the one logged in.
    pub user: Option<&'a [u8]>,
    /// Who dialled us.
    pub client: IpAddr,
    /// The working directory as the server stated it, raw.
    pub directory: Option<&'a [u8]>,
    /// The directory that the server stated right after login, raw.
    pub home: Option<&'a [u8]>,
    /// The normalised path of a pending RNFR, for RNTO; None where it was unsure.
    pub renaming: Option<&'a [u8]>,
    /// The time of day: seconds since 1970-01-01 UTC.
    pub unix_time: i64,
}

/// All that judges the commands of a session.
#[derive(Debug)]
pub struct Judge {
    _private: (),
}

impl Judge {
    /// A judge of a listener's and an upstream's policies.
    pub fn new(
        _listener: std::sync::Arc<super::Policy>,
        _upstream: std::sync::Arc<super::Policy>,
        _observed: Option<std::sync::Arc<super::Policy>>,
        _dialect: Dialect,
        _unsupported: Vec<Name>,
    ) -> Self {
        todo!()
    }

    /// Judges `query`. Order: `never` and `unsupported` (502), the listener's policy, the
    /// upstream's. QUIT and NOOP are always permitted.
    pub fn decide(&self, _query: &Query<'_>) -> Judgement {
        todo!()
    }

    /// Whether the decision depends on the working directory (or the home directory), which is
    /// then to be asked of the server first if `query` does not have it.
    pub fn needs_directory(&self, _query: &Query<'_>) -> bool {
        todo!()
    }

    /// Whether any policy mentions `{home}`: it is to be learnt right after login.
    pub fn uses_home(&self) -> bool {
        todo!()
    }

    /// Whether a command could be allowed for this user and client at this time, with some path
    /// and argument. `word` is the subcommand or value. For FEAT and HELP.
    pub fn could_allow(
        &self,
        _name: &Name,
        _word: Option<&str>,
        _user: Option<&[u8]>,
        _client: IpAddr,
        _unix_time: i64,
    ) -> bool {
        todo!()
    }

    /// Whether the server lacks `name` (`unsupported`).
    pub fn is_unsupported(&self, _name: &Name) -> bool {
        todo!()
    }
}
