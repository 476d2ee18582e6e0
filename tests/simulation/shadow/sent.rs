//! What goes to the server: permitted lines as the gateway encodes them and a closed list of its own
//! (L1), one at a time (L2), and never in clear where TLS is required (L7).

use ftpwarden::session::{OwnCommand, ServerTls};

use super::{ABORT_PATIENCE, Connection, Debt, Held, Shadow};
use crate::ideal::{SETUPS, Verdict};
use crate::lenient;

impl Shadow {
    /// Something goes to the server: one command at a time (P: replies are told apart by order).
    fn incur(&mut self, debt: Debt) -> Held {
        let patience = ABORT_PATIENCE.min(self.profile.limits.reply_timeout);
        if self.debts.len() == 1 && self.debts[0].0 == Debt::Abort && debt != Debt::Abort {
            let waited = self
                .abort_alone
                .map(|since| self.elapsed.saturating_sub(since));
            law!(
                waited.is_some_and(|waited| waited >= patience),
                "L2: a command is sent while the reply to ABOR is awaited"
            );
            self.debts.clear();
            self.abort_overdue = true;
        }
        law!(
            self.debts.is_empty() || debt == Debt::Abort,
            "L2: a command is sent while the server owes a reply to {:?}",
            self.debts
        );
        if debt == Debt::Abort && self.debts.is_empty() {
            self.abort_alone = Some(self.elapsed);
        }
        self.debts.push_back((debt, self.now));
        Ok(())
    }

    /// What both kinds of lines to the server must keep.
    fn may_write(&self, auth: bool) -> Held {
        law!(
            !self.closed[1],
            "L6: a line behind the end of the server's leg"
        );
        law!(
            self.greeting.is_some(),
            "L2: a line goes to a server that has not greeted"
        );
        law!(
            !self.turning[1],
            "L7: a line in clear goes to a server that turns to TLS"
        );
        let required = match self.profile.server_tls {
            ServerTls::Explicit | ServerTls::Implicit => true,
            ServerTls::Match => self.circumstances.client_secured,
            ServerTls::Off => false,
        };
        law!(
            auth || !required || self.circumstances.server_secured,
            "L7: a line goes in clear to a server that TLS is required towards"
        );
        Ok(())
    }

    /// A permitted line went to the server.
    pub(super) fn forwarded(&mut self, line: &[u8]) -> Held {
        self.may_write(false)?;
        law!(
            self.greeted,
            "L2: a line goes to the server before the client has its greeting"
        );
        law!(
            line.len() <= self.profile.line_bytes,
            "L6: a line of {} bytes goes to the server",
            line.len()
        );
        let Some(front) = self.owed.front_mut() else {
            return Err(format!(
                "L1: {} goes to the server and nobody sent it",
                line.escape_ascii()
            ));
        };
        let Some(spoken) = front.spoken().cloned() else {
            return Err(format!(
                "L1: {} goes to the server for a line that is no command",
                line.escape_ascii()
            ));
        };
        law!(
            line == spoken.encoded().as_slice(),
            "L1: {} goes to the server for {spoken:?}",
            line.escape_ascii()
        );
        let argument = line
            .strip_suffix(b"\r\n")
            .and_then(|line| line.get(spoken.verb.len() + 1..))
            .unwrap_or_default();
        for reader in lenient::ALL {
            lenient::agrees(reader, line, (&spoken.verb, argument))
                .map_err(|fault| format!("L1: {fault}"))?;
        }
        law!(
            !front.forwarded,
            "L1: {} goes to the server twice",
            line.escape_ascii()
        );
        law!(
            front.unsure || self.circumstances.judge(&spoken) != Verdict::Local,
            "L1: {} goes to the server and is refused",
            line.escape_ascii()
        );
        law!(
            !SETUPS.contains(&spoken.verb.as_str()),
            "L5: the client's own {} goes to the server",
            spoken.verb
        );
        front.forwarded = true;
        let transfers = front.transfers();
        if transfers {
            law!(
                !self.restart_stale && !self.range_stale,
                "L1: a transfer is sent behind an offset that is not its own"
            );
            law!(self.moving.is_none(), "L3: a relay ran before its transfer");
            self.restart = false;
            self.range = false;
            self.complete = None;
        }
        match spoken.verb.as_str() {
            "RNTO" => self.circumstances.renaming = false,
            "USER" => self.circumstances.refused = false,
            _ => {}
        }
        self.incur(Debt::Client)
    }

    /// A command of the gateway's own went to the server.
    pub(super) fn asked(&mut self, command: OwnCommand) -> Held {
        self.may_write(command == OwnCommand::AuthTls)?;
        let front = self.owed.front_mut();
        let verb = front.as_ref().map_or("", |front| front.verb()).to_owned();
        match command {
            OwnCommand::Abort | OwnCommand::AbortPlain => {
                law!(
                    front.is_some_and(|front| front.transfers()),
                    "L2: ABOR goes to the server without a transfer"
                );
                law!(
                    command == OwnCommand::AbortPlain || !self.circumstances.server_secured,
                    "L7: urgent data under TLS"
                );
                self.aborted = true;
                // That of a former one, which the gateway sent on its own account, is nobody's.
                self.abort_answer = None;
                return self.incur(Debt::Abort);
            }
            OwnCommand::AuthTls
            | OwnCommand::Pbsz
            | OwnCommand::ProtClear
            | OwnCommand::ProtPrivate => {
                law!(
                    self.profile.server_tls != ServerTls::Off,
                    "L1: {command:?} goes to a server without TLS"
                );
            }
            OwnCommand::Epsv | OwnCommand::Pasv | OwnCommand::Port(_) | OwnCommand::Eprt(_) => {
                let Some(front) = front else {
                    return Err(format!("L1: {command:?} goes to the server unasked"));
                };
                let spoken = front.spoken().cloned();
                law!(
                    SETUPS.contains(&verb.as_str())
                        && (front.unsure
                            || spoken.is_some_and(
                                |spoken| self.circumstances.judge(&spoken) != Verdict::Local
                            )),
                    "L1: {command:?} goes to the server for {verb}, which is refused"
                );
                if let OwnCommand::Port(address) | OwnCommand::Eprt(address) = command {
                    law!(
                        Some(address) == self.advertised[1],
                        "L5: the server is sent to {address}"
                    );
                }
                self.server_target = None;
                // What came over former data connections counts for no further transfer.
                for connection in &mut self.data {
                    if !connection.open {
                        *connection = Connection::default();
                    }
                }
            }
            OwnCommand::Pwd => law!(
                self.circumstances.user.is_some(),
                "L1: PWD goes to the server before a login"
            ),
            OwnCommand::RangeAll => {
                law!(self.range_stale, "L1: RANG 1 0 goes to the server unasked");
            }
            OwnCommand::RestZero => {
                law!(self.restart_stale, "L1: REST 0 goes to the server unasked");
            }
        }
        if let Some(front) = self.owed.front_mut() {
            front.asked = true;
        }
        self.incur(Debt::Own(command))
    }
}
