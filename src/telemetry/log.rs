//! Log lines on standard error: text for people, or JSON.
//!
//! Owns the subscriber and how it is changed while the program runs. Lines carry the fields
//! `session`, `listener`, `client` and `user` where there is a session; spans are not shown. What
//! is logged goes through a bounded queue (`spool`): a reader of standard error that
//! stands still stalls nobody, it loses lines and is told how many. Login failures are written in
//! vsftpd's form as well, for the filter that fail2ban has for it.

mod line;

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use jiff::tz::TimeZone;
use metrics::Counter;
use tracing::{Event, Subscriber};
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::reload;

use super::clock;
use super::spool::{Spool, Target};
use crate::settings::{Log, LogFormat, LogLevel};
use line::{Line, TextLine};

/// The target of login failures in vsftpd's form.
const FAIL_LOGIN: &str = "ftpwarden::fail_login";

/// How long the end of the program waits for its last lines.
const FAREWELL: Duration = Duration::from_secs(1);

/// What may be changed while the program runs. The last lines are waited for when one is dropped.
#[derive(Clone)]
pub struct Handle {
    /// The level.
    filter: reload::Handle<Targets, Registry>,
    /// Whether lines are JSON.
    json: Arc<AtomicBool>,
    /// The way to the stream.
    spool: Arc<Spool>,
}

impl fmt::Debug for Handle {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    /// Takes over changed settings.
    pub fn reconfigure(&self, settings: Log) {
        self.json
            .store(settings.format == LogFormat::Json, Ordering::Relaxed);
        // It fails when the subscriber is gone, and then nobody reads the level.
        self.filter.reload(targets(settings.level)).ok();
    }

    /// Waits until what was logged so far is out; false if that takes longer than `patience`.
    pub fn flush(&self, patience: Duration) -> bool {
        self.spool.flush(patience)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.flush(FAREWELL);
    }
}

/// Sends the program's log to standard error: once in a process. Colours are used on a terminal
/// only, and never when `NO_COLOR` is set.
///
/// # Errors
/// The program has a subscriber already, or the writer cannot be started.
pub fn install(settings: Log) -> io::Result<Handle> {
    let stream = io::stderr();
    let colour =
        stream.is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let (subscriber, handle) = subscriber(settings, Box::new(stream), colour)?;
    tracing::subscriber::set_global_default(subscriber).map_err(io::Error::other)?;
    Ok(handle)
}

/// A subscriber that writes to `stream`, and its handle.
///
/// # Errors
/// The writer cannot be started.
pub fn subscriber(
    settings: Log,
    stream: Box<dyn Write + Send>,
    colour: bool,
) -> io::Result<(impl Subscriber + Send + Sync, Handle)> {
    let lost = Arc::new(AtomicU64::new(0));
    let spool = Arc::new(Spool::new(
        "log",
        Target::Stream(stream),
        Counter::from_arc(Arc::clone(&lost)),
    )?);
    let json = Arc::new(AtomicBool::new(settings.format == LogFormat::Json));
    let (filter, reload) = reload::Layer::new(targets(settings.level));
    let lines = Lines {
        json: Arc::clone(&json),
        colour,
        zone: clock::machine_zone(),
        spool: Arc::clone(&spool),
        lost,
    };
    let handle = Handle {
        filter: reload,
        json,
        spool,
    };
    Ok((Registry::default().with(filter).with(lines), handle))
}

/// What is let through: the gateway's own lines from `level`, those of libraries from warnings.
fn targets(level: LogLevel) -> Targets {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    Targets::new()
        .with_default(level.min(LevelFilter::WARN))
        .with_target(env!("CARGO_PKG_NAME"), level)
}

/// Logs a failed login in vsftpd's form. `user` is escaped already. It is a warning, so that those
/// who ban guessers by it may have a log without the sessions.
pub(super) fn login_failed(user: &str, client: IpAddr) {
    tracing::warn!(target: FAIL_LOGIN, user, client = %client, "FAIL LOGIN");
}

/// The layer that makes lines of events.
struct Lines {
    /// Whether they are JSON.
    json: Arc<AtomicBool>,
    /// Whether they have colours.
    colour: bool,
    /// The machine's zone, which vsftpd's form has its time in.
    zone: TimeZone,
    /// The way to the stream.
    spool: Arc<Spool>,
    /// How many lines were lost and not yet told of.
    lost: Arc<AtomicU64>,
}

impl Lines {
    /// Hands a line in.
    fn push(&self, mut line: String) {
        line.push('\n');
        self.spool.push(line.into_bytes());
    }

    /// The line of an event, without its end.
    fn line(&self, event: &Event<'_>) -> String {
        let now = clock::wall();
        let json = self.json.load(Ordering::Relaxed);
        if event.metadata().target() == FAIL_LOGIN {
            let mut line = Line::of(event, now);
            line.fail_login(&clock::ctime(now, &self.zone));
            if json { line.json() } else { line.message }
        } else if json {
            Line::of(event, now).json()
        } else {
            TextLine::of(event, now, self.colour)
        }
    }
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        self.push(self.line(event));
        if !self.spool.is_at_risk() && self.lost.load(Ordering::Relaxed) > 0 {
            let count = self.lost.swap(0, Ordering::Relaxed);
            let now = clock::wall();
            self.push(if self.json.load(Ordering::Relaxed) {
                Line::lost(count, now).json()
            } else {
                TextLine::lost(count, now, self.colour)
            });
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
