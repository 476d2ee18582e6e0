//! `deploy/prometheus`: what to scrape, the alerts, their cases and their runbook.

use std::collections::BTreeSet;

use crate::tools::{repository, succeed, text, tool};

/// The rules.
const ALERTS: &str = "deploy/prometheus/alerts.yml";
/// Their cases.
const CASES: &str = "deploy/prometheus/alerts_test.yml";
/// What to do about each.
const RUNBOOK: &str = "docs/alerts.md";

/// What alerts may be about: metrics of the gateway, and what Prometheus and the process itself report.
const METRICS: &[&str] = &[
    "ftpwarden_audit_events_dropped_total",
    "ftpwarden_audit_refusing",
    "ftpwarden_build_info",
    "ftpwarden_command_duration_seconds_bucket",
    "ftpwarden_commands_total",
    "ftpwarden_config_last_reload_successful",
    "ftpwarden_logins_total",
    "ftpwarden_passive_ports",
    "ftpwarden_passive_ports_in_use",
    "ftpwarden_server_replies_total",
    "ftpwarden_sessions",
    "ftpwarden_sessions_rejected_total",
    "ftpwarden_tls_certificate_expiry_timestamp_seconds",
    "ftpwarden_tls_handshakes_total",
    "ftpwarden_transfers_total",
    "ftpwarden_upstream_connect_duration_seconds_count",
    "ftpwarden_upstream_connects_total",
    "ftpwarden_upstream_up",
    "process_max_fds",
    "process_open_fds",
    "process_start_time_seconds",
];

/// The values of all lines `key: value`, an item's first line or not.
fn values<'a>(yaml: &'a str, key: &str) -> Vec<&'a str> {
    yaml.lines()
        .map(|line| line.trim_start().trim_start_matches("- "))
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
        .collect()
}

/// The names of all alerts; their number is asserted so that a change of layout cannot empty the tests below.
fn alerts(rules: &str) -> Vec<&str> {
    let alerts = values(rules, "alert");
    assert_eq!(alerts.len(), 18);
    alerts
}

#[test]
fn prometheus_accepts_the_scrape_configuration() {
    succeed(
        tool("promtool")
            .args(["check", "config"])
            .arg(repository("deploy/prometheus/scrape.yml")),
    );
}

#[test]
fn prometheus_accepts_the_alerts() {
    succeed(
        tool("promtool")
            .args(["check", "rules", "--lint=all", "--lint-fatal"])
            .arg(repository(ALERTS)),
    );
}

#[test]
fn alerts_fire_and_stay_silent_where_they_should() {
    succeed(
        tool("promtool")
            .args(["test", "rules"])
            .arg(repository(CASES)),
    );
}

#[test]
fn every_alert_has_a_case_that_fires_and_one_that_does_not() {
    let (rules, cases) = (text(ALERTS), text(CASES));
    let tried: Vec<(&str, bool)> = cases
        .split("alertname: ")
        .skip(1)
        .map(|case| {
            let (name, rest) = case.split_once('\n').unwrap();
            (name, !rest.trim_start().starts_with("exp_alerts: []"))
        })
        .collect();
    for alert in alerts(&rules) {
        for fires in [true, false] {
            assert!(
                tried.contains(&(alert, fires)),
                "no case for {alert} that fires: {fires}"
            );
        }
    }
}

#[test]
fn every_alert_waits_and_says_what_is_wrong_and_where_to_read_on() {
    let rules = text(ALERTS);
    let runbook = text(RUNBOOK);
    for rule in rules.split("- alert: ").skip(1) {
        let name = rule.lines().next().unwrap();
        for key in ["for", "severity", "summary", "description"] {
            assert_eq!(values(rule, key).len(), 1, "{name}: {key}");
        }
        assert!(
            ["critical", "warning"].contains(&values(rule, "severity")[0]),
            "{name}"
        );
        let section = format!("{RUNBOOK}#{}", name.to_lowercase());
        assert_eq!(values(rule, "runbook"), [section], "{name}");
        let section = runbook
            .split("\n## ")
            .find_map(|section| section.strip_prefix(name)?.strip_prefix('\n'))
            .unwrap_or_else(|| panic!("{RUNBOOK} has no section {name}"));
        for part in ["**Meaning.**", "**Look at.**", "**Do.**"] {
            assert!(section.contains(part), "{name}: {part}");
        }
    }
    assert_eq!(runbook.matches("\n## ").count(), alerts(&rules).len());
}

#[test]
fn alerts_speak_only_of_metrics_that_exist() {
    let rules = text(ALERTS);
    let expressions: String = rules
        .lines()
        .filter(|line| !line.trim_start().starts_with(['#', '-']) && !line.contains("name"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let named: BTreeSet<&str> = expressions
        .split(|letter: char| !letter.is_ascii_alphanumeric() && !"_:".contains(letter))
        .filter(|word| word.starts_with("ftpwarden_") || word.starts_with("process_"))
        .collect();
    assert_eq!(named, METRICS.iter().copied().collect());
}
