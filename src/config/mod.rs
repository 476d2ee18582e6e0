//! From a TOML file to settings and policies, with every problem at once.
//!
//! Owns how configuration is written: keys, values, references, diagnostics. Must not know
//! Tokio, sockets or what becomes of the settings; nothing but the command line sees it.
//!
//! [`parse`] reads the whole tree by hand instead of by derive: so each value keeps its place,
//! and one run finds all that is wrong. Only a file that is not TOML stops at the first error.

mod builtin;
mod compile;
pub mod diagnostic;
mod flags;
mod listener;
mod reach;
mod rules;
pub mod schema;
mod section;
mod tables;
pub mod tls;
mod upstream;
mod value;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::de::DeTable;

pub use flags::{Flags, from_flags};

use crate::policy::PolicySet;
use crate::settings::Settings;
use diagnostic::{Diagnostic, Place, Source, Sources, Span, Style};
use section::Problems;
use tls::TlsPlaces;

/// The largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// A configuration without an error in it.
#[derive(Debug)]
pub struct Loaded {
    /// What the gateway is built from.
    pub settings: Settings,
    /// Every policy, the built-in ones too.
    pub policies: Arc<PolicySet>,
    /// What deserves a second look.
    pub warnings: Vec<Diagnostic>,
    /// What rules and warnings point into.
    pub sources: Arc<Sources>,
    /// Where files of certificates and keys are named: what is in them is not looked at here.
    pub tls: TlsPlaces,
}

/// A configuration that cannot be taken.
#[derive(Debug)]
pub enum ConfigError {
    /// The file says what cannot be obeyed.
    Refused {
        /// All that is wrong, and the warnings.
        diagnostics: Vec<Diagnostic>,
        /// What they point into.
        sources: Arc<Sources>,
        /// Where files of certificates and keys are named.
        tls: TlsPlaces,
    },
    /// The file cannot be read.
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

impl ConfigError {
    /// The whole report.
    pub fn report(&self, style: Style) -> String {
        match self {
            Self::Refused {
                diagnostics,
                sources,
                ..
            } => diagnostic::render(diagnostics, sources, style),
            Self::Unreadable { .. } => format!("error: {self}\n"),
        }
    }
}

impl fmt::Display for ConfigError {
    /// One sentence: the first error.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused {
                diagnostics,
                sources,
                ..
            } => {
                let errors = diagnostics
                    .iter()
                    .filter(|one| one.severity == diagnostic::Severity::Error);
                let more = errors.clone().count().saturating_sub(1);
                let Some(first) = errors.clone().next() else {
                    return formatter.write_str("the configuration was refused");
                };
                if let Some(place) = sources.locate(&first.span) {
                    write!(formatter, "{place}: ")?;
                }
                write!(formatter, "{} [{}]", first.message, first.code)?;
                if more > 0 {
                    write!(formatter, ", and {more} more")?;
                }
                Ok(())
            }
            Self::Unreadable { path, reason } => {
                write!(formatter, "cannot read {}: {reason}", path.display())
            }
        }
    }
}

impl std::error::Error for ConfigError {}

/// Reads and checks the file at `path`.
///
/// # Errors
/// [`ConfigError::Unreadable`] where there is no such file, it is no text or too large;
/// [`ConfigError::Refused`] with all that is wrong with it.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    let unreadable = |reason: String| ConfigError::Unreadable {
        path: path.to_path_buf(),
        reason,
    };
    let read = || {
        let mut bytes = Vec::new();
        let file = File::open(path)?;
        file.take(FILE_BYTES_MAX.saturating_add(1))
            .read_to_end(&mut bytes)?;
        Ok::<_, io::Error>(bytes)
    };
    let bytes = read().map_err(|error| unreadable(error.to_string()))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
        return Err(unreadable(format!(
            "it is larger than {FILE_BYTES_MAX} bytes"
        )));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let end = error.utf8_error().valid_up_to();
        let before = error.as_bytes().get(..end).unwrap_or_default();
        let Place { line, column } = Place::behind(&String::from_utf8_lossy(before));
        unreadable(format!(
            "line {line}, column {column} is not UTF-8; save it in that encoding"
        ))
    })?;
    parse(&text, &path.display().to_string())
}

/// Checks `text`, which the operator knows as `name`.
///
/// # Errors
/// [`ConfigError::Refused`] with all that is wrong with it.
pub fn parse(text: &str, name: &str) -> Result<Loaded, ConfigError> {
    let own = Source {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let sources = Sources(std::iter::once(own).chain(builtin::sources()).collect());
    match DeTable::parse(text) {
        Ok(root) => {
            let mut problems = Problems::new(0);
            let document = tables::document(root.get_ref(), &mut problems);
            compile::compile(document, problems, sources)
        }
        Err(error) => {
            let syntax = Diagnostic {
                severity: diagnostic::Severity::Error,
                code: "config/syntax",
                span: Span {
                    source: 0,
                    bytes: error.span().unwrap_or_default(),
                },
                message: error.message().trim_end().replace('\n', ", "),
                help: syntax_help(error.message()).map(str::to_owned),
                also: None,
            };
            Err(ConfigError::Refused {
                diagnostics: vec![syntax],
                sources: Arc::new(sources),
                tls: TlsPlaces::default(),
            })
        }
    }
}

/// The host and port of a server that `written` names, port 21 where it names none.
pub fn server_address(written: &str) -> Option<(Arc<str>, u16)> {
    let with_port = || value::parse_server_address(&format!("{written}:21"));
    value::parse_server_address(written)
        .or_else(|_| with_port())
        .ok()
}

/// What to write instead of what TOML does not take.
fn syntax_help(message: &str) -> Option<&'static str> {
    let unquoted = ["float", "integer", "date", "time", "boolean"];
    let slip = unquoted
        .iter()
        .any(|kind| message.starts_with(&format!("invalid {kind}")));
    slip.then_some("text is written in quotes")
}
