//! The time: the one place where it is read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::session::Now;

/// The monotonic time.
pub(super) fn instant() -> Instant {
    Instant::now()
}

/// The time of day: seconds since 1970-01-01 UTC.
#[expect(clippy::disallowed_methods, reason = "the one place where it is read")]
fn unix_time() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The scale on which one session's time runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Where it begins.
    origin: Instant,
}

impl Clock {
    /// A scale that begins now.
    pub(super) fn start() -> Self {
        Self { origin: instant() }
    }

    /// The time.
    pub(super) fn now(&self) -> Now {
        Now {
            elapsed: instant().saturating_duration_since(self.origin),
            unix_time: unix_time(),
        }
    }

    /// A point of the scale; None where it is too far to be told.
    pub(super) fn at(&self, elapsed: Duration) -> Option<Instant> {
        self.origin.checked_add(elapsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_scale_follows_the_runtime() {
        let clock = Clock::start();
        tokio::time::advance(Duration::from_secs(7)).await;
        let now = clock.now();
        assert_eq!(now.elapsed, Duration::from_secs(7));
        assert!(now.unix_time > 1_700_000_000);
        assert_eq!(clock.at(now.elapsed), Some(instant()));
        assert_eq!(clock.at(Duration::MAX), None);
    }
}
