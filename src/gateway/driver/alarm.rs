//! What wakes a session's task at its next deadline, or before.
//!
//! Owns the one timer of the task. Must not know what deadlines are about.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::gateway::clock::Clock;

/// A timer that is there while there is something to wait for.
#[derive(Default)]
pub(super) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready when `next` has come, if there is one; until then the task is woken for it.
    pub(super) fn poll(
        &mut self,
        next: Option<Instant>,
        clock: &mut Clock,
        context: &mut Context<'_>,
    ) -> Poll<()> {
        let Some(next) = next else {
            self.0 = None;
            return Poll::Pending;
        };
        loop {
            if next <= clock.instant() {
                return Poll::Ready(());
            }
            let sleep = match &mut self.0 {
                // Deadlines move away with every command: one alarm too early costs less than a new
                // one for each. One that is to come wakes the task, which stays the same.
                Some(sleep) if sleep.deadline() <= next => {
                    if clock.instant() < sleep.deadline() {
                        return Poll::Pending;
                    }
                    sleep
                }
                Some(sleep) => {
                    sleep.as_mut().reset(next);
                    sleep
                }
                None => self.0.insert(Box::pin(sleep_until(next))),
            };
            // Whatever else the task has done in its turn: a timer that is not looked at wakes nobody.
            ready!(Pin::new(&mut unconstrained(sleep.as_mut())).poll(context));
            self.0 = None;
            clock.tick();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::pin::pin;
    use std::time::Duration;

    use tokio::task::coop::consume_budget;
    use tokio::time::timeout;

    use super::*;

    /// Does as much as a task may do in one turn.
    fn work(context: &mut Context<'_>) {
        while pin!(consume_budget()).poll(context).is_ready() {}
    }

    #[tokio::test(start_paused = true)]
    async fn it_wakes_a_task_that_has_done_all_that_it_may() {
        let mut clock = Clock::start();
        let mut alarm = Alarm::default();
        let due = clock.instant() + Duration::from_secs(1);
        let mut polls = 0;
        let woken = poll_fn(|context| {
            polls += 1;
            if polls == 1 {
                work(context);
            }
            clock.tick();
            alarm.poll(Some(due), &mut clock, context)
        });
        timeout(Duration::from_secs(5), woken).await.unwrap();
        assert_eq!(clock.instant(), due);
    }

    #[tokio::test(start_paused = true)]
    async fn it_follows_a_deadline_that_moves_either_way() {
        let mut clock = Clock::start();
        let mut alarm = Alarm::default();
        let begun = clock.instant();
        let after = |seconds| begun + Duration::from_secs(seconds);
        for (next, then) in [(5, 9), (20, 12)] {
            let mut poll = |next, context: &mut Context<'_>| {
                clock.tick();
                alarm.poll(Some(after(next)), &mut clock, context)
            };
            poll_fn(|context| {
                assert!(poll(next, context).is_pending());
                Poll::Ready(())
            })
            .await;
            poll_fn(|context| poll(then, context)).await;
            assert_eq!(clock.instant(), after(then));
        }
        let nothing = poll_fn(|context| alarm.poll(None, &mut clock, context));
        assert!(timeout(Duration::from_mins(1), nothing).await.is_err());
    }
}
