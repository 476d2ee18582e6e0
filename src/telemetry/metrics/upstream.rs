//! The handles of an upstream, and what its last dial said.
//!
//! Must not know who dials, or when.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use metrics::{Counter, Gauge, Histogram, SharedString};

use super::codes::{Codes, SERVER_CODES};
use super::{Registrar, Row, catalogue, row};
use crate::telemetry::clock;

/// How a dial of an upstream ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DialResult {
    /// The server is there.
    Connected,
    /// Its name has no address.
    Name,
    /// It refused.
    Refused,
    /// No way leads there.
    Unreachable,
    /// It did not answer in time.
    Timeout,
    /// The gateway had nothing to dial with.
    Local,
    /// It would have dialled itself.
    Loop,
}

impl DialResult {
    /// All of them.
    const ALL: [Self; 7] = [
        Self::Connected,
        Self::Name,
        Self::Refused,
        Self::Unreachable,
        Self::Timeout,
        Self::Local,
        Self::Loop,
    ];

    /// The word for it, in metrics, log and `/status`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Name => "name",
            Self::Refused => "refused",
            Self::Unreachable => "unreachable",
            Self::Timeout => "timeout",
            Self::Local => "local",
            Self::Loop => "loop",
        }
    }

    /// Where it stands among [`DialResult::ALL`].
    const fn index(self) -> usize {
        match self {
            Self::Connected => 0,
            Self::Name => 1,
            Self::Refused => 2,
            Self::Unreachable => 3,
            Self::Timeout => 4,
            Self::Local => 5,
            Self::Loop => 6,
        }
    }
}

/// What the last dial of a server said.
#[derive(Clone, Copy, Debug)]
pub(in crate::telemetry) struct Dial {
    /// How it ended.
    pub(in crate::telemetry) result: DialResult,
    /// When.
    pub(in crate::telemetry) at: Instant,
}

impl Dial {
    /// Whether it succeeded.
    pub(in crate::telemetry) fn succeeded(self) -> bool {
        self.result == DialResult::Connected
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
    /// What its servers said.
    replies: Codes,
    /// Whether it is up.
    up: Gauge,
    /// By result.
    connects: Row<Counter>,
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
        Self {
            name: Arc::clone(name),
            address: Arc::clone(address),
            connect_duration: registrar.histogram(catalogue::UPSTREAM_CONNECT_DURATION, &[label()]),
            replies: Codes::new(
                registrar,
                catalogue::SERVER_REPLIES,
                name,
                None,
                &SERVER_CODES,
            ),
            up,
            connects: row(&DialResult::ALL, DialResult::index, |result| {
                registrar.counter(
                    catalogue::UPSTREAM_CONNECTS,
                    &[label(), result.name().into()],
                )
            }),
            last: Mutex::default(),
        }
    }

    /// A server sent a reply.
    pub(in crate::telemetry) fn reply(&self, code: u16) {
        self.replies.count(code);
    }

    /// A dial ended. Says whether that is news: the one before it ended otherwise.
    pub(in crate::telemetry) fn dialled(&self, result: DialResult) -> bool {
        if let Some(counter) = self.connects.get(result.index()) {
            counter.increment(1);
        }
        let dial = Dial {
            result,
            at: clock::monotonic(),
        };
        self.up.set(f64::from(u8::from(dial.succeeded())));
        let before = self
            .last
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .replace(dial);
        match before {
            Some(before) => before.result != result,
            None => !dial.succeeded(),
        }
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
