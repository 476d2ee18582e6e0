//! What the client hears: one reply for each command, in their order (L2), which says success for a
//! transfer only if it is whole (L3) and sends it nowhere but to the gateway (L5).

use std::net::SocketAddr;

use super::{CLIENTS, Debt, Held, Owed, SERVERS, Shadow, extended_port, is_upload};
use crate::ideal::{self, DOWNLOADS, Kind, SETUPS, Verdict};
use crate::replies::Reply;

impl Shadow {
    /// The client hears something.
    pub(super) fn client_hears(&mut self, bytes: &[u8]) -> Held {
        law!(
            !self.turning[0],
            "L7: the client hears something in clear behind 234"
        );
        let replies = self.client.push(bytes, self.now);
        law!(
            !self.client.is_broken(),
            "L2: what the client hears is no reply: {}",
            bytes.escape_ascii()
        );
        for reply in replies {
            self.replies += 1;
            self.had_replies
                .push_back((reply.code, reply.bytes.contains(&SERVERS)));
            if reply.code < 200 {
                self.hear_preliminary(&reply)?;
            } else if self.greeted {
                self.hear(&reply)?;
            } else {
                self.hear_greeting(&reply)?;
            }
        }
        Ok(())
    }

    /// The client hears its greeting, or why there is none.
    fn hear_greeting(&mut self, reply: &Reply) -> Held {
        self.greeted = true;
        if reply.code == 421 {
            self.doomed = Some("L2: the session outlives its refusal");
            return Ok(());
        }
        let Some(greeting) = &self.greeting else {
            return Err(format!("L2: {} before the server's greeting", reply.code));
        };
        match &self.profile.greeting {
            Some(own) => law!(
                own == &reply.bytes,
                "L2: the greeting is {}",
                reply.bytes.escape_ascii()
            ),
            None => law!(
                greeting.bytes == reply.bytes,
                "L2: the greeting is {}",
                reply.bytes.escape_ascii()
            ),
        }
        if reply.code >= 300 {
            self.doomed = Some("L2: the session outlives its refusal");
        }
        Ok(())
    }

    /// The client hears a preliminary reply.
    fn hear_preliminary(&mut self, reply: &Reply) -> Held {
        if !self.greeted {
            return Ok(());
        }
        let front = self.owed.front_mut();
        let due = front.and_then(|front| {
            front.promised = true;
            front.preliminaries.pop_front()
        });
        law!(
            due.as_ref().map(|due| &due.bytes) == Some(&reply.bytes),
            "L2: the client hears {}, the server said {due:?}",
            reply.bytes.escape_ascii()
        );
        Ok(())
    }

    /// The client hears a final reply.
    fn hear(&mut self, reply: &Reply) -> Held {
        let own = !reply.bytes.contains(&SERVERS);
        if own {
            law!(
                !reply.bytes.contains(&CLIENTS),
                "L2: the gateway repeats what the client said: {}",
                reply.bytes.escape_ascii()
            );
        }
        if reply.code == 421 {
            self.doomed = Some("L2: the session outlives its 421");
            let owed = self.owed.pop_front();
            self.left |= self.circumstances.kind == Kind::Users
                && owed.is_some_and(|owed| ["MKD", "XMKD"].contains(&owed.verb()));
            return Ok(());
        }
        if own && reply.code == 211 && reply.bytes.starts_with(b"211 Transfer in progress") {
            return self.hear_status();
        }
        let Some(owed) = self.owed.pop_front() else {
            return Err(format!(
                "L2: the client hears {} and has asked nothing",
                reply.bytes.escape_ascii()
            ));
        };
        self.had_commands.push_back(reply.code);
        let Some(spoken) = owed.spoken() else {
            law!(
                own && matches!(reply.code, 500 | 501),
                "L2: {} to a line that is no command",
                reply.code
            );
            return Ok(());
        };
        let verdict = if owed.unsure {
            Verdict::Unsure
        } else {
            self.circumstances.judge(spoken)
        };
        if owed.transfers() {
            self.hear_transfer(&owed, reply)?;
        } else if owed.forwarded {
            Self::hear_forwarded(&owed, reply, self.gone[1].is_some())?;
        } else {
            self.hear_local(&owed, reply, verdict)?;
        }
        self.learn(&owed, reply);
        Ok(())
    }

    /// The client hears the state of the transfer that runs: the STAT behind it is answered.
    fn hear_status(&mut self) -> Held {
        let Some(front) = self.owed.front() else {
            return Err("L2: a 211 without a transfer".into());
        };
        law!(
            front.transfers() && front.promised,
            "L2: a 211 without a transfer"
        );
        let next = self.owed.get(1).map_or("", Owed::verb);
        law!(
            next == "STAT",
            "L2: a 211 out of turn, the next command is {next}"
        );
        self.owed.remove(1);
        self.had_commands.push_back(211);
        Ok(())
    }

    /// The client hears the reply to a line that went to the server.
    fn hear_forwarded(owed: &Owed, reply: &Reply, server_gone: bool) -> Held {
        let verb = owed.verb();
        let Some(answer) = &owed.answer else {
            law!(
                verb == "QUIT" && server_gone && reply.code == 221,
                "L2: {} to {verb} before the server's reply",
                reply.code
            );
            return Ok(());
        };
        let rewritten = match verb {
            "FEAT" => reply.code == 211 || reply.code == answer.code,
            "HELP" | "SITE" => reply.code == answer.code,
            _ => false,
        };
        law!(
            rewritten || answer.bytes == reply.bytes,
            "L2: {} is the reply to {verb}, the server's was {}",
            reply.bytes.escape_ascii(),
            answer.bytes.escape_ascii()
        );
        Ok(())
    }

    /// The client hears the final reply to a transfer.
    fn hear_transfer(&mut self, owed: &Owed, reply: &Reply) -> Held {
        let whole = self.is_whole(is_upload(owed.verb()));
        let done = (200..300).contains(&reply.code);
        law!(
            !done || whole,
            "L3: {} for a transfer that is not whole",
            reply.code
        );
        let complete = self.complete.take();
        law!(complete.is_some(), "L3: a transfer ends and is not told of");
        let uncounted = self.moving.is_none() && done;
        law!(
            complete == Some(done) || uncounted,
            "L3: a transfer that ends with {} is told as complete: {complete:?}",
            reply.code
        );
        self.transfers += usize::from(done);
        self.moving = None;
        if let Some(answer) = &owed.answer
            && answer.bytes == reply.bytes
        {
            return Ok(());
        }
        law!(
            !reply.bytes.contains(&SERVERS) && matches!(reply.code, 425 | 426 | 522),
            "L2: {} is the reply to a transfer, the server's was {:?}",
            reply.bytes.escape_ascii(),
            owed.answer
        );
        Ok(())
    }

    /// The client hears the reply to a line that did not go to the server.
    fn hear_local(&mut self, owed: &Owed, reply: &Reply, verdict: Verdict) -> Held {
        let verb = owed.verb();
        let code = reply.code;
        let own = !reply.bytes.contains(&SERVERS);
        if verb == "ABOR" && self.aborted {
            self.aborted = false;
            if let Some(answer) = self.abort_answer.take() {
                law!(
                    answer.bytes == reply.bytes,
                    "L2: {} is the reply to ABOR",
                    reply.bytes.escape_ascii()
                );
                return Ok(());
            }
            if self
                .debts
                .front()
                .is_some_and(|(debt, _)| *debt == Debt::Abort)
            {
                self.debts.pop_front();
                self.abort_overdue = true;
            }
            law!(own && code == 226, "L2: {code} to an ABOR");
            return Ok(());
        }
        if SETUPS.contains(&verb) && !own {
            let answer = owed.own_answer.as_ref();
            law!(
                answer.is_some_and(|answer| answer.bytes == reply.bytes && answer.code >= 300),
                "L2: {} is the reply to {verb}",
                reply.bytes.escape_ascii()
            );
            return Ok(());
        }
        law!(
            own,
            "L2: {} is a server's reply to {verb}, which it never saw",
            reply.bytes.escape_ascii()
        );
        if verdict == Verdict::Local {
            let answers = [200, 215, 234, 331];
            law!(
                code >= 400 || answers.contains(&code),
                "L1: {code} to {verb}, which is refused"
            );
            return Ok(());
        }
        let known = match verb {
            "PASV" | "EPSV" | "PORT" | "EPRT" => return self.hear_setup(owed, reply),
            _ if DOWNLOADS.contains(&verb) || is_upload(verb) => matches!(code, 425 | 426 | 451),
            _ => false,
        };
        let unsure = verdict == Verdict::Unsure && code >= 400;
        law!(
            known || unsure || owed.unsure,
            "L2: {code} to {verb}, which is permitted and was not sent"
        );
        Ok(())
    }

    /// The client hears where to dial, or that it will be dialled.
    fn hear_setup(&mut self, owed: &Owed, reply: &Reply) -> Held {
        let local = self.advertised[0];
        match reply.code {
            227 => {
                let text = local.map(|local| match local {
                    SocketAddr::V4(local) => {
                        let [a, b, c, d] = local.ip().octets();
                        let [high, low] = local.port().to_be_bytes();
                        format!("227 Entering Passive Mode ({a},{b},{c},{d},{high},{low}).\r\n")
                    }
                    SocketAddr::V6(_) => String::new(),
                });
                law!(
                    text.as_deref().map(str::as_bytes) == Some(&reply.bytes),
                    "L5: the client is sent to {}",
                    reply.bytes.escape_ascii()
                );
            }
            229 => {
                let port = extended_port(&reply.first);
                law!(
                    port.is_some() && port == local.map(|local| local.port()),
                    "L5: the client is sent to {}",
                    reply.bytes.escape_ascii()
                );
            }
            200 if owed.verb() == "EPSV" => self.circumstances.only_epsv = true,
            200 => {
                let target = owed.spoken().and_then(ideal::target);
                law!(
                    self.circumstances.may_listen(target),
                    "L5: {target:?} is accepted"
                );
                self.client_target = target.map(|mut target| {
                    if target.ip().is_unspecified() {
                        target.set_ip(self.places.client.ip());
                    }
                    target
                });
            }
            425 | 451 | 501 | 502 | 522 | 530 => {}
            code => return Err(format!("L2: {code} to {}", owed.verb())),
        }
        Ok(())
    }
}
