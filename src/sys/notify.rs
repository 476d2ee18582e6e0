//! What the service manager is told (`sd_notify(3)`); nothing where there is none.

use std::io;
use std::time::Duration;

use sd_notify::NotifyState;

/// The gateway is in service, or a reload is over.
///
/// # Errors
/// The service manager's socket does not take it.
pub fn ready(status: &str) -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Ready, NotifyState::Status(status)])
}

/// A reload has begun; [`ready`] ends it. Carries the monotonic time, without which
/// `Type=notify-reload` fails the reload.
///
/// # Errors
/// The service manager's socket does not take it.
pub fn reloading() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Reloading, NotifyState::monotonic_usec_now()?])
}

/// The gateway is draining, for `longest` at most.
///
/// # Errors
/// The service manager's socket does not take it.
pub fn stopping(longest: Duration) -> io::Result<()> {
    let usec = u32::try_from(longest.as_micros()).unwrap_or(u32::MAX);
    sd_notify::notify(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(usec)])
}

/// The line that `systemctl status` shows.
///
/// # Errors
/// The service manager's socket does not take it.
pub fn status(text: &str) -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Status(text)])
}

/// A sign of life.
///
/// # Errors
/// The service manager's socket does not take it.
pub fn watchdog() -> io::Result<()> {
    sd_notify::notify(&[NotifyState::Watchdog])
}

/// How often the service manager wants a sign of life: half of what it allows.
pub fn watchdog_interval() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|allowed| allowed / 2)
}
