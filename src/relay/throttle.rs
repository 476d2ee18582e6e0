//! Bandwidth: so many bytes a second, for one transfer or for all that share a cap.
//!
//! A transfer takes its bytes from each of its caps a slice at a time, before it moves them, and is
//! told when that slice may go: transfers that share a cap take turns in the order in which they
//! asked. A cap is one number, the time at which all that was taken from it will have gone, and no
//! task fills it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

/// How many slices a second has.
const SLICES: u64 = 20;
/// The least that a slice has.
const SLICE_MIN: u64 = 512;
/// The most: what a wide pipe holds.
const SLICE_MAX: u64 = 1024 * 1024;

/// What a cap that was not used up may make up for, so that timers that are late cost nothing.
const CREDIT: Duration = Duration::from_millis(100);

/// So many bytes a second, for all that share it.
#[derive(Debug)]
pub struct Cap {
    /// How many, at least one.
    rate: u64,
    /// Where its time begins.
    origin: Instant,
    /// When all that was taken will have gone: nanoseconds since `origin`.
    free_at: AtomicU64,
}

impl Cap {
    /// `rate` bytes a second.
    pub fn new(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            origin: Instant::now(),
            free_at: AtomicU64::new(0),
        }
    }

    /// Whether some of what was taken has still to go.
    pub fn is_in_debt(&self) -> bool {
        nanoseconds(self.origin.elapsed()) < self.free_at.load(Ordering::Relaxed)
    }

    /// How long so many bytes take, in nanoseconds.
    fn cost(&self, bytes: u64) -> u64 {
        let nanoseconds = u128::from(bytes).saturating_mul(1_000_000_000) / u128::from(self.rate);
        u64::try_from(nanoseconds).unwrap_or(u64::MAX)
    }

    /// Takes `bytes`; returns when they may go.
    fn take(&self, bytes: u64, now: Instant) -> Instant {
        let since = now.saturating_duration_since(self.origin);
        let earliest = nanoseconds(since.saturating_sub(CREDIT));
        let cost = self.cost(bytes);
        let mut at = self.free_at.load(Ordering::Relaxed);
        loop {
            let start = at.max(earliest);
            let end = start.saturating_add(cost);
            match self
                .free_at
                .compare_exchange_weak(at, end, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => break self.origin + Duration::from_nanos(start),
                Err(other) => at = other,
            }
        }
    }

    /// Gives back `bytes` that did not go after all.
    fn give_back(&self, bytes: u64) {
        let cost = self.cost(bytes);
        let mut at = self.free_at.load(Ordering::Relaxed);
        while let Err(other) = self.free_at.compare_exchange_weak(
            at,
            at.saturating_sub(cost),
            Ordering::Relaxed,
            Ordering::Relaxed,
        ) {
            at = other;
        }
    }
}

/// The whole of a duration in nanoseconds.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// What one transfer may move, and when.
#[derive(Debug)]
pub struct Throttle {
    /// Every cap that holds for it.
    caps: Vec<Arc<Cap>>,
    /// How many bytes it takes at a time.
    slice: u64,
    /// How many of them it may still move.
    left: u64,
    /// How many it moved beyond: they are taken before the next slice.
    owed: u64,
    /// Until when a slice that was taken waits; one timer for the whole transfer.
    until: Option<Instant>,
    /// That timer.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Throttle {
    /// Under `caps`; None where there is none.
    pub fn new(caps: Vec<Arc<Cap>>) -> Option<Self> {
        let rate = caps.iter().map(|cap| cap.rate).min()?;
        Some(Self {
            caps,
            slice: rate.div_euclid(SLICES).clamp(SLICE_MIN, SLICE_MAX),
            left: 0,
            owed: 0,
            until: None,
            timer: None,
        })
    }

    /// How many bytes are to be read at a time, at most.
    pub(super) fn slice(&self) -> usize {
        usize::try_from(self.slice).unwrap_or(usize::MAX)
    }

    /// Whether it is fast enough for a pipe, which cannot be filled in part.
    pub(super) const fn suits_pipe(&self) -> bool {
        self.slice >= SLICE_MAX
    }

    /// Whether a slice waits for its turn.
    pub(super) const fn waits(&self) -> bool {
        self.until.is_some()
    }

    /// Ready when bytes may be moved.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.left > 0 {
            return Poll::Ready(());
        }
        let now = Instant::now();
        let until = if let Some(until) = self.until {
            until
        } else {
            let owed = std::mem::take(&mut self.owed);
            let starts = self.caps.iter().map(|cap| {
                if owed > 0 {
                    cap.take(owed, now);
                }
                cap.take(self.slice, now)
            });
            starts.max().unwrap_or(now)
        };
        if until > now {
            self.until = Some(until);
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(sleep_until(until)));
            if timer.deadline() != until {
                timer.as_mut().reset(until);
            }
            ready!(timer.as_mut().poll(context));
        }
        self.until = None;
        self.left = self.slice;
        Poll::Ready(())
    }

    /// Bytes were moved.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.owed = self.owed.saturating_add(bytes.saturating_sub(self.left));
        self.left = self.left.saturating_sub(bytes);
    }
}

impl Drop for Throttle {
    fn drop(&mut self) {
        // A slice that waits was taken as well.
        let unused = if self.waits() { self.slice } else { self.left };
        for cap in &self.caps {
            cap.give_back(unused);
            if self.owed > 0 {
                cap.take(self.owed, Instant::now());
            }
        }
    }
}

#[cfg(test)]
mod tests;
