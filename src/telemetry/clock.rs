//! The clocks of telemetry: stamps of events, ages of sessions.
//!
//! Owns the only reading of time in `telemetry` and `admin`, and how a time is written. Must not
//! be used by anything that decides: there, time is an input.

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
    format!("{time:.3}")
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
