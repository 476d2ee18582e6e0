//! What an ideal gateway owes each side, held against what the program does, step by step.
//!
//! Follows the journal of a world: which lines the server may see (L1), which reply each command
//! gets and when (L2), what may look complete (L3), what may be told (L4), where data connections
//! may go (L5), what is bounded (L6) and what must be under TLS (L7). Knows nothing of how the
//! program comes to its decisions.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use ftpwarden::session::event::RelayEnd;
use ftpwarden::session::{
    Direction, End, Fact, Leg, Origin, OwnCommand, Profile, ServerTls, TlsOffer, Told,
    TransferOutcome,
};

use crate::facts::describe;
use crate::framing::{Framing, Line, Said, Spoken};
use crate::ideal::{self, Circumstances, DOWNLOADS, Kind, SETUPS, UPLOADS, Verdict};
use crate::lenient;
use crate::replies::{Replies, Reply};
use crate::world::{Entry, Places, World};

/// What must appear nowhere.
pub(crate) const SECRET: &str = "hunter2swordfish";

/// What every word of the server's ends with: nothing of the gateway's own has it.
pub(crate) const SERVERS: u8 = b'#';

/// What every argument of the client's has: no reply of the gateway's repeats it.
pub(crate) const CLIENTS: u8 = b'~';

/// How long the reply to an ABOR is waited for behind that of its transfer.
const ABORT_PATIENCE: Duration = Duration::from_secs(5);

/// Fails with the text unless the law holds.
macro_rules! law {
    ($holds:expr, $($text:tt)*) => {
        if !$holds {
            return Err(format!($($text)*));
        }
    };
}

/// A law that holds, or what broke it.
pub(crate) type Held = Result<(), String>;

/// A line of the client's that is owed a reply.
#[derive(Debug)]
struct Owed {
    /// The line.
    line: Line,
    /// It went to the server.
    forwarded: bool,
    /// Something of the gateway's own went there in its place or before it.
    asked: bool,
    /// The policy changed while it was in work.
    unsure: bool,
    /// The server's final reply to it.
    answer: Option<Reply>,
    /// The server's last reply to something of the gateway's own in its place.
    own_answer: Option<Reply>,
    /// The preliminary replies that the client must hear.
    preliminaries: VecDeque<Reply>,
    /// One was relayed.
    promised: bool,
}

impl Owed {
    /// The command, if it is one.
    fn spoken(&self) -> Option<&Spoken> {
        match &self.line.said {
            Said::Command(spoken) => Some(spoken),
            Said::Fault => None,
        }
    }

    /// Its verb; empty where it is no command.
    fn verb(&self) -> &str {
        self.spoken().map_or("", |spoken| spoken.verb.as_str())
    }

    /// Whether it runs a transfer.
    fn transfers(&self) -> bool {
        self.forwarded && (is_upload(self.verb()) || DOWNLOADS.contains(&self.verb()))
    }
}

/// Whether a verb sends a file to the server.
fn is_upload(verb: &str) -> bool {
    UPLOADS.contains(&verb)
}

/// What the server owes a reply to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Debt {
    /// An ABOR that was sent ahead.
    Abort,
    /// The client's line in work.
    Client,
    /// Something of the gateway's own.
    Own(OwnCommand),
}

/// A data connection, as a witness of everything would know it.
#[derive(Debug, Default)]
struct Connection {
    /// It is there.
    open: bool,
    /// It is to be secured.
    securing: bool,
    /// It is under TLS.
    secured: bool,
    /// Bytes that the peer sent.
    sent: usize,
    /// How the peer ended it.
    peer_end: Option<End>,
    /// How the gateway ended it.
    end: Option<End>,
}

/// A relay, as a witness would know it.
#[derive(Debug)]
struct Moving {
    /// Which way.
    direction: Direction,
    /// Bytes that arrived.
    moved: usize,
    /// How it ended.
    end: Option<RelayEnd>,
    /// The client's control connection had ended by then.
    client_gone: bool,
}

/// The shadow of a session.
#[derive(Debug)]
pub(crate) struct Shadow {
    /// What verdicts depend on.
    pub(crate) circumstances: Circumstances,
    /// The policy that is about to be in force.
    pub(crate) next_kind: Option<Kind>,
    /// The session's settings.
    profile: Profile,
    /// Where everybody is.
    places: Places,
    /// The number of the journal's entry.
    now: usize,
    /// The time of the step.
    elapsed: Duration,
    /// What the client says.
    framing: Framing,
    /// What it is owed replies to.
    owed: VecDeque<Owed>,
    /// What the server says.
    server: Replies,
    /// What the client hears.
    client: Replies,
    /// What the server owes replies to, and since when.
    debts: VecDeque<(Debt, usize)>,
    /// The reply to an ABOR that was sent ahead.
    abort_answer: Option<Reply>,
    /// An ABOR was sent ahead and its reply has not gone to the client.
    aborted: bool,
    /// Since when nothing but the reply to an ABOR is awaited.
    abort_alone: Option<Duration>,
    /// The reply to an ABOR may come when nobody waits for it any more.
    abort_overdue: bool,
    /// The server's greeting: its first final reply.
    greeting: Option<Reply>,
    /// The client has had its greeting.
    greeted: bool,
    /// Whether the session must be over behind this step, and why.
    doomed: Option<&'static str>,
    /// The server's 234 came: nothing may come behind it.
    server_turns: bool,
    /// A control connection has ended.
    gone: [Option<End>; 2],
    /// A control connection was closed by the gateway.
    closed: [bool; 2],
    /// A control connection is turning to TLS.
    pub(crate) turning: [bool; 2],
    /// The data connections.
    data: [Connection; 2],
    /// The relay of the transfer in work.
    moving: Option<Moving>,
    /// The name that is being tried.
    trying: Option<Vec<u8>>,
    /// A REST that was accepted.
    restart: bool,
    /// It belongs to a transfer that was refused.
    restart_stale: bool,
    /// Where the client may be dialled.
    client_target: Option<SocketAddr>,
    /// The port of the server's that may be dialled.
    server_port: Option<u16>,
    /// What the gateway's listeners are.
    advertised: [Option<SocketAddr>; 2],
    /// The replies that facts told of and that the client has not had: code and maker.
    told_replies: VecDeque<(u16, Origin)>,
    /// The replies that the client had and no fact told of.
    had_replies: VecDeque<(u16, bool)>,
    /// The final codes that commands were told of, 421 apart.
    told_commands: VecDeque<u16>,
    /// The final codes that commands had, 421 apart.
    had_commands: VecDeque<u16>,
    /// The outcomes of transfers that facts told of, to be held against their replies.
    complete: Option<bool>,
    /// QUIT was answered, or policy disconnects.
    left: bool,
    /// The client wrote a password where none belongs: it may be told.
    pub(crate) spilt: bool,
    /// How many replies the client had.
    pub(crate) replies: usize,
    /// How many transfers were reported as complete.
    pub(crate) transfers: usize,
}

/// The index of a leg.
pub(crate) const fn side(leg: Leg) -> usize {
    match leg {
        Leg::Client => 0,
        Leg::Server => 1,
    }
}

impl Shadow {
    /// Of a session that has just begun.
    pub(crate) fn new(kind: Kind, profile: &Profile, places: Places) -> Self {
        let limits = &profile.limits;
        Self {
            circumstances: Circumstances {
                kind,
                require: profile.client_tls.require,
                client_secured: false,
                server_secured: false,
                private: false,
                user: None,
                refused: false,
                only_epsv: false,
                renaming: false,
                client: places.client.ip(),
            },
            next_kind: None,
            framing: Framing::new(profile.line_bytes),
            server: Replies::new((limits.reply_line_bytes, limits.reply_bytes)),
            client: Replies::new((usize::MAX, usize::MAX)),
            profile: profile.clone(),
            places,
            now: 0,
            elapsed: Duration::ZERO,
            owed: VecDeque::new(),
            debts: VecDeque::new(),
            abort_answer: None,
            aborted: false,
            abort_alone: None,
            abort_overdue: false,
            greeting: None,
            greeted: false,
            doomed: None,
            server_turns: false,
            gone: [None; 2],
            closed: [false; 2],
            turning: [false; 2],
            data: [Connection::default(), Connection::default()],
            moving: None,
            trying: None,
            restart: false,
            restart_stale: false,
            client_target: None,
            server_port: None,
            advertised: [None; 2],
            told_replies: VecDeque::new(),
            had_replies: VecDeque::new(),
            told_commands: VecDeque::new(),
            had_commands: VecDeque::new(),
            complete: None,
            left: false,
            spilt: false,
            replies: 0,
            transfers: 0,
        }
    }

    /// How many lines are owed a reply.
    pub(crate) fn owes(&self) -> usize {
        self.owed.len()
    }

    /// Whether the client has had its greeting.
    pub(crate) const fn is_greeted(&self) -> bool {
        self.greeted
    }

    /// Whether the data connection of a leg waits for its handshake.
    pub(crate) const fn is_securing(&self, leg: Leg) -> bool {
        let connection = &self.data[side(leg)];
        connection.open && connection.securing && !connection.secured
    }

    /// The verb in work.
    pub(crate) fn in_work(&self) -> &str {
        self.owed
            .front()
            .filter(|owed| owed.forwarded)
            .map_or("", Owed::verb)
    }

    /// Follows a step of `world`, then looks whether all laws hold.
    ///
    /// # Errors
    /// The law that does not.
    pub(crate) fn follow(&mut self, world: &mut World) -> Held {
        self.elapsed = world.elapsed();
        for entry in world
            .journal
            .as_mut()
            .map(std::mem::take)
            .unwrap_or_default()
        {
            self.now += 1;
            self.take(&entry)?;
        }
        world.facts.clear();
        self.hold(world)
    }

    /// Follows one entry.
    fn take(&mut self, entry: &Entry) -> Held {
        match entry {
            Entry::Advertised(leg, address) => self.advertised[side(*leg)] = Some(*address),
            Entry::Asked(command) => return self.asked(*command),
            Entry::Closed(leg, _) => self.closed[side(*leg)] = true,
            Entry::Dialled(leg, address) => return self.dialled(*leg, *address),
            Entry::Ended(leg, end) => self.gone[side(*leg)] = Some(*end),
            Entry::EndedData(leg, end) => return self.ended_data(*leg, *end),
            Entry::Fed(Leg::Client, bytes) => return self.client_said(bytes),
            Entry::Fed(Leg::Server, bytes) => self.server_said(bytes),
            Entry::Forwarded(line) => return self.forwarded(line),
            Entry::Moved(bytes) => {
                if let Some(moving) = &mut self.moving {
                    moving.moved += bytes;
                }
            }
            Entry::Noted(fact) => return self.noted(fact),
            Entry::Opened(leg) => {
                self.data[side(*leg)] = Connection {
                    open: true,
                    ..Connection::default()
                };
            }
            Entry::PeerEnded(leg, end) => {
                let connection = &mut self.data[side(*leg)];
                // What comes behind a FIN takes nothing back that has arrived.
                connection.peer_end.get_or_insert(*end);
                if *end == End::Reset {
                    connection.open = false;
                }
            }
            Entry::Relayed(direction) => return self.relayed(*direction),
            Entry::Replied(bytes) => return self.client_hears(bytes),
            Entry::Securing(leg) => self.data[side(*leg)].securing = true,
            Entry::Sent(leg, bytes) => self.data[side(*leg)].sent += bytes,
            Entry::Turning(leg) => return self.turns(*leg),
            Entry::Told(told) => self.told(told),
        }
        Ok(())
    }

    /// The session was told something.
    fn told(&mut self, told: &Told) {
        match told {
            Told::DataSecured(leg) => self.data[side(*leg)].secured = true,
            Told::DataUnsecured(leg) => self.data[side(*leg)].open = false,
            Told::JudgeChanged(_) => {
                self.circumstances.kind = self.next_kind.unwrap_or(self.circumstances.kind);
                if let Some(front) = self.owed.front_mut() {
                    front.unsure = true;
                }
            }
            Told::RelayEnded { end, .. } => {
                let gone = self.gone[side(Leg::Client)].is_some();
                if let Some(moving) = &mut self.moving {
                    moving.end.get_or_insert(*end);
                    moving.client_gone = gone;
                }
            }
            Told::Secured { leg, .. } => {
                self.turning[side(*leg)] = false;
                match leg {
                    Leg::Client => {
                        self.circumstances.client_secured = true;
                        self.circumstances.private |=
                            self.profile.client_tls.offer == TlsOffer::Implicit;
                    }
                    Leg::Server => self.circumstances.server_secured = true,
                }
            }
            Told::Unsecured(leg) => {
                self.turning[side(*leg)] = false;
                self.doomed = Some("L7: the session outlives a handshake that failed");
            }
            _ => {}
        }
    }

    /// Bytes of the client's were fed.
    fn client_said(&mut self, bytes: &[u8]) -> Held {
        law!(
            !self.turning[0],
            "L7: bytes in clear are read from a client that turns to TLS"
        );
        for line in self.framing.push(bytes) {
            self.spilt |= is_spilt(&line);
            self.owed.push_back(Owed {
                line,
                forwarded: false,
                asked: false,
                unsure: false,
                answer: None,
                own_answer: None,
                preliminaries: VecDeque::new(),
                promised: false,
            });
        }
        Ok(())
    }

    /// Bytes of the server's were fed.
    fn server_said(&mut self, bytes: &[u8]) {
        let replies = self.server.push(bytes, self.now);
        for reply in replies {
            if self.server_turns {
                self.doomed = Some("L7: a reply in clear behind the server's 234 is borne");
                return;
            }
            self.answered(reply);
        }
        if self.server_turns && self.server.is_open() {
            self.doomed = Some("L7: bytes in clear behind the server's 234 are borne");
        }
        if self.server.is_broken() {
            self.doomed = Some("L6: a stream that is no stream of replies is borne");
        }
    }

    /// The server said a whole reply.
    fn answered(&mut self, reply: Reply) {
        if self.greeting.is_none() {
            if reply.code >= 200 {
                self.greeting = Some(reply);
            }
            return;
        }
        if reply.code == 421 {
            self.doomed = Some("L2: the server's 421 is borne");
        }
        if self.is_overdue(&reply) {
            self.abort_overdue = false;
            return;
        }
        let Some((debt, since)) = self.debts.front().copied() else {
            return;
        };
        if reply.began <= since {
            return;
        }
        if reply.code < 200 {
            if debt == Debt::Client
                && let Some(front) = self.owed.front_mut()
            {
                front.preliminaries.push_back(reply);
            }
            return;
        }
        self.abort_overdue = false;
        self.debts.pop_front();
        if self
            .debts
            .front()
            .is_some_and(|(debt, _)| *debt == Debt::Abort)
        {
            self.abort_alone = Some(self.elapsed);
        }
        let front = self.owed.front_mut();
        match (debt, front) {
            (Debt::Abort, _) => self.abort_answer = Some(reply),
            (Debt::Client, Some(front)) => front.answer = Some(reply),
            (Debt::Client, None) => {}
            (Debt::Own(command), front) => {
                if let Some(front) = front {
                    front.own_answer = Some(reply.clone());
                }
                self.own_answered(command, &reply);
            }
        }
    }

    /// A command of the gateway's own was answered.
    fn own_answered(&mut self, command: OwnCommand, reply: &Reply) {
        let port = match command {
            OwnCommand::Epsv if reply.code == 229 => extended_port(&reply.first),
            OwnCommand::Pasv if reply.code == 227 => passive_port(&reply.first),
            OwnCommand::AuthTls if reply.code == 234 => {
                self.server_turns = true;
                return;
            }
            OwnCommand::RestZero if (200..400).contains(&reply.code) => {
                self.restart = false;
                self.restart_stale = false;
                return;
            }
            _ => return,
        };
        self.server_port = port;
    }

    /// Whether a reply is that of an ABOR which was given up.
    fn is_overdue(&self, reply: &Reply) -> bool {
        if !self.abort_overdue || !matches!(reply.code, 225 | 226) {
            return false;
        }
        match self.owed.front() {
            Some(front) if front.transfers() => {
                !front.promised && !self.debts.iter().any(|(debt, _)| *debt == Debt::Abort)
            }
            Some(front) if front.forwarded || front.asked => front.verb() != "ABOR",
            _ => true,
        }
    }

    /// Something goes to the server: one command at a time (P: replies are told apart by order).
    fn incur(&mut self, debt: Debt) -> Held {
        let patience = ABORT_PATIENCE.min(self.profile.limits.reply_timeout);
        if self.debts.len() == 1 && self.debts[0].0 == Debt::Abort && debt != Debt::Abort {
            let waited = self
                .abort_alone
                .map(|since| self.elapsed.saturating_sub(since));
            law!(
                waited.is_some_and(|waited| waited >= patience),
                "L2: a command is sent while the reply to ABOR is awaited"
            );
            self.debts.clear();
            self.abort_overdue = true;
        }
        law!(
            self.debts.is_empty() || debt == Debt::Abort,
            "L2: a command is sent while the server owes a reply to {:?}",
            self.debts
        );
        if debt == Debt::Abort && self.debts.is_empty() {
            self.abort_alone = Some(self.elapsed);
        }
        self.debts.push_back((debt, self.now));
        Ok(())
    }

    /// What both kinds of lines to the server must keep.
    fn may_write(&self, auth: bool) -> Held {
        law!(
            !self.closed[1],
            "L6: a line behind the end of the server's leg"
        );
        law!(
            self.greeting.is_some(),
            "L2: a line goes to a server that has not greeted"
        );
        law!(
            !self.turning[1],
            "L7: a line in clear goes to a server that turns to TLS"
        );
        let required = match self.profile.server_tls {
            ServerTls::Explicit | ServerTls::Implicit => true,
            ServerTls::Match => self.circumstances.client_secured,
            ServerTls::Off => false,
        };
        law!(
            auth || !required || self.circumstances.server_secured,
            "L7: a line goes in clear to a server that TLS is required towards"
        );
        Ok(())
    }

    /// A permitted line went to the server.
    fn forwarded(&mut self, line: &[u8]) -> Held {
        self.may_write(false)?;
        law!(
            self.greeted,
            "L2: a line goes to the server before the client has its greeting"
        );
        law!(
            line.len() <= self.profile.line_bytes,
            "L6: a line of {} bytes goes to the server",
            line.len()
        );
        let Some(front) = self.owed.front_mut() else {
            return Err(format!(
                "L1: {} goes to the server and nobody sent it",
                line.escape_ascii()
            ));
        };
        let Some(spoken) = front.spoken().cloned() else {
            return Err(format!(
                "L1: {} goes to the server for a line that is no command",
                line.escape_ascii()
            ));
        };
        law!(
            line == spoken.encoded().as_slice(),
            "L1: {} goes to the server for {spoken:?}",
            line.escape_ascii()
        );
        let argument = line
            .strip_suffix(b"\r\n")
            .and_then(|line| line.get(spoken.verb.len() + 1..))
            .unwrap_or_default();
        for reader in lenient::ALL {
            lenient::agrees(reader, line, (&spoken.verb, argument))
                .map_err(|fault| format!("L1: {fault}"))?;
        }
        law!(
            !front.forwarded,
            "L1: {} goes to the server twice",
            line.escape_ascii()
        );
        law!(
            front.unsure || self.circumstances.judge(&spoken) != Verdict::Local,
            "L1: {} goes to the server and is refused",
            line.escape_ascii()
        );
        law!(
            !SETUPS.contains(&spoken.verb.as_str()),
            "L5: the client's own {} goes to the server",
            spoken.verb
        );
        front.forwarded = true;
        let transfers = front.transfers();
        if transfers {
            law!(
                !self.restart_stale,
                "L1: a transfer is sent behind an offset that is not its own"
            );
            law!(self.moving.is_none(), "L3: a relay ran before its transfer");
            self.restart = false;
            self.complete = None;
        }
        match spoken.verb.as_str() {
            "RNTO" => self.circumstances.renaming = false,
            "USER" => self.circumstances.refused = false,
            _ => {}
        }
        self.incur(Debt::Client)
    }

    /// A command of the gateway's own went to the server.
    fn asked(&mut self, command: OwnCommand) -> Held {
        self.may_write(command == OwnCommand::AuthTls)?;
        let front = self.owed.front_mut();
        let verb = front.as_ref().map_or("", |front| front.verb()).to_owned();
        match command {
            OwnCommand::Abort | OwnCommand::AbortPlain => {
                law!(
                    front.is_some_and(|front| front.transfers()),
                    "L2: ABOR goes to the server without a transfer"
                );
                law!(
                    command == OwnCommand::AbortPlain || !self.circumstances.server_secured,
                    "L7: urgent data under TLS"
                );
                self.aborted = true;
                return self.incur(Debt::Abort);
            }
            OwnCommand::AuthTls
            | OwnCommand::Pbsz
            | OwnCommand::ProtClear
            | OwnCommand::ProtPrivate => {
                law!(
                    self.profile.server_tls != ServerTls::Off,
                    "L1: {command:?} goes to a server without TLS"
                );
            }
            OwnCommand::Epsv | OwnCommand::Pasv | OwnCommand::Port(_) | OwnCommand::Eprt(_) => {
                let Some(front) = front else {
                    return Err(format!("L1: {command:?} goes to the server unasked"));
                };
                let spoken = front.spoken().cloned();
                law!(
                    SETUPS.contains(&verb.as_str())
                        && (front.unsure
                            || spoken.is_some_and(
                                |spoken| self.circumstances.judge(&spoken) != Verdict::Local
                            )),
                    "L1: {command:?} goes to the server for {verb}, which is refused"
                );
                if let OwnCommand::Port(address) | OwnCommand::Eprt(address) = command {
                    law!(
                        Some(address) == self.advertised[1],
                        "L5: the server is sent to {address}"
                    );
                }
                self.server_port = None;
            }
            OwnCommand::Pwd => law!(
                self.circumstances.user.is_some(),
                "L1: PWD goes to the server before a login"
            ),
            OwnCommand::RestZero => {
                law!(self.restart_stale, "L1: REST 0 goes to the server unasked");
            }
        }
        if let Some(front) = self.owed.front_mut() {
            front.asked = true;
        }
        self.incur(Debt::Own(command))
    }

    /// A data connection was to be dialled.
    fn dialled(&mut self, leg: Leg, address: SocketAddr) -> Held {
        let expected = match leg {
            Leg::Client => self.client_target,
            Leg::Server => self
                .server_port
                .map(|port| SocketAddr::new(self.places.server.ip(), port)),
        };
        law!(
            Some(address) == expected,
            "L5: the {leg:?}'s data connection goes to {address}, not {expected:?}"
        );
        law!(
            address.port() >= 1024,
            "L5: a data connection goes to port {}",
            address.port()
        );
        Ok(())
    }

    /// A relay began.
    fn relayed(&mut self, direction: Direction) -> Held {
        let Some(front) = self.owed.front().filter(|front| front.transfers()) else {
            return Err("L3: a relay begins without a transfer".into());
        };
        let upload = direction == Direction::Upload;
        law!(
            upload == is_upload(front.verb()),
            "L3: {} is relayed as {direction:?}",
            front.verb()
        );
        let [client, server] = &self.data;
        law!(
            client.open && server.open,
            "L3: a relay begins without its connections"
        );
        let private = self.circumstances.private;
        law!(
            client.secured == private,
            "L7: data of the client's goes {} TLS",
            if private { "without" } else { "under" }
        );
        let private = match self.profile.server_tls {
            ServerTls::Explicit | ServerTls::Implicit => true,
            ServerTls::Match => self.circumstances.server_secured && private,
            ServerTls::Off => false,
        };
        law!(
            server.secured == private,
            "L7: data of the server's goes {} TLS",
            if private { "without" } else { "under" }
        );
        law!(self.moving.is_none(), "L3: a second relay of one transfer");
        self.moving = Some(Moving {
            direction,
            moved: 0,
            end: None,
            client_gone: false,
        });
        Ok(())
    }

    /// Whether every byte of the transfer in work arrived, as a witness of everything would say.
    fn is_whole(&self, upload: bool) -> bool {
        let [client, server] = &self.data;
        let (source, sink) = if upload {
            (client, server)
        } else {
            (server, client)
        };
        match &self.moving {
            Some(moving) => {
                moving.end == Some(RelayEnd::Source)
                    && moving.moved == source.sent
                    && source.peer_end == Some(End::Fin)
                    && (upload || sink.end == Some(End::Fin))
                    && (!upload || !moving.client_gone)
            }
            None => !upload && server.sent == 0,
        }
    }

    /// The gateway ended a data connection that was there.
    fn ended_data(&mut self, leg: Leg, end: End) -> Held {
        let connection = &mut self.data[side(leg)];
        connection.open = false;
        connection.end = Some(end);
        if end == End::Reset {
            return Ok(());
        }
        let refused = self
            .owed
            .front()
            .and_then(|front| front.answer.as_ref())
            .map(|reply| reply.code >= 300);
        let server_lost = self.gone[1].is_some() && refused.is_none();
        let Some(moving) = &self.moving else {
            let pending = self
                .owed
                .front()
                .is_some_and(|front| front.transfers() && front.answer.is_none());
            law!(
                leg == Leg::Client || !pending,
                "L3: an upload that was not relayed ends in order"
            );
            return Ok(());
        };
        if moving.direction.sink() != leg {
            return Ok(());
        }
        let source = &self.data[side(moving.direction.source())];
        let whole = moving.end == Some(RelayEnd::Source) && moving.moved == source.sent;
        if leg == Leg::Client {
            let silent = moving.moved == 0 && refused == Some(true);
            law!(whole || silent, "L3: a download that was cut ends in order");
            law!(
                moving.moved == 0 || refused != Some(true),
                "L3: a download that the server calls broken ends in order"
            );
            law!(
                !server_lost,
                "L3: a download whose control connection was lost ends in order"
            );
        } else {
            law!(
                whole || refused.is_some(),
                "L3: an upload that was cut ends in order"
            );
            law!(
                whole || moving.moved == 0,
                "L3: a part of an upload ends in order"
            );
            law!(
                !moving.client_gone,
                "L3: an upload whose control connection ended first ends in order"
            );
        }
        Ok(())
    }

    /// A control connection turns to TLS.
    fn turns(&mut self, leg: Leg) -> Held {
        self.turning[side(leg)] = true;
        if leg == Leg::Client {
            law!(
                self.framing.is_empty() && self.owed.is_empty(),
                "L7: what came in clear is kept for TLS"
            );
            self.forget_place();
            self.circumstances.only_epsv = false;
        } else {
            self.server_turns = false;
        }
        Ok(())
    }

    /// What a server forgets with a login.
    fn forget_place(&mut self) {
        self.circumstances.renaming = false;
        self.restart = false;
        self.restart_stale = false;
    }

    /// The client hears something.
    fn client_hears(&mut self, bytes: &[u8]) -> Held {
        law!(
            !self.turning[0],
            "L7: the client hears something in clear behind 234"
        );
        let replies = self.client.push(bytes, self.now);
        law!(
            !self.client.is_broken(),
            "L2: what the client hears is no reply: {}",
            bytes.escape_ascii()
        );
        for reply in replies {
            self.replies += 1;
            self.had_replies
                .push_back((reply.code, reply.bytes.contains(&SERVERS)));
            if reply.code < 200 {
                self.hear_preliminary(&reply)?;
            } else if self.greeted {
                self.hear(&reply)?;
            } else {
                self.hear_greeting(&reply)?;
            }
        }
        Ok(())
    }

    /// The client hears its greeting, or why there is none.
    fn hear_greeting(&mut self, reply: &Reply) -> Held {
        self.greeted = true;
        if reply.code == 421 {
            self.doomed = Some("L2: the session outlives its refusal");
            return Ok(());
        }
        let Some(greeting) = &self.greeting else {
            return Err(format!("L2: {} before the server's greeting", reply.code));
        };
        match &self.profile.greeting {
            Some(own) => law!(
                own == &reply.bytes,
                "L2: the greeting is {}",
                reply.bytes.escape_ascii()
            ),
            None => law!(
                greeting.bytes == reply.bytes,
                "L2: the greeting is {}",
                reply.bytes.escape_ascii()
            ),
        }
        if reply.code >= 300 {
            self.doomed = Some("L2: the session outlives its refusal");
        }
        Ok(())
    }

    /// The client hears a preliminary reply.
    fn hear_preliminary(&mut self, reply: &Reply) -> Held {
        if !self.greeted {
            return Ok(());
        }
        let front = self.owed.front_mut();
        let due = front.and_then(|front| {
            front.promised = true;
            front.preliminaries.pop_front()
        });
        law!(
            due.as_ref().map(|due| &due.bytes) == Some(&reply.bytes),
            "L2: the client hears {}, the server said {due:?}",
            reply.bytes.escape_ascii()
        );
        Ok(())
    }

    /// The client hears a final reply.
    fn hear(&mut self, reply: &Reply) -> Held {
        let own = !reply.bytes.contains(&SERVERS);
        if own {
            law!(
                !reply.bytes.contains(&CLIENTS),
                "L2: the gateway repeats what the client said: {}",
                reply.bytes.escape_ascii()
            );
        }
        if reply.code == 421 {
            self.doomed = Some("L2: the session outlives its 421");
            let owed = self.owed.pop_front();
            self.left |= self.circumstances.kind == Kind::Users
                && owed.is_some_and(|owed| ["MKD", "XMKD"].contains(&owed.verb()));
            return Ok(());
        }
        if own && reply.code == 211 && reply.bytes.starts_with(b"211 Transfer in progress") {
            return self.hear_status();
        }
        let Some(owed) = self.owed.pop_front() else {
            return Err(format!(
                "L2: the client hears {} and has asked nothing",
                reply.bytes.escape_ascii()
            ));
        };
        self.had_commands.push_back(reply.code);
        let Some(spoken) = owed.spoken() else {
            law!(
                own && matches!(reply.code, 500 | 501),
                "L2: {} to a line that is no command",
                reply.code
            );
            return Ok(());
        };
        let verdict = if owed.unsure {
            Verdict::Unsure
        } else {
            self.circumstances.judge(spoken)
        };
        if owed.transfers() {
            self.hear_transfer(&owed, reply)?;
        } else if owed.forwarded {
            Self::hear_forwarded(&owed, reply, self.gone[1].is_some())?;
        } else {
            self.hear_local(&owed, reply, verdict)?;
        }
        self.learn(&owed, reply);
        Ok(())
    }

    /// The client hears the state of the transfer that runs: the STAT behind it is answered.
    fn hear_status(&mut self) -> Held {
        let Some(front) = self.owed.front() else {
            return Err("L2: a 211 without a transfer".into());
        };
        law!(
            front.transfers() && front.promised,
            "L2: a 211 without a transfer"
        );
        let next = self.owed.get(1).map_or("", Owed::verb);
        law!(
            next == "STAT",
            "L2: a 211 out of turn, the next command is {next}"
        );
        self.owed.remove(1);
        self.had_commands.push_back(211);
        Ok(())
    }

    /// The client hears the reply to a line that went to the server.
    fn hear_forwarded(owed: &Owed, reply: &Reply, server_gone: bool) -> Held {
        let verb = owed.verb();
        let Some(answer) = &owed.answer else {
            law!(
                verb == "QUIT" && server_gone && reply.code == 221,
                "L2: {} to {verb} before the server's reply",
                reply.code
            );
            return Ok(());
        };
        let rewritten = match verb {
            "FEAT" => reply.code == 211 || reply.code == answer.code,
            "HELP" | "SITE" => reply.code == answer.code,
            _ => false,
        };
        law!(
            rewritten || answer.bytes == reply.bytes,
            "L2: {} is the reply to {verb}, the server's was {}",
            reply.bytes.escape_ascii(),
            answer.bytes.escape_ascii()
        );
        Ok(())
    }

    /// The client hears the final reply to a transfer.
    fn hear_transfer(&mut self, owed: &Owed, reply: &Reply) -> Held {
        let whole = self.is_whole(is_upload(owed.verb()));
        let done = (200..300).contains(&reply.code);
        law!(
            !done || whole,
            "L3: {} for a transfer that is not whole",
            reply.code
        );
        let complete = self.complete.take();
        law!(complete.is_some(), "L3: a transfer ends and is not told of");
        let uncounted = self.moving.is_none() && done;
        law!(
            complete == Some(done) || uncounted,
            "L3: a transfer that ends with {} is told as complete: {complete:?}",
            reply.code
        );
        self.transfers += usize::from(done);
        self.moving = None;
        if let Some(answer) = &owed.answer
            && answer.bytes == reply.bytes
        {
            return Ok(());
        }
        law!(
            !reply.bytes.contains(&SERVERS) && matches!(reply.code, 425 | 426 | 522),
            "L2: {} is the reply to a transfer, the server's was {:?}",
            reply.bytes.escape_ascii(),
            owed.answer
        );
        Ok(())
    }

    /// The client hears the reply to a line that did not go to the server.
    fn hear_local(&mut self, owed: &Owed, reply: &Reply, verdict: Verdict) -> Held {
        let verb = owed.verb();
        let code = reply.code;
        let own = !reply.bytes.contains(&SERVERS);
        if verb == "ABOR" && self.aborted {
            self.aborted = false;
            if let Some(answer) = self.abort_answer.take() {
                law!(
                    answer.bytes == reply.bytes,
                    "L2: {} is the reply to ABOR",
                    reply.bytes.escape_ascii()
                );
                return Ok(());
            }
            if self
                .debts
                .front()
                .is_some_and(|(debt, _)| *debt == Debt::Abort)
            {
                self.debts.pop_front();
                self.abort_overdue = true;
            }
            law!(own && code == 226, "L2: {code} to an ABOR");
            return Ok(());
        }
        if SETUPS.contains(&verb) && !own {
            let answer = owed.own_answer.as_ref();
            law!(
                answer.is_some_and(|answer| answer.bytes == reply.bytes && answer.code >= 300),
                "L2: {} is the reply to {verb}",
                reply.bytes.escape_ascii()
            );
            return Ok(());
        }
        law!(
            own,
            "L2: {} is a server's reply to {verb}, which it never saw",
            reply.bytes.escape_ascii()
        );
        if verdict == Verdict::Local {
            let answers = [200, 215, 234, 331];
            law!(
                code >= 400 || answers.contains(&code),
                "L1: {code} to {verb}, which is refused"
            );
            return Ok(());
        }
        let known = match verb {
            "PASV" | "EPSV" | "PORT" | "EPRT" => return self.hear_setup(owed, reply),
            _ if DOWNLOADS.contains(&verb) || is_upload(verb) => matches!(code, 425 | 426 | 451),
            _ => false,
        };
        let unsure = verdict == Verdict::Unsure && code >= 400;
        law!(
            known || unsure || owed.unsure,
            "L2: {code} to {verb}, which is permitted and was not sent"
        );
        Ok(())
    }

    /// The client hears where to dial, or that it will be dialled.
    fn hear_setup(&mut self, owed: &Owed, reply: &Reply) -> Held {
        let local = self.advertised[0];
        match reply.code {
            227 => {
                let text = local.map(|local| match local {
                    SocketAddr::V4(local) => {
                        let [a, b, c, d] = local.ip().octets();
                        let [high, low] = local.port().to_be_bytes();
                        format!("227 Entering Passive Mode ({a},{b},{c},{d},{high},{low}).\r\n")
                    }
                    SocketAddr::V6(_) => String::new(),
                });
                law!(
                    text.as_deref().map(str::as_bytes) == Some(&reply.bytes),
                    "L5: the client is sent to {}",
                    reply.bytes.escape_ascii()
                );
            }
            229 => {
                let port = extended_port(&reply.first);
                law!(
                    port.is_some() && port == local.map(|local| local.port()),
                    "L5: the client is sent to {}",
                    reply.bytes.escape_ascii()
                );
            }
            200 if owed.verb() == "EPSV" => self.circumstances.only_epsv = true,
            200 => {
                let target = owed.spoken().and_then(ideal::target);
                law!(
                    self.circumstances.may_listen(target),
                    "L5: {target:?} is accepted"
                );
                self.client_target = target.map(|mut target| {
                    if target.ip().is_unspecified() {
                        target.set_ip(self.places.client.ip());
                    }
                    target
                });
            }
            425 | 451 | 501 | 502 | 522 | 530 => {}
            code => return Err(format!("L2: {code} to {}", owed.verb())),
        }
        Ok(())
    }

    /// What the reply to a command changes.
    fn learn(&mut self, owed: &Owed, reply: &Reply) {
        let Some(spoken) = owed.spoken() else { return };
        let argument = spoken.argument.clone().unwrap_or_default();
        let code = reply.code;
        let transfers = is_upload(&spoken.verb) || DOWNLOADS.contains(&spoken.verb.as_str());
        if !owed.forwarded {
            match spoken.verb.as_str() {
                "USER" if code == 331 => self.circumstances.refused = true,
                "RNFR" | "RNTO" => self.circumstances.renaming = false,
                "PROT" if code == 200 => {
                    self.circumstances.private = spoken.text().trim().eq_ignore_ascii_case("P");
                }
                "AUTH" if code == 234 => {
                    let old = ["SSL", "TLS-P"]
                        .contains(&spoken.text().trim().to_ascii_uppercase().as_str());
                    self.circumstances.private = old;
                }
                "EPSV" if code == 200 => self.circumstances.only_epsv = true,
                _ if transfers && self.restart => self.restart_stale = true,
                _ => {}
            }
            return;
        }
        match spoken.verb.as_str() {
            "USER" if matches!(code, 230 | 232) => {
                self.void();
                self.trying = Some(argument);
                self.log_in();
            }
            "USER" if (300..400).contains(&code) => {
                self.void();
                self.trying = Some(argument);
            }
            "PASS" | "ACCT"
                if self.circumstances.user.is_none() && matches!(code, 202 | 230 | 232) =>
            {
                self.log_in();
            }
            "REIN" if (200..300).contains(&code) => {
                self.void();
                self.circumstances.only_epsv = false;
            }
            "QUIT" if (200..300).contains(&code) => self.left = true,
            "RNFR" => self.circumstances.renaming = (300..400).contains(&code),
            "REST" if (300..400).contains(&code) => {
                self.restart = true;
                self.restart_stale = false;
            }
            _ => {}
        }
    }

    /// Nobody is logged in any more.
    fn void(&mut self) {
        self.circumstances.user = None;
        self.circumstances.refused = false;
        self.trying = None;
        self.forget_place();
    }

    /// The name that was tried is logged in.
    fn log_in(&mut self) {
        if let Some(name) = &self.trying {
            self.circumstances.user = Some(name.clone());
            self.forget_place();
        }
    }

    /// A fact was noted.
    fn noted(&mut self, fact: &Fact) -> Held {
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

    /// Looks whether everything is as it must be between two steps.
    fn hold(&mut self, world: &World) -> Held {
        let over = world.session.is_over();
        if let Some(law) = self.doomed {
            law!(over, "{law}");
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

/// Whether a command has a password where nobody looks for one.
fn is_spilt(line: &Line) -> bool {
    let Said::Command(spoken) = &line.said else {
        return false;
    };
    let secret = ["PASS", "ACCT", "ADAT", "MIC", "CONF", "ENC"].contains(&spoken.verb.as_str());
    let first = spoken
        .text()
        .split(' ')
        .find(|word| !word.is_empty())
        .unwrap_or_default();
    let site = spoken.verb == "SITE"
        && ["PSWD", "GPASS", "TOKEN"].contains(&first.to_ascii_uppercase().as_str());
    !secret && !site && spoken.text().contains(SECRET)
}

/// The port in a 229: between the last two of the delimiters in its last parentheses.
fn extended_port(line: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(line);
    let inside = text.rsplit_once('(')?.1.split_once(')')?.0;
    let delimiter = inside.chars().next()?;
    let parts: Vec<&str> = inside.split(delimiter).collect();
    match parts.as_slice() {
        ["", "", "", port, ""] => port.parse().ok().filter(|port| *port > 0),
        _ => None,
    }
}

/// The port in a 227: of the first six numbers between commas.
fn passive_port(line: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(line.get(4..)?);
    let numbers = text
        .split(|character: char| !character.is_ascii_digit() && character != ',')
        .find(|part| part.split(',').filter(|number| !number.is_empty()).count() == 6)?;
    let numbers: Vec<u16> = numbers
        .split(',')
        .filter_map(|number| number.parse().ok())
        .collect();
    let [.., high, low] = numbers.as_slice() else {
        return None;
    };
    Some(high * 256 + low)
}
