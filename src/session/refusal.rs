//! Logins that are refused, by the server or by policy: each refusal takes its time.
//!
//! Whoever guesses waits, a little longer each time. And a name that policy refuses is refused as
//! late as one that the server refuses, so that names cannot be told apart by time (RFC 2577 §5
//! and §7). Nothing is read from the server meanwhile: what it says behind its refusal, 421 or its
//! end, comes behind it.

use std::time::Duration;

use bytes::Bytes;

use super::deadline::Timer;
use super::state::{Head, Stage};
use super::{Fact, LoginOutcome, Origin, Outcome, Session};
use crate::ftp::command::{Command, Name};
use crate::ftp::reply::{self, Code};
use crate::ftp::verb::Verb;
use crate::policy::Verdict;
use crate::policy::verdict::Reply;

/// A refusal that takes its time.
#[derive(Debug)]
pub(super) struct Refusal {
    /// Its code.
    code: u16,
    /// All of it.
    lines: Bytes,
    /// Who made it.
    origin: Origin,
    /// When the login began to be worked on.
    began: Duration,
}

impl Refusal {
    /// What has become of the login.
    pub(super) const fn outcome(&self) -> Outcome {
        match self.origin {
            Origin::Gateway => Outcome::Denied,
            Origin::Server => Outcome::Forwarded,
        }
    }
}

impl Session {
    /// Whether a refusal takes its time.
    pub(super) fn is_refusing(&self) -> bool {
        self.head
            .as_ref()
            .is_some_and(|head| matches!(head.stage, Stage::Refusing(_)))
    }

    /// Whether a reply with `code` to `head` refuses a login. What the server says of somebody who
    /// is logged in already, and of commands in the wrong order, guesses nothing.
    pub(super) fn refuses_login(&self, head: &Head, code: Code) -> bool {
        let refuses = matches!(code.class(), 4 | 5) && code.value() != 421;
        refuses
            && self.login.user.is_none()
            && match head.verb() {
                Some(Verb::User) => true,
                Some(Verb::Pass) => code.value() != 503,
                Some(_) | None => false,
            }
    }

    /// The server has refused a login.
    pub(super) fn take_refusal(&mut self, code: Code, lines: Bytes, first: &Bytes) {
        self.deadlines.disarm(Timer::Reply);
        let Some(head) = self.head.take() else { return };
        self.learn(&head.command, head.path.as_ref(), code, first);
        let refusal = Refusal {
            code: code.value(),
            lines,
            origin: Origin::Server,
            began: head.sent_at.unwrap_or(head.read_at),
        };
        self.delay(head, refusal);
    }

    /// Policy refuses a login.
    pub(super) fn refuse_login(&mut self, head: Box<Head>, reply: &Reply) {
        self.note(Fact::Login {
            user: self.login.trying.clone().unwrap_or_default(),
            outcome: LoginOutcome::Denied,
        });
        let refusal = Refusal {
            code: reply.code,
            lines: reply::render(reply.code, &reply.text),
            origin: Origin::Gateway,
            began: self.now.elapsed,
        };
        self.delay(head, refusal);
    }

    /// Policy has refused the name: the password is refused whatever it is, with the words that the
    /// name has earned.
    pub(super) fn refuse_password(&mut self, head: Box<Head>) {
        let user = Command {
            name: Name::Known(Verb::User),
            spelling: Bytes::from_static(b"USER"),
            argument: self.login.trying.clone(),
        };
        let reply = match self.judge(&user).verdict {
            Verdict::Deny(reply) => reply,
            // A reload may have changed its mind since.
            Verdict::Answer(_) | Verdict::Close(_) | Verdict::Forward(_) => {
                Reply::login_incorrect()
            }
        };
        self.refuse_login(head, &reply);
    }

    /// Lets a refusal take its time.
    fn delay(&mut self, mut head: Box<Head>, refusal: Refusal) {
        self.failed_logins = self.failed_logins.saturating_add(1);
        head.stage = Stage::Refusing(refusal);
        self.head = Some(head);
        self.await_refusal();
    }

    /// The shell has counted the failures of all of the client's sessions.
    pub(super) fn follow_failures(&mut self, count: u32) {
        self.failed_logins = count;
        self.await_refusal();
    }

    /// Runs the timer of a refusal that waits. It counts from the moment at which the login began
    /// to be worked on, so that the time that the server took does not show.
    pub(super) fn await_refusal(&mut self) {
        let Some(Stage::Refusing(refusal)) = self.head.as_ref().map(|head| &head.stage) else {
            return;
        };
        let delay = self.limits.refusal_delay(self.failed_logins);
        let left = refusal
            .began
            .saturating_add(delay)
            .saturating_sub(self.now.elapsed);
        self.deadlines.arm(Timer::Refusal, self.now.elapsed, left);
    }

    /// The refusal has taken its time.
    pub(super) fn answer_refusal(&mut self) {
        let Some(mut head) = self.head.take() else {
            return;
        };
        if let Stage::Refusing(refusal) = std::mem::replace(&mut head.stage, Stage::Judging) {
            let Refusal {
                code,
                lines,
                origin,
                ..
            } = refusal;
            self.out.extend_from_slice(&lines);
            self.note(Fact::Reply { code, origin });
            let outcome = match origin {
                Origin::Gateway => Outcome::Denied,
                Origin::Server => Outcome::Forwarded,
            };
            self.record(head, Some(code), origin, outcome);
        }
        // What the server had sent behind it is older than the next command.
        self.read_replies(&[]);
    }
}
