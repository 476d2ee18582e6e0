//! What clients have seen, by the listener that they came through, and what must not be.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many faults are kept.
const FAULTS: usize = 20;

/// What the clients of one listener have seen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    /// Connections that were made.
    pub(crate) dials: u64,
    /// Replies by their codes.
    pub(crate) codes: BTreeMap<u16, u64>,
    /// Complete transfers and their bytes: downloads, listings, uploads.
    pub(crate) complete: BTreeMap<&'static str, (u64, u64)>,
    /// Sessions that ended early while descriptors were short.
    pub(crate) excused: u64,
}

/// What all have seen.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// By listener.
    tallies: Mutex<BTreeMap<&'static str, Tally>>,
    /// What clients did, by its name.
    deeds: Mutex<BTreeMap<&'static str, u64>>,
    /// What must not be.
    faults: Mutex<Vec<String>>,
    /// Whether there is any.
    pub(crate) is_broken: AtomicBool,
    /// Odd while descriptors are short.
    scarcity: AtomicU64,
}

/// Locks: who panicked with the lock has failed the test already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// Notes what must not be.
    pub(crate) fn fault(&self, what: String) {
        let mut faults = lock(&self.faults);
        if faults.len() < FAULTS {
            println!("FAULT: {what}");
            faults.push(what);
        }
        self.is_broken.store(true, Ordering::Relaxed);
    }

    /// What must not be and was.
    pub(crate) fn faults(&self) -> Vec<String> {
        lock(&self.faults).clone()
    }

    /// Adds to a listener's tally.
    pub(crate) fn add(&self, listener: &'static str, more: Tally) {
        let mut tallies = lock(&self.tallies);
        let tally = tallies.entry(listener).or_default();
        tally.dials += more.dials;
        tally.excused += more.excused;
        for (code, count) in more.codes {
            *tally.codes.entry(code).or_default() += count;
        }
        for (direction, (count, bytes)) in more.complete {
            let entry = tally.complete.entry(direction).or_default();
            entry.0 += count;
            entry.1 += bytes;
        }
    }

    /// All tallies.
    pub(crate) fn tallies(&self) -> BTreeMap<&'static str, Tally> {
        lock(&self.tallies).clone()
    }

    /// Notes that something was done.
    pub(crate) fn did(&self, deed: &'static str) {
        *lock(&self.deeds).entry(deed).or_default() += 1;
    }

    /// How often what was done.
    pub(crate) fn deeds(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.deeds).clone()
    }

    /// Connections, complete transfers and their bytes.
    pub(crate) fn totals(&self) -> (u64, u64, u64) {
        let tallies = lock(&self.tallies);
        let dials = tallies.values().map(|tally| tally.dials).sum();
        let complete = || tallies.values().flat_map(|tally| tally.complete.values());
        (
            dials,
            complete().map(|(count, _)| count).sum(),
            complete().map(|(_, bytes)| bytes).sum(),
        )
    }

    /// Descriptors become short, or are no longer.
    pub(crate) fn turn_scarcity(&self) {
        self.scarcity.fetch_add(1, Ordering::SeqCst);
    }

    /// How often that has changed.
    pub(crate) fn scarcity(&self) -> u64 {
        self.scarcity.load(Ordering::SeqCst)
    }

    /// Whether descriptors were short at any time since it was `before`.
    pub(crate) fn was_scarce(&self, before: u64) -> bool {
        before % 2 == 1 || self.scarcity() != before
    }
}
