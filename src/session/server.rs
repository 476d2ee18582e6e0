//! The server's replies: to whom each belongs, and what happens when it is whole.
//!
//! A reply's owner is settled at its first line, from what is in flight at that moment, so a
//! reply that nothing asked for can never be taken for the answer to a later command.

use bytes::{Bytes, BytesMut};

use super::deadline::Timer;
use super::effect;
use super::state::{Head, Phase, Stage};
use super::transfer::FinalReply;
use super::truth;
use super::{CloseReason, End, Fact, Origin, Outcome, Session};
use crate::ftp::misbehaviour::ServerFault;
use crate::ftp::reply::{self, Code, ReplyLine, ReplyReader};
use crate::ftp::verb::Verb;

/// The longest reply that is held back as a whole, in bytes.
const HELD_BYTES: usize = 64 * 1024;

/// Preliminary replies to one command; RFC 959 §4.2 has one.
const PRELIMINARIES: u8 = 16;

/// An ABOR that was sent while a transfer ran.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Abort {
    /// The server has answered it: the code and the lines, for when its turn comes.
    Answered(Code, Bytes),
    /// None.
    Idle,
    /// The server has not answered it in time: the gateway does when its turn comes.
    Overdue,
    /// The gateway has sent one unasked, and the server has not answered it yet.
    Own,
    /// The server has not answered it yet.
    Sent,
}

/// Whose a reply is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Owner {
    /// The ABOR that was sent ahead.
    Abort,
    /// The client's command in work; its lines are relayed as they come.
    Client,
    /// Nobody's.
    Nobody,
    /// The hidden PWD.
    Directory,
    /// The hidden AUTH, PBSZ or PROT.
    Protection,
    /// FEAT, to be made true.
    Features,
    /// A transfer's final reply, held until the transfer has settled.
    Final,
    /// The greeting, relayed.
    Greeting,
    /// Nobody's, but a 421: held, so that it comes in one piece and behind the bytes of a transfer.
    Goodbye,
    /// The greeting of a server that was dialled again, of which the client hears nothing.
    GreetingAgain,
    /// The greeting that the operator's stands for.
    HiddenGreeting,
    /// HELP or SITE HELP, to be made true.
    Help,
    /// The refusal of a login, held until it has taken its time.
    Refusal,
    /// The hidden REST 0.
    Restart,
    /// A command that sets up a data connection.
    Setup,
}

impl Owner {
    /// Whether lines go to the client as they come.
    const fn is_relayed(self) -> bool {
        matches!(self, Self::Client | Self::Greeting)
    }
}

/// A reply whose lines are coming in.
#[derive(Debug)]
pub(super) struct Incoming {
    /// Its code.
    code: Code,
    /// Whose it is.
    owner: Owner,
    /// Its first line, for what it states.
    first: Bytes,
    /// All of it, where it is held.
    held: BytesMut,
}

impl Session {
    /// Takes bytes from the server.
    pub(super) fn read_replies(&mut self, bytes: &[u8]) {
        self.replies.push(bytes);
        while !self.is_over() && !self.is_refusing() {
            let held = self.replies.buffered();
            let Some(line) = self.replies.next_line() else {
                break;
            };
            let is_early = self.early_bytes > 0;
            let taken = held.saturating_sub(self.replies.buffered());
            self.early_bytes = self.early_bytes.saturating_sub(taken);
            match line {
                Ok(line) => self.take_line(&line, is_early),
                Err(fault) => self.break_off(fault),
            }
        }
    }

    /// The server broke the protocol beyond repair.
    fn break_off(&mut self, fault: ServerFault) {
        let fault = match (self.phase, fault) {
            (Phase::Greeting, ServerFault::NotAReply) => ServerFault::BadGreeting,
            (_, fault) => fault,
        };
        self.note(Fact::ServerFault(fault));
        self.fail_transfer_for_server();
        let reason = if fault == ServerFault::Unsolicited {
            CloseReason::Violations
        } else {
            CloseReason::Violation
        };
        let text = "Service not available, the server broke the protocol.";
        self.goodbye(reason, text);
    }

    /// Takes one line of a reply. One that begins early came before the command in flight was
    /// sent.
    fn take_line(&mut self, line: &ReplyLine, is_early: bool) {
        if line.first {
            self.note(Fact::ServerReply {
                code: line.code.value(),
            });
            let owner = match self.owner(line.code, is_early) {
                Ok(owner) => owner,
                Err(fault) => {
                    self.break_off(fault);
                    return;
                }
            };
            self.incoming = Some(Incoming {
                code: line.code,
                owner,
                first: line.bytes.clone(),
                held: BytesMut::new(),
            });
        }
        let Some(mut incoming) = self.incoming.take() else {
            return;
        };
        if incoming.owner.is_relayed() {
            self.make_room();
            self.out.extend_from_slice(&line.bytes);
            self.reply_open = !line.last;
        } else if incoming.owner != Owner::Nobody {
            if incoming.held.len().saturating_add(line.bytes.len()) > HELD_BYTES {
                self.break_off(ServerFault::ReplyTooLong);
                return;
            }
            incoming.held.extend_from_slice(&line.bytes);
        }
        if line.last {
            self.take_reply(incoming);
            self.answer_measured_status();
        } else {
            self.incoming = Some(incoming);
        }
    }

    /// Whose a reply with `code` is that begins now.
    ///
    /// # Errors
    /// It cannot be a greeting, or is one too many that nothing asked for.
    fn owner(&mut self, code: Code, is_early: bool) -> Result<Owner, ServerFault> {
        if self.phase == Phase::Greeting {
            return match (code.class(), &self.profile.greeting) {
                (3 | 6, _) => Err(ServerFault::BadGreeting),
                _ if self.protection.greets_again() => Ok(Owner::GreetingAgain),
                (_, Some(_)) => Ok(Owner::HiddenGreeting),
                (_, None) => Ok(Owner::Greeting),
            };
        }
        if self.protection.awaits_reply() && !is_early {
            return Ok(Owner::Protection);
        }
        let is_overdue = self.is_overdue_abort_reply(code);
        if is_overdue {
            self.abort_overdue = false;
        }
        let owner = if is_early || is_overdue {
            None
        } else {
            self.awaited(code)
        };
        if let Some(owner) = owner {
            return Ok(owner);
        }
        // 421 may come at any time (RFC 959 §5.4): it is the one that is passed on unasked.
        // A client that turns to TLS hears nothing in clear, though.
        let is_goodbye = code.value() == 421;
        self.unsolicited = self.unsolicited.saturating_add(1);
        if self.unsolicited > self.limits.violations && !is_goodbye {
            return Err(ServerFault::Unsolicited);
        }
        self.note(Fact::ServerFault(ServerFault::Unsolicited));
        Ok(if is_goodbye && !self.protection.is_turning() {
            Owner::Goodbye
        } else {
            Owner::Nobody
        })
    }

    /// Whose reply is awaited.
    fn awaited(&self, code: Code) -> Option<Owner> {
        let abort = self.abort.is_awaited().then_some(Owner::Abort);
        let Some(head) = &self.head else { return abort };
        match &head.stage {
            Stage::Forwarded if self.refuses_login(head, code) => Some(Owner::Refusal),
            Stage::Forwarded => Some(forwarded_owner(head, code)),
            Stage::Judging | Stage::Protecting | Stage::Refusing(_) => abort,
            Stage::Learning => Some(Owner::Directory),
            Stage::Preparing(setup) => setup.awaits_reply().then_some(Owner::Setup),
            Stage::TakingBack(_) => Some(Owner::Restart),
            Stage::Transferring => match &self.transfer {
                Some(transfer) if transfer.final_reply.is_none() => {
                    Some(if code.is_preliminary() {
                        Owner::Client
                    } else {
                        Owner::Final
                    })
                }
                Some(_) | None => abort,
            },
        }
    }

    /// Makes the reply that is coming in nobody's if it is that to ABOR, which the gateway has said
    /// in the meantime; whether it was.
    pub(super) fn disown_abort_reply(&mut self) -> bool {
        let late = self
            .incoming
            .as_mut()
            .filter(|incoming| incoming.owner == Owner::Abort);
        late.map(|incoming| incoming.owner = Owner::Nobody)
            .is_some()
    }

    /// A reply is whole.
    fn take_reply(&mut self, incoming: Incoming) {
        let Incoming {
            code,
            owner,
            first,
            held,
        } = incoming;
        let held = held.freeze();
        if code.value() == 421 && !matches!(owner, Owner::Greeting | Owner::HiddenGreeting) {
            self.take_goodbye(owner, &held);
            return;
        }
        if code.is_preliminary() && self.count_preliminary() > PRELIMINARIES {
            if matches!(owner, Owner::Client | Owner::Greeting) {
                // The client has its lines already.
                self.note(Fact::Reply {
                    code: code.value(),
                    origin: Origin::Server,
                });
            }
            self.break_off(ServerFault::WrongCode);
            return;
        }
        if owner != Owner::Nobody && !code.is_preliminary() {
            // Replies come in order: what is overdue will not come any more.
            self.abort_overdue = false;
            self.unsolicited = 0;
        }
        match owner {
            // A 421, which was taken above.
            Owner::Goodbye | Owner::Nobody => {}
            Owner::Abort | Owner::Directory | Owner::Protection | Owner::Restart | Owner::Setup
                if code.is_preliminary() => {}
            Owner::Abort => {
                self.deadlines.disarm(Timer::Reply);
                self.abort.answer(code, held);
            }
            Owner::Client => self.take_relayed(code, &first),
            Owner::Directory => {
                self.deadlines.disarm(Timer::Reply);
                let stated = (code.value() == 257)
                    .then(|| reply::directory(&first))
                    .flatten();
                self.learnt(stated);
            }
            Owner::Features => self.take_features(code, &held),
            Owner::Final => self.take_final(FinalReply {
                code,
                lines: held,
                first,
            }),
            Owner::Greeting => self.take_greeting(code),
            Owner::GreetingAgain => self.take_greeting_again(code),
            Owner::Help => self.take_help(code, held),
            Owner::Protection => self.take_protection(code),
            Owner::HiddenGreeting => self.take_hidden_greeting(code),
            Owner::Refusal => self.take_refusal(code, held, &first),
            Owner::Restart => self.restart_taken_back(code),
            Owner::Setup => {
                self.deadlines.disarm(Timer::Reply);
                self.take_setup(code, &held, &first);
            }
        }
    }

    /// Counts a preliminary reply; how many there were.
    const fn count_preliminary(&mut self) -> u8 {
        let count = match &mut self.head {
            Some(head) => &mut head.preliminaries,
            None => &mut self.stray_preliminaries,
        };
        *count = count.saturating_add(1);
        *count
    }

    /// The server said 421: whatever it answers, the session ends with it.
    fn take_goodbye(&mut self, owner: Owner, held: &Bytes) {
        if owner == Owner::Goodbye && self.server_left_after_final(Some(held)) {
            return;
        }
        self.cut_transfer(false);
        self.drop_data(End::Reset);
        if owner == Owner::Nobody {
            self.finish_unanswered();
            self.close(CloseReason::ServerGone, End::Fin);
            return;
        }
        if !owner.is_relayed() {
            self.out.extend_from_slice(held);
        }
        self.note(Fact::Reply {
            code: 421,
            origin: Origin::Server,
        });
        if let Some(head) = self.head.take() {
            let outcome = head.outcome();
            self.record(head, Some(421), Origin::Server, outcome);
        }
        self.close(CloseReason::ServerGone, End::Fin);
    }

    /// Passes on the 421 that came while a transfer was still delivered, and closes.
    pub(super) fn pass_on_goodbye(&mut self, lines: &[u8]) {
        self.out.extend_from_slice(lines);
        self.note(Fact::Reply {
            code: 421,
            origin: Origin::Server,
        });
        self.close(CloseReason::ServerGone, End::Fin);
    }

    /// The greeting was relayed.
    fn take_greeting(&mut self, code: Code) {
        self.note(Fact::Reply {
            code: code.value(),
            origin: Origin::Server,
        });
        match code.class() {
            1 => {}
            2 => self.greeted(code),
            _ => self.close(CloseReason::ServerGone, End::Fin),
        }
    }

    /// The greeting was kept back: the operator's stands for it.
    fn take_hidden_greeting(&mut self, code: Code) {
        match (code.class(), self.profile.greeting.clone()) {
            (1, _) => {}
            (2, Some(greeting)) => {
                let stated = greeting
                    .get(..3)
                    .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok())
                    .unwrap_or(220);
                self.out.extend_from_slice(&greeting);
                self.note(Fact::Reply {
                    code: stated,
                    origin: Origin::Gateway,
                });
                self.greeted(code);
            }
            _ => self.goodbye(CloseReason::ServerGone, "Service not available."),
        }
    }

    /// The server that was dialled again has greeted; the client has the first greeting.
    fn take_greeting_again(&mut self, code: Code) {
        match code.class() {
            1 => {}
            2 => self.secure_greeted(code),
            _ => self.goodbye(CloseReason::ServerGone, "Service not available."),
        }
    }

    /// The greeting with `code` is over.
    fn greeted(&mut self, code: Code) {
        self.note(Fact::Greeted);
        self.secure_greeted(code);
    }

    /// Behind a greeting with `code` the server's leg is secured if it is to be.
    fn secure_greeted(&mut self, code: Code) {
        self.deadlines.disarm(Timer::Greeting);
        // The server may ask for no name; to policy nobody is logged in then.
        self.login.open = effect::is_login(code);
        if !self.login.open {
            let timeout = self.limits.login_timeout;
            self.deadlines
                .arm_once(Timer::Login, self.now.elapsed, timeout);
        }
        self.phase = Phase::Securing;
        if !self.secure_server() {
            self.open_service();
        }
    }

    /// What came over a connection that was given up is no reply of the next one's.
    pub(super) fn forget_replies(&mut self) {
        let limits = &self.limits;
        self.replies = ReplyReader::new(limits.reply_line_bytes, limits.reply_bytes);
        self.incoming = None;
        self.early_bytes = 0;
    }

    /// The server's leg is as it is to be: commands are worked on.
    pub(super) fn open_service(&mut self) {
        self.phase = Phase::Serving;
    }

    /// A reply to the command in work was relayed to its last line.
    fn take_relayed(&mut self, code: Code, first: &Bytes) {
        self.note(Fact::Reply {
            code: code.value(),
            origin: Origin::Server,
        });
        if code.is_preliminary() {
            self.transfer_promised(first);
            return;
        }
        self.finish_forwarded(code, first);
    }

    /// A forwarded command has had its final reply.
    fn finish_forwarded(&mut self, code: Code, first: &Bytes) {
        self.deadlines.disarm(Timer::Reply);
        let Some(head) = self.head.take() else { return };
        self.learn(&head.command, head.path.as_ref(), code, first);
        let quits = head.verb() == Some(Verb::Quit) && code.class() == 2;
        self.record(head, Some(code.value()), Origin::Server, Outcome::Forwarded);
        if quits {
            self.close(CloseReason::Quit, End::Fin);
        }
    }

    /// Sends lines that were held as the reply to the command in work.
    pub(super) fn finish_held(&mut self, code: u16, lines: &[u8], origin: Origin) {
        self.deadlines.disarm(Timer::Reply);
        self.out.extend_from_slice(lines);
        self.note(Fact::Reply { code, origin });
        if let Some(head) = self.head.take() {
            self.record(head, Some(code), origin, Outcome::Forwarded);
        }
    }

    /// FEAT was answered: it is made to tell the session's truth (RFC 2389 §3.2).
    fn take_features(&mut self, code: Code, held: &Bytes) {
        // A single line lists nothing: what the client reads in its place is a 211, whatever the
        // server's code was.
        let lists = held.split_inclusive(|byte| *byte == b'\n').count() > 1;
        if code.class() == 2 && (lists || code.value() == 211) {
            let lines = truth::features(held, |name, word| self.could_use(name, word));
            self.finish_held(code.value(), &lines, Origin::Server);
        } else if let Some(lines) = truth::own_features(|name, word| self.could_use(name, word)) {
            self.finish_held(211, &lines, Origin::Gateway);
        } else {
            self.finish_held(code.value(), held, Origin::Server);
        }
    }

    /// FEAT of a server that is not to be sent it.
    pub(super) fn answer_own_features(&mut self, head: Box<Head>) {
        let lines = truth::own_features(|name, word| self.could_use(name, word));
        let lines = lines.unwrap_or_else(|| reply::render(211, "No features supported"));
        self.out.extend_from_slice(&lines);
        self.note(Fact::Reply {
            code: 211,
            origin: Origin::Gateway,
        });
        self.record(head, Some(211), Origin::Gateway, Outcome::Answered);
    }

    /// HELP or SITE HELP was answered.
    fn take_help(&mut self, code: Code, held: Bytes) {
        let site = self.head.as_ref().is_some_and(|head| is_about_site(head));
        let lines = if code.class() == 2 {
            truth::help(&held, site, |name, word| self.could_use(name, word))
        } else {
            held
        };
        self.finish_held(code.value(), &lines, Origin::Server);
    }
}

/// Whose the reply to a plainly forwarded command is.
fn forwarded_owner(head: &Head, code: Code) -> Owner {
    if code.is_preliminary() {
        return Owner::Client;
    }
    match head.verb() {
        Some(Verb::Feat) => Owner::Features,
        Some(Verb::Help | Verb::Site) if is_help(head) => Owner::Help,
        Some(_) | None => Owner::Client,
    }
}

/// Whether the reply to `head` may list commands: to HELP about one command vsftpd lists all of
/// them, Pure-FTPd its SITE subcommands.
fn is_help(head: &Head) -> bool {
    head.verb() == Some(Verb::Help) || is_about_site(head)
}

/// Whether the reply to `head` is a list of SITE subcommands: HELP SITE, SITE HELP.
fn is_about_site(head: &Head) -> bool {
    let about: &[u8] = match head.verb() {
        Some(Verb::Help) => b"SITE",
        Some(Verb::Site) => b"HELP",
        Some(_) | None => return false,
    };
    head.command
        .argument_bytes()
        .trim_ascii()
        .eq_ignore_ascii_case(about)
}
