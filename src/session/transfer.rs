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

use super::deadline::Timer;
use super::state::{Head, Stage};
use super::{Action, Direction, End, Fact, Leg, Limits, Origin, Outcome, Session, TransferOutcome};
use crate::ftp::command::Name;
use crate::ftp::reply::Code;
use crate::ftp::verb::Data;
use crate::policy::Permit;

mod haste;
mod settle;

pub(super) use haste::StatusOwed;

/// How long the client's end of data waits for the final reply, and a server's data connection
/// may trail behind its final reply.
const SETTLING: Duration = Duration::from_secs(1);

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
    /// The client's data connection could not be protected as it had to be.
    Unprotected,
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
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of their own: each changes without the others"
)]
pub(super) struct Transfer {
    /// Which way.
    direction: Direction,
    /// The verb.
    name: Name,
    /// What followed the verb.
    argument: Option<Bytes>,
    /// The directory that it was judged in, where it is known.
    directory: Option<Bytes>,
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
    /// Its 421 behind its last word on the transfer.
    goodbye: Option<Bytes>,
}

impl Transfer {
    /// Which way its bytes go.
    pub(super) const fn direction(&self) -> Direction {
        self.direction
    }

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

    /// Whether it waits for a data connection.
    pub(super) fn lacks_connection(&self) -> bool {
        self.relay == Relay::Waiting && self.cut.is_none()
    }

    /// Whether its bytes are still to come from the client.
    pub(super) fn awaits_upload(&self) -> bool {
        self.is_unfinished_upload() && self.lacks_connection()
    }

    /// Whether a client that has all of its bytes still waits for the server's last word.
    pub(super) fn awaits_report(&self) -> bool {
        self.is_clean() && self.direction.sink() == Leg::Client && !self.sink_ended
    }

    /// How it ended, once it has.
    fn outcome(&self, complete: bool) -> TransferOutcome {
        match self.cut {
            None if complete => TransferOutcome::Complete,
            Some(Cut::Client) => TransferOutcome::Aborted,
            None | Some(Cut::NoConnection | Cut::Server | Cut::Unprotected) => {
                TransferOutcome::Failed
            }
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
            self.unlearn(&head.command);
            let text = "Connection closed; transfer aborted.";
            self.answer(head, 426, text, Outcome::Answered);
            return;
        }
        if let Some(own) = self.takes_back() {
            head.stage = Stage::TakingBack(permit);
            self.head = Some(head);
            self.ask(own);
        } else {
            self.forward_transfer(head, permit);
        }
    }

    /// REST 0 or RANG 1 0 was answered.
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
                self.taken_back();
                // The client may have ended, and data connections may have, in the meantime.
                self.begin_transfer(head, permit);
            }
            // It is still there and would damage a file that it was not meant for.
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
            argument: head.command.argument.clone(),
            directory: head.directory.clone(),
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
            goodbye: None,
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
        self.direct_handshake();
        self.write(Action::Forward(permit));
        self.deadlines.disarm(Timer::DataConnect);
        self.watch_connections();
        self.settle();
        // What is queued behind it may be its ABOR.
        self.read_commands();
    }

    /// A preliminary reply was relayed: an active client expects its connection now.
    pub(super) fn transfer_promised(&mut self, line: &[u8]) {
        let Some(transfer) = &mut self.transfer else {
            return;
        };
        let is_first = !std::mem::replace(&mut transfer.promised, true);
        transfer.learn_name(line);
        self.dial(Leg::Client);
        if is_first {
            // Now both sides may come, however long the server took for that.
            self.deadlines.disarm(Timer::DataConnect);
            self.watch_connections();
        }
        self.settle();
        self.read_commands();
    }

    /// The final reply is in; it is held until the transfer has settled.
    pub(super) fn take_final(&mut self, reply: FinalReply) {
        self.deadlines.disarm(Timer::Reply);
        if self.abort.is_awaited() {
            self.await_abort_reply();
        }
        if let Some(transfer) = &mut self.transfer {
            transfer.learn_name(&reply.first);
            transfer.final_reply = Some(reply);
        }
        self.settle();
    }

    /// The session closes with a transfer that has not settled.
    pub(super) fn end_transfer_unsettled(&mut self) {
        if let Some(transfer) = self.transfer.take() {
            self.note_transfer_ended(&transfer, false);
        }
        if let Some(owed) = self.status_owed.take() {
            self.record(owed.head, None, Origin::Gateway, Outcome::Answered);
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
        self.abort_unseen();
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

    /// A data connection could not be protected.
    pub(super) fn cut_unprotected(&mut self, leg: Leg) {
        if let Some(transfer) = self.transfer.as_deref_mut() {
            transfer.cut.get_or_insert(match leg {
                Leg::Client => Cut::Unprotected,
                Leg::Server => Cut::Server,
            });
            self.reset_data();
        }
    }

    /// No data connection came to be in time.
    pub(super) fn cut_for_no_connection(&mut self) {
        if let Some(transfer) = self.transfer.as_deref_mut() {
            transfer.cut.get_or_insert(Cut::NoConnection);
            self.abort_unseen();
            self.reset_data();
        }
    }

    /// Ends both data connections visibly broken. A running relay then ends as cut.
    fn reset_data(&mut self) {
        self.drop_data(End::Reset);
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
    /// What it said for a goodbye, if anything, waits until then.
    pub(super) fn server_left_after_final(&mut self, goodbye: Option<&Bytes>) -> bool {
        match self.transfer.as_deref_mut() {
            Some(transfer) if transfer.final_reply.is_some() => {
                transfer.server_gone = true;
                transfer.goodbye = transfer.goodbye.take().or_else(|| goodbye.cloned());
                true
            }
            Some(_) | None => false,
        }
    }

    /// Looks again, a while from now, whether bytes move.
    fn watch_for_stall(&mut self) {
        let period = stall_period(&self.limits);
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
    pub(super) fn measured(&mut self, bytes: u64, held_back: bool) {
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
        // What waits for its share of a bandwidth does not stand still.
        let moved = transfer.bytes != bytes || held_back;
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

/// How long a relay goes on between two looks at whether it moves bytes.
pub(super) fn stall_period(limits: &Limits) -> Duration {
    let timeout = limits.transfer_idle_timeout;
    timeout.checked_div(STALL_LOOKS).unwrap_or(timeout)
}
