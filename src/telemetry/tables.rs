//! The handles of one configuration, found by the names that it has.
//!
//! Owns what a reload takes over from the configuration before it, and what it retires. Must not
//! count anything itself.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::metrics::{ListenerTable, Metrics, Mode, PolicyTable, UpstreamTable};
use crate::policy::{RuleInfo, SetId};
use crate::settings::{self, Settings};
use crate::tls::options::SessionReuse;

/// The handles of the configuration in force.
#[derive(Debug)]
pub(super) struct Tables {
    /// By name.
    pub(super) listeners: HashMap<Arc<str>, Arc<ListenerTable>>,
    /// By name.
    pub(super) upstreams: HashMap<Arc<str>, Arc<UpstreamTable>>,
    /// Listener and upstream, in the order of the listeners' names.
    pub(super) routes: Vec<(Arc<str>, Arc<str>)>,
    /// Listener and file of each certificate that is shown to clients.
    certificates: BTreeSet<(Arc<str>, String)>,
    /// Which policies are in force.
    pub(super) in_force: InForce,
    /// The rules of the policies that came with it.
    pub(super) policies: Arc<PolicyTable>,
}

/// Which policies a configuration names.
#[derive(Clone, Debug, Default)]
pub(super) struct InForce {
    /// Those that decide.
    enforced: Vec<Arc<str>>,
    /// Those that are only observed.
    observed: Vec<Arc<str>>,
}

impl InForce {
    /// What `settings` names.
    fn of(settings: &Settings) -> Self {
        let listeners = settings.listeners.values();
        Self {
            enforced: listeners
                .clone()
                .map(|listener| &listener.policy)
                .chain(settings.upstreams.values().map(|upstream| &upstream.policy))
                .cloned()
                .collect(),
            observed: listeners
                .filter_map(|listener| listener.observe.clone())
                .collect(),
        }
    }

    /// Whether a policy is in force in this way.
    pub(super) fn has(&self, policy: &str, mode: Mode) -> bool {
        let names = match mode {
            Mode::Enforced => &self.enforced,
            Mode::Observed => &self.observed,
        };
        names.iter().any(|name| **name == *policy)
    }
}

impl Tables {
    /// The handles of a configuration whose rules are those of `set`; what `before` has is taken
    /// over.
    pub(super) fn new(
        metrics: &Metrics,
        settings: &Settings,
        set: Option<SetId>,
        rules: &[RuleInfo],
        before: Option<&Self>,
    ) -> Self {
        let registrar = &metrics.registrar;
        let listeners: HashMap<Arc<str>, Arc<ListenerTable>> = settings
            .listeners
            .iter()
            .map(|(name, listener)| {
                let codes = codes(listener, settings, rules);
                let kept = before.and_then(|tables| tables.listeners.get(name));
                let table = kept.map_or_else(
                    || Arc::new(ListenerTable::new(registrar, name, &codes)),
                    |table| {
                        table.expect_codes(&codes);
                        Arc::clone(table)
                    },
                );
                (Arc::clone(name), table)
            })
            .collect();
        let upstreams: HashMap<Arc<str>, Arc<UpstreamTable>> = settings
            .upstreams
            .iter()
            .map(|(name, upstream)| {
                let address = upstream.address().into();
                let kept = before
                    .and_then(|tables| tables.upstreams.get(name))
                    .filter(|table| table.address == address);
                let table = kept.map_or_else(
                    || Arc::new(UpstreamTable::new(registrar, name, &address)),
                    Arc::clone,
                );
                (Arc::clone(name), table)
            })
            .collect();
        for (name, table) in before.iter().flat_map(|tables| &tables.upstreams) {
            if upstreams
                .get(name)
                .is_none_or(|kept| kept.address != table.address)
            {
                table.retire();
            }
        }
        for (name, listener) in &settings.listeners {
            let tls = listener.tls.as_ref();
            let may_resume = tls.is_some_and(|tls| tls.options.session_reuse != SessionReuse::Off);
            if let Some(table) = listeners.get(name) {
                table.let_resume(may_resume);
            }
        }
        let certificates = certificates(settings);
        for former in before.iter().flat_map(|tables| &tables.certificates) {
            if !certificates.contains(former) {
                let (listener, certificate) = former;
                metrics.retire_certificate(listener, certificate);
            }
        }
        let in_force = InForce::of(settings);
        let policies = Arc::new(PolicyTable::new(registrar, set, rules, |policy, mode| {
            in_force.has(policy, mode)
        }));
        Self {
            listeners,
            upstreams,
            routes: settings
                .listeners
                .values()
                .map(|listener| (Arc::clone(&listener.name), Arc::clone(&listener.upstream)))
                .collect(),
            certificates,
            in_force,
            policies,
        }
    }

    /// A listener's handles; one that the configuration does not have gets its own.
    pub(super) fn listener(&self, metrics: &Metrics, name: &str) -> Arc<ListenerTable> {
        self.listeners.get(name).map_or_else(
            || Arc::new(ListenerTable::new(&metrics.registrar, &name.into(), &[])),
            Arc::clone,
        )
    }

    /// An upstream's handles; one that the configuration does not have gets its own.
    pub(super) fn upstream(&self, metrics: &Metrics, name: &str) -> Arc<UpstreamTable> {
        let unknown = || UpstreamTable::new(&metrics.registrar, &name.into(), &"unknown".into());
        self.upstreams
            .get(name)
            .map_or_else(|| Arc::new(unknown()), Arc::clone)
    }

    /// The upstream that a listener is in front of.
    pub(super) fn route(&self, listener: &str) -> Option<&str> {
        self.routes
            .iter()
            .find(|(name, _)| **name == *listener)
            .map(|(_, upstream)| &**upstream)
    }
}

/// Listener and file of each certificate that `settings` shows to clients.
fn certificates(settings: &Settings) -> BTreeSet<(Arc<str>, String)> {
    let of = |(name, listener): (&Arc<str>, &Arc<settings::Listener>)| {
        let name = Arc::clone(name);
        let tls = listener.tls.iter();
        let identities: Vec<_> = tls.flat_map(|tls| &tls.options.identities).collect();
        identities
            .into_iter()
            .map(|identity| identity.certificate.to_string_lossy().into_owned())
            .map(|certificate| (Arc::clone(&name), certificate))
            .collect::<Vec<_>>()
    };
    settings.listeners.iter().flat_map(of).collect()
}

/// The codes that the configuration names for a listener: its greeting's, and those of the rules
/// whose replies its clients may get.
fn codes(listener: &settings::Listener, settings: &Settings, rules: &[RuleInfo]) -> Vec<u16> {
    let upstream = settings.upstreams.get(&listener.upstream);
    let policies = [
        Some(&*listener.policy),
        upstream.map(|upstream| &*upstream.policy),
    ];
    let of_rules = rules
        .iter()
        .filter(|rule| policies.contains(&Some(&*rule.policy)))
        .filter_map(|rule| rule.code);
    let of_greeting = listener
        .greeting
        .as_ref()
        .and_then(|greeting| std::str::from_utf8(greeting.get(..3)?).ok()?.parse().ok());
    of_greeting.into_iter().chain(of_rules).collect()
}
