//! The shell: sockets, time and tasks around the pure sessions.
//!
//! Owns listeners, control and data connections, the order of start, reload and drain. Decides
//! nothing about FTP: a driver feeds a [`crate::session::Session`] and does what it says.
//!
//! Tasks are spawned in two places. Here: one accept loop for each listening socket, at start and at a
//! reload, and one task that looks after upstreams that could not be reached. In `listener.rs`: one task
//! for each session, and before it one for a connection whose header is awaited. A session's task owns
//! all that the session owns; it never spawns. `lanes.rs` starts the threads that all of them run on.

mod admission;
mod bandwidth;
mod bell;
mod clock;
mod data;
mod driver;
mod guard;
mod lanes;
mod leg;
mod listener;
mod offer;
mod plan;
mod ports;
pub mod proxy;
mod upstreams;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::policy::PolicySet;
use crate::relay::Pool;
use crate::settings::Settings;
use crate::sys::{rlimit, socket};
use crate::telemetry::Telemetry;
use crate::tls::load::LoadFault;
use crate::upstream::Resolver;
use admission::Admission;
use bell::Bell;
use guard::Guard;
use lanes::Lane;
pub use lanes::{LaneThreads, Lanes};
use listener::Entrance;
use plan::{DoorKey, Plan};
pub use plan::{judge, profile};
use upstreams::REDIAL_EVERY;

/// How long the addresses of an upstream's name are remembered.
const UPSTREAM_NAMES: Duration = Duration::from_secs(30);
/// How long the address of a name that is advertised is remembered.
const ADVERTISED_NAMES: Duration = Duration::from_mins(1);
/// How long sessions that are told to end may take to say so.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Why a gateway does not start, or a reload changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener's address cannot be listened on.
    #[error("listener `{listener}` cannot listen on {address}: {source}{}", advice(.source))]
    Bind {
        /// Its name.
        listener: Arc<str>,
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A policy is not there.
    #[error("listener `{listener}` is judged by the policy `{policy}`, which does not exist")]
    Policy {
        /// The listener whose route needs it.
        listener: Arc<str>,
        /// The policy.
        policy: Arc<str>,
    },
    /// Telemetry does not take the configuration over: the error names the audit file.
    #[error("{0}")]
    Telemetry(#[source] io::Error),
    /// TLS cannot be had as it is configured.
    #[error("`{section}`: {source}")]
    Tls {
        /// The listener or the upstream.
        section: Arc<str>,
        /// Why.
        source: LoadFault,
    },
    /// An upstream is not there.
    #[error("listener `{listener}` is in front of the upstream `{upstream}`, which does not exist")]
    Upstream {
        /// The listener.
        listener: Arc<str>,
        /// The upstream.
        upstream: Arc<str>,
    },
}

/// What to do about an address that cannot be listened on.
pub fn advice(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; something listens there, or on the same port of all addresses: see `ss -ltnp`"
        }
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        io::ErrorKind::PermissionDenied => {
            "; give the program CAP_NET_BIND_SERVICE or use a port from 1024"
        }
        _ => "",
    }
}

/// The most descriptors that a session has open while it transfers, without the pipe.
const SESSION_DESCRIPTORS: u64 = 4;

/// How many descriptors are needed beside those of sessions: sockets that listen, the endpoints,
/// files, lanes, pipes.
const OWN_DESCRIPTORS: u64 = 128;

/// Raises the limit on open descriptors, and warns where as many sessions as `settings` allow do not
/// fit within it.
fn warn_of_descriptors(settings: &Settings) {
    let sessions = settings.limits.sessions;
    let needed = u64::try_from(sessions)
        .unwrap_or(u64::MAX)
        .saturating_mul(SESSION_DESCRIPTORS)
        .saturating_add(OWN_DESCRIPTORS);
    match rlimit::raise_descriptors() {
        Err(error) => tracing::warn!(%error, "the limit on open descriptors stays as it is"),
        Ok(Some(limit)) if limit < needed => {
            let enough_for = limit.saturating_sub(OWN_DESCRIPTORS) / SESSION_DESCRIPTORS;
            tracing::warn!(
                limit,
                sessions,
                needed,
                enough_for,
                "the hard limit on open descriptors is too low for `limits.sessions`: raise it \
                 (`LimitNOFILE`, `ulimit -Hn`), or allow fewer sessions"
            );
        }
        Ok(_) => {}
    }
}

/// What the gateway is doing.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// Accepting.
    Running,
    /// Letting sessions finish.
    Draining,
    /// Ending them.
    Ending,
}

/// What every accept loop and every session is to follow.
#[derive(Clone, Debug)]
struct Orders {
    /// The configuration in force.
    plan: Arc<Plan>,
    /// What the gateway is doing.
    stage: Stage,
}

/// What accept loops and sessions share.
struct Shared {
    /// Where things are counted.
    telemetry: Arc<Telemetry>,
    /// How many sessions there are.
    admission: Arc<Admission>,
    /// Who is kept out.
    guard: Arc<Guard>,
    /// Buffers and pipes of relays.
    pool: Arc<Pool>,
    /// Addresses of upstreams.
    upstream_names: Arc<Resolver>,
    /// Addresses that are advertised.
    advertised_names: Arc<Resolver>,
    /// What is in force.
    orders: watch::Sender<Orders>,
    /// Rung when it changes.
    bell: Arc<Bell>,
    /// Where the gateway listens.
    addresses: Mutex<Vec<SocketAddr>>,
    /// Where accept loops and sessions run.
    lanes: Lanes,
    /// The accept loops.
    entrances: TaskTracker,
    /// The sessions.
    sessions: TaskTracker,
}

impl Shared {
    /// Whether a dial of `address` would come to one of the gateway's own listeners: each session would
    /// make another one, without end.
    fn leads_here(&self, address: SocketAddr) -> bool {
        let mut address = listener::canonical(address);
        if address.ip().is_unspecified() {
            // That is how the kernel reads it.
            address.set_ip(match address {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let (is_named, is_any) = {
            let listening = self.addresses.lock();
            let listening = listening.unwrap_or_else(PoisonError::into_inner);
            let has = |ip| listening.contains(&SocketAddr::new(ip, address.port()));
            let any = match address {
                SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
            };
            (has(address.ip()), has(any))
        };
        is_named || is_any && socket::is_own_address(address.ip())
    }

    /// Notes where the gateway listens.
    fn listens_at(&self, doors: &BTreeMap<DoorKey, Door>) {
        let addresses = doors.values().map(|door| door.address).collect();
        *self
            .addresses
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = addresses;
    }
}

/// A listening socket of the gateway's.
#[derive(Debug)]
struct Door {
    /// Where it listens.
    address: SocketAddr,
    /// Closes it.
    closed: CancellationToken,
}

/// A running gateway. Dropping it ends its sessions.
pub struct Gateway {
    /// What accept loops and sessions share.
    shared: Arc<Shared>,
    /// The listening sockets.
    doors: Mutex<BTreeMap<DoorKey, Door>>,
}

/// A gateway whose files are read and whose sockets are bound, and which runs nothing yet.
pub struct Prepared {
    /// The configuration.
    plan: Plan,
    /// Its listening sockets.
    bound: Vec<Bound<StdListener>>,
    /// Where things are counted.
    telemetry: Arc<Telemetry>,
    /// Addresses of upstreams.
    upstream_names: Resolver,
    /// How often an upstream whose last dial failed is dialled.
    redial_every: Duration,
}

impl Prepared {
    /// Reads the files that `settings` name and binds every listener. Needs no runtime.
    ///
    /// # Errors
    /// [`StartError`] by variant: what is configured cannot be had, or a listener cannot be bound. Then
    /// none is.
    pub fn new(
        settings: Arc<Settings>,
        policies: Arc<PolicySet>,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, StartError> {
        let plan = Plan::new(settings, policies, None, &telemetry)?;
        let bound = bind(&plan, &BTreeMap::new())?;
        Ok(Self {
            plan,
            bound,
            telemetry,
            upstream_names: Resolver::new(UPSTREAM_NAMES),
            redial_every: REDIAL_EVERY,
        })
    }

    /// The same, asking `names` for the addresses of upstreams.
    #[must_use]
    pub fn with_upstream_names(self, names: Resolver) -> Self {
        Self {
            upstream_names: names,
            ..self
        }
    }

    /// The same, dialling an upstream whose last dial failed `every` so often.
    #[must_use]
    pub fn with_redials(self, every: Duration) -> Self {
        Self {
            redial_every: every,
            ..self
        }
    }
}

impl Gateway {
    /// Binds every listener, then begins to accept, all on the runtime that this is called within.
    ///
    /// # Errors
    /// [`StartError`] by variant: what is configured cannot be had, or a listener cannot be bound. Then
    /// none is.
    pub fn start(
        settings: Arc<Settings>,
        policies: Arc<PolicySet>,
        telemetry: Arc<Telemetry>,
    ) -> Result<Self, StartError> {
        Self::open(Prepared::new(settings, policies, telemetry)?, Lanes::here())
    }

    /// Begins to accept, on `lanes`.
    ///
    /// # Errors
    /// [`StartError`]: a runtime does not take a socket.
    pub fn open(prepared: Prepared, lanes: Lanes) -> Result<Self, StartError> {
        warn_of_descriptors(&prepared.plan.settings);
        let Prepared {
            plan,
            bound,
            telemetry,
            upstream_names,
            redial_every,
        } = prepared;
        let entrances = register(bound, &lanes, 0)?;
        let (orders, _) = watch::channel(Orders {
            plan: Arc::new(plan),
            stage: Stage::Running,
        });
        let guard = Arc::<Guard>::default();
        let shown = Arc::clone(&guard);
        telemetry.show_bans(Box::new(move || shown.bans(clock::instant())));
        let gateway = Self {
            shared: Arc::new(Shared {
                telemetry,
                admission: Arc::default(),
                guard,
                pool: Arc::default(),
                upstream_names: Arc::new(upstream_names),
                advertised_names: Arc::new(Resolver::new(ADVERTISED_NAMES)),
                orders,
                bell: Arc::default(),
                addresses: Mutex::default(),
                lanes,
                entrances: TaskTracker::new(),
                sessions: TaskTracker::new(),
            }),
            doors: Mutex::new(BTreeMap::new()),
        };
        gateway
            .shared
            .orders
            .borrow()
            .plan
            .announce(None, &gateway.shared.telemetry);
        gateway.admit(&mut gateway.doors(), entrances);
        let shared = &gateway.shared;
        let watch = upstreams::look_after(Arc::clone(shared), redial_every);
        let lane = shared.lanes.in_turn(0);
        shared.entrances.spawn_on(watch, lane.runtime());
        Ok(gateway)
    }

    /// Reads the files of TLS anew where one of them has changed; whether one had. New sessions
    /// meet what was read, live ones keep theirs.
    ///
    /// # Errors
    /// What is there cannot be used: the former certificates stay in force.
    pub fn renew_tls(&self) -> Result<bool, StartError> {
        let plan = Arc::clone(&self.shared.orders.borrow().plan);
        if !plan.has_stale_tls() {
            return Ok(false);
        }
        self.reload(Arc::clone(&plan.settings), Arc::clone(&plan.policies))?;
        Ok(true)
    }

    /// Takes over a new configuration. New listeners are bound before anything is changed;
    /// listeners that stay are not touched, those that are gone stop accepting. Live sessions are
    /// judged by the new policies from their next command on.
    ///
    /// # Errors
    /// [`StartError`]: nothing has changed.
    pub fn reload(
        &self,
        settings: Arc<Settings>,
        policies: Arc<PolicySet>,
    ) -> Result<(), StartError> {
        let mut doors = self.doors();
        let orders = self.shared.orders.borrow().clone();
        let telemetry = &self.shared.telemetry;
        let plan = Plan::new(settings, policies, Some(&orders.plan), telemetry)?;
        let entrances = register(bind(&plan, &doors)?, &self.shared.lanes, doors.len())?;
        telemetry
            .reconfigure(&plan.settings, &plan.policies)
            .map_err(StartError::Telemetry)?;
        let plan = Arc::new(plan);
        if plan.settings.limits.sessions != orders.plan.settings.limits.sessions {
            warn_of_descriptors(&plan.settings);
        }
        if plan.settings.limits.failed_logins.is_none() {
            self.shared.guard.lift();
        }
        doors.retain(|key, door| {
            let stays = plan.doors.contains_key(key);
            if !stays {
                door.closed.cancel();
            }
            stays
        });
        self.change_orders(|orders| {
            orders.plan = Arc::clone(&plan);
            true
        });
        plan.announce(Some(&orders.plan), telemetry);
        if orders.stage == Stage::Running {
            self.admit(&mut doors, entrances);
        }
        Ok(())
    }

    /// Begins to accept on sockets that are bound.
    fn admit(&self, doors: &mut BTreeMap<DoorKey, Door>, bound: Vec<(Lane, Bound<TcpListener>)>) {
        for (lane, Bound { site, listener }) in bound {
            let Site { key, name, address } = site;
            let closed = CancellationToken::new();
            let shared = Arc::clone(&self.shared);
            let runtime = lane.runtime().clone();
            let entrance = Entrance::new(key.clone(), name, listener, lane, shared, closed.clone());
            self.shared.entrances.spawn_on(entrance.run(), &runtime);
            doors.insert(key, Door { address, closed });
        }
        self.shared.listens_at(doors);
    }

    /// Stops accepting and lets sessions finish what runs; those that are left at the end of
    /// `limits.drain_timeout` are ended. Returns when all are over.
    pub async fn drain(&self) {
        self.shared.telemetry.draining();
        let limit = self
            .shared
            .orders
            .borrow()
            .plan
            .settings
            .limits
            .drain_timeout;
        self.order(Stage::Draining);
        self.close_doors();
        self.shared.entrances.close();
        self.shared.entrances.wait().await;
        self.shared.sessions.close();
        if timeout(limit, self.shared.sessions.wait()).await.is_err() {
            self.end_now().await;
        }
    }

    /// Stops accepting and ends every session now. Returns when all are over, or have not come
    /// to an end in a few seconds.
    pub async fn end_now(&self) {
        self.shared.telemetry.draining();
        self.order(Stage::Ending);
        self.close_doors();
        self.shared.entrances.close();
        self.shared.sessions.close();
        if timeout(LAST_WORDS, self.shared.sessions.wait())
            .await
            .is_err()
        {
            tracing::warn!(sessions = self.sessions(), "sessions did not end in time");
        }
    }

    /// How many sessions there are.
    pub fn sessions(&self) -> usize {
        self.shared.admission.sessions()
    }

    /// Where the gateway listens: the listener's name and the address, port 0 resolved.
    pub fn local_addrs(&self) -> Vec<(Arc<str>, SocketAddr)> {
        let plan = Arc::clone(&self.shared.orders.borrow().plan);
        self.doors()
            .iter()
            .filter_map(|(key, door)| Some((Arc::clone(plan.doors.get(key)?), door.address)))
            .collect()
    }

    /// Goes on to `stage`; never back.
    fn order(&self, stage: Stage) {
        self.change_orders(|orders| {
            let forward = orders.stage != stage && orders.stage != Stage::Ending;
            if forward {
                orders.stage = stage;
            }
            forward
        });
    }

    /// Lets `change` change the orders, which says whether it has, and wakes all who follow them.
    fn change_orders(&self, change: impl FnOnce(&mut Orders) -> bool) {
        if self.shared.orders.send_if_modified(change) {
            self.shared.bell.ring();
        }
    }

    /// Stops accepting.
    fn close_doors(&self) {
        let mut doors = self.doors();
        for door in doors.values() {
            door.closed.cancel();
        }
        doors.clear();
        self.shared.listens_at(&doors);
    }

    /// The listening sockets.
    fn doors(&self) -> MutexGuard<'_, BTreeMap<DoorKey, Door>> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.order(Stage::Ending);
        self.close_doors();
    }
}

/// Which socket it is that is bound.
struct Site {
    /// Which one.
    key: DoorKey,
    /// The name of its listener.
    name: Arc<str>,
    /// Where it listens.
    address: SocketAddr,
}

/// A socket that is bound and not yet accepted from: of the system's, then of a runtime's.
struct Bound<L> {
    /// Which one.
    site: Site,
    /// The socket.
    listener: L,
}

/// Binds every socket of `plan` that is not among `doors`: all or none.
///
/// # Errors
/// [`StartError::Bind`].
fn bind(
    plan: &Plan,
    doors: &BTreeMap<DoorKey, Door>,
) -> Result<Vec<Bound<StdListener>>, StartError> {
    let mut bound = Vec::new();
    for (key, name) in &plan.doors {
        if doors.contains_key(key) {
            continue;
        }
        let address = match key {
            DoorKey::Fixed(address) => Some(*address),
            DoorKey::Any(name, index) => {
                let listener = plan.settings.listeners.get(name);
                listener.and_then(|listener| listener.bind.get(*index).copied())
            }
        };
        let Some(address) = address else { continue };
        let keepalive = plan.settings.limits.keepalive;
        let listener = listen(address, keepalive).map_err(|source| StartError::Bind {
            listener: Arc::clone(name),
            address,
            source,
        })?;
        let site = Site {
            key: key.clone(),
            name: Arc::clone(name),
            address: listener.local_addr().unwrap_or(address),
        };
        bound.push(Bound { site, listener });
    }
    Ok(bound)
}

/// Listens on `address`. The socket's options are those of its connections.
///
/// # Errors
/// It cannot be listened on, or takes no option.
fn listen(address: SocketAddr, keepalive: Duration) -> io::Result<StdListener> {
    let listener = socket::listen(address, listener::BACKLOG)?;
    socket::tune(&listener, keepalive)?;
    socket::inline_urgent(&listener)?;
    Ok(listener)
}

/// Makes sockets known to the runtimes of `lanes`, which are dealt out in turn behind the `held` that
/// there are: all or none.
///
/// # Errors
/// [`StartError::Bind`]: a runtime does not take one.
fn register(
    bound: Vec<Bound<StdListener>>,
    lanes: &Lanes,
    held: usize,
) -> Result<Vec<(Lane, Bound<TcpListener>)>, StartError> {
    let register = |(number, Bound { site, listener }): (usize, Bound<StdListener>)| {
        let lane = lanes.in_turn(held.saturating_add(number));
        let _entered = lane.runtime().enter();
        match TcpListener::from_std(listener) {
            Ok(listener) => Ok((lane.clone(), Bound { site, listener })),
            Err(source) => Err(StartError::Bind {
                listener: site.name,
                address: site.address,
                source,
            }),
        }
    };
    bound.into_iter().enumerate().map(register).collect()
}
