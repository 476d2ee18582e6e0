//! One FTP session between a client and a server, as a pure state machine.
//!
//! Owns the dialogue: which command is worked on, whose reply is awaited, what is known of the
//! login, the directory and the data connections. No socket, clock, file, log or metric is known
//! here: bytes and events go in, [`Action`]s come out, time is an argument and everything worth
//! counting is a [`Fact`].

#![warn(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm
)]

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use crate::ftp::command::Name;
use crate::ftp::misbehaviour::ServerFault;
use crate::ftp::reply::ReplyReader;
use crate::ftp::verb::Verb;
use crate::policy::Judge;

mod answer;
mod data;
mod deadline;
mod effect;
pub mod event;
mod forward;
mod invariant;
pub mod limits;
mod pipeline;
pub mod protection;
mod refusal;
mod server;
mod state;
#[cfg(test)]
mod tests;
mod transfer;
mod truth;
mod workspace;

use data::DataPair;
use deadline::{Deadlines, Timer};
use effect::{Login, Place};
pub use event::{
    Action, Channel, CloseReason, CommandRecord, DataForm, DataMode, DataOutcome, Direction, End,
    EndReason, Fact, Leg, LoginOutcome, Now, Origin, Outcome, OwnCommand, RelayEnd, Told,
    TransferOutcome,
};
pub use limits::Limits;
use pipeline::Pipeline;
use protection::Protection;
pub use protection::{ClientTls, Require, Secured, ServerTls, TlsOffer};
use server::{Abort, Incoming};
use state::{Head, Phase};
use transfer::{StatusOwed, Transfer};
pub use workspace::Workspace;

/// How often a line may be too long before the session ends: a client that sends such lines
/// again and again probes for a server that runs their tails.
const LONG_LINES: u32 = 3;

/// Before login a session may break the protocol this many times less often than after it.
const VIOLATIONS_BEFORE_LOGIN: u32 = 5;

/// How many bytes are taken at once for what is written.
const ROOM: usize = 1024;

/// What a session is told of its listener and upstream when it is born.
#[derive(Clone, Debug)]
pub struct Profile {
    /// What is said instead of the server's greeting: a whole reply with its CR LF.
    pub greeting: Option<Bytes>,
    /// Every bound, until [`Told::LimitsChanged`].
    pub limits: Arc<Limits>,
    /// How data connections towards the server are made.
    pub data_mode: DataMode,
    /// What the listener offers of TLS.
    pub client_tls: ClientTls,
    /// How the server's leg is protected.
    pub server_tls: ServerTls,
    /// The longest line that the server is sent, CR LF included.
    pub line_bytes: usize,
    /// Further addresses of the server's data connections.
    pub data_addresses: Vec<IpAddr>,
    /// SITE subcommands whose argument is a secret, in upper case, beside the built-in ones, until
    /// [`Told::SecretsChanged`].
    pub secret_words: Arc<[Arc<str>]>,
    /// Whether it is to be known which file a command transfers, changes or removes, also where no rule
    /// asks for that.
    pub names_paths: bool,
}

/// One session: two legs and what is known of them.
///
/// **Feed** it with [`Session::receive`], [`Session::ended`], [`Session::tell`] and
/// [`Session::expire`]; none of them returns an error: bad input becomes actions and a fact.
/// After each feed **draw** [`Session::next_action`] until it returns None and carry the actions
/// out in their order, then look at [`Session::deadline`] and [`Session::reads`]. One input,
/// drain fully, next input. [`Now::elapsed`] must never go back.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of their own: each changes without the others"
)]
pub struct Session {
    /// Its listener's and upstream's settings, as they were when it was born.
    profile: Arc<Profile>,
    /// Every bound.
    limits: Arc<Limits>,
    /// Who judges its commands.
    judge: Arc<Judge>,
    /// The client's address.
    client: SocketAddr,
    /// The server's address, once dialled.
    server: Option<SocketAddr>,
    /// The time of the event that is being fed.
    now: Now,
    /// Which part of its life it is in.
    phase: Phase,
    /// What the shell is to do.
    actions: VecDeque<Action>,
    /// Reply bytes that are not yet an action: whole lines leave in one segment. What the server is
    /// sent is made in the same memory.
    out: BytesMut,
    /// What the last command in work took.
    spare_head: Option<Box<Head>>,
    /// What its record took.
    spare_record: Option<Box<CommandRecord>>,
    /// The client's commands.
    pipeline: Pipeline,
    /// The server's replies.
    replies: ReplyReader,
    /// The reply whose lines are coming in.
    incoming: Option<Incoming>,
    /// Whether the client has been sent a reply's first line and not its last.
    reply_open: bool,
    /// The command that is being worked on.
    head: Option<Box<Head>>,
    /// An ABOR that was sent ahead of its turn.
    abort: Abort,
    /// The gateway has answered an ABOR in the server's place, whose own reply may still come.
    abort_overdue: bool,
    /// Bytes of the server's that came before the command in flight was sent: no reply to it.
    early_bytes: usize,
    /// Preliminary replies that came while no command was in work.
    stray_preliminaries: u8,
    /// How both legs are protected.
    protection: Protection,
    /// Who the client is to the server.
    login: Login,
    /// What the server remembers between commands.
    place: Place,
    /// Both data connections.
    data: DataPair,
    /// What moves over them.
    transfer: Option<Box<Transfer>>,
    /// A bare STAT that is answered out of turn, once the byte count is known.
    status_owed: Option<StatusOwed>,
    /// Every timer.
    deadlines: Deadlines,
    /// Lines that were no command and unknown verbs that were refused.
    violations: u32,
    /// Lines that were too long.
    long_lines: u32,
    /// Replies of the server's that nothing asked for, since the last one that it owed.
    unsolicited: u32,
    /// Failed logins: the session's own, or all of its client's once the shell has told of them.
    failed_logins: u32,
    /// The client has closed its side in order.
    client_ended: bool,
    /// Why the session ends once the command in work is done, if it does.
    ending: Option<EndReason>,
    /// Commands wait that could be worked on.
    unfinished: bool,
}

impl Session {
    /// A session of `client`, who reached the gateway at `local`. Its first action is
    /// [`Action::Connect`], behind TLS where the listener begins with it.
    pub fn new(
        profile: Arc<Profile>,
        judge: Arc<Judge>,
        client: SocketAddr,
        local: SocketAddr,
        now: Now,
    ) -> Self {
        let limits = Arc::clone(&profile.limits);
        let mut deadlines = Deadlines::default();
        deadlines.arm(Timer::Greeting, now.elapsed, limits.greeting_timeout);
        let pipeline = Pipeline::new(profile.line_bytes, limits.pipelined_commands);
        let replies = ReplyReader::new(limits.reply_line_bytes, limits.reply_bytes);
        let mut session = Self {
            limits,
            judge,
            client: canonical(client),
            server: None,
            now,
            phase: Phase::Connecting,
            actions: VecDeque::new(),
            out: BytesMut::new(),
            spare_head: None,
            spare_record: None,
            pipeline,
            replies,
            incoming: None,
            reply_open: false,
            head: None,
            abort: Abort::Idle,
            abort_overdue: false,
            early_bytes: 0,
            stray_preliminaries: 0,
            protection: Protection::default(),
            login: Login::default(),
            place: Place::default(),
            data: DataPair::new(canonical(local)),
            transfer: None,
            status_owed: None,
            deadlines,
            violations: 0,
            unsolicited: 0,
            long_lines: 0,
            failed_logins: 0,
            client_ended: false,
            ending: None,
            unfinished: false,
            profile,
        };
        session.begin_implicit();
        session
    }

    /// Bytes of a control connection.
    pub fn receive(&mut self, leg: Leg, bytes: &[u8], now: Now) {
        self.now = now;
        if self.is_over() {
            return;
        }
        match leg {
            Leg::Client => {
                let in_line = self.pipeline.in_line();
                self.pipeline.push(bytes);
                self.read_commands();
                self.watch_line(in_line && !bytes.contains(&b'\n'));
            }
            Leg::Server => self.read_replies(bytes),
        }
        self.go_on();
    }

    /// A control connection has ended: FIN, or broken.
    pub fn ended(&mut self, leg: Leg, end: End, now: Now) {
        self.now = now;
        if self.is_over() {
            return;
        }
        match (leg, end) {
            (Leg::Client, End::Fin) => self.client_closed(),
            (Leg::Client, End::Reset) => self.client_vanished(),
            (Leg::Server, End::Fin | End::Reset) => self.server_vanished(),
        }
        self.go_on();
    }

    /// Something that the shell did or saw.
    pub fn tell(&mut self, told: Told, now: Now) {
        self.now = now;
        if self.is_over() {
            return;
        }
        match told {
            Told::Connected(server) => self.connected(server),
            Told::DataSecured(leg) => self.data_secured(leg),
            Told::DataUnsecured(leg) => self.data_unsecured(leg),
            Told::Secured { leg, secured } => self.secured(leg, secured),
            Told::Unsecured(leg) => self.unsecured(leg),
            Told::VersionRefused => self.version_refused(),
            Told::ConnectFailed => {
                self.goodbye(
                    CloseReason::ServerGone,
                    "Service not available, the server cannot be reached.",
                );
            }
            Told::DataReset(leg) => self.data_reset(leg),
            Told::Dialled(leg) | Told::PeerArrived(leg) => self.data_opened(leg),
            Told::DialFailed(leg) => self.data_failed(leg),
            Told::Drain => self.ending = Some(EndReason::Drain),
            // What was let through is recorded: it is finished.
            Told::End(EndReason::Audit) if self.head.is_some() => {
                self.ending = Some(EndReason::Audit);
            }
            Told::End(reason) => self.end(reason),
            Told::FailedLogins { count } => self.follow_failures(count),
            Told::JudgeChanged(judge) => self.judge = judge,
            Told::LimitsChanged(limits) => self.follow_limits(limits),
            Told::Measured { bytes, held_back } => self.measured(bytes, held_back),
            Told::OfferFailed(leg) => self.offer_failed(leg),
            Told::OfferReady { leg, address } => self.offer_ready(leg, address),
            Told::OfferStarved => self.offer_starved(),
            Told::RelayEnded { bytes, end } => self.relay_ended(bytes, end),
            // Sessions of a listener share their profile until then: such a reload is rare.
            Told::SecretsChanged(words) => Arc::make_mut(&mut self.profile).secret_words = words,
            Told::StrangerRefused(leg) => self.stranger_refused(leg),
        }
        self.go_on();
    }

    /// Takes leave of the client for a reason of the shell's.
    fn end(&mut self, reason: EndReason) {
        let (close, text) = match reason {
            EndReason::Audit => (
                CloseReason::Audit,
                "Service not available, closing control connection.",
            ),
            EndReason::Banned => (
                CloseReason::Banned,
                "Too many failed logins, closing control connection.",
            ),
            EndReason::Drain => (
                CloseReason::Drain,
                "Service is stopping, closing control connection.",
            ),
        };
        self.goodbye(close, text);
    }

    /// The deadline has come.
    pub fn expire(&mut self, now: Now) {
        self.now = now;
        while !self.is_over() {
            let Some(timer) = self.deadlines.take_due(now.elapsed) else {
                break;
            };
            self.timed_out(timer);
        }
        self.go_on();
    }

    /// The next thing to do; draw until None after each feed. Commands that wait are worked on as
    /// it is drawn, some at a time: see [`Session::pauses`].
    pub fn next_action(&mut self) -> Option<Action> {
        loop {
            self.flush();
            let action = self.actions.pop_front();
            if action.is_some() || !std::mem::take(&mut self.unfinished) {
                return action;
            }
            self.go_on();
        }
    }

    /// Whether the next action begins further commands, of many that wait: whoever drives more than
    /// one session may look after the others first, and draw on before this one is fed again.
    pub fn pauses(&self) -> bool {
        self.unfinished && self.actions.is_empty() && self.out.is_empty()
    }

    /// Takes back a fact that was told: what it took serves the next one.
    pub fn recycle(&mut self, fact: Fact) {
        if let Fact::Command(mut record) = fact {
            // The line may share the memory that the next one is read into.
            (record.argument, record.path, record.directory) = (None, None, None);
            self.spare_record = Some(record);
        }
    }

    /// When [`Session::expire`] is to be called, on the scale of [`Now::elapsed`].
    pub fn deadline(&self) -> Option<Duration> {
        if self.is_over() {
            None
        } else {
            self.deadlines.next()
        }
    }

    /// Whether the shell may read from a leg's control connection now: the client's not while
    /// its queue is full, the server's as soon as it is there, but while a refusal takes its time.
    pub fn reads(&self, leg: Leg) -> bool {
        match leg {
            Leg::Client => {
                !self.is_over()
                    && !self.client_ended
                    && !self.protection.is_turning()
                    && self.pipeline.has_room()
            }
            Leg::Server => {
                matches!(
                    self.phase,
                    Phase::Greeting | Phase::Securing | Phase::Serving
                ) && !self.is_refusing()
            }
        }
    }

    /// Whether both control connections are closed: nothing more will happen.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Closed
    }

    /// The address of the peer on a leg; the server has none before it is dialled.
    pub const fn peer(&self, leg: Leg) -> Option<SocketAddr> {
        match leg {
            Leg::Client => Some(self.client),
            Leg::Server => self.server,
        }
    }

    /// What the client dialled.
    pub const fn local(&self) -> SocketAddr {
        self.data.local
    }

    /// The user who is logged in, raw.
    pub fn user(&self) -> Option<&Bytes> {
        self.login.user.as_ref()
    }

    /// Whether the address that is listened on for the client is told to it: 229 has a port only.
    pub fn tells_address(&self) -> bool {
        self.data.client.form == DataForm::Pasv
    }

    /// Whether an upload was forwarded whose data connections are not both there yet.
    pub fn awaits_upload(&self) -> bool {
        self.transfer
            .as_ref()
            .is_some_and(|transfer| transfer.awaits_upload())
    }

    /// Whether all of a download was passed on, and its client's data connection is there until the
    /// server has said what became of it.
    pub fn awaits_report(&self) -> bool {
        self.transfer
            .as_ref()
            .is_some_and(|transfer| transfer.awaits_report())
    }

    /// The upstream answered the dial: its greeting comes next.
    fn connected(&mut self, server: SocketAddr) {
        if self.phase == Phase::Connecting {
            self.server = Some(canonical(server));
            self.phase = Phase::Greeting;
            if self.profile.server_tls == ServerTls::Implicit {
                self.turn_server();
            }
        }
    }

    /// The client closed its side in order: what it sent before is still done.
    fn client_closed(&mut self) {
        self.client_ended = true;
        self.deadlines.disarm(Timer::Command);
        // An upload whose control connection ends before its data does is not to be trusted.
        if self
            .transfer
            .as_ref()
            .is_some_and(|transfer| transfer.is_unfinished_upload())
        {
            self.client_vanished();
        }
    }

    /// The client's control connection broke.
    fn client_vanished(&mut self) {
        self.client_ended = true;
        if self
            .transfer
            .as_ref()
            .is_some_and(|transfer| !transfer.is_clean())
        {
            let lacks_abort = self.judge.is_unsupported(&Name::Known(Verb::Abor));
            if self.abort == Abort::Idle && !lacks_abort {
                self.push(Action::Ask(self.protection.abort()));
            }
            self.cut_transfer(true);
        }
        self.finish_unanswered();
        self.close(CloseReason::ClientGone, End::Reset);
    }

    /// The server's control connection ended.
    fn server_vanished(&mut self) {
        if self.server_left_after_final(None) {
            return;
        }
        self.fail_transfer_for_server();
        if self.head_is_quit() && !self.reply_open {
            self.answer_head(221, "Goodbye.", Outcome::Forwarded);
            self.close(CloseReason::Quit, End::Fin);
        } else {
            self.goodbye(
                CloseReason::ServerGone,
                "Service not available, the server has closed the connection.",
            );
        }
    }

    /// Says 421, as the reply to the command in work if there is one, and closes.
    fn goodbye(&mut self, reason: CloseReason, text: &'static str) {
        if self.is_over() {
            return;
        }
        if self.reply_open || self.protection.is_turning() {
            // A reply that cannot be finished is not made worse by a line of the gateway's, and a
            // client that turns to TLS hears nothing in clear (RFC 4217 §10.1).
            self.finish_unanswered();
        } else if let Some(head) = self.head.take() {
            let outcome = head.outcome();
            self.answer(head, 421, text, outcome);
        } else {
            self.say(421, text);
        }
        self.close(reason, End::Fin);
    }

    /// Closes both legs and everything between them.
    fn close(&mut self, reason: CloseReason, client: End) {
        if self.is_over() {
            return;
        }
        self.note(Fact::Closing(reason));
        self.end_transfer_unsettled();
        self.end_data();
        self.push(if reason == CloseReason::Quit {
            Action::AwaitServerEnd
        } else {
            Action::Close(Leg::Server, End::Fin)
        });
        self.push(Action::Close(Leg::Client, client));
        self.phase = Phase::Closed;
        self.deadlines = Deadlines::default();
    }

    /// A timer ran out.
    fn timed_out(&mut self, timer: Timer) {
        match timer {
            Timer::Command => {
                self.goodbye(
                    CloseReason::CommandTimeout,
                    "Timeout: command line not finished.",
                );
            }
            Timer::DataConnect => self.data_timed_out(),
            Timer::Greeting => {
                self.note(Fact::ServerFault(ServerFault::ReplyTimeout));
                self.goodbye(
                    CloseReason::ServerGone,
                    "Service not available, the server does not answer.",
                );
            }
            Timer::Handshake => self.handshake_timed_out(),
            Timer::Idle => self.goodbye(
                CloseReason::IdleTimeout,
                "Timeout: no command for too long.",
            ),
            Timer::LastWord => self.client_vanished(),
            Timer::Login => self.goodbye(CloseReason::LoginTimeout, "Timeout: login not finished."),
            Timer::Refusal => self.answer_refusal(),
            Timer::Reply if self.stands_in_for_abort_reply() => {}
            Timer::Reply => {
                self.note(Fact::ServerFault(ServerFault::ReplyTimeout));
                self.fail_transfer_for_server();
                self.goodbye(
                    CloseReason::ServerGone,
                    "Service not available, the server does not answer.",
                );
            }
            Timer::Settle => self.settle_now(),
            Timer::Stall => self.look_for_stall(),
        }
    }

    /// Does what the event that was fed makes possible.
    fn go_on(&mut self) {
        self.advance();
        // A line may have begun behind others that were waiting for room.
        if !self.is_over() && !self.client_ended && self.pipeline.in_line() {
            let timeout = self.limits.command_timeout;
            self.deadlines
                .arm_once(Timer::Command, self.now.elapsed, timeout);
        }
        self.bound_last_word();
        self.check();
    }

    /// Takes new bounds: what waits already waits as long as they say, from when it began.
    fn follow_limits(&mut self, limits: Arc<Limits>) {
        let former = std::mem::replace(&mut self.limits, limits);
        let new = Arc::clone(&self.limits);
        self.pipeline.bound(new.pipelined_commands);
        self.replies.bound(new.reply_line_bytes, new.reply_bytes);
        let bounds = [
            (Timer::Command, former.command_timeout, new.command_timeout),
            (
                Timer::DataConnect,
                former.data_connect_timeout,
                new.data_connect_timeout,
            ),
            (
                Timer::Greeting,
                former.greeting_timeout,
                new.greeting_timeout,
            ),
            (
                Timer::Handshake,
                former.tls_handshake_timeout,
                new.tls_handshake_timeout,
            ),
            (Timer::Idle, former.idle_timeout, new.idle_timeout),
            (Timer::Login, former.login_timeout, new.login_timeout),
            (
                Timer::Reply,
                self.reply_patience(&former),
                self.reply_patience(&new),
            ),
            (
                Timer::Stall,
                transfer::stall_period(&former),
                transfer::stall_period(&new),
            ),
        ];
        for (timer, former, new) in bounds {
            self.deadlines.stretch(timer, former, new);
        }
        self.await_refusal();
    }

    /// Stops the command timer, which runs from a line's first byte to its last, where the line
    /// that it ran for is over.
    fn watch_line(&mut self, same_line: bool) {
        if !same_line || !self.pipeline.in_line() {
            self.deadlines.disarm(Timer::Command);
        }
    }
}

/// `address` with an IPv4-mapped address as IPv4. Another keeps its link.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        ip if ip == address.ip() => address,
        ip => SocketAddr::new(ip, address.port()),
    }
}
