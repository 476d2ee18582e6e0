use std::collections::BTreeSet;
use std::fmt::Write as _;

use super::Metrics;
use super::catalogue::{CATALOGUE, Kind};
use crate::telemetry::tests::{session, settings, telemetry};

/// Every metric with its type and labels. A line that changes here breaks somebody's dashboard.
const GOLDEN: &str = "\
ftpwarden_audit_events_dropped_total counter
ftpwarden_audit_refusing gauge
ftpwarden_bans gauge
ftpwarden_bans_total counter listener
ftpwarden_build_info gauge version
ftpwarden_command_duration_seconds histogram listener
ftpwarden_commands_total counter listener command outcome
ftpwarden_config_last_reload_success_timestamp_seconds gauge
ftpwarden_config_last_reload_successful gauge
ftpwarden_data_connections_total counter leg mode result
ftpwarden_logins_total counter listener result
ftpwarden_passive_ports gauge listener
ftpwarden_passive_ports_in_use gauge listener
ftpwarden_policy_decisions_total counter policy rule action mode
ftpwarden_protocol_violations_total counter leg kind
ftpwarden_replies_total counter listener code origin
ftpwarden_server_replies_total counter upstream code
ftpwarden_session_duration_seconds histogram listener
ftpwarden_sessions gauge listener
ftpwarden_sessions_rejected_total counter listener reason
ftpwarden_sessions_total counter listener
ftpwarden_tls_certificate_expiry_timestamp_seconds gauge listener certificate
ftpwarden_tls_data_not_resumed_total counter listener
ftpwarden_tls_handshakes_total counter leg channel version resumed result
ftpwarden_transfer_bytes_total counter listener direction
ftpwarden_transfer_duration_seconds histogram listener direction
ftpwarden_transfers_total counter listener direction result
ftpwarden_upstream_connect_duration_seconds histogram upstream
ftpwarden_upstream_connects_total counter upstream result
ftpwarden_upstream_up gauge upstream address
";

#[test]
fn names_types_and_labels_are_a_promise() {
    let mut lines: Vec<String> = CATALOGUE
        .iter()
        .map(|definition| {
            let mut line = format!("{} {}", definition.name, definition.kind.name());
            for label in definition.labels {
                write!(line, " {label}").unwrap();
            }
            line + "\n"
        })
        .collect();
    lines.sort();
    assert_eq!(lines.concat(), GOLDEN);
}

#[test]
fn what_is_exposed_is_what_is_promised() {
    let telemetry = telemetry(&settings(None));
    let _recorder = session(&telemetry);
    telemetry.certificate_expiry("main", "cert.pem", 1_800_000_000);
    let text = telemetry.render();
    let mut types: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
        .collect();
    types.sort_unstable();
    let (ours, others): (Vec<&str>, Vec<&str>) = types
        .into_iter()
        .partition(|line| line.starts_with("ftpwarden_"));
    let promised: Vec<String> = GOLDEN
        .lines()
        .map(|line| line.splitn(3, ' ').take(2).collect::<Vec<_>>().join(" "))
        .collect();
    assert_eq!(ours, promised);
    assert!(
        others.iter().all(|line| line.starts_with("process_")),
        "{others:?}"
    );
    assert!(others.contains(&"process_open_fds gauge"), "{others:?}");

    let label_names = |series: &str| -> BTreeSet<String> {
        let (_, labels) = series.split_once('{').unwrap_or((series, ""));
        labels
            .split(',')
            .filter_map(|label| label.split_once('='))
            .map(|(name, _)| name.to_owned())
            .filter(|name| name != "le")
            .collect()
    };
    for definition in CATALOGUE {
        let help = format!("# HELP {} {}\n", definition.name, definition.help);
        assert!(text.contains(&help), "{}", definition.name);
        let suffix = match definition.kind {
            Kind::Histogram => "_bucket",
            Kind::Counter | Kind::Gauge => "",
        };
        let name = format!("{}{suffix}", definition.name);
        let series: Vec<&str> = text
            .lines()
            .filter(|line| {
                line.starts_with(&format!("{name}{{")) || line.starts_with(&format!("{name} "))
            })
            .collect();
        assert!(!series.is_empty(), "{name}");
        let expected: BTreeSet<String> = definition
            .labels
            .iter()
            .map(|label| (*label).to_owned())
            .collect();
        for line in series {
            assert_eq!(label_names(line), expected, "{line}");
        }
    }
}

#[test]
fn histograms_have_buckets_that_grow_and_nothing_else_has() {
    let mut histograms = 0;
    for definition in CATALOGUE {
        assert_eq!(
            definition.kind == Kind::Histogram,
            !definition.buckets.is_empty(),
            "{}",
            definition.name
        );
        histograms += usize::from(definition.kind == Kind::Histogram);
        assert!(definition.buckets.is_sorted(), "{}", definition.name);
        assert!(definition.help.ends_with('.'), "{}", definition.name);
    }
    assert_eq!(histograms, 4);
}

#[test]
fn names_follow_prometheus() {
    for definition in CATALOGUE {
        let name = definition.name;
        assert_eq!(
            definition.kind == Kind::Counter,
            name.ends_with("_total"),
            "{name}"
        );
        let base = name.trim_end_matches("_total");
        match definition.unit {
            metrics::Unit::Seconds => assert!(base.ends_with("_seconds"), "{name}"),
            metrics::Unit::Bytes => assert!(base.ends_with("_bytes"), "{name}"),
            _ => assert!(
                !base.ends_with("_seconds") && !base.ends_with("_bytes"),
                "{name}"
            ),
        }
    }
}

#[test]
fn a_listener_of_many_has_a_bounded_number_of_series() {
    let one = telemetry(&settings(None)).render().lines().count();
    let empty = Metrics::new().render().lines().count();
    assert!(one - empty < 700, "{one} lines, {empty} without listeners");
}
