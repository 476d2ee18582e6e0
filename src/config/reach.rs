//! TLS that is asked for where no client or server can have it.
//!
//! Owns from which listeners a policy is reached, and what clients of these can have. Must not know
//! what a rule decides.

use std::collections::{BTreeMap, BTreeSet};

use super::compile::{name, references};
use super::section::Problems;
use super::tables::Document;
use crate::ftp::security::TlsVersion;
use crate::policy::spec::{PolicySpec, RuleSpec, Span};
use crate::session::ServerTls;
use crate::settings::Listener;
use crate::tls::options::ClientCertificates;

/// What the clients of a listener can have.
#[derive(Clone, Copy, Debug)]
struct Offer<'a> {
    /// Where the listener's name stands.
    place: &'a Span,
    /// Its newest version of TLS; None where it has no TLS.
    newest: Option<TlsVersion>,
    /// Whether it asks for certificates.
    certificates: bool,
}

/// Every rule that asks for TLS is reached from a listener that has it, and so is every server that
/// is met under TLS when its client is.
pub(super) fn check_tls(document: &Document, problems: &mut Problems) {
    let mentions = &document.mentions;
    // What a listener that cannot be taken is in front of is not known.
    if document.listeners.len() < mentions.listeners.len() {
        return;
    }
    let specs = document.policies.iter().map(|spec| (name(spec), spec));
    let specs: BTreeMap<&str, &PolicySpec> = specs.collect();
    let mut offers: BTreeMap<&str, Vec<Offer<'_>>> = BTreeMap::new();
    for located in &mentions.listeners {
        let Some(listener) = document.listeners.get(located.value.as_str()) else {
            continue;
        };
        let offer = offer(document, &located.value, &located.span);
        for policy in reached(document, listener, &specs) {
            offers.entry(policy).or_default().push(offer);
        }
    }
    for (policy, offers) in &offers {
        let rules = specs.get(policy).into_iter().flat_map(|spec| &spec.rules);
        for rule in rules {
            check_rule(rule, offers, problems);
        }
    }
    check_servers(document, problems);
}

/// What the clients of the listener `name`, which stands at `place`, can have. One whose table cannot
/// be taken may have been meant to have anything.
fn offer<'a>(document: &Document, name: &str, place: &'a Span) -> Offer<'a> {
    let mut tables = document.mentions.tls.listeners.iter();
    let Some(table) = tables.find(|table| table.owner == name) else {
        return Offer {
            place,
            newest: None,
            certificates: false,
        };
    };
    let options = table.options.as_ref();
    Offer {
        place,
        newest: options.map_or(Some(TlsVersion::V1_3), |options| {
            options.versions.iter().copied().max()
        }),
        certificates: options.is_none_or(|options| options.clients != ClientCertificates::Off),
    }
}

/// The policies of `specs` that sessions of `listener` may be judged by.
fn reached<'d>(
    document: &'d Document,
    listener: &'d Listener,
    specs: &BTreeMap<&'d str, &'d PolicySpec>,
) -> BTreeSet<&'d str> {
    let upstream = document.upstreams.get(&listener.upstream);
    let mut waiting: Vec<&str> = vec![&listener.policy];
    waiting.extend(listener.observe.as_deref());
    waiting.extend(upstream.map(|upstream| &*upstream.policy));
    let mut reached = BTreeSet::new();
    while let Some(policy) = waiting.pop() {
        if let Some(spec) = specs.get(policy)
            && reached.insert(policy)
        {
            waiting.extend(references(spec));
        }
    }
    reached
}

/// One of `offers` has what `rule` asks for.
fn check_rule(rule: &RuleSpec, offers: &[Offer<'_>], problems: &mut Problems) {
    let tls = rule.tls.as_ref().filter(|tls| tls.value);
    let version = rule.tls_version.as_ref();
    let certificate = rule.client_certificate.first();
    let asks = tls
        .map(|tls| &tls.span)
        .or_else(|| version.map(|version| &version.span))
        .or_else(|| certificate.map(|certificate| &certificate.span));
    let (Some(asks), Some(first)) = (asks, offers.first()) else {
        return;
    };
    let mut warn = |span, lacks: &str, help: &str, offer: &Offer<'_>, label: &str| {
        problems.warning(
            "policy/unreachable-rule",
            span,
            format!("this rule can never hold: no listener that it is for {lacks}"),
            help,
        );
        problems.also(offer.place, label);
    };
    let has_tls = offers.iter().find(|offer| offer.newest.is_some());
    let Some(with_tls) = has_tls else {
        let help = "write a table `tls` of that listener, or leave the condition out";
        return warn(asks, "has TLS", help, first, "it has no TLS");
    };
    let is_new = |offer: &&Offer<'_>| {
        version.is_none_or(|least| offer.newest.is_some_and(|newest| newest >= least.value))
    };
    let mut new = offers
        .iter()
        .filter(|offer| offer.newest.is_some())
        .filter(is_new);
    let Some(with_version) = new.clone().next() else {
        let (span, least) = version.map_or((asks, ""), |least| (&least.span, least.value.name()));
        let lacks = format!("has TLS {least}");
        let help = "write the version into `versions` of that listener, or ask for an older one";
        return warn(span, &lacks, help, with_tls, "it has older versions only");
    };
    if let Some(certificate) = certificate
        && !new.any(|offer| offer.certificates)
    {
        let help = "write `client_certificates` and `client_ca` into the table `tls` of that \
                    listener, or leave the condition out";
        let lacks = "asks clients for certificates";
        warn(
            &certificate.span,
            lacks,
            help,
            with_version,
            "it asks for none",
        );
    }
}

/// No server waits for clients under TLS to be met so itself where none can be.
fn check_servers(document: &Document, problems: &mut Problems) {
    for table in &document.mentions.tls.upstreams {
        let upstream = document.upstreams.get(table.owner.as_str());
        let matches = upstream
            .and_then(|upstream| upstream.tls.as_ref())
            .is_some_and(|tls| tls.mode == ServerTls::Match);
        let in_front = |listener: &&Listener| *listener.upstream == *table.owner;
        let mut listeners = document.listeners.values().map(AsRef::as_ref);
        let mut in_front = listeners.by_ref().filter(in_front).peekable();
        if !matches || in_front.peek().is_none() {
            continue;
        }
        let has_tls = |listener: &Listener| {
            let mut tables = document.mentions.tls.listeners.iter();
            tables.any(|table| table.owner == *listener.name)
        };
        if !in_front.any(has_tls) {
            problems.warning(
                "config/no-effect",
                &table.span,
                "the server is never met under TLS: `mode` is `\"match\"`, and no listener in front \
                 of it has TLS",
                "write `mode = \"explicit\"` or `\"implicit\"`, or a table `tls` of a listener",
            );
        }
    }
}
