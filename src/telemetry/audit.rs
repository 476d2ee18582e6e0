//! The audit file: one JSON object a line, for each command, transfer, login, and end.
//!
//! Owns the shape of events and their way to the file. The first three keys of every event are
//! `ts`, `event` and `client_ip`, in this order, so that one pattern finds them. All that came
//! from a peer is escaped; no secret gets here (law L4). A slow or full disk never stalls a
//! session: see [`super::spool`].

use std::borrow::Cow;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use metrics::Counter;
use serde::{Serialize, Serializer};

use super::clock;
use super::spool::{Spool, Target};
use crate::settings::{self, WhenFull};

/// How long most events are at most.
const EVENT_BYTES: usize = 768;

/// What every event begins with.
#[derive(Debug, Serialize)]
pub(super) struct Head<'a> {
    /// When it happened.
    #[serde(serialize_with = "stamp")]
    pub(super) ts: Timestamp,
    /// What it is.
    pub(super) event: &'static str,
    /// The client's address.
    pub(super) client_ip: IpAddr,
    /// The client's port.
    pub(super) client_port: Option<u16>,
    /// The session's id.
    pub(super) session: Option<String>,
    /// The listener's name.
    pub(super) listener: &'a str,
    /// The upstream's name.
    pub(super) upstream: Option<&'a str>,
    /// The version of TLS on the client's leg.
    pub(super) tls: Option<&'static str>,
    /// The subject of the certificate that the client showed.
    pub(super) client_certificate: Option<&'a str>,
    /// Who is logged in, or tried to.
    pub(super) user: Option<&'a str>,
}

/// A time as events have it.
///
/// # Errors
/// The serializer's.
fn stamp<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:.3}"))
}

/// Seconds to the microsecond.
pub(super) fn seconds(duration: Duration) -> f64 {
    Duration::from_micros(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)).as_secs_f64()
}

/// What a policy decided.
#[derive(Debug, Default)]
pub(super) struct Decision<'a> {
    /// The policy.
    pub(super) policy: Option<&'a str>,
    /// The rule.
    pub(super) rule: Option<&'a str>,
    /// What it said.
    pub(super) verdict: Option<&'static str>,
}

/// A command that has had its final reply.
#[derive(Debug, Serialize)]
pub(super) struct CommandEvent<'a> {
    /// The verb in upper case; `other`, or nothing, where it may be a secret by mistake.
    pub(super) verb: Option<&'a str>,
    /// The argument; `***` for a secret.
    pub(super) argument: Option<&'a str>,
    /// The working directory.
    pub(super) directory: Option<Cow<'a, str>>,
    /// The normalised path.
    pub(super) path: Option<Cow<'a, str>>,
    /// The listener's policy, what decided in it, and how.
    pub(super) policy: Option<&'a str>,
    /// See `policy`.
    pub(super) rule: Option<&'a str>,
    /// See `policy`.
    pub(super) verdict: Option<&'static str>,
    /// The upstream's policy, what decided in it, and how.
    pub(super) upstream_policy: Option<&'a str>,
    /// See `upstream_policy`.
    pub(super) upstream_rule: Option<&'a str>,
    /// See `upstream_policy`.
    pub(super) upstream_verdict: Option<&'static str>,
    /// The observed policy, what would have decided in it, and how.
    pub(super) observed_policy: Option<&'a str>,
    /// See `observed_policy`.
    pub(super) observed_rule: Option<&'a str>,
    /// See `observed_policy`.
    pub(super) observed_verdict: Option<&'static str>,
    /// What became of it.
    pub(super) outcome: &'static str,
    /// The final reply's code.
    pub(super) code: Option<u16>,
    /// Who made the final reply.
    pub(super) origin: Option<&'static str>,
    /// Seconds from the command to its final reply.
    pub(super) duration: f64,
}

/// A transfer that ended.
#[derive(Debug, Serialize)]
pub(super) struct TransferEvent<'a> {
    /// Which way.
    pub(super) direction: &'static str,
    /// The verb.
    pub(super) verb: &'a str,
    /// The argument, as the client wrote it.
    pub(super) argument: Option<Cow<'a, str>>,
    /// The working directory.
    pub(super) directory: Option<Cow<'a, str>>,
    /// The normalised path, or the name that the server gave.
    pub(super) path: Option<Cow<'a, str>>,
    /// Bytes that arrived.
    pub(super) bytes: u64,
    /// How long it took.
    pub(super) seconds: f64,
    /// How it ended.
    pub(super) result: &'static str,
}

/// A login that ended; the user of its head is who tried.
#[derive(Debug, Serialize)]
pub(super) struct LoginEvent {
    /// How it ended.
    pub(super) result: &'static str,
}

/// The end of a session, or a connection that did not become one.
#[derive(Debug, Serialize)]
pub(super) struct EndEvent {
    /// Why.
    pub(super) reason: Option<&'static str>,
    /// How long the session lasted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration: Option<f64>,
}

/// A client that was banned.
#[derive(Debug, Serialize)]
pub(super) struct BanEvent {
    /// For so many failed logins.
    pub(super) failed_logins: u32,
    /// For so long.
    pub(super) seconds: f64,
}

/// The audit file.
#[derive(Debug)]
pub(super) struct Audit {
    /// Its way to the disk.
    spool: Spool,
    /// Whether commands are refused when events would be lost.
    refuses: AtomicBool,
}

impl Audit {
    /// Opens the audit file, or standard output.
    ///
    /// # Errors
    /// The file cannot be opened: which it is, and what to do.
    pub(super) fn open(settings: &settings::Audit) -> io::Result<Target> {
        let Some(path) = &settings.path else {
            return Ok(Target::Stream(Box::new(io::stdout())));
        };
        Target::file(path).map_err(|error| {
            let advice = advice(path, error.kind());
            let path = path.display();
            let sentence = format!("[audit] cannot write to `path` {path}: {error}{advice}");
            io::Error::new(error.kind(), sentence)
        })
    }

    /// Begins to write to `target`; `lost` counts what does not get there.
    ///
    /// # Errors
    /// The writer cannot be started.
    pub(super) fn begin(
        target: Target,
        settings: &settings::Audit,
        lost: Counter,
    ) -> io::Result<Self> {
        let audit = Self {
            spool: Spool::new("audit", target, lost).map_err(|error| {
                let sentence = format!("[audit] the thread that writes cannot be started: {error}");
                io::Error::new(error.kind(), sentence)
            })?,
            refuses: AtomicBool::new(false),
        };
        audit.set_when_full(settings.when_full);
        Ok(audit)
    }

    /// What happens when the writer cannot keep up.
    pub(super) fn set_when_full(&self, when_full: WhenFull) {
        let refuses = when_full == WhenFull::Refuse;
        self.refuses.store(refuses, Ordering::Relaxed);
        self.spool.keep(refuses);
    }

    /// Writes an event, or counts that it was lost. `body` has at least one key.
    pub(super) fn write(&self, head: &Head<'_>, body: &impl Serialize) {
        if let Some(mut line) = line(head, body) {
            line.push(b'\n');
            self.spool.push(line);
        }
    }

    /// Whether new commands are to be refused.
    pub(super) fn refuses_commands(&self) -> bool {
        self.refuses.load(Ordering::Relaxed) && self.spool.is_at_risk()
    }

    /// Whether no event is to be lost.
    pub(super) fn keeps_all(&self) -> bool {
        self.refuses.load(Ordering::Relaxed)
    }

    /// How many events wait to be written.
    pub(super) fn waiting(&self) -> usize {
        self.spool.waiting()
    }

    /// Opens the file again.
    pub(super) fn reopen(&self) {
        self.spool.reopen();
    }

    /// Waits until what was written so far is out.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        self.spool.flush(patience)
    }
}

/// What to do about a `path` that cannot be opened.
fn advice(path: &Path, kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::NotFound => {
            let directory = path.parent().map(Path::display);
            let directory = directory.map_or_else(String::new, |name| format!(" {name}"));
            format!("; make the directory{directory}, and let the gateway's user write in it")
        }
        io::ErrorKind::PermissionDenied => {
            "; let the gateway's user write to it and in its directory".to_owned()
        }
        io::ErrorKind::IsADirectory => "; write the path of a file in it".to_owned(),
        _ => String::new(),
    }
}

/// An event as one object: the head's keys, then the body's. None where it has no JSON form,
/// which plain texts and numbers always have.
fn line(head: &Head<'_>, body: &impl Serialize) -> Option<Vec<u8>> {
    let mut line = Vec::with_capacity(EVENT_BYTES);
    serde_json::to_writer(&mut line, head).ok()?;
    // The head's end is taken off, and the body's begin becomes the comma between them.
    line.pop();
    let seam = line.len();
    serde_json::to_writer(&mut line, body).ok()?;
    *line.get_mut(seam)? = b',';
    Some(line)
}

/// An event's head for a session.
pub(super) fn head<'a>(
    event: &'static str,
    client: SocketAddr,
    session: String,
    listener: &'a str,
    upstream: &'a str,
    user: Option<&'a str>,
) -> Head<'a> {
    Head {
        ts: clock::wall(),
        event,
        client_ip: client.ip().to_canonical(),
        client_port: Some(client.port()),
        session: Some(session),
        listener,
        upstream: Some(upstream),
        tls: None,
        client_certificate: None,
        user,
    }
}

/// The same, for what happens to a client without a session.
pub(super) fn client_head<'a>(
    event: &'static str,
    client: IpAddr,
    listener: &'a str,
    upstream: Option<&'a str>,
) -> Head<'a> {
    Head {
        ts: clock::wall(),
        event,
        client_ip: client.to_canonical(),
        client_port: None,
        session: None,
        listener,
        upstream,
        tls: None,
        client_certificate: None,
        user: None,
    }
}

#[cfg(test)]
mod tests;
