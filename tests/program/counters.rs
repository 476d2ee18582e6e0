//! The counters hold exactly: what a scripted client read is what `/metrics` says.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::client::Client;
use crate::gateway::Gateway;
use crate::server;

/// Runs what clients do, good and bad, and returns how often each code was read.
fn mixed_run(gateway: &Gateway) -> BTreeMap<u16, u32> {
    let mut codes = BTreeMap::new();
    for round in 0..5 {
        let mut client = Client::login(gateway.address);
        client.expect("PWD", 257);
        client.expect("FEAT", 211);
        client.expect("SITE CHMOD 777 x", 502);
        client.expect("SMNT /", 502);
        client.expect("XYZZY", 502);
        client.expect("S1TE!", 500);
        client.expect("CWD nowhere", 550);
        client.expect("RETR 7", 425);
        assert_eq!(
            client.download(&format!("RETR {}", 70_000 * round)).len(),
            70_000 * round
        );
        client.upload("STOR up", &vec![7; 1000 * round]);
        client.data();
        client.expect("RETR missing", 550);
        for line in ["NOOP", "SITE x", "PWD", "OPTS", "SYST"] {
            client.send(line);
        }
        for _ in 0..5 {
            client.reply();
        }
        client.expect("QUIT", 221);
        for (code, count) in client.closed() {
            *codes.entry(code).or_default() += count;
        }
        let mut failed = Client::dial(gateway.address);
        failed.expect("USER tester", 331);
        failed.expect("PASS wrong", 530);
        failed.expect("QUIT", 221);
        for (code, count) in failed.closed() {
            *codes.entry(code).or_default() += count;
        }
    }
    codes
}

#[test]
fn every_reply_is_counted_by_its_code() {
    let (server, heard) = server::start();
    let gateway = Gateway::start(server, "", "");
    let codes = mixed_run(&gateway);
    gateway.settles("ftpwarden_sessions", 0.0);
    let total: u32 = codes.values().sum();
    assert!(total > 100, "{codes:?}");
    assert!((gateway.sum("ftpwarden_replies_total", &[]) - f64::from(total)).abs() < 0.5);
    for (code, count) in &codes {
        let label = format!("code=\"{code}\"");
        let counted = gateway.sum("ftpwarden_replies_total", &[&label]);
        assert!(
            (counted - f64::from(*count)).abs() < 0.5,
            "{code}: {counted} against {count}"
        );
    }
    let refused = gateway.sum(
        "ftpwarden_replies_total",
        &["code=\"502\"", "origin=\"gateway\""],
    );
    let denied = gateway.sum("ftpwarden_commands_total", &["outcome=\"denied\""]);
    assert!((refused - 20.0).abs() < 0.5, "{refused}");
    assert!((denied - refused).abs() < 0.5, "{denied} against {refused}");
    let server_502 = gateway.sum(
        "ftpwarden_replies_total",
        &["code=\"502\"", "origin=\"server\""],
    );
    assert!(server_502.abs() < 0.5);
    for line in heard.lines() {
        for refused in ["SITE", "SMNT", "XYZZY", "S1TE"] {
            assert!(!line.starts_with(refused), "the server heard {line:?}");
        }
    }
    assert!((gateway.sum("ftpwarden_sessions_total", &[]) - 10.0).abs() < 0.5);
    assert!((gateway.sum("ftpwarden_logins_total", &["result=\"success\""]) - 5.0).abs() < 0.5);
    assert!((gateway.sum("ftpwarden_logins_total", &["result=\"failure\""]) - 5.0).abs() < 0.5);
    let bytes = gateway.sum(
        "ftpwarden_transfer_bytes_total",
        &["direction=\"download\""],
    );
    assert!((bytes - 700_000.0).abs() < 0.5, "{bytes}");
    let bytes = gateway.sum("ftpwarden_transfer_bytes_total", &["direction=\"upload\""]);
    assert!((bytes - 10_000.0).abs() < 0.5, "{bytes}");
}

#[test]
fn a_refusal_is_seen_from_zero() {
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "", "");
    let zero = gateway
        .samples("ftpwarden_replies_total")
        .into_iter()
        .find(|(labels, _)| labels.contains("code=\"502\"") && labels.contains("gateway"));
    assert_eq!(zero.map(|(_, value)| value), Some(0.0));
}

#[test]
fn promtool_finds_nothing_to_say() {
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "passive_ports = \"40000-40100\"", "");
    mixed_run(&gateway);
    let own =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools/prometheus/usr/bin/promtool");
    let promtool = if own.exists() { own } else { "promtool".into() };
    let mut child = Command::new(promtool)
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is missing: run tests/install");
    let text = gateway.get("/metrics");
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
