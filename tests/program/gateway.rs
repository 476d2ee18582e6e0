//! The program as a process of the test's own.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

/// How long something may take that is to come soon.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running gateway; dropping it ends it.
pub(crate) struct Gateway {
    child: Child,
    /// What it writes to standard error, line by line.
    log: Receiver<String>,
    /// Where clients dial.
    pub(crate) address: SocketAddr,
    /// Where the endpoints are.
    pub(crate) admin: SocketAddr,
    /// What it wrote until it was in service.
    before: Vec<String>,
    /// Whether nobody reads what it writes.
    stalled: Arc<AtomicBool>,
    /// Its configuration file.
    pub(crate) file: PathBuf,
    _directory: tempfile::TempDir,
}

impl Gateway {
    /// Starts it in front of `server`, with further lines of its listener and further tables.
    pub(crate) fn start(server: SocketAddr, listener: &str, rest: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Whom the gateway may become reads its configuration as one of the others.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let file = directory.path().join("gateway.toml");
        fs::write(&file, configuration(server, listener, rest)).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_ftpwarden"))
            .args(["run", "--config"])
            .arg(&file)
            .env("NO_COLOR", "1")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let (sender, log) = channel();
        let stalled = Arc::new(AtomicBool::new(false));
        let stalls = Arc::clone(&stalled);
        thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
                while stalls.load(Ordering::Acquire) {
                    thread::park();
                }
            }
        });
        let mut before = Vec::new();
        let address = loop {
            let line = log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("not in service ({error}): {before:#?}"));
            if line.contains(" listening listener=main") {
                break address_in(&line);
            }
            before.push(line);
        };
        let admin = address_in(&expect_line(&log, "listening for the admin endpoints"));
        Self {
            child,
            log,
            address,
            admin,
            before,
            stalled,
            file,
            _directory: directory,
        }
    }

    /// The next line of the log that has `part` in it.
    pub(crate) fn line(&self, part: &str) -> String {
        expect_line(&self.log, part)
    }

    /// What it wrote until it was in service.
    pub(crate) fn before(&self) -> &[String] {
        &self.before
    }

    /// What the kernel says of each of its threads.
    pub(crate) fn statuses(&self) -> Vec<String> {
        fs::read_dir(format!("/proc/{}/task", self.child.id()))
            .unwrap()
            // A thread that has ended is no thread.
            .filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok())
            .collect()
    }

    /// Reads what it writes no more, without closing the pipe.
    pub(crate) fn stall_log(&self) {
        self.stalled.store(true, Ordering::Release);
    }

    /// Sends a signal by name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.child.id()))
            .unwrap()
            .count()
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.child.id()))
            .unwrap()
            .count()
    }

    /// The body of an endpoint.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.admin).unwrap();
        let host = self.admin;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        body.to_owned()
    }

    /// All samples of the metric `name` with its labels, and their values.
    pub(crate) fn samples(&self, name: &str) -> Vec<(String, f64)> {
        let prefix = format!("{name}{{");
        let text = self.get("/metrics");
        text.lines()
            .filter(|line| line.starts_with(&prefix) || line.starts_with(&format!("{name} ")))
            .map(|line| {
                let (labels, value) = line.rsplit_once(' ').unwrap();
                (labels.to_owned(), value.parse().unwrap())
            })
            .collect()
    }

    /// The sum over the samples of `name` whose labels have all of `parts`.
    pub(crate) fn sum(&self, name: &str, parts: &[&str]) -> f64 {
        self.samples(name)
            .iter()
            .filter(|(labels, _)| parts.iter().all(|part| labels.contains(part)))
            .map(|(_, value)| value)
            .sum()
    }

    /// Waits until the gauge `name` is `value`: what a client sees last is not the end of what
    /// the gateway does.
    pub(crate) fn settles(&self, name: &str, value: f64) {
        let began = now();
        while (self.sum(name, &[]) - value).abs() > f64::EPSILON {
            assert!(
                began.elapsed() < PATIENCE,
                "{name} is not {value}: {:?}",
                self.samples(name)
            );
            thread::yield_now();
        }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // A child that is gone already is what is wanted.
        let _gone = self.child.kill();
        let _reaped = self.child.wait();
    }
}

/// The clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a test that must not hang reads the clock"
)]
pub(crate) fn now() -> std::time::Instant {
    std::time::Instant::now()
}

/// A configuration in front of `server`.
pub(crate) fn configuration(server: SocketAddr, listener: &str, rest: &str) -> String {
    format!(
        "[listeners.main]\nbind = \"127.0.0.1:0\"\nupstream = \"legacy\"\n{listener}\n\
         [upstreams.legacy]\naddress = \"{server}\"\n\
         [admin]\nbind = \"127.0.0.1:0\"\n{rest}\n"
    )
}

/// The next line that has `part` in it.
fn expect_line(log: &Receiver<String>, part: &str) -> String {
    let mut seen = Vec::new();
    loop {
        match log.recv_timeout(PATIENCE) {
            Ok(line) if line.contains(part) => return line,
            Ok(line) => seen.push(line),
            Err(error) => panic!("no line with {part:?} ({error}) in {seen:#?}"),
        }
    }
}

/// The value of `address=` in a log line.
fn address_in(line: &str) -> SocketAddr {
    let rest = line.split("address=").nth(1).unwrap();
    rest.split_whitespace().next().unwrap().parse().unwrap()
}
