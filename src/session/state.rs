//! The command in work: from the head of the queue to its final reply.
//!
//! ```text
//!            ┌────────────────────────────────────────────────┐
//!   queue ──▶│ Judging ─┬─▶ Learning ─▶ Judging               │ hidden PWD
//!            │          ├─▶ local reply ──────────────▶ done  │ nothing reached the server
//!            │          ├─▶ Refusing ─────────────────▶ done  │ a login that policy refuses
//!            │          ├─▶ Protecting ─▶ Judging             │ hidden AUTH, PBSZ, PROT
//!            │          ├─▶ Preparing ────────────────▶ done  │ PASV EPSV PORT EPRT
//!            │          ├─▶ TakingBack ─▶ Transferring        │ hidden REST 0, RANG 1 0
//!            │          ├─▶ Transferring ─────────────▶ done  │ `transfer.rs`
//!            │          └─▶ Forwarded ─┬──────────────▶ done  │ the server's reply
//!            │                         └─▶ Refusing ─▶ done  │ a login that the server refuses
//!            └────────────────────────────────────────────────┘
//! ```
//!
//! One command is in work at a time and one is in flight to the server, so replies keep the
//! order of the commands by construction (law L2). ABOR and STAT during a transfer are the
//! exceptions, as RFC 959 has them.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::data::Setup;
use super::deadline::Timer;
use super::pipeline::Item;
use super::refusal::Refusal;
use super::{CloseReason, Fact, Outcome, OwnCommand, Session};
use crate::ftp::command::{Command, Name};
use crate::ftp::misbehaviour::ClientFault;
use crate::ftp::verb::{BeforeLogin, Verb};
use crate::policy::verdict::{Reply, RuleId};
use crate::policy::{Judgement, Permit, Query, Verdict};

/// The reply to the bad command that is one too many.
pub(super) const TOO_MANY: &str = "Too many bad commands, closing.";

/// Which part of its life a session is in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// The upstream is being dialled.
    Connecting,
    /// The server's greeting is awaited.
    Greeting,
    /// The server's leg is turning to TLS behind its greeting.
    Securing,
    /// Commands are worked on.
    Serving,
    /// Both legs are closed.
    Closed,
}

/// How far the command in work has come.
#[derive(Debug)]
pub(super) enum Stage {
    /// Policy is being asked.
    Judging,
    /// The server was asked for the directory that policy needs.
    Learning,
    /// It is a login that was refused, whose reply takes its time.
    Refusing(Refusal),
    /// Its data connections are being set up.
    Preparing(Setup),
    /// The server is being asked for the protection that it needs.
    Protecting,
    /// REST 0 or RANG 1 0 was sent; the permitted line follows.
    TakingBack(Permit),
    /// It was forwarded and runs a transfer.
    Transferring,
    /// It was forwarded.
    Forwarded,
}

impl Stage {
    /// What has become of a command whose session ends here.
    const fn outcome(&self) -> Outcome {
        match self {
            Self::Refusing(refusal) => refusal.outcome(),
            Self::Preparing(setup) if !setup.has_asked() => Outcome::Answered,
            Self::Judging | Self::Learning | Self::Protecting | Self::TakingBack(_) => {
                Outcome::Answered
            }
            Self::Preparing(_) | Self::Transferring | Self::Forwarded => Outcome::Forwarded,
        }
    }
}

/// The command in work.
pub(super) struct Head {
    /// The command.
    pub(super) command: Command,
    /// When it was read.
    pub(super) read_at: Duration,
    /// When it was sent to the server, once it was.
    pub(super) sent_at: Option<Duration>,
    /// How far it has come.
    pub(super) stage: Stage,
    /// An ABOR that was acted on when it was read.
    pub(super) acted: bool,
    /// The directory was asked for on its behalf.
    directory_asked: bool,
    /// The directory that it was judged in, as the server stated it.
    pub(super) directory: Option<Bytes>,
    /// What decided.
    pub(super) decided: Option<RuleId>,
    /// What the upstream's policy decided.
    pub(super) upstream: Option<RuleId>,
    /// What the observed policy would have decided.
    pub(super) observed: Option<RuleId>,
    /// The path that was judged.
    pub(super) path: Option<Bytes>,
    /// Preliminary replies that it has had.
    pub(super) preliminaries: u8,
    /// Whether it ran a transfer.
    pub(super) transferred: bool,
}

impl fmt::Debug for Head {
    /// Writes the verb and no argument: the operator may call any of SITE's a secret (law L4).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Head")
            .field("name", &self.command.name)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}

impl Head {
    /// `command`, read at `read_at`, not yet judged.
    pub(super) const fn new(command: Command, read_at: Duration, acted: bool) -> Self {
        Self {
            command,
            read_at,
            sent_at: None,
            stage: Stage::Judging,
            acted,
            directory_asked: false,
            directory: None,
            decided: None,
            upstream: None,
            observed: None,
            path: None,
            preliminaries: 0,
            transferred: false,
        }
    }

    /// The verb, if the table has it.
    pub(super) const fn verb(&self) -> Option<Verb> {
        self.command.name.known()
    }

    /// All of it; an empty one stays behind.
    pub(super) fn take(&mut self) -> Self {
        let nothing = Command {
            name: Name::Known(Verb::Noop),
            spelling: Bytes::new(),
            argument: None,
        };
        std::mem::replace(self, Self::new(nothing, Duration::ZERO, false))
    }

    /// What has become of it if the session ends now.
    pub(super) const fn outcome(&self) -> Outcome {
        self.stage.outcome()
    }

    /// Keeps what a judgement in `directory` found.
    pub(super) fn keep(&mut self, judgement: &Judgement, directory: Option<&Bytes>) {
        self.directory = directory.cloned();
        self.decided = judgement.decided;
        self.upstream = judgement.upstream;
        self.observed = judgement.observed;
        self.path.clone_from(&judgement.path);
    }
}

/// How many commands are worked on at once: with a policy of many rules each takes its time.
const COMMANDS_AT_ONCE: u32 = 32;

impl Session {
    /// Works on the queue until something must be waited for, or enough is done for once.
    pub(super) fn advance(&mut self) {
        let mut left = COMMANDS_AT_ONCE;
        while self.phase == Phase::Serving && self.head.is_none() && !self.protection.is_turning() {
            if self.abort.is_awaited() {
                return;
            }
            if let Some(reason) = self.ending {
                self.end(reason);
                return;
            }
            self.read_commands();
            self.unfinished = left == 0 && !self.pipeline.is_empty();
            if self.unfinished {
                return;
            }
            let Some(entry) = self.pipeline.pop() else {
                self.rest();
                return;
            };
            left = left.saturating_sub(1);
            self.deadlines.disarm(Timer::Idle);
            match entry.item {
                Item::Fault(fault, verb) => self.answer_fault(fault, verb, entry.read_at),
                Item::Command(command) => {
                    let head = self.head_of(command, entry.read_at, entry.acted);
                    self.begin(head);
                }
            }
        }
    }

    /// `command` to be worked on, in the memory of the last one where that is over.
    fn head_of(&mut self, command: Command, read_at: Duration, acted: bool) -> Box<Head> {
        let head = Head::new(command, read_at, acted);
        match self.spare_head.take() {
            Some(mut spare) => {
                *spare = head;
                spare
            }
            None => Box::new(head),
        }
    }

    /// What policy says of `command`.
    pub(super) fn judge(&mut self, command: &Command) -> Judgement {
        self.flush();
        self.make_room();
        let mut room = std::mem::take(&mut self.out);
        let judgement = self.judge.decide_in(&self.query(command), &mut room);
        self.out = room;
        judgement
    }

    /// The same, and of what else it does at some servers, which must be allowed too.
    fn judge_all(&mut self, command: &Command) -> Judgement {
        let judgement = self.judge(command);
        if !matches!(judgement.verdict, Verdict::Forward(_)) {
            return judgement;
        }
        for other in self.also_does(command) {
            let refusal = self.judge(&other);
            if !matches!(refusal.verdict, Verdict::Forward(_)) {
                return refusal;
            }
        }
        judgement
    }

    /// What `command` does beside what its verb says. Old servers write from the offset of REST on where
    /// they are to append; MFF sets modes and owners, as subcommands of SITE do.
    fn also_does(&self, command: &Command) -> Vec<Command> {
        match command.name {
            Name::Known(Verb::Appe)
                if self.place.restart.is_some_and(|offset| offset > 0)
                    && !self.place.restart_is_stale =>
            {
                vec![Command {
                    name: Name::Known(Verb::Stor),
                    spelling: Bytes::from_static(b"STOR"),
                    argument: command.argument.clone(),
                }]
            }
            Name::Known(Verb::Mff) => command.site_changes(),
            Name::Known(_) | Name::Other(_) => Vec::new(),
        }
    }

    /// Nothing is left to do.
    fn rest(&mut self) {
        if self.client_ended {
            self.close(CloseReason::ClientGone, super::End::Fin);
        } else {
            let timeout = self.limits.idle_timeout;
            self.deadlines
                .arm_once(Timer::Idle, self.now.elapsed, timeout);
        }
    }

    /// What policy is asked of `command`.
    pub(super) fn query<'a>(&'a self, command: &'a Command) -> Query<'a> {
        let user = match command.name.canonical() {
            Some(Verb::User) => Some(command.argument_bytes()),
            Some(Verb::Pass | Verb::Acct) => {
                self.login.trying.as_deref().or(self.login.user.as_deref())
            }
            _ => self.login.user.as_deref(),
        };
        Query {
            command,
            user,
            client: self.client.ip(),
            directory: self.place.directory.as_deref(),
            home: self.place.home.as_deref(),
            renaming: self
                .place
                .renaming
                .as_ref()
                .and_then(|from| from.path.as_deref()),
            unix_time: self.now.unix_time,
            channels: self.protection.channels(),
        }
    }

    /// Works on `head`: from the beginning, or again once what was missing is known.
    pub(super) fn begin(&mut self, mut head: Box<Head>) {
        if head.acted {
            // It was judged when it was read; what decided is told all the same.
            let judgement = self.judge.decide(&self.query(&head.command));
            head.keep(&judgement, self.place.directory.as_ref());
            self.answer_acted_abort(head);
            return;
        }
        if let Some((code, text)) = self.lacks_protection(&head) {
            self.unlearn(&head.command);
            self.answer(head, code, text, Outcome::Denied);
            return;
        }
        let Some(mut head) = self.answer_protection(head) else {
            return;
        };
        if self.login.is_between() && !may_come_between_logins(head.verb()) {
            // Whoever the server takes the client for, no rule for users would hold.
            self.unlearn(&head.command);
            self.answer(
                head,
                530,
                "Please log in with USER and PASS.",
                Outcome::Denied,
            );
            return;
        }
        if !self.login.is_in() && matches!(head.verb(), Some(Verb::Site | Verb::Chmod)) {
            // It is never forwarded before login: servers copied files for anybody there.
            self.answer(head, 502, "Command not implemented.", Outcome::Denied);
            return;
        }
        if self.must_learn(&head) {
            self.ask_directory(head);
            return;
        }
        let judgement = self.judge_all(&head.command);
        if matches!(judgement.verdict, Verdict::Forward(_)) && self.must_name(&head) {
            self.ask_directory(head);
            return;
        }
        head.keep(&judgement, self.place.directory.as_ref());
        match judgement.verdict {
            Verdict::Answer(reply) => self.answer(head, reply.code, &reply.text, Outcome::Answered),
            Verdict::Close(reply) => {
                self.answer(head, reply.code, &reply.text, Outcome::Denied);
                self.close(CloseReason::Policy, super::End::Fin);
            }
            // RFC 959 §5.4: without a RNFR there is no first name that policy could refuse.
            Verdict::Deny(reply)
                if reply.code == 553
                    && head.command.name == Name::Known(Verb::Rnto)
                    && self.place.renaming.is_none() =>
            {
                self.answer(head, 503, "Bad sequence of commands.", Outcome::Invalid);
            }
            Verdict::Deny(reply) => self.refuse(head, &reply),
            Verdict::Forward(_)
                if head.verb() == Some(Verb::Opts) && !self.may_set_options(&head.command) =>
            {
                self.answer(head, 502, "Command not implemented.", Outcome::Denied);
            }
            Verdict::Forward(permit) => self.forward(head, permit),
        }
    }

    /// Whether the server must be asked for its working directory before `head` is judged.
    fn must_learn(&self, head: &Head) -> bool {
        if !self.may_learn(head) {
            return false;
        }
        if self.judge.uses_home() && self.place.may_learn_home() {
            return true;
        }
        if self.place.directory.is_some() {
            return false;
        }
        if self.place.must_not_ask() {
            return false;
        }
        // Short pieces may have been put together to a path that an old server overruns on.
        let reach = self.place.reach(head.command.argument_bytes());
        if reach > self.judge.path_bytes() && !self.place.is_half_done() {
            return true;
        }
        self.judge.needs_directory(&self.query(&head.command))
            || follows(head)
                .iter()
                .any(|verb| self.judge.needs_directory(&self.query(&here(*verb))))
    }

    /// Whether the server may be asked for its working directory on behalf of `head`.
    fn may_learn(&self, head: &Head) -> bool {
        self.login.user.is_some()
            && !head.directory_asked
            && head.verb() != Some(Verb::Quit)
            && !self.judge.is_unsupported(&Name::Known(Verb::Pwd))
    }

    /// Whether the server must be asked for its working directory so that the audit can name what `head`,
    /// which is permitted, transfers, changes or removes.
    fn must_name(&self, head: &Head) -> bool {
        let is_from_directory = |command: &Command| {
            is_named(command) && self.judge.points_from_directory(&self.query(command))
        };
        self.profile.names_paths
            && self.place.directory.is_none()
            && self.place.may_ask_for_name()
            && self.may_learn(head)
            && (is_from_directory(&head.command)
                || follows(head)
                    .iter()
                    .any(|verb| is_from_directory(&here(*verb))))
    }

    /// Asks the server for its working directory; `head` is worked on again when it is known.
    fn ask_directory(&mut self, mut head: Box<Head>) {
        head.directory_asked = true;
        head.stage = Stage::Learning;
        self.head = Some(head);
        self.ask(OwnCommand::Pwd);
    }

    /// The hidden PWD was answered: what it states is the directory, and home if nothing has
    /// moved since login. Without an answer paths stay unsure.
    pub(super) fn learnt(&mut self, directory: Option<Bytes>) {
        self.place.state(directory);
        if let Some(head) = self.head.take() {
            self.begin(head);
        }
    }

    /// Refuses a command in policy's name.
    fn refuse(&mut self, head: Box<Head>, reply: &Reply) {
        self.unlearn(&head.command);
        if head.verb() == Some(Verb::User) {
            // Names cannot be probed: the refusal comes at PASS (RFC 2577 §7).
            self.login.trying = Some(Bytes::copy_from_slice(head.command.argument_bytes()));
            self.login.refused = true;
            self.answer(head, 331, "User name okay, need password.", Outcome::Denied);
            return;
        }
        if matches!(head.verb(), Some(Verb::Pass | Verb::Acct)) {
            if self.login.refused {
                self.refuse_password(head);
            } else {
                self.refuse_login(head, reply);
            }
            return;
        }
        if matches!(head.command.name, Name::Other(_)) {
            self.note(Fact::ClientFault(ClientFault::UnknownVerb));
            if self.is_too_many(ClientFault::UnknownVerb) {
                self.answer(head, 421, TOO_MANY, Outcome::Denied);
                self.close(CloseReason::Violations, super::End::Fin);
                return;
            }
        }
        self.answer(head, reply.code, &reply.text, Outcome::Denied);
    }

    /// Whether the command in work is QUIT.
    pub(super) fn head_is_quit(&self) -> bool {
        self.head
            .as_ref()
            .is_some_and(|head| head.verb() == Some(Verb::Quit))
    }

    /// Whether the session could be allowed a command, with some path and argument.
    pub(super) fn could_allow(&self, name: &Name, word: Option<&str>) -> bool {
        let user = self.login.user.as_deref();
        let outlook = self.protection.outlook(self.profile.client_tls.offer);
        let (client, unix_time) = (self.client.ip(), self.now.unix_time);
        self.judge
            .could_allow(name, word, user, client, unix_time, outlook)
    }
}

/// Whether a command may come between two logins: what may come before one, and ABOR, whose reply is owed
/// for a transfer of the former. One that nobody knows may not.
fn may_come_between_logins(verb: Option<Verb>) -> bool {
    verb.is_some_and(|verb| verb == Verb::Abor || verb.row().before_login != BeforeLogin::No)
}

/// What belongs to `head` and comes behind it (RFC 3659 §5.2, RFC 959 §4.1.3): the transfer behind REST, RNTO
/// behind RNFR. A question that it needs comes before both.
fn follows(head: &Head) -> &'static [Verb] {
    match head.verb() {
        Some(Verb::Rest | Verb::Rang) => &[Verb::Retr, Verb::Stor, Verb::Appe, Verb::Stou],
        Some(Verb::Rnfr) => &[Verb::Rnto],
        Some(_) | None => &[],
    }
}

/// Whether the audit is to name what `command` is about.
fn is_named(command: &Command) -> bool {
    command.name.canonical().is_some_and(|verb| {
        let changes = [Verb::Dele, Verb::Mkd, Verb::Rmd, Verb::Rnfr, Verb::Rnto];
        verb.transfers() || changes.contains(&verb)
    })
}

/// `verb` on something in the working directory, to ask policy what it would need.
fn here(verb: Verb) -> Command {
    Command {
        name: Name::Known(verb),
        spelling: Bytes::from_static(verb.name().as_bytes()),
        argument: Some(Bytes::from_static(b"x")),
    }
}
