//! A recorder of a session's facts, and a fact.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ftpwarden::ftp::command::Name;
use ftpwarden::ftp::verb::Verb;
use ftpwarden::policy::compile;
use ftpwarden::policy::judge::System;
use ftpwarden::policy::spec::{Located, PolicySpec, Span, Stance};
use ftpwarden::session::{CommandRecord, DataMode, Fact, Origin, Outcome};
use ftpwarden::settings::{
    Audit, Listener, Log, LogFormat, LogLevel, Process, Settings, ShellLimits, Upstream, WhenFull,
};
use ftpwarden::telemetry::{Opening, SessionRecorder, Telemetry};

/// A session whose events go nowhere but to the counters, and to an audit file if one is named.
pub(crate) fn recorder(audit: Option<&str>) -> SessionRecorder {
    session(&telemetry(audit, 1), 0)
}

/// The name of one of several listeners, each with an upstream of the same name.
fn name(number: usize) -> Arc<str> {
    format!("listener-{number}").into()
}

/// A session of one of the listeners.
pub(crate) fn session(telemetry: &Arc<Telemetry>, number: usize) -> SessionRecorder {
    telemetry.session(&Opening {
        listener: name(number),
        upstream: name(number),
        client: SocketAddr::from(([203, 0, 113, 9], 50123)),
        local: SocketAddr::from(([198, 51, 100, 1], 21)),
    })
}

/// Telemetry of so many listeners, with an audit file if one is named.
pub(crate) fn telemetry(audit: Option<&str>, listeners: usize) -> Arc<Telemetry> {
    let located = |value| Located {
        value,
        span: Span::default(),
    };
    let spec = PolicySpec {
        name: Some(located("all".to_owned())),
        default: Some(Located {
            value: Stance::Allow,
            span: Span::default(),
        }),
        ..PolicySpec::default()
    };
    let policies = compile(&[spec]).0.unwrap();
    let listener = Listener {
        name: name(0),
        bind: Vec::new(),
        upstream: name(0),
        policy: "all".into(),
        observe: None,
        greeting: None,
        sessions: None,
        passive_ports: None,
        tls: None,
        passive_address: Vec::new(),
        accept_proxy_from: Vec::new(),
        bandwidth: None,
        user_bandwidth: Vec::new(),
    };
    let upstream = Upstream {
        name: name(0),
        host: "10.0.0.5".into(),
        port: 21,
        policy: "all".into(),
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
    };
    let settings = Settings {
        listeners: (0..listeners)
            .map(|number| {
                let of_that_name = Listener {
                    name: name(number),
                    upstream: name(number),
                    ..listener.clone()
                };
                (name(number), Arc::new(of_that_name))
            })
            .collect(),
        upstreams: (0..listeners)
            .map(|number| {
                let of_that_name = Upstream {
                    name: name(number),
                    ..upstream.clone()
                };
                (name(number), Arc::new(of_that_name))
            })
            .collect(),
        admin: None,
        log: Log {
            level: LogLevel::Info,
            format: LogFormat::Text,
        },
        audit: audit.map(|path| Audit {
            path: Some(path.into()),
            secret: Arc::default(),
            when_full: WhenFull::Drop,
        }),
        process: Process::default(),
        limits: ShellLimits::default(),
        session_limits: Arc::default(),
    };
    Telemetry::install(&settings, &policies).unwrap()
}

/// A command that was forwarded.
pub(crate) fn command() -> Fact {
    Fact::Command(Box::new(CommandRecord {
        name: Some(Name::Known(Verb::Size)),
        argument: Some("report.edi".into()),
        secret: false,
        directory: Some("/in/acme".into()),
        path: Some("/in/acme/report.edi".into()),
        outcome: Outcome::Forwarded,
        decided: None,
        upstream: None,
        observed: None,
        code: Some(213),
        origin: Origin::Server,
        took: Duration::from_micros(700),
        transferred: false,
    }))
}
