//! The files of certificates and keys that a configuration names, before anything is run.
//!
//! Owns what is told of them, at the place where they are named. Must not know how they are read.

use std::path::{Path, PathBuf};

use super::unix_time;
use crate::config::diagnostic::{self, Diagnostic, Severity, Span};
use crate::config::tls::{TlsPlaces, TlsTable};
use crate::config::{ConfigError, Loaded};
use crate::tls::client::Connector;
use crate::tls::load::{self, CertificateInfo, LoadFault};
use crate::tls::options::Identity;
use crate::tls::server::Acceptor;

/// How long before its end a certificate is warned of, in seconds: 30 days.
const EXPIRES_SOON: i64 = 30 * 86_400;

/// `loaded`, with all that is to be said of the certificates and keys that it names: also where
/// the configuration was refused for something else, so that all problems are shown at once.
///
/// # Errors
/// [`ConfigError::Refused`] where one of the files cannot be used, with all the others; what
/// `loaded` was refused for already.
pub(super) fn checked(loaded: Result<Loaded, ConfigError>) -> Result<Loaded, ConfigError> {
    match loaded {
        Ok(mut loaded) => {
            loaded.warnings.extend(examine(&loaded.tls, unix_time()));
            diagnostic::sort(&mut loaded.warnings);
            let is_error = |one: &Diagnostic| one.severity == Severity::Error;
            if !loaded.warnings.iter().any(is_error) {
                return Ok(loaded);
            }
            Err(ConfigError::Refused {
                diagnostics: loaded.warnings,
                sources: loaded.sources,
                tls: loaded.tls,
            })
        }
        Err(ConfigError::Refused {
            mut diagnostics,
            sources,
            tls,
        }) => {
            diagnostics.extend(examine(&tls, unix_time()));
            diagnostic::sort(&mut diagnostics);
            Err(ConfigError::Refused {
                diagnostics,
                sources,
                tls,
            })
        }
        Err(error @ ConfigError::Unreadable { .. }) => Err(error),
    }
}

/// All that there is to say at `now`, in seconds since 1970: of each file by itself, of each
/// certificate with its key, and of each table as a whole.
fn examine(places: &TlsPlaces, now: i64) -> Vec<Diagnostic> {
    let mut found = Findings::default();
    for file in &places.files {
        if let Some(fault) = load::fault(&file.path, file.content) {
            found.keep(&fault, file.span.clone());
        }
    }
    let report = |table| Report { places, table, now };
    for (table, options) in readable(&places.listeners) {
        let report = report(table);
        report.pair(&options.identities, &mut found);
        match Acceptor::load(options) {
            Ok(it) => report.look(it.certificates(), it.exposed_keys(), &mut found.list),
            Err(fault) => report.fault(&fault, &mut found),
        }
    }
    for (table, options) in readable(&places.upstreams) {
        let report = report(table);
        report.pair(options.identity.as_slice(), &mut found);
        match Connector::load(options) {
            Ok(it) => report.look(it.certificates(), it.exposed_keys(), &mut found.list),
            Err(fault) => report.fault(&fault, &mut found),
        }
    }
    found.list
}

/// Those of the tables that can be taken.
fn readable<O>(tables: &[TlsTable<O>]) -> impl Iterator<Item = (&Span, &O)> {
    let tables = tables.iter();
    tables.filter_map(|table| Some((&table.span, table.options.as_ref()?)))
}

/// What was found, each file's fault once.
#[derive(Default)]
struct Findings {
    /// What there is to say.
    list: Vec<Diagnostic>,
    /// The files that were blamed.
    blamed: Vec<PathBuf>,
}

impl Findings {
    /// Keeps a fault.
    fn keep(&mut self, fault: &LoadFault, span: Span) {
        self.blamed.extend(fault.path().map(Path::to_path_buf));
        self.list.push(refusal(fault, span));
    }

    /// Whether the file that `fault` blames was blamed already.
    fn has(&self, fault: &LoadFault) -> bool {
        let path = fault.path();
        path.is_some_and(|path| self.blamed.iter().any(|blamed| blamed == path))
    }
}

/// Why files cannot be used, at `span`.
fn refusal(fault: &LoadFault, span: Span) -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: "config/tls-files",
        span,
        message: fault.to_string(),
        help: Some(fault.advice().to_owned()),
        also: None,
    }
}

/// What is said of one table.
struct Report<'a> {
    /// Where files are named.
    places: &'a TlsPlaces,
    /// Where the name of the table stands.
    table: &'a Span,
    /// Seconds since 1970.
    now: i64,
}

impl Report<'_> {
    /// Where `path` is named: in this table or below it, if it is.
    fn place(&self, path: Option<&Path>) -> Span {
        let files = || {
            let files = self.places.files.iter();
            files.filter(|file| Some(file.path.as_path()) == path)
        };
        let behind = files().find(|file| file.span.bytes.start >= self.table.bytes.start);
        behind
            .or_else(|| files().next())
            .map_or_else(|| self.table.clone(), |file| file.span.clone())
    }

    /// Says which of the certificates cannot be used with their keys.
    fn pair(&self, pairs: &[Identity], found: &mut Findings) {
        for fault in pairs.iter().filter_map(load::pair_fault) {
            self.fault(&fault, found);
        }
    }

    /// Says why the table cannot be taken, if that was not said yet.
    fn fault(&self, fault: &LoadFault, found: &mut Findings) {
        if !found.has(fault) {
            found.keep(fault, self.place(fault.path()));
        }
    }

    /// What is odd about files that can be used.
    fn look(
        &self,
        certificates: &[CertificateInfo],
        exposed_keys: &[PathBuf],
        found: &mut Vec<Diagnostic>,
    ) {
        let mut warn = |code, path: &Path, message: String, help: &str| {
            found.push(Diagnostic {
                severity: Severity::Warning,
                code,
                span: self.place(Some(path)),
                message,
                help: Some(help.to_owned()),
                also: None,
            });
        };
        for certificate in certificates {
            let left = certificate.not_after_unix.saturating_sub(self.now);
            let path = certificate.path.display();
            let message = match left {
                ..=0 => format!("{path}: the certificate has expired"),
                1..EXPIRES_SOON => format!(
                    "{path}: the certificate expires in less than {} days",
                    left / 86_400 + 1
                ),
                _ => continue,
            };
            let help = "renew it; a running gateway takes a new file over within ten seconds";
            warn(
                "config/certificate-expires",
                &certificate.path,
                message,
                help,
            );
        }
        for key in exposed_keys {
            let message = format!(
                "{}: every user of this system may read the key",
                key.display()
            );
            let help = "let its owner alone read it: `chmod 600`, or 640 with the gateway's group";
            warn("config/key-readable", key, message, help);
        }
    }
}
