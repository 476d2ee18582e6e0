//! Configurations that load, configurations that are refused and how, and the promise that every
//! key of the schema is documented, obeyed and shown with its true default.
//!
//! `BLESS=1 cargo test --test config` writes the expected reports anew.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ftpwarden::cli::rehearsal::{Situation, rehearse};
use ftpwarden::config::diagnostic::{Severity, Style, render};
use ftpwarden::config::schema::{self, Table};
use ftpwarden::config::{self, ConfigError, Flags, Loaded};
use ftpwarden::ftp::command::Name;
use ftpwarden::ftp::security::TlsVersion;
use ftpwarden::policy::System;
use ftpwarden::session::{DataMode, Require, ServerTls, TlsOffer};
use ftpwarden::settings::{Settings, WhenFull};
use ftpwarden::tls::options::{ClientCertificates, SessionReuse, Trust};
use proptest::prelude::*;

/// How many keys the schema has.
const KEYS: usize = 96;

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
    assert_eq!(all.len(), 6);
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
    assert_eq!(all.len(), 11);
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
    assert_eq!(all.len(), 44);
    for path in all {
        let error = parse(&path)
            .err()
            .unwrap_or_else(|| panic!("{} loads", path.display()));
        compare(&path, &error.report(Style::Plain));
    }
    assert_eq!(files("tests/configs/invalid", "stderr").len(), 44);
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
            ..
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
        "listeners.NAME.tls.certificates" => {
            format!("listeners.main.tls.certificates = [{{ {key} = {value} }}]")
        }
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
    assert_eq!(seen, KEYS);
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

/// The reference with everything that it has behind `#` switched on.
fn switched_on(reference: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest)
            if rest.starts_with(|first: char| first.is_ascii_lowercase() || first == '[') =>
        {
            rest.to_owned()
        }
        _ => line.to_owned(),
    };
    reference.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_reference_states_every_default() {
    let reference = config::load(Path::new("config/reference.toml")).unwrap();
    let minimal = config::load(Path::new("tests/configs/valid/minimal.toml")).unwrap();
    assert_eq!(shown(&reference.settings), shown(&minimal.settings));
    assert!(reference.warnings.is_empty());
}

#[test]
fn the_reference_has_every_key_of_the_schema_and_no_other() {
    let text = switched_on(&fs::read_to_string("config/reference.toml").unwrap());
    config::parse(&text, "reference").unwrap_or_else(|error| {
        panic!("{}", error.report(Style::Plain));
    });
    let root: toml::Table = text.parse().unwrap();
    let mut seen = 0;
    for table in schema::TABLES {
        let mut found: Vec<&str> = Vec::new();
        let mut tables = vec![&root];
        for step in table.path.split('.') {
            tables = tables
                .iter()
                .flat_map(|table| match step {
                    "NAME" => table.values().collect(),
                    step => table.get(step).into_iter().collect::<Vec<_>>(),
                })
                .flat_map(|value| match value {
                    toml::Value::Array(list) => list.iter().collect(),
                    value => vec![value],
                })
                .filter_map(toml::Value::as_table)
                .collect();
        }
        for key in tables.iter().flat_map(|table| table.keys()) {
            found.push(key);
        }
        for key in table.keys {
            assert!(
                found.contains(key),
                "{}.{key} is not in the reference",
                table.path
            );
            seen += 1;
        }
    }
    assert_eq!(seen, KEYS);
}

#[test]
fn every_key_of_the_reference_has_a_comment() {
    let text = fs::read_to_string("config/reference.toml").unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let mut seen = 0;
    for (index, line) in lines.iter().enumerate() {
        let bare = line.strip_prefix('#').unwrap_or(line);
        let is_key = bare.starts_with(|first: char| first.is_ascii_lowercase());
        if is_key && bare.contains(" = ") {
            let above = lines.get(index.saturating_sub(1)).unwrap();
            assert!(above.starts_with("# "), "no comment above {line}");
            seen += 1;
        }
    }
    // All but `rules`, `certificates` and `tls` of both kinds, which are headers there.
    assert_eq!(seen, KEYS - 4);
}

#[test]
fn the_manual_has_every_key_of_the_schema_and_no_other() {
    let manual = fs::read_to_string("docs/configuration.md").unwrap();
    let titles: Vec<&str> = manual
        .lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'))
        .collect();
    let keys: Vec<String> = schema::TABLES
        .iter()
        .flat_map(|table| table.keys.iter().map(|key| format!("{}.{key}", table.path)))
        .collect();
    let mut sorted = (titles.clone(), keys.clone());
    sorted.0.sort_unstable();
    sorted.1.sort_unstable();
    assert_eq!(sorted.0, sorted.1);
    for section in manual.split("\n### ").skip(1) {
        for part in [
            "- **Values**: ",
            "- **Default**: ",
            "- **Why**: ",
            "```toml\n",
        ] {
            assert_eq!(section.matches(part).count(), 1, "{part} in {section}");
        }
    }
}

#[test]
fn the_examples_of_the_manual_are_taken() {
    let manual = fs::read_to_string("docs/configuration.md").unwrap();
    let mut seen = 0;
    for section in manual.split("\n### `").skip(1) {
        let (title, rest) = section.split_once('`').unwrap();
        let example = rest.split("```toml\n").nth(1).unwrap();
        let example = example.split("```").next().unwrap().trim_end();
        let (path, key) = title.rsplit_once('.').unwrap();
        let table = schema::TABLES
            .into_iter()
            .find(|table| table.path == path)
            .unwrap();
        let value = example.strip_prefix(&format!("{key} = ")).unwrap();
        let text = with_key(table, key, value);
        if let Err(ConfigError::Refused { diagnostics, .. }) = config::parse(&text, "it") {
            // Names of tables that the example alone does not have are fine, and so are keys
            // that need others beside them.
            let alone = [
                "config/unknown-upstream",
                "config/unknown-policy",
                "config/missing-key",
            ];
            let in_policy = path.starts_with("policies.");
            for one in diagnostics {
                let fine = one.severity == Severity::Warning
                    || alone.contains(&one.code)
                    || (in_policy && one.code.starts_with("policy/"));
                assert!(fine, "{title}: {}", one.message);
            }
        }
        seen += 1;
    }
    assert_eq!(seen, KEYS);
}

#[test]
fn a_bogus_key_is_refused_in_every_table_of_every_configuration() {
    let mut all = files("config/examples", "toml");
    all.extend(files("config", "toml"));
    assert_eq!(all.len(), 13);
    let mut seen = 0;
    for path in all {
        let text = switched_on(&fs::read_to_string(&path).unwrap());
        let lines: Vec<&str> = text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let spoilt = if line.starts_with('[') {
                format!("{line}\nbogus = 1")
            } else if let Some(rest) = line.strip_prefix("    { ") {
                format!("    {{ bogus = 1, {rest}")
            } else {
                continue;
            };
            let mut copy = lines.clone();
            if let Some(place) = copy.get_mut(index) {
                *place = &spoilt;
            }
            let error = config::parse(&copy.join("\n"), "it").err();
            let Some(ConfigError::Refused { diagnostics, .. }) = error else {
                panic!("{}: taken below {line}", path.display());
            };
            assert!(
                diagnostics
                    .iter()
                    .any(|one| one.code == "config/unknown-key"),
                "{}: {line}: {diagnostics:?}",
                path.display()
            );
            seen += 1;
        }
    }
    assert_eq!(seen, 87);
}

#[test]
fn the_first_configuration_is_ten_lines_and_fine() {
    let text = fs::read_to_string("config/ftpwarden.toml").unwrap();
    assert!(text.lines().count() <= 10);
    let loaded = config::parse(&text, "ftpwarden.toml").unwrap();
    assert!(loaded.warnings.is_empty());
    for listener in loaded.settings.listeners.values() {
        assert!(
            listener
                .bind
                .iter()
                .all(|address| address.ip().is_loopback())
        );
    }
}

/// The configuration of flags, and whether its policy allows the first command and not the rest.
fn judged(flags: &Flags, allowed: &[&str], denied: &[&str]) -> Loaded {
    let loaded = config::from_flags(flags).unwrap();
    let listener = loaded.settings.listeners.values().next().unwrap();
    let situation = Situation {
        user: "anna".to_owned(),
        client: [192, 0, 2, 7].into(),
        directory: None,
        tls: None,
        unix_time: 1_764_064_800,
    };
    for (commands, wanted) in [(allowed, true), (denied, false)] {
        let commands: Vec<String> = commands.iter().map(|&command| command.to_owned()).collect();
        for got in rehearse(&loaded, listener, &situation, &commands).commands {
            assert_eq!(got.fate.is_allowed(), wanted, "{flags:?}: {got:?}");
        }
    }
    loaded
}

#[test]
fn flags_stand_for_a_configuration() {
    let flags = |policy: Option<&str>, deny: &[&str]| Flags {
        bind: "127.0.0.1:2121".to_owned(),
        upstream: "10.0.0.5:21".to_owned(),
        policy: policy.map(str::to_owned),
        deny: deny.iter().map(|&verb| verb.to_owned()).collect(),
        admin: None,
    };
    judged(&flags(None, &[]), &["DELE a", "STOR a"], &["SITE HELP"]);
    judged(
        &flags(None, &["DELE", "@upload"]),
        &["RETR a"],
        &["DELE a", "STOR a", "SITE HELP"],
    );
    judged(
        &flags(Some("read-only"), &["RETR"]),
        &["LIST"],
        &["RETR a", "STOR a"],
    );
    // A policy that allows what it does not name goes on to do so.
    judged(
        &flags(Some("permissive"), &["SITE"]),
        &["RCMD x", "DELE a"],
        &["SITE HELP"],
    );
    judged(
        &flags(Some("frozen"), &["SITE"]),
        &["RETR a"],
        &["STOR a", "SITE HELP"],
    );
    let mut with_admin = flags(None, &[]);
    with_admin.admin = Some("127.0.0.1:9121".to_owned());
    assert!(
        judged(&with_admin, &["RETR a"], &[])
            .settings
            .admin
            .is_some()
    );
}

#[test]
fn values_come_out_as_they_were_written() {
    let loaded = config::parse(
        "[listeners.main]\n\
         bind = [\"0.0.0.0:21\", \"[::]:21\"]\n\
         upstream = \"legacy\"\n\
         greeting = \"220 File service.\"\n\
         passive_ports = \"50000-50009\"\n\
         bandwidth = \"1GiB/s\"\n\
         user_bandwidth = { \"z*\" = \"2KiB/s\", \"a\" = \"3KiB/s\" }\n\
         passive_address = { \"0.0.0.0/0\" = \"203.0.113.7\", \"10.0.0.0/8\" = \"local\", \"10.1.0.0/16\" = \"ftp.example.com\" }\n\
         accept_proxy_from = [\"::ffff:10.9.0.0/120\", \"2001:db8::9\"]\n\
         [upstreams.legacy]\n\
         address = \"[2001:db8::5]:2121\"\n\
         unsupported = [\"mlsd\", \"RCMD\"]\n\
         data_mode = \"extended-passive\"\n\
         system = \"mvs\"\n\
         symlinks = false\n\
         line_bytes = \"1KiB\"\n\
         path_bytes = 0xFF\n\
         connect_timeout = \"1m30s\"\n\
         [audit]\n\
         path = \"-\"\n\
         secret = \"site pswd\"\n\
         when_full = \"refuse\"\n\
         [limits]\n\
         idle_timeout = \"1h30m\"\n\
         command_timeout = \"1500ms\"\n\
         violations = 7\n\
         connection_rate = \"100/m\"\n\
         failed_logins = 0\n\
         failed_login_delay = \"250ms\"\n\
         ban_time = \"1h\"\n\
         session_bandwidth = \"64KiB/s\"\n",
        "it",
    )
    .unwrap();
    let listener = loaded.settings.listeners.values().next().unwrap();
    assert_eq!(listener.bind.len(), 2);
    assert_eq!(
        listener.greeting.as_deref(),
        Some(&b"220 File service.\r\n"[..])
    );
    assert_eq!(listener.passive_ports, Some(50000..=50009));
    let advertised: Vec<String> = listener
        .passive_address
        .iter()
        .map(|(net, what)| format!("{net} {what:?}"))
        .collect();
    assert_eq!(
        advertised,
        [
            "10.1.0.0/16 Name(\"ftp.example.com\")",
            "10.0.0.0/8 Local",
            "0.0.0.0/0 Address(203.0.113.7)",
            "::/0 Local",
        ]
    );
    let balancers: Vec<String> = listener
        .accept_proxy_from
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(balancers, ["10.9.0.0/24", "2001:db8::9/128"]);
    let upstream = loaded.settings.upstreams.values().next().unwrap();
    assert_eq!((&*upstream.host, upstream.port), ("2001:db8::5", 2121));
    let lacking: Vec<&str> = upstream.unsupported.iter().map(Name::as_str).collect();
    assert_eq!(lacking, ["MLSD", "RCMD"]);
    assert_eq!(upstream.data_mode, DataMode::ExtendedPassive);
    assert_eq!(upstream.system, System::Mvs);
    assert!(!upstream.symlinks);
    assert_eq!((upstream.line_bytes, upstream.path_bytes), (1024, 255));
    assert_eq!(upstream.connect_timeout, Duration::from_secs(90));
    let audit = loaded.settings.audit.as_ref().unwrap();
    assert_eq!(audit.path, None);
    assert_eq!(*audit.secret, ["PSWD".into()]);
    assert_eq!(audit.when_full, WhenFull::Refuse);
    let limits = &loaded.settings.session_limits;
    assert_eq!(limits.idle_timeout, Duration::from_mins(90));
    assert_eq!(limits.command_timeout, Duration::from_millis(1500));
    assert_eq!(limits.violations, 7);
    assert_eq!(limits.failed_login_delay, Duration::from_millis(250));
    let limits = &loaded.settings.limits;
    let rate = limits.connection_rate.unwrap();
    assert_eq!((rate.count, rate.per), (100, Duration::from_mins(1)));
    assert_eq!(limits.failed_logins, None);
    assert_eq!(limits.ban_time, Duration::from_hours(1));
    assert_eq!(limits.session_bandwidth, Some(64 << 10));
    assert_eq!(listener.bandwidth, Some(1 << 30));
    let rates: Vec<u64> = listener
        .user_bandwidth
        .iter()
        .map(|(_, rate)| *rate)
        .collect();
    assert_eq!(rates, [2048, 3072], "in the order of the file");
}

#[test]
fn tls_comes_out_as_it_was_written() {
    let loaded = parse(Path::new("tests/configs/valid/tls.toml")).unwrap();
    let listener = |name: &str| {
        let listeners = &loaded.settings.listeners;
        listeners.get(name).unwrap().tls.clone().unwrap()
    };
    let upstream = |name: &str| {
        let upstreams = &loaded.settings.upstreams;
        upstreams.get(name).unwrap().tls.clone().unwrap()
    };
    let main = listener("main");
    assert_eq!(main.offer.offer, TlsOffer::Explicit);
    assert_eq!(main.offer.require, Require::Login);
    assert_eq!(main.options.identities.len(), 2);
    let first = main.options.identities.first().unwrap();
    assert_eq!(first.certificate, Path::new("/etc/ftpwarden/cert.pem"));
    assert_eq!(first.key, Path::new("/etc/ftpwarden/key.pem"));
    assert_eq!(main.options.versions, [TlsVersion::V1_3]);
    assert!(main.options.prefer_client_ciphers);
    assert_eq!(main.options.session_reuse, SessionReuse::Required);
    let ca = PathBuf::from("/etc/ftpwarden/clients-ca.pem");
    assert_eq!(main.options.clients, ClientCertificates::Optional(ca));
    // What is not written there is as safe as it can be without a word.
    let implicit = listener("implicit");
    assert_eq!(implicit.offer.offer, TlsOffer::Implicit);
    assert_eq!(implicit.offer.require, Require::Data);
    assert_eq!(implicit.options.versions, TlsVersion::ALL);
    assert!(!implicit.options.prefer_client_ciphers);
    assert_eq!(implicit.options.session_reuse, SessionReuse::Allowed);
    assert_eq!(implicit.options.clients, ClientCertificates::Off);
    let legacy = upstream("legacy");
    assert_eq!(legacy.mode, ServerTls::Explicit);
    assert!(legacy.tolerates_truncation);
    assert_eq!(&*legacy.options.server_name, "ftp.example.com");
    assert_eq!(
        legacy.options.versions,
        [TlsVersion::V1_3, TlsVersion::V1_2]
    );
    assert_eq!(legacy.options.session_reuse, SessionReuse::Off);
    assert!(legacy.options.identity.is_some());
    let ca = PathBuf::from("/etc/ftpwarden/legacy-ca.pem");
    assert_eq!(legacy.options.trust, Trust::File(ca));
    let pinned = upstream("pinned");
    assert_eq!(pinned.mode, ServerTls::Implicit);
    assert!(!pinned.tolerates_truncation);
    assert_eq!(&*pinned.options.server_name, "10.0.0.6");
    assert_eq!(pinned.options.versions, TlsVersion::ALL);
    assert!(matches!(pinned.options.trust, Trust::Pin([0xba, 0x78, ..])));
    let limits = &loaded.settings.session_limits;
    assert_eq!(limits.tls_handshake_timeout, Duration::from_secs(20));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever is cut out of a configuration or put into it: it loads or is refused, and every
    /// problem has its place.
    #[test]
    fn no_slip_breaks_the_reader(
        place in 0_usize..20_000,
        cut in 0_usize..40,
        put in "[\\[\\]{}=\"',.#\\-a-z0-9\\n\u{e9}\u{1f600}]{0,12}",
    ) {
        let text = switched_on(include_str!("../config/reference.toml"));
        let at = |place: usize| text.floor_char_boundary(place.min(text.len()));
        let start = at(place % text.len());
        let end = at(start + cut);
        let spoilt = [text.get(..start), Some(&put), text.get(end..)].map(Option::unwrap).concat();
        if let Err(error) = config::parse(&spoilt, "it") {
            prop_assert!(!error.report(Style::Plain).is_empty());
            prop_assert!(!error.report(Style::Coloured).is_empty());
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
