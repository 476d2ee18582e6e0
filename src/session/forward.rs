//! What a permitted command does: to the server as it is, or what stands for it.
//!
//! Owns the arguments that the gateway checks itself, and the writing of lines to the server.

use super::deadline::Timer;
use super::effect;
use super::state::{Head, Stage};
use super::{Action, DataForm, End, Outcome, OwnCommand, Session};
use crate::ftp::address::{self, AddressFault, Epsv, Family};
use crate::ftp::command::{Command, Name};
use crate::ftp::misbehaviour::ClientFault;
use crate::ftp::subcommand::words;
use crate::ftp::verb::{self, Argument, Data, Verb};
use crate::policy::Permit;

impl Session {
    /// Does what a permitted command is for.
    pub(super) fn forward(&mut self, head: Box<Head>, permit: Permit) {
        if let Some(fault) = Self::argument_fault(&head.command) {
            self.unlearn(&head.command);
            self.answer_invalid(head, fault);
            return;
        }
        let sets_up = head
            .command
            .row()
            .is_some_and(|row| row.data == Data::Setup);
        let head = if sets_up {
            match self.protect_data(head) {
                Some(head) => head,
                None => return,
            }
        } else {
            head
        };
        let Some(verb) = head.command.name.canonical() else {
            self.send(head, permit);
            return;
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "all others go to the server as they are"
        )]
        match verb {
            Verb::Pasv => self.prepare(head, DataForm::Pasv, None),
            Verb::Epsv => self.forward_epsv(head),
            Verb::Port => self.forward_port(head),
            Verb::Eprt => self.forward_eprt(head),
            Verb::Pass | Verb::Acct if self.login.refused => self.refuse_password(head),
            Verb::User => {
                self.login.refused = false;
                self.drop_data(End::Reset);
                self.send(head, permit);
            }
            Verb::Rein | Verb::Quit => {
                self.drop_data(End::Reset);
                self.send(head, permit);
            }
            Verb::Rnto => {
                // RFC 959 §5.4: the sequence is the gateway's to keep, since it judges both names.
                if self.place.renaming.take().is_some() {
                    self.send(head, permit);
                } else {
                    self.answer(head, 503, "Bad sequence of commands.", Outcome::Invalid);
                }
            }
            Verb::Feat if self.judge.is_unsupported(&head.command.name) => {
                self.answer_own_features(head);
            }
            Verb::Help if !self.may_help(&head.command) => {
                self.answer(head, 502, "Command not implemented.", Outcome::Denied);
            }
            verb if verb.transfers() => self.begin_transfer(head, permit),
            _ => self.send(head, permit),
        }
    }

    /// What is wrong with an argument, whatever the server thinks of it.
    fn argument_fault(command: &Command) -> Option<ClientFault> {
        let row = command.row()?;
        let missing = row.argument.is_mandatory() && command.argument.is_none();
        #[expect(clippy::wildcard_enum_match_arm, reason = "all others are alike")]
        let odd = match command.name.known()? {
            // RFC 2389 §3.1: FEAT takes no argument.
            Verb::Feat => command.argument.is_some(),
            Verb::Rest => effect::offset(command).is_none(),
            Verb::Pasv => row.argument == Argument::None && command.argument.is_some(),
            verb => verb::takes_word(verb) && command.word().is_none(),
        };
        (missing || odd).then_some(ClientFault::BadArgument)
    }

    /// EPSV: with a family, ALL, or nothing (RFC 2428 §3).
    fn forward_epsv(&mut self, head: Box<Head>) {
        let family = Family::of(self.client.ip());
        match address::parse_epsv(head.command.argument_bytes()) {
            Ok(Epsv::All) => {
                self.place.only_epsv = true;
                self.answer(head, 200, "EPSV ALL command successful.", Outcome::Answered);
            }
            Ok(Epsv::Family(asked)) if asked != family => self.answer_family(head, family),
            Ok(Epsv::Any | Epsv::Family(_)) => self.prepare(head, DataForm::Epsv, None),
            Err(AddressFault::UnknownFamily) => self.answer_family(head, family),
            Err(AddressFault::Malformed) => self.answer_invalid(head, ClientFault::BadArgument),
        }
    }

    /// PORT: to the client itself, from port 1024 (RFC 2577 §3).
    fn forward_port(&mut self, head: Box<Head>) {
        match address::parse_port(head.command.argument_bytes()) {
            Some(target) => self.prepare_active(head, DataForm::Port, target),
            None => self.answer_invalid(head, ClientFault::BadArgument),
        }
    }

    /// EPRT: the same. The unspecified address means the client's own (lftp).
    fn forward_eprt(&mut self, head: Box<Head>) {
        match address::parse_eprt(head.command.argument_bytes()) {
            Ok(mut target) => {
                let same_family = Family::of(target.ip()) == Family::of(self.client.ip());
                if same_family && target.ip().is_unspecified() {
                    target.set_ip(self.client.ip());
                }
                self.prepare_active(head, DataForm::Eprt, target);
            }
            // RFC 2428 §2: the families that would do, in parentheses.
            Err(AddressFault::UnknownFamily) => {
                let text = "Network protocol not supported, use (1,2)";
                self.answer(head, 522, text, Outcome::Invalid);
            }
            Err(AddressFault::Malformed) => self.answer_invalid(head, ClientFault::BadArgument),
        }
    }

    /// `522` with the one family that the control connection has.
    fn answer_family(&mut self, head: Box<Head>, family: Family) {
        let text = match family {
            Family::V4 => "Network protocol not supported, use (1)",
            Family::V6 => "Network protocol not supported, use (2)",
        };
        self.answer(head, 522, text, Outcome::Invalid);
    }

    /// Prepares an active data connection if its target is one that the client may name.
    fn prepare_active(&mut self, head: Box<Head>, form: DataForm, target: std::net::SocketAddr) {
        if target.ip().to_canonical() != self.client.ip() {
            self.answer_invalid(head, ClientFault::ForeignAddress);
        } else if target.port() < 1024 {
            self.answer_invalid(head, ClientFault::LowPort);
        } else {
            self.prepare(head, form, Some(super::canonical(target)));
        }
    }

    /// Writes the permitted line; its reply is awaited.
    pub(super) fn send(&mut self, mut head: Box<Head>, permit: Permit) {
        head.stage = Stage::Forwarded;
        head.sent_at = Some(self.now.elapsed);
        self.head = Some(head);
        self.write(Action::Forward(permit));
    }

    /// Writes a command of the gateway's own; its reply is awaited.
    pub(super) fn ask(&mut self, command: OwnCommand) {
        self.write(Action::Ask(command));
    }

    /// Writes to the server. What has come from it so far is no reply to this.
    pub(super) fn write(&mut self, action: Action) {
        self.early_bytes = self.replies.buffered();
        self.note_sent(&action);
        self.push(action);
        self.await_reply();
    }

    /// Runs the reply timer.
    pub(super) fn await_reply(&mut self) {
        let timeout = self.limits.reply_timeout;
        self.deadlines.arm(Timer::Reply, self.now.elapsed, timeout);
    }

    /// Whether HELP may be asked about this: not about what the session is refused anyway.
    fn may_help(&self, command: &Command) -> bool {
        self.may_speak_of(command.argument_bytes())
    }

    /// Whether OPTS may set something about this (RFC 2389 §4): not about what the session is refused anyway.
    pub(super) fn may_set_options(&self, command: &Command) -> bool {
        let argument = command.argument_bytes();
        // RFC 3659 §7.9: these options are those of both verbs.
        let is_mlst = words(argument)
            .next()
            .is_some_and(|word| word.eq_ignore_ascii_case(b"MLST"));
        // Before login nobody knows yet who it is for.
        !self.login.is_in() || self.may_speak_of(argument) || is_mlst && self.may_speak_of(b"MLSD")
    }

    /// Whether the session could use the verb that `text` begins with, and the word behind it where that
    /// matters. What is no verb of the table is none of the gateway's business.
    fn may_speak_of(&self, text: &[u8]) -> bool {
        let mut words = words(text);
        let Some(name @ Name::Known(verb)) = words.next().and_then(Name::parse) else {
            return true;
        };
        let word = words
            .next()
            .filter(|_| verb::takes_word(verb))
            .map(String::from_utf8_lossy);
        self.could_allow(&name, word.as_deref())
    }
}
