//! The command in work: from the head of the queue to its final reply.
//!
//! ```text
//!            ┌────────────────────────────────────────────────┐
//!   queue ──▶│ Judging ─┬─▶ Learning ─▶ Judging               │ hidden PWD
//!            │          ├─▶ local reply ──────────────▶ done  │ nothing reached the server
//!            │          ├─▶ Refusing ─────────────────▶ done  │ PASS of a refused USER
//!            │          ├─▶ Preparing ────────────────▶ done  │ PASV EPSV PORT EPRT
//!            │          ├─▶ TakingBack ─▶ Transferring        │ hidden REST 0
//!            │          ├─▶ Transferring ─────────────▶ done  │ `transfer.rs`
//!            │          └─▶ Forwarded ────────────────▶ done  │ the server's reply
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
use super::effect;
use super::pipeline::{Entry, Item};
use super::server::Abort;
use super::transfer::StatusOwed;
use super::truth;
use super::{
    Action, CloseReason, CommandRecord, DataForm, Fact, LoginOutcome, Origin, Outcome, OwnCommand,
    Session,
};
use crate::ftp::address::{self, AddressFault, Epsv, Family};
use crate::ftp::command::{Command, Name};
use crate::ftp::misbehaviour::{ClientFault, Fate};
use crate::ftp::verb::{self, Argument, Verb};
use crate::policy::verdict::RuleId;
use crate::policy::{Judgement, Permit, Query, Verdict};

/// How long the refusal of a PASS takes whose USER policy refused: about as long as servers
/// take to refuse one, so that names cannot be told apart by time (RFC 2577 §7).
const REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// The reply to the bad command that is one too many.
const TOO_MANY: &str = "Too many bad commands, closing.";

/// Which part of its life a session is in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Phase {
    /// The upstream is being dialled.
    Connecting,
    /// The server's greeting is awaited.
    Greeting,
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
    /// It waits, to be refused.
    Refusing,
    /// Its data connections are being set up.
    Preparing(Setup),
    /// REST 0 was sent; the permitted line follows.
    TakingBack(Permit),
    /// It was forwarded and runs a transfer.
    Transferring,
    /// It was forwarded.
    Forwarded,
}

/// The command in work.
pub(super) struct Head {
    /// The command.
    pub(super) command: Command,
    /// When it was read.
    pub(super) read_at: Duration,
    /// How far it has come.
    pub(super) stage: Stage,
    /// An ABOR that was acted on when it was read.
    pub(super) acted: bool,
    /// The directory was asked for on its behalf.
    directory_asked: bool,
    /// What decided.
    decided: Option<RuleId>,
    /// What the upstream's policy decided.
    upstream: Option<RuleId>,
    /// What the observed policy would have decided.
    observed: Option<RuleId>,
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
            stage: Stage::Judging,
            acted,
            directory_asked: false,
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

    /// Keeps what a judgement found.
    fn keep(&mut self, judgement: &Judgement) {
        self.decided = judgement.decided;
        self.upstream = judgement.upstream;
        self.observed = judgement.observed;
        self.path.clone_from(&judgement.path);
    }
}

impl Session {
    /// Works on the queue until something must be waited for.
    pub(super) fn advance(&mut self) {
        while self.phase == Phase::Serving && self.head.is_none() {
            if self.abort == Abort::Sent {
                return;
            }
            if self.draining {
                self.goodbye(
                    CloseReason::Drain,
                    "Service is stopping, closing control connection.",
                );
                return;
            }
            self.read_commands();
            let Some(entry) = self.pipeline.pop() else {
                self.rest();
                return;
            };
            self.deadlines.disarm(Timer::Idle);
            match entry.item {
                Item::Fault(fault, verb) => self.answer_fault(fault, verb, entry.read_at),
                Item::Command(command) => {
                    self.begin(Box::new(Head::new(command, entry.read_at, entry.acted)));
                }
            }
        }
    }

    /// Nothing is left to do.
    fn rest(&mut self) {
        if self.client_ended {
            self.close(CloseReason::ClientGone, super::End::Fin);
        } else {
            let timeout = self.profile.limits.idle_timeout;
            self.deadlines
                .arm_once(Timer::Idle, self.now.elapsed, timeout);
        }
    }

    /// Makes the bytes that came commands, and acts on an ABOR or a STAT that may not wait.
    pub(super) fn read_commands(&mut self) {
        loop {
            while self.pipeline.pull(self.now.elapsed) {}
            self.act_on_abort();
            // A STAT that is taken out makes room for another command.
            if !self.act_on_status() {
                break;
            }
        }
    }

    /// Breaks off the running transfer if an ABOR that policy allows has been read, wherever it
    /// stands: it acts at once, only its reply waits for its turn.
    fn act_on_abort(&mut self) {
        if self.transfer.is_some()
            && self.abort == Abort::Idle
            && self.pipeline.has_abort()
            && self.permits(&abort_command())
        {
            self.pipeline.mark_abort();
            self.send_abort();
        }
    }

    /// Answers a bare STAT during a transfer when nothing is queued before it; whether there was
    /// one. Before the preliminary reply it waits: a client would take its 211 for the
    /// transfer's. One that policy refuses waits for its turn.
    pub(super) fn act_on_status(&mut self) -> bool {
        let is_under_way = self
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.is_promised());
        if !is_under_way || self.status_owed.is_some() || self.abort != Abort::Idle {
            return false;
        }
        let Some(command) = self.pipeline.first_if_bare(Verb::Stat) else {
            return false;
        };
        let judgement = self.judge.decide(&self.query(command));
        if !matches!(judgement.verdict, Verdict::Forward(_)) {
            return false;
        }
        let Some(Entry {
            item: Item::Command(command),
            read_at,
            ..
        }) = self.pipeline.pop()
        else {
            return false;
        };
        let mut head = Box::new(Head::new(command, read_at, false));
        head.keep(&judgement);
        self.status_owed = Some(StatusOwed::new(head));
        self.push(Action::Measure);
        true
    }

    /// Whether policy allows `command` now.
    fn permits(&self, command: &Command) -> bool {
        matches!(
            self.judge.decide(&self.query(command)).verdict,
            Verdict::Forward(_)
        )
    }

    /// What policy is asked of `command`.
    fn query<'a>(&'a self, command: &'a Command) -> Query<'a> {
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
            renaming: self.place.renaming.as_ref().and_then(Option::as_deref),
            unix_time: self.now.unix_time,
        }
    }

    /// Answers a line that was no command.
    fn answer_fault(&mut self, fault: ClientFault, verb: Option<Verb>, read_at: Duration) {
        self.note(Fact::ClientFault(fault));
        let (code, text, fate) = match fault.answer() {
            // The line has one reply, also where it is the last one.
            (_, _, Fate::Counted) if self.is_too_many(fault) => (421, TOO_MANY, Fate::Ends),
            answer => answer,
        };
        self.say(code, text);
        let name = verb.map(Name::Known);
        let took = self.now.elapsed.saturating_sub(read_at);
        self.note(Fact::Command(Box::new(CommandRecord {
            name,
            argument: None,
            secret: false,
            directory: None,
            path: None,
            outcome: Outcome::Invalid,
            decided: None,
            upstream: None,
            observed: None,
            code: Some(code),
            origin: Origin::Gateway,
            took,
            transferred: false,
        })));
        match fate {
            Fate::Ends => self.close(CloseReason::Violation, super::End::Fin),
            Fate::Counted | Fate::Lives => {}
        }
    }

    /// Works on `head`: from the beginning, or again once what was missing is known.
    pub(super) fn begin(&mut self, mut head: Box<Head>) {
        if head.acted {
            // It was judged when it was read; what decided is told all the same.
            let judgement = self.judge.decide(&self.query(&head.command));
            head.keep(&judgement);
            self.answer_acted_abort(head);
            return;
        }
        if let Some((code, text, outcome)) = self.answer_without_policy(&head) {
            self.answer(head, code, text, outcome);
            return;
        }
        if self.must_learn(&head) {
            head.directory_asked = true;
            head.stage = Stage::Learning;
            self.head = Some(head);
            self.ask(OwnCommand::Pwd);
            return;
        }
        let judgement = self.judge.decide(&self.query(&head.command));
        head.keep(&judgement);
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
            Verdict::Deny(reply) => self.refuse(head, reply.code, &reply.text),
            Verdict::Forward(permit) => self.forward(head, permit),
        }
    }

    /// The reply to what policy does not see: the verbs that belong to the listener's TLS, and
    /// SITE before login, which is never forwarded (servers copied files for anybody there).
    fn answer_without_policy(&self, head: &Head) -> Option<(u16, &'static str, Outcome)> {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "all other verbs are policy's"
        )]
        match head.verb()? {
            Verb::Auth => Some((502, "Command not implemented.", Outcome::Denied)),
            Verb::Pbsz | Verb::Prot => Some((
                503,
                "No security exchange has taken place.",
                Outcome::Invalid,
            )),
            Verb::Ccc => Some((533, "Command protection level denied.", Outcome::Invalid)),
            Verb::Site | Verb::Chmod if !self.login.is_in() => {
                Some((502, "Command not implemented.", Outcome::Denied))
            }
            _ => None,
        }
    }

    /// Whether the server must be asked for its working directory before `head` is judged.
    fn must_learn(&self, head: &Head) -> bool {
        if self.login.user.is_none()
            || head.directory_asked
            || head.verb() == Some(Verb::Quit)
            || self.judge.is_unsupported(&Name::Known(Verb::Pwd))
        {
            return false;
        }
        if self.judge.uses_home() && self.place.may_learn_home() {
            return true;
        }
        if self.place.directory.is_some() {
            return false;
        }
        // RFC 3659 §5.2: what follows REST is the transfer, so the question comes before it.
        let retrieval = (head.verb() == Some(Verb::Rest)).then(retrieval);
        let command = retrieval.as_ref().unwrap_or(&head.command);
        self.judge.needs_directory(&self.query(command))
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
    fn refuse(&mut self, head: Box<Head>, code: u16, text: &str) {
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
                self.delay_refusal(head);
                return;
            }
            self.note_denied_login();
        }
        if matches!(head.command.name, Name::Other(_)) {
            self.note(Fact::ClientFault(ClientFault::UnknownVerb));
            if self.is_too_many(ClientFault::UnknownVerb) {
                self.answer(head, 421, TOO_MANY, Outcome::Denied);
                self.close(CloseReason::Violation, super::End::Fin);
                return;
            }
        }
        self.answer(head, code, text, Outcome::Denied);
    }

    /// A login was refused by policy.
    fn note_denied_login(&mut self) {
        let user = self.login.trying.clone().unwrap_or_default();
        self.note(Fact::Login {
            user,
            outcome: LoginOutcome::Denied,
        });
    }

    /// Lets the refusal of a PASS take its time.
    fn delay_refusal(&mut self, mut head: Box<Head>) {
        head.stage = Stage::Refusing;
        self.head = Some(head);
        self.deadlines
            .arm(Timer::Refusal, self.now.elapsed, REFUSAL_DELAY);
    }

    /// The PASS that follows a refused USER has waited long enough.
    pub(super) fn answer_refused_password(&mut self) {
        let Some(head) = self.head.take() else { return };
        self.note_denied_login();
        self.answer(head, 530, "Login incorrect.", Outcome::Denied);
    }

    /// Does what a permitted command is for.
    fn forward(&mut self, head: Box<Head>, permit: Permit) {
        if let Some(fault) = Self::argument_fault(&head.command) {
            self.unlearn(&head.command);
            self.answer_invalid(head, fault);
            return;
        }
        let Some(verb) = head.command.name.canonical() else {
            self.send(head, permit);
            return;
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "all others go to the server as they are"
        )]
        match verb {
            Verb::Pasv => self.prepare(head, DataForm::Pasv, None),
            Verb::Epsv => self.forward_epsv(head),
            Verb::Port => self.forward_port(head),
            Verb::Eprt => self.forward_eprt(head),
            Verb::Pass | Verb::Acct if self.login.refused => self.delay_refusal(head),
            Verb::User => {
                self.login.refused = false;
                self.drop_data(super::End::Reset);
                self.send(head, permit);
            }
            Verb::Rein | Verb::Quit => {
                self.drop_data(super::End::Reset);
                self.send(head, permit);
            }
            Verb::Rnto => {
                // RFC 959 §5.4: the sequence is the gateway's to keep, since it judges both names.
                if self.place.renaming.take().is_some() {
                    self.send(head, permit);
                } else {
                    self.answer(head, 503, "Bad sequence of commands.", Outcome::Invalid);
                }
            }
            Verb::Feat if self.judge.is_unsupported(&head.command.name) => {
                self.answer_own_features(head)
            }
            Verb::Help if !self.may_help(&head.command) => {
                self.answer(head, 502, "Command not implemented.", Outcome::Denied);
            }
            verb if verb.transfers() => self.begin_transfer(head, permit),
            _ => self.send(head, permit),
        }
    }

    /// What is wrong with an argument, whatever the server thinks of it.
    fn argument_fault(command: &Command) -> Option<ClientFault> {
        let row = command.row()?;
        let missing = row.argument.is_mandatory() && command.argument.is_none();
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike")]
        let odd = match command.name.known()? {
            // RFC 2389 §3.1: FEAT takes no argument.
            Verb::Feat => command.argument.is_some(),
            Verb::Rest => effect::offset(command).is_none(),
            Verb::Pasv => row.argument == Argument::None && command.argument.is_some(),
            verb => verb::takes_word(verb) && command.word().is_none(),
        };
        (missing || odd).then_some(ClientFault::BadArgument)
    }

    /// EPSV: with a family, ALL, or nothing (RFC 2428 §3).
    fn forward_epsv(&mut self, head: Box<Head>) {
        let family = Family::of(self.client.ip());
        match address::parse_epsv(head.command.argument_bytes()) {
            Ok(Epsv::All) => {
                self.place.only_epsv = true;
                self.answer(head, 200, "EPSV ALL command successful.", Outcome::Answered);
            }
            Ok(Epsv::Family(asked)) if asked != family => self.answer_family(head, family),
            Ok(Epsv::Any | Epsv::Family(_)) => self.prepare(head, DataForm::Epsv, None),
            Err(AddressFault::UnknownFamily) => self.answer_family(head, family),
            Err(AddressFault::Malformed) => self.answer_invalid(head, ClientFault::BadArgument),
        }
    }

    /// PORT: to the client itself, from port 1024 (RFC 2577 §3).
    fn forward_port(&mut self, head: Box<Head>) {
        match address::parse_port(head.command.argument_bytes()) {
            Some(target) => self.prepare_active(head, DataForm::Port, target),
            None => self.answer_invalid(head, ClientFault::BadArgument),
        }
    }

    /// EPRT: the same. The unspecified address means the client's own (lftp).
    fn forward_eprt(&mut self, head: Box<Head>) {
        match address::parse_eprt(head.command.argument_bytes()) {
            Ok(mut target) => {
                let same_family = Family::of(target.ip()) == Family::of(self.client.ip());
                if same_family && target.ip().is_unspecified() {
                    target.set_ip(self.client.ip());
                }
                self.prepare_active(head, DataForm::Eprt, target);
            }
            // RFC 2428 §2: the families that would do, in parentheses.
            Err(AddressFault::UnknownFamily) => {
                let text = "Network protocol not supported, use (1,2)";
                self.answer(head, 522, text, Outcome::Invalid);
            }
            Err(AddressFault::Malformed) => self.answer_invalid(head, ClientFault::BadArgument),
        }
    }

    /// `522` with the one family that the control connection has.
    fn answer_family(&mut self, head: Box<Head>, family: Family) {
        let text = match family {
            Family::V4 => "Network protocol not supported, use (1)",
            Family::V6 => "Network protocol not supported, use (2)",
        };
        self.answer(head, 522, text, Outcome::Invalid);
    }

    /// Prepares an active data connection if its target is one that the client may name.
    fn prepare_active(&mut self, head: Box<Head>, form: DataForm, target: std::net::SocketAddr) {
        if target.ip().to_canonical() != self.client.ip() {
            self.answer_invalid(head, ClientFault::ForeignAddress);
        } else if target.port() < 1024 {
            self.answer_invalid(head, ClientFault::LowPort);
        } else {
            self.prepare(head, form, Some(super::canonical(target)));
        }
    }

    /// Writes the permitted line; its reply is awaited.
    fn send(&mut self, mut head: Box<Head>, permit: Permit) {
        head.stage = Stage::Forwarded;
        self.head = Some(head);
        self.write(Action::Forward(permit));
    }

    /// Writes a command of the gateway's own; its reply is awaited.
    pub(super) fn ask(&mut self, command: OwnCommand) {
        self.write(Action::Ask(command));
    }

    /// Writes to the server. What has come from it so far is no reply to this.
    pub(super) fn write(&mut self, action: Action) {
        self.early_bytes = self.replies.buffered();
        self.push(action);
        self.await_reply();
    }

    /// Runs the reply timer.
    pub(super) fn await_reply(&mut self) {
        let timeout = self.profile.limits.reply_timeout;
        self.deadlines.arm(Timer::Reply, self.now.elapsed, timeout);
    }

    /// Answers `head` in the gateway's own words.
    pub(super) fn answer(&mut self, head: Box<Head>, code: u16, text: &str, outcome: Outcome) {
        self.say(code, text);
        self.record(*head, Some(code), Origin::Gateway, outcome);
    }

    /// Answers the command in work in the gateway's own words.
    pub(super) fn answer_head(&mut self, code: u16, text: &str, outcome: Outcome) {
        if let Some(head) = self.head.take() {
            self.answer(head, code, text, outcome);
        }
    }

    /// Answers a malformed argument and counts it.
    pub(super) fn answer_invalid(&mut self, head: Box<Head>, fault: ClientFault) {
        self.note(Fact::ClientFault(fault));
        let (code, text, _) = fault.answer();
        self.answer(head, code, text, Outcome::Invalid);
    }

    /// The command in work gets no reply any more.
    pub(super) fn finish_unanswered(&mut self) {
        if let Some(head) = self.head.take() {
            self.record(*head, None, Origin::Gateway, Outcome::Forwarded);
        }
    }

    /// Whether the command in work is QUIT.
    pub(super) fn head_is_quit(&self) -> bool {
        self.head
            .as_ref()
            .is_some_and(|head| head.verb() == Some(Verb::Quit))
    }

    /// Notes all that is known of a command whose final reply is out.
    pub(super) fn record(
        &mut self,
        head: Head,
        code: Option<u16>,
        origin: Origin,
        outcome: Outcome,
    ) {
        // A verb that nobody knows may be a mistyped PASS, and its name a password.
        let is_unknown = matches!(head.command.name, Name::Other(_));
        let nameless = is_unknown && outcome != Outcome::Forwarded;
        let secret = nameless
            || is_unknown && !self.login.is_in()
            || head.command.is_secret()
            || self.is_configured_secret(&head.command);
        let hidden = secret && head.command.argument.is_some();
        let took = self.now.elapsed.saturating_sub(head.read_at);
        self.note(Fact::Command(Box::new(CommandRecord {
            argument: if hidden { None } else { head.command.argument },
            name: (!nameless).then_some(head.command.name),
            secret: hidden,
            directory: self.place.directory.clone(),
            path: head.path,
            outcome,
            decided: head.decided,
            upstream: head.upstream,
            observed: head.observed,
            code,
            origin,
            took,
            transferred: head.transferred,
        })));
    }

    /// Whether the operator named this SITE subcommand as secret.
    fn is_configured_secret(&self, command: &Command) -> bool {
        command.judged() == Some(Verb::Site)
            && command.word().is_some_and(|word| {
                self.profile
                    .secret_words
                    .iter()
                    .any(|secret| secret.as_bytes().eq_ignore_ascii_case(word))
            })
    }

    /// Whether HELP may be asked about this: not about what the session is refused anyway.
    fn may_help(&self, command: &Command) -> bool {
        let topic = command.argument_bytes().trim_ascii();
        let Some(name) = Name::parse(topic) else {
            return true;
        };
        if name == Name::Known(Verb::Site) {
            return truth::site_words().any(|word| self.could_allow(&name, Some(word)))
                || self.could_allow(&name, None);
        }
        matches!(name, Name::Other(_)) || self.could_allow(&name, None)
    }

    /// Whether the session could be allowed a command, with some path and argument.
    pub(super) fn could_allow(&self, name: &Name, word: Option<&str>) -> bool {
        let user = self.login.user.as_deref();
        self.judge
            .could_allow(name, word, user, self.client.ip(), self.now.unix_time)
    }
}

/// A retrieval of something in the working directory, to ask policy what it would need.
fn retrieval() -> Command {
    Command {
        name: Name::Known(Verb::Retr),
        spelling: Bytes::from_static(b"RETR"),
        argument: Some(Bytes::from_static(b"x")),
    }
}

/// ABOR, to ask policy of it before its turn.
fn abort_command() -> Command {
    Command {
        name: Name::Known(Verb::Abor),
        spelling: Bytes::from_static(b"ABOR"),
        argument: None,
    }
}
