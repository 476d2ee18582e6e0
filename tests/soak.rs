//! Mixed load at full speed with faults, then nothing may be left behind.
//!
//! `cargo test --test soak` takes some seconds. `SOAK_SECONDS=1800 cargo test --release --test soak
//! -- --nocapture` is the long run, `SOAK_SEED=n` repeats the choices of a run and `SOAK_CLIENTS=n`
//! changes how many clients there are. A third of the clients goes where nothing is wrong: each of its
//! sessions must be exactly right, and what it reads is what `/metrics` must have counted. The
//! others do wrong themselves, and so does their server. A first part warms up; what the process
//! holds behind it is compared with what it holds at the end.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test panics when it fails"
)]

#[expect(dead_code, reason = "each suite uses a part of it")]
#[path = "support/authority.rs"]
mod authority;
#[path = "soak/client.rs"]
mod client;
#[path = "soak/content.rs"]
mod content;
#[expect(dead_code, reason = "each suite uses a part of it")]
#[path = "simulation/dice.rs"]
mod dice;
#[path = "support/environment.rs"]
mod environment;
#[path = "soak/footprint.rs"]
mod footprint;
#[path = "support/killable.rs"]
mod killable;
#[path = "soak/ledger.rs"]
mod ledger;
#[path = "soak/load.rs"]
mod load;
#[expect(dead_code, reason = "each suite uses a part of it")]
#[path = "support/process.rs"]
mod process;
#[path = "soak/server.rs"]
mod server;
#[path = "soak/weather.rs"]
mod weather;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use authority::Authority;
use dice::Dice;
use environment::number;
use footprint::{Footprint, Table};
use killable::Process;
use ledger::Ledger;
use load::{Place, Scene, Tls};
use process::{Gateway, now};
use tokio_util::sync::CancellationToken;
use weather::{Audit, Fault, Weather};

/// How long it takes unless that is said.
const SECONDS: u64 = 12;

/// How many clients there are unless that is said.
const CLIENTS: u64 = 36;

/// Descriptors of pipes that are kept for transfers to come: 32, with two ends each.
const KEPT_PIPES: usize = 64;

/// Threads that render metrics are kept for seconds: two, where somebody else asks as well.
const KEPT_THREADS: usize = 1;

/// KiB that the process may grow, beside a tenth: by what it held at least in the first third of the
/// time and in the last. What it holds at one moment goes up and down with what the allocator keeps.
const GROWTH_KIB: u64 = 6 << 10;

/// How long what has ended may take to be gone.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the log may say as an error: a reload that cannot be, and an audit that nobody reads.
const EXPECTED_ERRORS: [&str; 4] = [
    "not reloaded: the configuration in force stays",
    "gateway.toml",
    "the audit file",
    "an admin endpoint failed",
];

#[test]
#[ignore = "is a server for the soak"]
fn serve_calmly() {
    server::serve(killable::address(), false);
}

#[test]
#[ignore = "is a server for the soak"]
fn serve_wildly() {
    server::serve(killable::address(), true);
}

/// A port that nobody has, below those that the kernel gives: it stays free while nobody has it.
fn free_port(dice: &mut Dice) -> SocketAddr {
    loop {
        let port = u16::try_from(10_000 + dice.below(20_000)).unwrap();
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}

/// What configurations are made of.
struct Plan {
    calm: SocketAddr,
    wild: SocketAddr,
    extra: SocketAddr,
    audit: String,
    tls: String,
    tls_optional: String,
    implicit: String,
    passive: u16,
}

impl Plan {
    /// The configuration of a variant. What they differ in changes nothing that is counted on: but
    /// for MKD, and a listener that comes and goes.
    fn configuration(&self, variant: usize) -> String {
        let bit = |which: usize| variant >> which & 1;
        let Self {
            calm,
            wild,
            extra,
            audit,
            tls,
            tls_optional,
            implicit,
            passive,
        } = self;
        let last = passive + 999;
        let bandwidth = [16, 48][bit(0)];
        let (pipelined, idle, keepalive) = ([32, 8][bit(1)], [8, 9][bit(1)], [60, 30][bit(1)]);
        let observe = ["", "observe = \"read-only\""][bit(2)];
        let level = ["info", "debug"][bit(3)];
        let made = ["\"MKD\"", "\"SYST\""][bit(4)];
        let extra = if bit(5) == 1 {
            format!(
                "[listeners.extra]\nbind = \"{extra}\"\nupstream = \"wild\"\npolicy = \"soak\"\n"
            )
        } else {
            String::new()
        };
        format!(
            r#"
[listeners.calm]
bind = "127.0.0.1:0"
upstream = "calm"
policy = "soak"
{observe}
passive_ports = "{passive}-{last}"
[listeners.calm-tls]
bind = "127.0.0.1:0"
upstream = "calm"
policy = "soak"
{tls}
[listeners.capped]
bind = "127.0.0.1:0"
upstream = "calm"
policy = "soak"
bandwidth = "{bandwidth}MiB/s"
user_bandwidth = {{ "calm-1*" = "4MiB/s" }}
[listeners.implicit]
bind = "127.0.0.1:0"
upstream = "active"
policy = "soak"
{implicit}
[listeners.wild]
bind = "127.0.0.1:0"
upstream = "wild"
policy = "soak"
{observe}
[listeners.wild-tls]
bind = "127.0.0.1:0"
upstream = "wild"
policy = "soak"
{tls_optional}
{extra}
[upstreams.calm]
address = "{calm}"
[upstreams.active]
address = "{calm}"
data_mode = "active"
[upstreams.wild]
address = "{wild}"
[admin]
bind = "127.0.0.1:0"
[log]
level = "{level}"
[audit]
path = "{audit}"
[limits]
failed_logins = 20
failed_logins_window = "1m"
failed_login_delay = "20ms"
ban_time = "2s"
greeting_timeout = "8s"
login_timeout = "15s"
command_timeout = "8s"
reply_timeout = "8s"
tls_handshake_timeout = "8s"
idle_timeout = "{idle}s"
data_connect_timeout = "8s"
transfer_idle_timeout = "8s"
pipelined_commands = {pipelined}
violations = 1000
keepalive = "{keepalive}s"
[policies.soak]
allow = ["@session", "LIST", {made}]
rules = [
  {{ name = "secret", commands = ["@navigate", "@list", "RETR", "STOR"], paths = "/secret/**", action = "deny", reply = "550 Not for you." }},
  {{ name = "in", commands = "STOR", paths = "/in/{{user}}/**", action = "allow" }},
  {{ name = "out", commands = ["RETR", "SIZE"], paths = "/out/**", action = "allow" }},
  {{ name = "own", commands = "@delete", users = ["*-*"], filename = "ok.*", action = "allow" }},
  {{ name = "mode", commands = "SITE CHMOD", argument = '0?644 .+', action = "allow" }},
]
"#
        )
    }
}

/// Listeners behind which nothing goes wrong.
const CALM: [&str; 4] = ["calm", "calm-tls", "capped", "implicit"];

/// A gateway under load.
struct Soak {
    gateway: Arc<Gateway>,
    ledger: Arc<Ledger>,
    audit: Arc<Audit>,
    places: Vec<Place>,
    authority: Authority,
    weather: Option<Weather>,
    dice: Dice,
    clients: u64,
    /// Wild sessions so far: the first ones go through all that can be wrong.
    dealt: Arc<AtomicUsize>,
    began: Instant,
    /// RSS and PSS in KiB, as they were seen since the process was warm.
    held: Vec<[u64; 2]>,
    _calm: Process,
    _folder: tempfile::TempDir,
}

impl Soak {
    /// Starts everything; nothing happens yet.
    fn start(seed: u64) -> Self {
        let mut dice = Dice::of_seed(seed);
        let ledger = Arc::new(Ledger::default());
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new();
        let pipe = folder.path().join("audit.pipe");
        let audit = Audit::open(&pipe, &ledger);
        let calm = weather::server("serve_calmly", free_port(&mut dice), &ledger);
        let wild = weather::server("serve_wildly", free_port(&mut dice), &ledger);
        let plan = Plan {
            calm: calm.address,
            wild: wild.address,
            extra: free_port(&mut dice),
            audit: pipe.display().to_string(),
            tls: authority.listener(""),
            tls_optional: authority.listener("require = \"no\""),
            implicit: authority.listener("mode = \"implicit\""),
            passive: free_port(&mut dice).port(),
        };
        let gateway = Arc::new(Gateway::run(&plan.configuration(0)));
        read_log(&gateway, &ledger);
        let place = |name, tls, is_calm| Place {
            name,
            address: gateway.listeners[name],
            tls,
            is_calm,
            is_fickle: false,
        };
        let extra = Place {
            name: "extra",
            address: plan.extra,
            tls: Tls::Never,
            is_calm: false,
            is_fickle: true,
        };
        let places = vec![
            place("calm", Tls::Never, true),
            place("calm-tls", Tls::Explicit, true),
            place("capped", Tls::Never, true),
            place("implicit", Tls::Implicit, true),
            place("wild", Tls::Never, false),
            place("wild-tls", Tls::Explicit, false),
            extra,
        ];
        let (address, weather_dice) = (wild.address, Dice::of_seed(seed ^ 1));
        let weather = Weather {
            gateway: Arc::clone(&gateway),
            configuration: Box::new(move |variant| plan.configuration(variant)),
            wild: Some(wild),
            serve: "serve_wildly",
            address,
            audit: Arc::clone(&audit),
            ledger: Arc::clone(&ledger),
            dice: weather_dice,
            deck: Fault::ALL.to_vec(),
            stop: channel().1,
            is_over: false,
        };
        Self {
            gateway,
            ledger,
            audit,
            places,
            authority,
            weather: Some(weather),
            dice,
            clients: number("SOAK_CLIENTS").unwrap_or(CLIENTS),
            dealt: Arc::default(),
            began: now(),
            held: Vec::new(),
            _calm: calm,
            _folder: folder,
        }
    }

    /// Load and weather for a time, then neither.
    fn load(&mut self, time: Duration) {
        let version = |version| self.authority.client(&[version]);
        let scene = Arc::new(Scene {
            places: self.places.clone(),
            secrets: [
                version(&rustls::version::TLS12),
                version(&rustls::version::TLS13),
            ],
            ledger: Arc::clone(&self.ledger),
            stop: CancellationToken::new(),
            dealt: Arc::clone(&self.dealt),
        });
        let (calm_down, stop) = channel();
        let mut weather = self.weather.take().unwrap();
        weather.stop = stop;
        weather.is_over = false;
        let weather = thread::spawn(move || weather.run());
        let (done, ending) = channel();
        let scraper = self.scrape(ending);
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let clients: Vec<_> = (0..self.clients)
            .map(|number| {
                let seed = u64::try_from(self.dice.below(1 << 60)).unwrap();
                let client = load::client(Arc::clone(&scene), number, Dice::of_seed(seed));
                runtime.spawn(client)
            })
            .collect();
        self.watch(time);
        // The weather first: what it has left must be good before anybody looks.
        calm_down.send(()).unwrap();
        self.weather = Some(weather.join().unwrap());
        scene.stop.cancel();
        for client in clients {
            runtime.block_on(client).unwrap();
        }
        runtime.shutdown_background();
        done.send(()).unwrap();
        scraper.join().unwrap();
    }

    /// Says every now and then how things stand, for a time or until something is wrong.
    fn watch(&mut self, time: Duration) {
        let every = if time > Duration::from_mins(2) { 60 } else { 5 };
        let (_nobody, pause) = channel::<()>();
        let began = now();
        let mut beats = 0_u64;
        while began.elapsed() < time && !self.ledger.is_broken.load(Ordering::Relaxed) {
            let rest = time.saturating_sub(began.elapsed());
            pause.recv_timeout(rest.min(Duration::from_secs(1))).ok();
            beats += 1;
            if beats.is_multiple_of(every) {
                self.say();
            }
        }
    }

    /// Says how things stand.
    fn say(&mut self) {
        let (sessions, transfers, bytes) = self.ledger.totals();
        let held = Footprint::of(self.gateway.pid());
        println!(
            "{:>6} s  sessions {sessions:>8}  transfers {transfers:>8}  MiB {:>8}  RSS {:>7} KiB  \
             PSS {:>7} KiB  descriptors {:>4}  threads {:>3}",
            self.began.elapsed().as_secs(),
            bytes >> 20,
            held.rss,
            held.pss,
            held.descriptors(),
            held.threads
        );
        self.held.push([held.rss, held.pss]);
    }

    /// Finds fault with a process that has grown since it was `warm`.
    fn expect_no_growth(&mut self, warm: &Footprint, end: &Footprint) {
        self.held.insert(0, [warm.rss, warm.pss]);
        self.held.push([end.rss, end.pss]);
        let third = self.held.len().div_ceil(3);
        let (early, late) = (&self.held[..third], &self.held[self.held.len() - third..]);
        for (index, what) in ["RSS", "PSS"].into_iter().enumerate() {
            let least = |seen: &[[u64; 2]]| seen.iter().map(|held| held[index]).min().unwrap();
            let (before, after) = (least(early), least(late));
            if after > before + before / 10 + GROWTH_KIB {
                self.ledger
                    .fault(format!("{what} grew from {before} to {after} KiB"));
            }
        }
    }

    /// Asks the endpoints once a second until it is told to end.
    fn scrape(&self, end: Receiver<()>) -> JoinHandle<()> {
        let (gateway, ledger) = (Arc::clone(&self.gateway), Arc::clone(&self.ledger));
        thread::spawn(move || {
            while end.recv_timeout(Duration::from_secs(1)) == Err(RecvTimeoutError::Timeout) {
                for path in ["/metrics", "/status", "/healthz"] {
                    let before = ledger.scarcity();
                    match gateway.try_get(path) {
                        Ok(_) => ledger.did("scrape"),
                        Err(_) if ledger.was_scarce(before) => {}
                        Err(error) => ledger.fault(format!("{path}: {error}")),
                    }
                }
            }
        })
    }

    /// What is held once all sessions have ended: what has ended may take a moment to be gone.
    fn at_rest(&self, start: Option<&Footprint>) -> Footprint {
        self.gateway.settles("ftpwarden_sessions", 0.0);
        self.gateway.settles("ftpwarden_bans", 0.0);
        let reloaded = "ftpwarden_config_last_reload_successful";
        self.gateway.settles(reloaded, 1.0);
        let status = self.gateway.get("/status");
        let status: serde_json::Value = serde_json::from_str(&status).unwrap();
        assert_eq!(status["sessions"], serde_json::json!([]), "{status:#}");
        let began = now();
        loop {
            let held = Footprint::of(self.gateway.pid());
            let is_left =
                start.is_some_and(|start| !held.left(start, KEPT_PIPES, KEPT_THREADS).is_empty());
            if !is_left || began.elapsed() > PATIENCE {
                return held;
            }
            thread::yield_now();
        }
    }

    /// Ends the gateway, which must end well.
    fn end(&self) {
        self.gateway.signal("TERM");
        assert!(self.gateway.wait().success());
    }

    /// That a metric is what was seen.
    fn expect(&self, what: &str, counted: u64, seen: u64) {
        if counted != seen {
            self.ledger
                .fault(format!("{what}: counted {counted}, seen {seen}"));
        }
    }

    /// That all counters add up.
    fn reconcile(&self) {
        let metrics = self.gateway.get("/metrics");
        for (name, tally) in self.ledger.tallies() {
            let listener = &*format!("listener=\"{name}\"");
            let sum = |metric: &str, label: &str| whole_sum(&metrics, metric, &[listener, label]);
            let sessions = sum("sessions_total", "");
            let ended = sum("session_duration_seconds_count", "");
            self.expect(&format!("{name}: sessions that ended"), ended, sessions);
            self.expect(
                &format!("{name}: ports in use"),
                sum("passive_ports_in_use", ""),
                0,
            );
            // Who dials a listener that a reload takes away may be reset by the kernel.
            let rejected = sum("sessions_rejected_total", "");
            if name != "extra" {
                let counted = sessions + rejected;
                self.expect(&format!("{name}: connections"), counted, tally.dials);
            }
            if !CALM.contains(&name) {
                for (code, seen) in tally.codes {
                    let counted = sum("replies_total", &format!("code=\"{code}\""));
                    // Nobody reads more than was sent; many read less.
                    self.expect(&format!("{name}: {code}"), counted.max(seen), counted);
                }
                continue;
            }
            // What is said in clear to a client that speaks TLS is not understood.
            let deaf = if name == "implicit" { rejected } else { 0 };
            let seen = tally.codes.values().sum::<u64>() + deaf;
            self.expect(&format!("{name}: replies"), sum("replies_total", ""), seen);
            for (code, seen) in tally.codes.clone() {
                let seen = seen + if code == 421 { deaf } else { 0 };
                let counted = sum("replies_total", &format!("code=\"{code}\""));
                self.expect(&format!("{name}: {code}"), counted, seen);
            }
            for (direction, (count, bytes)) in tally.complete {
                let way = &*format!("direction=\"{direction}\"");
                let transfers =
                    |result| whole_sum(&metrics, "transfers_total", &[listener, way, result]);
                let complete = transfers("result=\"complete\"");
                self.expect(&format!("{name}: {direction}"), complete, count);
                if transfers("") == complete {
                    let counted = sum("transfer_bytes_total", way);
                    self.expect(&format!("{name}: bytes of {direction}"), counted, bytes);
                }
            }
        }
        let relayed = whole_sum(&metrics, "replies_total", &["origin=\"server\""]);
        let heard = whole_sum(&metrics, "server_replies_total", &[]);
        self.expect("replies of servers", relayed.max(heard), heard);
        self.expect_audit(&metrics);
    }

    /// That every event is in the audit, or counted as lost.
    fn expect_audit(&self, metrics: &str) {
        let all = |name: &str, parts: &[&str]| whole_sum(metrics, &format!("{name}_total"), parts);
        let due = all("commands", &[])
            + all("transfers", &[])
            + all("logins", &[])
            + all("bans", &[])
            + all("sessions", &[])
            + all("sessions_rejected", &[])
            // Who is banned was told of when the ban began.
            - all("sessions_rejected", &["reason=\"banned\""]);
        let began = now();
        loop {
            let there = self.audit.events.load(Ordering::SeqCst);
            let now = self.gateway.get("/metrics");
            let found = there + whole_sum(&now, "audit_events_dropped_total", &[]);
            if found == due || began.elapsed() > PATIENCE {
                println!("audit: {there} events, {} lost", found - there);
                return self.expect("audit events", found, due);
            }
            thread::yield_now();
        }
    }
}

impl Drop for Soak {
    /// Who reads the log holds the gateway until its end, also where the soak has failed.
    fn drop(&mut self) {
        self.gateway.kill();
    }
}

/// The sum over the samples of a counter, of what `/metrics` said.
fn whole_sum(metrics: &str, name: &str, parts: &[&str]) -> u64 {
    // The sum of none is a negative zero.
    let sum = process::sum_in(metrics, &format!("ftpwarden_{name}"), parts).abs();
    assert!(sum.fract() == 0.0, "{name}: {sum}");
    format!("{sum:.0}").parse().unwrap()
}

/// Looks at all that the gateway says, until it ends.
fn read_log(gateway: &Arc<Gateway>, ledger: &Arc<Ledger>) {
    let (gateway, ledger) = (Arc::clone(gateway), Arc::clone(ledger));
    thread::spawn(move || {
        gateway.watch(|line| {
            let is_error = line.contains(" ERROR ");
            let is_expected = EXPECTED_ERRORS.iter().any(|part| line.contains(part));
            if line.contains("panicked") || is_error && !is_expected {
                ledger.fault(format!("the log: {line}"));
            }
        });
    });
}

#[test]
fn mixed_load_with_faults_leaves_nothing_behind() {
    let seconds = number("SOAK_SECONDS").unwrap_or(SECONDS);
    let seed = number("SOAK_SEED").unwrap_or(1);
    println!("SOAK_SEED={seed} SOAK_SECONDS={seconds}");
    let warming = (seconds / 3).min(120);
    let mut soak = Soak::start(seed);
    // What the endpoints need once.
    let start = soak.at_rest(None);
    soak.load(Duration::from_secs(warming));
    let warm = soak.at_rest(Some(&start));
    soak.held.clear();
    soak.load(Duration::from_secs(seconds - warming));
    let end = soak.at_rest(Some(&start));
    soak.say();
    if soak.ledger.faults().is_empty() {
        soak.reconcile();
    }
    for left in end.left(&start, KEPT_PIPES, KEPT_THREADS) {
        soak.ledger.fault(left);
    }
    soak.expect_no_growth(&warm, &end);
    println!("{}", Table([&start, &warm, &end]));
    for (name, tally) in soak.ledger.tallies() {
        println!("{name:<10} {tally:?}");
    }
    let deeds = soak.ledger.deeds();
    println!("{deeds:?}");
    let faults = soak.ledger.faults();
    assert!(faults.is_empty(), "{faults:#?}");
    for due in load::deeds().chain(weather::deeds()) {
        assert!(deeds.contains_key(due), "{due}: never happened");
    }
    soak.end();
}
