use std::future::poll_fn;

use super::*;

/// Bytes a second.
const RATE: u64 = 100 * 1024;

/// A throttle of its own caps.
fn of(rates: &[u64]) -> Throttle {
    let caps = rates.iter().map(|rate| Arc::new(Cap::new(*rate))).collect();
    Throttle::new(caps).unwrap()
}

/// Moves `bytes` in pieces of `piece`.
async fn moves(throttle: &mut Throttle, bytes: u64, piece: u64) {
    let mut left = bytes;
    while left > 0 {
        poll_fn(|context| throttle.poll(context)).await;
        let piece = piece.min(left);
        throttle.spend(piece);
        left -= piece;
    }
}

/// How many seconds so many bytes take.
fn lasts(bytes: u64) -> f64 {
    Duration::from_millis(bytes * 1000 / RATE).as_secs_f64()
}

/// Whether `took` is `seconds`, but for what may be made up for and a slice of everybody's.
fn assert_about(took: Duration, seconds: f64) {
    let took = took.as_secs_f64();
    assert!((took - seconds).abs() < 0.4, "{took} is not {seconds}");
}

#[test]
fn without_a_cap_there_is_no_throttle() {
    assert!(Throttle::new(Vec::new()).is_none());
}

#[tokio::test(start_paused = true)]
async fn the_rate_holds_whatever_the_size_of_pieces() {
    for piece in [100, 5 * 1024, 64 * 1024, 1024 * 1024] {
        let mut throttle = of(&[RATE]);
        let began = Instant::now();
        moves(&mut throttle, 20 * RATE, piece).await;
        // The last piece is moved at once, and owed.
        let last = lasts(piece);
        let took = began.elapsed();
        assert!(took.as_secs_f64() > 20.0 - last - 0.25, "{piece}: {took:?}");
        assert!(took.as_secs_f64() < 20.25, "{piece}: {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_lowest_cap_holds() {
    let mut throttle = of(&[10 * RATE, RATE, 3 * RATE]);
    let began = Instant::now();
    moves(&mut throttle, 5 * RATE, 1024).await;
    assert_about(began.elapsed(), 5.0);
}

#[tokio::test(start_paused = true)]
async fn those_who_share_a_cap_have_it_together() {
    let cap = Arc::new(Cap::new(RATE));
    let began = Instant::now();
    let share = || {
        let mut throttle = Throttle::new(vec![Arc::clone(&cap)]).unwrap();
        async move {
            moves(&mut throttle, RATE, 1024).await;
            began.elapsed()
        }
    };
    let (one, two, three, four) = tokio::join!(share(), share(), share(), share());
    // They take turns: all are done when all is done.
    for took in [one, two, three, four] {
        assert_about(took, 4.0);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_taken_and_not_moved_is_given_back() {
    let cap = Arc::new(Cap::new(RATE));
    let began = Instant::now();
    for _ in 0..1000 {
        let mut short = Throttle::new(vec![Arc::clone(&cap)]).unwrap();
        moves(&mut short, 100, 100).await;
    }
    assert_about(began.elapsed(), lasts(100_000));
}

#[tokio::test(start_paused = true)]
async fn what_was_moved_beyond_a_slice_is_owed_by_those_that_follow() {
    let cap = Arc::new(Cap::new(RATE));
    let began = Instant::now();
    for _ in 0..40 {
        let mut short = Throttle::new(vec![Arc::clone(&cap)]).unwrap();
        // The second piece is moved for what the slice has left.
        moves(&mut short, 10_000, 5_000).await;
    }
    assert_about(began.elapsed(), lasts(400_000));
}

#[tokio::test(start_paused = true)]
async fn a_debt_is_gone_when_all_that_was_taken_is() {
    let cap = Arc::new(Cap::new(RATE));
    assert!(!cap.is_in_debt());
    let mut short = Throttle::new(vec![Arc::clone(&cap)]).unwrap();
    moves(&mut short, RATE, 1024).await;
    drop(short);
    assert!(cap.is_in_debt());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(!cap.is_in_debt());
}

#[tokio::test(start_paused = true)]
async fn an_idle_time_is_not_saved_up() {
    let mut throttle = of(&[RATE]);
    moves(&mut throttle, RATE, 1024).await;
    tokio::time::advance(Duration::from_secs(100)).await;
    let began = Instant::now();
    moves(&mut throttle, 2 * RATE, 1024).await;
    assert_about(began.elapsed(), 2.0);
}
