//! The one place that reads the clock.

use std::time::{Duration, Instant};

/// Now.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A moment to come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// In `span` from now.
    pub(crate) fn after(span: Duration) -> Self {
        Self(now() + span)
    }

    /// Whether it has come.
    pub(crate) fn is_over(self) -> bool {
        now() >= self.0
    }
}
