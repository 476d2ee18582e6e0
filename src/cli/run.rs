//! `run`: the gateway as a service, from the first socket to the last reply.
//!
//! Owns the order of start and end, what each signal does, and what the service manager is told.
//! Must not know how anything that it starts works.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};

use super::args::Run;
use super::confinement::{Confinement, ConfinementError};
use super::endpoints::{AdminError, Change, Endpoints};
use super::signals::{Order, Signals};
use super::{Answer, Outcome, certificates};
use crate::config::diagnostic::{Diagnostic, Severity, Sources};
use crate::config::{self, ConfigError, Flags, Loaded};
use crate::gateway::{Gateway, LaneThreads, Lanes, Prepared, StartError};
use crate::settings::Settings;
use crate::sys::notify;
use crate::telemetry::{Telemetry, log};

/// How often the service manager is told how many sessions there are.
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// How long after the end a blocked name lookup may hold the program.
const FAREWELL: Duration = Duration::from_secs(1);

/// What sessions may take beyond `drain_timeout` to end, as the service manager is told.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// Why the gateway does not run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    /// The admin endpoints' address cannot be listened on.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// Audit events are lost of which none was to be.
    #[error("{0} audit events were lost, and `when_full` is \"refuse\"")]
    Audit(u64),
    /// Rights are not given up as they should be.
    #[error(transparent)]
    Confinement(#[from] ConfinementError),
    /// The gateway does not start.
    #[error(transparent)]
    Gateway(#[from] StartError),
    /// The kernel does not let signals be heard.
    #[error("signals cannot be heard: {0}")]
    Signals(#[source] io::Error),
    /// The audit file cannot be opened or written to; the error says which it is.
    #[error("{0}")]
    Telemetry(#[source] io::Error),
}

/// Where the configuration is.
#[derive(Debug)]
enum Origin {
    /// In a file, which may be loaded again.
    File(PathBuf),
    /// In the arguments.
    Flags(Flags),
}

impl Origin {
    /// What the arguments name.
    fn of(arguments: &Run) -> Self {
        match &arguments.config {
            Some(path) => Self::File(path.clone()),
            None => Self::Flags(Flags {
                bind: arguments.bind.clone().unwrap_or_default(),
                upstream: arguments.upstream.clone().unwrap_or_default(),
                policy: arguments.policy.clone(),
                deny: arguments.deny.clone(),
                admin: arguments.admin.clone(),
            }),
        }
    }

    /// The file.
    fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Flags(_) => None,
        }
    }

    /// Loads it. The certificates and keys that it names are not looked at.
    ///
    /// # Errors
    /// All that is wrong with it.
    fn load(&self) -> Result<Loaded, ConfigError> {
        match self {
            Self::File(path) => config::load(path),
            Self::Flags(flags) => config::from_flags(flags),
        }
    }
}

/// Runs the gateway until a signal ends it.
pub(super) fn run(arguments: &Run) -> Answer {
    let origin = Origin::of(arguments);
    let loaded = match certificates::checked(origin.load()) {
        Ok(loaded) => loaded,
        Err(error) => return Answer::refused(&error),
    };
    let failed = |sentence: String| Answer::wrong(Outcome::Failed, &sentence);
    let opened = match Opened::open(&origin, loaded) {
        Ok(opened) => opened,
        // Another try does not heal it.
        Err(RunError::Confinement(error)) => {
            return Answer::wrong(Outcome::Configuration, &error.to_string());
        }
        Err(error) => return failed(error.to_string()),
    };
    // Threads begin here, and not before rights were given up: each has those of the one that
    // starts it.
    let log = match log::install(opened.settings.log) {
        Ok(log) => log,
        Err(error) => return failed(format!("the log cannot be started: {error}")),
    };
    // The one worker answers at the admin endpoints while this thread reads a configuration.
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).enable_all().build();
    let (runtime, threads) = match runtime.and_then(|it| Ok((it, LaneThreads::start()?))) {
        Ok(started) => started,
        Err(error) => return failed(format!("threads cannot be started: {error}")),
    };
    let served = runtime.block_on(serve(origin, opened, log, threads.lanes()));
    drop(threads);
    runtime.shutdown_timeout(FAREWELL);
    match served {
        Ok(()) => Answer::fine(String::new()),
        Err(error) => failed(error.to_string()),
    }
}

/// All that needs rights is open, the rights are given up, and nothing runs yet.
struct Opened {
    /// The configuration.
    settings: Arc<Settings>,
    /// What is odd about it.
    warnings: Vec<Diagnostic>,
    /// Where that stands.
    sources: Arc<Sources>,
    /// The audit file.
    telemetry: Arc<Telemetry>,
    /// The listeners, certificates and keys.
    gateway: Prepared,
    /// The socket of the admin endpoints.
    endpoints: Change,
    /// The rights that were given up.
    confinement: Confinement,
}

impl Opened {
    /// Opens files, binds sockets and gives up rights, in this order.
    ///
    /// # Errors
    /// What cannot be opened, or given up.
    fn open(origin: &Origin, loaded: Loaded) -> Result<Self, RunError> {
        let settings = Arc::new(loaded.settings);
        let telemetry =
            Telemetry::prepare(&settings, &loaded.policies).map_err(RunError::Telemetry)?;
        let endpoints = Endpoints::bind(&settings, None)?;
        let gateway = Prepared::new(
            Arc::clone(&settings),
            loaded.policies,
            Arc::clone(&telemetry),
        )?;
        let confinement = Confinement::apply(&settings, origin.file())?;
        Ok(Self {
            settings,
            warnings: loaded.warnings,
            sources: loaded.sources,
            telemetry,
            gateway,
            endpoints,
            confinement,
        })
    }
}

/// Starts everything, then obeys signals until all is over.
///
/// # Errors
/// What could not be started, or not be recorded.
async fn serve(
    origin: Origin,
    opened: Opened,
    log: log::Handle,
    lanes: Lanes,
) -> Result<(), RunError> {
    let mut signals = Signals::listen().map_err(RunError::Signals)?;
    let mut service = Service::start(origin, opened, log, lanes)?;
    let mut heart = Heart::new();
    told(notify::ready("in service"));
    loop {
        tokio::select! {
            order = signals.next() => match order {
                Order::End => break,
                Order::Reload => service.reload(),
                Order::Nothing => ignored(),
                Order::Reopen => service.telemetry.reopen(),
            },
            () = heart.beat() => {
                service.report(&heart, service.state());
                service.renew_tls();
            }
        }
    }
    service.drain(&mut signals, &mut heart).await
}

/// Signs of life for the service manager.
struct Heart {
    /// When the next one is due.
    beats: Interval,
    /// Whether the service manager ends a program that gives none.
    watched: bool,
}

impl Heart {
    /// As often as the service manager wants it.
    fn new() -> Self {
        let watched = notify::watchdog_interval();
        let mut beats = interval(watched.unwrap_or(STATUS_EVERY).min(STATUS_EVERY));
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            beats,
            watched: watched.is_some(),
        }
    }

    /// The next beat.
    async fn beat(&mut self) {
        self.beats.tick().await;
    }
}

/// All that runs.
struct Service {
    /// Where the configuration is.
    origin: Origin,
    /// The gateway.
    gateway: Gateway,
    /// What is counted and logged.
    telemetry: Arc<Telemetry>,
    /// The admin endpoints.
    admin: Option<Endpoints>,
    /// The rights that were given up.
    confinement: Confinement,
    /// `limits.drain_timeout`.
    drain_timeout: Duration,
    /// Why certificates that have changed were not taken over, as it was logged last.
    stale_tls: Option<String>,
    /// Whether the last reload changed nothing.
    failed_reload: bool,
}

impl Service {
    /// Begins to serve.
    ///
    /// # Errors
    /// What could not be started; nothing is served then.
    fn start(
        origin: Origin,
        opened: Opened,
        log: log::Handle,
        lanes: Lanes,
    ) -> Result<Self, RunError> {
        let Opened {
            settings,
            telemetry,
            confinement,
            ..
        } = opened;
        telemetry.begin().map_err(RunError::Telemetry)?;
        telemetry.adopt_log(log);
        log_all(&opened.warnings, &opened.sources);
        confinement.announce(&settings);
        let gateway = Gateway::open(opened.gateway, lanes)?;
        let mut admin = None;
        Endpoints::admit(&mut admin, opened.endpoints, &telemetry);
        let service = Self {
            origin,
            gateway,
            telemetry,
            admin,
            confinement,
            drain_timeout: settings.limits.drain_timeout,
            stale_tls: None,
            failed_reload: false,
        };
        service.announce(&settings);
        Ok(service)
    }

    /// Says what listens where.
    fn announce(&self, settings: &Settings) {
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(version, "ftpwarden is in service");
        self.announce_changes(settings, &BTreeMap::new(), None);
    }

    /// The address of each listening socket, and the name of its listener.
    fn doors(&self) -> BTreeMap<SocketAddr, Arc<str>> {
        let doors = self.gateway.local_addrs().into_iter();
        doors.map(|(name, address)| (address, name)).collect()
    }

    /// Says what listens now that was not among the `doors` and not `admin`, and what no longer does.
    fn announce_changes(
        &self,
        settings: &Settings,
        doors: &BTreeMap<SocketAddr, Arc<str>>,
        admin: Option<SocketAddr>,
    ) {
        let now = self.doors();
        for (address, listener) in doors {
            if !now.contains_key(address) {
                tracing::info!(listener = &**listener, %address, "no longer listening");
            }
        }
        for (name, address) in self.gateway.local_addrs() {
            if doors.contains_key(&address) {
                continue;
            }
            let Some(listener) = settings.listeners.get(&name) else {
                continue;
            };
            let Some(upstream) = settings.upstreams.get(&listener.upstream) else {
                continue;
            };
            tracing::info!(
                listener = &*name,
                %address,
                upstream = &*upstream.name,
                server = upstream.address(),
                policy = &*listener.policy,
                "listening"
            );
        }
        let bound = self.admin.as_ref().map(|admin| admin.bound);
        if bound == admin {
            return;
        }
        if let Some(address) = admin {
            tracing::info!(%address, "no longer listening for the admin endpoints");
        }
        if let Some(address) = bound {
            tracing::info!(%address, "listening for the admin endpoints");
        }
    }

    /// Takes the configuration over anew: all of it, or nothing.
    fn reload(&mut self) {
        told(notify::reloading());
        if let Origin::File(path) = &self.origin {
            let path = path.clone();
            let successful = match self.try_reload(&path) {
                Ok(()) => {
                    tracing::info!("the configuration was reloaded");
                    true
                }
                Err(reason) => {
                    tracing::error!(reason, "not reloaded: the configuration in force stays");
                    false
                }
            };
            self.telemetry.reloaded(successful);
            self.failed_reload = !successful;
        } else {
            // A terminal that closes says the same: the gateway stays, as behind nohup(1).
            tracing::info!("nothing to reload: the configuration came from the command line");
        }
        told(notify::ready(self.state()));
    }

    /// What the service manager shows while the gateway is in service.
    const fn state(&self) -> &'static str {
        if self.failed_reload {
            "in service; the last reload failed"
        } else {
            "in service"
        }
    }

    /// The same of the file at `path`.
    ///
    /// # Errors
    /// Why nothing has changed, in one sentence; problems of the file are logged before.
    fn try_reload(&mut self, path: &Path) -> Result<(), String> {
        self.confinement.admits_file()?;
        let refused = |error: ConfigError| {
            if let ConfigError::Refused {
                diagnostics,
                sources,
                ..
            } = &error
            {
                log_all(diagnostics, sources);
            }
            error.to_string()
        };
        let loaded = config::load(path);
        // What the gateway may not read any more is told as that, not as a file's fault.
        if let Ok(loaded) = &loaded {
            self.confinement.admits(&loaded.settings)?;
        }
        let loaded = certificates::checked(loaded).map_err(refused)?;
        let settings = Arc::new(loaded.settings);
        let endpoints = Endpoints::bind(&settings, self.admin.as_ref())
            .map_err(|error| self.confinement.explain(&error))?;
        let before = self.doors();
        self.gateway
            .reload(Arc::clone(&settings), loaded.policies)
            .map_err(|error| self.confinement.explain(&error))?;
        log_all(&loaded.warnings, &loaded.sources);
        self.drain_timeout = settings.limits.drain_timeout;
        let admin = self.admin.as_ref().map(|admin| admin.bound);
        Endpoints::admit(&mut self.admin, endpoints, &self.telemetry);
        self.announce_changes(&settings, &before, admin);
        Ok(())
    }

    /// Takes over certificates and keys whose files have changed. A file that is being written is
    /// looked at again with the next beat.
    fn renew_tls(&mut self) {
        let trouble = match self.gateway.renew_tls() {
            Ok(false) => return,
            Ok(true) => {
                tracing::info!("certificates were read anew");
                None
            }
            Err(error) => Some(self.confinement.explain(&error)),
        };
        if let Some(reason) = &trouble
            && self.stale_tls != trouble
        {
            tracing::error!(
                reason,
                "certificates have changed and cannot be used: the former ones stay"
            );
        }
        self.stale_tls = trouble;
    }

    /// Tells the service manager that all is well.
    fn report(&self, heart: &Heart, state: &str) {
        // Both go through locks that accept loops and sessions take: a program that hangs in
        // them says nothing.
        let (sessions, doors) = (self.gateway.sessions(), self.gateway.local_addrs().len());
        told(notify::status(&format!(
            "{state}: {sessions} sessions, {doors} sockets listening"
        )));
        if heart.watched {
            told(notify::watchdog());
        }
    }

    /// Lets sessions finish, and ends them at a second signal.
    ///
    /// # Errors
    /// [`RunError::Audit`].
    async fn drain(self, signals: &mut Signals, heart: &mut Heart) -> Result<(), RunError> {
        tracing::info!(
            sessions = self.gateway.sessions(),
            "draining: nobody new is let in"
        );
        told(notify::stopping(
            self.drain_timeout.saturating_add(LAST_WORDS),
        ));
        if !self.wait(self.gateway.drain(), signals, heart).await {
            tracing::warn!(
                sessions = self.gateway.sessions(),
                "ending at once: a second signal came"
            );
            self.gateway.end_now().await;
        }
        let loss = self.telemetry.finish();
        if loss.events > 0 {
            tracing::error!(
                events = loss.events,
                "the audit lacks events: they are lost"
            );
        }
        tracing::info!("ftpwarden has ended");
        if loss.events > 0 && loss.is_forbidden {
            return Err(RunError::Audit(loss.events));
        }
        Ok(())
    }

    /// Waits for `drained`; false when a signal came first.
    async fn wait(
        &self,
        drained: impl Future<Output = ()>,
        signals: &mut Signals,
        heart: &mut Heart,
    ) -> bool {
        tokio::pin!(drained);
        loop {
            tokio::select! {
                () = &mut drained => return true,
                order = signals.next() => match order {
                    Order::End => return false,
                    Order::Reload => tracing::warn!("not reloaded: the gateway is draining"),
                    Order::Nothing => ignored(),
                    Order::Reopen => self.telemetry.reopen(),
                },
                () = heart.beat() => self.report(heart, "draining"),
            }
        }
    }
}

/// Logs problems of a configuration.
fn log_all(diagnostics: &[Diagnostic], sources: &Sources) {
    for one in diagnostics {
        let place = sources.locate(&one.span).unwrap_or_default();
        let help = one.help.as_deref();
        match one.severity {
            Severity::Error => tracing::error!(code = one.code, place, help, "{}", one.message),
            Severity::Warning => tracing::warn!(code = one.code, place, help, "{}", one.message),
        }
    }
}

/// A signal came that nothing is meant by.
fn ignored() {
    tracing::info!("SIGUSR2 was ignored: no order is meant by it");
}

/// Nothing depends on what the service manager hears.
fn told(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "the service manager does not listen");
    }
}
