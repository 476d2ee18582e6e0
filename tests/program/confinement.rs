//! The program gives up what it does not need: seen from outside, and by what it refuses.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::client::Client;
use crate::gateway::{Gateway, configuration};
use crate::server;

/// The value of `name` in the status of a thread.
fn value(status: &str, name: &str) -> String {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.unwrap().trim().to_owned()
}

/// Whether the test runs as root, and so can become somebody else.
fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A program that is to end by itself, with `rest` in its configuration.
fn refused(rest: &str) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gateway.toml");
    let server = (Ipv4Addr::LOCALHOST, 9).into();
    fs::write(&file, configuration(server, "", rest)).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_ftpwarden"));
    program.args(["run", "--config"]).arg(&file);
    program.output().unwrap()
}

/// What it said.
fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn every_thread_is_confined() {
    let (server, _) = server::start();
    let directory = tempfile::tempdir().unwrap();
    let audit = directory.path().join("audit.jsonl");
    let gateway = Gateway::start(server, "", &format!("[audit]\npath = {audit:?}"));
    for mechanism in ["capabilities", "no-new-privileges", "landlock", "seccomp"] {
        assert!(
            gateway
                .before()
                .iter()
                .any(|line| line.contains("INFO")
                    && line.contains(&format!("mechanism={mechanism}"))),
            "{mechanism}: {:#?}",
            gateway.before()
        );
    }
    let mut client = Client::login(gateway.address);
    assert_eq!(client.download("RETR 3000000").len(), 3_000_000);
    client.upload("STOR up", &vec![7; 100_000]);
    // Threads of name lookups and of the endpoints.
    gateway.get("/metrics");
    let statuses = gateway.statuses();
    assert!(statuses.len() > 3, "the runtime, the log and the audit");
    for status in statuses {
        assert_eq!(value(&status, "NoNewPrivs"), "1", "{status}");
        assert_eq!(value(&status, "Seccomp"), "2", "{status}");
        for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
            assert_eq!(value(&status, set), "0000000000000000", "{status}");
        }
        if is_root() {
            assert_eq!(value(&status, "CapBnd"), "0000000000000000", "{status}");
        }
    }
    client.expect("QUIT", 221);
}

#[test]
fn an_upstream_with_a_name_is_found() {
    let (server, heard) = server::start();
    let gateway = Gateway::start(server, "", "");
    let text = fs::read_to_string(&gateway.file).unwrap();
    let named = text
        .replace("127.0.0.1:", "localhost:")
        .replace("bind = \"localhost:0\"", "bind = \"127.0.0.1:0\"");
    fs::write(&gateway.file, named).unwrap();
    gateway.signal("HUP");
    gateway.line("the configuration was reloaded");
    Client::login(gateway.address).expect("QUIT", 221);
    assert!(heard.lines().contains(&"USER tester".to_owned()));
}

#[test]
fn nothing_is_given_up_where_that_is_off() {
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "", "[process]\nconfinement = \"off\"");
    for status in gateway.statuses() {
        assert_eq!(value(&status, "Seccomp"), value(&own_status(), "Seccomp"));
        assert_eq!(
            value(&status, "NoNewPrivs"),
            value(&own_status(), "NoNewPrivs")
        );
    }
    let off = "not confined: `process.confinement` is off";
    assert!(gateway.before().iter().any(|line| line.contains(off)));
}

/// The status of the test.
fn own_status() -> String {
    fs::read_to_string("/proc/self/status").unwrap()
}

#[test]
fn the_user_and_the_group_are_taken_on_by_every_thread() {
    if !is_root() {
        let output = refused("[process]\nuser = \"0\"");
        assert_eq!(output.status.code(), Some(78));
        assert!(
            said(&output).contains("[process] cannot become user 0: "),
            "{}",
            said(&output)
        );
        return;
    }
    let (server, _) = server::start();
    let rest = "[process]\nuser = \"65533\"\ngroup = \"65532\"\nconfinement = \"require\"";
    let gateway = Gateway::start(server, "", rest);
    for status in gateway.statuses() {
        assert_eq!(value(&status, "Uid"), "65533\t65533\t65533\t65533");
        assert_eq!(value(&status, "Gid"), "65532\t65532\t65532\t65532");
        assert_eq!(value(&status, "Groups"), "65532");
        assert_eq!(value(&status, "CapPrm"), "0000000000000000");
        assert_eq!(value(&status, "CapBnd"), "0000000000000000");
    }
    let dropped = "privileges are dropped: the gateway runs as user 65533";
    assert!(gateway.before().iter().any(|line| line.contains(dropped)));
    let mut client = Client::login(gateway.address);
    assert_eq!(client.download("RETR 100000").len(), 100_000);
    // Its own descriptors are counted all the same.
    assert!(gateway.sum("process_open_fds", &[]) > 3.0);
    client.expect("QUIT", 221);
}

#[test]
fn root_is_warned_of_and_refused_where_confinement_is_required() {
    if !is_root() {
        return;
    }
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "", "");
    let warning = "the gateway runs as root: write `user` in [process]";
    assert!(gateway.before().iter().any(|line| line.contains(warning)));
    let output = refused("[process]\nconfinement = \"require\"");
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(
        said(&output),
        "ftpwarden: [process] confinement is required, and the gateway would run as root: write \
         `user`, or start it as somebody else\n"
    );
}

#[test]
fn a_user_that_is_not_there_is_told() {
    let output = refused("[process]\nuser = \"no-such-user\"");
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(
        said(&output),
        "ftpwarden: [process] there is no user `no-such-user`\n"
    );
    let output = refused("[process]\ngroup = \"no-such-group\"");
    assert_eq!(
        said(&output),
        "ftpwarden: [process] there is no group `no-such-group`\n"
    );
}

/// Reloads with `listener` and `rest`, which must fail for want of a restart, and returns why.
fn reload_fails(gateway: &Gateway, text: &str) -> String {
    let good = fs::read_to_string(&gateway.file).unwrap();
    fs::write(&gateway.file, text).unwrap();
    gateway.signal("HUP");
    let line = gateway.line("not reloaded: the configuration in force stays");
    gateway.settles("ftpwarden_config_last_reload_successful", 0.0);
    // The gateway goes on, and what it has it can have again.
    Client::login(gateway.address).expect("QUIT", 221);
    fs::write(&gateway.file, good).unwrap();
    gateway.signal("HUP");
    gateway.line("the configuration was reloaded");
    line
}

#[test]
fn a_reload_that_needs_more_than_is_left_asks_for_a_restart() {
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "", "");
    let low = "passive_ports = \"777\"";
    let line = reload_fails(&gateway, &configuration(server, low, ""));
    let reason = "listening on port 777 was given up when the gateway started: restart it";
    assert!(line.contains(reason), "{line}");
    let elsewhere = tempfile::tempdir().unwrap();
    let elsewhere = elsewhere.path().canonicalize().unwrap();
    let audit = format!("[audit]\npath = {:?}", elsewhere.join("audit.jsonl"));
    let line = reload_fails(&gateway, &configuration(server, "", &audit));
    let place = elsewhere.display();
    let reason = format!("writing below {place} was given up when the gateway started: restart it");
    assert!(line.contains(&reason), "{line}");
    let tls = format!("tls = {{ certificate = \"{place}/cert.pem\", key = \"{place}/key.pem\" }}");
    let line = reload_fails(&gateway, &configuration(server, &tls, ""));
    let reason = format!("reading below {place} was given up when the gateway started: restart it");
    assert!(line.contains(&reason), "{line}");
    let user = "[process]\nconfinement = \"off\"";
    let line = reload_fails(&gateway, &configuration(server, "", user));
    assert!(
        line.contains("[process] has changed: restart the gateway"),
        "{line}"
    );
    let upstream = configuration((Ipv4Addr::LOCALHOST, 22).into(), "", "");
    let line = reload_fails(&gateway, &upstream);
    let reason = "dialling port 22 was given up when the gateway started: restart it";
    assert!(line.contains(reason), "{line}");
}

#[test]
fn a_reload_still_listens_on_a_port_that_needs_no_right() {
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "", "");
    let second = "[listeners.second]\nbind = \"127.0.0.1:0\"\nupstream = \"legacy\"";
    fs::write(&gateway.file, configuration(server, "", second)).unwrap();
    gateway.signal("HUP");
    gateway.line("the configuration was reloaded");
    // An address that no other test uses, so that nobody takes the port meanwhile.
    let bound = TcpListener::bind(("127.0.0.9", 0)).unwrap();
    let free = bound.local_addr().unwrap();
    drop(bound);
    let third = second.replace("127.0.0.1:0", &free.to_string());
    fs::write(&gateway.file, configuration(server, "", &third)).unwrap();
    gateway.signal("HUP");
    gateway.line("the configuration was reloaded");
    Client::login(free).expect("QUIT", 221);
}

#[test]
fn a_reload_does_not_ask_for_authorities_that_are_nowhere() {
    let (server, _) = server::start();
    let text = configuration(server, "", "");
    let environment = [
        ("SSL_CERT_DIR", "/nonexistent/authorities"),
        ("SSL_CERT_FILE", "/nonexistent/authorities.pem"),
    ];
    let gateway = Gateway::run_with(&text, &environment);
    gateway.signal("HUP");
    let line = gateway.line("reloaded");
    assert!(line.contains("the configuration was reloaded"), "{line}");
}

#[test]
fn a_privileged_port_that_is_not_held_asks_for_a_restart() {
    if !is_root() {
        return;
    }
    let (server, _) = server::start();
    // A port of its own, so that the rules have it and the kernel alone refuses it.
    let port = (700..1024)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .unwrap();
    let ports = format!("passive_ports = \"{port}\"");
    let gateway = Gateway::start(server, &ports, "");
    let text = configuration(server, &ports, "") + "[listeners.second]\nupstream = \"legacy\"\n";
    let text = format!("{text}bind = \"127.0.0.1:{port}\"\n");
    let line = reload_fails(&gateway, &text);
    assert!(
        line.contains(&format!("cannot listen on 127.0.0.1:{port}")),
        "{line}"
    );
    let reason = "the right to it was given up when the gateway started: restart it";
    assert!(line.contains(reason), "{line}");
}

/// A certificate and its key in `directory`, and the keys of the listener that name them.
pub(crate) fn certificate(directory: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (directory.join("cert.pem"), directory.join("key.pem"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    let (certificate, key) = (certificate.display(), key.display());
    format!("tls = {{ certificate = '{certificate}', key = '{key}', require = \"no\" }}")
}

#[test]
fn a_key_that_only_root_reads_asks_for_a_restart() {
    if !is_root() {
        return;
    }
    let (server, _) = server::start();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let tls = certificate(directory.path());
    let rest = "[process]\nuser = \"65533\"\ngroup = \"65532\"";
    let gateway = Gateway::start(server, &tls, rest);
    let key = directory.path().join("key.pem");
    let closed = "given up: without a restart it is not opened again";
    let told = |line: &String| line.contains(closed) && line.contains("key.pem");
    assert!(gateway.before().iter().any(told), "{:#?}", gateway.before());
    // The configuration is one that it could read.
    gateway.signal("HUP");
    let line = gateway.line("not reloaded");
    let reason = format!(
        "reading {} was given up when the gateway started: restart it",
        key.display()
    );
    assert!(line.contains(&reason), "{line}");
    Client::login(gateway.address).expect("QUIT", 221);
}

#[test]
fn the_audit_file_is_made_anew_when_it_was_rotated() {
    let (server, _) = server::start();
    let directory = tempfile::tempdir().unwrap();
    let audit = directory.path().join("audit.jsonl");
    let gateway = Gateway::start(server, "", &format!("[audit]\npath = {audit:?}"));
    fs::rename(&audit, directory.path().join("audit.jsonl.1")).unwrap();
    gateway.signal("USR1");
    let mut client = Client::login(gateway.address);
    let began = crate::gateway::now();
    while !fs::read_to_string(&audit).is_ok_and(|text| text.contains("\"login\"")) {
        client.expect("NOOP", 200);
        assert!(
            began.elapsed().as_secs() < 20,
            "nothing is written to the new file"
        );
    }
}
