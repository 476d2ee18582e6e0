//! The validated configuration: plain types, nothing optional that must be there.
//!
//! Owns what the shell is built from. Must not know TOML, files or where a value was written.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;

use crate::ftp::command::Name;
use crate::policy::UserGlob;
use crate::policy::judge::System;
use crate::session::{ClientTls, DataMode, Limits, ServerTls};
use crate::tls::options::{ClientOptions, ServerOptions};

/// Everything that a running gateway obeys.
#[derive(Debug)]
pub struct Settings {
    /// By name.
    pub listeners: BTreeMap<Arc<str>, Arc<Listener>>,
    /// By name.
    pub upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
    /// `[admin]`.
    pub admin: Option<Admin>,
    /// `[log]`.
    pub log: Log,
    /// `[audit]`.
    pub audit: Option<Audit>,
    /// `[process]`.
    pub process: Process,
    /// `[limits]`: what the shell keeps.
    pub limits: ShellLimits,
    /// `[limits]`: what each session keeps.
    pub session_limits: Arc<Limits>,
}

/// `[listeners.NAME]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listener {
    /// Its name.
    pub name: Arc<str>,
    /// Where it listens.
    pub bind: Vec<SocketAddr>,
    /// Which upstream it is in front of.
    pub upstream: Arc<str>,
    /// Which policy judges.
    pub policy: Arc<str>,
    /// Which policy is observed.
    pub observe: Option<Arc<str>>,
    /// What is said instead of the server's greeting: a whole reply with its CR LF.
    pub greeting: Option<Bytes>,
    /// How many sessions at once.
    pub sessions: Option<usize>,
    /// Bytes a second of all its transfers together.
    pub bandwidth: Option<u64>,
    /// Bytes a second of all transfers of one user; the first glob that matches counts.
    pub user_bandwidth: Vec<(UserGlob, u64)>,
    /// The ports of data connections; any free port where absent.
    pub passive_ports: Option<RangeInclusive<u16>>,
    /// Its TLS; None where AUTH is refused.
    pub tls: Option<ListenerTls>,
    /// What 227 advertises: the entry of the longest prefix that holds the client.
    pub passive_address: Vec<(IpNet, Advertised)>,
    /// Whoever connects from here must say for whom with a header of the PROXY protocol, and is
    /// believed.
    pub accept_proxy_from: Vec<IpNet>,
}

/// `[listeners.NAME.tls]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ListenerTls {
    /// How TLS begins, and what a client must protect.
    pub offer: ClientTls,
    /// Certificates, versions, session reuse.
    pub options: ServerOptions,
}

/// `[upstreams.NAME.tls]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpstreamTls {
    /// Explicit, implicit or as the client does; never off.
    pub mode: ServerTls,
    /// Trust, versions, session reuse.
    pub options: ClientOptions,
    /// Whether data of the server's that ends without `close_notify` is taken for whole: for old
    /// servers that never send one.
    pub tolerates_truncation: bool,
}

/// An address that 227 advertises.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Advertised {
    /// This one.
    Address(IpAddr),
    /// The local address of the control connection.
    Local,
    /// What this name resolves to, looked up again as time passes.
    Name(Arc<str>),
}

/// `[upstreams.NAME]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Upstream {
    /// Its name.
    pub name: Arc<str>,
    /// Host, an address or a name.
    pub host: Arc<str>,
    /// Port.
    pub port: u16,
    /// The policy that must allow as well as the listener's.
    pub policy: Arc<str>,
    /// Verbs that are never sent to it.
    pub unsupported: Vec<Name>,
    /// Where the gateway dials from.
    pub source_address: Option<IpAddr>,
    /// Further addresses of its data connections.
    pub data_addresses: Vec<IpAddr>,
    /// Ports listened on towards it in active mode; any free port where absent.
    pub active_ports: Option<RangeInclusive<u16>>,
    /// How data connections towards it are made.
    pub data_mode: DataMode,
    /// How it reads paths and user names.
    pub system: System,
    /// Whether it may have symbolic links.
    pub symlinks: bool,
    /// The longest line that it is sent, CR LF included.
    pub line_bytes: usize,
    /// The longest absolute path.
    pub path_bytes: usize,
    /// How long a dial may take.
    pub connect_timeout: Duration,
    /// Its TLS; None in clear.
    pub tls: Option<UpstreamTls>,
}

impl Upstream {
    /// Host and port as one text.
    pub fn address(&self) -> String {
        join(&self.host, self.port)
    }
}

/// A host, which is an address or a name, and a port as one text.
pub fn join(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

/// `[admin]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Admin {
    /// Where the endpoints are.
    pub bind: SocketAddr,
}

/// `[log]`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Log {
    /// The least severe level that is written.
    pub level: LogLevel,
    /// How lines look.
    pub format: LogFormat,
}

/// `log.level`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogLevel {
    /// Also what is of use in tracing a fault.
    Debug,
    /// Only failures of the gateway itself.
    Error,
    /// Sessions, logins, transfers, refusals.
    #[default]
    Info,
    /// Everything.
    Trace,
    /// Failures and what may become one.
    Warn,
}

/// `log.format`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Text,
}

/// `[audit]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Audit {
    /// The file; None is standard output.
    pub path: Option<PathBuf>,
    /// SITE subcommands whose argument is a secret, in upper case, added to the built-in list.
    pub secret: Arc<[Arc<str>]>,
    /// What happens when the writer cannot keep up.
    pub when_full: WhenFull,
}

/// `audit.when_full`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum WhenFull {
    /// Events are dropped and counted.
    #[default]
    Drop,
    /// New commands get 421.
    Refuse,
}

/// `[process]`.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Process {
    /// Whom the process becomes once all is open: a name or a number.
    pub user: Option<Arc<str>>,
    /// Its group: a name or a number.
    pub group: Option<Arc<str>>,
    /// Whether further rights are given up.
    pub confinement: Confinement,
}

/// `process.confinement`.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Confinement {
    /// Nothing is given up.
    Off,
    /// All is given up, or the gateway does not start.
    Require,
    /// What the kernel has is used, and what it lacks is warned of.
    #[default]
    Warn,
}

/// So many within a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Rate {
    /// How many, at least one.
    pub count: u32,
    /// Within which time.
    pub per: Duration,
}

impl Rate {
    /// From one to the next where they come evenly.
    pub fn interval(self) -> Duration {
        self.per.checked_div(self.count).unwrap_or(self.per)
    }
}

/// The bounds that the shell keeps.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ShellLimits {
    /// Sessions at once, in all.
    pub sessions: usize,
    /// Sessions at once of one client address.
    pub sessions_per_client: usize,
    /// Connections of one client address.
    pub connection_rate: Option<Rate>,
    /// Failed logins of one client address, beyond which it is banned; None: never.
    pub failed_logins: Option<u32>,
    /// Within this time from the first of them on.
    pub failed_logins_window: Duration,
    /// How long a ban lasts.
    pub ban_time: Duration,
    /// How long transfers may go on after SIGTERM.
    pub drain_timeout: Duration,
    /// Bytes a second of the transfers of one session.
    pub session_bandwidth: Option<u64>,
    /// TCP keepalive on every socket.
    pub keepalive: Duration,
}

impl Default for ShellLimits {
    fn default() -> Self {
        Self {
            sessions: 10_000,
            sessions_per_client: 10_000,
            connection_rate: None,
            failed_logins: Some(500),
            failed_logins_window: Duration::from_mins(10),
            ban_time: Duration::from_mins(10),
            drain_timeout: Duration::from_secs(30),
            session_bandwidth: None,
            keepalive: Duration::from_mins(1),
        }
    }
}
