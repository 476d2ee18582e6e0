//! `check`: load everything, bind nothing.
//!
//! Owns the summary and the exit code. Must not know what is wrong with a configuration.

use serde_json::json;

use super::args::Check;
use super::{Answer, Outcome, certificates, json, terminal};
use crate::config::{self, ConfigError, Loaded, diagnostic};

/// Checks the file.
pub(super) fn check(arguments: &Check) -> Answer {
    let loaded = certificates::checked(config::load(&arguments.file));
    let outcome = match &loaded {
        Ok(loaded) if loaded.warnings.is_empty() || !arguments.strict => Outcome::Fine,
        Ok(_) | Err(_) => Outcome::Configuration,
    };
    if arguments.json {
        return Answer {
            outcome,
            ..Answer::fine(for_scripts(&loaded, outcome))
        };
    }
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => return Answer::refused(&error),
    };
    let file = arguments.file.display();
    let mut answer = if outcome == Outcome::Fine {
        Answer::fine(format!("{file}: {}\n", praise(&loaded)))
    } else {
        Answer::wrong(
            outcome,
            &format!("{file} has warnings, which --strict refuses"),
        )
    };
    let style = terminal::stderr_style();
    let warnings = diagnostic::render(&loaded.warnings, &loaded.sources, style);
    answer.err.insert_str(0, &warnings);
    answer
}

/// The one object of `--json`.
fn for_scripts(loaded: &Result<Loaded, ConfigError>, outcome: Outcome) -> String {
    let mut object = match loaded {
        Ok(loaded) => json::diagnostics(&loaded.warnings, &loaded.sources),
        Err(ConfigError::Refused {
            diagnostics,
            sources,
            ..
        }) => json::diagnostics(diagnostics, sources),
        Err(error @ ConfigError::Unreadable { .. }) => json::unreadable(&error.to_string()),
    };
    if let Some(ok) = object.get_mut("ok") {
        *ok = json!(outcome == Outcome::Fine);
    }
    format!("{object:#}\n")
}

/// What a good configuration has in it.
fn praise(loaded: &Loaded) -> String {
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
pub(super) fn summary(error: &ConfigError) -> String {
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
        ConfigError::Unreadable { .. } => "there is no configuration".to_owned(),
    }
}

/// A number and its noun.
fn counted(number: usize, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}
