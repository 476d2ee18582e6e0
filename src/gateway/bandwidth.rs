//! How many bytes a second the transfers of a listener may move.
//!
//! Owns who shares a cap: all of a listener, all of one user there, one session. How a cap is kept
//! is the relay's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::policy::{System, UserGlob};
use crate::relay::{Cap, Throttle};
use crate::settings::Listener;

/// The caps of a listener. A reload that does not change them hands them on.
#[derive(Debug)]
pub(super) struct Bandwidth {
    /// For all of it.
    listener: Option<Arc<Cap>>,
    /// `listeners.NAME.bandwidth`.
    rate: Option<u64>,
    /// `listeners.NAME.user_bandwidth`: the first that matches counts.
    users: Vec<(UserGlob, u64)>,
    /// The caps of users who transfer at this moment, or still owe for what they have transferred.
    known: Mutex<HashMap<Bytes, Arc<Cap>>>,
}

impl Bandwidth {
    /// As a listener has them.
    pub(super) fn new(listener: &Listener) -> Self {
        Self {
            listener: listener.bandwidth.map(|rate| Arc::new(Cap::new(rate))),
            rate: listener.bandwidth,
            users: listener.user_bandwidth.clone(),
            known: Mutex::default(),
        }
    }

    /// Whether `listener` has the same.
    pub(super) fn is_of(&self, listener: &Listener) -> bool {
        self.rate == listener.bandwidth && self.users == listener.user_bandwidth
    }

    /// What holds for a transfer of `user`, whose session is under the cap `session`.
    pub(super) fn throttle(
        &self,
        user: Option<&Bytes>,
        system: System,
        session: Option<Arc<Cap>>,
    ) -> Option<Throttle> {
        let caps = [
            self.listener.clone(),
            user.and_then(|user| self.of_user(user, system)),
            session,
        ];
        Throttle::new(caps.into_iter().flatten().collect())
    }

    /// The cap that all transfers of `user` share.
    fn of_user(&self, user: &Bytes, system: System) -> Option<Arc<Cap>> {
        let (_, rate) = self
            .users
            .iter()
            .find(|(glob, _)| glob.matches(user, system))?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let name = UserGlob::folded(user, system);
        if let Some(cap) = known.get(&name) {
            return Some(Arc::clone(cap));
        }
        known.retain(|_, cap| Arc::strong_count(cap) > 1 || cap.is_in_debt());
        let cap = Arc::new(Cap::new(*rate));
        known.insert(name, Arc::clone(&cap));
        Some(cap)
    }
}

/// `limits.session_bandwidth` of one session: one cap for all of its transfers.
#[derive(Debug, Default)]
pub(super) struct SessionBandwidth(Option<(u64, Arc<Cap>)>);

impl SessionBandwidth {
    /// The cap of `rate` bytes a second: the same one for as long as the rate is.
    pub(super) fn cap(&mut self, rate: Option<u64>) -> Option<Arc<Cap>> {
        if self.0.as_ref().map(|(rate, _)| *rate) != rate {
            self.0 = rate.map(|rate| (rate, Arc::new(Cap::new(rate))));
        }
        self.0.as_ref().map(|(_, cap)| Arc::clone(cap))
    }
}

#[cfg(test)]
mod tests;
