//! Facts as numbers, lines and audit events.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use crate::policy::PolicySet;
use crate::session::Fact;
use crate::settings::Settings;

/// Why a connection was turned away before it became a session.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Rejection {
    /// The gateway is stopping.
    Drain,
    /// `listeners.NAME.sessions`.
    ListenerSessions,
    /// `limits.sessions_per_client`.
    ClientSessions,
    /// `limits.sessions`.
    Sessions,
    /// The gateway is out of descriptors.
    Descriptors,
}

/// The process-wide telemetry.
#[derive(Debug)]
pub struct Telemetry {
    _private: (),
}

/// What telemetry needs to know of a new session.
#[derive(Clone, Debug)]
pub struct Opening {
    /// Listener name.
    pub listener: Arc<str>,
    /// Upstream name.
    pub upstream: Arc<str>,
    /// The client's address.
    pub client: SocketAddr,
    /// The gateway's address that it dialled.
    pub local: SocketAddr,
}

impl Telemetry {
    /// Installs the metrics recorder (once in a process) and opens the audit file.
    ///
    /// # Errors
    /// The audit file cannot be opened, or a recorder is installed already.
    pub fn install(_settings: &Settings, _policies: &PolicySet) -> std::io::Result<Arc<Self>> {
        todo!()
    }
    /// Takes over a new configuration: creates what it adds at zero, reopens the audit if it
    /// changed. Changes nothing when it fails.
    ///
    /// # Errors
    /// The audit file cannot be opened.
    pub fn reconfigure(&self, _settings: &Settings, _policies: &PolicySet) -> std::io::Result<()> {
        todo!()
    }
    /// Begins a session: gauge, id, status entry, log line.
    pub fn session(self: &Arc<Self>, _opening: &Opening) -> SessionRecorder {
        todo!()
    }
    /// A connection was turned away.
    pub fn rejected(&self, _listener: &str, _client: IpAddr, _reason: Rejection) {
        todo!()
    }
    /// Whether new commands are to be refused because audit events would be lost.
    pub fn refuses_commands(&self) -> bool {
        todo!()
    }
    /// How many passive ports a listener has (0: any free port) and how many are in use.
    pub fn passive_ports(&self, _listener: &str, _total: usize, _in_use: usize) {
        todo!()
    }
    /// A dial of an upstream ended: `connected`, or a failure's name.
    pub fn upstream_connect(&self, _upstream: &str, _address: &str, _result: &'static str) {
        todo!()
    }
    /// A reload ended.
    pub fn reloaded(&self, _successful: bool) {
        todo!()
    }
    /// The gateway began to drain: `/readyz` says so from now on.
    pub fn draining(&self) {
        todo!()
    }
    /// SIGUSR1: reopen the files.
    pub fn reopen(&self) {
        todo!()
    }
}

/// Turns one session's facts into numbers, lines and events; dropping it ends the session.
#[derive(Debug)]
pub struct SessionRecorder {
    _private: (),
}

impl SessionRecorder {
    /// The session's id, unique across restarts.
    pub fn id(&self) -> &str {
        todo!()
    }
    /// Takes one fact.
    pub fn note(&mut self, _fact: Fact) {
        todo!()
    }
    /// The session's policies changed: rule ids are those of `policies` from now on.
    pub fn judge_changed(&mut self, _policies: &Arc<PolicySet>) {
        todo!()
    }
    /// The counter that a running relay adds to, for `/status` and [`Told::Measured`].
    ///
    /// [`Told::Measured`]: crate::session::Told::Measured
    pub fn transfer_bytes(&self) -> Arc<AtomicU64> {
        todo!()
    }
    /// The server's greeting came this long after the dial began.
    pub fn greeted(&mut self, _after: Duration) {
        todo!()
    }
}
