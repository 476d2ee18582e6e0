//! The tables of the configuration, read into settings.
//!
//! Owns which value each key takes and its default. Must not know how tables refer to each
//! other: names are handed on with their places, as [`Mentions`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;

use toml::de::DeTable;

use super::listener::listener;
use super::rules::policy;
use super::schema;
use super::section::{Problems, Section};
use super::tls::TlsPlaces;
use super::upstream::upstream;
use super::value::{self, Misfit};
use crate::policy::spec::{Located, PolicySpec, Span};
use crate::session::Limits;
use crate::settings::{
    Admin, Audit, Confinement, Listener, Log, LogFormat, LogLevel, Process, ShellLimits, Upstream,
    WhenFull,
};

/// What tables say of each other, with the places where they say it.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    /// Every name of a listener.
    pub(super) listeners: Vec<Located<String>>,
    /// Every name of an upstream, of broken ones too.
    pub(super) upstreams: Vec<Located<String>>,
    /// Every address that is listened on.
    pub(super) binds: Vec<Located<SocketAddr>>,
    /// Upstreams that listeners name.
    pub(super) to_upstreams: Vec<Located<String>>,
    /// Policies that listeners and upstreams name.
    pub(super) to_policies: Vec<Located<String>>,
    /// The ports of passive data connections.
    pub(super) passive_ports: Vec<Located<RangeInclusive<u16>>>,
    /// How many sessions listeners may have.
    pub(super) sessions: Vec<Located<usize>>,
    /// Addresses of upstreams.
    pub(super) servers: Vec<Located<(Arc<str>, u16)>>,
    /// Files of certificates and keys, and the tables that name them.
    pub(super) tls: TlsPlaces,
}

/// Everything that one file says.
#[derive(Debug, Default)]
pub(super) struct Document {
    /// `[listeners]`; without those whose `bind` or `upstream` did not fit.
    pub(super) listeners: BTreeMap<Arc<str>, Arc<Listener>>,
    /// `[upstreams]`; without those whose `address` did not fit.
    pub(super) upstreams: BTreeMap<Arc<str>, Arc<Upstream>>,
    /// `[policies]`.
    pub(super) policies: Vec<PolicySpec>,
    /// `[admin]`.
    pub(super) admin: Option<Admin>,
    /// `[log]`.
    pub(super) log: Option<Log>,
    /// `[audit]`.
    pub(super) audit: Option<Audit>,
    /// `[process]`.
    pub(super) process: Process,
    /// The part of `[limits]` that the shell keeps.
    pub(super) limits: ShellLimits,
    /// The part of `[limits]` that each session keeps.
    pub(super) session_limits: Limits,
    /// What is to be looked at together.
    pub(super) mentions: Mentions,
}

/// Reads a whole file.
pub(super) fn document(root: &DeTable<'_>, problems: &mut Problems) -> Document {
    let root = Section::open(root, &schema::ROOT, problems.span(0..0), problems);
    let mut mentions = Mentions::default();
    let mut document = Document::default();
    for named in root.named("listeners", problems) {
        mentions.listeners.push(named.name.clone());
        if let Some(listener) = listener(&named, &mut mentions, problems) {
            document
                .listeners
                .insert(Arc::clone(&listener.name), Arc::new(listener));
        }
    }
    for named in root.named("upstreams", problems) {
        mentions.upstreams.push(named.name.clone());
        if let Some(upstream) = upstream(&named, &mut mentions, problems) {
            document
                .upstreams
                .insert(Arc::clone(&upstream.name), Arc::new(upstream));
        }
    }
    for named in root.named("policies", problems) {
        document.policies.push(policy(&named, problems));
    }
    if let Some((place, table)) = root.table("admin", problems) {
        document.admin = admin(table, place, &mut mentions, problems);
    }
    if let Some((place, table)) = root.table("log", problems) {
        document.log = Some(log(table, place, problems));
    }
    if let Some((place, table)) = root.table("audit", problems) {
        document.audit = audit(table, place, problems);
    }
    if let Some((place, table)) = root.table("process", problems) {
        document.process = process(table, place, problems);
    }
    if let Some((place, table)) = root.table("limits", problems) {
        limits(table, place, &mut document, problems);
    }
    document.mentions = mentions;
    document
}

/// `[admin]`.
fn admin(
    table: &DeTable<'_>,
    place: Span,
    mentions: &mut Mentions,
    problems: &mut Problems,
) -> Option<Admin> {
    let section = Section::open(table, &schema::ADMIN, place, problems);
    let bind = section.required(
        "bind",
        "\"127.0.0.1:9121\"",
        problems,
        value::socket_address,
    )?;
    let admin = Admin { bind: bind.value };
    mentions.binds.push(bind);
    Some(admin)
}

/// `[log]`.
fn log(table: &DeTable<'_>, place: Span, problems: &mut Problems) -> Log {
    let section = Section::open(table, &schema::LOG, place, problems);
    let levels = [
        ("error", LogLevel::Error),
        ("warn", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
    ];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    Log {
        level: or_default(section.one("level", problems, value::word(&levels))),
        format: or_default(section.one("format", problems, value::word(&formats))),
    }
}

/// `[audit]`.
fn audit(table: &DeTable<'_>, place: Span, problems: &mut Problems) -> Option<Audit> {
    let section = Section::open(table, &schema::AUDIT, place, problems);
    let whens = [("drop", WhenFull::Drop), ("refuse", WhenFull::Refuse)];
    let path = section.required("path", "\"-\"", problems, |value| {
        let written = value::text(value, "a path", "/var/log/ftpwarden/audit.jsonl")?;
        match written {
            "" => Err(Misfit::new(
                "config/bad-path",
                "the path is empty",
                "write a path, or `\"-\"` for standard output",
            )),
            "-" => Ok(None),
            path => Ok(Some(path.into())),
        }
    });
    let audit = Audit {
        path: path.as_ref().and_then(|path| path.value.clone()),
        secret: section
            .list("secret", problems, value::secret)
            .into_iter()
            .map(|word| word.value)
            .collect(),
        when_full: or_default(section.one("when_full", problems, value::word(&whens))),
    };
    path.map(|_| audit)
}

/// `[process]`. Whether the system knows the user is seen when the gateway starts: the file may be
/// checked on another machine.
fn process(table: &DeTable<'_>, place: Span, problems: &mut Problems) -> Process {
    let section = Section::open(table, &schema::PROCESS, place, problems);
    let words = [
        ("require", Confinement::Require),
        ("warn", Confinement::Warn),
        ("off", Confinement::Off),
    ];
    Process {
        user: section
            .one("user", problems, value::account)
            .map(|user| user.value),
        group: section
            .one("group", problems, value::account)
            .map(|group| group.value),
        confinement: or_default(section.one("confinement", problems, value::word(&words))),
    }
}

/// `[limits]`, shared between the shell and the sessions.
fn limits(table: &DeTable<'_>, place: Span, document: &mut Document, problems: &mut Problems) {
    let section = Section::open(table, &schema::LIMITS, place, problems);
    let shell = &mut document.limits;
    let session = &mut document.session_limits;
    let sessions = section.one("sessions", problems, value::count(SESSIONS));
    set(&mut shell.sessions, sessions);
    let per_client = section.one("sessions_per_client", problems, value::count(SESSIONS));
    set(&mut shell.sessions_per_client, per_client);
    let rate = section.one("connection_rate", problems, value::rate);
    shell.connection_rate = rate.map(|found| found.value);
    let failures = section.one("failed_logins", problems, value::count(0..=1_000_000));
    if let Some(found) = failures {
        let bound = u32::try_from(found.value).unwrap_or(u32::MAX);
        shell.failed_logins = Some(bound).filter(|bound| *bound > 0);
    }
    for (key, timeout) in [
        ("failed_logins_window", &mut shell.failed_logins_window),
        ("failed_login_delay", &mut session.failed_login_delay),
        ("ban_time", &mut shell.ban_time),
        ("greeting_timeout", &mut session.greeting_timeout),
        ("login_timeout", &mut session.login_timeout),
        ("command_timeout", &mut session.command_timeout),
        ("reply_timeout", &mut session.reply_timeout),
        ("tls_handshake_timeout", &mut session.tls_handshake_timeout),
        ("idle_timeout", &mut session.idle_timeout),
        ("data_connect_timeout", &mut session.data_connect_timeout),
        ("transfer_idle_timeout", &mut session.transfer_idle_timeout),
        ("drain_timeout", &mut shell.drain_timeout),
    ] {
        set(timeout, section.one(key, problems, value::duration));
    }
    set(
        &mut shell.keepalive,
        section.one("keepalive", problems, value::keepalive),
    );
    let bandwidth = section.one("session_bandwidth", problems, value::bandwidth);
    shell.session_bandwidth = bandwidth.map(|found| found.value);
    let line = section.one("reply_line_bytes", problems, value::size(512..=16 << 20));
    set(&mut session.reply_line_bytes, line.clone());
    let reply = section.one("reply_bytes", problems, value::size(512..=1 << 30));
    set(&mut session.reply_bytes, reply.clone());
    if session.reply_line_bytes > session.reply_bytes
        && let Some(written) = line.or(reply)
    {
        problems.error(
            "config/out-of-range",
            &written.span,
            "a line of a reply would be longer than the whole reply",
            "write `reply_bytes` at least as large as `reply_line_bytes`",
        );
    }
    let pipelined = section.one("pipelined_commands", problems, value::count(1..=10_000));
    set(&mut session.pipelined_commands, pipelined);
    let violations = section.one("violations", problems, value::count(1..=1_000_000));
    if let Some(number) = violations.and_then(|found| u32::try_from(found.value).ok()) {
        session.violations = number;
    }
}

/// Puts what was written in the place of the default.
fn set<T>(place: &mut T, found: Option<Located<T>>) {
    if let Some(found) = found {
        *place = found.value;
    }
}

/// The range of a number of sessions.
pub(super) const SESSIONS: RangeInclusive<u64> = 1..=1_000_000;

/// Warns of ports below 1024, which clients and servers refuse to dial.
pub(super) fn warn_of_low_ports(ports: &Located<RangeInclusive<u16>>, problems: &mut Problems) {
    if *ports.value.start() < 1024 {
        problems.warning(
            "config/low-port",
            &ports.span,
            "the range has ports below 1024",
            "peers refuse them for data connections (RFC 2577 §3): begin at 1024 or above",
        );
    }
}

/// The value, or its type's default.
pub(super) fn or_default<T: Default>(found: Option<Located<T>>) -> T {
    found.map(|found| found.value).unwrap_or_default()
}
