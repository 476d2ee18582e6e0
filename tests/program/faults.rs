//! What goes wrong around the gateway, and what its sessions see of it: servers that are killed,
//! disks that are full, files that vanish, signals in a burst.

use std::fs;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::client::Client;
use crate::gateway::{Gateway, configuration, now};
use crate::killable::{self, Process};
use crate::server;

/// The test that is the server of a process.
const SERVE: &str = "faults::serve";

/// More bytes than are ever sent.
const ENDLESS: &str = "RETR 1000000000000";

/// Any port of loopback.
fn anywhere() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

#[test]
#[ignore = "is a server for other tests"]
fn serve() {
    let (address, _heard) = server::start_at(killable::address());
    println!("serving={address}");
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Reads until `bytes` came.
fn read_some(data: &mut TcpStream, bytes: usize) {
    data.read_exact(&mut vec![0; bytes]).unwrap();
}

/// That a connection ends with a reset, whatever comes before.
#[track_caller]
fn is_reset(data: &mut TcpStream) {
    let error = data.read_to_end(&mut Vec::new()).err();
    assert_eq!(
        error.map(|error| error.kind()),
        Some(ErrorKind::ConnectionReset)
    );
}

/// Writes until the connection is broken, which it must be in a while.
fn write_until_broken(data: &mut TcpStream) {
    let began = now();
    while data.write_all(&vec![7; 65_536]).is_ok() {
        assert!(
            began.elapsed().as_secs() < 20,
            "nothing breaks the upload off"
        );
    }
}

/// That the next reply says that it was no success.
fn told_of_failure(client: &mut Client) {
    let reply = client.reply();
    assert!(reply.starts_with('4'), "{reply:?}");
}

#[test]
fn a_server_that_is_killed_in_a_download_leaves_no_complete_file() {
    let mut server = Process::start(SERVE, anywhere());
    let gateway = Gateway::start(server.address, "", "");
    let mut client = Client::login(gateway.address);
    let mut data = client.data();
    client.expect(ENDLESS, 150);
    read_some(&mut data, 1_000_000);
    server.kill();
    is_reset(&mut data);
    told_of_failure(&mut client);
    gateway.settles("ftpwarden_sessions", 0.0);
    let failed = ["direction=\"download\"", "result=\"failed\""];
    assert!((gateway.sum("ftpwarden_transfers_total", &failed) - 1.0).abs() < 0.5);
}

#[test]
fn a_server_that_is_killed_in_an_upload_has_no_success_told() {
    let mut server = Process::start(SERVE, anywhere());
    let gateway = Gateway::start(server.address, "", "");
    let mut client = Client::login(gateway.address);
    let mut data = client.data();
    client.expect("STOR up", 150);
    data.write_all(&vec![7; 1_000_000]).unwrap();
    server.kill();
    write_until_broken(&mut data);
    told_of_failure(&mut client);
    gateway.settles("ftpwarden_sessions", 0.0);
    let failed = ["direction=\"upload\"", "result=\"failed\""];
    assert!((gateway.sum("ftpwarden_transfers_total", &failed) - 1.0).abs() < 0.5);
}

#[test]
fn a_server_that_restarts_in_an_upload_is_served_again() {
    let mut server = Process::start(SERVE, anywhere());
    let address = server.address;
    let gateway = Gateway::start(address, "", "");
    let mut client = Client::login(gateway.address);
    let mut data = client.data();
    client.expect("STOR up", 150);
    data.write_all(&vec![7; 1_000_000]).unwrap();
    server.kill();
    // Nobody is there: a new client is told so at once.
    let mut early = TcpStream::connect(gateway.address).unwrap();
    let mut reply = String::new();
    early.read_to_string(&mut reply).unwrap();
    assert!(reply.starts_with("421 "), "{reply:?}");
    let _again = Process::start(SERVE, address);
    // What began before is not carried over.
    write_until_broken(&mut data);
    told_of_failure(&mut client);
    let mut next = Client::login(gateway.address);
    next.upload("STOR up", &vec![7; 1_000_000]);
    assert_eq!(next.download("RETR 70000").len(), 70_000);
    next.expect("QUIT", 221);
    assert!((gateway.sum("ftpwarden_upstream_up", &[]) - 1.0).abs() < 0.5);
}

#[test]
fn a_hundred_reloads_in_a_burst_leave_sessions_and_transfers_alone() {
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "", "");
    let mut client = Client::login(gateway.address);
    // The pipe of a transfer is kept for the next one.
    client.upload("STOR first", &vec![7; 100_000]);
    let descriptors = gateway.descriptors();
    let mut busy = Client::login(gateway.address);
    let mut data = busy.data();
    busy.expect("STOR up", 150);
    data.write_all(&vec![7; 100_000]).unwrap();
    for _ in 0..100 {
        gateway.signal("HUP");
        client.expect("NOOP", 200);
    }
    let frozen = configuration(server, "policy = \"read-only\"", "");
    fs::write(&gateway.file, frozen).unwrap();
    gateway.signal("HUP");
    // The last one counts, however many the kernel has put together.
    let began = now();
    while {
        client.send("DELE x");
        !client.reply().starts_with("502")
    } {
        assert!(began.elapsed().as_secs() < 20, "the last reload was lost");
    }
    drop(data);
    assert!(busy.reply().starts_with("226"));
    busy.expect("QUIT", 221);
    drop(busy);
    client.expect("NOOP", 200);
    gateway.settles("ftpwarden_sessions", 1.0);
    // Those of the endpoints' own connections are closed a moment later.
    let began = now();
    while gateway.descriptors() > descriptors {
        assert!(began.elapsed().as_secs() < 20, "descriptors are left");
    }
    gateway.settles("ftpwarden_config_last_reload_successful", 1.0);
}

#[test]
fn a_stop_under_load_lets_every_transfer_finish() {
    const CLIENTS: usize = 20;
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "", "");
    let mut idle = Client::login(gateway.address);
    let mut busy: Vec<(Client, TcpStream)> = (0..CLIENTS)
        .map(|_| {
            let mut client = Client::login(gateway.address);
            let mut data = client.data();
            client.expect("STOR up", 150);
            data.write_all(&vec![7; 100_000]).unwrap();
            (client, data)
        })
        .collect();
    gateway.signal("TERM");
    assert!(idle.reply().starts_with("421 "));
    idle.closed();
    // More of what was asked for already changes nothing.
    gateway.signal("HUP");
    gateway.line("not reloaded: the gateway is draining");
    assert!(
        TcpStream::connect(gateway.address).is_err(),
        "somebody new is let in"
    );
    for (_, data) in &mut busy {
        data.write_all(&vec![7; 100_000]).unwrap();
    }
    for (mut client, data) in busy {
        drop(data);
        let done = client.reply();
        assert!(done.starts_with("226"), "{done:?}");
        let goodbye = client.reply();
        assert!(goodbye.starts_with("421"), "{goodbye:?}");
        client.closed();
    }
    assert!(gateway.wait().success());
}

#[test]
fn a_configuration_that_vanishes_leaves_the_one_in_force() {
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "policy = \"read-only\"", "");
    let mut client = Client::login(gateway.address);
    let kept = fs::read(&gateway.file).unwrap();
    fs::remove_file(&gateway.file).unwrap();
    gateway.signal("HUP");
    let line = gateway.line("not reloaded: the configuration in force stays");
    assert!(
        line.contains("cannot read") && line.contains("gateway.toml"),
        "{line}"
    );
    client.expect("DELE x", 502);
    gateway.settles("ftpwarden_config_last_reload_successful", 0.0);
    // Half of it, as while it is copied.
    fs::write(&gateway.file, &kept[..kept.len() / 2]).unwrap();
    gateway.signal("HUP");
    gateway.line("not reloaded: the configuration in force stays");
    client.expect("DELE x", 502);
    fs::write(&gateway.file, kept).unwrap();
    gateway.signal("HUP");
    gateway.line("the configuration was reloaded");
    gateway.settles("ftpwarden_config_last_reload_successful", 1.0);
    client.expect("DELE x", 502);
}

#[test]
fn a_certificate_that_vanishes_leaves_the_one_in_force() {
    let (server, _) = server::start();
    let directory = tempfile::tempdir().unwrap();
    let tls = crate::confinement::certificate(directory.path());
    let gateway = Gateway::start(server, &tls, "");
    let (here, away) = (
        directory.path().join("cert.pem"),
        directory.path().join("away"),
    );
    fs::rename(&here, &away).unwrap();
    gateway.signal("HUP");
    let line = gateway.line("not reloaded: the configuration in force stays");
    assert!(line.contains("cert.pem"), "{line}");
    let mut client = Client::dial(gateway.address);
    client.expect("AUTH TLS", 234);
    fs::rename(&away, &here).unwrap();
    gateway.signal("HUP");
    gateway.line("the configuration was reloaded");
}

/// Sessions that say a lot to the log and the audit.
fn talk(gateway: &Gateway, sessions: usize) {
    for _ in 0..sessions {
        let mut client = Client::login(gateway.address);
        for _ in 0..50 {
            client.send("NOOP");
            client.send("SITE x");
        }
        for _ in 0..100 {
            client.reply();
        }
        assert_eq!(client.download("RETR 3000").len(), 3000);
        client.expect("QUIT", 221);
    }
}

#[test]
fn a_full_disk_costs_audit_events_and_no_session() {
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "", "[audit]\npath = \"/dev/full\"");
    talk(&gateway, 3);
    let line = gateway.line("the audit file");
    assert!(
        line.contains("ERROR") && line.contains("/dev/full"),
        "{line}"
    );
    // As many as there were: each is counted.
    gateway.settles("ftpwarden_sessions", 0.0);
    let began = now();
    while gateway.sum("ftpwarden_audit_events_dropped_total", &[]) < 300.0 {
        assert!(
            began.elapsed().as_secs() < 20,
            "lost events are not counted"
        );
    }
}

#[test]
fn a_full_disk_refuses_commands_where_that_is_wanted() {
    let (server, heard) = server::start();
    let rest = "[audit]\npath = \"/dev/full\"\nwhen_full = \"refuse\"";
    let gateway = Gateway::start(server, "", rest);
    let mut client = Client::dial(gateway.address);
    let began = now();
    while {
        client.send("SYST");
        !client.reply().starts_with("421")
    } {
        assert!(began.elapsed().as_secs() < 20, "nothing is refused");
    }
    // Who watches the gateway is told, and so is who reads the log.
    assert_eq!(
        gateway.sum("ftpwarden_audit_refusing", &[]).to_bits(),
        1.0_f64.to_bits()
    );
    let readiness = gateway.answer("/readyz").unwrap();
    assert!(readiness.starts_with("HTTP/1.1 503"), "{readiness}");
    assert!(
        readiness.contains("the audit cannot be written and refuses commands"),
        "{readiness}"
    );
    gateway.line("reason=audit");
    let before = heard.lines().len();
    let reply = Client::refused(gateway.address, "SYST");
    assert!(reply.starts_with("421"), "{reply:?}");
    assert_eq!(heard.lines().len(), before, "a command went on unrecorded");
    // What was carried out and is not recorded is told at the end.
    drop(client);
    gateway.settles("ftpwarden_sessions", 0.0);
    gateway.signal("TERM");
    let line = gateway.line("the audit lacks events");
    assert!(line.contains("ERROR") && line.contains("events="), "{line}");
    assert!(!line.contains("events=0"), "{line}");
    assert_eq!(gateway.wait().code(), Some(1));
}

/// A named pipe in `directory`.
fn pipe(directory: &Path) -> PathBuf {
    let pipe = directory.join("audit.pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    pipe
}

#[test]
fn an_audit_pipe_without_a_reader_is_refused_and_not_waited_for() {
    let (server, _) = server::start();
    let directory = tempfile::tempdir().unwrap();
    let pipe = pipe(directory.path());
    let rest = format!(
        "[process]\nconfinement = \"off\"\n[audit]\npath = '{}'",
        pipe.display()
    );
    let file = directory.path().join("gateway.toml");
    fs::write(&file, configuration(server, "", &rest)).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_ftpwarden"))
        .args(["run", "--config"])
        .arg(&file)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let began = now();
    let mut ended = None;
    while ended.is_none() && began.elapsed().as_secs() < 20 {
        ended = program.try_wait().unwrap();
    }
    program.kill().unwrap();
    let output = program.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(ended.and_then(|ended| ended.code()), Some(1), "{said}");
    assert!(
        said.contains("audit.pipe: nobody reads this pipe"),
        "{said}"
    );
    // A reload is not held up either, and with it all that the gateway does beside its sessions.
    let gateway = Gateway::start(server, "", "[process]\nconfinement = \"off\"");
    fs::write(&gateway.file, configuration(server, "", &rest)).unwrap();
    gateway.signal("HUP");
    let line = gateway.line("not reloaded: the configuration in force stays");
    assert!(line.contains("[audit] cannot write to `path`"), "{line}");
    Client::login(gateway.address).expect("QUIT", 221);
}

#[test]
fn an_audit_pipe_that_stands_still_holds_up_nothing() {
    let (server, _) = server::start();
    let directory = tempfile::tempdir().unwrap();
    let pipe = pipe(directory.path());
    let audit = format!("[audit]\npath = {:?}", pipe.display().to_string());
    // One who opens it and reads nothing.
    let reader = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&pipe)
        .unwrap();
    let gateway = Gateway::start(server, "", &audit);
    talk(&gateway, 20);
    gateway.settles("ftpwarden_sessions", 0.0);
    let began = now();
    gateway.signal("TERM");
    // They may be dropped, but not in silence.
    let line = gateway.line("the audit lacks events");
    assert!(line.contains("ERROR"), "{line}");
    assert!(gateway.wait().success());
    assert!(began.elapsed().as_secs() < 15, "the end waits for the pipe");
    drop(reader);
}

#[test]
fn a_log_that_nobody_reads_holds_up_nothing() {
    let (server, _) = server::start();
    let gateway = Gateway::start(server, "", "[log]\nlevel = \"trace\"");
    gateway.stall_log();
    // More than a pipe holds: every refusal is a line.
    talk(&gateway, 30);
    gateway.settles("ftpwarden_sessions", 0.0);
}
