//! What all tests of telemetry share, and tests of the whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use regex::Regex;

use super::{BanStatus, DialResult, Opening, Rejection, SessionRecorder, Telemetry};
use crate::policy::RuleInfo;
use crate::policy::judge::System;
use crate::policy::spec::Span;
use crate::policy::verdict::Action;
use crate::session::{DataMode, Fact, Origin};
use crate::settings::{Audit, Listener, Log, Process, Settings, ShellLimits, Upstream, WhenFull};

/// A listener of the policy `partners`, which observes `next`.
pub(super) fn listener(name: &str, upstream: &str) -> Arc<Listener> {
    Arc::new(Listener {
        name: name.into(),
        bind: Vec::new(),
        upstream: upstream.into(),
        policy: "partners".into(),
        observe: Some("next".into()),
        greeting: Some("242-Hello.\r\n242 Bye.\r\n".into()),
        sessions: None,
        passive_ports: None,
        tls: None,
        passive_address: Vec::new(),
        accept_proxy_from: Vec::new(),
        bandwidth: None,
        user_bandwidth: Vec::new(),
    })
}

/// An upstream of the policy `permissive`.
pub(super) fn upstream(name: &str, host: &str) -> Arc<Upstream> {
    Arc::new(Upstream {
        name: name.into(),
        host: host.into(),
        port: 21,
        policy: "permissive".into(),
        unsupported: Vec::new(),
        source_address: None,
        data_addresses: Vec::new(),
        active_ports: None,
        data_mode: DataMode::Match,
        system: System::Unix,
        symlinks: true,
        line_bytes: 510,
        path_bytes: 4096,
        connect_timeout: Duration::from_secs(5),
        tls: None,
    })
}

/// One listener `main` in front of the upstream `legacy`; with an audit file where one is named.
pub(crate) fn settings(audit: Option<&Path>) -> Settings {
    Settings {
        listeners: BTreeMap::from([("main".into(), listener("main", "legacy"))]),
        upstreams: BTreeMap::from([("legacy".into(), upstream("legacy", "10.0.0.5"))]),
        admin: None,
        log: Log {
            level: crate::settings::LogLevel::Info,
            format: crate::settings::LogFormat::Text,
        },
        audit: audit.map(|path| Audit {
            path: Some(path.to_owned()),
            secret: Arc::default(),
            when_full: WhenFull::Drop,
        }),
        process: Process::default(),
        limits: ShellLimits::default(),
        session_limits: Arc::default(),
    }
}

/// A way of deciding.
pub(super) fn rule(policy: &str, rule: &str, action: Action) -> RuleInfo {
    RuleInfo {
        policy: policy.into(),
        rule: rule.into(),
        action,
        code: None,
        span: Span::default(),
    }
}

/// The rules of the policies that the settings name, and one of a policy that they do not.
pub(super) fn rules() -> Vec<RuleInfo> {
    vec![
        rule("partners", "acme/in", Action::Allow),
        rule("partners", "default", Action::Deny),
        rule("permissive", "default", Action::Allow),
        rule("next", "default", Action::Deny),
        rule("idle", "default", Action::Deny),
    ]
}

/// A telemetry of these settings.
pub(crate) fn telemetry(settings: &Settings) -> Arc<Telemetry> {
    Telemetry::with_rules(settings, None, &rules()).unwrap()
}

/// A session of 203.0.113.9 at the listener `main`.
pub(crate) fn session(telemetry: &Arc<Telemetry>) -> SessionRecorder {
    telemetry.session(&Opening {
        listener: "main".into(),
        upstream: "legacy".into(),
        client: SocketAddr::from(([203, 0, 113, 9], 50123)),
        local: SocketAddr::from(([198, 51, 100, 1], 21)),
    })
}

/// Waits until what another thread does has come to pass.
pub(super) fn until(mut has_come: impl FnMut() -> bool) {
    let began = super::clock::monotonic();
    while !has_come() {
        let waited = super::clock::monotonic().duration_since(began);
        assert!(waited < Duration::from_secs(20), "it does not come");
        std::thread::yield_now();
    }
}

/// The value of a series; the labels may stand in any order. None if it is not there.
pub(super) fn value(telemetry: &Telemetry, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let wanted: BTreeMap<String, String> = labels
        .iter()
        .map(|(name, value)| ((*name).to_owned(), format!("\"{value}\"")))
        .collect();
    telemetry.render().lines().find_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (found, labels) = series.split_once('{').unwrap_or((series, "}"));
        let labels: BTreeMap<String, String> = labels
            .strip_suffix('}')?
            .split(',')
            .filter_map(|label| label.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        (found == name && labels == wanted).then(|| value.parse().unwrap())
    })
}

/// Checks lines of the form `name label=value … = value`, where names are without their prefix.
pub(super) fn check(telemetry: &Telemetry, table: &str) {
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (series, expected) = line.rsplit_once(" = ").unwrap();
        let mut words = series.split(' ');
        let name = format!("ftpwarden_{}", words.next().unwrap());
        let labels: Vec<(&str, &str)> = words.map(|word| word.split_once('=').unwrap()).collect();
        let found = value(telemetry, &name, &labels);
        assert_eq!(found, Some(expected.parse().unwrap()), "{line}");
    }
}

/// The client that is turned away.
const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 66));

#[test]
fn what_the_configuration_names_is_there_at_zero() {
    let telemetry = telemetry(&settings(None));
    check(
        &telemetry,
        "
        replies_total listener=main code=502 origin=gateway = 0
        replies_total listener=main code=242 origin=gateway = 0
        replies_total listener=main code=550 origin=server = 0
        server_replies_total upstream=legacy code=421 = 0
        commands_total listener=main command=SITE outcome=denied = 0
        commands_total listener=main command=other outcome=invalid = 0
        policy_decisions_total policy=partners rule=default action=deny mode=enforced = 0
        policy_decisions_total policy=permissive rule=default action=allow mode=enforced = 0
        policy_decisions_total policy=next rule=default action=deny mode=observed = 0
        sessions listener=main = 0
        sessions_total listener=main = 0
        sessions_rejected_total listener=main reason=client_sessions = 0
        logins_total listener=main result=failure = 0
        transfers_total listener=main direction=upload result=failed = 0
        transfer_bytes_total listener=main direction=list = 0
        command_duration_seconds_count listener=main = 0
        data_connections_total leg=server mode=epsv result=timeout = 0
        protocol_violations_total leg=client kind=bare_cr = 0
        upstream_connects_total upstream=legacy result=refused = 0
        upstream_up upstream=legacy address=10.0.0.5:21 = 1
        audit_events_dropped_total = 0
        ",
    );
    // What is not in force has no series, in neither mode.
    for mode in ["enforced", "observed"] {
        let idle = [
            ("policy", "idle"),
            ("rule", "default"),
            ("action", "deny"),
            ("mode", mode),
        ];
        let name = "ftpwarden_policy_decisions_total";
        assert_eq!(value(&telemetry, name, &idle), None);
    }
}

/// The codes of the replies that are written out in `path` and below, tests apart.
fn written_codes(path: &Path) -> BTreeSet<u16> {
    if path.file_stem().is_some_and(|name| name == "tests") {
        return BTreeSet::new();
    }
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap();
        return entries
            .flat_map(|entry| written_codes(&entry.unwrap().path()))
            .collect();
    }
    let written = Regex::new(r#"\b([1-5]\d\d), *(?:"|TOO_MANY|text\b)|b"([1-5]\d\d)[ -]"#).unwrap();
    written
        .captures_iter(&fs::read_to_string(path).unwrap())
        .filter_map(|captures| captures.iter().skip(1).flatten().next())
        .map(|code| code.as_str().parse().unwrap())
        .collect()
}

#[test]
fn codes_that_the_gateway_gives_are_there_at_zero() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let given: BTreeSet<u16> = ["gateway", "policy/judge.rs", "policy/verdict.rs", "session"]
        .iter()
        .flat_map(|place| written_codes(&sources.join(place)))
        .collect();
    let looked_for = BTreeSet::from([211, 234, 421, 425, 502, 521, 530, 533, 534, 536]);
    assert!(given.is_superset(&looked_for), "{given:?}");
    let telemetry = telemetry(&settings(None));
    for code in given {
        let code = code.to_string();
        let labels = [
            ("listener", "main"),
            ("code", &*code),
            ("origin", "gateway"),
        ];
        let count = value(&telemetry, "ftpwarden_replies_total", &labels);
        assert_eq!(count, Some(0.0), "{code}");
    }
}

#[test]
fn codes_that_only_a_rule_names_are_there_at_zero() {
    let refuses = |policy, code| RuleInfo {
        code: Some(code),
        ..rule(policy, "own", Action::Deny)
    };
    let mut rules = vec![
        refuses("partners", 561),
        refuses("permissive", 461),
        refuses("next", 562),
        refuses("idle", 563),
    ];
    let telemetry = Telemetry::with_rules(&settings(None), None, &rules).unwrap();
    let count = |code| {
        let labels = [("listener", "main"), ("code", code), ("origin", "gateway")];
        value(&telemetry, "ftpwarden_replies_total", &labels)
    };
    assert_eq!(["561", "461"].map(count), [Some(0.0); 2]);
    // Nobody is told what an observed policy says.
    assert_eq!(["562", "563"].map(count), [None; 2]);
    rules.push(refuses("partners", 564));
    telemetry
        .reconfigure_rules(&settings(None), None, &rules)
        .unwrap();
    assert_eq!(count("564"), Some(0.0));
}

#[test]
fn two_in_one_process_do_not_mix() {
    let one = telemetry(&settings(None));
    let other = telemetry(&settings(None));
    let recorder = session(&one);
    let sessions = |telemetry: &Telemetry| {
        value(telemetry, "ftpwarden_sessions", &[("listener", "main")]).unwrap()
    };
    assert!((sessions(&one) - 1.0).abs() < 1e-9);
    assert!(sessions(&other).abs() < 1e-9);
    let id = recorder.id();
    assert_ne!(id, session(&other).id());
}

#[test]
fn a_rejection_is_counted_with_the_reply_that_it_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let telemetry = telemetry(&settings(Some(&path)));
    telemetry.rejected("main", STRANGER, Rejection::ClientSessions);
    let name = "ftpwarden_sessions_rejected_total";
    let labels = [("listener", "main"), ("reason", "client_sessions")];
    assert_eq!(value(&telemetry, name, &labels), Some(1.0));
    let reply = [("listener", "main"), ("code", "421"), ("origin", "gateway")];
    assert_eq!(
        value(&telemetry, "ftpwarden_replies_total", &reply),
        Some(1.0)
    );
    telemetry.flush();
    let text = fs::read_to_string(&path).unwrap();
    let (begin, rest) = text.split_once(r#"","#).unwrap();
    assert!(begin.starts_with(r#"{"ts":"2"#), "{text}");
    assert_eq!(
        rest,
        concat!(
            r#""event":"rejected","client_ip":"203.0.113.66","client_port":null,"session":null,"#,
            r#""listener":"main","upstream":"legacy","tls":null,"client_certificate":null,"user":null,"#,
            r#""reason":"client_sessions"}"#,
            "\n"
        )
    );
}

#[test]
fn a_connection_without_a_header_is_counted_and_told_no_reply() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let telemetry = telemetry(&settings(Some(&path)));
    telemetry.unannounced("main", STRANGER, "malformed", true);
    telemetry.unannounced("main", STRANGER, "silent", false);
    check(
        &telemetry,
        "
        sessions_rejected_total listener=main reason=proxy_header = 2
        replies_total listener=main code=421 origin=gateway = 0
        ",
    );
    telemetry.flush();
    let text = fs::read_to_string(&path).unwrap();
    let [line] = text.lines().collect::<Vec<_>>()[..] else {
        panic!("not one event: {text}");
    };
    assert!(line.contains(r#""event":"rejected","client_ip":"203.0.113.66""#));
    assert!(line.ends_with(r#""reason":"proxy_header"}"#), "{line}");
}

#[test]
fn a_ban_is_counted_shown_and_audited_and_its_connections_are_counted_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let telemetry = telemetry(&settings(Some(&path)));
    telemetry.show_bans(Box::new(|| {
        let ban = BanStatus {
            client: STRANGER,
            failed_logins: 11,
            seconds_left: 60.0,
        };
        (1, vec![ban])
    }));
    telemetry.banned("main", STRANGER, 11, Duration::from_mins(10));
    telemetry.kept_out("main", STRANGER, Rejection::Banned);
    telemetry.kept_out("main", STRANGER, Rejection::Banned);
    check(
        &telemetry,
        "
        bans = 1
        bans_total listener=main = 1
        sessions_rejected_total listener=main reason=banned = 2
        sessions_rejected_total listener=main reason=connection_rate = 0
        replies_total listener=main code=421 origin=gateway = 2
        ",
    );
    assert_eq!(telemetry.status().bans.len(), 1);
    telemetry.flush();
    let text = fs::read_to_string(&path).unwrap();
    let [line] = text.lines().collect::<Vec<_>>()[..] else {
        panic!("not one event: {text}");
    };
    assert!(line.contains(r#""event":"banned","client_ip":"203.0.113.66""#));
    assert!(
        line.ends_with(r#""failed_logins":11,"seconds":600.0}"#),
        "{line}"
    );
}

#[test]
fn a_reload_keeps_counts_and_adds_what_is_new() {
    let telemetry = telemetry(&settings(None));
    let mut recorder = session(&telemetry);
    let reply = |telemetry: &Telemetry, listener| {
        let labels = [
            ("listener", listener),
            ("code", "200"),
            ("origin", "server"),
        ];
        value(telemetry, "ftpwarden_replies_total", &labels)
    };
    let fact = || Fact::Reply {
        code: 200,
        origin: Origin::Server,
    };
    recorder.note(&fact());
    assert_eq!(reply(&telemetry, "main"), Some(1.0));
    assert_eq!(reply(&telemetry, "second"), None);

    let mut changed = settings(None);
    changed
        .listeners
        .insert("second".into(), listener("second", "legacy"));
    changed
        .upstreams
        .insert("legacy".into(), upstream("legacy", "2001:db8::5"));
    telemetry.upstream_connect("legacy", "10.0.0.5:21", DialResult::Refused, None);
    let added = [rule("partners", "added", Action::Allow)];
    telemetry.reconfigure_rules(&changed, None, &added).unwrap();
    recorder.note(&fact());
    assert_eq!(reply(&telemetry, "main"), Some(2.0));
    assert_eq!(reply(&telemetry, "second"), Some(0.0));

    let up = |address| {
        let labels = [("upstream", "legacy"), ("address", address)];
        value(&telemetry, "ftpwarden_upstream_up", &labels).unwrap()
    };
    assert!((up("[2001:db8::5]:21") - 1.0).abs() < 1e-9);
    assert!(up("10.0.0.5:21").is_nan(), "no alert waits for it any more");
    let labels = [
        ("policy", "partners"),
        ("rule", "added"),
        ("action", "allow"),
        ("mode", "enforced"),
    ];
    let name = "ftpwarden_policy_decisions_total";
    assert_eq!(value(&telemetry, name, &labels), Some(0.0));
}

#[test]
fn a_reload_whose_audit_cannot_be_opened_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let telemetry = telemetry(&settings(Some(&path)));
    let mut changed = settings(Some(&directory.path().join("none/audit.jsonl")));
    changed
        .listeners
        .insert("second".into(), listener("second", "legacy"));
    assert!(
        telemetry
            .reconfigure_rules(&changed, None, &rules())
            .is_err()
    );
    assert_eq!(
        value(&telemetry, "ftpwarden_sessions", &[("listener", "second")]),
        None
    );
    drop(session(&telemetry));
    telemetry.flush();
    assert!(fs::read_to_string(&path).unwrap().contains("logout"));
}

#[test]
fn a_reload_moves_the_audit_to_another_file_or_ends_it() {
    let directory = tempfile::tempdir().unwrap();
    let one = directory.path().join("one.jsonl");
    let two = directory.path().join("two.jsonl");
    let telemetry = telemetry(&settings(Some(&one)));
    drop(session(&telemetry));
    telemetry.flush();
    telemetry
        .reconfigure_rules(&settings(Some(&two)), None, &rules())
        .unwrap();
    drop(session(&telemetry));
    telemetry.flush();
    telemetry
        .reconfigure_rules(&settings(None), None, &rules())
        .unwrap();
    drop(session(&telemetry));
    for path in [one, two] {
        let text = fs::read_to_string(path).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn reloads_are_told() {
    let telemetry = telemetry(&settings(None));
    let successful = "ftpwarden_config_last_reload_successful";
    let when = "ftpwarden_config_last_reload_success_timestamp_seconds";
    assert_eq!(value(&telemetry, successful, &[]), Some(1.0));
    let loaded = value(&telemetry, when, &[]).unwrap();
    assert!(loaded > 1.7e9, "{loaded}");
    telemetry.reloaded(false);
    assert_eq!(value(&telemetry, successful, &[]), Some(0.0));
    assert_eq!(value(&telemetry, when, &[]), Some(loaded));
    telemetry.reloaded(true);
    assert_eq!(value(&telemetry, successful, &[]), Some(1.0));
}

#[test]
fn passive_ports_and_dials_are_told() {
    let telemetry = telemetry(&settings(None));
    telemetry.passive_ports("main", 1000, 3);
    let labels = [("listener", "main")];
    assert_eq!(
        value(&telemetry, "ftpwarden_passive_ports", &labels),
        Some(1000.0)
    );
    assert_eq!(
        value(&telemetry, "ftpwarden_passive_ports_in_use", &labels),
        Some(3.0)
    );
    let dials = |result| {
        let labels = [("upstream", "legacy"), ("result", result)];
        value(&telemetry, "ftpwarden_upstream_connects_total", &labels)
    };
    let up = || {
        let labels = [("upstream", "legacy"), ("address", "10.0.0.5:21")];
        value(&telemetry, "ftpwarden_upstream_up", &labels)
    };
    telemetry.upstream_connect("legacy", "10.0.0.5:21", DialResult::Timeout, None);
    assert_eq!((dials("timeout"), up()), (Some(1.0), Some(0.0)));
    telemetry.upstream_connect("legacy", "10.0.0.5:21", DialResult::Connected, None);
    assert_eq!((dials("connected"), up()), (Some(1.0), Some(1.0)));
    telemetry.upstream_connect("legacy", "10.0.0.5:21", DialResult::Local, None);
    assert_eq!((dials("local"), up()), (Some(1.0), Some(0.0)));
}

#[test]
fn the_full_audit_is_told_and_refuses_where_that_is_wanted() {
    let mut settings = settings(Some(Path::new("/dev/full")));
    let telemetry = telemetry(&settings);
    drop(session(&telemetry));
    telemetry.flush();
    let dropped = || value(&telemetry, "ftpwarden_audit_events_dropped_total", &[]);
    assert_eq!(dropped(), Some(1.0));
    assert!(!telemetry.refuses_commands(), "it drops");
    assert_eq!(
        value(&telemetry, "ftpwarden_audit_refusing", &[]),
        Some(0.0)
    );

    settings.audit.as_mut().unwrap().when_full = WhenFull::Refuse;
    telemetry
        .reconfigure_rules(&settings, None, &rules())
        .unwrap();
    drop(session(&telemetry));
    let refusing = || value(&telemetry, "ftpwarden_audit_refusing", &[]);
    until(|| refusing() == Some(1.0));
    assert!(telemetry.refuses_commands(), "the last write failed");
    let reason = "the audit cannot be written and refuses commands";
    assert_eq!(telemetry.obstacles(), [reason]);
    settings.audit.as_mut().unwrap().when_full = WhenFull::Drop;
    telemetry
        .reconfigure_rules(&settings, None, &rules())
        .unwrap();
    assert!(!telemetry.refuses_commands());
    assert_eq!(refusing(), Some(0.0));
    assert_eq!(telemetry.obstacles(), Vec::<String>::new());
    until(|| dropped() == Some(2.0));
}

#[test]
fn a_dial_that_failed_counts_until_one_succeeds() {
    let telemetry = telemetry(&settings(None));
    assert_eq!(telemetry.obstacles(), Vec::<String>::new());
    telemetry.upstream_connect("legacy", "10.0.0.5:21", DialResult::Refused, None);
    assert_eq!(
        telemetry.obstacles(),
        ["listener main: upstream legacy is down (refused)"]
    );
    assert!(telemetry.is_down("legacy"));
    telemetry.upstream_connect("legacy", "10.0.0.5:21", DialResult::Connected, None);
    assert_eq!(telemetry.obstacles(), Vec::<String>::new());
    assert!(!telemetry.is_down("legacy") && !telemetry.is_down("other"));
    telemetry.draining();
    assert_eq!(telemetry.obstacles(), ["the gateway is draining"]);
}

#[test]
fn what_running_transfers_have_moved_is_counted() {
    let telemetry = telemetry(&settings(None));
    let mut recorder = session(&telemetry);
    recorder.note(&super::recorder::tests::began("STOR", "/in/x"));
    recorder
        .transfer_bytes()
        .fetch_add(7, std::sync::atomic::Ordering::Relaxed);
    let labels = [("listener", "main"), ("direction", "upload")];
    let name = "ftpwarden_transfer_bytes_total";
    assert_eq!(value(&telemetry, name, &labels), Some(7.0));
}
