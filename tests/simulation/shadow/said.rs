//! What the peers say: the client's lines, each of which is owed a reply, and the server's replies,
//! each of which belongs to something that it was sent.

use std::collections::VecDeque;
use std::net::SocketAddr;

use ftpwarden::session::OwnCommand;

use super::{Debt, Held, Owed, SECRET, Shadow, extended_port};
use crate::framing::{Line, Said};
use crate::replies::Reply;

impl Shadow {
    /// Bytes of the client's were fed.
    pub(super) fn client_said(&mut self, bytes: &[u8]) -> Held {
        law!(
            !self.turning[0],
            "L7: bytes in clear are read from a client that turns to TLS"
        );
        for line in self.framing.push(bytes) {
            self.spilt |= is_spilt(&line);
            self.owed.push_back(Owed {
                line,
                forwarded: false,
                asked: false,
                unsure: false,
                answer: None,
                own_answer: None,
                preliminaries: VecDeque::new(),
                promised: false,
            });
        }
        Ok(())
    }

    /// Bytes of the server's were fed.
    pub(super) fn server_said(&mut self, bytes: &[u8]) {
        let replies = self.server.push(bytes, self.now);
        for reply in replies {
            if self.server_turns {
                self.doomed = Some("L7: a reply in clear behind the server's 234 is borne");
                return;
            }
            self.answered(reply);
        }
        if self.server_turns && self.server.is_open() {
            self.doomed = Some("L7: bytes in clear behind the server's 234 are borne");
        }
        if self.server.is_broken() {
            self.doomed = Some("L6: a stream that is no stream of replies is borne");
        }
    }

    /// The server said a whole reply.
    fn answered(&mut self, reply: Reply) {
        if self.greeting.is_none() {
            if reply.code >= 200 {
                self.greeting = Some(reply);
            }
            return;
        }
        if reply.code == 421 {
            self.leaves = true;
        }
        if self.is_overdue(&reply) {
            self.abort_overdue = false;
            return;
        }
        let Some((debt, since)) = self.debts.front().copied() else {
            return;
        };
        if reply.began <= since {
            return;
        }
        if reply.code < 200 {
            if debt == Debt::Client
                && let Some(front) = self.owed.front_mut()
            {
                front.preliminaries.push_back(reply);
            }
            return;
        }
        self.abort_overdue = false;
        self.debts.pop_front();
        if self
            .debts
            .front()
            .is_some_and(|(debt, _)| *debt == Debt::Abort)
        {
            self.abort_alone = Some(self.elapsed);
        }
        let front = self.owed.front_mut();
        match (debt, front) {
            (Debt::Abort, _) => self.abort_answer = Some(reply),
            (Debt::Client, Some(front)) => front.answer = Some(reply),
            (Debt::Client, None) => {}
            (Debt::Own(command), front) => {
                if let Some(front) = front {
                    front.own_answer = Some(reply.clone());
                }
                self.own_answered(command, &reply);
            }
        }
    }

    /// A command of the gateway's own was answered.
    fn own_answered(&mut self, command: OwnCommand, reply: &Reply) {
        let server = self.places.server.ip();
        self.server_target = match command {
            OwnCommand::Epsv if reply.code == 229 => {
                extended_port(&reply.first).map(|port| SocketAddr::new(server, port))
            }
            OwnCommand::Pasv if reply.code == 227 => {
                passive_target(&reply.first).map(|mut stated| {
                    // Its words open no connection elsewhere: only the operator's do.
                    if !self.profile.data_addresses.contains(&stated.ip()) {
                        stated.set_ip(server);
                    }
                    stated
                })
            }
            OwnCommand::AuthTls if reply.code == 234 => {
                self.server_turns = true;
                return;
            }
            OwnCommand::RestZero if (200..400).contains(&reply.code) => {
                self.restart = false;
                self.restart_stale = false;
                return;
            }
            OwnCommand::RangeAll if (200..400).contains(&reply.code) => {
                self.range = false;
                self.range_stale = false;
                return;
            }
            _ => return,
        };
    }

    /// Whether a reply is that of an ABOR which was given up.
    fn is_overdue(&self, reply: &Reply) -> bool {
        if !self.abort_overdue || !matches!(reply.code, 225 | 226) {
            return false;
        }
        match self.owed.front() {
            Some(front) if front.transfers() => {
                !front.promised && !self.debts.iter().any(|(debt, _)| *debt == Debt::Abort)
            }
            Some(front) if front.forwarded || front.asked => front.verb() != "ABOR",
            _ => true,
        }
    }
}

/// Whether a command has a password where nobody looks for one.
fn is_spilt(line: &Line) -> bool {
    let Said::Command(spoken) = &line.said else {
        return false;
    };
    let secret = ["PASS", "ACCT", "ADAT", "MIC", "CONF", "ENC"].contains(&spoken.verb.as_str());
    let argument = spoken.argument.as_deref().unwrap_or_default();
    let text = String::from_utf8_lossy(argument);
    let first = text
        .split(' ')
        .find(|word| !word.is_empty())
        .unwrap_or_default();
    let site = spoken.verb == "SITE"
        && ["PSWD", "GPASS", "TOKEN"].contains(&first.to_ascii_uppercase().as_str());
    !secret && !site && text.contains(SECRET)
}

/// The address in a 227: the first six numbers between commas.
fn passive_target(line: &[u8]) -> Option<SocketAddr> {
    let text = String::from_utf8_lossy(line.get(4..)?);
    let numbers = text
        .split(|character: char| !character.is_ascii_digit() && character != ',')
        .find(|part| part.split(',').filter(|number| !number.is_empty()).count() == 6)?;
    let numbers: Vec<u8> = numbers
        .split(',')
        .filter_map(|number| number.parse().ok())
        .collect();
    let [a, b, c, d, high, low] = numbers.as_slice() else {
        return None;
    };
    let port = u16::from_be_bytes([*high, *low]);
    Some(SocketAddr::from(([*a, *b, *c, *d], port)))
}
