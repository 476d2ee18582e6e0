//! A simulated shell: carries out what a session wants, with two peers, their data connections
//! and a clock that only a test moves.
//!
//! One input, drain fully, next input, as the session's contract has it. What each peer sees is
//! kept in the order in which it sees it; what a session wanted of nobody is a panic.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ftpwarden::ftp::address::Family;
use ftpwarden::ftp::security::TlsVersion;
use ftpwarden::policy::Judge;
use ftpwarden::session::{
    Action, Direction, End, Fact, Leg, Now, OwnCommand, Profile, RelayEnd, Secured, Session, Told,
    Workspace,
};

/// The most that one read of a control connection takes.
const READ_BYTES: usize = 8192;

/// What a peer sees, in its order.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Seen {
    /// Bytes on its control connection.
    Control(Vec<u8>),
    /// The end of its control connection.
    ControlEnd(End),
    /// Bytes on its data connection.
    Data(Vec<u8>),
    /// The end of its data connection.
    DataEnd(End),
    /// The gateway has dialled its data listener.
    DataOpened,
    /// The gateway turns its control connection to TLS.
    Turning,
    /// The gateway turns its data connection to TLS, and may know which way bytes go.
    DataTurning(Option<Direction>),
}

/// Something that happened to the session or that it wanted, in the order of the journal.
#[derive(Debug)]
#[allow(
    clippy::allow_attributes,
    dead_code,
    reason = "a journal is read by the simulation alone"
)]
pub(crate) enum Entry {
    /// The gateway's listener is there.
    Advertised(Leg, SocketAddr),
    /// The session asked the server something of its own.
    Asked(OwnCommand),
    /// A control connection is closed by the gateway.
    Closed(Leg, End),
    /// The session wanted a data connection dialled.
    Dialled(Leg, SocketAddr),
    /// A peer's control connection ended.
    Ended(Leg, End),
    /// The gateway ended a data connection that was there.
    EndedData(Leg, End),
    /// Bytes of a control connection were fed.
    Fed(Leg, Vec<u8>),
    /// A permitted line went to the server.
    Forwarded(Bytes),
    /// The relay moved so many bytes.
    Moved(usize),
    /// A fact was noted.
    Noted(Fact),
    /// A data connection came to be there.
    Opened(Leg),
    /// A peer ended its data connection.
    PeerEnded(Leg, End),
    /// A relay began.
    Relayed(Direction),
    /// Reply bytes went to the client.
    Replied(Bytes),
    /// A data connection was to be secured.
    Securing(Leg),
    /// A peer sent so many bytes on its data connection.
    Sent(Leg, usize),
    /// A control connection was to be turned to TLS.
    Turning(Leg),
    /// The session was told something.
    Told(Told),
}

/// How a peer's own data listener behaves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Listens {
    /// It takes connections.
    Accepts,
    /// It does not answer.
    Ignores,
    /// There is none.
    Refuses,
}

/// A data connection as the gateway has it.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Data {
    /// The gateway dials and nobody answers.
    Dialling,
    /// The gateway listens.
    Listening,
    /// There is none.
    None,
    /// It is there; what the peer has sent and nobody has read, and how it has ended.
    Open(VecDeque<u8>, Option<End>),
}

/// One of the two sides.
#[derive(Debug)]
pub(crate) struct Peer {
    /// What it has seen and no test has looked at.
    pub(crate) seen: VecDeque<Seen>,
    /// Where its own data listener is, once it has one.
    pub(crate) listener: Option<SocketAddr>,
    /// How that behaves.
    pub(crate) listens: Listens,
    /// The address that the gateway offered it last.
    pub(crate) offered: Option<SocketAddr>,
    /// It takes no data bytes.
    pub(crate) stalls: bool,
    /// Its data connection.
    data: Data,
    /// Bytes that it sent on its control connection and that were not read.
    unread: VecDeque<u8>,
    /// How its control connection has ended behind them.
    ended: Option<End>,
    /// The end was told.
    end_told: bool,
    /// The gateway has ended the control connection.
    closed: bool,
}

impl Peer {
    /// One that has seen nothing.
    const fn new() -> Self {
        Self {
            seen: VecDeque::new(),
            listener: None,
            listens: Listens::Accepts,
            offered: None,
            stalls: false,
            data: Data::None,
            unread: VecDeque::new(),
            ended: None,
            end_told: false,
            closed: false,
        }
    }

    /// Adds to what it has seen; bytes join those right before them.
    fn see(&mut self, seen: Seen) {
        match (self.seen.back_mut(), seen) {
            (Some(Seen::Control(last)), Seen::Control(bytes))
            | (Some(Seen::Data(last)), Seen::Data(bytes)) => last.extend_from_slice(&bytes),
            (_, seen) => self.seen.push_back(seen),
        }
    }
}

/// Where everybody is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Places {
    /// The client.
    pub(crate) client: SocketAddr,
    /// The gateway, as the client dials it.
    pub(crate) local: SocketAddr,
    /// The gateway, as the server sees it.
    pub(crate) outside: SocketAddr,
    /// The server.
    pub(crate) server: SocketAddr,
}

impl Places {
    /// The usual ones.
    ///
    /// # Panics
    /// Never: the addresses are constants.
    pub(crate) fn new(client_v6: bool, server_v6: bool) -> Self {
        let parse = |text: &str| text.parse().unwrap();
        Self {
            client: parse(if client_v6 {
                "[2001:db8:1::10]:40000"
            } else {
                "192.0.2.10:40000"
            }),
            local: parse(if client_v6 {
                "[2001:db8:1::1]:21"
            } else {
                "192.0.2.1:21"
            }),
            outside: parse(if server_v6 {
                "[2001:db8:2::1]:39000"
            } else {
                "10.0.0.1:39000"
            }),
            server: parse(if server_v6 {
                "[2001:db8:2::5]:21"
            } else {
                "10.0.0.5:21"
            }),
        }
    }
}

/// A running relay.
#[derive(Debug)]
struct Relay {
    /// Which way.
    direction: Direction,
    /// What the sink took.
    bytes: u64,
}

thread_local! {
    /// What the sessions of one thread work with, one after the other.
    static WORKSPACE: Cell<Workspace> = Cell::default();
}

/// A session and the world around it.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of their own: each changes without the others"
)]
pub(crate) struct World {
    /// The session.
    pub(crate) session: Session,
    /// The client.
    pub(crate) client: Peer,
    /// The server.
    pub(crate) server: Peer,
    /// Every fact, in its order.
    pub(crate) facts: Vec<Fact>,
    /// Where everybody is.
    pub(crate) places: Places,
    /// No port is free.
    pub(crate) exhausted: bool,
    /// The server cannot be reached.
    pub(crate) unreachable: bool,
    /// What went to the server because policy permitted it, line by line.
    pub(crate) permitted: Vec<Bytes>,
    /// What went there of the gateway's own.
    pub(crate) own: Vec<OwnCommand>,
    /// Every address that the session wanted dialled.
    pub(crate) dialled: Vec<SocketAddr>,
    /// A running relay is held back by a cap on bandwidth.
    pub(crate) held_back: bool,
    /// How every action is written for debugging, where a test wants to know.
    pub(crate) actions: Option<Vec<String>>,
    /// What happened, where a test wants to know.
    pub(crate) journal: Option<Vec<Entry>>,
    /// Nothing happens by itself: control connections are read, relays run and dials end when a
    /// test says so.
    pub(crate) slow: bool,
    /// Outcomes of dials that were not told yet, in a slow world.
    underway: Vec<Told>,
    /// The time.
    pub(crate) now: Now,
    /// What the session is to be told next.
    told: VecDeque<Told>,
    /// The running relay.
    relay: Option<Relay>,
    /// The last port that was given to anything.
    port: u16,
}

impl World {
    /// A client has just connected.
    pub(crate) fn new(profile: Profile, judge: Judge, places: Places) -> Self {
        let now = Now {
            elapsed: Duration::ZERO,
            unix_time: 1_800_000_000,
        };
        Self {
            session: Session::new(
                Arc::new(profile),
                Arc::new(judge),
                places.client,
                places.local,
                now,
            ),
            client: Peer::new(),
            server: Peer::new(),
            facts: Vec::new(),
            places,
            exhausted: false,
            unreachable: false,
            permitted: Vec::new(),
            own: Vec::new(),
            dialled: Vec::new(),
            held_back: false,
            actions: None,
            journal: None,
            slow: false,
            underway: Vec::new(),
            now,
            told: VecDeque::new(),
            relay: None,
            port: 50_000,
        }
    }

    /// One of the two sides.
    pub(crate) const fn peer(&mut self, leg: Leg) -> &mut Peer {
        match leg {
            Leg::Client => &mut self.client,
            Leg::Server => &mut self.server,
        }
    }

    /// The time since the session's birth.
    pub(crate) const fn elapsed(&self) -> Duration {
        self.now.elapsed
    }

    /// Whether the gateway holds anything of a data connection.
    pub(crate) fn holds_data(&self) -> bool {
        self.client.data != Data::None || self.server.data != Data::None || self.relay.is_some()
    }

    /// Whether the gateway waits for a data connection of `leg`.
    pub(crate) fn offers(&self, leg: Leg) -> bool {
        let peer = match leg {
            Leg::Client => &self.client,
            Leg::Server => &self.server,
        };
        peer.data == Data::Listening
    }

    /// Lets everything happen that has a reason to.
    pub(crate) fn settle(&mut self) {
        let mut workspace = WORKSPACE.take();
        self.session.take_up(&mut workspace);
        self.come_to_rest();
        self.session.put_away(&mut workspace);
        WORKSPACE.set(workspace);
    }

    /// The same, in the memory that the session has.
    fn come_to_rest(&mut self) {
        let mut rounds = 0_u32;
        loop {
            rounds += 1;
            assert!(rounds < 1_000_000, "it never comes to rest");
            while let Some(action) = self.session.next_action() {
                self.perform(action);
            }
            if let Some(told) = self.told.pop_front() {
                self.record(|| Entry::Told(told.clone()));
                self.session.tell(told, self.now);
            } else if self.slow
                || !self.read(Leg::Client, READ_BYTES)
                    && !self.read(Leg::Server, READ_BYTES)
                    && !self.pump(usize::MAX)
            {
                break;
            }
        }
    }

    /// Writes the journal, where there is one.
    fn record(&mut self, entry: impl FnOnce() -> Entry) {
        if let Some(journal) = &mut self.journal {
            journal.push(entry());
        }
    }

    /// A side sends on its control connection.
    pub(crate) fn send(&mut self, leg: Leg, bytes: &[u8]) {
        self.peer(leg).unread.extend(bytes);
        self.settle();
    }

    /// A side ends its control connection.
    pub(crate) fn end(&mut self, leg: Leg, end: End) {
        let peer = self.peer(leg);
        peer.ended = Some(end);
        if end == End::Reset {
            peer.unread.clear();
        }
        self.settle();
    }

    /// The session is told something.
    pub(crate) fn tell(&mut self, told: Told) {
        self.told.push_back(told);
        self.settle();
    }

    /// Time passes, with every deadline on the way.
    pub(crate) fn wait(&mut self, time: Duration) {
        let until = self.now.elapsed + time;
        self.settle();
        let mut deadlines = 0_u32;
        while let Some(deadline) = self.session.deadline().filter(|at| *at <= until) {
            deadlines += 1;
            assert!(deadlines < 100_000, "deadlines come without end");
            self.now.elapsed = deadline.max(self.now.elapsed);
            self.session.expire(self.now);
            self.settle();
        }
        self.now.elapsed = until;
        let seconds = i64::try_from(time.as_secs()).unwrap_or(0);
        self.now.unix_time = self.now.unix_time.saturating_add(seconds);
    }

    /// The handshake of a control connection is over.
    pub(crate) fn turned(&mut self, leg: Leg, done: bool) {
        self.tell(if done {
            let secured = Secured {
                version: TlsVersion::V1_3,
                subject: None,
            };
            Told::Secured { leg, secured }
        } else {
            Told::Unsecured(leg)
        });
    }

    /// The handshake of a data connection is over; false where there is none.
    pub(crate) fn data_turned(&mut self, leg: Leg, done: bool) -> bool {
        let peer = self.peer(leg);
        if !matches!(peer.data, Data::Open(..)) {
            return false;
        }
        if !done {
            peer.data = Data::None;
        }
        self.tell(if done {
            Told::DataSecured(leg)
        } else {
            Told::DataUnsecured(leg)
        });
        true
    }

    /// Makes a data listener of a side's own.
    pub(crate) fn listen(&mut self, leg: Leg) -> SocketAddr {
        let host = match leg {
            Leg::Client => self.places.client.ip(),
            Leg::Server => self.places.server.ip(),
        };
        let address = SocketAddr::new(host, self.next_port());
        let peer = self.peer(leg);
        peer.listener = Some(address);
        peer.listens = Listens::Accepts;
        address
    }

    /// A side dials the gateway's offer; false where nobody listens.
    pub(crate) fn dial(&mut self, leg: Leg) -> bool {
        let peer = self.peer(leg);
        if peer.data != Data::Listening {
            return false;
        }
        peer.data = Data::Open(VecDeque::new(), None);
        self.record(|| Entry::Opened(leg));
        self.tell(Told::PeerArrived(leg));
        true
    }

    /// The gateway has no descriptor for whoever dials the server's offer; false where nobody listens.
    #[allow(
        clippy::allow_attributes,
        dead_code,
        reason = "descriptors run out in the laws alone"
    )]
    pub(crate) fn starve(&mut self) -> bool {
        if self.server.data != Data::Listening {
            return false;
        }
        self.server.data = Data::None;
        self.tell(Told::OfferStarved);
        true
    }

    /// Somebody else dials the gateway's offer; false where nobody listens.
    pub(crate) fn dial_as_stranger(&mut self, leg: Leg) -> bool {
        let listens = self.peer(leg).data == Data::Listening;
        if listens {
            self.tell(Told::StrangerRefused(leg));
        }
        listens
    }

    /// A side sends on its data connection; false where there is none.
    pub(crate) fn send_data(&mut self, leg: Leg, bytes: &[u8]) -> bool {
        let Data::Open(unread, None) = &mut self.peer(leg).data else {
            return false;
        };
        unread.extend(bytes);
        self.record(|| Entry::Sent(leg, bytes.len()));
        self.settle();
        true
    }

    /// A side ends its data connection; false where there is none.
    pub(crate) fn end_data(&mut self, leg: Leg, end: End) -> bool {
        let relays = self.relay.is_some();
        let Data::Open(unread, ended) = &mut self.peer(leg).data else {
            return false;
        };
        if *ended == Some(End::Reset) || *ended == Some(end) {
            return false;
        }
        *ended = Some(end);
        if end == End::Reset {
            unread.clear();
        }
        self.record(|| Entry::PeerEnded(leg, end));
        if end == End::Reset && !relays {
            self.peer(leg).data = Data::None;
            self.told.push_back(Told::DataReset(leg));
        }
        self.settle();
        true
    }

    /// A port that nothing had yet.
    const fn next_port(&mut self) -> u16 {
        self.port = if self.port == u16::MAX {
            50_000
        } else {
            self.port + 1
        };
        self.port
    }

    /// Feeds what a side has sent, if the session reads; whether anything was fed.
    fn read(&mut self, leg: Leg, bytes: usize) -> bool {
        let now = self.now;
        let reads = self.session.reads(leg);
        let peer = self.peer(leg);
        if peer.closed || peer.end_told {
            return false;
        }
        if let (true, Some(End::Reset)) = (peer.unread.is_empty(), peer.ended) {
            peer.end_told = true;
            self.record(|| Entry::Ended(leg, End::Reset));
            self.session.ended(leg, End::Reset, now);
            return true;
        }
        if !reads {
            return false;
        }
        if peer.unread.is_empty() {
            let Some(end) = peer.ended else { return false };
            peer.end_told = true;
            self.record(|| Entry::Ended(leg, end));
            self.session.ended(leg, end, now);
            return true;
        }
        let length = peer.unread.len().min(bytes);
        let bytes: Vec<u8> = peer.unread.drain(..length).collect();
        self.record(|| Entry::Fed(leg, bytes.clone()));
        self.session.receive(leg, &bytes, now);
        true
    }

    /// Moves the bytes of the running relay; whether anything happened.
    fn pump(&mut self, most: usize) -> bool {
        let Some(mut relay) = self.relay.take() else {
            return false;
        };
        let (source, sink) = match relay.direction.source() {
            Leg::Client => (&mut self.client, &mut self.server),
            Leg::Server => (&mut self.server, &mut self.client),
        };
        let (Data::Open(unread, ended), Data::Open(_, sink_ended)) =
            (&mut source.data, &mut sink.data)
        else {
            panic!("a relay runs between connections that are not there");
        };
        let end = if *sink_ended == Some(End::Reset) {
            Some(RelayEnd::SinkBroke)
        } else if sink.stalls {
            (*ended == Some(End::Reset)).then_some(RelayEnd::SourceBroke)
        } else if !unread.is_empty() {
            let length = unread.len().min(most);
            relay.bytes += u64::try_from(length).unwrap_or(0);
            let bytes = unread.drain(..length).collect();
            sink.see(Seen::Data(bytes));
            self.relay = Some(relay);
            self.record(|| Entry::Moved(length));
            return true;
        } else {
            match *ended {
                Some(End::Fin) => Some(RelayEnd::Source),
                Some(End::Reset) => Some(RelayEnd::SourceBroke),
                None => None,
            }
        };
        let Some(end) = end else {
            self.relay = Some(relay);
            return false;
        };
        let bytes = relay.bytes;
        self.told.push_back(Told::RelayEnded { bytes, end });
        true
    }

    /// Ends a control connection.
    fn close(&mut self, leg: Leg, end: End) {
        self.record(|| Entry::Closed(leg, end));
        let peer = self.peer(leg);
        if !std::mem::replace(&mut peer.closed, true) {
            peer.see(Seen::ControlEnd(end));
        }
    }

    /// Carries out one action.
    fn perform(&mut self, action: Action) {
        if let Some(actions) = &mut self.actions {
            actions.push(format!("{action:?}"));
        }
        match action {
            Action::Ask(command) => {
                let mut bytes = command.urgent().unwrap_or_default().to_vec();
                bytes.extend_from_slice(&command.line());
                self.record(|| Entry::Asked(command));
                self.own.push(command);
                self.write_server(bytes);
            }
            Action::AwaitServerEnd => self.close(Leg::Server, End::Fin),
            Action::Close(leg, end) => self.close(leg, end),
            Action::Connect => {
                let told = if self.unreachable {
                    Told::ConnectFailed
                } else {
                    Told::Connected(self.places.server)
                };
                self.come(told);
            }
            Action::StartTls(leg) => {
                self.record(|| Entry::Turning(leg));
                self.peer(leg).see(Seen::Turning);
            }
            Action::SecureData { leg, direction } => {
                self.record(|| Entry::Securing(leg));
                self.peer(leg).see(Seen::DataTurning(direction));
            }
            Action::Dial { leg, address } => self.dial_peer(leg, address),
            Action::DiscardData(leg) => {
                assert!(self.relay.is_none(), "a relay is robbed of its bytes");
                if let Data::Open(unread, _) = &mut self.peer(leg).data {
                    unread.clear();
                }
            }
            Action::EndData { leg, end } => self.end_gateway_data(leg, end),
            Action::Forward(permit) => {
                self.permitted.push(permit.line().clone());
                self.record(|| Entry::Forwarded(permit.line().clone()));
                self.write_server(permit.line().to_vec());
            }
            Action::Measure => {
                let bytes = self.relay.as_ref().map_or(0, |relay| relay.bytes);
                self.told.push_back(Told::Measured {
                    bytes,
                    held_back: self.held_back,
                });
            }
            Action::Note(fact) => {
                self.record(|| Entry::Noted(fact.clone()));
                self.facts.push(fact.clone());
                self.session.recycle(fact);
            }
            Action::Offer { leg, family } => self.offer(leg, family),
            Action::Relay(direction) => {
                assert!(self.relay.is_none(), "two relays at once");
                for peer in [&self.client, &self.server] {
                    assert!(
                        matches!(peer.data, Data::Open(..)),
                        "a relay without its connections"
                    );
                }
                self.record(|| Entry::Relayed(direction));
                self.relay = Some(Relay {
                    direction,
                    bytes: 0,
                });
            }
            Action::Reply(bytes) => {
                self.record(|| Entry::Replied(bytes.clone()));
                assert!(!self.client.closed, "a reply behind the close");
                self.client.see(Seen::Control(bytes.to_vec()));
            }
        }
    }

    /// Tells the outcome of a dial at once, or has it under way.
    fn come(&mut self, told: Told) {
        if self.slow {
            self.underway.push(told);
        } else {
            self.told.push_back(told);
        }
    }

    /// Writes to the server.
    fn write_server(&mut self, bytes: Vec<u8>) {
        assert!(!self.server.closed, "a command behind the close");
        self.server.see(Seen::Control(bytes));
    }

    /// Listens for a data connection.
    fn offer(&mut self, leg: Leg, family: Family) {
        if self.exhausted {
            self.told.push_back(Told::OfferFailed(leg));
            return;
        }
        let host = match leg {
            Leg::Client => self.places.local.ip(),
            Leg::Server => self.places.outside.ip(),
        };
        assert_eq!(Family::of(host), family, "an offer of another family");
        let address = SocketAddr::new(host, self.next_port());
        let peer = self.peer(leg);
        assert_eq!(peer.data, Data::None, "an offer beside a data connection");
        peer.data = Data::Listening;
        peer.offered = Some(address);
        self.record(|| Entry::Advertised(leg, address));
        self.told.push_back(Told::OfferReady { leg, address });
    }

    /// Dials a data listener of a peer's.
    fn dial_peer(&mut self, leg: Leg, address: SocketAddr) {
        self.dialled.push(address);
        self.record(|| Entry::Dialled(leg, address));
        let slow = self.slow;
        let peer = self.peer(leg);
        assert_eq!(peer.data, Data::None, "a dial beside a data connection");
        let host = address.ip();
        let listens = if peer.listener == Some(address) {
            peer.listens
        } else {
            Listens::Refuses
        };
        match listens {
            Listens::Ignores => peer.data = Data::Dialling,
            listens if slow => {
                peer.data = Data::Dialling;
                self.come(if listens == Listens::Accepts {
                    Told::Dialled(leg)
                } else {
                    Told::DialFailed(leg)
                });
            }
            Listens::Accepts => {
                peer.data = Data::Open(VecDeque::new(), None);
                peer.see(Seen::DataOpened);
                self.record(|| Entry::Opened(leg));
                self.told.push_back(Told::Dialled(leg));
            }
            Listens::Refuses => self.told.push_back(Told::DialFailed(leg)),
        }
        self.assert_known_host(leg, host);
    }

    /// No data connection goes anywhere but to the peers (law L5).
    fn assert_known_host(&self, leg: Leg, host: IpAddr) {
        let known = match leg {
            Leg::Client => self.places.client.ip(),
            Leg::Server => self.places.server.ip(),
        };
        let is_known = host == known || (leg == Leg::Server && self.is_named(host));
        assert!(is_known, "a data connection to {host}");
    }

    /// Whether a peer's listener is there: a multi-homed server of the configuration.
    fn is_named(&self, host: IpAddr) -> bool {
        self.server
            .listener
            .is_some_and(|listener| listener.ip() == host)
    }

    /// The gateway ends a data connection.
    fn end_gateway_data(&mut self, leg: Leg, end: End) {
        self.underway.retain(
            |told| !matches!(told, Told::Dialled(other) | Told::DialFailed(other) if *other == leg),
        );
        if let Some(relay) = self.relay.take() {
            self.told.push_back(Told::RelayEnded {
                bytes: relay.bytes,
                end: RelayEnd::Cut,
            });
        }
        let peer = self.peer(leg);
        if let Data::Open(_, ended) = std::mem::replace(&mut peer.data, Data::None)
            && ended != Some(End::Reset)
        {
            peer.see(Seen::DataEnd(end));
            self.record(|| Entry::EndedData(leg, end));
        }
    }
}

#[allow(
    clippy::allow_attributes,
    dead_code,
    reason = "a world is slow in the simulation alone"
)]
impl World {
    /// How many bytes a side has sent on its control connection that were not read.
    pub(crate) fn unread(&self, leg: Leg) -> usize {
        match leg {
            Leg::Client => self.client.unread.len(),
            Leg::Server => self.server.unread.len(),
        }
    }

    /// Whether the server's control connection is there.
    pub(crate) fn is_connected(&self) -> bool {
        self.session.reads(Leg::Server) && !self.server.closed
    }

    /// Whether a side has a data connection, or is offered one.
    pub(crate) const fn has_data(&self, leg: Leg) -> bool {
        let peer = match leg {
            Leg::Client => &self.client,
            Leg::Server => &self.server,
        };
        matches!(peer.data, Data::Listening | Data::Open(..))
    }

    /// How many outcomes of dials are under way.
    pub(crate) const fn underway(&self) -> usize {
        self.underway.len()
    }

    /// An outcome that was under way is there.
    pub(crate) fn arrive(&mut self, index: usize) {
        let mut told = self.underway.remove(index);
        let opened = match &told {
            Told::Dialled(leg) => Some((*leg, true)),
            Told::DialFailed(leg) => Some((*leg, false)),
            _ => None,
        };
        if let Some((leg, opened)) = opened {
            let peer = self.peer(leg);
            if opened && peer.listens == Listens::Accepts {
                peer.data = Data::Open(VecDeque::new(), None);
                peer.see(Seen::DataOpened);
                self.record(|| Entry::Opened(leg));
            } else {
                peer.data = Data::None;
                told = Told::DialFailed(leg);
            }
        }
        self.tell(told);
    }

    /// A control connection is read, at most so many bytes of it; whether there was anything.
    pub(crate) fn read_some(&mut self, leg: Leg, bytes: usize) -> bool {
        let read = self.read(leg, bytes);
        self.settle();
        read
    }

    /// The relay takes a step of at most so many bytes; whether anything happened.
    pub(crate) fn pump_some(&mut self, bytes: usize) -> bool {
        let pumped = self.pump(bytes);
        self.settle();
        pumped
    }
}
