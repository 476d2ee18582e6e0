//! What would happen to commands, found out by the session that would meet them.
//!
//! Owns the dialogue of a real [`Session`] with a client who sends the commands and a server who
//! agrees to everything (`agreeable.rs`). Must not know how anything is decided, or how
//! it is shown.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::agreeable::{self, Server};
use crate::config::Loaded;
use crate::ftp::command::Command;
use crate::ftp::security::{Level, TlsVersion};
use crate::ftp::verb::Verb;
use crate::gateway;
use crate::policy::{Channels, Judge, Lack, Query, RuleInfo};
use crate::session::{
    Action, CommandRecord, Direction, Fact, Leg, Now, Outcome, RelayEnd, Secured, Session,
    TlsOffer, Told,
};
use crate::settings::Listener;

/// Who tries commands, from where, in which directory and when.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Situation {
    /// The name that logs in.
    pub user: String,
    /// The client's address.
    pub client: IpAddr,
    /// Whether the client is under TLS, and the subject of the certificate that it then shows.
    pub tls: Option<Option<String>>,
    /// The directory that the server states after login; the usual one of its system if None.
    pub directory: Option<String>,
    /// Seconds since 1970-01-01 UTC.
    pub unix_time: i64,
}

/// What happens to a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It goes to the server, or a command of the gateway's in its place.
    Allowed,
    /// The gateway answers, and it is no refusal.
    Answered,
    /// The gateway refuses it.
    Denied,
    /// The gateway refuses it and closes.
    Disconnected,
    /// It is no command, or its argument is malformed.
    Invalid,
}

impl Fate {
    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allowed => "allow",
            Self::Answered => "answer",
            Self::Denied => "deny",
            Self::Disconnected => "disconnect",
            Self::Invalid => "invalid",
        }
    }

    /// Whether the client gets what it asked for.
    pub const fn is_allowed(self) -> bool {
        matches!(self, Self::Allowed | Self::Answered)
    }
}

/// What would happen to one command, and why.
#[derive(Clone, Debug)]
pub struct Explanation {
    /// The command as it was written.
    pub command: String,
    /// What happens to it.
    pub fate: Fate,
    /// What the gateway answers, if it does: code and text.
    pub reply: Option<(u16, String)>,
    /// What decided in the listener's policy.
    pub decided: Option<RuleInfo>,
    /// What decided in the upstream's policy.
    pub upstream: Option<RuleInfo>,
    /// What the observed policy would have decided.
    pub observed: Option<RuleInfo>,
    /// The path that was judged.
    pub path: Option<String>,
    /// What the client's channels lacked, if a rule asks for that and it is refused for it.
    pub lack: Option<Lack>,
}

impl Explanation {
    /// What decided: of a refusal the rule that refused, if it was one, and not the gateway itself.
    pub fn decider(&self) -> Option<&RuleInfo> {
        let mut rules = [&self.decided, &self.upstream].into_iter().flatten();
        if self.fate.is_allowed() {
            rules.next()
        } else {
            rules.find(|rule| rule.action.withholds())
        }
    }
}

/// What would happen in a whole session.
#[derive(Clone, Debug, Default)]
pub struct Rehearsal {
    /// The login command that is refused, if one is: what follows is judged without a user.
    pub login: Option<Explanation>,
    /// What would happen to each command, in their order.
    pub commands: Vec<Explanation>,
}

impl Rehearsal {
    /// Whether everything is allowed.
    pub fn is_allowed(&self) -> bool {
        self.login.is_none() && self.commands.iter().all(|one| one.fate.is_allowed())
    }
}

/// Tries `commands`, one after the other in one session at `listener`. Where a session is closed,
/// the next command begins a new one.
pub fn rehearse(
    loaded: &Loaded,
    listener: &Listener,
    situation: &Situation,
    commands: &[String],
) -> Rehearsal {
    let mut rehearsal = Rehearsal::default();
    let mut open: Option<Stage<'_>> = None;
    for command in commands {
        let mut stage = match open.take() {
            Some(stage) if !stage.session.is_over() => stage,
            _ => {
                let Some(mut stage) = Stage::open(loaded, listener, situation) else {
                    return rehearsal;
                };
                rehearsal.login = stage.log_in(&situation.user);
                stage
            }
        };
        rehearsal.commands.push(stage.explain(command));
        open = Some(stage);
    }
    rehearsal
}

/// A session, with everything around it played.
struct Stage<'a> {
    /// What rules are looked up in.
    loaded: &'a Loaded,
    /// The session.
    session: Session,
    /// Who plays the server.
    server: Server,
    /// What has happened and was not yet fed.
    inputs: VecDeque<Input>,
    /// The time, which moves by a millisecond with each event.
    now: Now,
    /// What was sent to the client since the last command.
    replies: Vec<u8>,
    /// What became of commands since the last one.
    records: Vec<CommandRecord>,
    /// Where the client listens for data connections.
    client: SocketAddr,
    /// The subject of the certificate that the client shows.
    certificate: Option<Arc<str>>,
    /// Whether the client is under TLS.
    is_secured: bool,
    /// The version that it then has: the newest of the listener's.
    version: TlsVersion,
    /// Whether its data connections are.
    is_data_private: bool,
    /// What judges the session, to be asked why.
    judge: Arc<Judge>,
    /// The name that was tried last.
    user: Option<Bytes>,
    /// Whether it was let in.
    is_in: bool,
}

/// One event for the session.
enum Input {
    /// Bytes of a server.
    Said(Bytes),
    /// An answer of the shell's.
    Told(Told),
}

/// Where the gateway's own ports are: an address that documentation may use (RFC 5737).
const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));

/// The same for IPv6 (RFC 3849).
const GATEWAY6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// The port that data connections use in a rehearsal.
const DATA_PORT: u16 = 50_000;

/// How many timers may run out before a command has had its reply.
const EXPIRIES_MAX: usize = 3;

impl<'a> Stage<'a> {
    /// A session at `listener`, greeted.
    fn open(loaded: &'a Loaded, listener: &Listener, situation: &Situation) -> Option<Self> {
        let upstream = loaded.settings.upstreams.get(&listener.upstream)?;
        let judge = gateway::judge(&loaded.policies, listener, upstream).ok()?;
        let mut profile = gateway::profile(&loaded.settings, listener, upstream);
        if situation.tls.is_some() {
            // As implicit TLS has it: nothing to be said for it, and data is private.
            profile.client_tls.offer = TlsOffer::Implicit;
        }
        let now = Now {
            elapsed: Duration::ZERO,
            unix_time: situation.unix_time,
        };
        let client = SocketAddr::new(situation.client, DATA_PORT);
        let gateway = if client.is_ipv4() { GATEWAY } else { GATEWAY6 };
        let local = SocketAddr::new(gateway, 21);
        let is_secured = situation.tls.is_some();
        let versions = listener.tls.iter().flat_map(|tls| &tls.options.versions);
        let version = versions.copied().max().unwrap_or(TlsVersion::V1_3);
        let mut stage = Self {
            loaded,
            session: Session::new(Arc::new(profile), Arc::clone(&judge), client, local, now),
            server: Server::new(upstream.system, situation),
            inputs: VecDeque::new(),
            now,
            replies: Vec::new(),
            records: Vec::new(),
            client,
            certificate: situation.tls.clone().flatten().map(Into::into),
            is_secured,
            version,
            is_data_private: is_secured,
            judge,
            user: None,
            is_in: false,
        };
        stage.play();
        Some(stage)
    }

    /// Logs in; the command that was refused, if one was.
    fn log_in(&mut self, user: &str) -> Option<Explanation> {
        let user = self.explain(&format!("USER {user}"));
        // The server asks for no password of those whom it knows.
        let password = self.explain("PASS rehearsal");
        [user, password]
            .into_iter()
            .find(|explanation| !explanation.fate.is_allowed())
    }

    /// Sends `command` and says what became of it.
    fn explain(&mut self, command: &str) -> Explanation {
        let parsed = Command::parse(&Bytes::copy_from_slice(command.as_bytes())).ok();
        let verb = parsed.as_ref().and_then(|parsed| parsed.name.canonical());
        if verb.is_some_and(Verb::transfers) {
            self.prepare_data();
        }
        self.say(command);
        let record = self.records.pop();
        let info = |id| self.loaded.policies.rule(id).clone();
        let (code, text) = self.last_reply();
        let outcome = record
            .as_ref()
            .map_or(Outcome::Invalid, |record| record.outcome);
        let fate = match outcome {
            Outcome::Answered => Fate::Answered,
            Outcome::Forwarded => Fate::Allowed,
            Outcome::Denied if self.session.is_over() => Fate::Disconnected,
            Outcome::Denied => Fate::Denied,
            Outcome::Invalid => Fate::Invalid,
        };
        let lack = match (&record, &parsed, fate) {
            (Some(record), Some(parsed), Fate::Denied) if record.decided.is_some() => {
                self.lack(parsed, record)
            }
            _ => None,
        };
        if let Some(parsed) = &parsed {
            self.keep(parsed, fate);
        }
        // What the server would say of an allowed command is the server's.
        let code = code.filter(|_| fate != Fate::Allowed);
        Explanation {
            command: command.to_owned(),
            fate,
            reply: code.map(|code| (code, text)),
            decided: record.as_ref().and_then(|record| record.decided).map(info),
            upstream: record.as_ref().and_then(|record| record.upstream).map(info),
            observed: record.as_ref().and_then(|record| record.observed).map(info),
            path: record
                .and_then(|record| record.path)
                .map(|path| String::from_utf8_lossy(&path).into_owned()),
            lack,
        }
    }

    /// What the client's channels lack, by the judge of the session.
    fn lack(&self, command: &Command, record: &CommandRecord) -> Option<Lack> {
        let user = match command.name.canonical() {
            Some(Verb::User) => Some(command.argument_bytes()),
            Some(Verb::Pass | Verb::Acct) => self.user.as_deref(),
            Some(_) | None => self.user.as_deref().filter(|_| self.is_in),
        };
        let query = Query {
            command,
            user,
            client: self.client.ip(),
            directory: record.directory.as_deref(),
            home: None,
            renaming: None,
            unix_time: self.now.unix_time,
            channels: Channels {
                control: self.is_secured.then_some(self.version),
                data: self.is_data_private,
                certificate: self.certificate.as_deref(),
            },
        };
        self.judge.decide(&query).lack
    }

    /// Keeps what `command` changed of who the client is and of its channels.
    fn keep(&mut self, command: &Command, fate: Fate) {
        match command.name.canonical() {
            Some(Verb::User) => {
                self.user = Some(Bytes::copy_from_slice(command.argument_bytes()));
                self.is_in = fate.is_allowed();
            }
            Some(Verb::Pass | Verb::Acct) => self.is_in = fate.is_allowed(),
            Some(Verb::Prot) if fate.is_allowed() => {
                let level = Level::parse(command.argument_bytes());
                self.is_data_private = level == Some(Level::Private);
            }
            Some(_) | None => {}
        }
    }

    /// Sets up a data connection in the first way that is allowed, as clients do.
    fn prepare_data(&mut self) {
        let ip = self.client.ip();
        let port = self.client.port();
        let [high, low] = port.to_be_bytes();
        let family = if ip.is_ipv4() { 1 } else { 2 };
        let ways = [
            "PASV".to_owned(),
            "EPSV".to_owned(),
            format!("PORT {},{high},{low}", ip.to_string().replace('.', ",")),
            format!("EPRT |{family}|{ip}|{port}|"),
        ];
        for way in ways {
            if self.explain(&way).fate.is_allowed() {
                return;
            }
        }
    }

    /// Sends one line and lets everything happen that follows from it.
    fn say(&mut self, line: &str) {
        self.replies.clear();
        self.records.clear();
        let now = self.tick();
        self.session
            .receive(Leg::Client, format!("{line}\r\n").as_bytes(), now);
        self.play();
        // A refused login is answered as late as a server would.
        for _ in 0..EXPIRIES_MAX {
            let waits = |_: &Duration| self.records.is_empty();
            let Some(deadline) = self.session.deadline().filter(waits) else {
                return;
            };
            self.now.elapsed = deadline;
            self.session.expire(self.now);
            self.play();
        }
    }

    /// Obeys the session until it waits for the client.
    fn play(&mut self) {
        loop {
            while let Some(action) = self.session.next_action() {
                self.obey(action);
            }
            let Some(input) = self.inputs.pop_front() else {
                return;
            };
            let now = self.tick();
            match input {
                Input::Said(bytes) => self.session.receive(Leg::Server, &bytes, now),
                Input::Told(told) => self.session.tell(told, now),
            }
        }
    }

    /// Plays the shell's part in `action`.
    fn obey(&mut self, action: Action) {
        match action {
            Action::Ask(own) => self.ask_server(&own.line()),
            Action::Forward(permit) => self.ask_server(permit.line()),
            Action::Connect => {
                let server = agreeable::ADDRESS;
                self.told(Told::Connected(server));
                self.inputs
                    .push_back(Input::Said(Bytes::from_static(agreeable::GREETING)));
            }
            Action::Dial { leg, .. } => self.told(Told::Dialled(leg)),
            Action::SecureData { leg, .. } => self.told(Told::DataSecured(leg)),
            Action::StartTls(leg) => self.told(Told::Secured {
                leg,
                secured: Secured {
                    version: self.version,
                    subject: match leg {
                        Leg::Client => self.certificate.clone(),
                        Leg::Server => None,
                    },
                },
            }),
            Action::Offer { leg, .. } => {
                let ip = match leg {
                    Leg::Client if !self.client.is_ipv4() => GATEWAY6,
                    Leg::Client | Leg::Server => GATEWAY,
                };
                let address = SocketAddr::new(ip, DATA_PORT);
                self.told(Told::OfferReady { leg, address });
                self.told(Told::PeerArrived(leg));
            }
            Action::Measure => self.told(Told::Measured {
                bytes: 0,
                held_back: false,
            }),
            Action::Relay(Direction::Download | Direction::List | Direction::Upload) => {
                let end = RelayEnd::Source;
                self.told(Told::RelayEnded { bytes: 0, end });
            }
            Action::Reply(bytes) => self.replies.extend_from_slice(&bytes),
            Action::Note(Fact::Command(record)) => self.records.push(*record),
            Action::Note(_)
            | Action::AwaitServerEnd
            | Action::Close(..)
            | Action::DiscardData(_)
            | Action::EndData { .. } => {}
        }
    }

    /// Lets the server answer `line`.
    fn ask_server(&mut self, line: &[u8]) {
        let answer = self.server.answer(line);
        self.inputs.push_back(Input::Said(answer));
    }

    /// Keeps what the shell has to tell.
    fn told(&mut self, told: Told) {
        self.inputs.push_back(Input::Told(told));
    }

    /// The time of the next event.
    fn tick(&mut self) -> Now {
        self.now.elapsed = self.now.elapsed.saturating_add(Duration::from_millis(1));
        self.now
    }

    /// Code and text of the last line that the client was sent.
    fn last_reply(&self) -> (Option<u16>, String) {
        let said = String::from_utf8_lossy(&self.replies);
        let last = said.lines().last().unwrap_or_default();
        let (code, text) = last.split_at_checked(3).unwrap_or_default();
        (code.parse().ok(), text.trim_start().to_owned())
    }
}
