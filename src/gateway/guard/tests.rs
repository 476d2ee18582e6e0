use std::time::Duration;

use super::*;

/// An address.
fn at(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Bounds with a ban.
fn limits(failed_logins: u32) -> ShellLimits {
    ShellLimits {
        failed_logins: Some(failed_logins),
        failed_logins_window: Duration::from_mins(1),
        ban_time: Duration::from_secs(90),
        ..ShellLimits::default()
    }
}

/// A moment.
fn start() -> Instant {
    super::super::clock::instant()
}

/// Seconds behind it.
const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn one_failure_beyond_the_bound_is_a_ban_until_its_time_is_over() {
    let (guard, limits, now) = (Guard::default(), limits(2), start());
    let client = at("192.0.2.1");
    for count in 1..=2 {
        let failed = guard.failed_login(client, &limits, now);
        assert_eq!((failed.count, failed.banned), (count, false));
    }
    assert_eq!(guard.admit(client, &limits, now), Ok(()));
    let failed = guard.failed_login(client, &limits, now);
    assert!(failed.banned && failed.is_new);
    assert_eq!(guard.admit(client, &limits, now), Err(Refusal::Banned));
    assert!(guard.is_banned(client, now));
    assert!(!guard.is_banned(at("192.0.2.2"), now));
    // A session that lives still is banned as well, and not once more.
    let failed = guard.failed_login(client, &limits, now);
    assert!(failed.banned && !failed.is_new);
    let (count, shown) = guard.bans(now + s(30));
    assert_eq!((count, shown[0].client), (1, client));
    assert!((shown[0].seconds_left - 60.0).abs() < 0.001);
    assert_eq!(shown[0].failed_logins, 3);
    assert!(guard.is_banned(client, now + Duration::from_millis(89_999)));
    assert!(!guard.is_banned(client, now + s(90)));
    assert_eq!(guard.bans(now + s(90)).0, 0);
}

#[test]
fn failures_are_forgotten_with_their_window() {
    let (guard, limits, now) = (Guard::default(), limits(2), start());
    let client = at("192.0.2.1");
    for (after, count) in [(0, 1), (59, 2), (60, 1), (61, 2), (121, 1)] {
        let failed = guard.failed_login(client, &limits, now + s(after));
        assert_eq!((failed.count, failed.banned), (count, false), "{after}");
    }
}

#[test]
fn without_a_bound_failures_are_counted_and_nobody_is_banned() {
    let limits = ShellLimits {
        failed_logins: None,
        ..limits(1)
    };
    let (guard, now) = (Guard::default(), start());
    let mut last = guard.failed_login(at("192.0.2.1"), &limits, now);
    for _ in 0..2000 {
        last = guard.failed_login(at("192.0.2.1"), &limits, now);
    }
    assert_eq!((last.count, last.banned), (2001, false));
}

#[test]
fn a_ban_can_be_lifted() {
    let (guard, limits, now) = (Guard::default(), limits(1), start());
    let client = at("192.0.2.1");
    guard.failed_login(client, &limits, now);
    guard.failed_login(client, &limits, now);
    assert!(guard.is_banned(client, now));
    guard.lift();
    assert!(!guard.is_banned(client, now));
}

#[test]
fn an_ipv6_client_is_its_network() {
    assert_eq!(client_of(at("2001:db8:1:2:3:4:5:6")), at("2001:db8:1:2::"));
    assert_eq!(client_of(at("::ffff:192.0.2.1")), at("192.0.2.1"));
    let (guard, limits, now) = (Guard::default(), limits(1), start());
    guard.failed_login(at("2001:db8::1"), &limits, now);
    assert!(guard.failed_login(at("2001:db8::2"), &limits, now).banned);
    assert!(guard.is_banned(at("2001:db8::3"), now));
    assert!(!guard.is_banned(at("2001:db8:0:1::1"), now));
}

#[test]
fn connections_have_a_burst_and_a_pace() {
    let rate = Rate {
        count: 3,
        per: s(60),
    };
    let limits = ShellLimits {
        connection_rate: Some(rate),
        ..ShellLimits::default()
    };
    let (guard, now) = (Guard::default(), start());
    let client = at("192.0.2.1");
    let admits = |after| guard.admit(client, &limits, now + s(after));
    for _ in 0..3 {
        assert_eq!(admits(0), Ok(()));
    }
    let too_fast = |is_first| Err(Refusal::TooFast { is_first });
    assert_eq!(admits(0), too_fast(true));
    assert_eq!(admits(19), too_fast(false));
    assert_eq!(guard.admit(at("192.0.2.2"), &limits, now), Ok(()));
    // What is turned away takes nothing from the allowance.
    assert_eq!(admits(20), Ok(()));
    assert_eq!(admits(20), too_fast(true));
    assert_eq!(admits(40), Ok(()));
    for _ in 0..3 {
        assert_eq!(admits(1000), Ok(()));
    }
    assert_eq!(admits(1000), too_fast(true));
}

#[test]
fn the_oldest_make_room() {
    let mut table = Table::default();
    let client = |number: usize| {
        let bits = u32::try_from(number).unwrap();
        IpAddr::V4(std::net::Ipv4Addr::from_bits(bits))
    };
    for number in 0..CLIENTS {
        table.entry(client(number), || number);
    }
    // The first is heard of again: it is not the oldest any more.
    table.entry(client(0), || unreachable!("it is there"));
    table.entry(client(CLIENTS), || CLIENTS);
    assert_eq!(table.len(), CLIENTS);
    assert_eq!(table.order.len(), CLIENTS);
    assert!(table.get(&client(1)).is_none());
    assert!(table.get(&client(0)).is_some());
    assert_eq!(table.newest().next(), Some((client(CLIENTS), &CLIENTS)));
    table.retain(|number| *number < 10);
    assert_eq!((table.len(), table.order.len()), (9, 9));
    table.remove(&client(0));
    assert_eq!((table.len(), table.order.len()), (8, 8));
}
