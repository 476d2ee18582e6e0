//! What would happen to commands, found out by the judge that would decide.
//!
//! Owns the situation in which commands are tried and what is told of each. Must not know how
//! it is shown.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::Loaded;
use crate::ftp::command::{Command, Name};
use crate::ftp::verb::Verb;
use crate::policy::verdict::{Action, RuleId};
use crate::policy::{Dialect, Judge, Query, RuleInfo, Verdict};
use crate::settings::{Listener, Upstream};

/// Who tries commands, from where, in which directory and when.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Situation {
    /// The name that is logged in.
    pub user: String,
    /// The client's address.
    pub client: IpAddr,
    /// The directory that the server states after login.
    pub directory: Option<String>,
    /// Seconds since 1970-01-01 UTC.
    pub unix_time: i64,
}

/// What would happen to one command.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The command as it was written.
    pub command: String,
    /// What is done with it; None where it is no command at all.
    pub action: Option<Action>,
    /// What the client is answered, where the gateway answers: code and text.
    pub reply: Option<(u16, String)>,
    /// What decided.
    pub decided: Option<RuleInfo>,
    /// What the observed policy would have decided.
    pub observed: Option<RuleInfo>,
    /// The path that was judged.
    pub path: Option<String>,
}

impl Explanation {
    /// Whether the command goes on, or is answered by the operator's wish.
    pub const fn is_allowed(&self) -> bool {
        matches!(self.action, Some(Action::Allow | Action::Answer))
    }
}

/// Tries `commands`, one after the other, at the listener.
pub fn rehearse(
    loaded: &Loaded,
    listener: &Listener,
    situation: &Situation,
    commands: &[String],
) -> Vec<Explanation> {
    let Some(judge) = judge(loaded, listener) else {
        return Vec::new();
    };
    let mut renaming: Option<Bytes> = None;
    commands
        .iter()
        .map(|written| {
            let line = Bytes::copy_from_slice(written.as_bytes());
            let command = match Command::parse(&line) {
                Ok(command) => command,
                Err(fault) => return refused_line(written, fault.answer()),
            };
            let tried = (command.name == Name::Known(Verb::User)).then(|| command.argument_bytes());
            let query = Query {
                command: &command,
                user: Some(tried.unwrap_or(situation.user.as_bytes())),
                client: situation.client,
                directory: situation.directory.as_deref().map(str::as_bytes),
                home: situation.directory.as_deref().map(str::as_bytes),
                renaming: renaming.as_deref(),
                unix_time: situation.unix_time,
            };
            let judgement = judge.decide(&query);
            if command.name == Name::Known(Verb::Rnfr) {
                renaming.clone_from(&judgement.path);
            }
            let info = |id: Option<RuleId>| id.map(|id| loaded.policies.rule(id).clone());
            let (action, reply) = match judgement.verdict {
                Verdict::Answer(reply) => (Action::Answer, Some(reply)),
                Verdict::Close(reply) => (Action::Disconnect, Some(reply)),
                Verdict::Deny(reply) => (Action::Deny, Some(reply)),
                Verdict::Forward(_) => (Action::Allow, None),
            };
            Explanation {
                command: written.clone(),
                action: Some(action),
                reply: reply.map(|reply| (reply.code, reply.text.to_string())),
                decided: info(judgement.upstream.or(judgement.decided)),
                observed: info(judgement.observed),
                path: judgement
                    .path
                    .map(|path| String::from_utf8_lossy(&path).into_owned()),
            }
        })
        .collect()
}

/// A line that is no command.
fn refused_line(
    written: &str,
    (code, text, _): (u16, &str, crate::ftp::misbehaviour::Fate),
) -> Explanation {
    Explanation {
        command: written.to_owned(),
        action: None,
        reply: Some((code, text.to_owned())),
        decided: None,
        observed: None,
        path: None,
    }
}

/// The judge of a session at `listener`.
fn judge(loaded: &Loaded, listener: &Listener) -> Option<Judge> {
    let upstream: &Upstream = loaded.settings.upstreams.get(&listener.upstream)?;
    let policies = &loaded.policies;
    let dialect = Dialect {
        system: upstream.system,
        symlinks: upstream.symlinks,
        path_bytes: upstream.path_bytes,
    };
    Some(Judge::new(
        Arc::clone(policies.get(&listener.policy)?),
        Arc::clone(policies.get(&upstream.policy)?),
        listener
            .observe
            .as_ref()
            .and_then(|name| policies.get(name))
            .map(Arc::clone),
        dialect,
        upstream.unsupported.clone(),
    ))
}
