//! What goes wrong around the gateway, one thing after the other, each drawn from the one seed.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, Signal, getrlimit, kill_process, prlimit};

use crate::dice::Dice;
use crate::killable::Process;
use crate::ledger::Ledger;
use crate::process::Gateway;
use crate::server::ALARM;

/// What goes wrong.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    /// A configuration that is wrong.
    BrokenReload,
    /// Nobody reads the audit.
    Deaf,
    /// The server is killed, and comes back.
    Kill,
    /// Other configurations, many times.
    Reload,
    /// The files are opened anew.
    Reopen,
    /// Descriptors are short.
    Scarcity,
    /// The server stands still.
    Stop,
}

impl Fault {
    /// All, the usual ones more often.
    pub(crate) const ALL: [Self; 10] = [
        Self::BrokenReload,
        Self::Deaf,
        Self::Kill,
        Self::Kill,
        Self::Reload,
        Self::Reload,
        Self::Reload,
        Self::Reopen,
        Self::Scarcity,
        Self::Stop,
    ];

    /// Its name.
    const fn name(self) -> &'static str {
        match self {
            Self::BrokenReload => "weather: broken reload",
            Self::Deaf => "weather: audit unread",
            Self::Kill => "weather: server killed",
            Self::Reload => "weather: reloads",
            Self::Reopen => "weather: files reopened",
            Self::Scarcity => "weather: descriptors short",
            Self::Stop => "weather: server stopped",
        }
    }
}

/// The names of all.
pub(crate) fn deeds() -> impl Iterator<Item = &'static str> {
    Fault::ALL.into_iter().map(Fault::name)
}

/// A server of the test's own, whose alarms are heard.
pub(crate) fn server(serve: &str, address: SocketAddr, ledger: &Arc<Ledger>) -> Process {
    let mut process = Process::start(serve, address);
    let said = process.take_said();
    let ledger = Arc::clone(ledger);
    thread::spawn(move || {
        for line in said.map_while(Result::ok) {
            if let Some(what) = line.strip_prefix(ALARM) {
                ledger.fault(format!("the server: {what}"));
            }
        }
    });
    process
}

/// The audit, which is a pipe.
pub(crate) struct Audit {
    /// How many events have come.
    pub(crate) events: AtomicU64,
    /// Whether nobody reads.
    deaf: Mutex<bool>,
    /// Told when that changes.
    heard: Condvar,
}

impl Audit {
    /// Reads from the pipe at `path`, which is made.
    pub(crate) fn open(path: &Path, ledger: &Arc<Ledger>) -> Arc<Self> {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
        // Who writes as well never meets its end.
        let pipe = fs::OpenOptions::new().read(true).write(true).open(path);
        let pipe = BufReader::new(pipe.unwrap());
        let audit = Arc::new(Self {
            events: AtomicU64::new(0),
            deaf: Mutex::new(false),
            heard: Condvar::new(),
        });
        let (own, ledger) = (Arc::clone(&audit), Arc::clone(ledger));
        thread::spawn(move || {
            for line in pipe.lines().map_while(Result::ok) {
                let deaf = own.deaf.lock().unwrap();
                drop(own.heard.wait_while(deaf, |deaf| *deaf).unwrap());
                let event: Result<serde_json::Value, _> = serde_json::from_str(&line);
                if event.is_err() {
                    ledger.fault(format!("no audit event: {line:?}"));
                }
                own.events.fetch_add(1, Ordering::SeqCst);
            }
        });
        audit
    }

    /// Reads, or does not.
    fn set_deaf(&self, deaf: bool) {
        *self.deaf.lock().unwrap() = deaf;
        self.heard.notify_all();
    }
}

/// All that goes wrong.
pub(crate) struct Weather {
    /// The gateway.
    pub(crate) gateway: Arc<Gateway>,
    /// A configuration for a variant: 0 is the usual one.
    pub(crate) configuration: Box<dyn Fn(usize) -> String + Send>,
    /// The server that things happen to.
    pub(crate) wild: Option<Process>,
    /// The test that it is.
    pub(crate) serve: &'static str,
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// The audit.
    pub(crate) audit: Arc<Audit>,
    /// What has happened.
    pub(crate) ledger: Arc<Ledger>,
    /// Choices.
    pub(crate) dice: Dice,
    /// What is still to happen once.
    pub(crate) deck: Vec<Fault>,
    /// When to stop.
    pub(crate) stop: Receiver<()>,
    /// Whether that was said.
    pub(crate) is_over: bool,
}

impl Weather {
    /// Goes on until it is told to stop; leaves everything as it was.
    pub(crate) fn run(mut self) -> Self {
        // Each once, if need be in haste; then any.
        while !self.is_over || !self.deck.is_empty() {
            let fault = if self.deck.is_empty() {
                self.dice.pick(&Fault::ALL)
            } else {
                let next = self.dice.below(self.deck.len());
                self.deck.swap_remove(next)
            };
            self.ledger.did(fault.name());
            match fault {
                Fault::BrokenReload => self.reload_badly(),
                Fault::Deaf => {
                    self.audit.set_deaf(true);
                    self.last_longer();
                    self.audit.set_deaf(false);
                }
                Fault::Kill => {
                    if let Some(server) = &mut self.wild {
                        server.kill();
                    }
                    self.wild = None;
                    self.last(1500);
                    self.wild = Some(server(self.serve, self.address, &self.ledger));
                }
                Fault::Reload => {
                    for _ in 0..=self.dice.below(20) {
                        let variant = self.dice.below(64);
                        self.reload(variant);
                    }
                }
                Fault::Reopen => self.signal(Signal::USR1),
                Fault::Scarcity => self.starve(),
                Fault::Stop => {
                    let pid = self.wild.as_ref().map(|server| pid(server.pid()));
                    if let Some(pid) = pid {
                        kill_process(pid, Signal::STOP).unwrap();
                        self.last_longer();
                        kill_process(pid, Signal::CONT).unwrap();
                    }
                }
            }
            self.last(700);
        }
        self.reload(0);
        self
    }

    /// Lasts for a time, or until the end.
    fn last(&mut self, most: usize) {
        let milliseconds = u64::try_from(self.dice.below(most)).unwrap();
        if !self.is_over {
            let told = self.stop.recv_timeout(Duration::from_millis(milliseconds));
            self.is_over = !matches!(told, Err(RecvTimeoutError::Timeout));
        }
    }

    /// Lasts for seconds, or now and then longer than anybody waits.
    fn last_longer(&mut self) {
        let is_long = self.deck.is_empty() && self.dice.chance(10);
        self.last(if is_long { 20_000 } else { 2000 });
    }

    /// Sends the gateway a signal.
    fn signal(&self, signal: Signal) {
        kill_process(pid(self.gateway.pid()), signal).unwrap();
    }

    /// Another configuration, all at once.
    fn reload(&self, variant: usize) {
        self.write(&(self.configuration)(variant));
        self.signal(Signal::HUP);
    }

    /// Writes the configuration, so that nobody reads half of it.
    fn write(&self, text: &str) {
        let next = self.gateway.file.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::rename(&next, &self.gateway.file).unwrap();
    }

    /// A configuration that must not come into force.
    fn reload_badly(&mut self) {
        let text = (self.configuration)(0);
        let end = self.dice.below(text.len());
        match self.dice.below(4) {
            0 => self.write(&format!("{}\n[[", &text[..end])),
            1 => self.write(&text.replace("policy =", "polcy =")),
            2 => self.write(&text.replace("localhost.pem", "nowhere.pem")),
            // It may be gone already.
            _ => drop(fs::remove_file(&self.gateway.file)),
        }
        self.signal(Signal::HUP);
        self.last(500);
        self.reload(0);
    }

    /// Leaves the gateway a few descriptors only.
    fn starve(&mut self) {
        let whole = getrlimit(Resource::Nofile).maximum;
        let held = u64::try_from(self.gateway.descriptors()).unwrap();
        let few = u64::try_from(self.dice.below(8)).unwrap();
        self.ledger.turn_scarcity();
        self.limit(Some(held + few), whole);
        self.last(1500);
        self.limit(whole, whole);
        // What began before may take a while to come to its end.
        self.last(300);
        self.ledger.turn_scarcity();
    }

    /// Limits the descriptors of the gateway.
    fn limit(&self, current: Option<u64>, maximum: Option<u64>) {
        let limit = Rlimit { current, maximum };
        prlimit(Some(pid(self.gateway.pid())), Resource::Nofile, limit).unwrap();
    }
}

/// A process.
fn pid(number: u32) -> Pid {
    Pid::from_raw(number.cast_signed()).unwrap()
}
