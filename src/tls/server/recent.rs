//! The TLS sessions of a listener's control connections that a client's next one may resume.
//!
//! Owns how many are kept and for how long. Must not know data connections: theirs are those of
//! their own control connection.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustls::pki_types::UnixTime;

/// How long one may be resumed. A certificate that the client has shown is not looked at again
/// until then, nor is what its authority has withdrawn.
const LIFETIME: Duration = Duration::from_mins(10);
/// The most that are kept.
const COUNT_MAX: usize = 4096;
/// The most bytes of them in all.
const BYTES_MAX: usize = 2 * 1024 * 1024;

/// The sessions of the last logins, shared by all control connections of a listener.
#[derive(Default)]
pub(super) struct Recent(Mutex<Entries>);

impl std::fmt::Debug for Recent {
    /// Without the secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Recent").finish_non_exhaustive()
    }
}

/// What is kept.
#[derive(Default)]
struct Entries {
    /// By session identifier or ticket.
    sessions: HashMap<Vec<u8>, Session>,
    /// Their keys as they came. One that began by resuming stands behind younger ones.
    order: VecDeque<Vec<u8>>,
    /// How many bytes keys and values have.
    bytes: usize,
}

/// One session.
#[derive(Clone)]
pub(super) struct Session {
    /// rustls' secrets.
    pub(super) value: Vec<u8>,
    /// When the client was last looked at, with its certificate: a session that began by resuming
    /// another has that of the other. In seconds since 1970-01-01 UTC.
    pub(super) began: u64,
}

impl Session {
    /// Whether it may be resumed. Where the clock was set back nobody knows.
    fn is_good(&self, now: UnixTime) -> bool {
        let age = now.as_secs().checked_sub(self.began);
        age.is_some_and(|age| age < LIFETIME.as_secs())
    }
}

impl Recent {
    /// Keeps a session; those that came first make room for it.
    pub(super) fn put(&self, key: &[u8], session: Session) {
        let bytes = key.len().saturating_add(session.value.len());
        let mut entries = self.lock();
        if bytes > BYTES_MAX || entries.sessions.contains_key(key) {
            return;
        }
        while entries.order.len() >= COUNT_MAX || entries.bytes.saturating_add(bytes) > BYTES_MAX {
            if !entries.drop_first() {
                entries.bytes = 0;
            }
        }
        entries.bytes = entries.bytes.saturating_add(bytes);
        entries.order.push_back(key.to_vec());
        entries.sessions.insert(key.to_vec(), session);
    }

    /// The session of `key`, which stays.
    pub(super) fn get(&self, key: &[u8], now: UnixTime) -> Option<Session> {
        let mut entries = self.lock();
        while entries.is_first_past(now) {
            entries.drop_first();
        }
        let session = entries.sessions.get(key)?;
        session.is_good(now).then(|| session.clone())
    }

    /// The sessions, for a moment.
    fn lock(&self) -> MutexGuard<'_, Entries> {
        // What a panic left behind is whole still, but for a count that errs.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    /// Whether the one that came first can be resumed no more.
    fn is_first_past(&self, now: UnixTime) -> bool {
        let first = self.order.front().and_then(|key| self.sessions.get(key));
        first.is_some_and(|session| !session.is_good(now))
    }

    /// Forgets the one that came first; whether there was one.
    fn drop_first(&mut self) -> bool {
        let Some(key) = self.order.pop_front() else {
            return false;
        };
        if let Some(session) = self.sessions.remove(&key) {
            let bytes = key.len().saturating_add(session.value.len());
            self.bytes = self.bytes.saturating_sub(bytes);
        }
        true
    }
}

#[cfg(test)]
mod tests;
