//! The bell that every session hears: it is rung when orders change.
//!
//! Owns who is to be woken. What the orders are, whoever is woken looks up. A seat costs a session
//! two words and no look at each of its events, as a subscription of its own would.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

/// The bell.
#[derive(Debug, Default)]
pub(super) struct Bell {
    /// Who hears it.
    seats: Mutex<Seats>,
}

/// Who hears the bell.
#[derive(Debug, Default)]
struct Seats {
    /// By place; empty places are to be taken again.
    wakers: Vec<Option<Waker>>,
    /// The empty places.
    free: Vec<usize>,
}

impl Bell {
    /// Wakes the task of `waker`, which is the one waker of its life, at each ring from now on.
    pub(super) fn sit(self: &Arc<Self>, waker: &Waker) -> Seat {
        let mut seats = self.lock();
        let waker = Some(waker.clone());
        let place = seats.free.pop().unwrap_or(seats.wakers.len());
        match seats.wakers.get_mut(place) {
            Some(empty) => *empty = waker,
            None => seats.wakers.push(waker),
        }
        Seat {
            bell: Arc::clone(self),
            place,
        }
    }

    /// Wakes all.
    pub(super) fn ring(&self) {
        let wakers: Vec<Waker> = self.lock().wakers.iter().flatten().cloned().collect();
        for waker in wakers {
            waker.wake();
        }
    }

    /// Locks; a thread that panicked with the lock leaves nothing half done here.
    fn lock(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place within earshot, given up when it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    /// Of this bell.
    bell: Arc<Bell>,
    /// Which.
    place: usize,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.bell.lock();
        let waker = seats.wakers.get_mut(self.place).and_then(Option::take);
        seats.free.push(self.place);
        drop(seats);
        // The last waker of a task drops the task: not under the lock.
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Counts how often it was woken.
    #[derive(Default)]
    struct Sleeper(AtomicUsize);

    impl Wake for Sleeper {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn who_sits_is_woken_and_who_left_is_not() {
        let bell = Arc::<Bell>::default();
        let sleepers = [Arc::<Sleeper>::default(), Arc::default()];
        let [first, second] = sleepers
            .clone()
            .map(|sleeper| bell.sit(&Waker::from(sleeper)));
        let woken = || {
            sleepers
                .each_ref()
                .map(|each| each.0.load(Ordering::Relaxed))
        };
        bell.ring();
        assert_eq!(woken(), [1, 1]);
        drop(first);
        bell.ring();
        assert_eq!(woken(), [1, 2]);
        drop(second);
        bell.ring();
        assert_eq!(woken(), [1, 2]);
        assert!(sleepers.iter().all(|each| Arc::strong_count(each) == 1));
    }

    #[test]
    fn places_are_taken_again() {
        let bell = Arc::<Bell>::default();
        for _ in 0..3 {
            let seats: Vec<_> = (0..5).map(|_| bell.sit(Waker::noop())).collect();
            drop(seats);
        }
        assert_eq!(bell.lock().wakers.len(), 5);
    }
}
