//! Configurations that load, configurations that are refused and how, and the promise that every
//! key of the schema is documented, obeyed and shown with its true default.
//!
//! `BLESS=1 cargo test --test config` writes the expected reports anew.

use std::fs;
use std::path::{Path, PathBuf};

use ftpwarden::config::diagnostic::{Severity, Style, render};
use ftpwarden::config::schema::{self, Table};
use ftpwarden::config::{self, ConfigError, Loaded};
use ftpwarden::settings::Settings;

/// The files below `directory` whose name ends in `extension`, sorted.
fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    found.sort();
    found
}

/// What a file says, known by its name alone.
fn parse(path: &Path) -> Result<Loaded, ConfigError> {
    let name = path.file_name().unwrap().to_string_lossy();
    config::parse(&fs::read_to_string(path).unwrap(), &name)
}

/// The settings in a form that can be compared.
fn shown(settings: &Settings) -> String {
    format!("{settings:#?}")
}

#[test]
fn valid_configurations_load_without_a_warning() {
    let all = files("tests/configs/valid", "toml");
    assert_eq!(all.len(), 5);
    for path in all {
        let loaded = parse(&path)
            .unwrap_or_else(|error| panic!("{}:\n{}", path.display(), error.report(Style::Plain)));
        let warnings = render(&loaded.warnings, &loaded.sources, Style::Plain);
        assert_eq!(warnings, "", "{}", path.display());
    }
}

#[test]
fn odd_configurations_load_with_warnings() {
    let all = files("tests/configs/warned", "toml");
    assert_eq!(all.len(), 8);
    for path in all {
        let loaded = parse(&path)
            .unwrap_or_else(|error| panic!("{}:\n{}", path.display(), error.report(Style::Plain)));
        assert!(!loaded.warnings.is_empty(), "{}", path.display());
        compare(
            &path,
            &render(&loaded.warnings, &loaded.sources, Style::Plain),
        );
    }
}

#[test]
fn invalid_configurations_are_refused_as_expected() {
    let all = files("tests/configs/invalid", "toml");
    assert_eq!(all.len(), 39);
    for path in all {
        let error = parse(&path)
            .err()
            .unwrap_or_else(|| panic!("{} loads", path.display()));
        compare(&path, &error.report(Style::Plain));
    }
    assert_eq!(files("tests/configs/invalid", "stderr").len(), 39);
}

/// Compares a report with the `.stderr` beside its configuration.
fn compare(path: &Path, report: &str) {
    let expected = path.with_extension("stderr");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&expected, report).unwrap();
    }
    let wanted = fs::read_to_string(&expected).unwrap_or_default();
    assert_eq!(report, wanted, "{}", path.display());
}

#[test]
fn every_problem_has_a_code_and_a_place() {
    let mut codes = std::collections::BTreeSet::new();
    for path in files("tests/configs/invalid", "toml") {
        let Err(ConfigError::Refused {
            diagnostics,
            sources,
        }) = parse(&path)
        else {
            panic!("{} loads", path.display());
        };
        assert!(
            diagnostics
                .iter()
                .any(|one| one.severity == Severity::Error)
        );
        for one in diagnostics {
            assert!(
                sources.place(&one.span).is_some(),
                "{}: {one:?}",
                path.display()
            );
            let (room, name) = one.code.split_once('/').unwrap();
            assert!(matches!(room, "config" | "policy"), "{}", one.code);
            assert!(
                name.bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'-')
            );
            codes.insert(one.code);
        }
    }
    assert!(codes.len() >= 25, "{codes:?}");
}

/// A configuration with every table, to which each key of `table` can be written once.
fn with_key(table: &Table, key: &str, value: &str) -> String {
    let mut text = String::from(
        "listeners.main.bind = \"0.0.0.0:21\"\nlisteners.main.upstream = \"legacy\"\n\
         upstreams.legacy.address = \"10.0.0.5:21\"\n",
    );
    let line = match table.path {
        "policies.NAME.rules" => format!("policies.own.rules = [{{ {key} = {value} }}]"),
        path => {
            let path = path.replace("listeners.NAME", "listeners.main");
            let path = path.replace("upstreams.NAME", "upstreams.legacy");
            format!("{}.{key} = {value}", path.replace("NAME", "own"))
        }
    };
    let prefix = line.split(" = ").next().unwrap();
    let kept: Vec<&str> = text
        .lines()
        .filter(|other| !other.starts_with(prefix))
        .collect();
    text = kept.join("\n");
    format!("{text}\n{line}\n")
}

#[test]
fn every_key_of_the_schema_is_read() {
    let mut seen = 0;
    for table in schema::TABLES {
        for key in table.keys {
            // No key takes a date.
            let text = with_key(table, key, "1979-05-27");
            let Err(ConfigError::Refused { diagnostics, .. }) = config::parse(&text, "it") else {
                panic!("{}.{key} takes a date, or is not read:\n{text}", table.path);
            };
            let place = text.find("1979").unwrap();
            let at_key = |one: &&config::diagnostic::Diagnostic| one.span.bytes.start == place;
            let found = diagnostics.iter().find(at_key).map(|one| one.code);
            assert_eq!(
                found,
                Some("config/wrong-type"),
                "{}.{key}: {diagnostics:?}",
                table.path
            );
            seen += 1;
        }
    }
    assert_eq!(seen, 57);
}

#[test]
fn an_unknown_key_is_refused_in_every_table() {
    for table in schema::TABLES {
        let text = with_key(table, "bogus", "1");
        let Err(ConfigError::Refused { diagnostics, .. }) = config::parse(&text, "it") else {
            panic!("{}.bogus is taken", table.path);
        };
        assert!(
            diagnostics
                .iter()
                .any(|one| one.code == "config/unknown-key"),
            "{}",
            table.path
        );
    }
}
