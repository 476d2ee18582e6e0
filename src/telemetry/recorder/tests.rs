use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use super::{FORMER_MAX, SessionRecorder, told_argument, told_verb};
use crate::ftp::command::{Command, Name};
use crate::ftp::misbehaviour::{ClientFault, ServerFault};
use crate::ftp::security::TlsVersion;
use crate::policy::judge::{Channels, Dialect, Query, System};
use crate::policy::spec::{Located, Span, Stance};
use crate::policy::{Judge, PolicySet, PolicySpec, Verdict, compile};
use crate::session::event::{CloseReason, DataForm, DataOutcome, LoginOutcome, TransferOutcome};
use crate::session::{Channel, CommandRecord, Direction, Fact, Leg, Origin, Outcome};
use crate::settings::{LogFormat, LogLevel};
use crate::telemetry::tests::{check, session, settings, telemetry, value};
use crate::telemetry::{Rejection, Telemetry, log};
use crate::tls::fault::HandshakeFault;
use crate::tls::peer::Peer;

/// A secret that must turn up nowhere.
const SECRET: &str = "hunter2";

/// A command as it is reported.
pub(in crate::telemetry) fn record(name: &str, outcome: Outcome, code: u16) -> CommandRecord {
    CommandRecord {
        name: Name::parse(name.as_bytes()),
        argument: None,
        secret: false,
        directory: None,
        path: None,
        outcome,
        decided: None,
        upstream: None,
        observed: None,
        code: Some(code),
        origin: Origin::Gateway,
        took: Duration::from_micros(12_345),
        transferred: false,
    }
}

/// A transfer that began.
pub(in crate::telemetry) fn began(name: &str, path: &'static str) -> Fact {
    Fact::TransferBegan {
        direction: Direction::Upload,
        name: Name::parse(name.as_bytes()).unwrap(),
        path: Some(Bytes::from_static(path.as_bytes())),
        offset: 0,
    }
}

/// A transfer that ended.
fn ended(bytes: u64, outcome: TransferOutcome) -> Fact {
    Fact::TransferEnded {
        direction: Direction::Upload,
        name: Name::parse(b"STOR").unwrap(),
        argument: Some(Bytes::from_static(b"x")),
        directory: Some(Bytes::from_static(b"/in")),
        path: Some(Bytes::from_static(b"/in/x")),
        bytes,
        took: Duration::from_millis(1_500),
        outcome,
    }
}

/// A login that ended.
fn login(user: &'static [u8], outcome: LoginOutcome) -> Fact {
    Fact::Login {
        user: Bytes::from_static(user),
        outcome,
    }
}

/// A reply to a client.
fn reply(code: u16, origin: Origin) -> Fact {
    Fact::Reply { code, origin }
}

/// The events of an audit file.
fn events(path: &std::path::Path, telemetry: &Telemetry) -> Vec<Value> {
    telemetry.flush();
    std::fs::read_to_string(path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn facts_are_counted() {
    let telemetry = telemetry(&settings(None));
    let mut recorder = session(&telemetry);
    let facts = [
        reply(502, Origin::Gateway),
        reply(502, Origin::Gateway),
        reply(226, Origin::Server),
        reply(999, Origin::Server),
        reply(99, Origin::Server),
        reply(699, Origin::Server),
        Fact::ServerReply { code: 257 },
        Fact::Command(Box::new(record("SITE", Outcome::Denied, 502))),
        Fact::Command(Box::new(record("RCMD", Outcome::Forwarded, 200))),
        Fact::Command(Box::new(record("?", Outcome::Invalid, 500))),
        Fact::DataConnection {
            leg: Leg::Client,
            form: DataForm::Pasv,
            outcome: DataOutcome::Opened,
        },
        Fact::ClientFault(ClientFault::BareCr),
        Fact::ServerFault(ServerFault::Unsolicited),
        login(b"bob", LoginOutcome::Failure),
        began("STOR", "/in/x"),
        ended(100, TransferOutcome::Complete),
        Fact::Greeted,
        Fact::UserVoided,
    ];
    for fact in facts {
        recorder.note(&fact);
    }
    recorder.greeted(Duration::from_millis(3));

    check(
        &telemetry,
        "
        replies_total listener=main code=502 origin=gateway = 2
        replies_total listener=main code=226 origin=server = 1
        replies_total listener=main code=other origin=server = 2
        replies_total listener=main code=699 origin=server = 1
        server_replies_total upstream=legacy code=257 = 1
        commands_total listener=main command=SITE outcome=denied = 1
        commands_total listener=main command=other outcome=forwarded = 1
        commands_total listener=main command=other outcome=invalid = 1
        command_duration_seconds_count listener=main = 3
        command_duration_seconds_bucket listener=main le=0.025 = 3
        command_duration_seconds_bucket listener=main le=0.01 = 0
        data_connections_total leg=client mode=pasv result=opened = 1
        protocol_violations_total leg=client kind=bare_cr = 1
        protocol_violations_total leg=server kind=unsolicited = 1
        logins_total listener=main result=failure = 1
        transfers_total listener=main direction=upload result=complete = 1
        transfer_bytes_total listener=main direction=upload = 100
        transfer_duration_seconds_count listener=main direction=upload = 1
        upstream_connect_duration_seconds_count upstream=legacy = 1
        sessions listener=main = 1
        sessions_total listener=main = 1
        ",
    );

    drop(recorder);
    check(
        &telemetry,
        "
        sessions listener=main = 0
        sessions_total listener=main = 1
        session_duration_seconds_count listener=main = 1
        ",
    );
}

#[test]
fn a_command_that_ran_a_transfer_is_not_in_the_latency() {
    let telemetry = telemetry(&settings(None));
    let mut recorder = session(&telemetry);
    let mut retr = record("RETR", Outcome::Forwarded, 226);
    retr.transferred = true;
    recorder.note(&Fact::Command(Box::new(retr)));
    let name = "ftpwarden_command_duration_seconds_count";
    assert_eq!(value(&telemetry, name, &[("listener", "main")]), Some(0.0));
}

#[test]
fn bytes_are_counted_once_whether_running_or_ended() {
    let telemetry = telemetry(&settings(None));
    let mut recorder = session(&telemetry);
    let labels = [("listener", "main"), ("direction", "upload")];
    let bytes = || value(&telemetry, "ftpwarden_transfer_bytes_total", &labels);
    let moved = recorder.transfer_bytes();
    recorder.note(&began("STOR", "/in/x"));
    moved.fetch_add(40, Ordering::Relaxed);
    assert_eq!(bytes(), Some(40.0));
    assert_eq!(bytes(), Some(40.0));
    moved.fetch_add(60, Ordering::Relaxed);
    recorder.note(&ended(100, TransferOutcome::Complete));
    assert_eq!(bytes(), Some(100.0));
    // The next one begins at zero, in the same counter.
    recorder.note(&began("STOR", "/in/y"));
    assert_eq!(moved.load(Ordering::Relaxed), 0);
    moved.fetch_add(5, Ordering::Relaxed);
    drop(recorder);
    assert_eq!(bytes(), Some(105.0));
}

#[test]
fn a_session_shows_itself() {
    let telemetry = telemetry(&settings(None));
    let mut recorder = session(&telemetry);
    let status = telemetry.status();
    let [shown] = &status.sessions[..] else {
        panic!("{status:?}");
    };
    assert_eq!(shown.id, recorder.id());
    assert_eq!(shown.listener, "main");
    assert_eq!(shown.upstream, "legacy");
    assert_eq!(shown.client.to_string(), "203.0.113.9:50123");
    assert_eq!((&shown.user, shown.verb), (&None, None));
    assert!(shown.transfer.is_none());

    recorder.note(&login(b"b\x1bb", LoginOutcome::Success));
    recorder.note(&Fact::Command(Box::new(record(
        "PASS",
        Outcome::Forwarded,
        230,
    ))));
    recorder.note(&began("STOR", "/in/\u{202e}x"));
    recorder.transfer_bytes().fetch_add(9, Ordering::Relaxed);
    let status = telemetry.status();
    let shown = &status.sessions[0];
    assert_eq!(shown.user.as_deref(), Some("b\\x1bb"));
    assert_eq!(shown.verb, Some("PASS"));
    let transfer = shown.transfer.as_ref().unwrap();
    assert_eq!(
        (transfer.verb.as_str(), transfer.direction),
        ("STOR", "upload")
    );
    assert_eq!(transfer.path.as_deref(), Some("/in/\\xe2\\x80\\xaex"));
    assert_eq!(transfer.bytes, 9);

    recorder.note(&ended(9, TransferOutcome::Complete));
    recorder.note(&Fact::UserVoided);
    recorder.note(&Fact::Command(Box::new(record(
        "RCMD",
        Outcome::Denied,
        502,
    ))));
    let status = telemetry.status();
    let shown = &status.sessions[0];
    assert_eq!((&shown.user, shown.verb), (&None, Some("other")));
    assert!(shown.transfer.is_none());
    drop(recorder);
    assert!(telemetry.status().sessions.is_empty());
}

#[test]
fn the_audit_has_one_event_for_each() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let telemetry = telemetry(&settings(Some(&path)));
    let mut recorder = session(&telemetry);
    let id = recorder.id();
    recorder.note(&login(b"eve", LoginOutcome::Denied));
    recorder.note(&login(b"bob", LoginOutcome::Success));
    let mut stor = record("STOR", Outcome::Forwarded, 226);
    stor.argument = Some(Bytes::from_static(b"x"));
    stor.directory = Some(Bytes::from_static(b"/in"));
    stor.path = Some(Bytes::from_static(b"/in/x"));
    stor.origin = Origin::Server;
    recorder.note(&Fact::Command(Box::new(stor)));
    recorder.note(&ended(100, TransferOutcome::Complete));
    recorder.note(&Fact::Closing(CloseReason::Quit));
    recorder.note(&Fact::Closing(CloseReason::ClientGone));
    drop(recorder);
    telemetry.flush();

    let text = std::fs::read_to_string(&path).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let common = |event: &str| {
        format!(
            "\"event\":\"{event}\",\"client_ip\":\"203.0.113.9\",\"client_port\":50123,\
             \"session\":\"{id}\",\"listener\":\"main\",\"upstream\":\"legacy\",\"tls\":null,\"client_certificate\":null,"
        )
    };
    let expected = [
        common("login") + r#""user":"eve","result":"denied"}"#,
        common("login") + r#""user":"bob","result":"success"}"#,
        common("command")
            + r#""user":"bob","verb":"STOR","argument":"x","directory":"/in","path":"/in/x","#
            + r#""policy":null,"rule":null,"verdict":null,"#
            + r#""upstream_policy":null,"upstream_rule":null,"upstream_verdict":null,"#
            + r#""observed_policy":null,"observed_rule":null,"observed_verdict":null,"#
            + r#""outcome":"forwarded","code":226,"origin":"server","duration":0.012345}"#,
        common("transfer")
            + r#""user":"bob","direction":"upload","verb":"STOR","argument":"x","directory":"/in","path":"/in/x","bytes":100,"#
            + r#""seconds":1.5,"result":"complete"}"#,
        common("logout") + r#""user":"bob","reason":"quit","duration":"#,
    ];
    assert_eq!(lines.len(), expected.len(), "{text}");
    for (line, expected) in lines.iter().zip(&expected) {
        // `{"ts":"2026-11-22T10:00:02.123Z",` comes first, always as long.
        let (stamp, rest) = line.split_at(33);
        assert!(
            stamp.starts_with("{\"ts\":\"2") && stamp.ends_with("Z\","),
            "{line}"
        );
        assert!(rest.starts_with(expected.as_str()), "{line}\n{expected}");
    }
}

#[test]
fn what_may_be_a_secret_by_mistake_is_not_told() {
    let told_to = |logged_in, name: &str, outcome, code| {
        let mut record = record(name, outcome, code);
        record.argument = Some(Bytes::from_static(SECRET.as_bytes()));
        let verb = told_verb(&record, logged_in).map(str::to_owned);
        let argument = told_argument(&record, verb.as_deref()).map(std::borrow::Cow::into_owned);
        (verb, argument)
    };
    let told = |name: &str, outcome, code| told_to(false, name, outcome, code);
    let hidden = (Some("other".to_owned()), Some("***".to_owned()));
    assert_eq!(told("PASSHUNTER", Outcome::Denied, 502), hidden);
    assert_eq!(told("PAS", Outcome::Invalid, 500), hidden);
    assert_eq!(told("PAS", Outcome::Forwarded, 500), hidden);
    assert_eq!(told("PASSX", Outcome::Forwarded, 200), hidden);
    assert_eq!(
        told("?", Outcome::Invalid, 500),
        (None, Some("***".to_owned()))
    );
    assert_eq!(told("RCMD", Outcome::Denied, 502), hidden);
    // Behind the login the verb is told, so that a policy can name it, and its argument is not.
    let named = (Some("RCMD".to_owned()), Some("***".to_owned()));
    assert_eq!(told_to(true, "RCMD", Outcome::Denied, 502), named);
    assert_eq!(told_to(true, "RCMD", Outcome::Forwarded, 500), named);
    for slip in ["PASSHUNTER", "PASHUNTER", "PSASHUNTER", "ACTHUNTER"] {
        assert_eq!(told_to(true, slip, Outcome::Denied, 502), hidden);
        assert_eq!(told_to(true, slip, Outcome::Forwarded, 200), hidden);
    }
    let shown = (Some("RCMD".to_owned()), Some(SECRET.to_owned()));
    assert_eq!(told("RCMD", Outcome::Forwarded, 250), shown);
    let shown = (Some("STOR".to_owned()), Some(SECRET.to_owned()));
    assert_eq!(told("STOR", Outcome::Denied, 550), shown);
}

#[test]
fn a_secret_is_three_stars() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let telemetry = telemetry(&settings(Some(&path)));
    let mut recorder = session(&telemetry);
    let mut pass = record("PASS", Outcome::Forwarded, 230);
    pass.secret = true;
    recorder.note(&Fact::Command(Box::new(pass)));
    // The core leaves the argument out; should it ever not, it is left out here.
    let mut pass = record("PASS", Outcome::Forwarded, 230);
    pass.secret = true;
    pass.argument = Some(Bytes::from_static(SECRET.as_bytes()));
    recorder.note(&Fact::Command(Box::new(pass)));
    for event in events(&path, &telemetry) {
        assert_eq!(event["argument"], "***", "{event}");
    }
    assert!(!std::fs::read_to_string(&path).unwrap().contains(SECRET));
    assert!(!telemetry.render().contains(SECRET));
    assert!(!format!("{:?}", telemetry.status()).contains(SECRET));
}

/// What a session logs.
fn logged(format: LogFormat, level: LogLevel, act: impl FnOnce(&mut SessionRecorder)) -> String {
    log::tests::logged(level, format, false, |_| {
        let telemetry = telemetry(&settings(None));
        let mut recorder = session(&telemetry);
        act(&mut recorder);
    })
}

#[test]
fn sessions_logins_refusals_and_transfers_are_logged() {
    let text = logged(LogFormat::Text, LogLevel::Info, |recorder| {
        recorder.note(&login(b"bob", LoginOutcome::Success));
        let mut site = record("SITE", Outcome::Denied, 502);
        site.argument = Some(Bytes::from_static(b"CHMOD 777 x"));
        recorder.note(&Fact::Command(Box::new(site)));
        recorder.note(&Fact::Command(Box::new(record(
            "NOOP",
            Outcome::Forwarded,
            200,
        ))));
        recorder.note(&ended(100, TransferOutcome::Aborted));
        recorder.note(&Fact::Closing(CloseReason::Quit));
    });
    let mut lines = text.lines();
    for (level, message, fields) in [
        ("INFO", "session began", "port=50123 upstream=legacy"),
        ("INFO", "login", "user=bob result=success"),
        (
            "INFO",
            "command refused",
            "user=bob command=SITE argument=\"CHMOD 777 x\" code=502",
        ),
        (
            "INFO",
            "transfer ended",
            "user=bob direction=upload command=STOR argument=x path=/in/x bytes=100 seconds=1.5 result=aborted",
        ),
        ("INFO", "session ended", "user=bob reason=quit seconds="),
    ] {
        let line = lines.next().unwrap();
        let expected = format!("Z {level} {message} session=");
        assert!(line.contains(&expected), "{line}");
        assert!(
            line.contains(" listener=main client=203.0.113.9 "),
            "{line}"
        );
        assert!(line.contains(fields), "{line}\n{fields}");
    }
    assert_eq!(lines.next(), None);
}

#[test]
fn each_kind_of_fault_of_a_server_is_warned_of_once_in_a_session() {
    let act = |recorder: &mut SessionRecorder| {
        for _ in 0..1000 {
            recorder.note(&Fact::ServerFault(ServerFault::Unsolicited));
            recorder.note(&Fact::ServerFault(ServerFault::ForeignAddress));
        }
    };
    let text = logged(LogFormat::Text, LogLevel::Info, act);
    let warned: Vec<&str> = text
        .lines()
        .filter(|line| line.contains(" WARN "))
        .collect();
    let [one, other] = warned[..] else {
        panic!("not two lines: {text}");
    };
    assert!(one.contains("kind=unsolicited"), "{one}");
    assert!(other.contains("kind=foreign_address"), "{other}");
    let text = logged(LogFormat::Text, LogLevel::Debug, act);
    assert_eq!(text.matches("the server broke the protocol").count(), 2000);
    assert_eq!(text.matches(" WARN the server").count(), 2);
}

#[test]
fn a_failed_login_is_logged_as_vsftpd_does() {
    let name = b"b] FAIL LOGIN: Client \"192.0.2.1\"\n[x";
    let text = logged(LogFormat::Text, LogLevel::Info, |recorder| {
        recorder.note(&login(name, LoginOutcome::Failure));
    });
    let line = text.lines().find(|line| line.contains("[pid ")).unwrap();
    let (time, rest) = line.split_at(24);
    assert!(
        jiff::civil::DateTime::strptime("%a %b %e %H:%M:%S %Y", time).is_ok(),
        "{line}"
    );
    let expected = format!(
        " [pid {}] [b\\x5d FAIL LOGIN: Client \"192.0.2.1\"\\x0a\\x5bx] FAIL LOGIN: \
         Client \"203.0.113.9\"",
        std::process::id()
    );
    assert_eq!(rest, expected);
}

#[test]
fn a_failed_login_is_worth_a_warning() {
    for outcome in [LoginOutcome::Failure, LoginOutcome::Denied] {
        let text = logged(LogFormat::Text, LogLevel::Warn, |recorder| {
            recorder.note(&login(b"bob", LoginOutcome::Success));
            recorder.note(&login(b"bob", outcome));
        });
        let [line] = text.lines().collect::<Vec<_>>()[..] else {
            panic!("not one line: {text}");
        };
        assert!(
            line.ends_with("] [bob] FAIL LOGIN: Client \"203.0.113.9\""),
            "{line}"
        );
        let text = logged(LogFormat::Text, LogLevel::Error, |recorder| {
            recorder.note(&login(b"bob", outcome));
        });
        assert_eq!(text, "");
    }
}

#[test]
fn a_ban_is_one_warning_that_filters_read() {
    let text = logged(LogFormat::Text, LogLevel::Warn, |recorder| {
        let telemetry = Arc::clone(&recorder.telemetry);
        let client = "203.0.113.9".parse().unwrap();
        telemetry.banned("main", client, 11, Duration::from_mins(10));
        for _ in 0..100 {
            telemetry.kept_out("main", client, Rejection::Banned);
        }
    });
    let (_, line) = text.split_once(' ').unwrap();
    assert_eq!(
        line,
        "WARN client banned client=203.0.113.9 listener=main failed_logins=11 seconds=600.0\n"
    );
}

#[test]
fn every_level_and_format_keeps_secrets_and_controls_out() {
    for format in [LogFormat::Text, LogFormat::Json] {
        let text = logged(format, LogLevel::Trace, |recorder| {
            recorder.note(&login(b"\x1b[2J\r\nroot", LoginOutcome::Success));
            let mut pass = record("PASSHUNTER2", Outcome::Denied, 502);
            pass.argument = Some(Bytes::from_static(SECRET.as_bytes()));
            recorder.note(&Fact::Command(Box::new(pass)));
            let mut stor = record("STOR", Outcome::Forwarded, 226);
            stor.argument = Some(Bytes::from_static(b"a\nb\x1b"));
            recorder.note(&Fact::Command(Box::new(stor)));
            recorder.note(&began("STOR", "/in/\u{202e}\u{9b}x\n"));
            recorder.note(&Fact::Greeted);
        });
        assert!(!text.to_ascii_lowercase().contains(SECRET), "{text}");
        assert!(
            !text
                .chars()
                .any(|c| c.is_control() && c != '\n' || c == '\u{202e}'),
            "{text}"
        );
        for line in text.lines() {
            let is_line = match format {
                LogFormat::Text => line.starts_with("20"),
                LogFormat::Json => serde_json::from_str::<Value>(line).is_ok(),
            };
            assert!(is_line, "{line}");
        }
    }
}

/// A name as it was written nowhere in particular.
fn located<T>(value: T) -> Located<T> {
    Located {
        value,
        span: Span::default(),
    }
}

/// A policy that allows all but `deny`.
fn block_list(name: &str, deny: &[&str]) -> PolicySpec {
    PolicySpec {
        name: Some(located(name.to_owned())),
        default: Some(located(Stance::Allow)),
        deny: deny
            .iter()
            .map(|verb| located((*verb).to_owned()))
            .collect(),
        ..PolicySpec::default()
    }
}

/// The policies that the settings of the tests name; `partners` denies `deny`.
fn policies(deny: &[&str]) -> Arc<PolicySet> {
    let (set, problems) = compile(&[
        block_list("partners", deny),
        block_list("permissive", &["DELE"]),
        block_list("next", &["SITE", "DELE"]),
    ]);
    Arc::new(set.unwrap_or_else(|| panic!("{problems:?}")))
}

/// What the policies say of a line, as a record.
fn judged(set: &PolicySet, line: &'static str) -> CommandRecord {
    let policy = |name| Arc::clone(set.get(name).unwrap());
    let dialect = Dialect {
        system: System::Unix,
        symlinks: true,
        path_bytes: 4096,
    };
    let judge = Judge::new(
        policy("partners"),
        policy("permissive"),
        Some(policy("next")),
        dialect,
        Vec::new(),
    );
    let command = Command::parse(&Bytes::from_static(line.as_bytes())).unwrap();
    let judgement = judge.decide(&Query {
        command: &command,
        user: Some(b"bob"),
        client: [203, 0, 113, 9].into(),
        directory: Some(b"/"),
        home: None,
        renaming: None,
        unix_time: 0,
        channels: Channels::default(),
    });
    let outcome = match judgement.verdict {
        Verdict::Forward(_) => Outcome::Forwarded,
        Verdict::Answer(_) => Outcome::Answered,
        Verdict::Deny(_) | Verdict::Close(_) => Outcome::Denied,
    };
    CommandRecord {
        decided: judgement.decided,
        upstream: judgement.upstream,
        observed: judgement.observed,
        ..record(command.name.as_str(), outcome, 502)
    }
}

#[test]
fn decisions_are_counted_and_told_by_what_decided() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let set = policies(&["SITE"]);
    let telemetry = Telemetry::install(&settings(Some(&path)), &set).unwrap();
    let zero = "
        policy_decisions_total policy=partners rule=deny action=deny mode=enforced = 0
        policy_decisions_total policy=permissive rule=deny action=deny mode=enforced = 0
        policy_decisions_total policy=next rule=deny action=deny mode=observed = 0
        ";
    check(&telemetry, zero);
    let mut recorder = session(&telemetry);
    for line in ["SITE CHMOD 777 x", "DELE x", "SYST"] {
        recorder.note(&Fact::Command(Box::new(judged(&set, line))));
    }
    check(
        &telemetry,
        "
        policy_decisions_total policy=partners rule=deny action=deny mode=enforced = 1
        policy_decisions_total policy=partners rule=default action=allow mode=enforced = 2
        policy_decisions_total policy=permissive rule=deny action=deny mode=enforced = 1
        policy_decisions_total policy=permissive rule=default action=allow mode=enforced = 1
        policy_decisions_total policy=next rule=deny action=deny mode=observed = 2
        policy_decisions_total policy=next rule=default action=allow mode=observed = 1
        ",
    );
    let told: Vec<[Value; 5]> = events(&path, &telemetry)
        .iter()
        .map(|event| {
            [
                "verb",
                "rule",
                "verdict",
                "upstream_verdict",
                "observed_verdict",
            ]
            .map(|key| event[key].clone())
        })
        .collect();
    assert_eq!(
        serde_json::json!(told),
        serde_json::json!([
            ["SITE", "deny", "deny", null, "deny"],
            ["DELE", "default", "allow", "deny", "deny"],
            ["SYST", "default", "allow", "allow", "allow"],
        ])
    );
}

#[test]
fn a_refusal_is_logged_with_the_policy_that_refused() {
    let set = policies(&["SITE"]);
    let text = logged(LogFormat::Text, LogLevel::Info, |recorder| {
        recorder.judge_changed(&set);
        for line in ["SITE CHMOD 777 x", "DELE x", "SYST"] {
            recorder.note(&Fact::Command(Box::new(judged(&set, line))));
        }
    });
    let refused: Vec<&str> = text
        .lines()
        .filter_map(|line| line.split_once("command refused"))
        .filter_map(|(_, fields)| fields.split_once(" command="))
        .map(|(_, fields)| fields)
        .collect();
    assert_eq!(
        refused,
        [
            "SITE code=502 policy=partners rule=deny",
            "DELE code=502 policy=permissive rule=deny",
        ]
    );
}

#[test]
fn a_changed_judge_has_its_own_ids() {
    let before = policies(&["SITE"]);
    let telemetry = Telemetry::install(&settings(None), &before).unwrap();
    let mut recorder = session(&telemetry);
    let after = policies(&[]);
    telemetry.reconfigure(&settings(None), &after).unwrap();
    recorder.judge_changed(&after);
    recorder.note(&Fact::Command(Box::new(judged(&after, "SITE HELP"))));
    let mut second = session(&telemetry);
    second.judge_changed(&after);
    second.note(&Fact::Command(Box::new(judged(&after, "SITE HELP"))));
    check(
        &telemetry,
        "
        policy_decisions_total policy=partners rule=deny action=deny mode=enforced = 0
        policy_decisions_total policy=partners rule=default action=allow mode=enforced = 2
        policy_decisions_total policy=next rule=deny action=deny mode=observed = 2
        ",
    );
}

#[test]
fn what_was_judged_before_a_reload_is_told_by_the_former_rule() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let before = policies(&["SITE"]);
    let telemetry = Telemetry::install(&settings(Some(&path)), &before).unwrap();
    let mut recorder = session(&telemetry);
    let in_work = judged(&before, "SITE HELP");
    let after = policies(&[]);
    telemetry
        .reconfigure(&settings(Some(&path)), &after)
        .unwrap();
    recorder.judge_changed(&after);
    // STAT is answered while the command before it is in work.
    recorder.note(&Fact::Command(Box::new(judged(&after, "STAT"))));
    recorder.note(&Fact::Command(Box::new(in_work)));
    recorder.note(&Fact::Command(Box::new(judged(&after, "SITE HELP"))));
    check(
        &telemetry,
        "
        policy_decisions_total policy=partners rule=deny action=deny mode=enforced = 1
        policy_decisions_total policy=partners rule=default action=allow mode=enforced = 2
        policy_decisions_total policy=partners rule=default action=deny mode=enforced = 0
        ",
    );
    let rules: Vec<Value> = events(&path, &telemetry)
        .iter()
        .map(|event| event["rule"].clone())
        .collect();
    assert_eq!(rules, ["default", "deny", "default"]);
    assert!(recorder.former.is_empty());
}

#[test]
fn a_command_that_outlasts_many_reloads_has_its_rule() {
    let before = policies(&["SITE"]);
    let telemetry = Telemetry::install(&settings(None), &before).unwrap();
    let mut recorder = session(&telemetry);
    let in_work = judged(&before, "SITE HELP");
    for _ in 0..2 * FORMER_MAX {
        recorder.judge_changed(&policies(&[]));
    }
    assert_eq!(recorder.former.len(), FORMER_MAX);
    recorder.note(&Fact::Command(Box::new(in_work)));
    let counts = "
        policy_decisions_total policy=partners rule=deny action=deny mode=enforced = 1
        policy_decisions_total policy=partners rule=default action=allow mode=enforced = 0
        ";
    check(&telemetry, counts);
    // An id of policies that it has never had, or has forgotten, is nobody's.
    recorder.note(&Fact::Command(Box::new(judged(
        &policies(&["SITE"]),
        "SITE HELP",
    ))));
    check(&telemetry, counts);
}

/// All that a session may log, as JSON.
fn all_that_is_logged(recorder: &mut SessionRecorder) {
    recorder.note(&Fact::Greeted);
    recorder.note(&Fact::ClientFault(ClientFault::BareCr));
    for _ in 0..2 {
        recorder.note(&Fact::ServerFault(ServerFault::Unsolicited));
    }
    recorder.note(&login(b"bob", LoginOutcome::Success));
    let set = policies(&["SITE"]);
    recorder.judge_changed(&set);
    for line in ["SITE x", "STOR x"] {
        let mut record = judged(&set, line);
        record.argument = Some(Bytes::from_static(b"x"));
        recorder.note(&Fact::Command(Box::new(record)));
    }
    recorder.note(&began("STOR", "/in/x"));
    recorder.note(&ended(100, TransferOutcome::Complete));
    for outcome in [DataOutcome::Opened, DataOutcome::Stranger] {
        recorder.note(&Fact::DataConnection {
            leg: Leg::Client,
            form: DataForm::Pasv,
            outcome,
        });
    }
    let peer = Peer {
        version: TlsVersion::V1_3,
        cipher: "x".into(),
        resumed: false,
        server_name: None,
        subject: None,
    };
    recorder.handshake(Leg::Client, Channel::Control, Ok(&peer));
    recorder.handshake(Leg::Client, Channel::Control, Err(HandshakeFault::Pin));
    recorder.note(&Fact::Closing(CloseReason::Quit));
}

#[test]
fn the_reference_has_every_log_line_of_a_session() {
    let text = logged(LogFormat::Json, LogLevel::Debug, all_that_is_logged);
    let mut found = BTreeMap::new();
    for line in text.lines() {
        let line: BTreeMap<String, Value> = serde_json::from_str(line).unwrap();
        let common = [
            "ts", "level", "message", "session", "listener", "client", "user",
        ];
        let keys = line.keys().filter(|key| !common.contains(&key.as_str()));
        let message = line["message"].as_str().unwrap().to_owned();
        found.insert(message, keys.cloned().collect::<BTreeSet<_>>());
    }
    let reference = include_str!("../../../docs/audit.md");
    let (_, table) = reference.split_once("Lines of a session").unwrap();
    let (table, _) = table.split_once("A failed login").unwrap();
    let quoted = |text: &str| -> Vec<String> {
        text.split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect()
    };
    let told: BTreeMap<String, BTreeSet<String>> = table
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').collect();
            let message = quoted(cells[0]).concat();
            (message, quoted(cells[2]).into_iter().collect())
        })
        .collect();
    assert_eq!(found, told);
}
