//! `run`: the gateway as a service, from the first socket to the last reply.
//!
//! Owns the order of start and end, what each signal does, and what the service manager is told.
//! Must not know how anything that it starts works. Spawns two tasks of a process's life: the
//! upkeep of the metrics and the admin endpoints.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{Interval, MissedTickBehavior, interval};

use super::args::Run;
use super::signals::{Order, Signals};
use super::{Answer, Outcome, certificates};
use crate::admin;
use crate::config::diagnostic::{Diagnostic, Severity, Sources};
use crate::config::{self, ConfigError, Flags, Loaded};
use crate::gateway::{Gateway, StartError};
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
    #[error("[admin] cannot listen on {address}: {source}")]
    Admin {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The gateway does not start.
    #[error(transparent)]
    Gateway(#[from] StartError),
    /// The kernel does not let signals be heard.
    #[error("signals cannot be heard: {0}")]
    Signals(#[source] io::Error),
    /// The audit file cannot be opened, or metrics cannot be counted.
    #[error("telemetry cannot be started: {0}")]
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

    /// Loads it, and looks at the certificates and keys that it names.
    ///
    /// # Errors
    /// All that is wrong with it and with them.
    fn load(&self) -> Result<Loaded, ConfigError> {
        let loaded = match self {
            Self::File(path) => config::load(path),
            Self::Flags(flags) => config::from_flags(flags),
        };
        loaded.and_then(certificates::checked)
    }
}

/// Runs the gateway until a signal ends it.
pub(super) fn run(arguments: &Run) -> Answer {
    let origin = Origin::of(arguments);
    let loaded = match origin.load() {
        Ok(loaded) => loaded,
        Err(error) => return Answer::refused(&error),
    };
    let failed = |sentence: String| Answer::wrong(Outcome::Failed, &sentence);
    let log = match log::install(loaded.settings.log) {
        Ok(log) => log,
        Err(error) => return failed(format!("the log cannot be started: {error}")),
    };
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = match builder.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(format!("threads cannot be started: {error}")),
    };
    let served = runtime.block_on(serve(origin, loaded, log));
    runtime.shutdown_timeout(FAREWELL);
    match served {
        Ok(()) => Answer::fine(String::new()),
        Err(error) => failed(error.to_string()),
    }
}

/// Starts everything, then obeys signals until all is over.
///
/// # Errors
/// What could not be started.
async fn serve(origin: Origin, loaded: Loaded, log: log::Handle) -> Result<(), RunError> {
    let mut signals = Signals::listen().map_err(RunError::Signals)?;
    let mut service = Service::start(origin, loaded, log)?;
    let mut heart = Heart::new();
    told(notify::ready("in service"));
    loop {
        tokio::select! {
            order = signals.next() => match order {
                Order::End => break,
                Order::Reload => service.reload(),
                Order::Reopen => service.telemetry.reopen(),
            },
            () = heart.beat() => {
                service.report(&heart, "in service");
                service.renew_tls();
            }
        }
    }
    service.drain(&mut signals, &mut heart).await;
    Ok(())
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
    /// `limits.drain_timeout`.
    drain_timeout: Duration,
    /// Why certificates that have changed were not taken over, as it was logged last.
    stale_tls: Option<String>,
}

impl Service {
    /// Binds everything, then begins to serve.
    ///
    /// # Errors
    /// What could not be started; nothing is served then.
    fn start(origin: Origin, loaded: Loaded, log: log::Handle) -> Result<Self, RunError> {
        let settings = Arc::new(loaded.settings);
        let telemetry =
            Telemetry::install(&settings, &loaded.policies).map_err(RunError::Telemetry)?;
        telemetry.adopt_log(log);
        log_all(&loaded.warnings, &loaded.sources);
        let endpoints = Endpoints::bind(&settings, None)?;
        let policies = loaded.policies;
        let gateway = Gateway::start(Arc::clone(&settings), policies, Arc::clone(&telemetry))?;
        let upkeep = Arc::clone(&telemetry);
        tokio::spawn(async move { upkeep.upkeep().await });
        let mut service = Self {
            origin,
            gateway,
            telemetry,
            admin: None,
            drain_timeout: settings.limits.drain_timeout,
            stale_tls: None,
        };
        service.admit(endpoints);
        service.announce(&settings);
        Ok(service)
    }

    /// Says what listens where.
    fn announce(&self, settings: &Settings) {
        let version = env!("CARGO_PKG_VERSION");
        tracing::info!(version, "ftpwarden is in service");
        for (name, address) in self.gateway.local_addrs() {
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
                server = format!("{}:{}", upstream.host, upstream.port),
                policy = &*listener.policy,
                "listening"
            );
        }
        if let Some(admin) = &self.admin {
            tracing::info!(address = %admin.bound, "listening for the admin endpoints");
        }
    }

    /// Takes the configuration over anew: all of it, or nothing.
    fn reload(&mut self) {
        told(notify::reloading());
        let successful = match self.try_reload() {
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
        told(notify::ready(if successful {
            "in service"
        } else {
            "in service; the last reload failed"
        }));
    }

    /// The same.
    ///
    /// # Errors
    /// Why nothing has changed, in one sentence; problems of the file are logged before.
    fn try_reload(&mut self) -> Result<(), String> {
        if matches!(self.origin, Origin::Flags(_)) {
            return Err("the configuration came from the command line".to_owned());
        }
        let loaded = self.origin.load().map_err(|error| {
            if let ConfigError::Refused {
                diagnostics,
                sources,
            } = &error
            {
                log_all(diagnostics, sources);
            }
            error.to_string()
        })?;
        let settings = Arc::new(loaded.settings);
        let endpoints = Endpoints::bind(&settings, self.admin.as_ref())
            .map_err(|error: RunError| error.to_string())?;
        self.gateway
            .reload(Arc::clone(&settings), loaded.policies)
            .map_err(|error| error.to_string())?;
        log_all(&loaded.warnings, &loaded.sources);
        self.drain_timeout = settings.limits.drain_timeout;
        self.admit(endpoints);
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
            Err(error) => Some(error.to_string()),
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

    /// Serves the admin endpoints as `change` has it.
    fn admit(&mut self, change: Change) {
        match change {
            Change::Stay => {}
            Change::End => self.admin = None,
            Change::Begin(listener, address) => {
                let (end, ended) = oneshot::channel::<()>();
                let ended = async {
                    // The sender is dropped and says nothing.
                    ended.await.ok();
                };
                let bound = listener.local_addr().unwrap_or(address);
                let telemetry = Arc::clone(&self.telemetry);
                tokio::spawn(admin::serve(listener, telemetry, ended));
                self.admin = Some(Endpoints {
                    address,
                    bound,
                    _end: end,
                });
            }
        }
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
    async fn drain(self, signals: &mut Signals, heart: &mut Heart) {
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
        tracing::info!("ftpwarden has ended");
        self.telemetry.flush();
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
                    Order::Reopen => self.telemetry.reopen(),
                },
                () = heart.beat() => self.report(heart, "draining"),
            }
        }
    }
}

/// Admin endpoints that are served.
struct Endpoints {
    /// Where, as the configuration has it.
    address: SocketAddr,
    /// Where, as the kernel has it: port 0 is any free port.
    bound: SocketAddr,
    /// Ends them when it is dropped.
    _end: oneshot::Sender<()>,
}

/// What becomes of the admin endpoints.
enum Change {
    /// They are served at this address.
    Begin(TcpListener, SocketAddr),
    /// They are served no more.
    End,
    /// They stay as they are.
    Stay,
}

impl Endpoints {
    /// Binds what `settings` want and `present` does not have.
    ///
    /// # Errors
    /// The address cannot be listened on.
    fn bind(settings: &Settings, present: Option<&Self>) -> Result<Change, RunError> {
        let Some(wanted) = &settings.admin else {
            return Ok(Change::End);
        };
        let address = wanted.bind;
        if present.is_some_and(|present| present.address == address) {
            return Ok(Change::Stay);
        }
        let bind = || {
            let listener = StdListener::bind(address)?;
            listener.set_nonblocking(true)?;
            TcpListener::from_std(listener)
        };
        let listener = bind().map_err(|source| RunError::Admin { address, source })?;
        Ok(Change::Begin(listener, address))
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

/// Nothing depends on what the service manager hears.
fn told(result: io::Result<()>) {
    if let Err(error) = result {
        tracing::debug!(%error, "the service manager does not listen");
    }
}
