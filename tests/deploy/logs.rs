//! `deploy/fail2ban` and `deploy/logrotate`: what others do with our logs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::{output, repository, said, succeed, text, tool};

/// A login failure as the gateway logs it, in vsftpd's form.
const FAILURE: &str = "Sun Nov 22 10:00:02 2026 [pid 123] [bob] FAIL LOGIN: Client";

/// A program of fail2ban with its configuration, ours added.
fn fail2ban(program: &str, configuration: &Path) -> Command {
    let unpacked = repository("target/tools/fail2ban");
    let root = if unpacked.is_dir() {
        unpacked
    } else {
        PathBuf::from("/")
    };
    let stock = root.join("etc/fail2ban/.");
    succeed(Command::new("cp").arg("-r").arg(stock).arg(configuration));
    succeed(
        Command::new("cp")
            .arg("-r")
            .arg(repository("deploy/fail2ban/."))
            .arg(configuration),
    );
    let mut command = tool("python3");
    command
        .env("PYTHONPATH", root.join("usr/lib/python3/dist-packages"))
        .arg(root.join("usr/bin").join(program))
        .arg("-c")
        .arg(configuration);
    command
}

/// Whether a filter finds this client, and no other, in this line.
fn finds(filter: &str, line: &str, client: &str) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let mut command = fail2ban("fail2ban-regex", folder.path());
    let said = said(&output(command.args(["-v", line, filter])));
    assert!(said.contains("Lines: 1 lines"), "{said}");
    said.contains("1 matched") && said.contains(&format!("|      {client}  "))
}

#[test]
fn the_stock_vsftpd_filter_finds_our_login_failures() {
    for client in ["203.0.113.9", "2001:db8::9"] {
        assert!(finds("vsftpd", &format!("{FAILURE} \"{client}\""), client));
    }
}

#[test]
fn our_filter_finds_login_failures_in_the_journal() {
    for client in ["203.0.113.9", "2001:db8::9"] {
        for prefix in ["2026-11-22T10:00:02.123456 gate", "Nov 22 10:00:02 gate"] {
            let line = format!("{prefix} ftpwarden[77]: {FAILURE} \"{client}\"");
            assert!(finds("ftpwarden", &line, client), "{line}");
        }
    }
}

#[test]
fn our_filter_finds_bans_in_the_journal() {
    for client in ["203.0.113.9", "2001:db8::9"] {
        let ban = format!("client banned client={client} listener=main failed_logins=11");
        let line =
            format!("Nov 22 10:00:02 gate ftpwarden[77]: 2026-11-22T10:00:02.123Z WARN {ban}");
        assert!(finds("ftpwarden-ban", &line, client), "{line}");
        let forged = line.replace("WARN client", "INFO login user=\"WARN client");
        assert!(!finds("ftpwarden-ban", &forged, client), "{forged}");
    }
}

#[test]
fn our_filter_believes_nothing_but_a_line_of_that_form() {
    for line in [
        format!("Nov 22 10:00:02 gate other[77]: {FAILURE} \"203.0.113.9\""),
        format!("Nov 22 10:00:02 gate ftpwarden[77]: user=\"{FAILURE} \"203.0.113.9\""),
        format!("Nov 22 10:00:02 gate ftpwarden[77]: {FAILURE} \"203.0.113.9\" and more"),
    ] {
        assert!(!finds("ftpwarden", &line, "203.0.113.9"), "{line}");
    }
}

#[test]
fn fail2ban_loads_the_jails() {
    let folder = tempfile::tempdir().unwrap();
    let mut client = fail2ban("fail2ban-client", folder.path());
    // The distribution's own jails watch files that need not be here.
    let distribution = folder.path().join("jail.d/defaults-debian.conf");
    if distribution.exists() {
        fs::remove_file(distribution).unwrap();
    }
    // All jails, and a log that exists.
    let log = folder.path().join("ftpwarden.log");
    fs::write(&log, "").unwrap();
    let jails = text("deploy/fail2ban/jail.d/ftpwarden.conf")
        .replace("enabled  = false", "enabled  = true")
        .replace("/var/log/ftpwarden/ftpwarden.log", log.to_str().unwrap());
    fs::write(folder.path().join("jail.d/ftpwarden.conf"), jails).unwrap();
    let said = succeed(client.arg("-d"));
    for started in [
        "['start', 'ftpwarden']",
        "['start', 'ftpwarden-file']",
        "['start', 'ftpwarden-ban']",
    ] {
        assert!(said.contains(started), "{said}");
    }
}

#[test]
fn logrotate_moves_the_files_and_has_them_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("audit.jsonl"), "{}\n").unwrap();
    fs::write(
        at("systemctl"),
        "#!/bin/sh\necho \"$@\" >>\"$(dirname \"$0\")/asked\"\n",
    )
    .unwrap();
    fs::set_permissions(at("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
    // logrotate refuses a configuration that others could have written.
    let rules = text("deploy/logrotate/ftpwarden")
        .replace("/var/log/ftpwarden", folder.path().to_str().unwrap())
        .replace("systemctl", at("systemctl").to_str().unwrap());
    fs::write(at("rules"), rules).unwrap();
    fs::set_permissions(at("rules"), fs::Permissions::from_mode(0o644)).unwrap();

    succeed(
        tool("logrotate")
            .arg("--force")
            .arg("--state")
            .arg(at("state"))
            .arg(at("rules")),
    );

    assert_eq!(fs::read_to_string(at("audit.jsonl.1")).unwrap(), "{}\n");
    assert!(
        !at("audit.jsonl").exists(),
        "the gateway makes the new file"
    );
    assert_eq!(
        fs::read_to_string(at("asked")).unwrap(),
        "kill --kill-whom=main --signal=USR1 ftpwarden.service\n"
    );
}
