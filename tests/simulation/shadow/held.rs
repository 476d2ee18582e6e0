//! What must hold between two steps: what facts tell is what happened and no secret (L4), and
//! everything that grows or waits is bounded (L6).

use ftpwarden::session::{Fact, Origin, TransferOutcome};

use super::{Held, Owed, SECRET, Shadow};
use crate::facts::describe;
use crate::ideal;
use crate::world::World;

impl Shadow {
    /// A fact was noted.
    pub(super) fn noted(&mut self, fact: &Fact) -> Held {
        let loaded = ideal::loaded(self.circumstances.kind);
        let written = match fact {
            // Rules of a policy that is in force no more have their names elsewhere.
            Fact::Command(record) => format!(
                "{fact:?} {:?} {:?} {:?}",
                record.argument, record.path, record.directory
            ),
            _ => format!("{fact:?} {}", describe(fact, &loaded.policies)),
        };
        law!(
            self.spilt || !written.contains(SECRET),
            "L4: a secret is told: {written}"
        );
        match fact {
            Fact::Reply { code, origin } => self.told_replies.push_back((*code, *origin)),
            Fact::Command(record) => {
                if let Some(code) = record.code.filter(|code| *code != 421) {
                    self.told_commands.push_back(code);
                }
            }
            Fact::TransferEnded { outcome, .. } => {
                law!(self.complete.is_none(), "L3: a transfer ends twice");
                self.complete = Some(*outcome == TransferOutcome::Complete);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the transfer in work has had the server's last word, which the client has not heard.
    fn delivers(&self) -> bool {
        let front = self.owed.front();
        front.is_some_and(|front| front.transfers() && front.answer.is_some())
    }

    /// Looks whether everything is as it must be between two steps.
    pub(super) fn hold(&mut self, world: &World) -> Held {
        let over = world.session.is_over();
        // What the server has reported on before it left is still delivered.
        if self.leaves && !self.delivers() {
            self.doomed = Some("L2: the server's 421 is borne");
        }
        if let Some(law) = self.doomed {
            law!(over || self.is_refusing(), "{law}");
        }
        law!(
            over || !self.client.is_open() || self.server.is_open(),
            "L2: a reply is left half said"
        );
        while let (Some((told, origin)), Some((had, servers))) =
            (self.told_replies.front(), self.had_replies.front())
        {
            law!(
                told == had,
                "L2: a {told} is told of, the client heard {had}"
            );
            law!(
                !servers || *origin == Origin::Server,
                "L2: a reply of the server's is told as the gateway's"
            );
            self.told_replies.pop_front();
            self.had_replies.pop_front();
        }
        law!(
            self.told_replies.is_empty(),
            "L2: {:?} are told of and nobody heard them",
            self.told_replies
        );
        law!(
            self.had_replies.is_empty(),
            "L2: the client heard {:?}, which are not told of",
            self.had_replies
        );
        law!(
            self.told_commands == self.had_commands,
            "L2: commands are told of with {:?} and had {:?}",
            self.told_commands,
            self.had_commands
        );
        self.told_commands.clear();
        self.had_commands.clear();
        if let Some(actions) = &world.actions {
            law!(
                self.spilt || !actions.iter().any(|action| action.contains(SECRET)),
                "L4: an action tells a secret"
            );
        }
        if over {
            law!(
                self.closed == [true, true],
                "L6: a leg outlives the session"
            );
            law!(
                world.session.deadline().is_none(),
                "L6: a deadline outlives the session"
            );
            law!(
                !world.holds_data(),
                "L6: a data connection outlives the session"
            );
            return Ok(());
        }
        self.hold_bounds(world)
    }

    /// Whether the refusal of a login takes its time: what the server says behind it is read later.
    fn is_refusing(&self) -> bool {
        self.owed.front().is_some_and(|front| {
            let refused = front.answer.as_ref().is_some_and(|reply| reply.code >= 400);
            refused && ["USER", "PASS"].contains(&front.verb())
        })
    }

    /// Looks whether everything that grows or waits is bounded.
    fn hold_bounds(&self, world: &World) -> Held {
        let Some(deadline) = world.session.deadline() else {
            return Err("L6: nothing bounds the session".into());
        };
        let limits = &self.profile.limits;
        let longest = limits
            .idle_timeout
            .max(limits.reply_timeout)
            .max(limits.transfer_idle_timeout);
        law!(
            deadline <= self.elapsed + longest,
            "L6: the session may wait until {deadline:?}"
        );
        law!(deadline >= self.elapsed, "L6: a deadline has passed");
        // The line in work and its STAT, the queue, and what is read ahead of it. A run of NOOPs
        // is one entry.
        let mut distinct: Vec<usize> = Vec::new();
        let mut before = "";
        for owed in &self.owed {
            if owed.verb() != "NOOP" || before != "NOOP" {
                distinct.push(owed.line.length);
            }
            before = owed.verb();
        }
        let ahead: usize = distinct.iter().skip(limits.pipelined_commands + 2).sum();
        let held = ahead + self.framing.held();
        law!(
            held <= 64 * 1024 + 8192 + self.profile.line_bytes,
            "L6: {held} bytes are held for the client"
        );
        Ok(())
    }

    /// Looks whether a session in which everybody behaved ended by QUIT, by policy, or by a client
    /// that speaks another protocol.
    ///
    /// # Errors
    /// It did not.
    pub(crate) fn left_for_a_reason(&self) -> Held {
        law!(
            self.left,
            "L2: a session in which everybody behaved was closed"
        );
        Ok(())
    }

    /// Looks whether nothing is owed any more, in a run in which everybody behaved.
    ///
    /// # Errors
    /// What is owed.
    pub(crate) fn owes_nothing(&self) -> Held {
        law!(
            self.owed.is_empty(),
            "L2: no reply to {:?}",
            self.owed.front().map(Owed::verb)
        );
        law!(
            self.debts.is_empty(),
            "L2: the server still owes {:?}",
            self.debts
        );
        law!(!self.client.is_open(), "L2: a reply is left half said");
        Ok(())
    }
}
