//! `[listeners.NAME]`.
//!
//! Owns its keys and defaults, and what is odd about one listener alone. Must not know the other
//! listeners: see [`super::compile`].

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use toml::de::DeValue;

use super::schema;
use super::section::{self, Named, Problems, Section};
use super::tables::{Mentions, SESSIONS, warn_of_low_ports};
use super::value;
use crate::policy::UserGlob;
use crate::policy::spec::Located;
use crate::settings::{Advertised, Listener};

/// `[listeners.NAME]`.
pub(super) fn listener(
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
    let passive_ports = section.one("passive_ports", problems, value::ports);
    if let Some(ports) = &passive_ports {
        warn_of_low_ports(ports, problems);
    }
    let sessions = section.one("sessions", problems, value::count(SESSIONS));
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
        sessions: sessions.as_ref().map(|found| found.value),
        bandwidth: section
            .one("bandwidth", problems, value::bandwidth)
            .map(|found| found.value),
        user_bandwidth: user_bandwidth(&section, problems),
        passive_ports: passive_ports.as_ref().map(|ports| ports.value.clone()),
        tls: super::tls::listener(&section, &named.name.value, &mut mentions.tls, problems),
        passive_address: passive_address(&section, problems),
        accept_proxy_from: accept_proxy_from(&section, problems),
    };
    let complete = !bind.is_empty() && upstream.is_some();
    mentions.binds.extend(bind);
    mentions.passive_ports.extend(passive_ports);
    mentions.sessions.extend(sessions);
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

/// `user_bandwidth`: by globs on users, in the order of the file.
fn user_bandwidth(section: &Section<'_>, problems: &mut Problems) -> Vec<(UserGlob, u64)> {
    let Some((_, table)) = section.table("user_bandwidth", problems) else {
        return Vec::new();
    };
    let mut entries = Vec::new();
    for (key, value) in table {
        let place = problems.span(key.span());
        let written: &str = key.get_ref();
        let glob = UserGlob::parse(written)
            .map_err(|fault| {
                let message = format!("`{written}` is not a glob on user names: {fault}");
                let help = "write names, with `*` for any characters";
                problems.error("config/bad-glob", &place, message, help);
            })
            .ok();
        let rate = section::located(value, problems, value::bandwidth);
        if let (Some(glob), Some(rate)) = (glob, rate) {
            entries.push(Located {
                value: (glob, rate.value),
                span: place,
            });
        }
    }
    entries.sort_by_key(|entry| entry.span.bytes.start);
    entries.into_iter().map(|entry| entry.value).collect()
}

/// `accept_proxy_from`: networks of balancers. A network of everybody is warned of: anybody could claim any
/// address.
fn accept_proxy_from(section: &Section<'_>, problems: &mut Problems) -> Vec<IpNet> {
    let networks = section.list("accept_proxy_from", problems, value::network_text);
    for network in networks.iter().filter(|net| net.value.prefix_len() == 0) {
        problems.warning(
            "config/everybody-is-believed",
            &network.span,
            "every client can say that it is another one",
            "write the networks of the balancers alone",
        );
    }
    networks.into_iter().map(|network| network.value).collect()
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
