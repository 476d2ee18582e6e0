//! The tables of the configuration, read into settings.
//!
//! Owns which value each key takes and its default. Must not know how tables refer to each
//! other: names are handed on with their places, as [`Mentions`].

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use toml::de::{DeTable, DeValue};

use super::schema;
use super::section::{self, Named, Problems, Section};
use super::value::{self, Misfit};
use crate::ftp::command::Name;
use crate::ftp::verb::Verb;
use crate::policy::judge::System;
use crate::policy::spec::{Located, PolicySpec, Span};
use crate::session::{DataMode, Limits};
use crate::settings::{
    Admin, Advertised, Audit, Listener, Log, LogFormat, LogLevel, ShellLimits, Upstream, WhenFull,
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
    /// Addresses of upstreams.
    pub(super) servers: Vec<Located<(Arc<str>, u16)>>,
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
        document
            .policies
            .push(super::rules::policy(&named, problems));
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
    if let Some((place, table)) = root.table("limits", problems) {
        limits(table, place, &mut document, problems);
    }
    document.mentions = mentions;
    document
}

/// `[listeners.NAME]`.
fn listener(
    named: &Named<'_>,
    mentions: &mut Mentions,
    problems: &mut Problems,
) -> Option<Listener> {
    let place = named.name.span.clone();
    let section = Section::open(named.table, &schema::LISTENER, place, problems);
    let bind = section.list("bind", problems, value::socket_address);
    if section.value("bind").is_none_or(is_empty_list) {
        section.lacks("bind", "\"0.0.0.0:21\"", problems);
    }
    for address in bind.iter().filter(|address| address.value.port() == 0) {
        problems.warning(
            "config/any-port",
            &address.span,
            "port 0 is any free port, another one after each start",
            "write the port that clients dial",
        );
    }
    let upstream = section.required("upstream", "\"NAME\"", problems, value::any_text);
    let policy = section.one("policy", problems, value::any_text);
    let observe = section.one("observe", problems, value::any_text);
    if let (Some(policy), Some(observe)) = (&policy, &observe)
        && policy.value == observe.value
    {
        problems.warning(
            "config/observes-itself",
            &observe.span,
            format!("`{}` is observed beside itself", observe.value),
            "name the policy that is to come, or drop the key",
        );
        problems.also(&policy.span, "the policy that decides");
    }
    let listener = Listener {
        name: named.name.value.as_str().into(),
        bind: bind.iter().map(|address| address.value).collect(),
        upstream: upstream
            .as_ref()
            .map_or("", |name| name.value.as_str())
            .into(),
        policy: policy
            .as_ref()
            .map_or("standard", |name| name.value.as_str())
            .into(),
        observe: observe.as_ref().map(|name| name.value.as_str().into()),
        greeting: section
            .one("greeting", problems, value::greeting)
            .map(|found| found.value),
        sessions: section
            .one("sessions", problems, value::count(SESSIONS))
            .map(|found| found.value),
        passive_ports: passive_ports(&section, &bind, problems),
        passive_address: passive_address(&section, problems),
    };
    let complete = !bind.is_empty() && upstream.is_some();
    mentions.binds.extend(bind);
    mentions.to_upstreams.extend(upstream);
    mentions
        .to_policies
        .extend(policy.into_iter().chain(observe));
    complete.then_some(listener)
}

/// Whether `value` is a list of nothing.
fn is_empty_list(value: &toml::Spanned<DeValue<'_>>) -> bool {
    value
        .get_ref()
        .as_array()
        .is_some_and(|list| list.is_empty())
}

/// The range of a number of sessions.
const SESSIONS: std::ops::RangeInclusive<u64> = 1..=1_000_000;

/// `passive_ports`, which are to be above the well-known ports and apart from those listened on.
fn passive_ports(
    section: &Section<'_>,
    bind: &[Located<SocketAddr>],
    problems: &mut Problems,
) -> Option<std::ops::RangeInclusive<u16>> {
    let ports = section.one("passive_ports", problems, value::ports)?;
    warn_of_low_ports(&ports, problems);
    if let Some(taken) = bind
        .iter()
        .find(|address| ports.value.contains(&address.value.port()))
    {
        problems.warning(
            "config/port-taken",
            &ports.span,
            format!(
                "the range holds port {}, which is listened on",
                taken.value.port()
            ),
            "write a range that leaves it out",
        );
        problems.also(&taken.span, "listened on here");
    }
    Some(ports.value)
}

/// Warns of ports below 1024, which clients and servers refuse to dial.
fn warn_of_low_ports(ports: &Located<std::ops::RangeInclusive<u16>>, problems: &mut Problems) {
    if *ports.value.start() < 1024 {
        problems.warning(
            "config/low-port",
            &ports.span,
            "the range has ports below 1024",
            "peers refuse them for data connections (RFC 2577 §3): begin at 1024 or above",
        );
    }
}

/// `passive_address`: one for all, or by the client's network, longest prefix first. What no
/// entry holds gets the local address.
fn passive_address(section: &Section<'_>, problems: &mut Problems) -> Vec<(IpNet, Advertised)> {
    let everywhere: [IpNet; 2] = [Ipv4Net::default().into(), Ipv6Net::default().into()];
    let all = |what: &Advertised| everywhere.iter().map(|net| (*net, what.clone())).collect();
    let Some(value) = section.value("passive_address") else {
        return all(&Advertised::Local);
    };
    let Some(table) = value.get_ref().as_table() else {
        let one = section::located(value, problems, value::advertised);
        return all(&one.map_or(Advertised::Local, |one| one.value));
    };
    let mut entries = Vec::new();
    for (key, value) in table {
        let place = problems.span(key.span());
        let written: &str = key.get_ref();
        let net = value::network(written)
            .map_err(|misfit| problems.misfit(&place, misfit))
            .ok();
        let what = section::located(value, problems, value::advertised);
        if let (Some(net), Some(what)) = (net, what) {
            entries.push(Located {
                value: (net, what.value),
                span: place,
            });
        }
    }
    entries.sort_by_key(|entry| entry.span.bytes.start);
    let mut networks: Vec<(IpNet, Advertised)> = Vec::new();
    for entry in entries {
        if networks.iter().any(|(net, _)| *net == entry.value.0) {
            problems.error(
                "config/duplicate-network",
                &entry.span,
                format!("{} is written twice", entry.value.0),
                "keep one of the two",
            );
        }
        networks.push(entry.value);
    }
    for net in everywhere {
        if !networks.iter().any(|(other, _)| *other == net) {
            networks.push((net, Advertised::Local));
        }
    }
    networks.sort_by_key(|(net, _)| std::cmp::Reverse(net.prefix_len()));
    networks
}

/// `[upstreams.NAME]`.
fn upstream(
    named: &Named<'_>,
    mentions: &mut Mentions,
    problems: &mut Problems,
) -> Option<Upstream> {
    let place = named.name.span.clone();
    let section = Section::open(named.table, &schema::UPSTREAM, place, problems);
    let address = section.required(
        "address",
        "\"10.0.0.5:21\"",
        problems,
        value::server_address,
    );
    let policy = section.one("policy", problems, value::any_text);
    let unsupported = section.list("unsupported", problems, value::unsupported);
    for name in &unsupported {
        check_unsupported(name, problems);
    }
    let active_ports = section.one("active_ports", problems, value::ports);
    if let Some(ports) = &active_ports {
        warn_of_low_ports(ports, problems);
    }
    let (host, port) = address
        .as_ref()
        .map(|found| found.value.clone())
        .unwrap_or_default();
    let upstream = Upstream {
        name: named.name.value.as_str().into(),
        host,
        port,
        policy: policy
            .as_ref()
            .map_or("permissive", |name| name.value.as_str())
            .into(),
        unsupported: unsupported.into_iter().map(|name| name.value).collect(),
        source_address: section
            .one("source_address", problems, value::ip)
            .map(|ip| ip.value),
        data_addresses: section
            .list("data_addresses", problems, value::ip)
            .into_iter()
            .map(|ip| ip.value)
            .collect(),
        active_ports: active_ports.map(|ports| ports.value),
        data_mode: or_default(section.one("data_mode", problems, value::word(&DATA_MODES))),
        system: or_default(section.one("system", problems, value::word(&SYSTEMS))),
        symlinks: section
            .one("symlinks", problems, value::boolean)
            .is_none_or(|yes| yes.value),
        line_bytes: section
            .one("line_bytes", problems, value::size(LINE_BYTES))
            .map_or(510, |bytes| bytes.value),
        path_bytes: section
            .one("path_bytes", problems, value::size(PATH_BYTES))
            .map_or(4096, |bytes| bytes.value),
        connect_timeout: section
            .one("connect_timeout", problems, value::duration)
            .map_or(Duration::from_secs(5), |timeout| timeout.value),
    };
    mentions.to_policies.extend(policy);
    let complete = address.is_some();
    mentions.servers.extend(address);
    complete.then_some(upstream)
}

/// The shortest line has room for EPRT with an IPv6 address; the longest is beyond any server.
const LINE_BYTES: std::ops::RangeInclusive<u64> = 64..=65_536;

/// The range of `path_bytes`.
const PATH_BYTES: std::ops::RangeInclusive<u64> = 16..=65_536;

/// The words of `data_mode`.
const DATA_MODES: [(&str, DataMode); 4] = [
    ("match", DataMode::Match),
    ("passive", DataMode::Passive),
    ("extended-passive", DataMode::ExtendedPassive),
    ("active", DataMode::Active),
];

/// The words of `system`.
const SYSTEMS: [(&str, System); 3] = [
    ("unix", System::Unix),
    ("windows", System::Windows),
    ("mvs", System::Mvs),
];

/// The value, or its type's default.
fn or_default<T: Default>(found: Option<Located<T>>) -> T {
    found.map(|found| found.value).unwrap_or_default()
}

/// Warns of a verb that the table does not have, and refuses one that no session does without.
fn check_unsupported(name: &Located<Name>, problems: &mut Problems) {
    match &name.value {
        Name::Known(verb @ (Verb::Quit | Verb::Noop | Verb::Nop)) => problems.error(
            "config/bad-verb",
            &name.span,
            format!("{} is always permitted", verb.name()),
            "drop it: every server knows it",
        ),
        Name::Known(_) => {}
        Name::Other(word) => {
            let near = super::suggest::nearest(word, Verb::ALL.iter().map(|verb| verb.name()));
            problems.warning(
                "config/unknown-verb",
                &name.span,
                format!("`{word}` is not a verb that the gateway knows"),
                near.map_or_else(String::new, |near| format!("did you mean `{near}`?")),
            );
        }
    }
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

/// `[limits]`, shared between the shell and the sessions.
fn limits(table: &DeTable<'_>, place: Span, document: &mut Document, problems: &mut Problems) {
    let section = Section::open(table, &schema::LIMITS, place, problems);
    let shell = &mut document.limits;
    let session = &mut document.session_limits;
    let sessions = section.one("sessions", problems, value::count(SESSIONS));
    set(&mut shell.sessions, sessions);
    let per_client = section.one("sessions_per_client", problems, value::count(SESSIONS));
    set(&mut shell.sessions_per_client, per_client);
    for (key, timeout) in [
        ("greeting_timeout", &mut session.greeting_timeout),
        ("login_timeout", &mut session.login_timeout),
        ("command_timeout", &mut session.command_timeout),
        ("reply_timeout", &mut session.reply_timeout),
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
