//! Reload, drain and the exit codes, from outside.

use std::fs;
use std::process::Command;

use crate::client::Client;
use crate::gateway::{Gateway, configuration};
use crate::server;

#[test]
fn a_reload_changes_the_policy_of_live_sessions() {
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "", "");
    let mut client = Client::login(gateway.address);
    client.expect("DELE x", 200);
    let frozen = configuration(server, "policy = \"read-only\"", "");
    fs::write(&gateway.file, frozen).unwrap();
    gateway.signal("HUP");
    gateway.line("the configuration was reloaded");
    client.expect("DELE x", 502);
    gateway.settles("ftpwarden_config_last_reload_successful", 1.0);
}

#[test]
fn a_reload_makes_an_argument_a_secret_of_live_sessions() {
    let (server, _) = server::start();
    let directory = tempfile::tempdir().unwrap();
    let audit = directory.path().join("audit.jsonl");
    let with = |rest: &str| format!("[audit]\npath = {audit:?}\n{rest}");
    let gateway = Gateway::start(server, "", &with(""));
    let mut client = Client::login(gateway.address);
    client.expect("SITE NEWPASS opensesame", 502);
    let more = configuration(server, "", &with("secret = [\"SITE NEWPASS\"]"));
    fs::write(&gateway.file, more).unwrap();
    gateway.signal("HUP");
    gateway.line("the configuration was reloaded");
    client.expect("SITE NEWPASS swordfish", 502);
    let line = gateway.line("argument=***");
    assert!(line.contains("command refused"), "{line}");
    client.expect("QUIT", 221);
    gateway.signal("TERM");
    assert!(gateway.wait().success());
    let told = fs::read_to_string(&audit).unwrap();
    assert!(told.contains("opensesame"), "{told}");
    assert!(
        told.contains("***") && !told.contains("swordfish"),
        "{told}"
    );
}

#[test]
fn a_bad_reload_changes_nothing_and_says_why() {
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "", "");
    let mut client = Client::login(gateway.address);
    fs::write(
        &gateway.file,
        configuration(server, "polcy = \"read-only\"", ""),
    )
    .unwrap();
    gateway.signal("HUP");
    let line = gateway.line("polcy");
    assert!(line.contains("ERROR"), "{line}");
    client.expect("DELE x", 200);
    gateway.settles("ftpwarden_config_last_reload_successful", 0.0);
    Client::login(gateway.address).expect("QUIT", 221);
}

#[test]
fn a_drain_says_421_and_ends_with_zero() {
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "", "");
    let mut client = Client::login(gateway.address);
    gateway.signal("TERM");
    let goodbye = client.reply();
    assert!(goodbye.starts_with("421 "), "{goodbye:?}");
    client.closed();
    assert!(gateway.wait().success());
}

#[test]
fn a_bad_configuration_is_78() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bad.toml");
    fs::write(&file, "[listeners.main]\nbind = \"nowhere\"\n").unwrap();
    for command in ["check", "run"] {
        let mut program = Command::new(env!("CARGO_BIN_EXE_ftpwarden"));
        program.arg(command);
        if command == "run" {
            program.arg("--config");
        }
        let output = program.arg(&file).output().unwrap();
        assert_eq!(output.status.code(), Some(78), "{command}");
        let said = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("bad.toml:2:8"), "{said}");
    }
}
