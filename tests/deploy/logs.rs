//! `deploy/fail2ban` and `deploy/logrotate`: what others do with our logs.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::{output, repository, said, succeed, text, tool};

/// A login failure as the gateway logs it, in vsftpd's form.
const FAILURE: &str = "Sun Nov 22 10:00:02 2026 [pid 123] [bob] FAIL LOGIN: Client";

/// What the journal puts before a line, as fail2ban reads it and as `journalctl` prints it.
const PREFIXES: [&str; 2] = [
    "2026-11-22T10:00:02.123456 gate ftpwarden[77]: ",
    "Nov 22 10:00:02 gate ftpwarden[77]: ",
];

/// The clients of the lines below.
const CLIENTS: [&str; 2] = ["203.0.113.9", "2001:db8::9"];

/// The address that a client would like to see banned.
const VICTIM: &str = "198.51.100.7";

/// A login failure in both formats of the log, the user's name escaped as the gateway does.
fn failures(user: &str, client: &str) -> [String; 2] {
    let text = FAILURE.replace("bob", user) + &format!(" \"{client}\"");
    let object = json("warn", &text, "");
    [text, object]
}

/// A ban in both formats of the log.
fn bans(client: &str) -> [String; 2] {
    let text = "2026-11-22T10:00:02.123Z WARN client banned";
    let fields =
        format!(r#","client":"{client}","listener":"main","failed_logins":11,"seconds":600.0"#);
    [
        format!("{text} client={client} listener=main failed_logins=11 seconds=600.0"),
        json("warn", "client banned", &fields),
    ]
}

/// An object of the log.
fn json(level: &str, message: &str, fields: &str) -> String {
    let message = quoted(message);
    format!(r#"{{"ts":"2026-11-22T10:00:02.123Z","level":"{level}","message":{message}{fields}}}"#)
}

/// A text as JSON has it.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

/// What a client may have said, in lines of both formats that say nothing of a failure or a ban.
fn told(name: &str) -> [String; 2] {
    let text = name.replace('"', r"\x22");
    [
        format!("2026-11-22T10:00:02.123Z WARN login user=\"{text}\""),
        json("warn", "login", &format!(r#","user":{}"#, quoted(name))),
    ]
}

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
    for client in CLIENTS {
        assert!(finds("vsftpd", &format!("{FAILURE} \"{client}\""), client));
    }
}

#[test]
fn our_filter_finds_login_failures_in_the_journal_and_in_a_file() {
    for client in CLIENTS {
        for failure in failures("bob", client) {
            for prefix in PREFIXES.into_iter().chain([""]) {
                let line = format!("{prefix}{failure}");
                assert!(finds("ftpwarden", &line, client), "{line}");
            }
        }
    }
}

#[test]
fn our_filter_finds_bans_in_the_journal() {
    for client in CLIENTS {
        for ban in bans(client) {
            for prefix in PREFIXES {
                let line = format!("{prefix}{ban}");
                assert!(finds("ftpwarden-ban", &line, client), "{line}");
            }
        }
    }
}

#[test]
fn our_filters_believe_nothing_but_a_line_of_that_form() {
    let prefix = PREFIXES[1];
    for (filter, lines) in [
        ("ftpwarden", failures("bob", VICTIM)),
        ("ftpwarden-ban", bans(VICTIM)),
    ] {
        for line in lines {
            for line in [
                prefix.replace("ftpwarden", "other") + &line,
                format!("{prefix}user=\"{line}"),
                format!("{prefix}{line} and more"),
                format!("{prefix}{},\"user\":\"x\"}}", line.trim_end_matches('}')),
            ] {
                assert!(!finds(filter, &line, VICTIM), "{line}");
            }
        }
    }
}

#[test]
fn a_crafted_user_name_plants_no_other_client() {
    let [failure, object] = failures("x", VICTIM);
    let half = format!("x FAIL LOGIN: Client \"{VICTIM}\"");
    for name in [&half, &half.replace('x', r"\\"), &failure, &object] {
        // The gateway writes the brackets of a name as numbers.
        let user = name.replace('[', r"\x5b").replace(']', r"\x5d");
        for failure in failures(&user, CLIENTS[0]) {
            for prefix in [PREFIXES[1], ""] {
                let line = format!("{prefix}{failure}");
                assert!(finds("ftpwarden", &line, CLIENTS[0]), "{line}");
            }
        }
    }
    // In other lines the brackets stay, and the quotes do not.
    for (filter, names) in [
        ("ftpwarden", [failure, object]),
        ("ftpwarden-ban", bans(VICTIM)),
    ] {
        for line in names.iter().flat_map(|name| told(name)) {
            for prefix in [PREFIXES[1], ""] {
                let line = format!("{prefix}{line}");
                assert!(!finds(filter, &line, VICTIM), "{line}");
            }
        }
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

/// Has logrotate work on the files of a folder. What systemctl is asked is in its file `asked`.
fn rotate(folder: &Path) {
    let at = |name: &str| folder.join(name);
    fs::write(
        at("systemctl"),
        "#!/bin/sh\necho \"$@\" >>\"$(dirname \"$0\")/asked\"\n",
    )
    .unwrap();
    fs::set_permissions(at("systemctl"), fs::Permissions::from_mode(0o755)).unwrap();
    // logrotate refuses a configuration that others could have written.
    let rules = text("deploy/logrotate/ftpwarden")
        .replace("/var/log/ftpwarden", folder.to_str().unwrap())
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
}

#[test]
fn logrotate_moves_the_audit_file_and_has_it_reopened() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("audit.jsonl"), "{}\n").unwrap();

    rotate(folder.path());

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

#[test]
fn logrotate_copies_the_log_and_empties_it_under_whoever_appends_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let path = at("ftpwarden.log");
    let mut log = File::options()
        .create(true)
        .append(true)
        .open(&path)
        .unwrap();
    log.write_all(b"before\n").unwrap();

    rotate(folder.path());

    log.write_all(b"behind\n").unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), "behind\n");
    let copy = succeed(Command::new("zcat").arg(at("ftpwarden.log.1.gz")));
    assert_eq!(copy, "before\n");
    assert!(!at("asked").exists(), "no signal opens it anew");
}
