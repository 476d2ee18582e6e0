//! The files of certificates and keys that a configuration names, before anything is run.
//!
//! Owns what is told of them, at the place where they are named. Must not know how they are read.

use std::path::Path;

use super::unix_time;
use crate::config::diagnostic::{self, Diagnostic, Severity, Span};
use crate::config::{ConfigError, Loaded};
use crate::tls::client::Connector;
use crate::tls::load::{CertificateInfo, LoadFault};
use crate::tls::server::Acceptor;

/// How long before its end a certificate is warned of, in seconds: 30 days.
const EXPIRES_SOON: i64 = 30 * 86_400;

/// `loaded`, with warnings of what its certificates and keys are.
///
/// # Errors
/// [`ConfigError::Refused`] where one of the files cannot be used, with all the others.
pub(super) fn checked(mut loaded: Loaded) -> Result<Loaded, ConfigError> {
    let found = examine(&loaded, unix_time());
    loaded.warnings.extend(found);
    diagnostic::sort(&mut loaded.warnings);
    let refused = loaded
        .warnings
        .iter()
        .any(|one| one.severity == Severity::Error);
    if refused {
        return Err(ConfigError::Refused {
            diagnostics: loaded.warnings,
            sources: loaded.sources,
        });
    }
    Ok(loaded)
}

/// All that there is to say at `now`, in seconds since 1970.
fn examine(loaded: &Loaded, now: i64) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (name, table) in &loaded.tls.listeners {
        let listener = loaded.settings.listeners.get(name.as_str());
        let Some(tls) = listener.and_then(|listener| listener.tls.as_ref()) else {
            continue;
        };
        let report = Report { loaded, table, now };
        match Acceptor::load(&tls.options) {
            Ok(acceptor) => {
                report.look(acceptor.certificates(), acceptor.exposed_keys(), &mut found);
            }
            Err(fault) => found.push(report.fault(&fault)),
        }
    }
    for (name, table) in &loaded.tls.upstreams {
        let upstream = loaded.settings.upstreams.get(name.as_str());
        let Some(tls) = upstream.and_then(|upstream| upstream.tls.as_ref()) else {
            continue;
        };
        let report = Report { loaded, table, now };
        match Connector::load(&tls.options) {
            Ok(connector) => {
                let keys = connector.exposed_keys();
                report.look(connector.certificates(), keys, &mut found);
            }
            Err(fault) => found.push(report.fault(&fault)),
        }
    }
    found
}

/// What is said of one table.
struct Report<'a> {
    /// The whole configuration.
    loaded: &'a Loaded,
    /// Where the name of the table stands.
    table: &'a Span,
    /// Seconds since 1970.
    now: i64,
}

impl Report<'_> {
    /// Where `path` is named: in this table or below it, if it is.
    fn place(&self, path: Option<&Path>) -> Span {
        let files = || {
            let files = self.loaded.tls.files.iter();
            files.filter(|(named, _)| Some(named.as_path()) == path)
        };
        let behind = files().find(|(_, span)| span.bytes.start >= self.table.bytes.start);
        behind
            .or_else(|| files().next())
            .map_or_else(|| self.table.clone(), |(_, span)| span.clone())
    }

    /// Why the table cannot be taken.
    fn fault(&self, fault: &LoadFault) -> Diagnostic {
        Diagnostic {
            severity: Severity::Error,
            code: "config/tls-files",
            span: self.place(fault.path()),
            message: fault.to_string(),
            help: Some(fault.advice().to_owned()),
            also: None,
        }
    }

    /// What is odd about files that can be used.
    fn look(
        &self,
        certificates: &[CertificateInfo],
        exposed_keys: &[std::path::PathBuf],
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
