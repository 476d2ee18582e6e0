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
use ftpwarden::session::{Direction, End, Leg, Origin, OwnCommand, Profile, TlsOffer, Told};

use crate::framing::{Framing, Line, Said, Spoken};
use crate::ideal::{Circumstances, DOWNLOADS, Kind, UPLOADS};
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

mod data;
mod heard;
mod held;
mod learned;
mod said;
mod sent;

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
    /// The server has said 421.
    leaves: bool,
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
    /// The server keeps a range.
    range: bool,
    /// It is that of a transfer that was refused.
    range_stale: bool,
    /// The server has asked for an account.
    wants_account: bool,
    /// Where the client may be dialled.
    client_target: Option<SocketAddr>,
    /// Where the server may be dialled.
    server_target: Option<SocketAddr>,
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
                was_in: false,
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
            leaves: false,
            server_turns: false,
            gone: [None; 2],
            closed: [false; 2],
            turning: [false; 2],
            data: [Connection::default(), Connection::default()],
            moving: None,
            trying: None,
            restart: false,
            restart_stale: false,
            range: false,
            range_stale: false,
            wants_account: false,
            client_target: None,
            server_target: None,
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
