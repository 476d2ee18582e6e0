//! The whole contract between a session and the shell around it.
//!
//! Owns the vocabulary: what the shell tells ([`Told`]), what the session wants done
//! ([`Action`]) and what is worth counting ([`Fact`]). There is no action that writes arbitrary
//! bytes to a server: only a [`Permit`]'s line or an [`OwnCommand`] goes there (law L1).

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::limits::Limits;
use super::protection::Secured;
use crate::ftp::address::{self, Family};
use crate::ftp::verb::Verb;
use crate::policy::{Judge, Permit};

mod fact;

pub use fact::{
    Channel, CloseReason, CommandRecord, DataForm, DataOutcome, Fact, LoginOutcome, Origin,
    Outcome, TransferOutcome,
};

/// The time, which is an input.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Now {
    /// Monotonic: since an origin that stays the same for the session's life.
    pub elapsed: Duration,
    /// The time of day: seconds since 1970-01-01 UTC.
    pub unix_time: i64,
}

/// One of the two sides of a session.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Leg {
    /// Who dialled us.
    Client,
    /// The FTP server.
    Server,
}

/// How a connection ends or has ended.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum End {
    /// In order: FIN.
    Fin,
    /// Visibly broken: RST, an error, a timeout.
    Reset,
}

/// Which way the bytes of a transfer go.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Direction {
    /// Server to client: the bytes of a file.
    Download,
    /// Server to client: a listing.
    List,
    /// Client to server.
    Upload,
}

impl Direction {
    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Download => "download",
            Self::List => "list",
            Self::Upload => "upload",
        }
    }

    /// The leg that the bytes come from.
    pub const fn source(self) -> Leg {
        match self {
            Self::Download | Self::List => Leg::Server,
            Self::Upload => Leg::Client,
        }
    }

    /// The leg that the bytes go to.
    pub const fn sink(self) -> Leg {
        match self {
            Self::Download | Self::List => Leg::Client,
            Self::Upload => Leg::Server,
        }
    }
}

/// How the data connection towards the server is made (`data_mode`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum DataMode {
    /// PORT or EPRT.
    Active,
    /// EPSV, and PASV where the server does not know it.
    ExtendedPassive,
    /// As the client does.
    #[default]
    Match,
    /// PASV, and EPSV over IPv6.
    Passive,
}

/// The commands that the gateway sends on its own: a closed list (law L1).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum OwnCommand {
    /// ABOR as RFC 959 §4.1.3 has it: Telnet IP, Synch with urgent data, then the line.
    Abort,
    /// AUTH TLS (RFC 4217 §4).
    AuthTls,
    /// ABOR as a plain line: under TLS, which has no urgent data, and for a transfer whose data connection is gone: Pure-FTPd then answers
    /// no other form.
    AbortPlain,
    /// EPRT with an address of the gateway's.
    Eprt(SocketAddr),
    /// EPSV.
    Epsv,
    /// PASV.
    Pasv,
    /// PBSZ 0 (RFC 4217 §8).
    Pbsz,
    /// PORT with an IPv4 address of the gateway's.
    Port(SocketAddr),
    /// PROT C.
    ProtClear,
    /// PROT P.
    ProtPrivate,
    /// PWD, to learn the working directory.
    Pwd,
    /// RANG 1 0, to take back a range whose transfer was refused (draft-bryan-ftp-range).
    RangeAll,
    /// REST 0, to take back an offset whose transfer was refused.
    RestZero,
}

impl OwnCommand {
    /// The line, with its CR LF. For [`OwnCommand::Abort`] only what follows the urgent bytes.
    pub fn line(&self) -> Bytes {
        match self {
            Self::Abort | Self::AbortPlain => Bytes::from_static(b"ABOR\r\n"),
            Self::AuthTls => Bytes::from_static(b"AUTH TLS\r\n"),
            Self::Eprt(address) => address::render_eprt(*address),
            Self::Epsv => Bytes::from_static(b"EPSV\r\n"),
            Self::Pasv => Bytes::from_static(b"PASV\r\n"),
            Self::Pbsz => Bytes::from_static(b"PBSZ 0\r\n"),
            // An IPv6 address has no PORT form; EPRT says the same.
            Self::Port(address) => {
                address::render_port(*address).unwrap_or_else(|| address::render_eprt(*address))
            }
            Self::ProtClear => Bytes::from_static(b"PROT C\r\n"),
            Self::ProtPrivate => Bytes::from_static(b"PROT P\r\n"),
            Self::Pwd => Bytes::from_static(b"PWD\r\n"),
            Self::RangeAll => Bytes::from_static(b"RANG 1 0\r\n"),
            Self::RestZero => Bytes::from_static(b"REST 0\r\n"),
        }
    }

    /// What must be sent before the line: Telnet's `IAC IP IAC DM`, of which the third byte, the second
    /// `IAC`, is sent as urgent data and the others as normal data. None for all but ABOR.
    pub const fn urgent(&self) -> Option<&'static [u8]> {
        match self {
            // FF F4 in band, FF urgent, F2 in band: the form that every server measured takes.
            Self::Abort => Some(&[0xFF, 0xF4, 0xFF, 0xF2]),
            Self::AbortPlain
            | Self::AuthTls
            | Self::Eprt(_)
            | Self::Epsv
            | Self::Pasv
            | Self::Pbsz
            | Self::Port(_)
            | Self::ProtClear
            | Self::ProtPrivate
            | Self::Pwd
            | Self::RangeAll
            | Self::RestZero => None,
        }
    }
}

/// What the session wants done, in this order, before the next event is fed.
pub enum Action {
    /// Write one of the gateway's own commands to the server. ABOR goes out with
    /// [`OwnCommand::urgent`] before it, its third byte as TCP urgent data.
    Ask(OwnCommand),
    /// Close a control connection once what was written to it is out. [`Leg::Server`] closes its
    /// side only; when both are closed the session is over.
    Close(Leg, End),
    /// Dial the upstream; answered by [`Told::Connected`] or [`Told::ConnectFailed`]. Said again
    /// where the server refused a version of TLS: the connection that it refused is given up.
    Connect,
    /// Dial a data connection; answered by [`Told::Dialled`] or [`Told::DialFailed`].
    Dial {
        /// Whose data connection it is.
        leg: Leg,
        /// Where to.
        address: SocketAddr,
    },
    /// Let the server end its control connection, which it does by itself behind its reply to QUIT
    /// (RFC 959 §4.1.1); end it in order if it does not. Nothing is told of it.
    AwaitServerEnd,
    /// Read the data connection of a leg and throw away what comes, until [`Action::EndData`].
    DiscardData(Leg),
    /// End the data connection of a leg, whatever its stage: FIN after all that was relayed, or
    /// RST. Its listener, if any, goes too. Nothing is told of it.
    EndData {
        /// Whose.
        leg: Leg,
        /// How.
        end: End,
    },
    /// Write a permitted line to the server.
    Forward(Permit),
    /// Tell how many bytes the running relay has moved: [`Told::Measured`].
    Measure,
    /// Something worth counting or logging.
    Note(Fact),
    /// Listen for a data connection; answered by [`Told::OfferReady`] or [`Told::OfferFailed`].
    Offer {
        /// Who will dial it.
        leg: Leg,
        /// Which family it must have.
        family: Family,
    },
    /// Move bytes between the two data connections, which are both there; answered once by
    /// [`Told::RelayEnded`], also when [`Action::EndData`] cuts it. The sink is left open.
    Relay(Direction),
    /// Write reply bytes to the client.
    Reply(Bytes),
    /// Turn a data connection that is there to TLS: towards the client as its server, whoever
    /// dialled, and towards the server as its client (RFC 4217 §7). Answered by
    /// [`Told::DataSecured`] or [`Told::DataUnsecured`]. Said again for the client's while its
    /// hello has not come, once it is known which way the bytes go.
    SecureData {
        /// Whose.
        leg: Leg,
        /// Which way the bytes go, where that is known.
        direction: Option<Direction>,
    },
    /// Turn a control connection to TLS once what was written to it is out; nothing is read from
    /// it in clear any more. Answered by [`Told::Secured`] or [`Told::Unsecured`].
    StartTls(Leg),
}

impl fmt::Debug for Action {
    /// Writes all but what is forwarded, of which it writes the verb: it may be a PASS (law L4).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(command) => formatter.debug_tuple("Ask").field(command).finish(),
            Self::AwaitServerEnd => formatter.write_str("AwaitServerEnd"),
            Self::Close(leg, end) => write!(formatter, "Close({leg:?}, {end:?})"),
            Self::Connect => formatter.write_str("Connect"),
            Self::Dial { leg, address } => write!(formatter, "Dial({leg:?}, {address})"),
            Self::DiscardData(leg) => write!(formatter, "DiscardData({leg:?})"),
            Self::EndData { leg, end } => write!(formatter, "EndData({leg:?}, {end:?})"),
            Self::Forward(permit) => {
                let mut words = permit.line().split(|byte| !byte.is_ascii_alphanumeric());
                let verb = words.next().and_then(Verb::parse);
                write!(formatter, "Forward({})", verb.map_or("other", Verb::name))
            }
            Self::Measure => formatter.write_str("Measure"),
            Self::Note(fact) => formatter.debug_tuple("Note").field(fact).finish(),
            Self::Offer { leg, family } => write!(formatter, "Offer({leg:?}, {family:?})"),
            Self::Relay(direction) => write!(formatter, "Relay({direction:?})"),
            Self::Reply(bytes) => write!(formatter, "Reply({bytes:?})"),
            Self::SecureData { leg, direction } => {
                write!(formatter, "SecureData({leg:?}, {direction:?})")
            }
            Self::StartTls(leg) => write!(formatter, "StartTls({leg:?})"),
        }
    }
}

/// How a relay ended, when it did by itself.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RelayEnd {
    /// [`Action::EndData`] cut it: some bytes may not have arrived.
    Cut,
    /// The sink refused bytes: some that were read did not arrive.
    SinkBroke,
    /// The source ended in order and the sink has taken every byte.
    Source,
    /// The source was reset or failed.
    SourceBroke,
}

/// Why the shell ends a session.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EndReason {
    /// The drain timeout is over, or a second signal came.
    Drain,
    /// The audit file is full and `when_full = "refuse"`: before the next command.
    Audit,
    /// Too many logins from the client's address have failed.
    Banned,
}

/// What the shell tells a session.
#[derive(Clone, Debug)]
pub enum Told {
    /// The upstream answered the dial, at this address.
    Connected(SocketAddr),
    /// It did not.
    ConnectFailed,
    /// A data connection that is not being relayed was reset by its peer.
    DataReset(Leg),
    /// A data connection is under TLS.
    DataSecured(Leg),
    /// Its handshake failed, or did not resume the session that it had to.
    DataUnsecured(Leg),
    /// A dial for a data connection succeeded.
    Dialled(Leg),
    /// It failed, or nobody answered in time.
    DialFailed(Leg),
    /// The gateway is stopping: finish what runs, then say 421.
    Drain,
    /// Close now, saying 421.
    End(EndReason),
    /// So many logins from the client's address have failed of late, that of the last
    /// [`Fact::Login`] included: its refusal takes the longer.
    FailedLogins {
        /// How many, at least one.
        count: u32,
    },
    /// The policies changed: this judge is in force before the next command.
    JudgeChanged(Arc<Judge>),
    /// Other bounds hold from now on.
    LimitsChanged(Arc<Limits>),
    /// The bytes that the running relay has moved.
    Measured {
        /// How many.
        bytes: u64,
        /// It could move more, and a cap on bandwidth keeps it from doing so; or the sink takes some yet.
        held_back: bool,
    },
    /// No port could be listened on.
    OfferFailed(Leg),
    /// A listener is there.
    OfferReady {
        /// Who will dial it.
        leg: Leg,
        /// The address to advertise.
        address: SocketAddr,
    },
    /// The server may have dialled its listener and could not be accepted until a deadline came, since
    /// there are no descriptors: the listener is gone.
    OfferStarved,
    /// The session's own peer dialled the listener, which is closed now.
    PeerArrived(Leg),
    /// The relay is over.
    RelayEnded {
        /// Bytes that the sink took.
        bytes: u64,
        /// How.
        end: RelayEnd,
    },
    /// A control connection is under TLS.
    Secured {
        /// Which.
        leg: Leg,
        /// What was agreed on.
        secured: Secured,
    },
    /// These SITE subcommands have secret arguments, in upper case, beside the built-in ones.
    SecretsChanged(Arc<[Arc<str>]>),
    /// Somebody else dialled the listener and was reset.
    StrangerRefused(Leg),
    /// The TLS handshake of a control connection failed.
    Unsecured(Leg),
    /// That of the server's failed for its version alone, and another one is left to be tried
    /// over a new connection.
    VersionRefused,
}
