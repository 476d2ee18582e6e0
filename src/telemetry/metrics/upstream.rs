//! The handles of an upstream, and what its last dial said.
//!
//! Must not know who dials, or when.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, SharedString};

use super::codes::{Codes, SERVER_CODES};
use super::{Registrar, catalogue};
use crate::telemetry::clock;

/// The result of a dial that succeeded.
pub(in crate::telemetry) const CONNECTED: &str = "connected";

/// The results of a failed dial that are there from the start.
const CONNECT_FAILURES: [&str; 3] = ["name", "refused", "timeout"];

/// What the last dial of a server said.
#[derive(Clone, Copy, Debug)]
pub(in crate::telemetry) struct Dial {
    /// `connected`, or a failure's name.
    pub(in crate::telemetry) result: &'static str,
    /// When.
    pub(in crate::telemetry) at: Instant,
}

impl Dial {
    /// Whether it succeeded.
    pub(in crate::telemetry) fn succeeded(self) -> bool {
        self.result == CONNECTED
    }
}

/// All that is counted for an upstream.
#[derive(Debug)]
pub(in crate::telemetry) struct UpstreamTable {
    /// Its name.
    pub(in crate::telemetry) name: Arc<str>,
    /// Its address as configured.
    pub(in crate::telemetry) address: Arc<str>,
    /// From the dial to the greeting.
    pub(in crate::telemetry) connect_duration: Histogram,
    /// Makes the counters that come later.
    registrar: Arc<Registrar>,
    /// What its servers said.
    replies: Codes,
    /// Whether it is up.
    up: Gauge,
    /// By result; the shell names the results.
    connects: Mutex<Vec<(&'static str, Counter)>>,
    /// The last dial.
    last: Mutex<Option<Dial>>,
}

impl UpstreamTable {
    /// The table of the upstream called `name` at `address`.
    pub(in crate::telemetry) fn new(
        registrar: &Arc<Registrar>,
        name: &Arc<str>,
        address: &Arc<str>,
    ) -> Self {
        let label = || SharedString::from(Arc::clone(name));
        let up = registrar.gauge(
            catalogue::UPSTREAM_UP,
            &[label(), Arc::clone(address).into()],
        );
        up.set(1.0);
        let table = Self {
            name: Arc::clone(name),
            address: Arc::clone(address),
            connect_duration: registrar.histogram(catalogue::UPSTREAM_CONNECT_DURATION, &[label()]),
            registrar: Arc::clone(registrar),
            replies: Codes::new(
                registrar,
                catalogue::SERVER_REPLIES,
                name,
                None,
                &SERVER_CODES,
            ),
            up,
            connects: Mutex::default(),
            last: Mutex::default(),
        };
        for result in CONNECT_FAILURES.into_iter().chain([CONNECTED]) {
            table.count_connect(result, 0);
        }
        table
    }

    /// A server sent a reply.
    pub(in crate::telemetry) fn reply(&self, code: u16) {
        self.replies.count(code);
    }

    /// A dial ended. Says what the one before it was.
    pub(in crate::telemetry) fn connected(&self, result: &'static str) -> Option<Dial> {
        self.count_connect(result, 1);
        let dial = Dial {
            result,
            at: clock::monotonic(),
        };
        self.up.set(f64::from(u8::from(dial.succeeded())));
        self.last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(dial)
    }

    /// Adds to the counter of a result.
    fn count_connect(&self, result: &'static str, count: u64) {
        let mut connects = self.connects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, counter)) = connects.iter().find(|(known, _)| *known == result) {
            counter.increment(count);
            return;
        }
        let counter = self.registrar.counter(
            catalogue::UPSTREAM_CONNECTS,
            &[Arc::clone(&self.name).into(), result.into()],
        );
        counter.increment(count);
        connects.push((result, counter));
    }

    /// The last dial.
    pub(in crate::telemetry) fn last_dial(&self) -> Option<Dial> {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The upstream is at this address no more: no alert waits for it any longer.
    pub(in crate::telemetry) fn retire(&self) {
        self.up.set(f64::NAN);
    }
}
