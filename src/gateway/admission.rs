//! Who may come in: how many sessions there are, in all, of a client and of a listener, and how
//! many connections of which it is not known yet whose they are.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::guard::client_of;
use crate::settings::{Listener, ShellLimits};
use crate::telemetry::Rejection;

/// The counts of all sessions.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// The counts.
    counts: Mutex<Counts>,
}

/// How many sessions there are.
#[derive(Debug, Default)]
struct Counts {
    /// In all.
    all: usize,
    /// Connections whose header is awaited.
    awaited: usize,
    /// By client; those with none have no entry.
    clients: HashMap<IpAddr, usize>,
    /// By listener; those with none have no entry.
    listeners: HashMap<Arc<str>, usize>,
}

impl Admission {
    /// Counts a connection in whose header is to be awaited.
    ///
    /// # Errors
    /// There are as many of them and of sessions as there may be sessions.
    pub(super) fn wait(self: &Arc<Self>, limits: &ShellLimits) -> Result<Place, Rejection> {
        let mut counts = self.lock();
        if counts.all.saturating_add(counts.awaited) >= limits.sessions {
            return Err(Rejection::Sessions);
        }
        counts.awaited = counts.awaited.saturating_add(1);
        Ok(Place {
            admission: Arc::clone(self),
        })
    }

    /// Counts a session in, or says which bound is reached. What is no client's, a balancer's own
    /// connection, has only those of the listener and of the gateway.
    ///
    /// # Errors
    /// The narrowest bound that is reached: the listener's, the client's, the gateway's.
    pub(super) fn admit(
        self: &Arc<Self>,
        listener: &Listener,
        limits: &ShellLimits,
        client: Option<IpAddr>,
    ) -> Result<Slot, Rejection> {
        let client = client.map(client_of);
        let mut counts = self.lock();
        let of_listener = counts.listeners.get(&listener.name).copied().unwrap_or(0);
        if listener.sessions.is_some_and(|bound| of_listener >= bound) {
            return Err(Rejection::ListenerSessions);
        }
        let of_client = client.and_then(|client| counts.clients.get(&client).copied());
        if of_client.is_some_and(|count| count >= limits.sessions_per_client) {
            return Err(Rejection::ClientSessions);
        }
        if counts.all.saturating_add(counts.awaited) >= limits.sessions {
            return Err(Rejection::Sessions);
        }
        counts.all = counts.all.saturating_add(1);
        if let Some(client) = client {
            increment(&mut counts.clients, client);
        }
        increment(&mut counts.listeners, Arc::clone(&listener.name));
        Ok(Slot {
            admission: Arc::clone(self),
            client,
            listener: Arc::clone(&listener.name),
        })
    }

    /// How many sessions there are.
    pub(super) fn sessions(&self) -> usize {
        self.lock().all
    }

    /// Locks; a thread that panicked with the lock leaves nothing half done here.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One more of `key`.
fn increment<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: K) {
    let count = counts.entry(key).or_default();
    *count = count.saturating_add(1);
}

/// One less of `key`.
fn decrement<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// A session's place in the counts, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    /// Where it is counted.
    admission: Arc<Admission>,
    /// Which client's session it is, if it is one's.
    client: Option<IpAddr>,
    /// Through which listener.
    listener: Arc<str>,
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        counts.all = counts.all.saturating_sub(1);
        if let Some(client) = &self.client {
            decrement(&mut counts.clients, client);
        }
        decrement(&mut counts.listeners, &self.listener);
    }
}

/// The place of a connection whose header is awaited, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    /// Where it is counted.
    admission: Arc<Admission>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        counts.awaited = counts.awaited.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A listener with a bound of its own.
    fn listener(name: &str, sessions: Option<usize>) -> Listener {
        Listener {
            name: name.into(),
            bind: Vec::new(),
            upstream: "legacy".into(),
            policy: "standard".into(),
            observe: None,
            greeting: None,
            sessions,
            passive_ports: None,
            tls: None,
            passive_address: Vec::new(),
            accept_proxy_from: Vec::new(),
            bandwidth: None,
            user_bandwidth: Vec::new(),
        }
    }

    #[test]
    fn every_bound_holds_at_its_edge() {
        let admission = Arc::new(Admission::default());
        let limits = ShellLimits {
            sessions: 3,
            sessions_per_client: 2,
            ..ShellLimits::default()
        };
        let (narrow, wide) = (listener("narrow", Some(1)), listener("wide", None));
        let [one, two, three] = ["192.0.2.1", "192.0.2.2", "2001:db8::3"].map(|text| {
            let address: IpAddr = text.parse().unwrap();
            address
        });
        let first = admission.admit(&narrow, &limits, Some(one)).unwrap();
        let refused = admission.admit(&narrow, &limits, Some(two)).unwrap_err();
        assert_eq!(refused, Rejection::ListenerSessions);
        let second = admission.admit(&wide, &limits, Some(one)).unwrap();
        let refused = admission.admit(&wide, &limits, Some(one)).unwrap_err();
        assert_eq!(refused, Rejection::ClientSessions);
        let third = admission.admit(&wide, &limits, Some(two)).unwrap();
        let refused = admission.admit(&wide, &limits, Some(three)).unwrap_err();
        assert_eq!(refused, Rejection::Sessions);
        assert_eq!(admission.sessions(), 3);
        drop(first);
        let fourth = admission.admit(&narrow, &limits, Some(three)).unwrap();
        drop((second, third, fourth));
        assert_eq!(admission.sessions(), 0);
        let counts = admission.lock();
        assert!(counts.clients.is_empty() && counts.listeners.is_empty());
    }

    #[test]
    fn what_is_awaited_takes_the_place_of_a_session() {
        let admission = Arc::new(Admission::default());
        let limits = ShellLimits {
            sessions: 2,
            ..ShellLimits::default()
        };
        let wide = listener("wide", None);
        let client = "192.0.2.1".parse().unwrap();
        let session = admission.admit(&wide, &limits, Some(client)).unwrap();
        let awaited = admission.wait(&limits).unwrap();
        assert_eq!(admission.wait(&limits).unwrap_err(), Rejection::Sessions);
        let refused = admission.admit(&wide, &limits, Some(client)).unwrap_err();
        assert_eq!(refused, Rejection::Sessions);
        assert_eq!(admission.sessions(), 1);
        drop(awaited);
        let second = admission.admit(&wide, &limits, Some(client)).unwrap();
        drop((session, second));
        assert!(admission.wait(&limits).is_ok());
        assert_eq!(admission.lock().awaited, 0);
    }
}
