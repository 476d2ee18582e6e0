//! What the file says as a whole: references, conflicts, and the result.
//!
//! Owns the checks that need more than one table, and the merge with the built-in policies.
//! Must not know the form of any value.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use super::diagnostic::{self, Diagnostic, Severity, Sources, Span};
use super::section::Problems;
use super::tables::{Document, Mentions};
use super::{ConfigError, Loaded};
use super::{builtin, reach};
use crate::policy;
use crate::policy::spec::{Consequence, Located, PolicySpec};
use crate::policy::suggest;
use crate::settings::{Log, LogFormat, LogLevel, Settings};

/// `[log]` where it is absent.
const LOG: Log = Log {
    level: LogLevel::Info,
    format: LogFormat::Text,
};

/// Checks `document` as a whole and compiles it.
///
/// # Errors
/// Every problem, if one of them is an error.
pub(super) fn compile(
    document: Document,
    mut problems: Problems,
    sources: Sources,
) -> Result<Loaded, ConfigError> {
    let built_in = builtin::policies();
    check_listeners(&document, &mut problems);
    check_binds(&document.mentions, &mut problems);
    check_passive_ports(&document.mentions, &mut problems);
    check_upstreams(&document.mentions, &mut problems);
    check_loops(&document.mentions, &mut problems);
    check_policies(&document, &built_in, &mut problems);
    reach::check_tls(&document, &mut problems);
    let taken = |spec: &PolicySpec| built_in.iter().any(|other| name(other) == name(spec));
    let own = document
        .policies
        .iter()
        .filter(|spec| !taken(spec))
        .cloned();
    let specs: Vec<PolicySpec> = own.chain(built_in.iter().cloned()).collect();
    let (policies, found) = policy::compile(&specs);
    let mut diagnostics: Vec<Diagnostic> = problems.list;
    diagnostics.extend(found);
    diagnostic::sort(&mut diagnostics);
    let refused = diagnostics
        .iter()
        .any(|one| one.severity == Severity::Error);
    match policies {
        Some(policies) if !refused => Ok(Loaded {
            settings: Settings {
                listeners: document.listeners,
                upstreams: document.upstreams,
                admin: document.admin,
                log: document.log.unwrap_or(LOG),
                audit: document.audit,
                process: document.process,
                limits: document.limits,
                session_limits: Arc::new(document.session_limits),
            },
            policies: Arc::new(policies),
            warnings: diagnostics,
            sources: Arc::new(sources),
            tls: document.mentions.tls,
        }),
        _ => Err(ConfigError::Refused {
            diagnostics,
            sources: Arc::new(sources),
            tls: document.mentions.tls,
        }),
    }
}

/// The name of a policy.
pub(super) fn name(spec: &PolicySpec) -> &str {
    spec.name.as_ref().map_or("", |name| name.value.as_str())
}

/// There is something to listen on, and no listener is promised more sessions than there are.
fn check_listeners(document: &Document, problems: &mut Problems) {
    if document.mentions.listeners.is_empty() {
        problems.error(
            "config/no-listener",
            &problems.span(0..0),
            "there is nothing to listen on",
            "write `[listeners.main]` with `bind` and `upstream`",
        );
    }
    let all = document.limits.sessions;
    for sessions in &document.mentions.sessions {
        if sessions.value > all {
            problems.warning(
                "config/never-reached",
                &sessions.span,
                format!("there are never more than {all} sessions in all"),
                "write a smaller number, or raise `limits.sessions`",
            );
        }
    }
}

/// No address is listened on twice.
fn check_binds(mentions: &Mentions, problems: &mut Problems) {
    for (index, bind) in mentions.binds.iter().enumerate() {
        let earlier = mentions.binds.iter().take(index);
        let Some(first) = earlier
            .into_iter()
            .find(|first| collide(first.value, bind.value))
        else {
            continue;
        };
        problems.error(
            "config/duplicate-bind",
            &bind.span,
            format!("{} is already listened on", bind.value),
            "write another address or port",
        );
        problems.also(&first.span, "first bound here");
    }
}

/// No port of data connections is listened on all the time.
fn check_passive_ports(mentions: &Mentions, problems: &mut Problems) {
    for ports in &mentions.passive_ports {
        let mut binds = mentions.binds.iter();
        let Some(taken) = binds.find(|bind| ports.value.contains(&bind.value.port())) else {
            continue;
        };
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
}

/// Whether the kernel refuses to listen on both: the same port, and the same address or one
/// that takes in the other. The families are apart.
fn collide(one: SocketAddr, other: SocketAddr) -> bool {
    one.port() == other.port()
        && one.port() != 0
        && one.is_ipv4() == other.is_ipv4()
        && (one.ip() == other.ip() || one.ip().is_unspecified() || other.ip().is_unspecified())
}

/// Every upstream that is named is there, and every one that is there is named.
fn check_upstreams(mentions: &Mentions, problems: &mut Problems) {
    let known: BTreeSet<&str> = names(&mentions.upstreams).collect();
    let used: BTreeSet<&str> = names(&mentions.to_upstreams).collect();
    for named in &mentions.to_upstreams {
        if !known.contains(named.value.as_str()) {
            let help = match suggest::nearest(&named.value, known.iter().copied()) {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("write a table `[upstreams.{}]`", named.value),
            };
            problems.error(
                "config/unknown-upstream",
                &named.span,
                format!("there is no upstream `{}`", named.value),
                help,
            );
        }
    }
    // A name that is mistyped leaves another one unused: one slip is told once.
    if !used.is_subset(&known) {
        return;
    }
    for upstream in &mentions.upstreams {
        if !used.contains(upstream.value.as_str()) {
            problems.warning(
                "config/unused-upstream",
                &upstream.span,
                format!("no listener is in front of `{}`", upstream.value),
                "name it as the `upstream` of a listener, or drop it",
            );
        }
    }
}

/// The names alone.
fn names(located: &[Located<String>]) -> impl Iterator<Item = &str> {
    located.iter().map(|name| name.value.as_str())
}

/// The addresses that are dialled for `host`, where nobody has to be asked: those of a name that is
/// this machine's own (RFC 6761 §6.3), and of an unspecified address, which the kernel takes for it.
fn dialled(host: &str) -> Vec<IpAddr> {
    let own: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    if let Ok(ip) = host.parse::<IpAddr>() {
        let ip = ip.to_canonical();
        let is_own = |own: &IpAddr| own.is_ipv4() == ip.is_ipv4();
        return if ip.is_unspecified() {
            own.into_iter().filter(is_own).collect()
        } else {
            vec![ip]
        };
    }
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    if name == "localhost" || name.ends_with(".localhost") {
        own.to_vec()
    } else {
        Vec::new()
    }
}

/// No upstream is the gateway itself, as far as that can be told from the file: see the dial for the
/// rest.
fn check_loops(mentions: &Mentions, problems: &mut Problems) {
    for server in &mentions.servers {
        let (host, port) = &server.value;
        let addresses = dialled(host);
        let reaches = |bind: &&Located<SocketAddr>| {
            let ip = bind.value.ip();
            let is_there = |host: &IpAddr| {
                ip.is_ipv4() == host.is_ipv4()
                    && (ip == *host || ip.is_unspecified() && host.is_loopback())
            };
            bind.value.port() == *port && addresses.iter().any(is_there)
        };
        if let Some(bind) = mentions.binds.iter().find(reaches) {
            problems.error(
                "config/upstream-is-gateway",
                &server.span,
                "the gateway would dial itself",
                "write the address of the server that is to be protected",
            );
            problems.also(&bind.span, "listened on here");
        }
    }
}

/// Every policy that is named is there, every one that is written is used, and none takes the
/// name of a built-in one.
fn check_policies(document: &Document, built_in: &[PolicySpec], problems: &mut Problems) {
    let named = &document.mentions.to_policies;
    let known: BTreeSet<&str> = document.policies.iter().chain(built_in).map(name).collect();
    for named in named {
        if !known.contains(named.value.as_str()) {
            problems.error(
                "config/unknown-policy",
                &named.span,
                format!("there is no policy `{}`", named.value),
                suggest::help(&named.value, known.iter().copied()),
            );
        }
    }
    let used = used_policies(document);
    for spec in &document.policies {
        let place = spec
            .name
            .as_ref()
            .map_or_else(Span::default, |name| name.span.clone());
        if built_in.iter().any(|other| name(other) == name(spec)) {
            problems.error(
                "config/built-in-policy",
                &place,
                format!("`{}` is the name of a built-in policy", name(spec)),
                format!(
                    "give it another name, and perhaps `extends = \"{}\"`",
                    name(spec)
                ),
            );
        } else if used.is_subset(&known) && !used.contains(name(spec)) {
            problems.warning(
                "config/unused-policy",
                &place,
                format!("nothing names the policy `{}`", name(spec)),
                "name it in a listener, an upstream or a rule, or drop it",
            );
        }
    }
}

/// The policies that listeners and upstreams name, and those that these name in turn.
fn used_policies(document: &Document) -> BTreeSet<&str> {
    let mut used: BTreeSet<&str> = names(&document.mentions.to_policies).collect();
    // Each round reaches at least one more policy, or all are reached.
    for _ in &document.policies {
        let reached = document
            .policies
            .iter()
            .filter(|spec| used.contains(name(spec)));
        used.extend(reached.flat_map(references).collect::<Vec<_>>());
    }
    used
}

/// The policies that `spec` names.
pub(super) fn references(spec: &PolicySpec) -> Vec<&str> {
    let handed = spec
        .rules
        .iter()
        .filter_map(|rule| match &rule.consequence {
            Consequence::Policy(policy) => Some(policy.value.as_str()),
            Consequence::Allow
            | Consequence::Answer
            | Consequence::Deny
            | Consequence::Disconnect => None,
        });
    spec.extends
        .iter()
        .map(|extends| extends.value.as_str())
        .chain(handed)
        .collect()
}
