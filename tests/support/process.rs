//! The program as a process of the test's own.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long something may take that is to come soon.
const PATIENCE: Duration = Duration::from_secs(30);

/// The program.
const PROGRAM: &str = env!("CARGO_BIN_EXE_ftpwarden");

/// A running gateway; dropping it ends it.
pub(crate) struct Gateway {
    child: Mutex<Child>,
    pid: u32,
    /// What it writes to standard error, line by line.
    log: Mutex<Receiver<String>>,
    /// Where clients dial: the first of its listeners.
    pub(crate) address: SocketAddr,
    /// Where each listener is.
    pub(crate) listeners: BTreeMap<String, SocketAddr>,
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
        Self::run(&configuration(server, listener, rest))
    }

    /// Starts it with a configuration that has admin endpoints.
    pub(crate) fn run(text: &str) -> Self {
        Self::run_with(text, &[])
    }

    /// The same, with variables of its environment.
    pub(crate) fn run_with(text: &str, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.envs(environment.iter().copied());
        Self::configured(command, text)
    }

    /// The same, where it may have so many descriptors.
    pub(crate) fn run_with_descriptors(text: &str, limit: u32) -> Self {
        let mut command = Command::new("sh");
        let script = format!("ulimit -n {limit} && exec \"$0\" \"$@\"");
        command.args(["-c", &script, PROGRAM]);
        Self::configured(command, text)
    }

    /// Starts `command` with this configuration.
    fn configured(mut command: Command, text: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        // Whom the gateway may become reads its configuration as one of the others.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let file = directory.path().join("gateway.toml");
        fs::write(&file, text).unwrap();
        command.args(["run", "--config"]).arg(&file);
        Self::spawn(command, file, directory)
    }

    /// Starts it without a file, as `arguments` say, with admin endpoints.
    pub(crate) fn run_without_file(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("no-file");
        let mut command = Command::new(PROGRAM);
        let admin = ["--admin", "127.0.0.1:0"];
        command.arg("run").args(arguments).args(admin);
        Self::spawn(command, file, directory)
    }

    /// Starts `command` and waits until it is in service.
    fn spawn(mut command: Command, file: PathBuf, directory: tempfile::TempDir) -> Self {
        let mut child = command
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
        let mut listeners = BTreeMap::new();
        let admin = loop {
            let line = log.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|error| panic!("not in service ({error}): {before:#?}"));
            if line.contains(" listening listener=") {
                let name = field(&line, "listener=").to_owned();
                listeners.entry(name).or_insert_with(|| address_in(&line));
                before.push(line);
            } else if line.contains("listening for the admin endpoints") {
                break address_in(&line);
            } else {
                before.push(line);
            }
        };
        Self {
            pid: child.id(),
            child: Mutex::new(child),
            log: Mutex::new(log),
            address: *listeners.values().next().unwrap(),
            listeners,
            admin,
            before,
            stalled,
            file,
            _directory: directory,
        }
    }

    /// The next line of the log that has `part` in it.
    pub(crate) fn line(&self, part: &str) -> String {
        let log = self.log.lock().unwrap();
        let mut seen = Vec::new();
        loop {
            match log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(part) => return line,
                Ok(line) => seen.push(line),
                Err(error) => panic!("no line with {part:?} ({error}) in {seen:#?}"),
            }
        }
    }

    /// Shows every line of its log to `see`, until it ends.
    pub(crate) fn watch(&self, mut see: impl FnMut(&str)) {
        let log = self.log.lock().unwrap();
        while let Ok(line) = log.recv() {
            see(&line);
        }
    }

    /// Its number.
    pub(crate) fn pid(&self) -> u32 {
        self.pid
    }

    /// What it wrote until it was in service.
    pub(crate) fn before(&self) -> &[String] {
        &self.before
    }

    /// What the kernel says of each of its threads.
    pub(crate) fn statuses(&self) -> Vec<String> {
        fs::read_dir(format!("/proc/{}/task", self.pid))
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
        let pid = self.pid.to_string();
        assert!(
            Command::new("kill")
                .args(["-s", name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Waits for its end.
    pub(crate) fn wait(&self) -> ExitStatus {
        self.child.lock().unwrap().wait().unwrap()
    }

    /// Kills it, unless it is gone already.
    pub(crate) fn kill(&self) {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        // A child that is gone already is what is wanted.
        let _gone = child.kill();
        let _reaped = child.wait();
    }

    /// How many descriptors it has open.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid))
            .unwrap()
            .count()
    }

    /// How many threads it has.
    pub(crate) fn threads(&self) -> usize {
        fs::read_dir(format!("/proc/{}/task", self.pid))
            .unwrap()
            .count()
    }

    /// The body of an endpoint.
    pub(crate) fn get(&self, path: &str) -> String {
        self.try_get(path).unwrap()
    }

    /// The same, where it may not answer.
    pub(crate) fn try_get(&self, path: &str) -> io::Result<String> {
        let answer = self.answer(path)?;
        let (head, body) = answer
            .split_once("\r\n\r\n")
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        Ok(body.to_owned())
    }

    /// All that an endpoint answers.
    pub(crate) fn answer(&self, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.admin)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let host = self.admin;
        write!(
            stream,
            "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// All samples of the metric `name` with its labels, and their values.
    pub(crate) fn samples(&self, name: &str) -> Vec<(String, f64)> {
        samples_in(&self.get("/metrics"), name)
    }

    /// The sum over the samples of `name` whose labels have all of `parts`.
    pub(crate) fn sum(&self, name: &str, parts: &[&str]) -> f64 {
        sum_in(&self.get("/metrics"), name, parts)
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
        self.kill();
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

/// [`Gateway::samples`] of what `/metrics` said.
fn samples_in(text: &str, name: &str) -> Vec<(String, f64)> {
    let prefix = format!("{name}{{");
    text.lines()
        .filter(|line| line.starts_with(&prefix) || line.starts_with(&format!("{name} ")))
        .map(|line| {
            let (labels, value) = line.rsplit_once(' ').unwrap();
            (labels.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// [`Gateway::sum`] of what `/metrics` said.
pub(crate) fn sum_in(text: &str, name: &str, parts: &[&str]) -> f64 {
    samples_in(text, name)
        .iter()
        .filter(|(labels, _)| parts.iter().all(|part| labels.contains(part)))
        .map(|(_, value)| value)
        .sum()
}

/// A configuration in front of `server`.
pub(crate) fn configuration(server: SocketAddr, listener: &str, rest: &str) -> String {
    format!(
        "[listeners.main]\nbind = \"127.0.0.1:0\"\nupstream = \"legacy\"\n{listener}\n\
         [upstreams.legacy]\naddress = \"{server}\"\n\
         [admin]\nbind = \"127.0.0.1:0\"\n{rest}\n"
    )
}

/// What stands behind `key` in a log line.
fn field<'a>(line: &'a str, key: &str) -> &'a str {
    let rest = line.split(key).nth(1).unwrap();
    rest.split_whitespace().next().unwrap()
}

/// The address in a log line.
fn address_in(line: &str) -> SocketAddr {
    field(line, "address=").parse().unwrap()
}
