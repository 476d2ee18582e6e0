//! The gateway as a TLS server, towards clients.
//!
//! Owns which certificate is shown, what a client must show, and the sessions that may be resumed:
//! by data connections those of their own control connection and no other, by control connections
//! those of others that began a short while ago. Must not know sockets or what is said over them.

mod recent;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, StoresServerSessions,
    WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::time_provider::TimeProvider;

pub use super::load::{CertificateInfo, LoadFault};
use super::options::{ClientCertificates, ServerOptions, SessionReuse};
use super::reload::Snapshot;
use super::{ALPN_FTP, load, protocol_versions, provider};
use recent::{Recent, Session};

/// The name that some clients give to data connections in ALPN.
const ALPN_FTP_DATA: &[u8] = b"ftp-data";

/// How many tickets a client gets over TLS 1.3 with the control connection, and with a data
/// connection that downloads. Six of them cost a tenth of a login.
const TICKETS: usize = 2;

/// The same where data connections must resume: clients that spend one with each connection, and
/// get none with an upload, have as many uploads in a row.
const TICKETS_REQUIRED: usize = 8;

/// The most sessions that are kept for one control connection.
const SESSIONS_MAX: usize = 64;

/// The most bytes of these sessions altogether: each has the certificates that the client has shown.
const SESSIONS_BYTES: usize = 64 * 1024;

/// The most bytes of one of them.
const SESSION_BYTES: usize = 16 * 1024;

/// The alert `unrecognized_name` (RFC 6066 §3) as the plain record that goes out instead of
/// rustls' own answer, `access_denied`, when a handshake ends with
/// [`HandshakeFault::Name`](super::fault::HandshakeFault::Name): nothing is encrypted by then.
pub const UNRECOGNIZED_NAME: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x70];

/// What every control connection of a listener begins with.
#[derive(Debug)]
pub struct Acceptor {
    /// Without a store of sessions.
    base: ServerConfig,
    /// Whether data connections may, must or cannot resume.
    reuse: SessionReuse,
    /// What control connections may resume.
    recent: Arc<Recent>,
    /// What is shown.
    certificates: Vec<CertificateInfo>,
    /// Keys that everybody may read.
    exposed_keys: Vec<PathBuf>,
    /// What it was built from.
    options: ServerOptions,
    /// The files as they were.
    snapshot: Snapshot,
}

impl Acceptor {
    /// Reads the files and checks what is in them. Blocks on files alone.
    ///
    /// # Errors
    /// The first file that cannot be used, [`LoadFault::NoIdentity`] without any, or
    /// [`LoadFault::Unsupported`] without a version.
    pub fn load(options: &ServerOptions) -> Result<Self, LoadFault> {
        let unsupported = |error: rustls::Error| LoadFault::Unsupported {
            reason: error.to_string(),
        };
        let snapshot = Snapshot::of(files(options));
        let resolver = Resolver::load(options)?;
        let certificates = resolver
            .identities
            .iter()
            .map(|one| one.info.clone())
            .collect();
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&protocol_versions(&options.versions))
            .map_err(unsupported)?;
        let verifier = |path: &Path| {
            let roots = Arc::new(load::authorities(path)?);
            Ok(WebPkiClientVerifier::builder_with_provider(
                roots,
                provider(),
            ))
        };
        let built = |error: rustls::server::VerifierBuilderError| LoadFault::Unsupported {
            reason: error.to_string(),
        };
        let builder = match &options.clients {
            ClientCertificates::Off => builder.with_no_client_auth(),
            ClientCertificates::Optional(path) => builder.with_client_cert_verifier(
                verifier(path)?
                    .allow_unauthenticated()
                    .build()
                    .map_err(built)?,
            ),
            ClientCertificates::Required(path) => {
                builder.with_client_cert_verifier(verifier(path)?.build().map_err(built)?)
            }
        };
        let mut base = builder.with_cert_resolver(Arc::new(resolver));
        base.session_storage = Arc::new(NoServerSessionStorage {});
        base.send_tls13_tickets = 0;
        base.ignore_client_order = !options.prefer_client_ciphers;
        // A store that gives a session out more than once must never be met with early data,
        // which could be replayed then.
        base.max_early_data_size = 0;
        base.alpn_protocols = vec![ALPN_FTP.to_vec()];
        let keys = options.identities.iter().map(|one| one.key.as_path());
        Ok(Self {
            base,
            reuse: options.session_reuse,
            recent: Arc::default(),
            certificates,
            exposed_keys: load::exposed(keys),
            options: options.clone(),
            snapshot,
        })
    }

    /// The same from the files as they are now.
    ///
    /// # Errors
    /// As [`Acceptor::load`]; this one stays good.
    pub fn reload(&self) -> Result<Self, LoadFault> {
        Self::load(&self.options)
    }

    /// Whether one of the files is not what it was when this was loaded.
    pub fn has_changed(&self) -> bool {
        self.snapshot.has_changed()
    }

    /// What one control connection and its data connections use.
    pub fn session(&self) -> ServerSession {
        let mut control = self.base.clone();
        if self.reuse != SessionReuse::Off {
            control.send_tls13_tickets = tickets(self.reuse);
            let sessions = Arc::new(Mutex::new(Sessions::default()));
            control.session_storage = Arc::new(Store {
                sessions: Arc::clone(&sessions),
                recent: Some(Shared {
                    sessions: Arc::clone(&self.recent),
                    clock: Arc::clone(&self.base.time_provider),
                    given: Mutex::default(),
                }),
            });
            return ServerSession {
                control: Arc::new(control),
                sessions: Some(sessions),
                reuse: self.reuse,
            };
        }
        ServerSession {
            control: Arc::new(control),
            sessions: None,
            reuse: self.reuse,
        }
    }

    /// The certificates that are shown, in the order of the options.
    pub fn certificates(&self) -> &[CertificateInfo] {
        &self.certificates
    }

    /// The files of keys that every user of the system may read.
    pub fn exposed_keys(&self) -> &[PathBuf] {
        &self.exposed_keys
    }
}

/// How many tickets a client gets at once.
const fn tickets(reuse: SessionReuse) -> usize {
    match reuse {
        SessionReuse::Required => TICKETS_REQUIRED,
        SessionReuse::Allowed => TICKETS,
        SessionReuse::Off => 0,
    }
}

/// Every file that `options` name.
fn files(options: &ServerOptions) -> Vec<&Path> {
    let authorities = match &options.clients {
        ClientCertificates::Off => None,
        ClientCertificates::Optional(path) | ClientCertificates::Required(path) => Some(path),
    };
    options
        .identities
        .iter()
        .flat_map(|one| [&one.certificate, &one.key])
        .chain(authorities)
        .map(PathBuf::as_path)
        .collect()
}

/// What one control connection and its data connections use. A data connection that resumes is
/// this one's: the sessions of no other are known to it.
#[derive(Clone, Debug)]
pub struct ServerSession {
    /// For the control connection.
    control: Arc<ServerConfig>,
    /// What may be resumed; None where nothing is.
    sessions: Option<Arc<Mutex<Sessions>>>,
    /// Whether data connections may, must or cannot resume.
    reuse: SessionReuse,
}

impl ServerSession {
    /// For the control connection.
    pub fn control(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.control)
    }

    /// For a data connection. `with_tickets` is false where the client sends: a client that sends and
    /// closes without reading would be reset by tickets that wait for it, and its upload cut.
    pub fn data(&self, with_tickets: bool) -> Arc<ServerConfig> {
        let mut config = ServerConfig::clone(&self.control);
        config.alpn_protocols.push(ALPN_FTP_DATA.to_vec());
        config.send_tls13_tickets = 0;
        if let Some(sessions) = &self.sessions {
            config.send_tls13_tickets = if with_tickets { tickets(self.reuse) } else { 0 };
            config.session_storage = Arc::new(Store {
                sessions: Arc::clone(sessions),
                recent: None,
            });
        }
        Arc::new(config)
    }

    /// Whether a data connection that does not resume is refused.
    pub fn requires_reuse(&self) -> bool {
        self.reuse == SessionReuse::Required
    }
}

/// The sessions of one control connection, the one used last at the back.
#[derive(Debug, Default)]
struct Sessions {
    /// At most [`SESSIONS_MAX`], with [`SESSIONS_BYTES`].
    kept: VecDeque<Kept>,
}

/// One session that may be resumed.
struct Kept {
    /// Session identifier (RFC 5246 §7.4.1.3) or ticket (RFC 8446 §4.6.1).
    key: Vec<u8>,
    /// rustls' secrets.
    value: Vec<u8>,
    /// Whether it came from the control connection.
    of_control: bool,
}

impl std::fmt::Debug for Kept {
    /// Without the secrets.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Kept")
            .field("of_control", &self.of_control)
            .finish_non_exhaustive()
    }
}

impl Kept {
    /// How many bytes it has.
    fn bytes(&self) -> usize {
        self.key.len().saturating_add(self.value.len())
    }
}

impl Sessions {
    /// Keeps a session, and drops those that were not used for longest where there are too many;
    /// whether it is not too long for that.
    fn put(&mut self, kept: Kept) -> bool {
        if kept.bytes() > SESSION_BYTES {
            return false;
        }
        self.kept.retain(|other| other.key != kept.key);
        let room = SESSIONS_BYTES.saturating_sub(kept.bytes());
        while self.kept.len() >= SESSIONS_MAX || self.bytes() > room {
            // Many clients resume the session of the control connection each time, whatever
            // they got since: those of data connections go first.
            let stale = self.kept.iter().position(|other| !other.of_control);
            self.kept.remove(stale.unwrap_or(0));
        }
        self.kept.push_back(kept);
        true
    }

    /// How many bytes they have.
    fn bytes(&self) -> usize {
        self.kept.iter().map(Kept::bytes).sum()
    }

    /// The session of `key`, which stays.
    fn get(&mut self, key: &[u8]) -> Option<Vec<u8>> {
        let place = self.kept.iter().position(|kept| kept.key == key)?;
        let kept = self.kept.remove(place)?;
        let value = kept.value.clone();
        self.kept.push_back(kept);
        Some(value)
    }
}

/// The sessions as rustls sees them.
#[derive(Debug)]
struct Store {
    /// Shared by the configurations of one control connection.
    sessions: Arc<Mutex<Sessions>>,
    /// For the control connection: what it may resume.
    recent: Option<Shared>,
}

/// The sessions that control connections share, as one of these sees them.
#[derive(Debug)]
struct Shared {
    /// The sessions.
    sessions: Arc<Recent>,
    /// rustls' clock.
    clock: Arc<dyn TimeProvider>,
    /// What rustls was given to resume.
    given: Mutex<Given>,
}

/// What rustls was given to resume, which it may refuse.
#[derive(Debug, Default)]
struct Given {
    /// When the oldest of them began, in seconds since 1970-01-01 UTC.
    began: Option<u64>,
    /// Those that data connections may resume as well.
    adopted: Vec<Vec<u8>>,
}

impl Shared {
    /// Lets others resume a session, as long as what it was begun with; not where nobody knows
    /// what time it is.
    fn put(&self, key: &[u8], value: Vec<u8>) {
        if let Some(now) = self.clock.current_time() {
            let began = self.lock().began.unwrap_or(u64::MAX).min(now.as_secs());
            self.sessions.put(key, Session { value, began });
        }
    }

    /// The session of `key`.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let session = self.sessions.get(key, self.clock.current_time()?)?;
        let mut given = self.lock();
        given.began = Some(given.began.unwrap_or(u64::MAX).min(session.began));
        Some(session.value)
    }

    /// What was given, for a moment.
    fn lock(&self) -> MutexGuard<'_, Given> {
        self.given.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// The sessions, for a moment.
    fn lock(&self) -> MutexGuard<'_, Sessions> {
        // What a panic left behind is a whole list still.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoresServerSessions for Store {
    fn put(&self, key: Vec<u8>, value: Vec<u8>) -> bool {
        let kept = Kept {
            key,
            value,
            of_control: self.recent.is_some(),
        };
        let Some(recent) = &self.recent else {
            return self.lock().put(kept);
        };
        // A connection that has resumed over TLS 1.2 puts nothing: rustls refused what was adopted.
        let refused = std::mem::take(&mut recent.lock().adopted);
        let (key, value) = (kept.key.clone(), kept.value.clone());
        let is_kept = {
            let mut sessions = self.lock();
            sessions.kept.retain(|kept| !refused.contains(&kept.key));
            sessions.put(kept)
        };
        if is_kept {
            recent.put(&key, value);
        }
        is_kept
    }

    /// A control connection that resumes over TLS 1.2 goes on with the session as it was, under
    /// the same identifier: its data connections resume that too.
    fn get(&self, key: &[u8]) -> Option<Vec<u8>> {
        let Some(recent) = &self.recent else {
            return self.lock().get(key);
        };
        let value = recent.get(key)?;
        let is_kept = self.lock().put(Kept {
            key: key.to_vec(),
            value: value.clone(),
            of_control: true,
        });
        recent.lock().adopted.push(key.to_vec());
        is_kept.then_some(value)
    }

    /// Does not take: over TLS 1.3 clients such as Python's and lftp resume one ticket with
    /// every connection, and there is no early data that could be replayed. A control connection
    /// that resumes gives new tickets, and those alone are for its data connections.
    fn take(&self, key: &[u8]) -> Option<Vec<u8>> {
        match &self.recent {
            Some(recent) => recent.get(key),
            None => self.lock().get(key),
        }
    }

    fn can_cache(&self) -> bool {
        true
    }
}

/// Chooses the certificate.
#[derive(Debug)]
struct Resolver {
    /// In the order of the options; at least one.
    identities: Vec<Choice>,
}

/// One certificate that may be chosen.
#[derive(Debug)]
struct Choice {
    /// Chain and key.
    certified: Arc<CertifiedKey>,
    /// Its names.
    info: CertificateInfo,
}

impl Resolver {
    /// Reads every certificate and key.
    ///
    /// # Errors
    /// The first that cannot be used; [`LoadFault::NoIdentity`].
    fn load(options: &ServerOptions) -> Result<Self, LoadFault> {
        let mut identities = Vec::new();
        for identity in &options.identities {
            let loaded = load::identity(identity)?;
            identities.push(Choice {
                certified: Arc::new(loaded.certified),
                info: loaded.info,
            });
        }
        if identities.is_empty() {
            return Err(LoadFault::NoIdentity);
        }
        Ok(Self { identities })
    }

    /// The certificates that fit a client which asks for `name`.
    fn fitting(&self, name: Option<&str>) -> Vec<&Choice> {
        let is_known = |name: &str| {
            let mut names = self.identities.iter().flat_map(|one| &one.info.names);
            names.any(|pattern| fits(pattern, name))
        };
        // One certificate without names says nothing of which names are right.
        let nameless = self.identities.len() == 1
            && self.identities.iter().all(|one| one.info.names.is_empty());
        match name.map(str::to_ascii_lowercase) {
            Some(name) if is_known(&name) => self
                .identities
                .iter()
                .filter(|one| one.info.names.iter().any(|pattern| fits(pattern, &name)))
                .collect(),
            Some(_) if !nameless => Vec::new(),
            Some(_) | None => self.identities.iter().collect(),
        }
    }
}

impl ResolvesServerCert for Resolver {
    /// Of the certificates that fit the first whose key the client can verify; the first of all
    /// where it can verify none, which rustls then refuses.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let fitting = self.fitting(hello.server_name());
        let schemes = hello.signature_schemes();
        let usable = |one: &&&Choice| one.certified.key.choose_scheme(schemes).is_some();
        let chosen = fitting.iter().find(usable).or_else(|| fitting.first())?;
        Some(Arc::clone(&chosen.certified))
    }
}

/// Whether a certificate's name, which may begin with `*.`, is that of a host; both in lower case.
/// A wildcard stands for one label (RFC 9525 §6.3).
fn fits(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix("*.") {
        Some(domain) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest == domain),
        None => pattern == host,
    }
}

#[cfg(test)]
mod tests;
