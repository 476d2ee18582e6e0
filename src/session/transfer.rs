//! The life of one transfer: its verb forwarded, its bytes relayed, both sides settled.
//!
//! ```text
//!   Waiting ──both connections──▶ Running ──┬─source ended─▶ Clean ──┐
//!      │                                    └─a side broke─▶ Broken ─┤
//!      └───────────────refused, never connected──────────────────────┴──final reply──▶ settled
//! ```
//!
//! Owns law L3: a final reply waits for the relay to settle, so it never overtakes the data that
//! it reports, and success is never said for bytes that did not arrive.

use std::time::Duration;

use bytes::Bytes;

use super::data::Endpoint;
use super::deadline::Timer;
use super::server::Abort;
use super::state::{Head, Stage};
use super::{
    Action, CloseReason, Direction, End, Fact, Leg, Origin, Outcome, OwnCommand, RelayEnd, Session,
    TransferOutcome,
};
use crate::ftp::command::Name;
use crate::ftp::reply::{self, Code};
use crate::ftp::verb::Data;
use crate::policy::Permit;

/// How long the client's end of data waits for the final reply, and a server's data connection
/// may trail behind its final reply.
const SETTLING: Duration = Duration::from_secs(1);

/// How long ABOR's own reply may follow that of the transfer which it broke off.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// How many looks without a byte moved make `transfer_idle_timeout`.
const STALL_LOOKS: u32 = 4;

/// What became of the bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Relay {
    /// Some did not arrive.
    Broken,
    /// All that the source had arrived at the sink.
    Clean,
    /// They are being moved.
    Running,
    /// Not both data connections are there.
    Waiting,
}

/// Why a transfer was broken off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Cut {
    /// The client's ABOR, or its data connection broke.
    Client,
    /// No data connection in time.
    NoConnection,
    /// The server's data connection broke, or nothing moved for too long.
    Server,
}

/// A final reply that is held.
#[derive(Debug)]
pub(super) struct FinalReply {
    /// Its code.
    pub(super) code: Code,
    /// All of it.
    pub(super) lines: Bytes,
    /// Its first line.
    pub(super) first: Bytes,
}

/// A transfer whose verb was forwarded.
#[derive(Debug)]
pub(super) struct Transfer {
    /// Which way.
    direction: Direction,
    /// The verb.
    name: Name,
    /// The path that was judged, or the name that the server gave.
    path: Option<Bytes>,
    /// When the verb was forwarded.
    began: Duration,
    /// What became of the bytes.
    relay: Relay,
    /// Bytes that the sink took, as far as they were told.
    bytes: u64,
    /// Why it was broken off.
    cut: Option<Cut>,
    /// A preliminary reply was relayed.
    promised: bool,
    /// The client's end of data was passed on before the final reply.
    sink_ended: bool,
    /// The server said that it is done and has had time enough to dial.
    server_never_came: bool,
    /// Looks at the byte count without a change.
    stalled: u32,
    /// A look is under way.
    looking: bool,
    /// The server has refused it while both data connections were there; whether bytes moved is
    /// being asked.
    refused: bool,
    /// The server's last word, until the relay has settled.
    pub(super) final_reply: Option<FinalReply>,
    /// The server has closed its control connection behind that word.
    server_gone: bool,
}

/// A bare STAT that is answered while the transfer runs.
#[derive(Debug)]
pub(super) struct StatusOwed {
    /// The command.
    head: Box<Head>,
    /// The byte count, once it is known; a reply whose lines are on their way goes first.
    bytes: Option<u64>,
}

impl StatusOwed {
    /// The byte count has been asked for.
    pub(super) const fn new(head: Box<Head>) -> Self {
        Self { head, bytes: None }
    }
}

impl Transfer {
    /// Whether a preliminary reply was relayed.
    pub(super) const fn is_promised(&self) -> bool {
        self.promised
    }

    /// Whether all that the source had has arrived.
    pub(super) fn is_clean(&self) -> bool {
        self.relay == Relay::Clean
    }

    /// Whether a relay runs.
    #[cfg(debug_assertions)]
    pub(super) fn is_running(&self) -> bool {
        self.relay == Relay::Running
    }

    /// Whether the shell is about to tell how the relay ended, or how many bytes it has moved.
    #[cfg(debug_assertions)]
    pub(super) fn awaits_shell(&self) -> bool {
        self.relay == Relay::Running && (self.cut.is_some() || self.refused || self.looking)
    }

    /// Whether bytes of an upload may still be missing.
    pub(super) fn is_unfinished_upload(&self) -> bool {
        self.direction == Direction::Upload && self.relay != Relay::Clean
    }

    /// How it ended, once it has.
    fn outcome(&self, complete: bool) -> TransferOutcome {
        match self.cut {
            None if complete => TransferOutcome::Complete,
            Some(Cut::Client) => TransferOutcome::Aborted,
            None | Some(Cut::NoConnection | Cut::Server) => TransferOutcome::Failed,
        }
    }
}

impl Session {
    /// Forwards a transfer verb, once nothing stale is left at the server.
    pub(super) fn begin_transfer(&mut self, mut head: Box<Head>, permit: Permit) {
        if !self.data.is_prepared() {
            // RFC 959 §3.2 has a default data port; nobody has used it for decades.
            self.drop_data(End::Reset);
            self.unlearn(&head.command);
            self.answer(head, 425, "Use PORT or PASV first.", Outcome::Answered);
            return;
        }
        if self.client_ended && is_upload(&head) {
            // Its data would come behind the end of the control connection: not to be trusted.
            self.drop_data(End::Reset);
            let text = "Connection closed; transfer aborted.";
            self.answer(head, 426, text, Outcome::Answered);
            return;
        }
        if self.place.restart_is_stale {
            head.stage = Stage::TakingBack(permit);
            self.head = Some(head);
            self.ask(OwnCommand::RestZero);
        } else {
            self.forward_transfer(head, permit);
        }
    }

    /// REST 0 was answered.
    pub(super) fn restart_taken_back(&mut self, code: Code) {
        self.deadlines.disarm(Timer::Reply);
        let Some(mut head) = self.head.take() else {
            return;
        };
        let stage = std::mem::replace(&mut head.stage, Stage::Judging);
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "only one stage takes an offset back"
        )]
        match stage {
            Stage::TakingBack(permit) if matches!(code.class(), 2 | 3) => {
                self.place.restart = None;
                self.forward_transfer(head, permit);
            }
            // The offset is still there and would damage a file that it was not meant for.
            _ => self.answer(head, 451, "Requested action aborted.", Outcome::Answered),
        }
    }

    /// Forwards the verb; the server's data connection is dialled at the same moment.
    fn forward_transfer(&mut self, mut head: Box<Head>, permit: Permit) {
        let offset = self.take_restart();
        let direction = match head.command.row().map(|row| row.data) {
            Some(Data::Upload) => Direction::Upload,
            Some(Data::List) => Direction::List,
            Some(Data::Download | Data::None | Data::Setup) | None => Direction::Download,
        };
        self.transfer = Some(Box::new(Transfer {
            direction,
            name: head.command.name.clone(),
            path: head.path.clone(),
            began: self.now.elapsed,
            relay: Relay::Waiting,
            bytes: 0,
            cut: None,
            promised: false,
            sink_ended: false,
            server_never_came: false,
            stalled: 0,
            looking: false,
            refused: false,
            final_reply: None,
            server_gone: false,
        }));
        self.note(Fact::TransferBegan {
            direction,
            name: head.command.name.clone(),
            path: head.path.clone(),
            offset,
        });
        head.stage = Stage::Transferring;
        head.transferred = true;
        self.head = Some(head);
        self.dial_server();
        self.write(Action::Forward(permit));
        self.watch_offers();
        self.settle();
        // What is queued behind it may be its ABOR.
        self.read_commands();
    }

    /// A preliminary reply was relayed: an active client expects its connection now.
    pub(super) fn transfer_promised(&mut self, line: &[u8]) {
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        transfer.promised = true;
        transfer.learn_name(line);
        self.dial(Leg::Client);
        self.settle();
        self.read_commands();
    }

    /// The final reply is in; it is held until the transfer has settled.
    pub(super) fn take_final(&mut self, reply: FinalReply) {
        self.deadlines.disarm(Timer::Reply);
        if self.abort == Abort::Sent {
            self.await_abort_reply();
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.learn_name(&reply.first);
            transfer.final_reply = Some(reply);
        }
        self.settle();
    }

    /// Moves the transfer on as far as what is known allows.
    pub(super) fn settle(&mut self) {
        let Some(transfer) = self.transfer.as_deref_mut() else {
            return;
        };
        let both = self.data.client.endpoint == Endpoint::Connected
            && self.data.server.endpoint == Endpoint::Connected;
        if transfer.relay == Relay::Waiting && transfer.cut.is_none() && both {
            transfer.relay = Relay::Running;
            let direction = transfer.direction;
            self.deadlines.disarm(Timer::DataConnect);
            if self.abort == Abort::Idle {
                self.deadlines.disarm(Timer::Reply);
            }
            self.watch_for_stall();
            self.push(Action::Relay(direction));
            return;
        }
        let Some(reply) = &transfer.final_reply else {
            return;
        };
        let done = reply.code.class() == 2;
        match transfer.relay {
            Relay::Broken | Relay::Clean => self.complete(),
            Relay::Running if done || transfer.refused => {}
            Relay::Running if transfer.cut.is_some() => self.reset_data(),
            Relay::Running => {
                transfer.refused = true;
                self.push(Action::Measure);
            }
            Relay::Waiting if done && transfer.cut.is_none() => self.settle_without_relay(),
            Relay::Waiting => self.complete(),
        }
    }

    /// The server says that it is done before both data connections are there: a small or an
    /// empty file, or a listing without a line, for which some servers never dial.
    fn settle_without_relay(&mut self) {
        let Some(transfer) = self.transfer.as_deref_mut() else {
            return;
        };
        match (self.data.server.endpoint, self.data.client.endpoint) {
            (Endpoint::Connected | Endpoint::Dialling, Endpoint::Target(_)) => {
                self.dial(Leg::Client);
            }
            (Endpoint::Listening, client) if transfer.server_never_came => match client {
                // What the client sent went nowhere.
                Endpoint::Connected if transfer.direction == Direction::Upload => {
                    transfer.cut = Some(Cut::NoConnection);
                    self.complete();
                }
                Endpoint::Connected => {
                    transfer.relay = Relay::Clean;
                    self.complete();
                }
                Endpoint::Target(_) => self.dial(Leg::Client),
                Endpoint::Dialling | Endpoint::Listening => {}
                Endpoint::Failed | Endpoint::None => self.complete(),
            },
            (Endpoint::Listening, _) => {
                self.deadlines
                    .arm_once(Timer::Settle, self.now.elapsed, SETTLING);
            }
            (Endpoint::Connected | Endpoint::Dialling, Endpoint::Failed | Endpoint::None)
            | (Endpoint::Failed | Endpoint::None | Endpoint::Target(_), _) => {
                transfer.cut = Some(Cut::NoConnection);
                self.complete();
            }
            (
                Endpoint::Connected | Endpoint::Dialling,
                Endpoint::Connected | Endpoint::Dialling | Endpoint::Listening,
            ) => {}
        }
    }

    /// What trails behind has had its moment.
    pub(super) fn settle_now(&mut self) {
        let Some(transfer) = self.transfer.as_deref_mut() else {
            return;
        };
        if transfer.cut.is_some() {
            self.reset_data();
            self.settle();
            return;
        }
        if transfer.relay == Relay::Clean && transfer.final_reply.is_none() {
            if transfer.direction.sink() == Leg::Client && !transfer.sink_ended {
                transfer.sink_ended = true;
                self.data.forget(Leg::Client);
                self.push(Action::EndData {
                    leg: Leg::Client,
                    end: End::Fin,
                });
            }
            return;
        }
        transfer.server_never_came = true;
        self.settle();
    }

    /// The relay is over.
    pub(super) fn relay_ended(&mut self, bytes: u64, end: RelayEnd) {
        let Some(transfer) = self.transfer.as_deref_mut() else {
            return;
        };
        if transfer.relay != Relay::Running {
            return;
        }
        transfer.bytes = bytes;
        self.deadlines.disarm(Timer::Stall);
        let source = transfer.direction.source();
        match end {
            RelayEnd::Source => {
                transfer.relay = Relay::Clean;
                // The end of an upload is passed on; that of a download is acknowledged at once,
                // since some servers say 226 only when their peer has closed.
                self.data.forget(Leg::Server);
                self.push(Action::EndData {
                    leg: Leg::Server,
                    end: End::Fin,
                });
                if source == Leg::Server {
                    self.deadlines
                        .arm(Timer::Settle, self.now.elapsed, SETTLING);
                }
            }
            RelayEnd::Cut => transfer.relay = Relay::Broken,
            RelayEnd::SinkBroke | RelayEnd::SourceBroke => {
                transfer.relay = Relay::Broken;
                let broke = if end == RelayEnd::SourceBroke {
                    source
                } else {
                    transfer.direction.sink()
                };
                let cut = if broke == Leg::Client {
                    Cut::Client
                } else {
                    Cut::Server
                };
                transfer.cut.get_or_insert(cut);
                self.reset_data();
            }
        }
        let answered = self
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.final_reply.is_some());
        if !answered {
            self.await_reply();
        }
        self.settle();
    }

    /// Everything is known: the data connections end, then the final reply is sent.
    fn complete(&mut self) {
        let Some(mut transfer) = self.transfer.take() else {
            return;
        };
        let Some(reply) = transfer.final_reply.take() else {
            self.transfer = Some(transfer);
            return;
        };
        self.deadlines.disarm(Timer::Settle);
        self.deadlines.disarm(Timer::Stall);
        let said_done = reply.code.class() == 2;
        let complete = said_done && transfer.relay == Relay::Clean && transfer.cut.is_none();
        let refused = !said_done
            && !transfer.promised
            && !matches!(reply.code.value(), 425 | 426)
            && transfer.relay == Relay::Waiting
            && transfer.cut.is_none()
            && self.data.server.endpoint != Endpoint::Failed;
        if refused {
            // vsftpd, Pure-FTPd and pyftpdlib keep the data endpoint for the next verb.
            self.watch_offers();
        } else if complete || transfer.bytes == 0 && transfer.cut.is_none() {
            self.drop_data(End::Fin);
        } else {
            self.drop_data(End::Reset);
        }
        self.answer_owed_status(transfer.bytes);
        self.note_transfer_ended(&transfer, complete);
        if said_done && !complete {
            let (code, text) = match transfer.cut {
                Some(Cut::NoConnection) if !transfer.promised => {
                    (425, "Can't open data connection.")
                }
                Some(_) | None => (426, "Connection closed; transfer aborted."),
            };
            self.answer_head(code, text, Outcome::Forwarded);
        } else {
            self.finish_final(&reply);
        }
        if transfer.server_gone {
            self.goodbye(
                CloseReason::ServerGone,
                "Service not available, the server has closed the connection.",
            );
        }
    }

    /// Sends the server's final reply as it is.
    fn finish_final(&mut self, reply: &FinalReply) {
        if self.abort == Abort::Sent {
            // The reply timer now runs for the ABOR's own reply.
            self.out.extend_from_slice(&reply.lines);
            let code = reply.code.value();
            self.note(Fact::Reply {
                code,
                origin: Origin::Server,
            });
            if let Some(head) = self.head.take() {
                self.record(*head, Some(code), Origin::Server, Outcome::Forwarded);
            }
        } else {
            self.finish_held(reply.code.value(), &reply.lines, Origin::Server);
        }
    }

    /// Notes how a transfer ended.
    fn note_transfer_ended(&mut self, transfer: &Transfer, complete: bool) {
        self.note(Fact::TransferEnded {
            direction: transfer.direction,
            name: transfer.name.clone(),
            path: transfer.path.clone(),
            bytes: transfer.bytes,
            took: self.now.elapsed.saturating_sub(transfer.began),
            outcome: transfer.outcome(complete),
        });
    }

    /// The session closes with a transfer that has not settled.
    pub(super) fn end_transfer_unsettled(&mut self) {
        if let Some(transfer) = self.transfer.take() {
            self.note_transfer_ended(&transfer, false);
        }
        if let Some(owed) = self.status_owed.take() {
            self.record(*owed.head, None, Origin::Gateway, Outcome::Answered);
        }
    }

    /// The client's data connection was reset outside of a relay: the transfer is broken off,
    /// and a download of which it had taken every byte as well, for they may not have arrived.
    pub(super) fn client_data_reset(&mut self) {
        if let Some(transfer) = self.transfer.as_deref_mut()
            && transfer.relay == Relay::Clean
            && transfer.direction.sink() == Leg::Client
        {
            transfer.relay = Relay::Broken;
            transfer.cut.get_or_insert(Cut::Client);
        }
        self.cut_transfer(true);
    }

    /// Breaks the transfer off unless all of its bytes have arrived. The final reply is still
    /// awaited.
    pub(super) fn cut_transfer(&mut self, by_client: bool) {
        let Some(transfer) = self.transfer.as_deref_mut() else {
            return;
        };
        if transfer.relay == Relay::Clean {
            return;
        }
        transfer
            .cut
            .get_or_insert(if by_client { Cut::Client } else { Cut::Server });
        self.reset_data();
    }

    /// No data connection came to be in time.
    pub(super) fn cut_for_no_connection(&mut self) {
        if let Some(transfer) = self.transfer.as_deref_mut() {
            transfer.cut.get_or_insert(Cut::NoConnection);
            self.reset_data();
        }
    }

    /// Ends both data connections visibly broken. A running relay then ends as cut.
    fn reset_data(&mut self) {
        self.drop_data(End::Reset);
    }

    /// ABOR may not wait: the server is told at once, with urgent data, and before it sees the
    /// data connection break, lest it take an upload's end for its whole.
    ///
    /// The server's data connection stays until ABOR is answered, a moment at most: Pure-FTPd
    /// answers none for a transfer whose data connection broke before.
    pub(super) fn send_abort(&mut self) {
        self.abort = Abort::Sent;
        let gone = !self.data.is_open(Leg::Server)
            && self
                .transfer
                .as_ref()
                .is_some_and(|transfer| transfer.cut.is_some());
        self.push(Action::Ask(if gone {
            OwnCommand::AbortPlain
        } else {
            OwnCommand::Abort
        }));
        if self.data.server.endpoint == Endpoint::Connected {
            self.abort_client_side();
        } else {
            self.cut_transfer(true);
        }
        self.await_reply();
        self.settle();
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
        self.deadlines.disarm(Timer::DataConnect);
        if self.data.is_open(Leg::Client) {
            self.push(Action::EndData {
                leg: Leg::Client,
                end: End::Reset,
            });
        }
        self.data.forget(Leg::Client);
        self.deadlines
            .arm(Timer::Settle, self.now.elapsed, SETTLING);
    }

    /// The transfer has its last word: ABOR's own follows at once, or never.
    fn await_abort_reply(&mut self) {
        let patience = ABORT_PATIENCE.min(self.profile.limits.reply_timeout);
        self.deadlines.arm(Timer::Reply, self.now.elapsed, patience);
    }

    /// A server that answers an aborted transfer and its ABOR with one reply owes no other: the
    /// gateway says it. True where that was so.
    pub(super) fn stands_in_for_abort_reply(&mut self) -> bool {
        if self.abort != Abort::Sent || self.transfer.is_some() {
            return false;
        }
        let lines = reply::render(226, "Abort successful.");
        if let Some(code) = Code::new(226) {
            self.abort = Abort::Answered(code, lines);
        }
        true
    }

    /// The server cannot be heard any more: what it has not reported as done is broken.
    pub(super) fn fail_transfer_for_server(&mut self) {
        if let Some(mut transfer) = self.transfer.take() {
            transfer.cut.get_or_insert(Cut::Server);
            // Reset, even where all bytes were passed on: nobody has said that they are all.
            self.drop_data(End::Reset);
            self.note_transfer_ended(&transfer, false);
            if self.reply_open {
                // Nothing may be said within a reply that has begun.
                return;
            }
            self.answer_owed_status(transfer.bytes);
            self.answer_head(
                426,
                "Connection closed; transfer aborted.",
                Outcome::Forwarded,
            );
        }
    }

    /// Whether the server has said its last word on the transfer before it went: then the bytes
    /// that are under way are still delivered.
    pub(super) fn server_left_after_final(&mut self) -> bool {
        match self.transfer.as_deref_mut() {
            Some(transfer) if transfer.final_reply.is_some() => {
                transfer.server_gone = true;
                true
            }
            Some(_) | None => false,
        }
    }

    /// Looks again, a while from now, whether bytes move.
    fn watch_for_stall(&mut self) {
        let timeout = self.profile.limits.transfer_idle_timeout;
        let period = timeout.checked_div(STALL_LOOKS).unwrap_or(timeout);
        self.deadlines.arm(Timer::Stall, self.now.elapsed, period);
    }

    /// Takes a look at the byte count.
    pub(super) fn look_for_stall(&mut self) {
        if let Some(transfer) = self.transfer.as_deref_mut() {
            transfer.looking = true;
            self.push(Action::Measure);
        }
    }

    /// The bytes that the running relay has moved.
    pub(super) fn measured(&mut self, bytes: u64) {
        if let Some(owed) = &mut self.status_owed {
            owed.bytes = Some(bytes);
        }
        self.answer_measured_status();
        let Some(transfer) = self.transfer.as_deref_mut() else {
            return;
        };
        if transfer.refused && transfer.relay == Relay::Running {
            transfer.bytes = bytes;
            transfer.cut.get_or_insert(Cut::Server);
            // Refused in the middle: what has arrived must not look complete. Refused before
            // anything moved: the client, which dialled early, meets no reset.
            let is_early = bytes == 0 && !transfer.promised;
            self.drop_data(if is_early { End::Fin } else { End::Reset });
            return;
        }
        let looking = std::mem::take(&mut transfer.looking);
        if !looking || transfer.relay != Relay::Running {
            return;
        }
        let moved = transfer.bytes != bytes;
        transfer.bytes = bytes;
        transfer.stalled = if moved {
            0
        } else {
            transfer.stalled.saturating_add(1)
        };
        if transfer.stalled >= STALL_LOOKS {
            self.cut_transfer(false);
        } else {
            self.watch_for_stall();
        }
    }

    /// Answers the STAT that was asked during the transfer, if its byte count is known and no
    /// reply is half sent; there may be another one behind it.
    pub(super) fn answer_measured_status(&mut self) {
        let bytes = self.status_owed.as_ref().and_then(|owed| owed.bytes);
        if let Some(bytes) = bytes.filter(|_| !self.reply_open) {
            self.answer_owed_status(bytes);
            self.read_commands();
        }
    }

    /// Answers the STAT that was asked during the transfer.
    fn answer_owed_status(&mut self, bytes: u64) {
        let Some(owed) = self.status_owed.take() else {
            return;
        };
        let text = format!("Transfer in progress, {bytes} bytes so far.");
        self.answer(owed.head, 211, &text, Outcome::Answered);
    }
}

/// Whether a command sends a file to the server.
fn is_upload(head: &Head) -> bool {
    head.command
        .row()
        .is_some_and(|row| row.data == Data::Upload)
}

impl Transfer {
    /// STOU: the server states the name that it chose, as `FILE: name` (RFC 1123 §4.1.2.9).
    fn learn_name(&mut self, line: &[u8]) {
        const MARK: &[u8] = b"FILE: ";
        if self.name != Name::Known(crate::ftp::verb::Verb::Stou) {
            return;
        }
        let found = line.windows(MARK.len()).position(|window| window == MARK);
        if let Some(name) = found
            .and_then(|at| line.get(at.saturating_add(MARK.len())..))
            .map(<[u8]>::trim_ascii_end)
        {
            self.path = Some(Bytes::copy_from_slice(name));
        }
    }
}
