//! What a session notes of what happened, for counters, logs and the audit.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;

use super::{Direction, Leg};
use crate::ftp::command::Name;
use crate::ftp::misbehaviour::{ClientFault, ServerFault};
use crate::policy::verdict::RuleId;

/// Who made a reply.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Origin {
    /// The gateway.
    Gateway,
    /// The server; FEAT and HELP may have lost lines.
    Server,
}

impl Origin {
    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Server => "server",
        }
    }
}

/// What became of a command.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// The gateway answered, and it was no refusal.
    Answered,
    /// Policy, or the gateway's own limits, refused it.
    Denied,
    /// It, or a command of the gateway's in its place, went to the server.
    Forwarded,
    /// It was no command, or its argument was malformed.
    Invalid,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Answered, Self::Denied, Self::Forwarded, Self::Invalid];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Denied => "denied",
            Self::Forwarded => "forwarded",
            Self::Invalid => "invalid",
        }
    }
}

/// All that is worth knowing of one command, once its final reply is out.
#[derive(Clone)]
pub struct CommandRecord {
    /// The verb; None for a line that was no command.
    pub name: Option<Name>,
    /// The argument; None where there is none or where it is a secret.
    pub argument: Option<Bytes>,
    /// Whether there was an argument that is a secret (law L4).
    pub secret: bool,
    /// The working directory, where it is known.
    pub directory: Option<Bytes>,
    /// The normalised path that was judged.
    pub path: Option<Bytes>,
    /// What became of it.
    pub outcome: Outcome,
    /// What decided.
    pub decided: Option<RuleId>,
    /// What the upstream's policy decided.
    pub upstream: Option<RuleId>,
    /// What the observed policy would have decided.
    pub observed: Option<RuleId>,
    /// The final reply's code; None where the session ended without one.
    pub code: Option<u16>,
    /// Who made the final reply.
    pub origin: Origin,
    /// From the command read to its final reply written.
    pub took: Duration,
    /// Whether it ran a transfer.
    pub transferred: bool,
}

impl fmt::Debug for CommandRecord {
    /// Everything but the argument.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("CommandRecord")
            .field("name", &self.name)
            .field("outcome", &self.outcome)
            .field("code", &self.code)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TransferOutcome {
    /// The client broke it off: ABOR, or its data connection closed early.
    Aborted,
    /// Every byte arrived and the server said so.
    Complete,
    /// Anything else.
    Failed,
}

impl TransferOutcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Aborted, Self::Complete, Self::Failed];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::Complete => "complete",
            Self::Failed => "failed",
        }
    }
}

/// How a data connection is made on one leg.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum DataForm {
    /// EPRT.
    Eprt,
    /// EPSV.
    Epsv,
    /// PASV.
    Pasv,
    /// PORT.
    Port,
}

impl DataForm {
    /// Every form.
    pub const ALL: [Self; 4] = [Self::Eprt, Self::Epsv, Self::Pasv, Self::Port];

    /// The label value: the verb in small letters.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Eprt => "eprt",
            Self::Epsv => "epsv",
            Self::Pasv => "pasv",
            Self::Port => "port",
        }
    }
}

/// What became of a data connection of one leg.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum DataOutcome {
    /// It could not be dialled or listened for.
    Failed,
    /// It is there.
    Opened,
    /// Somebody else came, and was reset.
    Stranger,
    /// Nobody came in time.
    Timeout,
}

impl DataOutcome {
    /// Every outcome.
    pub const ALL: [Self; 4] = [Self::Failed, Self::Opened, Self::Stranger, Self::Timeout];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Opened => "opened",
            Self::Stranger => "stranger",
            Self::Timeout => "timeout",
        }
    }
}

/// How a login ended.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum LoginOutcome {
    /// Policy refused it.
    Denied,
    /// The server refused it.
    Failure,
    /// The server accepted it.
    Success,
}

impl LoginOutcome {
    /// Every outcome.
    pub const ALL: [Self; 3] = [Self::Denied, Self::Failure, Self::Success];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Failure => "failure",
            Self::Success => "success",
        }
    }
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum CloseReason {
    /// The audit cannot be written, and `when_full = "refuse"`.
    Audit,
    /// Too many logins from the client's address have failed.
    Banned,
    /// The client closed its control connection, or vanished.
    ClientGone,
    /// `limits.command_timeout`: a line was not finished.
    CommandTimeout,
    /// The gateway is stopping.
    Drain,
    /// `limits.idle_timeout`: no command for too long.
    IdleTimeout,
    /// `limits.login_timeout`: the login was not finished.
    LoginTimeout,
    /// Policy said `disconnect`.
    Policy,
    /// QUIT.
    Quit,
    /// The server closed its control connection, said 421, vanished, or cannot be reached.
    ServerGone,
    /// A TLS handshake failed, or TLS that was required was refused.
    Tls,
    /// A side broke the protocol beyond repair.
    Violation,
    /// `limits.violations`: a side broke the protocol too often.
    Violations,
}

impl CloseReason {
    /// Every reason.
    pub const ALL: [Self; 13] = [
        Self::Audit,
        Self::Banned,
        Self::ClientGone,
        Self::CommandTimeout,
        Self::Drain,
        Self::IdleTimeout,
        Self::LoginTimeout,
        Self::Policy,
        Self::Quit,
        Self::ServerGone,
        Self::Tls,
        Self::Violation,
        Self::Violations,
    ];

    /// The word in logs and audit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Banned => "banned",
            Self::ClientGone => "client_gone",
            Self::CommandTimeout => "command_timeout",
            Self::Drain => "drain",
            Self::IdleTimeout => "idle_timeout",
            Self::LoginTimeout => "login_timeout",
            Self::Policy => "policy",
            Self::Quit => "quit",
            Self::ServerGone => "server_gone",
            Self::Tls => "tls",
            Self::Violation => "violation",
            Self::Violations => "violations",
        }
    }
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Channel {
    /// Commands and replies.
    Control,
    /// Bytes of a transfer.
    Data,
}

impl Channel {
    /// Every channel.
    pub const ALL: [Self; 2] = [Self::Control, Self::Data];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Control => "control",
            Self::Data => "data",
        }
    }
}

/// Something worth counting or logging.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A client broke the protocol.
    ClientFault(ClientFault),
    /// The session is ending.
    Closing(CloseReason),
    /// A command has had its final reply.
    Command(Box<CommandRecord>),
    /// A data connection came to be, or did not.
    DataConnection {
        /// Whose.
        leg: Leg,
        /// How it was to be made.
        form: DataForm,
        /// What became of it.
        outcome: DataOutcome,
    },
    /// The server's greeting is there: the session is in service.
    Greeted,
    /// A TLS handshake has not ended in time.
    HandshakeTimeout {
        /// Whose.
        leg: Leg,
        /// Of which connection.
        channel: Channel,
    },
    /// A login ended.
    Login {
        /// The name that was tried.
        user: Bytes,
        /// How.
        outcome: LoginOutcome,
    },
    /// A reply was sent to the client, preliminary ones included.
    Reply {
        /// Its code.
        code: u16,
        /// Who made it.
        origin: Origin,
    },
    /// A server broke the protocol.
    ServerFault(ServerFault),
    /// The server sent a reply, whatever became of it.
    ServerReply {
        /// Its code.
        code: u16,
    },
    /// A transfer began: its verb was forwarded.
    TransferBegan {
        /// Which way.
        direction: Direction,
        /// The verb.
        name: Name,
        /// The normalised path, where there is one.
        path: Option<Bytes>,
        /// The offset of a REST before it.
        offset: u64,
    },
    /// A transfer ended.
    TransferEnded {
        /// Which way.
        direction: Direction,
        /// The verb.
        name: Name,
        /// The verb's argument as the client wrote it: no transfer's is a secret.
        argument: Option<Bytes>,
        /// The working directory in which it was judged, where it is known.
        directory: Option<Bytes>,
        /// The normalised path, or the name that the server gave (STOU).
        path: Option<Bytes>,
        /// Bytes that the sink took.
        bytes: u64,
        /// From the verb forwarded to the transfer settled.
        took: Duration,
        /// How.
        outcome: TransferOutcome,
    },
    /// The identity changed: a new USER voided it, or REIN did.
    UserVoided,
}
