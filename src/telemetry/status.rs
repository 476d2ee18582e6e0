//! The sessions of this moment, for those who ask.
//!
//! Owns session ids and what `/status` says of each session. A session's entry is written rarely
//! (login, transfer) under a lock of its own; its verb and its bytes are atomics. All that came
//! from a peer is escaped when it is put in.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

use super::clock;
use super::metrics::{ListenerTable, UpstreamTable};
use crate::ftp::security::TlsVersion;
use crate::ftp::verb::Verb;
use crate::session::Direction;

/// The digits of ids: no letter that looks like a digit.
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// A session as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct SessionStatus {
    /// Its id.
    pub id: String,
    /// Its listener.
    pub listener: String,
    /// Its upstream.
    pub upstream: String,
    /// The client's address and port.
    pub client: SocketAddr,
    /// Who is logged in.
    pub user: Option<String>,
    /// Seconds since it began.
    pub age_seconds: f64,
    /// The verb of the last command that was answered; `other` for one that the table lacks.
    pub verb: Option<&'static str>,
    /// The version of TLS on the client's control connection.
    pub tls: Option<&'static str>,
    /// The transfer that is running.
    pub transfer: Option<TransferStatus>,
}

/// A running transfer as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct TransferStatus {
    /// Which way.
    pub direction: &'static str,
    /// The verb.
    pub verb: String,
    /// The normalised path, where there is one.
    pub path: Option<String>,
    /// Bytes moved so far.
    pub bytes: u64,
    /// Seconds since its verb was forwarded.
    pub seconds: f64,
}

/// A running transfer.
#[derive(Debug)]
pub(super) struct Transfer {
    /// Which way.
    pub(super) direction: Direction,
    /// The verb.
    pub(super) verb: String,
    /// The path, escaped.
    pub(super) path: Option<String>,
    /// When its verb was forwarded.
    pub(super) began: Instant,
    /// Bytes that are in the counter already.
    pub(super) counted: u64,
}

/// What changes rarely.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Who is logged in, escaped.
    pub(super) user: Option<Arc<str>>,
    /// The version of TLS on the client's control connection.
    pub(super) tls: Option<TlsVersion>,
    /// The running transfer.
    pub(super) transfer: Option<Box<Transfer>>,
    /// The bytes that it has moved, from the first transfer on; the relay adds to it.
    moved: Option<Arc<AtomicU64>>,
}

impl State {
    /// What counts the bytes of a transfer; the same one for all of a session.
    pub(super) fn moved(&mut self) -> &Arc<AtomicU64> {
        self.moved.get_or_insert_default()
    }

    /// A transfer begins.
    pub(super) fn begin(&mut self, transfer: Transfer) {
        self.moved().store(0, Ordering::Relaxed);
        self.transfer = Some(Box::new(transfer));
    }

    /// What the running transfer, or the last one, has moved.
    fn bytes(&self) -> u64 {
        let moved = self.moved.as_ref();
        moved.map_or(0, |moved| moved.load(Ordering::Relaxed))
    }
}

/// One session.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its place in the registry.
    serial: u64,
    /// What tells this process from others.
    process: u64,
    /// Its listener.
    pub(super) listener: Arc<ListenerTable>,
    /// Its upstream.
    pub(super) upstream: Arc<UpstreamTable>,
    /// The client's address.
    pub(super) client: SocketAddr,
    /// When it began.
    pub(super) began: Instant,
    /// The last verb: its index, the number of verbs for all others, [`usize::MAX`] for none.
    verb: AtomicUsize,
    /// What changes rarely.
    state: Mutex<State>,
}

impl Entry {
    /// Its id, unique across restarts.
    pub(super) fn id(&self) -> String {
        let mut id = base32(self.process, 13);
        id.push('-');
        id.push_str(&base32(self.serial, 1));
        id
    }

    /// What changes rarely.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the verb of a command.
    pub(super) fn answered(&self, verb: Option<Verb>) {
        let index = verb.map_or(Verb::ALL.len(), |verb| verb as usize);
        self.verb.store(index, Ordering::Relaxed);
    }

    /// Puts what the running transfer has moved since the last time into the counter.
    pub(super) fn count_moved(&self) {
        let mut state = self.state();
        let moved = state.bytes();
        if let Some(transfer) = &mut state.transfer {
            self.listener
                .transferred(transfer.direction, moved.saturating_sub(transfer.counted));
            transfer.counted = transfer.counted.max(moved);
        }
    }

    /// What `/status` shows of it.
    fn show(&self, now: Instant) -> SessionStatus {
        let state = self.state();
        let last = self.verb.load(Ordering::Relaxed);
        SessionStatus {
            id: self.id(),
            listener: self.listener.name.to_string(),
            upstream: self.upstream.name.to_string(),
            client: self.client,
            user: state.user.as_deref().map(str::to_owned),
            age_seconds: now.saturating_duration_since(self.began).as_secs_f64(),
            verb: match Verb::ALL.get(last) {
                Some(verb) => Some(verb.name()),
                None => (last == Verb::ALL.len()).then_some("other"),
            },
            tls: state.tls.map(TlsVersion::name),
            transfer: state.transfer.as_ref().map(|transfer| TransferStatus {
                direction: transfer.direction.name(),
                verb: transfer.verb.clone(),
                path: transfer.path.clone(),
                bytes: state.bytes(),
                seconds: now.saturating_duration_since(transfer.began).as_secs_f64(),
            }),
        }
    }
}

/// All sessions.
#[derive(Debug)]
pub(super) struct Sessions {
    /// What all ids of this process begin with.
    process: u64,
    /// The next session's number.
    next: AtomicU64,
    /// By number, so the oldest comes first.
    entries: Mutex<BTreeMap<u64, Arc<Entry>>>,
}

impl Sessions {
    /// None yet.
    pub(super) fn new() -> Self {
        // The hasher's keys are random; the time is in it for the day when they are not.
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_i128(clock::wall().as_nanosecond());
        hasher.write_u32(std::process::id());
        Self {
            process: hasher.finish(),
            next: AtomicU64::new(0),
            entries: Mutex::default(),
        }
    }

    /// Every entry.
    fn entries(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Entry>>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a session.
    pub(super) fn begin(
        &self,
        listener: Arc<ListenerTable>,
        upstream: Arc<UpstreamTable>,
        client: SocketAddr,
    ) -> Arc<Entry> {
        let serial = self.next.fetch_add(1, Ordering::Relaxed);
        let entry = Arc::new(Entry {
            serial,
            process: self.process,
            listener,
            upstream,
            client,
            began: clock::monotonic(),
            verb: AtomicUsize::new(usize::MAX),
            state: Mutex::default(),
        });
        self.entries().insert(serial, Arc::clone(&entry));
        entry
    }

    /// Ends one.
    pub(super) fn end(&self, entry: &Entry) {
        self.entries().remove(&entry.serial);
    }

    /// Every session at this moment; the registry is not held while they are looked at.
    fn all(&self) -> Vec<Arc<Entry>> {
        self.entries().values().cloned().collect()
    }

    /// Puts what running transfers have moved into the counters.
    pub(super) fn count_moved(&self) {
        for entry in self.all() {
            entry.count_moved();
        }
    }

    /// What `/status` shows, the oldest session first.
    pub(super) fn show(&self) -> Vec<SessionStatus> {
        let now = clock::monotonic();
        self.all().iter().map(|entry| entry.show(now)).collect()
    }
}

/// A number in base 32, with at least `width` digits.
fn base32(mut number: u64, width: usize) -> String {
    let mut digits = Vec::new();
    while number > 0 || digits.len() < width {
        let digit = usize::try_from(number % 32)
            .ok()
            .and_then(|index| DIGITS.get(index));
        digits.push(char::from(*digit.unwrap_or(&b'0')));
        number /= 32;
    }
    digits.iter().rev().collect()
}

#[cfg(test)]
mod tests;
