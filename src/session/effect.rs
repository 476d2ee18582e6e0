//! What a server's final replies change: who is logged in, where, and what is half done.
//!
//! State moves only on the reply to the verb that may cause it: a 230 to NOOP logs nobody in.

use bytes::Bytes;

use super::deadline::Timer;
use super::{Fact, LoginOutcome, OwnCommand, Session};
use crate::ftp::command::{Command, Name};
use crate::ftp::reply::{self, Code};
use crate::ftp::verb::Verb;
use crate::policy::is_absolute;

/// Who the client is to the server.
#[derive(Debug, Default)]
pub(super) struct Login {
    /// The name of the last USER that the server, or the gateway in its place, answered.
    pub(super) trying: Option<Bytes>,
    /// That name was refused by policy: its PASS is refused as well.
    pub(super) refused: bool,
    /// The server has asked for an account (332).
    wants_account: bool,
    /// The name that got in.
    pub(super) user: Option<Bytes>,
    /// The server's greeting said that no login is needed.
    pub(super) open: bool,
    /// Who was logged in first, once another login has begun.
    first: Option<Box<FirstLogin>>,
}

/// The first login of a session that has begun another one.
#[derive(Debug)]
struct FirstLogin {
    /// The name.
    user: Bytes,
    /// The directory that the server stated right after it.
    home: Option<Box<[u8]>>,
}

impl Login {
    /// Whether the server takes the client for logged in, as somebody or as nobody in particular.
    pub(super) const fn is_in(&self) -> bool {
        self.user.is_some() || self.open
    }

    /// Whether another login has begun and nobody is in yet. Some servers (vsftpd) ask for a password
    /// and keep the former login all the same.
    pub(super) fn is_between(&self) -> bool {
        self.user.is_none() && self.first.is_some()
    }
}

/// What of a file the next transfer is about, by the RANG that the server has accepted.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Range {
    /// All of it.
    #[default]
    Whole,
    /// A part of it.
    Kept,
    /// A part of it, for a transfer that was refused: it must be taken back.
    Stale,
}

impl Range {
    /// What is left of it where its transfer was refused.
    const fn refused(self) -> Self {
        match self {
            Self::Whole => Self::Whole,
            Self::Kept | Self::Stale => Self::Stale,
        }
    }
}

/// A RNFR that waits for its RNTO.
#[derive(Debug)]
pub(super) struct RenameFrom {
    /// Its normalised path, where that was certain and still is.
    pub(super) path: Option<Bytes>,
    /// It was told from the working directory, which some servers (vsftpd, Pure-FTPd) look at again
    /// with RNTO.
    is_relative: bool,
}

/// What the server remembers between commands.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of their own: each changes without the others"
)]
pub(super) struct Place {
    /// The working directory as the server stated it.
    pub(super) directory: Option<Bytes>,
    /// The server was asked for it, and did not state it.
    untold: bool,
    /// How long it may be at most where the server has not stated it, by what the client has put
    /// together since.
    unstated_bytes: u16,
    /// The directory that it stated right after login.
    pub(super) home: Option<Box<[u8]>>,
    /// A directory was stated since login, or could not be.
    home_settled: bool,
    /// Something may have moved since login.
    moved: bool,
    /// A REST that the server has accepted and no transfer has used.
    pub(super) restart: Option<u64>,
    /// That offset belongs to a transfer which was refused: it must be taken back.
    pub(super) restart_is_stale: bool,
    /// What the server has made of a RANG.
    range: Range,
    /// A RNFR that the server has accepted.
    pub(super) renaming: Option<Box<RenameFrom>>,
    /// EPSV ALL was said (RFC 2428 §4).
    pub(super) only_epsv: bool,
}

impl Place {
    /// Forgets all that was learned. An offset that the server may still keep is to be taken back.
    pub(super) fn begin_anew(&mut self) {
        *self = Self {
            restart: self.restart,
            restart_is_stale: self.restart.is_some(),
            range: self.range.refused(),
            ..Self::default()
        };
    }

    /// Whether the directory that is stated next is home.
    pub(super) const fn may_learn_home(&self) -> bool {
        !self.home_settled && !self.moved
    }

    /// Whether a question would come between two commands that belong together, of which the server
    /// would then forget the first, and was asked in vain before that.
    pub(super) fn must_not_ask(&self) -> bool {
        self.untold && self.is_half_done()
    }

    /// Whether the server may be asked for no more than a name to be told: nothing is half done, and it has
    /// not kept the answer back.
    pub(super) fn may_ask_for_name(&self) -> bool {
        !self.untold && !self.is_half_done()
    }

    /// Whether what the client says next belongs to what it said last.
    pub(super) fn is_half_done(&self) -> bool {
        self.restart.is_some() || self.range != Range::Whole || self.renaming.is_some()
    }

    /// The server stated the working directory, or failed to.
    pub(super) fn state(&mut self, directory: Option<Bytes>) {
        if self.may_learn_home() {
            self.home_settled = true;
            self.home = directory.as_deref().map(Box::from);
        }
        self.untold = directory.is_none();
        self.directory = directory;
        // A server that does not tell is not asked again at each further path.
        self.unstated_bytes = 0;
    }

    /// The working directory may be another one now.
    fn displace(&mut self) {
        self.unstated_bytes = bytes(self.directory_bytes());
        self.untold = false;
        self.directory = None;
        self.moved = true;
        if let Some(from) = self.renaming.as_mut().filter(|from| from.is_relative) {
            from.path = None;
        }
    }

    /// The client has changed to `argument`.
    fn change_to(&mut self, argument: &[u8]) {
        let reached = self.reach(argument);
        self.displace();
        self.unstated_bytes = bytes(reached);
    }

    /// How long the working directory may be at most.
    fn directory_bytes(&self) -> usize {
        let unstated = usize::from(self.unstated_bytes);
        self.directory.as_ref().map_or(unstated, Bytes::len)
    }

    /// How many bytes the path that a client writes as `argument` may have at most.
    pub(super) fn reach(&self, argument: &[u8]) -> usize {
        let before = if is_absolute(argument) {
            0
        } else {
            self.directory_bytes().saturating_add(1)
        };
        before.saturating_add(argument.len())
    }
}

/// A count of bytes, as far as it is kept: beyond that any path is too long.
fn bytes(count: usize) -> u16 {
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// Whether `code` says that the client is logged in (RFC 959 §5.4, RFC 2228 §4).
pub(super) const fn is_login(code: Code) -> bool {
    matches!(code.value(), 230 | 232)
}

impl Session {
    /// Takes in the final reply to `command`, which was forwarded.
    pub(super) fn learn(
        &mut self,
        command: &Command,
        path: Option<&Bytes>,
        code: Code,
        line: &[u8],
    ) {
        let done = code.class() == 2;
        let Name::Known(verb) = &command.name else {
            // A verb that the gateway does not know may have moved anything.
            self.place.displace();
            return;
        };
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "no other verb changes what is known"
        )]
        match verb.canonical() {
            Verb::User => self.learn_user(command, code),
            Verb::Pass | Verb::Acct => self.learn_password(*verb, code),
            Verb::Rein if done => {
                self.void_user();
                self.place = Place::default();
            }
            Verb::Pwd if code.value() == 257 => self.place.state(reply::directory(line)),
            // A refused REST leaves the offset that was there before.
            Verb::Rest if code.class() == 3 => {
                self.place.restart_is_stale = false;
                self.place.restart = offset(command);
            }
            Verb::Rang if code.class() == 3 => {
                self.place.range = Range::Kept;
            }
            Verb::Rnfr => {
                self.place.renaming = (code.class() == 3).then(|| {
                    Box::new(RenameFrom {
                        path: path.cloned(),
                        is_relative: !is_absolute(command.argument_bytes()),
                    })
                });
            }
            Verb::Cwd if done => self.place.change_to(command.argument_bytes()),
            // The directory that one is in may be the one that was renamed or removed.
            Verb::Cdup
            | Verb::Rmd
            | Verb::Rmda
            | Verb::Rnto
            | Verb::Site
            | Verb::Chmod
            | Verb::Smnt
                if done =>
            {
                self.place.displace();
            }
            _ => {}
        }
    }

    /// USER was answered. 331 voids the old identity on some servers and 230 on all; a refusal
    /// leaves it.
    fn learn_user(&mut self, command: &Command, code: Code) {
        let name = Bytes::copy_from_slice(command.argument_bytes());
        match code.class() {
            2 if is_login(code) => {
                self.void_user();
                self.login.trying = Some(name);
                self.log_in();
            }
            2 => {}
            3 => {
                self.void_user();
                self.login.trying = Some(name);
            }
            _ => self.note(Fact::Login {
                user: name,
                outcome: LoginOutcome::Failure,
            }),
        }
        self.login.wants_account = code.value() == 332;
    }

    /// PASS or ACCT was answered (RFC 959 §5.4: 202 where no more was needed). Servers that know no
    /// accounts say 202 to any ACCT, also to one that nothing has asked for.
    fn learn_password(&mut self, verb: Verb, code: Code) {
        self.login.wants_account |= code.value() == 332;
        let was_asked = verb == Verb::Pass || self.login.wants_account;
        let lets_in = is_login(code) || code.value() == 202 && was_asked;
        match code.class() {
            2 if self.login.user.is_none() && lets_in => self.log_in(),
            4 | 5 if self.login.user.is_none() && verb == Verb::Pass && code.value() != 503 => {
                let user = self.login.trying.clone().unwrap_or_default();
                self.note(Fact::Login {
                    user,
                    outcome: LoginOutcome::Failure,
                });
            }
            _ => {}
        }
    }

    /// The server let the tried name in.
    fn log_in(&mut self) {
        let Some(user) = self.login.trying.clone() else {
            // A login without a name is nobody's.
            return;
        };
        self.place = Place {
            only_epsv: self.place.only_epsv,
            ..Place::default()
        };
        if let Some(first) = &self.login.first {
            // A server that was not impressed is where it was before: what it states next is home to
            // nobody.
            self.place.home_settled = true;
            self.place.home = first.home.clone().filter(|_| first.user == user);
        }
        self.login.user = Some(user.clone());
        self.deadlines.disarm(Timer::Login);
        self.note(Fact::Login {
            user,
            outcome: LoginOutcome::Success,
        });
    }

    /// Nobody is logged in any more.
    fn void_user(&mut self) {
        let former = self.login.user.take();
        if former.is_some() {
            self.note(Fact::UserVoided);
        }
        let first = self.login.first.take().or_else(|| {
            Some(Box::new(FirstLogin {
                user: former?,
                home: self.place.home.clone(),
            }))
        });
        let timeout = self.limits.login_timeout;
        self.deadlines
            .arm_once(Timer::Login, self.now.elapsed, timeout);
        self.login = Login {
            first,
            ..Login::default()
        };
        self.place = Place {
            only_epsv: self.place.only_epsv,
            ..Place::default()
        };
    }

    /// What a local refusal of `command` leaves half done at the server: nothing may remain.
    pub(super) fn unlearn(&mut self, command: &Command) {
        let Some(verb) = command.name.canonical() else {
            return;
        };
        if matches!(verb, Verb::Rnfr | Verb::Rnto) {
            self.place.renaming = None;
        }
        if verb.transfers() {
            self.place.restart_is_stale |= self.place.restart.is_some();
            self.place.range = self.place.range.refused();
        }
    }

    /// What takes back the first of what a refused transfer has left at the server.
    pub(super) fn takes_back(&self) -> Option<OwnCommand> {
        if self.place.restart_is_stale {
            Some(OwnCommand::RestZero)
        } else if self.place.range == Range::Stale {
            Some(OwnCommand::RangeAll)
        } else {
            None
        }
    }

    /// The server has forgotten that.
    pub(super) fn taken_back(&mut self) {
        if self.place.restart_is_stale {
            self.place.restart_is_stale = false;
            self.place.restart = None;
        } else {
            self.place.range = Range::Whole;
        }
    }

    /// A transfer verb reached the server and used up what was set for it.
    pub(super) fn take_restart(&mut self) -> u64 {
        self.place.range = Range::Whole;
        self.place.restart_is_stale = false;
        self.place.restart.take().unwrap_or(0)
    }
}

/// The offset of a REST, one to nineteen digits up to 2^63 - 1: what every server reads alike.
pub(super) fn offset(command: &Command) -> Option<u64> {
    let digits = command.argument_bytes();
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    i64::try_from(value).ok().map(|_| value)
}
