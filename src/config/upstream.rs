//! `[upstreams.NAME]`.
//!
//! Owns its keys and defaults, and what is odd about one upstream alone. Must not know who is in
//! front of it: see [`super::compile`].

use std::ops::RangeInclusive;
use std::time::Duration;

use super::schema;
use super::section::{Named, Problems, Section};
use super::tables::{Mentions, or_default, warn_of_low_ports};
use super::value;
use crate::ftp::command::Name;
use crate::ftp::verb::Verb;
use crate::policy::judge::System;
use crate::policy::spec::Located;
use crate::policy::suggest;
use crate::session::DataMode;
use crate::settings::Upstream;

/// `[upstreams.NAME]`.
pub(super) fn upstream(
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
    let tls = super::tls::upstream(&section, &named.name.value, &host, mentions, problems);
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
        tls,
    };
    mentions.to_policies.extend(policy);
    let complete = address.is_some();
    mentions.servers.extend(address);
    complete.then_some(upstream)
}

/// The shortest line has room for EPRT with an IPv6 address; the longest is beyond any server.
const LINE_BYTES: RangeInclusive<u64> = 64..=65_536;

/// The range of `path_bytes`.
const PATH_BYTES: RangeInclusive<u64> = 16..=65_536;

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
            let near = suggest::nearest(word, Verb::ALL.iter().map(|verb| verb.name()));
            problems.warning(
                "config/unknown-verb",
                &name.span,
                format!("`{word}` is not a verb that the gateway knows"),
                near.map_or_else(String::new, |near| format!("did you mean `{near}`?")),
            );
        }
    }
}
