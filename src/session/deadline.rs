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
}

/// When each timer runs out, on the scale of [`super::Now::elapsed`].
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    /// By timer, in the order of [`Timer::ALL`].
    at: [Option<Duration>; Timer::ALL.len()],
}

impl Deadlines {
    /// The slot of `timer`.
    fn slot(&mut self, timer: Timer) -> Option<&mut Option<Duration>> {
        let index = Timer::ALL.iter().position(|each| *each == timer)?;
        self.at.get_mut(index)
    }

    /// Runs `timer` out `after` the time `now`; replaces what was set.
    pub(super) fn arm(&mut self, timer: Timer, now: Duration, after: Duration) {
        if let Some(slot) = self.slot(timer) {
            *slot = Some(now.saturating_add(after));
        }
    }

    /// As [`Deadlines::arm`], unless it runs already.
    pub(super) fn arm_once(&mut self, timer: Timer, now: Duration, after: Duration) {
        if let Some(slot) = self.slot(timer) {
            slot.get_or_insert(now.saturating_add(after));
        }
    }

    /// Lets `timer`, if it runs, run as if it had been armed with `new` and not with `former`.
    pub(super) fn stretch(&mut self, timer: Timer, former: Duration, new: Duration) {
        if let Some(Some(at)) = self.slot(timer) {
            *at = at.saturating_sub(former).saturating_add(new);
        }
    }

    /// Stops `timer`.
    pub(super) fn disarm(&mut self, timer: Timer) {
        if let Some(slot) = self.slot(timer) {
            *slot = None;
        }
    }

    /// Whether `timer` runs.
    #[cfg(debug_assertions)]
    pub(super) fn runs(&self, timer: Timer) -> bool {
        Timer::ALL
            .iter()
            .zip(&self.at)
            .any(|(each, at)| *each == timer && at.is_some())
    }

    /// When the first timer runs out.
    pub(super) fn next(&self) -> Option<Duration> {
        self.at.iter().flatten().min().copied()
    }

    /// Takes a timer that has run out at `now`.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Timer> {
        let (timer, slot) = Timer::ALL
            .into_iter()
            .zip(self.at.iter_mut())
            .filter(|(_, at)| at.is_some_and(|at| at <= now))
            .min_by_key(|(_, at)| **at)?;
        *slot = None;
        Some(timer)
    }
}
