//! Who is kept out: clients whose logins fail too often, or who connect too fast.
//!
//! Owns what is remembered of client addresses beyond their sessions, on the monotonic clock and
//! within a bound: [`CLIENTS`] of each kind, beyond which those that were last heard of longest ago
//! are forgotten. An IPv6 client is its /64, since whoever has one address of it has all. Must not
//! know sessions or sockets.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::leg::later;
use crate::settings::{Rate, ShellLimits};
use crate::telemetry::BanStatus;

/// How many clients of each kind are remembered.
const CLIENTS: usize = 65_536;

/// How many bans are shown.
const SHOWN: usize = 1000;

/// What a client is to every bound: its address, or an IPv6 client's /64.
pub(super) fn client_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => {
            let network = v6.to_bits() & (u128::MAX << 64);
            IpAddr::V6(Ipv6Addr::from_bits(network))
        }
    }
}

/// Why a connection is turned away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Refusal {
    /// Its client is banned.
    Banned,
    /// Its client connects too fast.
    TooFast {
        /// It did not, right before.
        is_first: bool,
    },
}

/// What a failed login comes to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Failed {
    /// How many of the client's have failed of late, this one included.
    pub(super) count: u32,
    /// Whether the client is banned now.
    pub(super) banned: bool,
    /// Whether it was not before.
    pub(super) is_new: bool,
}

/// Failed logins of a client.
#[derive(Clone, Copy, Debug)]
struct Failures {
    /// When the first of them was.
    since: Instant,
    /// How many there are.
    count: u32,
}

/// A client that is kept out.
#[derive(Clone, Copy, Debug)]
struct Ban {
    /// Until then.
    until: Instant,
    /// For so many failed logins.
    failures: u32,
}

/// The connections of a client.
#[derive(Clone, Copy, Debug)]
struct Arrivals {
    /// When the client will have its whole allowance again.
    full_at: Instant,
    /// Whether the last one was turned away.
    too_fast: bool,
}

/// What is remembered.
#[derive(Debug, Default)]
struct State {
    /// Of failed logins.
    failures: Table<Failures>,
    /// Of bans.
    bans: Table<Ban>,
    /// Of connections.
    arrivals: Table<Arrivals>,
}

impl State {
    /// Whether `client` is banned; a ban that is over is forgotten.
    fn is_banned(&mut self, client: IpAddr, now: Instant) -> bool {
        let banned = self.bans.get(&client).is_some_and(|ban| ban.until > now);
        if !banned {
            self.bans.remove(&client);
        }
        banned
    }

    /// Takes a connection of `client` from its allowance; an error where none is left.
    ///
    /// # Errors
    /// [`Refusal::TooFast`].
    fn arrive(&mut self, client: IpAddr, rate: Rate, now: Instant) -> Result<(), Refusal> {
        let arrivals = self.arrivals.entry(client, || Arrivals {
            full_at: now,
            too_fast: false,
        });
        // The allowance is told by the time at which it will be whole: one number, and no task
        // that fills it.
        let full_at = later(arrivals.full_at.max(now), rate.interval());
        if full_at.saturating_duration_since(now) > rate.per {
            let is_first = !std::mem::replace(&mut arrivals.too_fast, true);
            return Err(Refusal::TooFast { is_first });
        }
        *arrivals = Arrivals {
            full_at,
            too_fast: false,
        };
        Ok(())
    }
}

/// What is remembered of client addresses.
#[derive(Debug, Default)]
pub(super) struct Guard {
    /// What is remembered.
    state: Mutex<State>,
    /// At most how many bans there are. Mostly it is 0, and the lock need not be taken.
    bans: AtomicUsize,
}

impl Guard {
    /// Whether a connection of `address` may come in.
    ///
    /// # Errors
    /// [`Refusal`].
    pub(super) fn admit(
        &self,
        address: IpAddr,
        limits: &ShellLimits,
        now: Instant,
    ) -> Result<(), Refusal> {
        if self.is_banned(address, now) {
            return Err(Refusal::Banned);
        }
        match limits.connection_rate {
            Some(rate) => self.lock().arrive(client_of(address), rate, now),
            None => Ok(()),
        }
    }

    /// Whether the client at `address` is banned.
    pub(super) fn is_banned(&self, address: IpAddr, now: Instant) -> bool {
        if self.bans.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut state = self.lock();
        let banned = state.is_banned(client_of(address), now);
        self.count_bans(&state);
        banned
    }

    /// A login of the client at `address` has failed. A login that succeeds changes nothing:
    /// somebody who has one of his own could otherwise guess those of others for ever.
    pub(super) fn failed_login(
        &self,
        address: IpAddr,
        limits: &ShellLimits,
        now: Instant,
    ) -> Failed {
        let client = client_of(address);
        let mut state = self.lock();
        let fresh = Failures {
            since: now,
            count: 0,
        };
        let failures = state.failures.entry(client, || fresh);
        if now.saturating_duration_since(failures.since) >= limits.failed_logins_window {
            *failures = fresh;
        }
        failures.count = failures.count.saturating_add(1);
        let count = failures.count;
        let was_banned = state.is_banned(client, now);
        let is_new = !was_banned && limits.failed_logins.is_some_and(|bound| count > bound);
        if is_new {
            state.failures.remove(&client);
            let ban = Ban {
                until: later(now, limits.ban_time),
                failures: count,
            };
            *state.bans.entry(client, || ban) = ban;
        }
        self.count_bans(&state);
        Failed {
            count,
            banned: was_banned || is_new,
            is_new,
        }
    }

    /// Lifts every ban.
    pub(super) fn lift(&self) {
        let mut state = self.lock();
        state.bans = Table::default();
        self.count_bans(&state);
    }

    /// How many clients are banned, and the last of them.
    pub(super) fn bans(&self, now: Instant) -> (usize, Vec<BanStatus>) {
        let mut state = self.lock();
        state.bans.retain(|ban| ban.until > now);
        self.count_bans(&state);
        let show = |(client, ban): (IpAddr, &Ban)| BanStatus {
            client,
            failed_logins: ban.failures,
            seconds_left: ban.until.saturating_duration_since(now).as_secs_f64(),
        };
        let shown = state.bans.newest().take(SHOWN).map(show).collect();
        (state.bans.len(), shown)
    }

    /// Keeps the number of bans where it is read without the lock.
    fn count_bans(&self, state: &State) {
        self.bans.store(state.bans.len(), Ordering::Relaxed);
    }

    /// Locks; a thread that panicked with the lock leaves nothing half done here.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something of each client, within a bound.
#[derive(Debug)]
struct Table<V> {
    /// By client, with its place in the order.
    entries: HashMap<IpAddr, (u64, V)>,
    /// The one that was last heard of longest ago comes first.
    order: BTreeMap<u64, IpAddr>,
    /// The next place.
    next: u64,
}

impl<V> Default for Table<V> {
    fn default() -> Self {
        Self {
            entries: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
        }
    }
}

impl<V> Table<V> {
    /// How many there are.
    fn len(&self) -> usize {
        self.entries.len()
    }

    /// That of `client`.
    fn get(&self, client: &IpAddr) -> Option<&V> {
        self.entries.get(client).map(|(_, value)| value)
    }

    /// That of `client`, which becomes the last one; the first makes room for a new one.
    fn entry(&mut self, client: IpAddr, new: impl FnOnce() -> V) -> &mut V {
        let place = self.next;
        self.next = self.next.wrapping_add(1);
        if let Some((former, _)) = self.entries.get(&client) {
            self.order.remove(former);
        } else if self.entries.len() >= CLIENTS
            && let Some((_, first)) = self.order.pop_first()
        {
            self.entries.remove(&first);
        }
        self.order.insert(place, client);
        let (at, value) = self.entries.entry(client).or_insert_with(|| (place, new()));
        *at = place;
        value
    }

    /// Forgets that of `client`.
    fn remove(&mut self, client: &IpAddr) {
        if let Some((place, _)) = self.entries.remove(client) {
            self.order.remove(&place);
        }
    }

    /// Forgets those that do not `stay`.
    fn retain(&mut self, stay: impl Fn(&V) -> bool) {
        self.entries.retain(|_, (_, value)| stay(value));
        let entries = &self.entries;
        self.order.retain(|_, client| entries.contains_key(client));
    }

    /// All of them, the last one first.
    fn newest(&self) -> impl Iterator<Item = (IpAddr, &V)> {
        self.order
            .values()
            .rev()
            .filter_map(|client| Some((*client, self.get(client)?)))
    }
}

#[cfg(test)]
mod tests;
