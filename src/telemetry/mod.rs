//! Facts as numbers, lines and audit events.
//!
//! Owns what is told of sessions to people and machines: metrics, log, audit file, status. Must
//! not decide anything, and must not hold up a session: counting is an atomic, and lines go
//! through bounded queues. There is no global recorder, so a process may have several; only the
//! log's subscriber is the process's own.

mod audit;
mod bans;
mod clock;
pub mod escape;
pub mod log;
pub mod metrics;
mod readiness;
mod recorder;
mod spool;
mod status;
mod tables;

use std::error::Error;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use serde::Serialize;

use crate::policy::{PolicySet, RuleInfo, SetId};
use crate::session::Origin;
use crate::settings::{self, Settings};
use audit::{Audit, BanEvent, EndEvent, Head};
pub use bans::BanStatus;
use bans::Bans;
pub use metrics::DialResult;
use metrics::{Metrics, PolicyTable};
pub use readiness::{PortStatus, Status, UpstreamStatus};
pub use recorder::SessionRecorder;
use spool::Target;
use status::Sessions;
pub use status::{SessionStatus, TransferStatus};
use tables::Tables;

/// How long the end waits for the last audit events.
const FAREWELL: Duration = Duration::from_secs(2);

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
    /// Too many logins from the client's address have failed.
    Banned,
    /// `limits.connection_rate`.
    ConnectionRate,
    /// `listeners.NAME.accept_proxy_from`: no header, or none that can be believed.
    ProxyHeader,
}

impl Rejection {
    /// Every reason.
    pub const ALL: [Self; 8] = [
        Self::Drain,
        Self::ListenerSessions,
        Self::ClientSessions,
        Self::Sessions,
        Self::Descriptors,
        Self::Banned,
        Self::ConnectionRate,
        Self::ProxyHeader,
    ];

    /// The label value.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drain => "drain",
            Self::ListenerSessions => "listener_sessions",
            Self::ClientSessions => "client_sessions",
            Self::Sessions => "sessions",
            Self::Descriptors => "descriptors",
            Self::Banned => "banned",
            Self::ConnectionRate => "connection_rate",
            Self::ProxyHeader => "proxy_header",
        }
    }
}

/// What the audit lacks when the program ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AuditLoss {
    /// Events that were dropped since the program began, and those that cannot be written now.
    pub events: u64,
    /// Whether none was to be lost (`when_full = "refuse"`).
    pub is_forbidden: bool,
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

impl Drop for Telemetry {
    fn drop(&mut self) {
        self.flush();
    }
}

/// An audit file and the settings that it was opened with.
#[derive(Debug)]
struct OpenAudit {
    /// The file.
    file: Audit,
    /// Its settings.
    settings: settings::Audit,
}

/// An audit file that is open and not yet written to.
#[derive(Debug)]
struct PreparedAudit {
    /// Where events will go.
    target: Target,
    /// Its settings.
    settings: settings::Audit,
}

/// The process-wide telemetry.
#[derive(Debug)]
pub struct Telemetry {
    /// The recorder, and what is counted for the whole process.
    metrics: Metrics,
    /// The handles of the configuration in force.
    tables: ArcSwap<Tables>,
    /// Rules of policy sets that sessions named; a set is known by where it is, which a weak
    /// reference keeps from being used again.
    policies: Mutex<Vec<(Weak<PolicySet>, Arc<PolicyTable>)>>,
    /// The audit file.
    audit: ArcSwapOption<OpenAudit>,
    /// The audit file that is open and not yet written to.
    prepared: Mutex<Option<PreparedAudit>>,
    /// The sessions of this moment.
    sessions: Sessions,
    /// The bans of this moment.
    bans: Bans,
    /// The log, once it was handed over.
    log: OnceLock<log::Handle>,
    /// When the program began.
    began: Instant,
    /// Whether it is stopping.
    draining: AtomicBool,
    /// One reconfiguration at a time.
    changing: Mutex<()>,
}

impl Telemetry {
    /// Makes a recorder with all that `settings` names at zero, and opens the audit file. A
    /// process may have several.
    ///
    /// # Errors
    /// The audit file cannot be opened.
    pub fn install(settings: &Settings, policies: &PolicySet) -> io::Result<Arc<Self>> {
        Self::with_rules(settings, Some(policies.id()), policies.rules())
    }

    /// The same, of the rules of a set.
    ///
    /// # Errors
    /// The audit file cannot be opened.
    fn with_rules(
        settings: &Settings,
        set: Option<SetId>,
        rules: &[RuleInfo],
    ) -> io::Result<Arc<Self>> {
        let telemetry = Self::prepare_rules(settings, set, rules)?;
        telemetry.begin()?;
        Ok(telemetry)
    }

    /// The same without a thread of its own: nothing is written to the audit file before
    /// [`Self::begin`].
    ///
    /// # Errors
    /// The audit file cannot be opened.
    pub fn prepare(settings: &Settings, policies: &PolicySet) -> io::Result<Arc<Self>> {
        Self::prepare_rules(settings, Some(policies.id()), policies.rules())
    }

    /// Begins to write to the audit file that was opened, if there is one.
    ///
    /// # Errors
    /// The thread that writes cannot be started.
    pub fn begin(&self) -> io::Result<()> {
        let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(PreparedAudit { target, settings }) = prepared.take() {
            let lost = self.metrics.audit_dropped.clone();
            let file = Audit::begin(target, &settings, lost)?;
            self.audit
                .store(Some(Arc::new(OpenAudit { file, settings })));
        }
        Ok(())
    }

    /// The same, of the rules of a set.
    ///
    /// # Errors
    /// The audit file cannot be opened.
    fn prepare_rules(
        settings: &Settings,
        set: Option<SetId>,
        rules: &[RuleInfo],
    ) -> io::Result<Arc<Self>> {
        let metrics = Metrics::new();
        let prepared = settings.audit.as_ref().map(|settings| {
            Ok::<_, io::Error>(PreparedAudit {
                target: Audit::open(settings)?,
                settings: settings.clone(),
            })
        });
        let prepared = prepared.transpose()?;
        let tables = Tables::new(&metrics, settings, set, rules, None);
        Ok(Arc::new(Self {
            metrics,
            tables: ArcSwap::from_pointee(tables),
            policies: Mutex::default(),
            audit: ArcSwapOption::empty(),
            prepared: Mutex::new(prepared),
            sessions: Sessions::new(),
            bans: Bans::default(),
            log: OnceLock::new(),
            began: clock::monotonic(),
            draining: AtomicBool::new(false),
            changing: Mutex::default(),
        }))
    }

    /// Takes over a new configuration: creates what it adds at zero, reopens the audit if it
    /// changed, and changes the log if it was handed over. Changes nothing when it fails.
    ///
    /// # Errors
    /// The audit file cannot be opened.
    pub fn reconfigure(&self, settings: &Settings, policies: &PolicySet) -> io::Result<()> {
        self.reconfigure_rules(settings, Some(policies.id()), policies.rules())
    }

    /// The same, of the rules of a set.
    ///
    /// # Errors
    /// The audit file cannot be opened.
    fn reconfigure_rules(
        &self,
        settings: &Settings,
        set: Option<SetId>,
        rules: &[RuleInfo],
    ) -> io::Result<()> {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        match (self.audit.load().as_deref(), &settings.audit) {
            (Some(open), Some(wanted)) if open.settings.path == wanted.path => {
                open.file.set_when_full(wanted.when_full);
            }
            _ => self
                .audit
                .store(open_audit(settings, &self.metrics)?.map(Arc::new)),
        }
        let before = self.tables.load_full();
        let tables = Tables::new(&self.metrics, settings, set, rules, Some(&before));
        self.tables.store(Arc::new(tables));
        if let Some(log) = self.log.get() {
            log.reconfigure(settings.log);
        }
        Ok(())
    }

    /// Hands the log over, so that reloads change it.
    pub fn adopt_log(&self, log: log::Handle) {
        // The first one stays: there is one subscriber in a process.
        self.log.set(log).ok();
    }

    /// Begins a session: gauge, id, status entry, log line.
    pub fn session(self: &Arc<Self>, opening: &Opening) -> SessionRecorder {
        let tables = self.tables.load();
        let entry = self.sessions.begin(
            tables.listener(&self.metrics, &opening.listener),
            tables.upstream(&self.metrics, &opening.upstream),
            opening.client,
        );
        SessionRecorder::begin(Arc::clone(self), entry, Arc::clone(&tables.policies))
    }

    /// A connection was turned away, and told 421: the reply is counted here as well.
    pub fn rejected(&self, listener: &str, client: IpAddr, reason: Rejection) {
        let tables = self.tables.load();
        let table = tables.listener(&self.metrics, listener);
        table.rejected(reason);
        table.reply(421, Origin::Gateway);
        let client = client.to_canonical();
        tracing::info!(
            listener,
            client = %client,
            reason = reason.name(),
            "connection rejected"
        );
        self.audit_rejected(&tables, listener, client, reason);
    }

    /// The event of a connection that was turned away.
    fn audit_rejected(&self, tables: &Tables, listener: &str, client: IpAddr, reason: Rejection) {
        self.audit(|| {
            let head = audit::client_head("rejected", client, listener, tables.route(listener));
            let body = EndEvent {
                reason: Some(reason.name()),
                duration: None,
            };
            (head, body)
        });
    }

    /// A balancer's connection was closed without a word, for want of a header; `fault` says what was
    /// wrong with it. Not every one `is_told` of: balancers look every few seconds whether a port is
    /// open.
    pub fn unannounced(
        &self,
        listener: &str,
        balancer: IpAddr,
        fault: &'static str,
        is_told: bool,
    ) {
        let reason = Rejection::ProxyHeader;
        let tables = self.tables.load();
        tables.listener(&self.metrics, listener).rejected(reason);
        let client = balancer.to_canonical();
        let reason_name = reason.name();
        if is_told {
            tracing::info!(
                listener, client = %client, reason = reason_name, fault, "connection rejected"
            );
            self.audit_rejected(&tables, listener, client, reason);
        } else {
            tracing::debug!(
                listener, client = %client, reason = reason_name, fault, "connection rejected"
            );
        }
    }

    /// A connection was turned away whose client is kept out, which was told of when it began: it is
    /// counted, and no more.
    pub fn kept_out(&self, listener: &str, client: IpAddr, reason: Rejection) {
        let tables = self.tables.load();
        let table = tables.listener(&self.metrics, listener);
        table.rejected(reason);
        table.reply(421, Origin::Gateway);
        tracing::debug!(
            listener,
            client = %client.to_canonical(),
            reason = reason.name(),
            "connection rejected"
        );
    }

    /// A client was banned for so many failed logins. It is a warning, in a form that filters can
    /// read: the message, then the address.
    pub fn banned(&self, listener: &str, client: IpAddr, failed_logins: u32, ban: Duration) {
        let tables = self.tables.load();
        tables.listener(&self.metrics, listener).banned();
        let client = client.to_canonical();
        let seconds = audit::seconds(ban);
        tracing::warn!(client = %client, listener, failed_logins, seconds, "client banned");
        self.audit(|| {
            let head = audit::client_head("banned", client, listener, tables.route(listener));
            let body = BanEvent {
                failed_logins,
                seconds,
            };
            (head, body)
        });
    }

    /// Who tells of the bans that there are; the first one that is given stays.
    pub fn show_bans(&self, source: Box<dyn Fn() -> (usize, Vec<BanStatus>) + Send + Sync>) {
        self.bans.ask(source);
    }

    /// Whether new commands are to be refused because audit events would be lost.
    pub fn refuses_commands(&self) -> bool {
        self.audit
            .load()
            .as_ref()
            .is_some_and(|open| open.file.refuses_commands())
    }

    /// How many passive ports a listener has (0: any free port) and how many are in use.
    pub fn passive_ports(&self, listener: &str, total: usize, in_use: usize) {
        let tables = self.tables.load();
        tables
            .listener(&self.metrics, listener)
            .set_ports(total, in_use);
    }

    /// When a certificate that a listener shows expires, in seconds since 1970-01-01 UTC.
    pub fn certificate_expiry(&self, listener: &str, certificate: &str, unix_time: i64) {
        self.metrics
            .certificate_expiry(listener, certificate, unix_time);
    }

    /// A dial of an upstream at `address`, as it is configured, ended; `error` says why it failed.
    pub fn upstream_connect(
        &self,
        upstream: &str,
        address: &str,
        result: DialResult,
        error: Option<&dyn Error>,
    ) {
        let tables = self.tables.load();
        let table = tables.upstream(&self.metrics, upstream);
        // Only what changes is worth a line: a server that is down is dialled often.
        let is_news = table.dialled(result);
        let (result, error) = (result, error.map(tracing::field::display));
        match result {
            _ if !is_news => {
                let result = result.name();
                tracing::debug!(upstream, address, result, error, "upstream dialled");
            }
            DialResult::Connected => {
                tracing::info!(upstream, address, "the upstream answers again");
            }
            DialResult::Loop => {
                tracing::error!(
                    upstream,
                    address,
                    "the upstream is the gateway itself and is not dialled"
                );
            }
            failed => {
                let result = failed.name();
                tracing::warn!(
                    upstream,
                    address,
                    result,
                    error,
                    "the upstream does not answer"
                );
            }
        }
    }

    /// A reload ended.
    pub fn reloaded(&self, successful: bool) {
        self.metrics.reloaded(successful);
    }

    /// The gateway began to drain: `/readyz` says so from now on.
    pub fn draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// SIGUSR1: reopen the files.
    pub fn reopen(&self) {
        if let Some(open) = self.audit.load().as_ref() {
            open.file.reopen();
        }
    }

    /// The metrics in the text format of Prometheus, version 0.0.4.
    pub fn render(&self) -> String {
        self.sessions.count_moved();
        self.metrics.show_bans(self.bans.now().0);
        self.metrics.show_refusing(self.refuses_commands());
        self.metrics.render()
    }

    /// Waits until the audit events so far are written, or a while.
    pub fn flush(&self) {
        if let Some(open) = self.audit.load_full() {
            open.file.flush(FAREWELL);
        }
    }

    /// The end: waits like [`Self::flush`], then says what the audit lacks.
    pub fn finish(&self) -> AuditLoss {
        let open = self.audit.load_full();
        let waiting = open.as_ref().map_or(0, |open| {
            open.file.flush(FAREWELL);
            open.file.waiting()
        });
        let waiting = u64::try_from(waiting).unwrap_or(u64::MAX);
        AuditLoss {
            events: self.metrics.audit_lost().saturating_add(waiting),
            is_forbidden: open.is_some_and(|open| open.file.keeps_all()),
        }
    }

    /// Writes an audit event, its head and its body, if there is an audit file.
    fn audit<'a, E: Serialize>(&self, event: impl FnOnce() -> (Head<'a>, E)) {
        if let Some(open) = self.audit.load().as_ref() {
            let (head, body) = event();
            open.file.write(&head, &body);
        }
    }

    /// The rules of a policy set.
    fn policy_table(&self, policies: &Arc<PolicySet>) -> Arc<PolicyTable> {
        let mut known = self.policies.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, table)) = known
            .iter()
            .find(|(set, _)| std::ptr::eq(set.as_ptr(), Arc::as_ptr(policies)))
        {
            return Arc::clone(table);
        }
        known.retain(|(set, _)| set.strong_count() > 0);
        let in_force = &self.tables.load().in_force;
        let table = Arc::new(PolicyTable::new(
            &self.metrics.registrar,
            Some(policies.id()),
            policies.rules(),
            |policy, mode| in_force.has(policy, mode),
        ));
        known.push((Arc::downgrade(policies), Arc::clone(&table)));
        table
    }
}

/// Opens the audit file that `settings` names.
///
/// # Errors
/// It cannot be opened.
fn open_audit(settings: &Settings, metrics: &Metrics) -> io::Result<Option<OpenAudit>> {
    settings
        .audit
        .as_ref()
        .map(|audit| {
            Ok(OpenAudit {
                file: Audit::begin(Audit::open(audit)?, audit, metrics.audit_dropped.clone())?,
                settings: audit.clone(),
            })
        })
        .transpose()
}

#[cfg(test)]
pub(crate) mod tests;
