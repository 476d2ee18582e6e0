//! The time, for sessions and what is around them: relays with a bandwidth, telemetry and the command line
//! read it for themselves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::session::Now;

/// The monotonic time.
pub(super) fn instant() -> Instant {
    Instant::now()
}

/// The time of day: seconds since 1970-01-01 UTC.
#[expect(
    clippy::disallowed_methods,
    reason = "sessions are told the time from here"
)]
fn unix_time() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// The scale on which one session's time runs, and how far it has run. It stands still while an
/// event is worked on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Where it begins.
    origin: Instant,
    /// How far it has run.
    elapsed: Duration,
    /// The time of day.
    unix_time: i64,
    /// In which tenth of a second of the scale that was read.
    tenth: u64,
}

impl Clock {
    /// A scale that begins now.
    pub(super) fn start() -> Self {
        Self {
            origin: instant(),
            elapsed: Duration::ZERO,
            unix_time: unix_time(),
            tenth: 0,
        }
    }

    /// Reads the time again: at each event. The time of day is told in seconds: it is read in each
    /// tenth of one.
    pub(super) fn tick(&mut self) {
        self.elapsed = instant().saturating_duration_since(self.origin);
        let tenths = u64::from(self.elapsed.subsec_millis() / 100);
        let tenth = self
            .elapsed
            .as_secs()
            .saturating_mul(10)
            .saturating_add(tenths);
        if tenth != self.tenth {
            self.tenth = tenth;
            self.unix_time = unix_time();
        }
    }

    /// The time, as the session has it.
    pub(super) const fn now(&self) -> Now {
        Now {
            elapsed: self.elapsed,
            unix_time: self.unix_time,
        }
    }

    /// The time, as the runtime has it.
    pub(super) fn instant(&self) -> Instant {
        self.at(self.elapsed).unwrap_or(self.origin)
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
        let mut clock = Clock::start();
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(clock.now().elapsed, Duration::ZERO, "it stands still");
        clock.tick();
        let now = clock.now();
        assert_eq!(now.elapsed, Duration::from_secs(7));
        assert!(now.unix_time > 1_700_000_000);
        assert_eq!(clock.at(now.elapsed), Some(instant()));
        assert_eq!(clock.instant(), instant());
        assert_eq!(clock.at(Duration::MAX), None);
    }
}
