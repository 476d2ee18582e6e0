//! `docs/metrics.md` says of every metric what the program says, and of no other.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use ftpwarden::ftp::misbehaviour::{ClientFault, ServerFault};
use ftpwarden::telemetry::metrics::catalogue::CATALOGUE;

/// The reference.
fn reference() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    fs::read_to_string(path).unwrap_or_default()
}

/// The cells of the rows of tables.
fn rows(text: &str) -> Vec<Vec<String>> {
    text.lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

/// The words of a cell that stand between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_reference_has_every_metric_as_it_is() {
    let found: BTreeMap<String, (String, Vec<String>)> = rows(&reference())
        .into_iter()
        .filter(|row| row.len() == 4 && row[0].starts_with("`ftpwarden_"))
        .map(|row| {
            (
                row[0].trim_matches('`').to_owned(),
                (row[1].clone(), quoted(&row[2])),
            )
        })
        .collect();
    let expected: BTreeMap<String, (String, Vec<String>)> = CATALOGUE
        .iter()
        .map(|definition| {
            let labels = definition
                .labels
                .iter()
                .map(|label| (*label).to_owned())
                .collect();
            (
                definition.name.to_owned(),
                (definition.kind.name().to_owned(), labels),
            )
        })
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_reference_has_the_buckets() {
    let found: BTreeMap<String, Vec<f64>> = rows(&reference())
        .into_iter()
        .filter(|row| row.len() == 2 && row[0].starts_with("`ftpwarden_"))
        .map(|row| {
            let bounds = row[1]
                .split(' ')
                .map(|bound| bound.parse().unwrap())
                .collect();
            (row[0].trim_matches('`').to_owned(), bounds)
        })
        .collect();
    let expected: BTreeMap<String, Vec<f64>> = CATALOGUE
        .iter()
        .filter(|definition| !definition.buckets.is_empty())
        .map(|definition| (definition.name.to_owned(), definition.buckets.to_vec()))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_reference_has_every_violation() {
    let rows = rows(&reference());
    let kinds = |leg: &str| {
        let row = rows
            .iter()
            .find(|row| row[0] == format!("`{leg}`"))
            .unwrap();
        quoted(&row[1]).into_iter().collect::<BTreeSet<_>>()
    };
    let client: BTreeSet<String> = ClientFault::ALL
        .iter()
        .map(|fault| fault.kind().to_owned())
        .collect();
    let server: BTreeSet<String> = ServerFault::ALL
        .iter()
        .map(|fault| fault.kind().to_owned())
        .collect();
    assert_eq!(kinds("client"), client);
    assert_eq!(kinds("server"), server);
}

#[test]
fn the_examples_name_metrics_that_exist() {
    let names: BTreeSet<&str> = CATALOGUE.iter().map(|definition| definition.name).collect();
    let text = reference();
    let mut examples = 0;
    for block in text.split("```promql\n").skip(1) {
        let (query, _) = block.split_once("```").unwrap();
        for word in query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
            if word.starts_with("ftpwarden_") {
                examples += 1;
                let base = word.trim_end_matches("_bucket");
                assert!(names.contains(base), "{word}");
            }
        }
    }
    assert!(examples > 15, "only {examples} names were looked at");
}
