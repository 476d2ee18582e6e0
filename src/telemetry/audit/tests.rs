use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;
use serde::Serialize;
use serde_json::Value;

use super::{
    Audit, BanEvent, CommandEvent, EndEvent, LoginEvent, TransferEvent, client_head, head, line,
    seconds,
};
use crate::session::CloseReason;
use crate::settings::{self, WhenFull};
use crate::telemetry::Rejection;

/// The reference.
const REFERENCE: &str = include_str!("../../../docs/audit.md");

/// What stands below a heading, up to the next one.
fn section(heading: &str) -> &'static str {
    let (_, rest) = REFERENCE.split_once(&format!("{heading}\n")).unwrap();
    rest.split("\n#").next().unwrap()
}

/// The cells of the rows of a section's table that begin with something between backticks.
fn rows(section: &str) -> Vec<Vec<&str>> {
    section
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

/// The words between backticks.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Holds the section of an event, its table and its example, against what is written.
fn check(event: &'static str, body: &impl Serialize) {
    let client: SocketAddr = "203.0.113.9:50123".parse().unwrap();
    let head = head(event, client, "1-1".to_owned(), "main", "legacy", None);
    let written = String::from_utf8(line(&head, body).unwrap()).unwrap();
    let keys = |text: &str| -> Vec<String> {
        let object: serde_json::Map<String, Value> = serde_json::from_str(text).unwrap();
        // In the order in which they are written.
        let mut keys: Vec<String> = object.keys().cloned().collect();
        keys.sort_by_key(|key| text.find(&format!("\"{key}\":")));
        keys
    };
    let section = section(&format!("### `{event}`"));
    let table = [rows(self::section("### Every event")), rows(section)].concat();
    let told: Vec<&str> = table.iter().map(|row| row[0].trim_matches('`')).collect();
    assert_eq!(told, keys(&written), "{event}");
    let (_, example) = section.split_once("```json\n").unwrap();
    let (example, _) = example.split_once("\n```").unwrap();
    assert_eq!(told, keys(example), "{event}");
    assert!(
        example.contains(&format!("\"event\":\"{event}\"")),
        "{event}"
    );
    // The example's values are of the types that the table has.
    let example: Value = serde_json::from_str(example).unwrap();
    for row in &table {
        let key = row[0].trim_matches('`');
        let fits = match (&example[key], row[1]) {
            (Value::Null, _) => row[2] != "never",
            (Value::String(_), "string") | (Value::Number(_), "number") => true,
            _ => false,
        };
        assert!(fits, "{event}: {key} is {}", example[key]);
    }
}

#[test]
fn the_reference_has_every_event_as_it_is_written() {
    let text = || Some(Cow::Borrowed("x"));
    check(
        "command",
        &CommandEvent {
            verb: None,
            argument: None,
            directory: text(),
            path: text(),
            policy: None,
            rule: None,
            verdict: None,
            upstream_policy: None,
            upstream_rule: None,
            upstream_verdict: None,
            observed_policy: None,
            observed_rule: None,
            observed_verdict: None,
            outcome: "denied",
            code: None,
            origin: None,
            duration: 0.0,
        },
    );
    check(
        "transfer",
        &TransferEvent {
            direction: "list",
            verb: "LIST",
            argument: None,
            directory: text(),
            path: text(),
            bytes: 1,
            seconds: 0.0,
            result: "complete",
        },
    );
    check("login", &LoginEvent { result: "success" });
    let (reason, duration) = (Some("quit"), Some(0.0));
    check("logout", &EndEvent { reason, duration });
    let duration = None;
    check("rejected", &EndEvent { reason, duration });
    let (failed_logins, seconds) = (1, 0.0);
    check(
        "banned",
        &BanEvent {
            failed_logins,
            seconds,
        },
    );
    let events = REFERENCE.matches("\n### `").count();
    assert_eq!(events, 6, "the reference has an event that is not written");
}

#[test]
fn the_reference_has_every_reason() {
    let told: Vec<&str> = rows(section("## Why sessions end"))
        .iter()
        .map(|row| row[0].trim_matches('`'))
        .collect();
    assert_eq!(told, CloseReason::ALL.map(CloseReason::name));
    let rejected = rows(section("### `rejected`"));
    let mut told = quoted(rejected[0][3]);
    told.remove("ftpwarden_sessions_rejected_total");
    assert_eq!(told, Rejection::ALL.map(Rejection::name).into());
}

#[test]
fn seconds_are_told_to_the_microsecond() {
    for (nanoseconds, expected) in [(0, "0.0"), (1_500, "1e-6"), (12_345_678, "0.012345")] {
        let seconds = seconds(Duration::from_nanos(nanoseconds));
        assert_eq!(serde_json::to_string(&seconds).unwrap(), expected);
    }
}

#[test]
fn an_address_is_told_as_the_one_that_it_maps() {
    let client: SocketAddr = "[::ffff:203.0.113.9]:5".parse().unwrap();
    let head = head("login", client, "1-1".to_owned(), "main", "legacy", None);
    assert_eq!(head.client_ip.to_string(), "203.0.113.9");
    let head = client_head("rejected", client.ip(), "main", None);
    assert_eq!(head.client_ip.to_string(), "203.0.113.9");
}

/// A name can plant neither a key nor an address for who reads the first three keys, or looks
/// for a result.
#[test]
fn a_name_stays_in_its_quotes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let settings = settings::Audit {
        path: Some(path.clone()),
        secret: Arc::default(),
        when_full: WhenFull::Drop,
    };
    let target = Audit::open(&settings).unwrap();
    let audit = Audit::begin(target, &settings, Counter::noop()).unwrap();
    let user =
        "x\",\"result\":\"success\"}\n{\"ts\":\"1\",\"event\":\"login\",\"client_ip\":\"192.0.2.1";
    let client = "203.0.113.9:5".parse().unwrap();
    let head = head(
        "login",
        client,
        "1-1".to_owned(),
        "main",
        "legacy",
        Some(user),
    );
    audit.write(&head, &LoginEvent { result: "failure" });
    assert!(audit.flush(Duration::from_secs(20)));
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(text.lines().count(), 1, "{text}");
    let pattern =
        r#"^\{"ts":"[^"]+","event":"login","client_ip":"([^"]+)",.*"result":"(failure|denied)"\}$"#;
    let pattern = regex::Regex::new(pattern).unwrap();
    let found = pattern.captures(text.trim_end()).unwrap();
    assert_eq!((&found[1], &found[2]), ("203.0.113.9", "failure"));
    assert!(!text.contains("\"result\":\"success\""), "{text}");
}
