//! A configuration in force: for each listener its route to an upstream, ready to be used.
//!
//! A plan is built whole or not at all and never changes; a reload builds the next one. What
//! outlives it (ports in use) is handed on.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use super::StartError;
use super::bandwidth::Bandwidth;
use super::ports::Ports;
use crate::policy::{Dialect, Judge, Policy, PolicySet};
use crate::session::{ClientTls, Profile, ServerTls};
use crate::settings::{Listener, Settings, Upstream};
use crate::telemetry::Telemetry;
use crate::tls::client::Connector;
use crate::tls::server::Acceptor;

/// What one socket listens for. Sockets with a fixed port are the same whatever listener they
/// belong to; port 0 is a new one each time.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum DoorKey {
    /// Any port: the listener's name and which of its addresses it is.
    Any(Arc<str>, usize),
    /// This address.
    Fixed(SocketAddr),
}

/// The policies that judge a session, by name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Bench {
    /// The listener's.
    listener: Arc<str>,
    /// The listener's observed one.
    observed: Option<Arc<str>>,
    /// The upstream's.
    upstream: Arc<str>,
}

impl Bench {
    /// As a listener and an upstream name them.
    fn of(listener: &Listener, upstream: &Upstream) -> Self {
        Self {
            listener: Arc::clone(&listener.policy),
            observed: listener.observe.clone(),
            upstream: Arc::clone(&upstream.policy),
        }
    }

    /// The judge that these policies make.
    ///
    /// # Errors
    /// The name of the policy that is missing.
    fn judge(&self, policies: &PolicySet, upstream: &Upstream) -> Result<Arc<Judge>, Arc<str>> {
        let find = |name: &Arc<str>| -> Result<Arc<Policy>, Arc<str>> {
            policies
                .get(name)
                .map(Arc::clone)
                .ok_or_else(|| Arc::clone(name))
        };
        let dialect = Dialect {
            system: upstream.system,
            symlinks: upstream.symlinks,
            path_bytes: upstream.path_bytes,
        };
        Ok(Arc::new(Judge::new(
            find(&self.listener)?,
            find(&self.upstream)?,
            self.observed.as_ref().map(find).transpose()?,
            dialect,
            upstream.unsupported.clone(),
        )))
    }
}

/// The judge of new sessions at `listener`, which is in front of `upstream`.
///
/// # Errors
/// The name of a policy that is missing.
pub fn judge(
    policies: &PolicySet,
    listener: &Listener,
    upstream: &Upstream,
) -> Result<Arc<Judge>, Arc<str>> {
    Bench::of(listener, upstream).judge(policies, upstream)
}

/// What new sessions at `listener`, which is in front of `upstream`, are told.
pub fn profile(settings: &Settings, listener: &Listener, upstream: &Upstream) -> Profile {
    Profile {
        greeting: listener.greeting.clone(),
        limits: Arc::clone(&settings.session_limits),
        data_mode: upstream.data_mode,
        client_tls: listener
            .tls
            .as_ref()
            .map_or_else(ClientTls::default, |tls| tls.offer),
        server_tls: upstream.tls.as_ref().map_or(ServerTls::Off, |tls| tls.mode),
        line_bytes: upstream.line_bytes,
        data_addresses: upstream.data_addresses.clone(),
        secret_words: secret_words(settings),
        names_paths: settings.audit.is_some(),
    }
}

/// The SITE subcommands whose argument the operator called a secret.
pub(super) fn secret_words(settings: &Settings) -> Arc<[Arc<str>]> {
    let audit = settings.audit.as_ref();
    audit.map_or_else(Arc::default, |audit| Arc::clone(&audit.secret))
}

/// From a listener to its upstream: what a new session is born with.
#[derive(Debug)]
pub(super) struct Route {
    /// The listener.
    pub(super) listener: Arc<Listener>,
    /// The upstream.
    pub(super) upstream: Arc<Upstream>,
    /// What the session is told of both.
    pub(super) profile: Arc<Profile>,
    /// Who judges.
    pub(super) judge: Arc<Judge>,
    /// By which policies.
    pub(super) bench: Bench,
    /// Its TLS towards clients.
    pub(super) acceptor: Option<Arc<Acceptor>>,
    /// Its TLS towards the server.
    pub(super) connector: Option<Arc<Connector>>,
    /// What its transfers may move.
    pub(super) bandwidth: Arc<Bandwidth>,
    /// The ports of data connections from the client.
    pub(super) passive: Arc<Ports>,
    /// The ports of data connections from the server.
    pub(super) active: Arc<Ports>,
}

/// A configuration in force.
#[derive(Debug)]
pub(super) struct Plan {
    /// What it was built of.
    pub(super) settings: Arc<Settings>,
    /// Its policies.
    pub(super) policies: Arc<PolicySet>,
    /// By the listener's name.
    routes: BTreeMap<Arc<str>, Arc<Route>>,
    /// The ports of data connections from clients by the listener's name, also of one that is gone
    /// while a session of its may still use them.
    passive: BTreeMap<Arc<str>, Weak<Ports>>,
    /// Which listener a socket serves.
    pub(super) doors: BTreeMap<DoorKey, Arc<str>>,
}

impl Plan {
    /// Builds a plan; ports and caps of `former` that are the same are handed on.
    ///
    /// # Errors
    /// A listener names an upstream, or one of them a policy, that is not there; two listeners
    /// have the same address; [`StartError::Tls`].
    pub(super) fn new(
        settings: Arc<Settings>,
        policies: Arc<PolicySet>,
        former: Option<&Self>,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Self, StartError> {
        let mut plan = Self {
            routes: BTreeMap::new(),
            passive: former.map_or_else(BTreeMap::new, |former| former.passive.clone()),
            doors: BTreeMap::new(),
            settings,
            policies,
        };
        plan.passive.retain(|_, ports| ports.strong_count() > 0);
        let settings = Arc::clone(&plan.settings);
        for (name, listener) in &settings.listeners {
            let route = plan.route(listener, former, telemetry)?;
            let passive = Arc::downgrade(&route.passive);
            plan.passive.insert(Arc::clone(name), passive);
            plan.routes.insert(Arc::clone(name), Arc::new(route));
            for (index, address) in listener.bind.iter().enumerate() {
                let key = match address.port() {
                    0 => DoorKey::Any(Arc::clone(name), index),
                    _ => DoorKey::Fixed(*address),
                };
                if plan.doors.insert(key, Arc::clone(name)).is_some() {
                    return Err(StartError::Bind {
                        listener: Arc::clone(name),
                        address: *address,
                        source: io::ErrorKind::AddrInUse.into(),
                    });
                }
            }
        }
        Ok(plan)
    }

    /// The plan is in force, instead of `former` if there was one: says how many ports there are, and
    /// when certificates expire.
    pub(super) fn announce(&self, former: Option<&Self>, telemetry: &Telemetry) {
        for (name, route) in &self.routes {
            let before = former.and_then(|plan| plan.passive.get(name)?.upgrade());
            if let Some(before) = before
                && !Arc::ptr_eq(&before, &route.passive)
            {
                before.retire();
            }
            route.passive.announce();
            let certificates = route
                .acceptor
                .iter()
                .flat_map(|acceptor| acceptor.certificates());
            for certificate in certificates {
                let path = certificate.path.to_string_lossy();
                telemetry.certificate_expiry(
                    &route.listener.name,
                    &path,
                    certificate.not_after_unix,
                );
            }
        }
    }

    /// Builds the route of a listener.
    ///
    /// # Errors
    /// Its upstream or a policy is not there; [`StartError::Tls`].
    fn route(
        &self,
        listener: &Arc<Listener>,
        former: Option<&Self>,
        telemetry: &Arc<Telemetry>,
    ) -> Result<Route, StartError> {
        let upstream = self
            .settings
            .upstreams
            .get(&listener.upstream)
            .ok_or_else(|| StartError::Upstream {
                listener: Arc::clone(&listener.name),
                upstream: Arc::clone(&listener.upstream),
            })?;
        let bench = Bench::of(listener, upstream);
        let judge = bench
            .judge(&self.policies, upstream)
            .map_err(|policy| StartError::Policy {
                listener: Arc::clone(&listener.name),
                policy,
            })?;
        let acceptor = listener.tls.as_ref().map(|tls| {
            Acceptor::load(&tls.options)
                .map(Arc::new)
                .map_err(|source| StartError::Tls {
                    section: Arc::clone(&listener.name),
                    source,
                })
        });
        let connector = upstream.tls.as_ref().map(|tls| {
            Connector::load(&tls.options)
                .map(Arc::new)
                .map_err(|source| StartError::Tls {
                    section: Arc::clone(&upstream.name),
                    source,
                })
        });
        Ok(Route {
            acceptor: acceptor.transpose()?,
            connector: connector.transpose()?,
            profile: Arc::new(profile(&self.settings, listener, upstream)),
            judge,
            bench,
            bandwidth: bandwidth(listener, former),
            passive: self.passive_ports(listener, telemetry),
            active: self.active_ports(upstream, former),
            listener: Arc::clone(listener),
            upstream: Arc::clone(upstream),
        })
    }

    /// The ports on which a listener's data connections are listened for.
    fn passive_ports(&self, listener: &Listener, telemetry: &Arc<Telemetry>) -> Arc<Ports> {
        let range = &listener.passive_ports;
        let held = self.passive.get(&listener.name).and_then(Weak::upgrade);
        held.filter(|ports| ports.range() == range.as_ref())
            .unwrap_or_else(|| {
                let telemetry = Arc::clone(telemetry);
                let name = Arc::clone(&listener.name);
                let gauge = move |total, in_use| telemetry.passive_ports(&name, total, in_use);
                Arc::new(Ports::new(range.clone(), Box::new(gauge)))
            })
    }

    /// The ports on which an upstream's data connections are listened for: one set for all
    /// listeners in front of it.
    fn active_ports(&self, upstream: &Upstream, former: Option<&Self>) -> Arc<Ports> {
        let plans = [Some(self), former];
        let routes = plans
            .into_iter()
            .flatten()
            .flat_map(|plan| plan.routes.values());
        routes
            .filter(|route| route.upstream.name == upstream.name)
            .find(|route| route.active.range() == upstream.active_ports.as_ref())
            .map_or_else(
                || {
                    Arc::new(Ports::new(
                        upstream.active_ports.clone(),
                        Box::new(|_, _| ()),
                    ))
                },
                |route| Arc::clone(&route.active),
            )
    }

    /// Whether a file that TLS was built from is not as it was.
    pub(super) fn has_stale_tls(&self) -> bool {
        self.routes.values().any(|route| {
            let accepts = route.acceptor.as_ref();
            let connects = route.connector.as_ref();
            accepts.is_some_and(|acceptor| acceptor.has_changed())
                || connects.is_some_and(|connector| connector.has_changed())
        })
    }

    /// The route of the listener that a socket serves.
    pub(super) fn route_of(&self, door: &DoorKey) -> Option<&Arc<Route>> {
        self.routes.get(self.doors.get(door)?)
    }

    /// The judge of a live session that was born with `route` and is judged by `bench`: of the
    /// policies that its listener and its upstream name now, or named last. None where a policy
    /// is gone: such a session keeps its last judge.
    pub(super) fn judge_again(
        &self,
        route: &Route,
        bench: &mut Option<Box<Bench>>,
    ) -> Option<Arc<Judge>> {
        let mut next = bench.as_deref().unwrap_or(&route.bench).clone();
        if let Some(listener) = self.settings.listeners.get(&route.listener.name) {
            next.listener = Arc::clone(&listener.policy);
            next.observed.clone_from(&listener.observe);
        }
        if let Some(upstream) = self.settings.upstreams.get(&route.upstream.name) {
            next.upstream = Arc::clone(&upstream.policy);
        }
        // How the server reads paths and what it lacks is for new sessions only.
        let judge = next.judge(&self.policies, &route.upstream).ok()?;
        *bench = (next != route.bench).then(|| Box::new(next));
        Some(judge)
    }
}

/// The caps of a listener's transfers.
fn bandwidth(listener: &Listener, former: Option<&Plan>) -> Arc<Bandwidth> {
    former
        .and_then(|plan| plan.routes.get(&listener.name))
        .map(|route| &route.bandwidth)
        .filter(|bandwidth| bandwidth.is_of(listener))
        .map_or_else(|| Arc::new(Bandwidth::new(listener)), Arc::clone)
}
