//! All timers of a session: one enum, one array.

use std::time::Duration;

/// What a session may be waiting for in vain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Timer {
    /// A command line's end.
    Command,
    /// The data connections of a transfer, or the client's dial of an offer.
    DataConnect,
    /// The greeting.
    Greeting,
    /// The TLS handshake of a control connection.
    Handshake,
    /// The next command.
    Idle,
    /// The report on a broken transfer whose client has ended.
    LastWord,
    /// A login.
    Login,
    /// A local refusal's turn: it takes as long as a server's would.
    Refusal,
    /// A final reply.
    Reply,
    /// What must come within a moment once the rest of a transfer is there.
    Settle,
    /// A look at whether the relay still moves bytes.
    Stall,
}

impl Timer {
    /// Every timer.
    const ALL: [Self; 11] = [
        Self::Command,
        Self::DataConnect,
        Self::Greeting,
        Self::Handshake,
        Self::Idle,
        Self::LastWord,
        Self::Login,
        Self::Refusal,
        Self::Reply,
        Self::Settle,
        Self::Stall,
    ];

    /// Its place among all.
    #[expect(clippy::as_conversions, reason = "a variant's own number")]
    const fn index(self) -> usize {
        self as usize
    }
}

/// The time of a timer that does not run.
const NEVER: u64 = u64::MAX;

/// When each timer runs out, on the scale of [`super::Now::elapsed`].
#[derive(Debug)]
pub(super) struct Deadlines {
    /// Nanoseconds by timer, in the order of [`Timer::ALL`]. What lies beyond them, in 584 years,
    /// is the last of them.
    at: [u64; Timer::ALL.len()],
}

impl Default for Deadlines {
    /// None runs.
    fn default() -> Self {
        Self {
            at: [NEVER; Timer::ALL.len()],
        }
    }
}

/// A time as the array has it.
fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).map_or(NEVER - 1, |nanoseconds| nanoseconds.min(NEVER - 1))
}

impl Deadlines {
    /// The slot of `timer`.
    fn slot(&mut self, timer: Timer) -> Option<&mut u64> {
        self.at.get_mut(timer.index())
    }

    /// Runs `timer` out `after` the time `now`; replaces what was set.
    pub(super) fn arm(&mut self, timer: Timer, now: Duration, after: Duration) {
        if let Some(slot) = self.slot(timer) {
            *slot = nanoseconds(now.saturating_add(after));
        }
    }

    /// As [`Deadlines::arm`], unless it runs already.
    pub(super) fn arm_once(&mut self, timer: Timer, now: Duration, after: Duration) {
        if !self.runs(timer) {
            self.arm(timer, now, after);
        }
    }

    /// Lets `timer`, if it runs, run as if it had been armed with `new` and not with `former`.
    pub(super) fn stretch(&mut self, timer: Timer, former: Duration, new: Duration) {
        if let Some(slot) = self.slot(timer)
            && *slot != NEVER
        {
            let since = Duration::from_nanos(*slot).saturating_sub(former);
            *slot = nanoseconds(since.saturating_add(new));
        }
    }

    /// Stops `timer`.
    pub(super) fn disarm(&mut self, timer: Timer) {
        if let Some(slot) = self.slot(timer) {
            *slot = NEVER;
        }
    }

    /// Whether `timer` runs.
    pub(super) fn runs(&self, timer: Timer) -> bool {
        self.at.get(timer.index()).is_some_and(|at| *at != NEVER)
    }

    /// When the first timer runs out.
    pub(super) fn next(&self) -> Option<Duration> {
        let first = self.at.iter().min().copied()?;
        (first != NEVER).then(|| Duration::from_nanos(first))
    }

    /// Takes a timer that has run out at `now`.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Timer> {
        let now = nanoseconds(now);
        let (timer, slot) = Timer::ALL
            .into_iter()
            .zip(self.at.iter_mut())
            .filter(|(_, at)| **at <= now)
            .min_by_key(|(_, at)| **at)?;
        *slot = NEVER;
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_timer_has_its_own_place() {
        for (index, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer.index(), index, "{timer:?}");
        }
    }
}
