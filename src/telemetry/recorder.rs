//! One session's facts as numbers, log lines and audit events.
//!
//! Owns what each fact becomes. Must not decide anything: a session does the same whether or not
//! anybody watches. No secret gets through (law L4): a line that was no command, or whose verb
//! the table does not have and the server did not take, may be a password with a slip of the
//! finger, and its argument is not told; nor is its verb, unless its client is logged in and it is like no
//! verb behind which a password stands.

use std::borrow::Cow;
use std::cell::LazyCell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use bytes::Bytes;

use super::audit::{self, CommandEvent, Decision, EndEvent, LoginEvent, TransferEvent};
use super::escape::escape;
use super::metrics::{Mode, PolicyTable, RuleRow, leg_name};
use super::status::{Entry, Transfer};
use super::{Telemetry, clock, log};
use crate::ftp::command::Name;
use crate::ftp::misbehaviour::ServerFault;
use crate::ftp::security::TlsVersion;
use crate::ftp::verb::{Verb, may_hold_secret};
use crate::policy::PolicySet;
use crate::policy::verdict::RuleId;
use crate::session::event::{CloseReason, DataOutcome, LoginOutcome, TransferOutcome};
use crate::session::{Channel, CommandRecord, Direction, Fact, Leg, Outcome};
use crate::tls::fault::HandshakeFault;
use crate::tls::peer::Peer;

/// What stands for a secret.
const SECRET: &str = "***";

/// How many sets of policies a session may have been judged by while one command was in work, and
/// still tell by which rule it was: a transfer may outlast some reloads.
const FORMER_MAX: usize = 16;

/// What stands for a verb that the table does not have, where it must not be told.
const OTHER: &str = "other";

/// Turns one session's facts into numbers, lines and events; dropping it ends the session.
#[derive(Debug)]
pub struct SessionRecorder {
    /// Where all of it goes.
    telemetry: Arc<Telemetry>,
    /// What `/status` shows.
    entry: Arc<Entry>,
    /// The handles of the policies in force.
    policies: Arc<PolicyTable>,
    /// Those of former policies by which a command may have been judged that is not told of yet,
    /// the oldest first.
    former: Vec<Arc<PolicyTable>>,
    /// Who is logged in, escaped.
    user: Option<Arc<str>>,
    /// The client's TLS.
    tls: Option<Box<Security>>,
    /// Why the session ends.
    reason: Option<CloseReason>,
    /// The kinds of the server's faults that were warned of, a bit for each.
    warned: u16,
}

/// The TLS of a client's control connection.
#[derive(Debug)]
struct Security {
    /// Its version.
    version: TlsVersion,
    /// The subject of the client's certificate, escaped.
    certificate: Option<Arc<str>>,
}

/// A log line of this session: level, recorder, message, further fields.
macro_rules! say {
    ($level:ident, $recorder:expr, $message:literal $(, $field:ident = $value:expr)* $(,)?) => {
        tracing::$level!(
            session = $recorder.entry.id(),
            listener = &*$recorder.entry.listener.name,
            client = %$recorder.entry.client.ip().to_canonical(),
            user = $recorder.user.as_deref(),
            $($field = $value,)*
            $message
        )
    };
}

impl SessionRecorder {
    /// Begins a session.
    pub(super) fn begin(
        telemetry: Arc<Telemetry>,
        entry: Arc<Entry>,
        policies: Arc<PolicyTable>,
    ) -> Self {
        entry.listener.sessions.increment(1.0);
        entry.listener.sessions_total.increment(1);
        let recorder = Self {
            telemetry,
            entry,
            policies,
            former: Vec::new(),
            user: None,
            tls: None,
            reason: None,
            warned: 0,
        };
        say!(
            info,
            recorder,
            "session began",
            port = recorder.entry.client.port(),
            upstream = &*recorder.entry.upstream.name,
        );
        recorder
    }

    /// Warns of a fault of the server's, once for each kind: what a server does once it often does
    /// with every command, and how often is told by the metrics.
    fn warn_of_server(&mut self, fault: ServerFault) {
        let (kind, upstream) = (fault.kind(), &*self.entry.upstream.name);
        const { assert!(ServerFault::ALL.len() <= 16, "a bit for each") };
        let bit = 1_u16 << fault as u16;
        if self.warned & bit == 0 {
            say!(
                warn,
                self,
                "the server broke the protocol",
                kind = kind,
                upstream = upstream
            );
        } else {
            say!(
                debug,
                self,
                "the server broke the protocol",
                kind = kind,
                upstream = upstream
            );
        }
        self.warned |= bit;
    }

    /// The session's id, unique across restarts.
    pub fn id(&self) -> String {
        self.entry.id()
    }

    /// Takes one fact.
    pub fn note(&mut self, fact: &Fact) {
        match *fact {
            Fact::ClientFault(fault) => {
                self.telemetry.metrics.client_fault(fault);
                say!(
                    info,
                    self,
                    "the client broke the protocol",
                    kind = fault.kind()
                );
            }
            Fact::Closing(reason) => {
                self.reason.get_or_insert(reason);
            }
            Fact::Command(ref record) => {
                self.command(record);
                self.forget_former(record);
            }
            Fact::DataConnection { leg, form, outcome } => {
                self.telemetry.metrics.data_connection(leg, form, outcome);
                let mode = form.name();
                if outcome == DataOutcome::Stranger {
                    say!(
                        warn,
                        self,
                        "a stranger's data connection was reset",
                        leg = leg_name(leg),
                        mode = mode
                    );
                } else {
                    say!(
                        debug,
                        self,
                        "data connection",
                        leg = leg_name(leg),
                        mode = mode,
                        result = outcome.name()
                    );
                }
            }
            Fact::Greeted => say!(debug, self, "the server greeted"),
            Fact::HandshakeTimeout { leg, channel } => {
                self.handshake(leg, channel, Err(HandshakeFault::Timeout));
            }
            Fact::Login { ref user, outcome } => self.login(user, outcome),
            Fact::Reply { code, origin } => self.entry.listener.reply(code, origin),
            Fact::ServerFault(fault) => {
                self.telemetry.metrics.server_fault(fault);
                self.warn_of_server(fault);
            }
            Fact::ServerReply { code } => self.entry.upstream.reply(code),
            Fact::TransferBegan {
                direction,
                ref name,
                ref path,
                offset,
            } => self.transfer_began(direction, name, path.as_ref(), offset),
            Fact::TransferEnded {
                direction,
                ref name,
                ref argument,
                ref directory,
                ref path,
                bytes,
                took,
                outcome,
            } => self.transfer_ended(&Ended {
                direction,
                name,
                argument: argument.as_ref(),
                directory: directory.as_ref(),
                path: path.as_ref(),
                bytes,
                took,
                outcome,
            }),
            Fact::UserVoided => self.set_user(None),
        }
    }

    /// A TLS handshake ended.
    pub fn handshake(&mut self, leg: Leg, channel: Channel, result: Result<&Peer, HandshakeFault>) {
        let metrics = &self.telemetry.metrics;
        let on = channel.name();
        let resumed = match result {
            Ok(peer) => peer.resumed,
            Err(fault) => fault != HandshakeFault::NotResumed,
        };
        if (leg, channel) == (Leg::Client, Channel::Data) && !resumed {
            self.entry.listener.not_resumed();
        }
        match result {
            Ok(peer) => {
                metrics.handshake(leg, channel, Ok((peer.version, peer.resumed)));
                if (leg, channel) == (Leg::Client, Channel::Control) {
                    let subject = peer.subject.as_deref().map(|text| escape(text.as_bytes()));
                    self.tls = Some(Box::new(Security {
                        version: peer.version,
                        certificate: subject.map(|text| text.into_owned().into()),
                    }));
                    self.entry.state().tls = Some(peer.version);
                }
                say!(
                    debug,
                    self,
                    "TLS handshake",
                    leg = leg_name(leg),
                    channel = on,
                    version = peer.version.name(),
                    cipher = &*peer.cipher,
                    resumed = peer.resumed,
                );
            }
            Err(fault) => {
                metrics.handshake(leg, channel, Err(fault.name()));
                say!(
                    warn,
                    self,
                    "TLS handshake failed",
                    leg = leg_name(leg),
                    channel = on,
                    reason = fault.name(),
                    why = fault.to_string(),
                );
            }
        }
    }

    /// The session's policies changed. What was judged before is told by the former ones.
    pub fn judge_changed(&mut self, policies: &Arc<PolicySet>) {
        if self.policies.is_of(policies.id()) {
            return;
        }
        let next = self.telemetry.policy_table(policies);
        self.former
            .push(std::mem::replace(&mut self.policies, next));
        if self.former.len() > FORMER_MAX {
            // A command that has been in work for so long was judged by the first of them.
            self.former.remove(1);
        }
    }

    /// Forgets the policies before those by which the command of `record` was judged. Commands are
    /// told of in the order in which they were judged, but for a STAT during a transfer.
    fn forget_former(&mut self, record: &CommandRecord) {
        let is_ahead = record.name.as_ref().and_then(Name::known) == Some(Verb::Stat);
        let Some(id) = record.decided.filter(|_| !is_ahead) else {
            return;
        };
        if self.policies.is_of(id.set()) {
            self.former.clear();
        } else if let Some(at) = self.former.iter().position(|table| table.is_of(id.set())) {
            self.former.drain(..at);
        }
    }

    /// The table and the row of what decided; None where its policies are forgotten.
    fn rule(&self, id: RuleId) -> Option<(&PolicyTable, &RuleRow)> {
        std::iter::once(&self.policies)
            .chain(&self.former)
            .find_map(|table| Some((&**table, table.rule(id)?)))
    }

    /// The counter that a running relay adds to, for `/status` and [`Told::Measured`]. It is the
    /// same one for the whole session, and is set to zero when a transfer begins.
    ///
    /// [`Told::Measured`]: crate::session::Told::Measured
    pub fn transfer_bytes(&self) -> Arc<AtomicU64> {
        Arc::clone(self.entry.state().moved())
    }

    /// The server's greeting came this long after the dial began.
    pub fn greeted(&mut self, after: Duration) {
        let upstream = &self.entry.upstream;
        upstream.connect_duration.record(after.as_secs_f64());
    }

    /// Notes who is logged in.
    fn set_user(&mut self, user: Option<Arc<str>>) {
        self.entry.state().user.clone_from(&user);
        self.user = user;
    }

    /// An audit event's head.
    fn head<'a>(&'a self, event: &'static str, user: Option<&'a str>) -> audit::Head<'a> {
        let tls = self.tls.as_ref();
        audit::Head {
            tls: tls.map(|tls| tls.version.name()),
            client_certificate: tls.and_then(|tls| tls.certificate.as_deref()),
            ..audit::head(
                event,
                self.entry.client,
                self.entry.id(),
                &self.entry.listener.name,
                &self.entry.upstream.name,
                user,
            )
        }
    }

    /// What a rule decided.
    fn decision(&self, id: Option<RuleId>) -> Decision<'_> {
        id.and_then(|id| self.rule(id))
            .map(|(_, row)| Decision {
                policy: Some(&row.policy),
                rule: Some(&row.rule),
                verdict: Some(row.action.name()),
            })
            .unwrap_or_default()
    }

    /// A command has had its final reply.
    fn command(&self, record: &CommandRecord) {
        let listener = &self.entry.listener;
        listener.command(record.name.as_ref(), record.outcome);
        for (id, mode) in [
            (record.decided, Mode::Enforced),
            (record.upstream, Mode::Enforced),
            (record.observed, Mode::Observed),
        ] {
            if let Some((table, row)) = id.and_then(|id| self.rule(id)) {
                table.decided(row, mode);
            }
        }
        if !record.transferred {
            listener.command_duration.record(record.took.as_secs_f64());
        }
        let known = record.name.as_ref().and_then(Name::known);
        if record.name.is_some() {
            self.entry.answered(known);
        }
        self.tell_command(record);
    }

    /// Logs and audits a command that has had its final reply. What neither of them takes is not made.
    fn tell_command(&self, record: &CommandRecord) {
        let verb = LazyCell::new(|| told_verb(record, self.user.is_some()));
        let argument = LazyCell::new(|| told_argument(record, *verb));
        let decided = LazyCell::new(|| self.decision(record.decided));
        let upstream = LazyCell::new(|| self.decision(record.upstream));
        // The one that refused is the one to be named; none where it was the gateway itself.
        let refused = LazyCell::new(|| {
            [record.decided, record.upstream]
                .into_iter()
                .flatten()
                .filter_map(|id| self.rule(id))
                .find(|(_, row)| row.action.withholds())
        });
        if record.outcome == Outcome::Denied {
            say!(
                info,
                self,
                "command refused",
                command = *verb,
                argument = (*argument).as_deref(),
                code = record.code,
                policy = refused.map(|(_, row)| &*row.policy),
                rule = refused.map(|(_, row)| &*row.rule),
            );
        } else {
            say!(
                debug,
                self,
                "command",
                command = *verb,
                argument = (*argument).as_deref(),
                outcome = record.outcome.name(),
                code = record.code,
                origin = record.origin.name(),
                seconds = audit::seconds(record.took),
            );
        }
        self.telemetry.audit(|| {
            let observed = self.decision(record.observed);
            let head = self.head("command", self.user.as_deref());
            let body = CommandEvent {
                verb: *verb,
                argument: (*argument).as_deref(),
                directory: record.directory.as_deref().map(escape),
                path: record.path.as_deref().map(escape),
                policy: decided.policy,
                rule: decided.rule,
                verdict: decided.verdict,
                upstream_policy: upstream.policy,
                upstream_rule: upstream.rule,
                upstream_verdict: upstream.verdict,
                observed_policy: observed.policy,
                observed_rule: observed.rule,
                observed_verdict: observed.verdict,
                outcome: record.outcome.name(),
                code: record.code,
                origin: record.code.map(|_| record.origin.name()),
                duration: audit::seconds(record.took),
            };
            (head, body)
        });
    }

    /// A login ended.
    fn login(&mut self, user: &Bytes, outcome: LoginOutcome) {
        self.entry.listener.login(outcome);
        let name: Arc<str> = escape(user).into();
        if outcome == LoginOutcome::Success {
            self.set_user(Some(Arc::clone(&name)));
        }
        let client = self.entry.client.ip().to_canonical();
        tracing::info!(
            session = self.entry.id(),
            listener = &*self.entry.listener.name,
            client = %client,
            user = &*name,
            result = outcome.name(),
            "login"
        );
        if outcome != LoginOutcome::Success {
            log::login_failed(&name, client);
        }
        self.telemetry.audit(|| {
            let head = self.head("login", Some(&name));
            let body = LoginEvent {
                result: outcome.name(),
            };
            (head, body)
        });
    }

    /// A transfer's verb was forwarded.
    fn transfer_began(&self, direction: Direction, name: &Name, path: Option<&Bytes>, offset: u64) {
        let path = path.map(|path| escape(path).into_owned());
        say!(
            debug,
            self,
            "transfer began",
            direction = direction.name(),
            command = name.as_str(),
            path = path.as_deref(),
            offset = offset,
        );
        // What an earlier one left uncounted is counted before its bytes are forgotten.
        self.entry.count_moved();
        self.entry.state().begin(Transfer {
            direction,
            verb: name.as_str().to_owned(),
            path,
            began: clock::monotonic(),
            counted: 0,
        });
    }

    /// A transfer settled.
    fn transfer_ended(&self, ended: &Ended<'_>) {
        let listener = &self.entry.listener;
        let counted = self
            .entry
            .state()
            .transfer
            .take()
            .map_or(0, |transfer| transfer.counted);
        listener.transferred(ended.direction, ended.bytes.saturating_sub(counted));
        listener.transfer(ended.direction, ended.outcome, ended.took.as_secs_f64());
        let path = ended.path.map(|path| escape(path));
        let argument = ended.argument.map(|argument| escape(argument));
        let directory = ended.directory.map(|directory| escape(directory));
        say!(
            info,
            self,
            "transfer ended",
            direction = ended.direction.name(),
            command = ended.name.as_str(),
            argument = argument.as_deref(),
            path = path.as_deref(),
            bytes = ended.bytes,
            seconds = audit::seconds(ended.took),
            result = ended.outcome.name(),
        );
        self.telemetry.audit(|| {
            let head = self.head("transfer", self.user.as_deref());
            let body = TransferEvent {
                direction: ended.direction.name(),
                verb: ended.name.as_str(),
                argument,
                directory,
                path,
                bytes: ended.bytes,
                seconds: audit::seconds(ended.took),
                result: ended.outcome.name(),
            };
            (head, body)
        });
    }
}

/// What is known of a transfer that ended.
struct Ended<'a> {
    /// Which way.
    direction: Direction,
    /// The verb.
    name: &'a Name,
    /// What followed it.
    argument: Option<&'a Bytes>,
    /// The working directory.
    directory: Option<&'a Bytes>,
    /// The path.
    path: Option<&'a Bytes>,
    /// Bytes that arrived.
    bytes: u64,
    /// How long it took.
    took: Duration,
    /// How it ended.
    outcome: TransferOutcome,
}

/// The verb as it may be told: one that the table does not have only where the server took it or its
/// client is logged in, for `PASSsecret` and `PAS secret` are verbs as well.
fn told_verb(record: &CommandRecord, logged_in: bool) -> Option<&str> {
    match record.name.as_ref()? {
        Name::Known(verb) => Some(verb.name()),
        Name::Other(text) if (logged_in || is_taken(record)) && !may_hold_secret(text) => {
            Some(text)
        }
        Name::Other(_) => Some(OTHER),
    }
}

/// Whether the server took the command for one.
fn is_taken(record: &CommandRecord) -> bool {
    record.outcome == Outcome::Forwarded && record.code.is_some_and(|code| code < 500)
}

/// The argument as it may be told; of a verb that the table does not have only where the server took it.
fn told_argument<'a>(record: &'a CommandRecord, verb: Option<&str>) -> Option<Cow<'a, str>> {
    let is_unknown = matches!(record.name, Some(Name::Other(_)));
    let hidden =
        record.secret || verb.is_none_or(|verb| verb == OTHER) || is_unknown && !is_taken(record);
    match (&record.argument, hidden) {
        (None, _) if !record.secret => None,
        (_, true) | (None, _) => Some(Cow::Borrowed(SECRET)),
        (Some(argument), false) => Some(escape(argument)),
    }
}

impl Drop for SessionRecorder {
    fn drop(&mut self) {
        self.entry.count_moved();
        self.telemetry.sessions.end(&self.entry);
        let lasted = clock::monotonic().saturating_duration_since(self.entry.began);
        self.entry.listener.sessions.decrement(1.0);
        self.entry
            .listener
            .session_duration
            .record(lasted.as_secs_f64());
        let reason = self.reason.map(CloseReason::name);
        say!(
            info,
            self,
            "session ended",
            reason = reason,
            seconds = audit::seconds(lasted),
        );
        self.telemetry.audit(|| {
            let head = self.head("logout", self.user.as_deref());
            let body = EndEvent {
                reason,
                duration: Some(audit::seconds(lasted)),
            };
            (head, body)
        });
    }
}

#[cfg(test)]
pub(super) mod tests;
