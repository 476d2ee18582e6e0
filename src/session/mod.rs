//! One FTP session between a client and a server, as a pure state machine.
//!
//! Bytes and events go in, [`Action`]s come out. No socket, clock, file, log or metric is known
//! here: time is an argument and everything worth counting is a [`Fact`].

pub mod event;
pub mod limits;

pub use event::{
    Action, CommandRecord, DataMode, Direction, End, Fact, Leg, Now, Origin, Outcome, OwnCommand,
    Told,
};
pub use limits::Limits;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::policy::Judge;

/// What a session is told of its listener and upstream when it is born.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What is said instead of the server's greeting: a whole reply with its CR LF.
    pub greeting: Option<Bytes>,
    /// Every bound.
    pub limits: Limits,
    /// How data connections towards the server are made.
    pub data_mode: DataMode,
    /// The longest line that the server is sent, CR LF included.
    pub line_bytes: usize,
    /// Further addresses of the server's data connections.
    pub data_addresses: Vec<IpAddr>,
    /// SITE subcommands whose argument is a secret, in upper case, beside the built-in ones.
    pub secret_words: Vec<Arc<str>>,
}

/// One session: two legs and what is known of them.
#[derive(Debug)]
pub struct Session {
    _private: (),
}

impl Session {
    /// A session of `client`, who reached the gateway at `local`. Its first action is
    /// [`Action::Connect`].
    pub fn new(
        _profile: Arc<Profile>,
        _judge: Arc<Judge>,
        _client: SocketAddr,
        _local: SocketAddr,
        _now: Now,
    ) -> Self {
        todo!()
    }
    /// Bytes of a control connection.
    pub fn receive(&mut self, _leg: Leg, _bytes: &[u8], _now: Now) {
        todo!()
    }
    /// A control connection has ended: FIN, or broken.
    pub fn ended(&mut self, _leg: Leg, _end: End, _now: Now) {
        todo!()
    }
    /// Something that the shell did or saw.
    pub fn tell(&mut self, _told: Told, _now: Now) {
        todo!()
    }
    /// The deadline has come.
    pub fn expire(&mut self, _now: Now) {
        todo!()
    }
    /// The next thing to do; draw until None after each feed.
    pub fn next_action(&mut self) -> Option<Action> {
        todo!()
    }
    /// When [`Session::expire`] is to be called, on the scale of [`Now::elapsed`].
    pub fn deadline(&self) -> Option<Duration> {
        todo!()
    }
    /// Whether the shell may read from a leg's control connection now.
    pub fn reads(&self, _leg: Leg) -> bool {
        todo!()
    }
    /// Whether both control connections are closed: nothing more will happen.
    pub fn is_over(&self) -> bool {
        todo!()
    }
    /// The user who is logged in, raw.
    pub fn user(&self) -> Option<&Bytes> {
        todo!()
    }
}
