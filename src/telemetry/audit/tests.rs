use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics::Counter;

use super::{Audit, LoginEvent, client_head, head, seconds};
use crate::settings::{self, WhenFull};

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
