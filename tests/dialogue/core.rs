//! Runs a conversation through the pure core.

use std::sync::Arc;

use ftpwarden::config::Loaded;
use ftpwarden::session::{End, EndReason, Leg, Told};

use super::facts::describe;
use super::rules::{self, Tables};
use super::script::{self, DataStep, Piece, Script, ShellStep, Slot, Step, Text};
use super::world::{Listens, Places, Seen, World};

/// How the bytes of a send arrive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Segments {
    /// One at a time.
    Bytes,
    /// As the file has them.
    Lines,
}

/// A conversation under way.
struct Stage {
    /// The world.
    world: World,
    /// The configuration.
    loaded: Loaded,
    /// How sends arrive.
    segments: Segments,
    /// How many facts were looked at.
    facts_read: usize,
}

/// The tables of a script.
pub(crate) fn tables(script: &Script) -> Tables {
    let lines = |name: &str| script.table(name).into_iter().map(str::to_owned).collect();
    Tables {
        policy: lines("policy"),
        listener: lines("listener"),
        upstream: lines("upstream"),
        limits: lines("limits"),
        audit: lines("audit"),
        toml: lines("toml"),
    }
}

/// Runs `script`.
///
/// # Errors
/// What differs, and at which line.
pub(crate) fn run(script: &Script, segments: Segments) -> Result<(), String> {
    let source = tables(script).source("192.0.2.1:21", "10.0.0.5:21");
    let loaded = rules::load(&source)?;
    let (profile, judge) = rules::of_session(&loaded);
    let places = Places::new(script.client_v6, script.server_v6);
    let mut world = World::new(profile, judge, places);
    world.unreachable = script.unreachable;
    world.exhausted = script.exhausted;
    let mut stage = Stage {
        world,
        loaded,
        segments,
        facts_read: 0,
    };
    stage.world.settle();
    for line in script::prologue(script.after) {
        stage
            .perform(&script::known_step(line))
            .map_err(|message| format!("before the file, at `{line}`: {message}"))?;
    }
    for line in &script.lines {
        stage
            .perform(&line.step)
            .map_err(|message| format!("line {}: {message}", line.number))?;
    }
    stage.silence().map_err(|m| format!("at the end: {m}"))?;
    stage.finish()
}

impl Stage {
    /// Performs one step.
    fn perform(&mut self, step: &Step) -> Result<(), String> {
        if !matches!(
            step,
            Step::Receive { .. }
                | Step::Ended(..)
                | Step::Turning(_)
                | Step::Fact { .. }
                | Step::Data(
                    _,
                    DataStep::WasOpened
                        | DataStep::Received(_)
                        | DataStep::Ended(_)
                        | DataStep::Turning(_)
                        | DataStep::Refused
                )
        ) {
            self.silence()?;
        }
        match step {
            Step::Send { leg, text, .. } => self.send(*leg, text),
            Step::Receive { leg, text } => {
                let expected = self.render(text)?;
                self.receive(*leg, &expected, false)
            }
            Step::End(leg, end) => {
                self.world.end(*leg, *end);
                Ok(())
            }
            Step::Ended(leg, end) => self.see(*leg, &Seen::ControlEnd(*end)),
            Step::Turning(leg) => self.see(*leg, &Seen::Turning),
            Step::VersionRefused => {
                self.world.tell(Told::VersionRefused);
                Ok(())
            }
            Step::Turned(leg, done) => {
                self.world.turned(*leg, *done);
                Ok(())
            }
            Step::Data(leg, step) => self.data(*leg, step),
            Step::Fact { text, absent } => self.fact(text, *absent),
            Step::Wait(time) => {
                self.world.wait(*time);
                Ok(())
            }
            Step::Shell(step) => self.shell(step),
        }
    }

    /// A side sends a text.
    fn send(&mut self, leg: Leg, text: &Text) -> Result<(), String> {
        let bytes = self.render(text)?;
        match self.segments {
            Segments::Lines => self.world.send(leg, &bytes),
            Segments::Bytes => {
                for byte in bytes {
                    self.world.send(leg, &[byte]);
                }
            }
        }
        Ok(())
    }

    /// Something of a data connection.
    fn data(&mut self, leg: Leg, step: &DataStep) -> Result<(), String> {
        let there = match step {
            DataStep::Open => self.world.dial(leg),
            DataStep::Refused => !self.world.offers(leg),
            DataStep::Stranger => self.world.dial_as_stranger(leg) && self.world.offers(leg),
            DataStep::Refuse => {
                self.world.peer(leg).listens = Listens::Refuses;
                true
            }
            DataStep::Ignore => {
                self.world.peer(leg).listens = Listens::Ignores;
                true
            }
            DataStep::Stall | DataStep::Read => {
                self.world.peer(leg).stalls = *step == DataStep::Stall;
                self.world.settle();
                true
            }
            DataStep::Send(text) => {
                let bytes = self.render(text)?;
                self.world.send_data(leg, &bytes)
            }
            DataStep::End(end) => self.world.end_data(leg, *end),
            DataStep::WasOpened => return self.see(leg, &Seen::DataOpened),
            DataStep::Received(text) => {
                let expected = self.render(text)?;
                return self.receive(leg, &expected, true);
            }
            DataStep::Ended(end) => return self.see(leg, &Seen::DataEnd(*end)),
            DataStep::Turning(direction) => {
                return self.see(leg, &Seen::DataTurning(*direction));
            }
            DataStep::Turned(done) => self.world.data_turned(leg, *done),
        };
        if there {
            Ok(())
        } else {
            Err(format!("{step:?} cannot be: {}", self.state()))
        }
    }

    /// Something of the gateway.
    fn shell(&mut self, step: &ShellStep) -> Result<(), String> {
        let told = match step {
            ShellStep::Drain => Told::Drain,
            ShellStep::Stop => Told::End(EndReason::Drain),
            ShellStep::Policy(lines) => {
                let tables = Tables {
                    policy: vec![lines.clone()],
                    ..Tables::default()
                };
                self.loaded = rules::load(&tables.source("192.0.2.1:21", "10.0.0.5:21"))?;
                Told::JudgeChanged(Arc::new(rules::judge(&self.loaded)))
            }
        };
        self.world.tell(told);
        Ok(())
    }

    /// The next thing that a side has seen is this.
    fn see(&mut self, leg: Leg, expected: &Seen) -> Result<(), String> {
        let front = self.world.peer(leg).seen.pop_front();
        if front.as_ref() == Some(expected) {
            return Ok(());
        }
        Err(format!(
            "{leg:?} should see {expected:?} and saw {}; {}",
            front.as_ref().map_or_else(|| "nothing".into(), show),
            self.state()
        ))
    }

    /// The next bytes that a side has seen are these.
    fn receive(&mut self, leg: Leg, expected: &[u8], data: bool) -> Result<(), String> {
        let state = self.state();
        let front = self.world.peer(leg).seen.front_mut();
        let bytes = match front {
            Some(Seen::Control(bytes)) if !data => bytes,
            Some(Seen::Data(bytes)) if data => bytes,
            other => {
                return Err(format!(
                    "{leg:?} should receive {} and saw {}; {state}",
                    quote(expected),
                    other.map_or_else(|| "nothing".into(), |seen| show(seen)),
                ));
            }
        };
        if !bytes.starts_with(expected) {
            return Err(format!(
                "{leg:?} should receive\n        {}\n    and received\n        {}",
                quote(expected),
                quote(bytes)
            ));
        }
        bytes.drain(..expected.len());
        if bytes.is_empty() {
            self.world.peer(leg).seen.pop_front();
        }
        Ok(())
    }

    /// A fact was noted since the last one that was looked at, or none was.
    fn fact(&mut self, expected: &str, absent: bool) -> Result<(), String> {
        let all: Vec<String> = self
            .world
            .facts
            .iter()
            .map(|fact| describe(fact, &self.loaded.policies))
            .collect();
        let fresh = all.get(self.facts_read..).unwrap_or_default();
        let found = fresh.iter().position(|fact| fact.starts_with(expected));
        match (found, absent) {
            (Some(at), false) => {
                self.facts_read += at + 1;
                Ok(())
            }
            (None, true) => Ok(()),
            _ => Err(format!(
                "`{expected}` should {}be among\n        {}",
                if absent { "not " } else { "" },
                fresh.join("\n        ")
            )),
        }
    }

    /// Nobody has seen anything that was not expected.
    fn silence(&self) -> Result<(), String> {
        for (name, peer) in [
            ("client", &self.world.client),
            ("server", &self.world.server),
        ] {
            if let Some(seen) = peer.seen.front() {
                return Err(format!(
                    "the {name} saw what nobody expected: {}",
                    show(seen)
                ));
            }
        }
        Ok(())
    }

    /// Whatever happened, a client that vanishes leaves nothing behind.
    fn finish(mut self) -> Result<(), String> {
        self.world.end(Leg::Client, End::Reset);
        if !self.world.session.is_over() {
            return Err("the session outlives its client".into());
        }
        if self.world.holds_data() {
            return Err(format!("a data connection is left: {}", self.state()));
        }
        if self.world.session.deadline().is_some() {
            return Err("a timer runs behind the end".into());
        }
        Ok(())
    }

    /// `text` with its slots filled in.
    fn render(&mut self, text: &Text) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        for piece in text {
            match piece {
                Piece::Bytes(plain) => bytes.extend_from_slice(plain),
                Piece::Slot(slot) => bytes.extend(self.fill(*slot)?),
            }
        }
        Ok(bytes)
    }

    /// What `slot` stands for.
    fn fill(&mut self, slot: Slot) -> Result<Vec<u8>, String> {
        let address = match slot {
            Slot::Offer | Slot::OfferPort => self.world.client.offered,
            Slot::Active | Slot::ActiveEprt => self.world.server.offered,
            Slot::Target | Slot::TargetEprt | Slot::TargetPort => {
                Some(self.world.listen(Leg::Client))
            }
            Slot::Pasv | Slot::PasvPorts | Slot::Epsv => Some(self.world.listen(Leg::Server)),
        };
        let address = address.ok_or_else(|| format!("{slot:?}: nothing was offered"))?;
        script::write_address(slot, address)
    }

    /// What is known of the session, for messages.
    fn state(&self) -> String {
        format!(
            "at {:?}, {} replies, data held: {}",
            self.world.elapsed(),
            self.world.facts.len(),
            self.world.holds_data()
        )
    }
}

/// Bytes for a message.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let shown = bytes.get(..600).unwrap_or(bytes);
    format!("\"{}\" ({} bytes)", shown.escape_ascii(), bytes.len())
}

/// What was seen, for a message.
fn show(seen: &Seen) -> String {
    match seen {
        Seen::Control(bytes) => format!("on control {}", quote(bytes)),
        Seen::Data(bytes) => format!("on data {}", quote(bytes)),
        other => format!("{other:?}"),
    }
}
