//! `deploy/systemd`: the unit.

use std::fs;

use crate::tools::{GATEWAY, output, repository, said, succeed, text, tool};

/// The unit under test.
const UNIT: &str = "deploy/systemd/ftpwarden.service";

#[test]
fn systemd_understands_every_line_of_the_unit() {
    // The installed path is replaced: systemd wants the program to be there.
    let unit = text(UNIT).replace("/usr/bin/ftpwarden", GATEWAY);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ftpwarden.service");
    fs::write(&path, unit).unwrap();
    // The manual page is installed with the package. The units of the machine are not under test.
    let verify = output(
        tool("systemd-analyze")
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .arg(&path),
    );
    let complaints: String = said(&verify)
        .lines()
        .filter(|line| line.contains("ftpwarden"))
        .collect();
    assert!(
        verify.status.success() && complaints.is_empty(),
        "{}",
        said(&verify)
    );
}

#[test]
fn the_unit_is_as_confined_as_we_claim() {
    // The number is the exposure times ten: at most 1.6 of 10.
    succeed(
        tool("systemd-analyze")
            .args(["security", "--offline=true", "--threshold=16", "--no-pager"])
            .arg(repository(UNIT)),
    );
}

#[test]
fn the_unit_lets_the_gateway_give_its_rights_up() {
    let unit = text(UNIT);
    let last = unit
        .lines()
        .filter_map(|line| line.strip_prefix("SystemCallFilter="))
        .next_back()
        .unwrap();
    let calls: Vec<&str> = last.split(' ').collect();
    for call in [
        "capset",
        "seccomp",
        "landlock_create_ruleset",
        "landlock_add_rule",
        "landlock_restrict_self",
    ] {
        assert!(calls.contains(&call), "{call} in {last}");
    }
}

#[test]
fn the_unit_checks_the_configuration_before_it_starts_or_reloads() {
    let unit = text(UNIT);
    let commands: Vec<&str> = unit
        .lines()
        .filter(|line| line.starts_with("Exec"))
        .collect();
    assert_eq!(
        commands,
        [
            "ExecStartPre=/usr/bin/ftpwarden check /etc/ftpwarden/ftpwarden.toml",
            "ExecStart=/usr/bin/ftpwarden run --config /etc/ftpwarden/ftpwarden.toml",
            "ExecReload=/usr/bin/ftpwarden check /etc/ftpwarden/ftpwarden.toml",
            "ExecReload=/bin/kill -HUP $MAINPID",
        ]
    );
}
