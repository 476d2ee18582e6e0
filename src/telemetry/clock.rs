//! The clocks of telemetry: stamps of events, ages of sessions.
//!
//! Owns the only reading of time in `telemetry` and `admin`, and how a time is written. Must not
//! be used by anything that decides: there, time is an input.

use std::cell::RefCell;
use std::time::{Instant, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// What a stamp and the rest of most lines take.
const STAMP_BYTES: usize = 256;

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
    thread_local! {
        /// The last second that was written, and how. Most lines are of the second of the last one.
        static SECOND: RefCell<(i64, String)> = const { RefCell::new((i64::MIN, String::new())) };
    }
    let Ok(milliseconds) = u32::try_from(time.subsec_millisecond()) else {
        // Before 1970.
        return format!("{time:.3}");
    };
    SECOND.with_borrow_mut(|(second, text)| {
        if *second != time.as_second() {
            *second = time.as_second();
            *text = format!("{time:.0}");
            text.truncate(text.len().saturating_sub(1));
        }
        let mut stamp = String::with_capacity(STAMP_BYTES);
        stamp.push_str(text);
        stamp.push('.');
        for unit in [100, 10, 1] {
            stamp.extend(char::from_digit(milliseconds / unit % 10, 10));
        }
        stamp.push('Z');
        stamp
    })
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
