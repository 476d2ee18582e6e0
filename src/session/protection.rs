//! How the channels of both legs are protected, and what the client may ask of that
//! (RFC 2228, RFC 4217).
//!
//! The legs are independent: each has a control connection in clear or under TLS, and a level for
//! its data connections.

use std::sync::Arc;

use super::deadline::Timer;
use super::state::{Head, Phase, Stage};
use super::{Action, Channel, CloseReason, End, Fact, Leg, Outcome, OwnCommand, Session};
use crate::ftp::command::Name;
use crate::ftp::misbehaviour::{ClientFault, ServerFault};
use crate::ftp::reply::Code;
use crate::ftp::security::{Level, Mechanism, TlsVersion};
use crate::ftp::verb::Verb;
use crate::policy::{Channels, Outlook};

/// What a listener offers to its clients.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClientTls {
    /// Whether there is TLS, and how it begins.
    pub offer: TlsOffer,
    /// What a client must protect.
    pub require: Require,
}

/// Whether a listener has TLS, and how it begins (`listeners.NAME.tls.mode`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TlsOffer {
    /// With AUTH.
    Explicit,
    /// With the connection.
    Implicit,
    /// There is none.
    #[default]
    None,
}

/// What a client must protect (`listeners.NAME.tls.require`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Require {
    /// The control connection before USER, and PROT P before a transfer.
    Data,
    /// The control connection before USER.
    Login,
    /// Nothing.
    #[default]
    No,
}

/// How the server's leg is protected (`upstreams.NAME.tls.mode`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ServerTls {
    /// With AUTH TLS, and PROT P.
    Explicit,
    /// With the connection, and PROT P.
    Implicit,
    /// As the client does: AUTH TLS if it does, PROT as it has it.
    Match,
    /// In clear.
    #[default]
    Off,
}

/// A TLS handshake that succeeded, as far as a session wants to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Secured {
    /// The version that was agreed on.
    pub version: TlsVersion,
    /// The subject of the peer's certificate, as RFC 4514 text; None where it showed none.
    pub subject: Option<Arc<str>>,
}

/// What the server was asked for its protection, and has not answered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ServerStep {
    /// AUTH TLS.
    Auth,
    /// The handshake.
    Handshake,
    /// PBSZ 0.
    Pbsz,
    /// PROT P, or C.
    Prot(bool),
}

/// How the channels of both legs are protected.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of their own: each changes without the others"
)]
pub(super) struct Protection {
    /// What was agreed on for the client's control connection; None in clear.
    client: Option<Secured>,
    /// The client's control connection is turning to TLS.
    client_turning: bool,
    /// The client has sent PBSZ since.
    has_buffer_size: bool,
    /// Whether PROT P is in force on the client's leg.
    client_data: bool,
    /// The mechanism of an AUTH that waits for the server's TLS.
    waiting: Option<Mechanism>,
    /// The server's control connection is under TLS.
    server: bool,
    /// What the server was asked.
    step: Option<ServerStep>,
    /// Whether PROT P is in force on the server's leg; None where it was not settled.
    server_data: Option<bool>,
    /// The server was sent something that it may keep until the control connection ends.
    server_keeps: bool,
    /// The server was dialled again: it happens once.
    redialled: bool,
    /// The client has the greeting of the connection before.
    greets_again: bool,
}

impl Protection {
    /// What policy is told of it.
    pub(super) fn channels(&self) -> Channels<'_> {
        Channels {
            control: self.client.as_ref().map(|secured| secured.version),
            data: self.client_data,
            certificate: self
                .client
                .as_ref()
                .and_then(|secured| secured.subject.as_deref()),
        }
    }

    /// What is certain of the channels of later commands.
    pub(super) fn outlook(&self, offer: TlsOffer) -> Outlook<'_> {
        if offer == TlsOffer::None {
            Outlook::Clear
        } else {
            Outlook::of(self.channels())
        }
    }

    /// Whether the client's control connection is turning to TLS: nothing is read in clear.
    pub(super) const fn is_turning(&self) -> bool {
        self.client_turning
    }

    /// Whether the greeting that is awaited is one more than the client is to hear.
    pub(super) const fn greets_again(&self) -> bool {
        self.greets_again
    }

    /// Whether the server was dialled again.
    #[cfg(debug_assertions)]
    pub(super) const fn is_redialled(&self) -> bool {
        self.redialled
    }

    /// Whether the server owes a reply to a command for its protection.
    pub(super) const fn awaits_reply(&self) -> bool {
        matches!(
            self.step,
            Some(ServerStep::Auth | ServerStep::Pbsz | ServerStep::Prot(_))
        )
    }

    /// The form of ABOR that the server takes: under TLS there is no urgent data (RFC 4217 §14).
    pub(super) const fn abort(&self) -> OwnCommand {
        if self.server {
            OwnCommand::AbortPlain
        } else {
            OwnCommand::Abort
        }
    }

    /// Whether data connections of `leg` are under TLS.
    pub(super) fn is_data_private(&self, leg: Leg) -> bool {
        match leg {
            Leg::Client => self.client_data,
            Leg::Server => self.server_data == Some(true),
        }
    }
}

impl Session {
    /// Begins with TLS where the listener does.
    pub(super) fn begin_implicit(&mut self) {
        if self.profile.client_tls.offer == TlsOffer::Implicit {
            self.turn_client();
        } else {
            self.push(Action::Connect);
        }
    }

    /// Turns the client's control connection to TLS.
    fn turn_client(&mut self) {
        self.protection.client_turning = true;
        self.push(Action::StartTls(Leg::Client));
        self.await_handshake();
    }

    /// Turns the server's control connection to TLS.
    pub(super) fn turn_server(&mut self) {
        self.protection.step = Some(ServerStep::Handshake);
        self.push(Action::StartTls(Leg::Server));
        self.await_handshake();
    }

    /// Runs the handshake timer.
    fn await_handshake(&mut self) {
        let timeout = self.limits.tls_handshake_timeout;
        self.deadlines
            .arm(Timer::Handshake, self.now.elapsed, timeout);
    }

    /// A control connection is under TLS.
    pub(super) fn secured(&mut self, leg: Leg, secured: Secured) {
        self.deadlines.disarm(Timer::Handshake);
        match leg {
            Leg::Client => {
                self.protection.client = Some(secured);
                self.protection.client_turning = false;
                if self.phase == Phase::Connecting {
                    // RFC 4217 has no implicit TLS; where it is, data is private from the start.
                    self.protection.client_data = true;
                    self.protection.has_buffer_size = true;
                    self.push(Action::Connect);
                }
            }
            Leg::Server => {
                self.protection.server = true;
                self.protection.step = None;
                if self.phase != Phase::Greeting {
                    self.ask_protection(ServerStep::Pbsz);
                }
            }
        }
    }

    /// The handshake of a control connection failed. A client that has asked for TLS hears
    /// nothing in clear (RFC 4217 §10.1).
    pub(super) fn unsecured(&mut self, leg: Leg) {
        match leg {
            Leg::Client => {
                self.finish_unanswered();
                self.close(CloseReason::Tls, End::Fin);
            }
            Leg::Server => self.give_up_server_tls(),
        }
    }

    /// The server refused the version of TLS that it was offered, and another one is left: it is
    /// dialled again, once, and the client hears nothing of that. Nothing is sent in clear that
    /// would not have been before (law L7). A server that may keep something for the client is
    /// not dialled again: a new connection would lack it.
    pub(super) fn version_refused(&mut self) {
        self.deadlines.disarm(Timer::Handshake);
        if self.protection.redialled || self.protection.server_keeps {
            self.give_up_server_tls();
            return;
        }
        self.protection.redialled = true;
        self.protection.greets_again = self.phase != Phase::Greeting;
        self.protection.step = None;
        self.forget_replies();
        self.phase = Phase::Connecting;
        let timeout = self.limits.greeting_timeout;
        self.deadlines
            .arm(Timer::Greeting, self.now.elapsed, timeout);
        self.push(Action::Connect);
    }

    /// Takes note of what is about to be sent to the server.
    pub(super) fn note_sent(&mut self, action: &Action) {
        let is_kept = if let Action::Ask(command) = action {
            !matches!(
                command,
                OwnCommand::AuthTls
                    | OwnCommand::Pbsz
                    | OwnCommand::ProtClear
                    | OwnCommand::ProtPrivate
            )
        } else {
            !matches!(
                self.head.as_ref().and_then(|head| head.verb()),
                Some(Verb::Feat | Verb::Help | Verb::Noop | Verb::Syst)
            )
        };
        self.protection.server_keeps |= is_kept;
    }

    /// A handshake has not ended in time.
    pub(super) fn handshake_timed_out(&mut self) {
        let leg = if self.protection.client_turning {
            Leg::Client
        } else {
            Leg::Server
        };
        self.note(Fact::HandshakeTimeout {
            leg,
            channel: Channel::Control,
        });
        self.unsecured(leg);
    }

    /// TLS towards the server is demanded and cannot be had: nothing is sent in clear (law L7).
    fn give_up_server_tls(&mut self) {
        self.goodbye(
            CloseReason::Tls,
            "Service not available, the server cannot be reached over TLS.",
        );
    }

    /// Whether the server's leg is to be under TLS and is not yet.
    fn lacks_server_tls(&self) -> bool {
        let wanted = match self.profile.server_tls {
            ServerTls::Explicit => true,
            ServerTls::Match => {
                self.protection.client.is_some() || self.protection.waiting.is_some()
            }
            // It began with the connection.
            ServerTls::Implicit | ServerTls::Off => false,
        };
        wanted && !self.protection.server
    }

    /// The greeting is there: secures the server's leg if it is to be; whether there is anything
    /// to wait for.
    pub(super) fn secure_server(&mut self) -> bool {
        if self.lacks_server_tls() {
            self.ask_protection(ServerStep::Auth);
        } else if self.protection.server {
            self.ask_protection(ServerStep::Pbsz);
        } else {
            return false;
        }
        true
    }

    /// Asks the server for a step of its protection.
    fn ask_protection(&mut self, step: ServerStep) {
        self.protection.step = Some(step);
        self.ask(match step {
            ServerStep::Auth | ServerStep::Handshake => OwnCommand::AuthTls,
            ServerStep::Pbsz => OwnCommand::Pbsz,
            ServerStep::Prot(true) => OwnCommand::ProtPrivate,
            ServerStep::Prot(false) => OwnCommand::ProtClear,
        });
    }

    /// Whether the server's data connections are to be private.
    fn wants_private_data(&self) -> bool {
        match self.profile.server_tls {
            ServerTls::Explicit | ServerTls::Implicit => true,
            ServerTls::Match => self.protection.client_data,
            ServerTls::Off => false,
        }
    }

    /// The server answered a command for its protection.
    pub(super) fn take_protection(&mut self, code: Code) {
        self.deadlines.disarm(Timer::Reply);
        match self.protection.step.take() {
            Some(ServerStep::Auth) if code.value() == 234 => {
                if self.replies.buffered() > 0 {
                    // What came in clear behind it was not said under TLS.
                    self.note(Fact::ServerFault(ServerFault::InjectedPlaintext));
                    self.give_up_server_tls();
                } else {
                    self.turn_server();
                }
            }
            Some(ServerStep::Auth) => {
                self.note(Fact::ServerFault(ServerFault::TlsRefused));
                self.give_up_server_tls();
            }
            Some(ServerStep::Pbsz) => {
                self.ask_protection(ServerStep::Prot(self.wants_private_data()));
            }
            Some(ServerStep::Prot(private)) => {
                // RFC 4217 §12.1: it may be refused before login, and is tried again then.
                self.protection.server_data = (code.class() == 2).then_some(private);
                self.go_on_protected();
            }
            Some(ServerStep::Handshake) | None => {}
        }
    }

    /// The server's leg is as protected as it will be now.
    fn go_on_protected(&mut self) {
        if self.phase == Phase::Securing {
            self.open_service();
        }
        let Some(mut head) = self.head.take() else {
            return;
        };
        if let Some(mechanism) = self.protection.waiting.take() {
            self.accept_auth(head, mechanism);
        } else if self.lacks_data_level() {
            self.note(Fact::ServerFault(ServerFault::TlsRefused));
            let text = "Requested action aborted.";
            self.answer(head, 451, text, Outcome::Answered);
        } else {
            head.stage = Stage::Judging;
            self.begin(head);
        }
    }

    /// Whether the server's data connections have another protection than they are to have.
    fn lacks_data_level(&self) -> bool {
        self.protection.server && self.protection.server_data != Some(self.wants_private_data())
    }

    /// Makes the server's data connections as private as they are to be before any is set up;
    /// gives `head` back where they are.
    pub(super) fn protect_data(&mut self, mut head: Box<Head>) -> Option<Box<Head>> {
        if !self.lacks_data_level() {
            return Some(head);
        }
        head.stage = Stage::Protecting;
        self.head = Some(head);
        self.ask_protection(ServerStep::Prot(self.wants_private_data()));
        None
    }

    /// What the client's leg must be protected with before `head` may be worked on.
    pub(super) fn lacks_protection(&self, head: &Head) -> Option<(u16, &'static str)> {
        let require = self.profile.client_tls.require;
        if require == Require::No {
            return None;
        }
        let verb = head.command.name.canonical();
        if self.protection.client.is_none() {
            return (!verb.is_some_and(precedes_tls))
                .then_some((530, "Please protect the connection first: AUTH TLS."));
        }
        let transfers = verb.is_some_and(Verb::transfers);
        (require == Require::Data && transfers && !self.protection.client_data)
            .then_some((521, "Data connections must be protected first: PROT P."))
    }

    /// Whether the session could use a command, with some path and argument: what belongs to the
    /// listener's TLS where there is TLS, and what policy could allow.
    pub(super) fn could_use(&self, name: &Name, word: Option<&str>) -> bool {
        let offer = self.profile.client_tls.offer;
        match name.known() {
            Some(Verb::Auth) => offer == TlsOffer::Explicit,
            Some(Verb::Pbsz | Verb::Prot) => offer != TlsOffer::None,
            _ => self.could_allow(name, word),
        }
    }

    /// Answers what belongs to the listener's TLS (RFC 2228 §3, RFC 4217); gives any other
    /// command back.
    pub(super) fn answer_protection(&mut self, head: Box<Head>) -> Option<Box<Head>> {
        match head.verb() {
            Some(Verb::Auth) => self.answer_auth(head),
            Some(Verb::Pbsz) => self.answer_pbsz(head),
            Some(Verb::Prot) => self.answer_prot(head),
            Some(Verb::Ccc) if self.protection.client.is_some() => {
                let text = "Request denied for policy reasons.";
                self.answer(head, 534, text, Outcome::Denied);
            }
            Some(Verb::Ccc) => {
                let text = "Command protection level denied.";
                self.answer(head, 533, text, Outcome::Invalid);
            }
            // It would end TLS on both legs, one after the other (RFC 4217 §11).
            Some(Verb::Rein) if self.protection.client.is_some() || self.protection.server => {
                let text = "Request denied for policy reasons.";
                self.answer(head, 534, text, Outcome::Denied);
            }
            _ => return Some(head),
        }
        None
    }

    /// AUTH: before USER, with nothing behind it.
    fn answer_auth(&mut self, mut head: Box<Head>) {
        if self.profile.client_tls.offer == TlsOffer::None {
            self.answer(head, 502, "Command not implemented.", Outcome::Denied);
            return;
        }
        let named = self.login.trying.is_some() || self.login.user.is_some();
        if self.protection.client.is_some() || named {
            // A login that was made in clear cannot be moved under TLS, nor be taken back.
            self.answer(head, 503, "Bad sequence of commands.", Outcome::Invalid);
            return;
        }
        if head.command.argument.is_none() {
            self.answer_invalid(head, ClientFault::BadArgument);
            return;
        }
        let Some(mechanism) = Mechanism::parse(head.command.argument_bytes()) else {
            let text = "Security mechanism not understood.";
            self.answer(head, 504, text, Outcome::Invalid);
            return;
        };
        if self.pipeline.holds_anything() {
            let (code, text, _) = ClientFault::InjectedPlaintext.answer();
            self.note(Fact::ClientFault(ClientFault::InjectedPlaintext));
            self.answer(head, code, text, Outcome::Invalid);
            self.close(CloseReason::Violation, End::Fin);
            return;
        }
        if self.profile.server_tls == ServerTls::Match && !self.protection.server {
            head.stage = Stage::Protecting;
            self.head = Some(head);
            self.protection.waiting = Some(mechanism);
            self.ask_protection(ServerStep::Auth);
        } else {
            self.accept_auth(head, mechanism);
        }
    }

    /// 234, and TLS. What was learned in clear is forgotten.
    fn accept_auth(&mut self, head: Box<Head>, mechanism: Mechanism) {
        if self.pipeline.holds_anything() {
            let (code, text, _) = ClientFault::InjectedPlaintext.answer();
            self.note(Fact::ClientFault(ClientFault::InjectedPlaintext));
            self.answer(head, code, text, Outcome::Invalid);
            self.close(CloseReason::Violation, End::Fin);
            return;
        }
        self.place.begin_anew();
        self.drop_data(End::Reset);
        self.protection.client_data = mechanism == Mechanism::Ssl;
        self.answer(head, 234, "Proceed with negotiation.", Outcome::Answered);
        self.turn_client();
    }

    /// PBSZ: TLS has no buffer size of its own (RFC 4217 §8).
    fn answer_pbsz(&mut self, head: Box<Head>) {
        let size = head.command.argument_bytes().trim_ascii();
        if self.protection.client.is_none() {
            let text = "No security exchange has taken place.";
            self.answer(head, 503, text, Outcome::Invalid);
        } else if size.is_empty() || !size.iter().all(u8::is_ascii_digit) {
            self.answer_invalid(head, ClientFault::BadArgument);
        } else {
            self.protection.has_buffer_size = true;
            self.answer(head, 200, "PBSZ=0", Outcome::Answered);
        }
    }

    /// PROT: C or P.
    fn answer_prot(&mut self, head: Box<Head>) {
        if self.protection.client.is_none() || !self.protection.has_buffer_size {
            let text = "No security exchange has taken place.";
            self.answer(head, 503, text, Outcome::Invalid);
            return;
        }
        let level = head.command.argument_bytes();
        if level.is_empty() {
            self.answer_invalid(head, ClientFault::BadArgument);
            return;
        }
        match Level::parse(level) {
            None => {
                let text = "Protection level not understood.";
                self.answer(head, 504, text, Outcome::Invalid);
            }
            Some(Level::Other) => {
                let text = "Protection level not supported by TLS.";
                self.answer(head, 536, text, Outcome::Invalid);
            }
            Some(Level::Clear) if self.profile.client_tls.require == Require::Data => {
                let text = "Data connections must be protected.";
                self.answer(head, 534, text, Outcome::Denied);
            }
            Some(level) => {
                let private = level == Level::Private;
                if private != self.protection.client_data {
                    // One that was made under the other level is not what was agreed on.
                    self.drop_data(End::Reset);
                }
                self.protection.client_data = private;
                let text = if private {
                    "Protection level set to P."
                } else {
                    "Protection level set to C."
                };
                self.answer(head, 200, text, Outcome::Answered);
            }
        }
    }
}

/// Whether `verb` may be sent before TLS where that is required: it says nothing of who one is.
const fn precedes_tls(verb: Verb) -> bool {
    matches!(
        verb,
        Verb::Auth
            | Verb::Clnt
            | Verb::Feat
            | Verb::Help
            | Verb::Host
            | Verb::Lang
            | Verb::Noop
            | Verb::Opts
            | Verb::Quit
            | Verb::Syst
    )
}
