//! TLS handshakes and certificates as numbers, lines, events and status.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::ftp::security::TlsVersion;
use crate::session::{Channel, ClientTls, Leg};
use crate::settings::{ListenerTls, LogFormat, LogLevel, Settings};
use crate::telemetry::SessionRecorder;
use crate::telemetry::log::tests::logged;
use crate::telemetry::tests::{check, listener, rules, session, settings, telemetry, value};
use crate::tls::fault::HandshakeFault;
use crate::tls::options::{ClientCertificates, Identity, ServerOptions, SessionReuse};
use crate::tls::peer::Peer;

/// A handshake that succeeded.
fn peer(version: TlsVersion, resumed: bool, subject: Option<&str>) -> Peer {
    Peer {
        version,
        resumed,
        cipher: "TLS13_AES_256_GCM_SHA384".into(),
        server_name: None,
        subject: subject.map(Into::into),
    }
}

/// Settings whose listener `main` shows these certificates.
fn with_tls(session_reuse: SessionReuse, certificates: &[&str]) -> Settings {
    let mut settings = settings(None);
    let mut main = (*listener("main", "legacy")).clone();
    main.tls = Some(ListenerTls {
        offer: ClientTls::default(),
        options: ServerOptions {
            identities: certificates
                .iter()
                .map(|path| Identity {
                    certificate: PathBuf::from(path),
                    key: PathBuf::from("key.pem"),
                })
                .collect(),
            versions: TlsVersion::ALL.to_vec(),
            prefer_client_ciphers: false,
            session_reuse,
            clients: ClientCertificates::Off,
        },
    });
    settings.listeners.insert("main".into(), Arc::new(main));
    settings
}

#[test]
fn handshakes_are_counted_and_those_that_may_come_are_there_at_zero() {
    let telemetry = telemetry(&settings(None));
    let counted = || {
        let text = telemetry.render();
        let lines = text.lines();
        lines
            .filter(|line| line.starts_with("ftpwarden_tls_handshakes_total{"))
            .count()
    };
    // Of each leg and channel: two versions, resumed or not, and every fault.
    assert_eq!(counted(), 2 * 2 * (2 * 2 + HandshakeFault::NAMES.len()));
    let mut recorder = session(&telemetry);
    let (client, server) = (Leg::Client, Leg::Server);
    let (control, data) = (Channel::Control, Channel::Data);
    recorder.handshake(client, control, Ok(&peer(TlsVersion::V1_3, false, None)));
    recorder.handshake(client, data, Ok(&peer(TlsVersion::V1_3, true, None)));
    recorder.handshake(client, data, Ok(&peer(TlsVersion::V1_3, true, None)));
    recorder.handshake(server, control, Err(HandshakeFault::UnknownAuthority));
    recorder.handshake(server, control, Err(HandshakeFault::Alert("unknown_ca")));
    check(
        &telemetry,
        "
        tls_handshakes_total leg=client channel=control version=1.3 resumed=false result=ok = 1
        tls_handshakes_total leg=client channel=control version=1.2 resumed=false result=ok = 0
        tls_handshakes_total leg=client channel=data version=1.3 resumed=true result=ok = 2
        tls_handshakes_total leg=server channel=data version=1.2 resumed=true result=ok = 0
        tls_handshakes_total leg=server channel=control version=none resumed=none result=unknown_authority = 1
        tls_handshakes_total leg=server channel=control version=none resumed=none result=alert = 1
        tls_handshakes_total leg=client channel=control version=none resumed=none result=timeout = 0
        ",
    );
    // No event adds a series.
    assert_eq!(counted(), 2 * 2 * (2 * 2 + HandshakeFault::NAMES.len()));
}

#[test]
fn data_that_could_have_resumed_is_counted_on_the_clients_leg_only() {
    let not_resumed = |reuse: SessionReuse, tell: fn(&mut SessionRecorder)| {
        let telemetry = telemetry(&with_tls(reuse, &["cert.pem"]));
        let mut recorder = session(&telemetry);
        tell(&mut recorder);
        let name = "ftpwarden_tls_data_not_resumed_total";
        value(&telemetry, name, &[("listener", "main")])
    };
    let all = |recorder: &mut SessionRecorder| {
        for resumed in [true, false] {
            let peer = peer(TlsVersion::V1_2, resumed, None);
            for leg in [Leg::Client, Leg::Server] {
                for channel in [Channel::Control, Channel::Data] {
                    recorder.handshake(leg, channel, Ok(&peer));
                }
            }
        }
    };
    assert_eq!(not_resumed(SessionReuse::Allowed, |_| {}), Some(0.0));
    assert_eq!(not_resumed(SessionReuse::Allowed, all), Some(1.0));
    assert_eq!(not_resumed(SessionReuse::Off, all), Some(0.0));
    let refused = |recorder: &mut SessionRecorder| {
        recorder.handshake(Leg::Client, Channel::Data, Err(HandshakeFault::NotResumed));
        recorder.handshake(Leg::Client, Channel::Data, Err(HandshakeFault::Closed));
    };
    assert_eq!(not_resumed(SessionReuse::Required, refused), Some(1.0));
}

#[test]
fn a_reload_changes_what_may_resume_and_which_certificates_are_told_of() {
    let telemetry = telemetry(&with_tls(SessionReuse::Off, &["old.pem", "kept.pem"]));
    telemetry.certificate_expiry("main", "old.pem", 1_800_000_000);
    telemetry.certificate_expiry("main", "kept.pem", 1_900_000_000);
    let expiry = |certificate| {
        let name = "ftpwarden_tls_certificate_expiry_timestamp_seconds";
        let labels = [("listener", "main"), ("certificate", certificate)];
        value(&telemetry, name, &labels)
    };
    assert_eq!(expiry("old.pem"), Some(1_800_000_000.0));
    let next = with_tls(SessionReuse::Allowed, &["kept.pem", "new.pem"]);
    telemetry.reconfigure_rules(&next, None, &rules()).unwrap();
    telemetry.certificate_expiry("main", "new.pem", 2_000_000_000);
    assert!(expiry("old.pem").unwrap().is_nan());
    assert_eq!(expiry("kept.pem"), Some(1_900_000_000.0));
    assert_eq!(expiry("new.pem"), Some(2_000_000_000.0));
    let fresh = peer(TlsVersion::V1_3, false, None);
    session(&telemetry).handshake(Leg::Client, Channel::Data, Ok(&fresh));
    check(&telemetry, "tls_data_not_resumed_total listener=main = 1");
    // Without TLS there is no certificate any more.
    telemetry
        .reconfigure_rules(&settings(None), None, &rules())
        .unwrap();
    assert!(expiry("kept.pem").unwrap().is_nan());
}

#[test]
fn the_audit_and_the_status_have_the_clients_tls_once_it_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let telemetry = telemetry(&settings(Some(&path)));
    let shown = || telemetry.status().sessions[0].tls;
    let mut recorder = session(&telemetry);
    // The server's TLS, a data connection's and one that failed are not the client's.
    let (control, data) = (Channel::Control, Channel::Data);
    recorder.handshake(
        Leg::Server,
        control,
        Ok(&peer(TlsVersion::V1_3, false, Some("CN=server"))),
    );
    recorder.handshake(
        Leg::Client,
        data,
        Ok(&peer(TlsVersion::V1_3, false, Some("CN=data"))),
    );
    recorder.handshake(Leg::Client, control, Err(HandshakeFault::Version));
    assert_eq!(shown(), None);
    drop(recorder);
    let mut recorder = session(&telemetry);
    let subject = Some("CN=a\u{7}b,O=Acme");
    recorder.handshake(
        Leg::Client,
        control,
        Ok(&peer(TlsVersion::V1_2, false, subject)),
    );
    assert_eq!(shown(), Some("1.2"));
    drop(recorder);
    let mut recorder = session(&telemetry);
    recorder.handshake(
        Leg::Client,
        control,
        Ok(&peer(TlsVersion::V1_3, false, None)),
    );
    drop(recorder);
    telemetry.flush();
    let events: Vec<(Value, Value)> = std::fs::read_to_string(&path)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .map(|event| (event["tls"].clone(), event["client_certificate"].clone()))
        .collect();
    let expected = [
        (Value::Null, Value::Null),
        ("1.2".into(), "CN=a\\x07b,O=Acme".into()),
        ("1.3".into(), Value::Null),
    ];
    assert_eq!(events, expected);
}

#[test]
fn a_failed_handshake_is_a_warning_that_says_who_where_and_why() {
    let text = logged(LogLevel::Debug, LogFormat::Json, false, |_| {
        let telemetry = telemetry(&settings(None));
        let mut recorder = session(&telemetry);
        let fault = HandshakeFault::Expired;
        recorder.handshake(Leg::Server, Channel::Data, Err(fault));
        let fine = peer(TlsVersion::V1_3, true, None);
        recorder.handshake(Leg::Client, Channel::Data, Ok(&fine));
    });
    let told = |message: &str| -> Value {
        let mut lines = text.lines().map(serde_json::from_str::<Value>);
        let found = lines.find(|line| line.as_ref().is_ok_and(|line| line["message"] == message));
        found.unwrap_or_else(|| panic!("{text}")).unwrap()
    };
    let fields = |line: &Value, names: &[&str]| -> Vec<String> {
        names.iter().map(|name| line[*name].to_string()).collect()
    };
    let failed = told("TLS handshake failed");
    assert_eq!(
        fields(&failed, &["level", "client", "leg", "channel", "reason"]),
        [
            "\"warn\"",
            "\"203.0.113.9\"",
            "\"server\"",
            "\"data\"",
            "\"expired\""
        ]
    );
    assert_eq!(failed["why"], "the peer's certificate has expired");
    let fine = told("TLS handshake");
    assert_eq!(
        fields(&fine, &["version", "cipher", "resumed"]),
        ["\"1.3\"", "\"TLS13_AES_256_GCM_SHA384\"", "true"]
    );
}
