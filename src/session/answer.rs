//! What the client is told in the gateway's own words, and what is noted of it.

use std::time::Duration;

use super::state::{Head, TOO_MANY};
use super::{
    Action, CloseReason, CommandRecord, End, Fact, LONG_LINES, Origin, Outcome, ROOM, Session,
    VIOLATIONS_BEFORE_LOGIN,
};
use crate::ftp::command::{Command, Name};
use crate::ftp::misbehaviour::{ClientFault, Fate};
use crate::ftp::reply;
use crate::ftp::verb::{self, Verb};

impl Session {
    /// Answers `head` in the gateway's own words.
    pub(super) fn answer(&mut self, head: Box<Head>, code: u16, text: &str, outcome: Outcome) {
        self.say(code, text);
        self.record(head, Some(code), Origin::Gateway, outcome);
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
            let outcome = head.outcome();
            self.record(head, None, Origin::Gateway, outcome);
        }
    }

    /// Notes all that is known of a command whose final reply is out.
    pub(super) fn record(
        &mut self,
        mut spare: Box<Head>,
        code: Option<u16>,
        origin: Origin,
        outcome: Outcome,
    ) {
        let head = spare.take();
        self.spare_head = Some(spare);
        // A verb that nobody knows may be a mistyped PASS, and its name a password. Who is logged in has
        // said the password: what is like no such verb is told, so that a policy can name it.
        let is_unknown = matches!(head.command.name, Name::Other(_));
        let untaken = is_unknown && outcome != Outcome::Forwarded;
        let may_hold_secret = match &head.command.name {
            Name::Known(_) => false,
            Name::Other(name) => self.login.user.is_none() || verb::may_hold_secret(name),
        };
        let nameless = untaken && may_hold_secret;
        let secret = untaken
            || is_unknown && !self.login.is_in()
            || head.command.is_secret()
            || self.is_configured_secret(&head.command);
        let hidden = secret && head.command.argument.is_some();
        let took = self.now.elapsed.saturating_sub(head.read_at);
        let record = CommandRecord {
            argument: if hidden { None } else { head.command.argument },
            name: (!nameless).then_some(head.command.name),
            secret: hidden,
            // What was not judged was said where the session is now.
            directory: head.directory.or_else(|| self.place.directory.clone()),
            path: head.path,
            outcome,
            decided: head.decided,
            upstream: head.upstream,
            observed: head.observed,
            code,
            origin,
            took,
            transferred: head.transferred,
        };
        self.note_command(record);
    }

    /// Whether the operator named this SITE subcommand as secret.
    fn is_configured_secret(&self, command: &Command) -> bool {
        let secrets = &self.profile.secret_words;
        let is_one = |word: &[u8]| {
            let is_it = |secret: &str| secret.as_bytes().eq_ignore_ascii_case(word);
            secrets.iter().any(|secret| is_it(secret))
        };
        !secrets.is_empty() && command.may_name(is_one)
    }

    /// Answers a line that was no command.
    pub(super) fn answer_fault(
        &mut self,
        fault: ClientFault,
        verb: Option<Verb>,
        read_at: Duration,
    ) {
        self.note(Fact::ClientFault(fault));
        let (code, text, end) = match fault.answer() {
            // The line has one reply, also where it is the last one.
            (_, _, Fate::Counted) if self.is_too_many(fault) => {
                (421, TOO_MANY, Some(CloseReason::Violations))
            }
            (code, text, Fate::Ends) => (code, text, Some(CloseReason::Violation)),
            (code, text, Fate::Counted | Fate::Lives) => (code, text, None),
        };
        self.say(code, text);
        let name = verb.map(Name::Known);
        let took = self.now.elapsed.saturating_sub(read_at);
        self.note_command(CommandRecord {
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
        });
        if let Some(reason) = end {
            self.close(reason, End::Fin);
        }
    }

    /// Counts a fault of the client's; true where it is one too many.
    pub(super) fn is_too_many(&mut self, fault: ClientFault) -> bool {
        self.violations = self.violations.saturating_add(1);
        if fault == ClientFault::LineTooLong {
            self.long_lines = self.long_lines.saturating_add(1);
        }
        let bound = self.limits.violations;
        let bound = if self.login.is_in() {
            bound
        } else {
            bound.checked_div(VIOLATIONS_BEFORE_LOGIN).unwrap_or(bound)
        };
        self.violations > bound || self.long_lines > LONG_LINES
    }

    /// Something to be done, behind the replies that are already owed.
    pub(super) fn push(&mut self, action: Action) {
        self.flush();
        self.actions.push_back(action);
    }

    /// Something to be counted; its order among replies does not matter.
    pub(super) fn note(&mut self, fact: Fact) {
        self.actions.push_back(Action::Note(fact));
    }

    /// Notes a command, in the memory of the last one's record where that has come back.
    fn note_command(&mut self, record: CommandRecord) {
        let record = match self.spare_record.take() {
            Some(mut spare) => {
                *spare = record;
                spare
            }
            None => Box::new(record),
        };
        self.note(Fact::Command(record));
    }

    /// Makes the collected reply bytes an action.
    pub(super) fn flush(&mut self) {
        if !self.out.is_empty() {
            let bytes = self.out.split().freeze();
            self.actions.push_back(Action::Reply(bytes));
        }
    }

    /// Sees to it that small lines can be written without asking for memory each time.
    pub(super) fn make_room(&mut self) {
        if self.out.capacity() == 0 {
            self.out.reserve(ROOM);
        }
    }

    /// Writes a reply of the gateway's to the client.
    pub(super) fn say(&mut self, code: u16, text: &str) {
        self.make_room();
        reply::put(&mut self.out, code, text);
        self.note(Fact::Reply {
            code,
            origin: Origin::Gateway,
        });
    }
}
