//! `check`: load everything, bind nothing.
//!
//! Owns the summary and the exit code. Must not know what is wrong with a configuration.

use std::io::{self, Write as _};

use serde_json::json;

use super::args::Check;
use super::{Outcome, json, terminal};
use crate::config::{self, ConfigError, Loaded, diagnostic};

/// Checks the file.
pub(super) fn check(arguments: &Check) -> io::Result<Outcome> {
    let loaded = config::load(&arguments.file);
    let outcome = match &loaded {
        Ok(loaded) if loaded.warnings.is_empty() || !arguments.strict => Outcome::Fine,
        Ok(_) | Err(_) => Outcome::Configuration,
    };
    if arguments.json {
        let mut object = match &loaded {
            Ok(loaded) => json::diagnostics(&loaded.warnings, &loaded.sources),
            Err(ConfigError::Refused {
                diagnostics,
                sources,
            }) => json::diagnostics(diagnostics, sources),
            Err(error @ ConfigError::Unreadable { .. }) => json::unreadable(&error.to_string()),
        };
        if let Some(ok) = object.get_mut("ok") {
            *ok = json!(outcome == Outcome::Fine);
        }
        writeln!(io::stdout(), "{object:#}")?;
        return Ok(outcome);
    }
    match &loaded {
        Ok(loaded) => {
            let style = terminal::stderr_style();
            terminal::report(&diagnostic::render(
                &loaded.warnings,
                &loaded.sources,
                style,
            ));
            if outcome == Outcome::Fine {
                writeln!(
                    io::stdout(),
                    "{}: {}",
                    arguments.file.display(),
                    summary(loaded)
                )?;
            } else {
                terminal::complain(&format!(
                    "{} has warnings, which --strict refuses",
                    arguments.file.display()
                ));
            }
        }
        Err(error) => {
            terminal::report(&error.report(terminal::stderr_style()));
            terminal::complain(&refusal(error));
        }
    }
    Ok(outcome)
}

/// What a good configuration has in it.
fn summary(loaded: &Loaded) -> String {
    let warnings = match loaded.warnings.len() {
        0 => String::new(),
        number => format!(", {}", counted(number, "warning")),
    };
    format!(
        "fine: {}, {}{warnings}",
        counted(loaded.settings.listeners.len(), "listener"),
        counted(loaded.settings.upstreams.len(), "upstream"),
    )
}

/// The last line under a report.
pub(super) fn refusal(error: &ConfigError) -> String {
    match error {
        ConfigError::Refused { diagnostics, .. } => {
            let errors = diagnostics
                .iter()
                .filter(|one| one.severity == diagnostic::Severity::Error)
                .count();
            format!(
                "the configuration was refused: {}",
                counted(errors, "error")
            )
        }
        ConfigError::Unreadable { .. } => "the configuration was refused".to_owned(),
    }
}

/// A number and its noun.
fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
