//! Rights that `run` gives up once it has opened what it needs, and what a reload misses of them.
//!
//! Owns which files and ports a configuration needs. Must not know how rights are given up.

use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::settings::{self, Process, Settings};
use crate::sys::confine::{self, Access, Confined, Identity, IdentityError};
use crate::tls::options::{ClientCertificates, Identity as Certificate, Trust};

/// Where names are asked for, when an answer is too long for a datagram.
const DNS: u16 = 53;

/// The first port that anybody may listen on: peers have data connections on any from here on, and
/// a reload may listen on another.
const UNPRIVILEGED: u16 = 1024;

/// What the process has not any more, as the end of a sentence.
const RESTART: &str = "was given up when the gateway started: restart it";

/// Why the gateway does not start.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfinementError {
    /// The process does not become the user that is named.
    #[error("[process] {0}")]
    Identity(#[from] IdentityError),
    /// It would be root's.
    #[error(
        "[process] confinement is required, and the gateway would run as root: write `user`, or \
         start it as somebody else"
    )]
    Root,
    /// Something that is required cannot be had.
    #[error("[process] confinement is required, and {mechanism} cannot be had: {reason}")]
    Unconfined {
        /// What.
        mechanism: &'static str,
        /// Why.
        reason: String,
    },
}

/// What the process has given up.
pub(super) struct Confinement {
    /// The file of the configuration.
    file: Option<PathBuf>,
    /// The settings that were obeyed.
    process: Process,
    /// Whom the process became.
    identity: Option<Identity>,
    /// What came of each mechanism.
    confined: Confined,
}

impl Confinement {
    /// Gives up what `settings`, which stand in `file`, do not need. To be called when all is open
    /// and before there is a second thread.
    ///
    /// # Errors
    /// [`ConfinementError`]: the gateway must not start.
    pub(super) fn apply(
        settings: &Settings,
        file: Option<&Path>,
    ) -> Result<Self, ConfinementError> {
        let process = settings.process.clone();
        let identity = Identity::find(process.user.as_deref(), process.group.as_deref())?;
        let required = process.confinement == settings::Confinement::Require;
        if required
            && identity
                .as_ref()
                .map_or_else(confine::is_root, Identity::is_root)
        {
            return Err(ConfinementError::Root);
        }
        let confined = if process.confinement == settings::Confinement::Off {
            if let Some(identity) = &identity {
                identity.assume()?;
            }
            Confined::default()
        } else {
            confine::confine(identity.as_ref(), &needed(settings, file))?
        };
        let failed = confined.reports.iter().find_map(|report| {
            let reason = report.result.as_ref().err()?.clone();
            Some((report.mechanism.name(), reason))
        });
        match failed {
            Some((mechanism, reason)) if required => {
                Err(ConfinementError::Unconfined { mechanism, reason })
            }
            _ => Ok(Self {
                file: file.map(Path::to_path_buf),
                process,
                identity,
                confined,
            }),
        }
    }

    /// Tells what was given up, and what is missed already.
    pub(super) fn announce(&self, settings: &Settings) {
        if let Some(identity) = &self.identity {
            tracing::info!(
                "privileges are dropped: the gateway runs as {}",
                identity.name()
            );
        }
        if confine::is_root() {
            tracing::warn!("the gateway runs as root: write `user` in [process]");
        }
        for report in &self.confined.reports {
            let mechanism = report.mechanism.name();
            match &report.result {
                Ok(what) => tracing::info!(mechanism, "confined: {what}"),
                Err(reason) => tracing::warn!(mechanism, reason, "not confined"),
            }
        }
        if self.confined.reports.is_empty() {
            tracing::info!("not confined: `process.confinement` is off");
        }
        let closed = |path: &Path, error: io::Error| {
            let path = path.display();
            tracing::warn!(%path, %error, "given up: without a restart it is not opened again");
        };
        for path in self.file.iter().chain(&certificates(settings)) {
            if let Err(error) = File::open(path) {
                closed(path, error);
            }
        }
        let audit = settings
            .audit
            .as_ref()
            .and_then(|audit| audit.path.as_ref());
        if let Some(path) = audit.filter(|path| path.is_file())
            && let Err(error) = OpenOptions::new().append(true).open(path)
        {
            closed(path, error);
        }
    }

    /// Whether the file of the configuration can be read still.
    ///
    /// # Errors
    /// A restart is needed, in one sentence.
    pub(super) fn admits_file(&self) -> Result<(), String> {
        self.file
            .as_deref()
            .map_or(Ok(()), |file| self.readable(file))
    }

    /// Whether `settings` can be had with what is left.
    ///
    /// # Errors
    /// A restart is needed, in one sentence.
    pub(super) fn admits(&self, settings: &Settings) -> Result<(), String> {
        if settings.process != self.process {
            return Err("[process] has changed: restart the gateway".to_owned());
        }
        let needed = needed(settings, self.file.as_deref());
        let files = self.confined.files.as_ref();
        let ports = self.confined.ports.as_ref();
        let lack = files
            .and_then(|left| left.lacks_file(&needed))
            .or_else(|| ports.and_then(|left| left.lacks_port(&needed)));
        if let Some(lack) = lack {
            return Err(format!("{lack} {RESTART}"));
        }
        certificates(settings)
            .iter()
            .try_for_each(|path| self.readable(path))
    }

    /// Whether a file can be read still. One that is not there is somebody else's to tell of.
    ///
    /// # Errors
    /// A restart is needed, in one sentence.
    fn readable(&self, path: &Path) -> Result<(), String> {
        match File::open(path) {
            Err(error) if error.kind() == ErrorKind::PermissionDenied && self.has_given_up() => {
                Err(format!("reading {} {RESTART}", path.display()))
            }
            _ => Ok(()),
        }
    }

    /// An error of a reload, and what to do where it comes of what was given up.
    pub(super) fn explain(&self, error: &dyn Error) -> String {
        // What went wrong below is never a wrapper itself: it is the source of one.
        let causes = std::iter::successors(error.source(), |&cause| cause.source());
        let denied = causes
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .any(|cause| cause.kind() == ErrorKind::PermissionDenied);
        if denied && self.has_given_up() {
            format!("{error}; the right to it {RESTART}")
        } else {
            error.to_string()
        }
    }

    /// Whether anything was given up.
    fn has_given_up(&self) -> bool {
        self.identity.is_some() || !self.confined.reports.is_empty()
    }
}

/// The files and ports of `settings`, which stand in `file`.
fn needed(settings: &Settings, file: Option<&Path>) -> Access {
    let mut access = Access {
        // 0 is any free port.
        bind: vec![0..=0, UNPRIVILEGED..=u16::MAX],
        connect: vec![DNS..=DNS, UNPRIVILEGED..=u16::MAX],
        ..Access::default()
    };
    let mut read = BTreeSet::new();
    for path in file
        .into_iter()
        .chain(certificates(settings).iter().map(PathBuf::as_path))
    {
        read.extend(directories(path));
    }
    access.read.extend(read);
    access.read.extend(authorities());
    if let Some(path) = settings
        .audit
        .as_ref()
        .and_then(|audit| audit.path.as_ref())
    {
        // What is no file has no other name beside it, and is not made anew.
        let special = fs::metadata(path).is_ok_and(|found| !found.is_file());
        if special {
            access.write.push(path.clone());
        } else {
            access.write.extend(directories(path));
        }
    }
    for listener in settings.listeners.values() {
        let ports = listener.bind.iter().map(SocketAddr::port);
        access.bind.extend(ports.map(|port| port..=port));
        access.bind.extend(listener.passive_ports.clone());
    }
    for upstream in settings.upstreams.values() {
        access.bind.extend(upstream.active_ports.clone());
        access.connect.push(upstream.port..=upstream.port);
    }
    if let Some(admin) = &settings.admin {
        access.bind.push(admin.bind.port()..=admin.bind.port());
    }
    access
}

/// The directory in which `path` stands, and the one that it leads to where it is a link: files are
/// replaced rather than written anew, so that a rule for the file alone would not hold long.
fn directories(path: &Path) -> BTreeSet<PathBuf> {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let real = |path: &Path| fs::canonicalize(path).ok();
    let named = absolute.parent().and_then(real);
    let led_to = real(&absolute).and_then(|file| file.parent().map(Path::to_path_buf));
    let lost = absolute
        .parent()
        .filter(|_| named.is_none())
        .map(Path::to_path_buf);
    [named, led_to, lost].into_iter().flatten().collect()
}

/// Where authorities are looked for beside the usual places.
fn authorities() -> Vec<PathBuf> {
    let written = |name| std::env::var_os(name).unwrap_or_default();
    let directories_of = written("SSL_CERT_DIR");
    let mut found: Vec<PathBuf> = std::env::split_paths(&directories_of)
        .filter(|path| !path.as_os_str().is_empty())
        .collect();
    let file = PathBuf::from(written("SSL_CERT_FILE"));
    if !file.as_os_str().is_empty() {
        found.extend(directories(&file));
    }
    // What is not there is not read, and no rule can be made for it.
    found.retain(|path| path.exists());
    found
}

/// The files of certificates, keys and authorities.
fn certificates(settings: &Settings) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut both = |identity: &Certificate| {
        files.extend([identity.certificate.clone(), identity.key.clone()]);
    };
    let listeners = settings.listeners.values();
    let accepting: Vec<_> = listeners
        .filter_map(|listener| listener.tls.as_ref())
        .collect();
    let upstreams = settings.upstreams.values();
    let dialling: Vec<_> = upstreams
        .filter_map(|upstream| upstream.tls.as_ref())
        .collect();
    let shown = accepting.iter().flat_map(|tls| &tls.options.identities);
    shown
        .chain(
            dialling
                .iter()
                .filter_map(|tls| tls.options.identity.as_ref()),
        )
        .for_each(&mut both);
    files.extend(
        accepting
            .iter()
            .filter_map(|tls| match &tls.options.clients {
                ClientCertificates::Off => None,
                ClientCertificates::Optional(path) | ClientCertificates::Required(path) => {
                    Some(path.clone())
                }
            }),
    );
    files.extend(dialling.iter().filter_map(|tls| match &tls.options.trust {
        Trust::File(path) => Some(path.clone()),
        Trust::Pin(_) | Trust::System => None,
    }));
    files
}
