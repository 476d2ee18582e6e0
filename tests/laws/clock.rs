//! The wall clock may jump: bounds do not move with it, and hours follow it.

use std::time::Duration;

use ftpwarden::session::Leg;

use crate::agreeing::{codes, heard, logged_in, open_passive, world};

/// Where the clock jumps to, in seconds since 1970: before its time, long ago, long ahead, its end.
const JUMPS: [i64; 5] = [-1, 0, 1_000_000_000, 4_000_000_000, i64::MAX / 2];

/// Friday, 2027-01-15, 08:00 UTC.
const MORNING: i64 = 1_800_000_000;

/// Twelve hours later.
const EVENING: i64 = MORNING + 12 * 3600;

#[test]
fn law_6_no_bound_moves_with_the_wall_clock() {
    let rest = Duration::from_millis(1);
    for there in JUMPS {
        for and_back in [false, true] {
            let mut idle = logged_in(&["standard"], &["idle_timeout = \"10m\""]);
            idle.wait(Duration::from_mins(4));
            idle.now.unix_time = there;
            idle.wait(Duration::from_mins(3));
            if and_back {
                idle.now.unix_time = MORNING;
            }
            idle.wait(Duration::from_mins(3) - rest);
            assert!(!idle.session.is_over(), "ended early by a jump to {there}");
            idle.wait(rest);
            assert!(idle.session.is_over(), "held up by a jump to {there}");

            let mut greeting = world(&["standard"], &["greeting_timeout = \"10s\""]);
            greeting.now.unix_time = there;
            greeting.wait(Duration::from_secs(10) - rest);
            assert!(
                !greeting.session.is_over(),
                "ended early by a jump to {there}"
            );
            greeting.wait(rest);
            assert!(greeting.session.is_over(), "held up by a jump to {there}");
        }
    }
}

#[test]
fn hours_follow_the_wall_clock_and_running_transfers_finish() {
    let policy = [
        "allow = [\"@session\"]",
        "rules = [{ commands = [\"DELE\", \"RETR\"], hours = \"Mon-Fri 07:00-19:00 UTC\", \
         action = \"allow\" }]",
    ];
    let mut world = logged_in(&policy, &[]);
    world.now.unix_time = MORNING;
    open_passive(&mut world);
    world.send(Leg::Client, b"RETR file\r\n");
    world.dial(Leg::Server);
    world.send(Leg::Server, b"150 Here it comes.\r\n");
    codes(&mut world);
    world.now.unix_time = EVENING;
    world.send_data(Leg::Server, b"the rest");
    world.end_data(Leg::Server, ftpwarden::session::End::Fin);
    world.send(Leg::Server, b"226 Done.\r\n");
    assert_eq!(codes(&mut world), [226]);
    heard(&mut world, Leg::Server);
    world.send(Leg::Client, b"DELE x\r\n");
    assert_eq!(codes(&mut world), [502]);
    world.now.unix_time = MORNING;
    world.send(Leg::Client, b"DELE x\r\n");
    assert_eq!(heard(&mut world, Leg::Server), b"DELE x\r\n");
    world.send(Leg::Server, b"250 Gone.\r\n");
    assert_eq!(codes(&mut world), [250]);
}
