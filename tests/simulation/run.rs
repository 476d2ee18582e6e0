//! One run: a client, a server, a session between them, and the shadow that watches.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ftpwarden::session::event::EndReason;
use ftpwarden::session::{
    ClientTls, DataMode, End, Leg, Profile, Require, ServerTls, TlsOffer, Told,
};

use crate::client::Client;
use crate::dice::Dice;
use crate::ideal::{self, KINDS};
use crate::server::{SECOND, Server};
use crate::shadow::{Held, SECRET, Shadow, side};
use crate::world::{Places, World};

/// What a run came to.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Replies that the client had.
    pub(crate) replies: usize,
    /// Transfers that were reported as complete.
    pub(crate) transfers: usize,
    /// Whether everybody behaved.
    pub(crate) honest: bool,
}

/// A run.
struct Run {
    /// Its choices.
    dice: Dice,
    /// The world.
    world: World,
    /// The shadow.
    shadow: Shadow,
    /// The client.
    client: Client,
    /// The server.
    server: Server,
    /// Both keep to the protocol, and the network brings everything.
    honest: bool,
    /// Whether bytes in clear stand behind the turn of a leg to TLS.
    poisoned: [bool; 2],
    /// Whether steps are written out.
    traced: bool,
}

/// The settings of a run.
fn profile(dice: &mut Dice, mut profile: Profile, honest: bool) -> Profile {
    profile.data_mode = dice.pick(&[
        DataMode::Match,
        DataMode::Match,
        DataMode::Passive,
        DataMode::ExtendedPassive,
        DataMode::Active,
    ]);
    if dice.chance(40) {
        profile.client_tls = ClientTls {
            offer: dice.pick(&[TlsOffer::Explicit, TlsOffer::Explicit, TlsOffer::Implicit]),
            require: dice.pick(&[Require::No, Require::Login, Require::Data]),
        };
    }
    if dice.chance(40) {
        profile.server_tls =
            dice.pick(&[ServerTls::Explicit, ServerTls::Implicit, ServerTls::Match]);
    }
    if dice.chance(30) {
        profile.data_addresses = vec![SECOND];
    }
    if dice.chance(20) {
        profile.greeting = Some(Bytes::from_static(b"220 Hello.\r\n"));
    }
    if honest {
        Arc::make_mut(&mut profile.limits).violations = 1000;
        return profile;
    }
    profile.line_bytes = dice.pick(&[510, 510, 64]);
    let limits = Arc::make_mut(&mut profile.limits);
    limits.pipelined_commands = dice.pick(&[1, 2, 8, 32]);
    limits.violations = dice.pick(&[5, 50, 1000]);
    limits.reply_line_bytes = dice.pick(&[64 * 1024, 1024]);
    limits.reply_bytes = dice.pick(&[16 * 1024 * 1024, 4096]);
    limits.reply_timeout = Duration::from_secs(dice.pick(&[300, 300, 9, 2]));
    limits.transfer_idle_timeout = Duration::from_secs(dice.pick(&[300, 8]));
    limits.data_connect_timeout = Duration::from_secs(dice.pick(&[60, 9]));
    profile
}

impl Run {
    /// A run with these choices.
    fn new(mut dice: Dice, traced: bool) -> Self {
        let honest = dice.chance(20);
        let kind = dice.pick(&KINDS);
        let (default, judge) = ideal::parts(kind);
        let profile = profile(&mut dice, default, honest);
        let places = Places::new(dice.chance(15), dice.chance(15));
        let has_second = profile.data_addresses.contains(&SECOND);
        let shadow = Shadow::new(kind, &profile, places);
        let explicit = profile.client_tls.offer == TlsOffer::Explicit;
        let client = Client::new(&mut dice, honest, explicit);
        let server = Server::new(&mut dice, honest, has_second);
        let mut world = World::new(profile, judge, places);
        world.slow = true;
        world.journal = Some(Vec::new());
        world.actions = Some(Vec::new());
        Self {
            dice,
            world,
            shadow,
            client,
            server,
            honest,
            poisoned: [false; 2],
            traced,
        }
    }

    /// Lets the shadow see what happened; whether anything did.
    fn watch(&mut self) -> Result<bool, String> {
        let happened = self.world.journal.iter().flatten().next().is_some();
        if self.traced {
            for entry in self.world.journal.iter().flatten() {
                println!("  {entry:?}");
            }
        }
        let before = self.shadow.turning;
        self.shadow.follow(&mut self.world)?;
        for leg in [Leg::Client, Leg::Server] {
            let index = side(leg);
            if self.shadow.turning[index] && !before[index] {
                self.poisoned[index] = self.world.unread(leg) > 0;
            }
        }
        self.world.actions = Some(Vec::new());
        self.client.look(&mut self.world);
        self.server.look(&mut self.world);
        Ok(happened)
    }

    /// One step; false where nothing happened.
    fn step(&mut self, finishing: bool) -> bool {
        let connected = self.world.is_connected();
        let choice = self.dice.below(100);
        if self.traced {
            println!("{:?} step {choice}", self.world.elapsed());
        }
        match choice {
            0..12 if !finishing => {
                let may = self.client.may_speak(&self.shadow, &self.world);
                if may {
                    self.client.speak(&mut self.dice, &mut self.world);
                }
                may
            }
            12..32 => self.read(Leg::Client),
            32..50 => self.read(Leg::Server),
            50..68 => {
                let acts = self.server.acts(connected);
                if acts {
                    self.server.act(&mut self.dice, &mut self.world);
                }
                acts
            }
            68..74 => self.arrive(),
            74..80 => {
                let most = 1 + self.dice.below(60);
                self.world.pump_some(most)
            }
            80..88 => {
                let acts = Client::acts(&self.world);
                acts && self
                    .client
                    .act(&mut self.dice, &mut self.world, &self.shadow)
            }
            88..93 => self.shake_hands(),
            93..97 if !self.honest => {
                self.pass_time();
                true
            }
            97 if !self.honest => {
                self.mischief();
                true
            }
            _ => false,
        }
    }

    /// Bytes of a control connection arrive.
    fn read(&mut self, leg: Leg) -> bool {
        if self.shadow.turning[side(leg)] {
            return false;
        }
        let most = match self.dice.below(4) {
            0 => 1 + self.dice.below(6),
            1 => 1 + self.dice.below(40),
            _ => 8192,
        };
        self.world.read_some(leg, most)
    }

    /// The outcome of a dial arrives.
    fn arrive(&mut self) -> bool {
        let underway = self.world.underway();
        if underway > 0 {
            let index = self.dice.below(underway);
            self.world.arrive(index);
        }
        underway > 0
    }

    /// A handshake comes to its end.
    fn shake_hands(&mut self) -> bool {
        let leg = self.dice.pick(&[Leg::Client, Leg::Server]);
        let succeeds = self.honest || self.dice.chance(93);
        if self.shadow.turning[side(leg)] {
            let done = succeeds && !self.poisoned[side(leg)];
            self.world.turned(leg, done);
            return true;
        }
        self.shadow.is_securing(leg) && self.world.data_turned(leg, succeeds)
    }

    /// Time passes.
    fn pass_time(&mut self) {
        let next = self.world.session.deadline();
        let left = next.map_or(Duration::ZERO, |next| {
            next.saturating_sub(self.world.elapsed())
        });
        let time = match self.dice.below(20) {
            0 => left,
            1 => left.saturating_sub(Duration::from_millis(1)),
            2 => Duration::from_secs(5),
            3..6 => Duration::from_secs(1),
            _ => Duration::from_millis(self.dice.pick(&[1, 50, 300])),
        };
        self.world.wait(time);
    }

    /// Something that nobody wishes for.
    fn mischief(&mut self) {
        match self.dice.below(12) {
            0 => self.world.end(Leg::Client, End::Fin),
            1 => self.world.end(Leg::Client, End::Reset),
            2 => self.world.end(Leg::Server, End::Fin),
            3 => self.world.end(Leg::Server, End::Reset),
            4 => self.world.exhausted = !self.world.exhausted,
            5 => self.world.unreachable = true,
            6 => self.world.tell(Told::Drain),
            7 if self.dice.chance(30) => self.world.tell(Told::End(EndReason::Drain)),
            8..10 => {
                let kind = self.dice.pick(&KINDS);
                self.shadow.next_kind = Some(kind);
                let (_, judge) = ideal::parts(kind);
                self.world.tell(Told::JudgeChanged(Arc::new(judge)));
            }
            _ => {
                self.world.dial_as_stranger(Leg::Server);
            }
        }
    }

    /// Runs so many steps, lets everybody finish, then lets everybody fall silent.
    fn run(&mut self, steps: usize) -> Held {
        self.world.settle();
        self.watch()?;
        for number in 0..steps {
            if self.world.session.is_over() || self.dice.is_spent() {
                break;
            }
            // Not every choice is one that can be made.
            if (0..8).any(|_| self.step(false)) {
                self.watch()?;
            }
            if number % 16 == 0 {
                let session = format!("{:?}", self.world.session);
                if session.contains(SECRET) && !self.shadow.spilt {
                    return Err("L4: the session tells a secret".into());
                }
            }
        }
        if self.honest {
            self.finish()?;
        }
        self.world.wait(Duration::from_hours(24));
        self.watch()?;
        if !self.world.session.is_over() {
            return Err("L6: it lives for ever".into());
        }
        Ok(())
    }

    /// Everybody behaves and finishes: nobody may be left without a reply.
    fn finish(&mut self) -> Held {
        self.dice.play_fair();
        let mut idle = 0;
        let mut left = 20_000;
        while idle < 400 && left > 0 && !self.world.session.is_over() {
            left -= 1;
            idle += 1;
            if self.step(true) && self.watch()? {
                idle = 0;
            }
            if idle == 200 {
                // The servers that trail behind their last word have a second.
                self.world.wait(Duration::from_secs(2));
                self.watch()?;
            }
        }
        if self.world.session.is_over() {
            return self.shadow.left_for_a_reason();
        }
        self.shadow.owes_nothing()
    }
}

/// Runs one session with the choices of `dice`.
///
/// # Errors
/// The law that did not hold.
pub(crate) fn run(dice: Dice, steps: usize, traced: bool) -> Result<Tally, String> {
    let mut run = Run::new(dice, traced);
    run.run(steps)?;
    Ok(Tally {
        replies: run.shadow.replies,
        transfers: run.shadow.transfers,
        honest: run.honest,
    })
}
