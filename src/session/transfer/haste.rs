//! What may not wait for its turn while a transfer runs: ABOR, and STAT without argument
//! (RFC 959 §4.1.3).

use std::time::Duration;

use bytes::Bytes;

use super::super::data::Endpoint;
use super::super::deadline::Timer;
use super::super::pipeline::{Entry, Item};
use super::super::server::Abort;
use super::super::state::Head;
use super::super::{Action, End, Fact, Leg, Limits, Origin, Outcome, OwnCommand, Session};
use super::{Cut, Relay, SETTLING};
use crate::ftp::command::{Command, Name};
use crate::ftp::reply::Code;
use crate::ftp::verb::Verb;
use crate::policy::Verdict;

/// How long ABOR's own reply may follow that of the transfer which it broke off.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// A bare STAT that is answered while the transfer runs.
#[derive(Debug)]
pub(in crate::session) struct StatusOwed {
    /// The command.
    pub(super) head: Box<Head>,
    /// The byte count, once it is known; a reply whose lines are on their way goes first.
    pub(super) bytes: Option<u64>,
}

impl StatusOwed {
    /// The byte count has been asked for.
    pub(in crate::session) const fn new(head: Box<Head>) -> Self {
        Self { head, bytes: None }
    }
}

impl Abort {
    /// Whether the server has still to answer it.
    pub(in crate::session) const fn is_awaited(&self) -> bool {
        matches!(self, Self::Own | Self::Sent)
    }

    /// The server has answered it. To one that the client did not send nobody listens.
    pub(in crate::session) fn answer(&mut self, code: Code, lines: Bytes) {
        *self = match self {
            Self::Own => Self::Idle,
            Self::Answered(..) | Self::Idle | Self::Overdue | Self::Sent => {
                Self::Answered(code, lines)
            }
        };
    }
}

impl Session {
    /// Makes the bytes that came commands, and acts on an ABOR or a STAT that may not wait.
    pub(in crate::session) fn read_commands(&mut self) {
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
    fn act_on_status(&mut self) -> bool {
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
        head.keep(&judgement, self.place.directory.as_ref());
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

    /// ABOR may not wait: the server is told at once, with urgent data, and before it sees the
    /// data connection break, lest it take an upload's end for its whole.
    ///
    /// The server's data connection stays until ABOR is answered, a moment at most: Pure-FTPd
    /// answers none for a transfer whose data connection broke before.
    fn send_abort(&mut self) {
        self.abort = Abort::Sent;
        if self
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.final_reply.is_some())
        {
            // Nothing else is in flight: what has come so far is no reply to ABOR.
            self.early_bytes = self.replies.buffered();
        }
        let gone = !self.data.is_open(Leg::Server)
            && self
                .transfer
                .as_ref()
                .is_some_and(|transfer| transfer.cut.is_some());
        self.push(Action::Ask(if gone {
            OwnCommand::AbortPlain
        } else {
            self.protection.abort()
        }));
        if self.data.server.endpoint == Endpoint::Connected {
            self.abort_client_side();
        } else {
            self.cut_transfer(true);
        }
        self.await_reply();
        self.settle();
    }

    /// Tells a server that the transfer is being broken off where it cannot see that: it waits for
    /// a data connection that could not be made, some for minutes. With urgent data, since it may
    /// be reading nothing else.
    pub(super) fn abort_unseen(&mut self) {
        let waits = matches!(
            self.data.server.endpoint,
            Endpoint::Dialling | Endpoint::Failed
        );
        let is_open = self
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.final_reply.is_none());
        let lacks_abort = self.judge.is_unsupported(&Name::Known(Verb::Abor));
        if waits && is_open && !lacks_abort && self.abort == Abort::Idle {
            self.abort = Abort::Own;
            self.push(Action::Ask(self.protection.abort()));
            self.await_reply();
        }
    }

    /// Breaks an aborted transfer off on the client's side; the server's follows in a moment.
    fn abort_client_side(&mut self) {
        let Some(transfer) = self.transfer.as_deref_mut() else {
            return;
        };
        if transfer.relay == Relay::Clean {
            return;
        }
        transfer.cut.get_or_insert(Cut::Client);
        let from_server = transfer.direction.source() == Leg::Server;
        self.deadlines.disarm(Timer::DataConnect);
        if self.data.is_open(Leg::Client) {
            self.push(Action::EndData {
                leg: Leg::Client,
                end: End::Reset,
            });
        }
        self.data.forget(Leg::Client);
        if from_server {
            // Many servers look for ABOR between two writes only: nothing may block them.
            self.push(Action::DiscardData(Leg::Server));
        }
        self.deadlines
            .arm(Timer::Settle, self.now.elapsed, SETTLING);
    }

    /// The transfer has its last word: ABOR's own follows at once, or never.
    pub(in crate::session) fn await_abort_reply(&mut self) {
        let patience = abort_patience(&self.limits);
        self.deadlines.arm(Timer::Reply, self.now.elapsed, patience);
    }

    /// How long the reply that is awaited may take under `limits`.
    pub(in crate::session) fn reply_patience(&self, limits: &Limits) -> Duration {
        if self.abort.is_awaited() && self.transfer.is_none() {
            abort_patience(limits)
        } else {
            limits.reply_timeout
        }
    }

    /// A server that answers an aborted transfer and its ABOR with one reply owes no other: the
    /// gateway says it, if the client waits for one. True where that was so.
    pub(in crate::session) fn stands_in_for_abort_reply(&mut self) -> bool {
        if !self.abort.is_awaited() || self.transfer.is_some() {
            return false;
        }
        self.abort = if self.abort == Abort::Own {
            Abort::Idle
        } else {
            Abort::Overdue
        };
        self.abort_overdue = !self.disown_abort_reply();
        true
    }

    /// Whether a reply with `code` is that of an ABOR which the gateway has answered already: only
    /// ABOR and the end of a transfer have these codes (RFC 959 §5.4). Taken for the reply to the
    /// command in work it would put all later ones in the wrong place. No transfer is under way
    /// then: the reply to its PASV or PORT would have come first, and nothing is overdue behind it.
    pub(in crate::session) fn is_overdue_abort_reply(&self, code: Code) -> bool {
        self.abort_overdue
            && matches!(code.value(), 225 | 226)
            && self.head.as_ref().and_then(|head| head.verb()) != Some(Verb::Abor)
    }

    /// Answers the STAT that was asked during the transfer, if its byte count is known and no
    /// reply is half sent; there may be another one behind it.
    pub(in crate::session) fn answer_measured_status(&mut self) {
        let bytes = self.status_owed.as_ref().and_then(|owed| owed.bytes);
        if let Some(bytes) = bytes.filter(|_| !self.reply_open) {
            self.answer_owed_status(bytes);
            self.read_commands();
        }
    }

    /// Answers the STAT that was asked during the transfer.
    pub(in crate::session) fn answer_owed_status(&mut self, bytes: u64) {
        let Some(owed) = self.status_owed.take() else {
            return;
        };
        let text = format!("Transfer in progress, {bytes} bytes so far.");
        self.answer(owed.head, 211, &text, Outcome::Answered);
    }

    /// ABOR's turn has come: its reply is there.
    pub(in crate::session) fn answer_acted_abort(&mut self, head: Box<Head>) {
        match std::mem::replace(&mut self.abort, Abort::Idle) {
            Abort::Answered(code, lines) => {
                self.out.extend_from_slice(&lines);
                self.note(Fact::Reply {
                    code: code.value(),
                    origin: Origin::Server,
                });
                self.record(head, Some(code.value()), Origin::Server, Outcome::Forwarded);
            }
            Abort::Idle | Abort::Overdue | Abort::Own | Abort::Sent => {
                self.answer(head, 226, "Abort successful.", Outcome::Forwarded);
            }
        }
    }
}

/// How long ABOR's own reply may take under `limits`.
fn abort_patience(limits: &Limits) -> Duration {
    ABORT_PATIENCE.min(limits.reply_timeout)
}

/// ABOR, to ask policy of it before its turn.
fn abort_command() -> Command {
    Command {
        name: Name::Known(Verb::Abor),
        spelling: Bytes::from_static(b"ABOR"),
        argument: None,
    }
}
