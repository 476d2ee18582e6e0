//! The clocks of telemetry: stamps of events, ages of sessions.
//!
//! Owns the only reading of time in `telemetry` and `admin`, and how a time is written. Must not
//! be used by anything that decides: there, time is an input.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::time::{Instant, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// A monotonic instant.
#[expect(
    clippy::disallowed_methods,
    reason = "ages and durations of telemetry are read here and nowhere else"
)]
pub(crate) fn monotonic() -> Instant {
    Instant::now()
}

/// The time of day.
#[expect(
    clippy::disallowed_methods,
    reason = "stamps of telemetry are read here and nowhere else"
)]
pub(crate) fn wall() -> Timestamp {
    Timestamp::try_from(SystemTime::now()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// A time as logs and audit have it: RFC 3339, UTC, with milliseconds.
pub(crate) fn stamp(time: Timestamp) -> String {
    let mut stamp = String::new();
    push_stamp(&mut stamp, time);
    stamp
}

/// The same, behind `text`.
pub(crate) fn push_stamp(text: &mut String, time: Timestamp) {
    thread_local! {
        /// The last second that was written, and how. Most lines are of the second of the last one.
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let Ok(milliseconds) = u32::try_from(time.subsec_millisecond()) else {
        // Before 1970.
        // A string takes whatever is written.
        return write!(text, "{time:.3}").unwrap_or_default();
    };
    SECOND.with_borrow_mut(|(second, written)| {
        if *second != time.as_second() {
            *second = time.as_second();
            *written = format!("{time:.0}");
            written.pop();
        }
        text.push_str(written);
        text.push('.');
        for unit in [100, 10, 1] {
            text.extend(char::from_digit(milliseconds / unit % 10, 10));
        }
        text.push('Z');
    });
}

/// A time as vsftpd and ftpd have it, without a zone: `Sun Nov 22 10:00:02 2026`.
pub(crate) fn ctime(time: Timestamp, zone: &TimeZone) -> String {
    Zoned::new(time, zone.clone())
        .strftime("%a %b %e %H:%M:%S %Y")
        .to_string()
}

/// The machine's zone, as `/etc/localtime` has it; UTC where there is none.
pub(crate) fn machine_zone() -> TimeZone {
    std::fs::read("/etc/localtime")
        .ok()
        .and_then(|data| TimeZone::tzif("Local", &data).ok())
        .unwrap_or(TimeZone::UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_the_time_in_milliseconds_rounded_down() {
        for nanoseconds in [
            0,
            1,
            999_999,
            1_000_000,
            1_795_000_000_999_999_999,
            1_795_000_001_000_000_000,
            1_795_000_000_999_000_000,
            1_795_000_001_070_500_000,
            -1_000_000,
            -1_500_000_001,
        ] {
            let time = Timestamp::from_nanosecond(nanoseconds).unwrap();
            assert_eq!(stamp(time), format!("{time:.3}"), "{nanoseconds}");
        }
    }
}
