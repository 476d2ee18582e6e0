//! How a transfer comes to its end: the relay over, the final reply there, both sides settled.

use std::time::Duration;

use super::super::Action;
use super::super::data::Endpoint;
use super::super::deadline::Timer;
use super::super::{CloseReason, Direction, End, Fact, Leg, Origin, Outcome, RelayEnd, Session};
use super::{Cut, FinalReply, Relay, SETTLING, Transfer};

/// How long a client that has ended its control connection may still hear what became of its
/// broken transfer: some servers never say it.
const LAST_WORD: Duration = Duration::from_secs(5);

impl Session {
    /// Moves the transfer on as far as what is known allows.
    pub(in crate::session) fn settle(&mut self) {
        let Some(transfer) = self.transfer.as_deref_mut() else {
            return;
        };
        let both = self.data.client.endpoint == Endpoint::Connected
            && self.data.server.endpoint == Endpoint::Connected;
        if transfer.relay == Relay::Waiting && transfer.cut.is_none() && both {
            transfer.relay = Relay::Running;
            let direction = transfer.direction;
            self.deadlines.disarm(Timer::DataConnect);
            if !self.abort.is_awaited() {
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
            Relay::Waiting if done && transfer.cut.is_none() => self.settle_without_relay(),
            Relay::Broken | Relay::Clean | Relay::Waiting => self.complete(),
            Relay::Running if done || transfer.refused => {}
            Relay::Running if transfer.cut.is_some() => self.reset_data(),
            Relay::Running => {
                transfer.refused = true;
                self.push(Action::Measure);
            }
        }
    }

    /// The server says that it is done before both data connections are there: a small or an
    /// empty file, or a listing without a line, for which some servers never dial.
    fn settle_without_relay(&mut self) {
        let Some(transfer) = self.transfer.as_deref_mut() else {
            return;
        };
        match (self.data.server.endpoint, self.data.client.endpoint) {
            (
                Endpoint::Connected | Endpoint::Dialling | Endpoint::Securing,
                Endpoint::Target(_),
            ) => {
                self.dial_late_client();
            }
            (Endpoint::Listening, client) if transfer.server_never_came => match client {
                // What the client sent went nowhere, or what the server may have sent.
                Endpoint::Connected
                    if transfer.direction == Direction::Upload || self.data.turned_away =>
                {
                    transfer.cut = Some(Cut::NoConnection);
                    self.complete();
                }
                Endpoint::Connected => {
                    transfer.relay = Relay::Clean;
                    self.complete();
                }
                Endpoint::Target(_) => self.dial_late_client(),
                Endpoint::Dialling | Endpoint::Listening | Endpoint::Securing => {}
                Endpoint::Failed | Endpoint::None => self.complete(),
            },
            (Endpoint::Listening, _) => {
                self.deadlines
                    .arm_once(Timer::Settle, self.now.elapsed, SETTLING);
            }
            (
                Endpoint::Connected | Endpoint::Dialling | Endpoint::Securing,
                Endpoint::Failed | Endpoint::None,
            )
            | (Endpoint::Failed | Endpoint::None | Endpoint::Target(_), _) => {
                transfer.cut = Some(Cut::NoConnection);
                self.complete();
            }
            (
                Endpoint::Connected | Endpoint::Dialling | Endpoint::Securing,
                Endpoint::Connected | Endpoint::Dialling | Endpoint::Listening | Endpoint::Securing,
            ) => {}
        }
    }

    /// The client is dialled only now that the server says that it is done.
    fn dial_late_client(&mut self) {
        self.dial(Leg::Client);
        self.watch_connections();
    }

    /// What trails behind has had its moment.
    pub(in crate::session) fn settle_now(&mut self) {
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
    pub(in crate::session) fn relay_ended(&mut self, bytes: u64, end: RelayEnd) {
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

    /// Bounds the wait for the final reply to a broken transfer whose client has ended.
    pub(in crate::session) fn bound_last_word(&mut self) {
        let lacks_last_word = self
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.cut.is_some() && transfer.final_reply.is_none());
        if self.client_ended && lacks_last_word && !self.is_over() {
            self.deadlines
                .arm_once(Timer::LastWord, self.now.elapsed, LAST_WORD);
        } else {
            self.deadlines.disarm(Timer::LastWord);
        }
    }

    /// Everything is known: the data connections end, then the final reply is sent.
    pub(in crate::session) fn complete(&mut self) {
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
        let unprotected = transfer.cut == Some(Cut::Unprotected);
        if said_done && !complete || unprotected {
            let (code, text) = match transfer.cut {
                // RFC 4217 §10.2, whatever the server calls the reset that it saw.
                Some(Cut::Unprotected) => (522, "Data connection not protected as required."),
                Some(Cut::NoConnection) if !transfer.promised => {
                    (425, "Can't open data connection.")
                }
                Some(_) | None => (426, "Connection closed; transfer aborted."),
            };
            self.answer_head(code, text, Outcome::Forwarded);
        } else {
            self.finish_final(&reply);
        }
        if let Some(lines) = transfer.goodbye {
            self.pass_on_goodbye(&lines);
        } else if transfer.server_gone {
            self.goodbye(
                CloseReason::ServerGone,
                "Service not available, the server has closed the connection.",
            );
        }
    }

    /// Sends the server's final reply as it is.
    fn finish_final(&mut self, reply: &FinalReply) {
        if self.abort.is_awaited() {
            // The reply timer now runs for the ABOR's own reply.
            self.out.extend_from_slice(&reply.lines);
            let code = reply.code.value();
            self.note(Fact::Reply {
                code,
                origin: Origin::Server,
            });
            if let Some(head) = self.head.take() {
                self.record(head, Some(code), Origin::Server, Outcome::Forwarded);
            }
        } else {
            self.finish_held(reply.code.value(), &reply.lines, Origin::Server);
        }
    }

    /// Notes how a transfer ended.
    pub(in crate::session) fn note_transfer_ended(&mut self, transfer: &Transfer, complete: bool) {
        self.note(Fact::TransferEnded {
            direction: transfer.direction,
            name: transfer.name.clone(),
            argument: transfer.argument.clone(),
            directory: transfer.directory.clone(),
            path: transfer.path.clone(),
            bytes: transfer.bytes,
            took: self.now.elapsed.saturating_sub(transfer.began),
            outcome: transfer.outcome(complete),
        });
    }
}
