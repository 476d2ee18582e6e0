//! One run: a gateway, a server, some clients, and a network between them whose moods a seed
//! decides. Behind it everything that anybody has seen is held against everything else.

use std::cell::Cell;
use std::panic;
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::task::yield_now;

use super::client::{self, Client};
use super::dice::Dice;
use super::judge;
use super::lines::Ended;
use super::names;
use super::place::Place;
use super::security::{self, Security};
use super::server::{self, Journals};
use super::support::Bench;
use super::weather::Weather;
use super::wire::Network;

/// Bounds of a gateway whose network fails: each is met soon.
const SHORT: &str = "greeting_timeout = \"300ms\"\nlogin_timeout = \"800ms\"\n\
    command_timeout = \"300ms\"\nreply_timeout = \"400ms\"\nidle_timeout = \"500ms\"\n\
    tls_handshake_timeout = \"500ms\"\ndata_connect_timeout = \"300ms\"\ntransfer_idle_timeout = \"240ms\"\n\
    failed_login_delay = \"1ms\"\n";

/// When a session must be over whose peers are gone or silent: what a client that has ended may
/// still hear (5 s), how long an end waits for its peer's (2 s), and the bounds above, with room
/// for a machine that is busy.
const OVER: Duration = Duration::from_secs(20);

/// When a session must be over that has nothing to wait for.
const SOON: Duration = Duration::from_secs(30);

/// How much happened.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// Commands with a final reply of the server's.
    pub(crate) answered: usize,
    /// Commands that policy refused.
    pub(crate) refused: usize,
    /// Downloads that are whole and said to be.
    pub(crate) downloads: usize,
    /// Uploads likewise.
    pub(crate) uploads: usize,
    /// Transfers that were broken, at one side at least.
    pub(crate) broken: usize,
    /// Transfers under TLS that are whole and said to be.
    pub(crate) secured: usize,
    /// Sessions.
    pub(crate) sessions: usize,
    /// How long the last session took to end behind its client.
    pub(crate) ending: Duration,
}

impl Tally {
    /// Of both.
    pub(crate) fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.refused += other.refused;
        self.downloads += other.downloads;
        self.uploads += other.uploads;
        self.broken += other.broken;
        self.secured += other.secured;
        self.sessions += other.sessions;
        self.ending = self.ending.max(other.ending);
    }
}

thread_local! {
    /// Whether something has panicked on this thread, on which a whole run is.
    static PANICKED: Cell<bool> = const { Cell::new(false) };
}

/// Lets panics of tasks, which the runtime swallows, be known.
fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let former = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            PANICKED.set(true);
            former(info);
        }));
    });
}

/// A moment of the real clock.
#[expect(clippy::disallowed_methods, reason = "how long something took")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Runs a seed.
///
/// # Errors
/// What broke, and what everybody has seen.
pub(crate) fn run(seed: u64) -> Result<Tally, String> {
    watch_panics();
    PANICKED.set(false);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let result = runtime.block_on(simulate(seed));
    drop(runtime);
    if PANICKED.get() {
        return Err("a task panicked".to_owned());
    }
    result
}

/// Runs a seed in a runtime of its own.
async fn simulate(seed: u64) -> Result<Tally, String> {
    let mut dice = Dice::of_seed(seed);
    let calm = dice.chance(30);
    let place = Place::new();
    let weather = Weather::new(seed.wrapping_mul(0x1000_0001), if calm { 0 } else { 35 });
    let network = Network::default();
    let mut far = weather.branch(1);
    let target = TcpListener::bind((place.server, 0)).await.unwrap();
    let inner = target.local_addr().unwrap();
    let gate = network.gate(place.far, inner, place.server, move || far.control(false));
    let (gateway, port, limits) = (place.gateway, gate.port(), if calm { "" } else { SHORT });
    let tls = security::listener();
    let text = format!(
        "[listeners.main]\nbind = \"{gateway}:0\"\nupstream = \"legacy\"\n{tls}\n[upstreams.legacy]\n\
         address = \"legacy.test:{port}\"\nsource_address = \"{gateway}\"\nconnect_timeout = \"1s\"\n\
         [limits]\n{limits}"
    );
    let unused = TcpListener::bind((place.server, 0)).await.unwrap();
    let before = tasks();
    let names = names::moody(place, weather.faults, Dice::of_seed(seed ^ 0xD5));
    let bench = Bench::prepared(&text, unused, |it| it.with_upstream_names(names));
    let loops = tasks() - before;
    let journals = Journals::default();
    network.run(server::serve(
        target,
        Arc::clone(&journals),
        network.clone(),
        place,
        weather.branch(2),
        Dice::of_seed(seed ^ 0x5E),
    ));
    let mut clients = Vec::new();
    let mut notes = Vec::new();
    for number in 0..=dice.below(3) {
        let mut near = weather.branch(10 + number);
        let secured = dice.chance(40);
        let security = secured.then(|| Security::new(dice.chance(40)));
        let link = near.control(secured);
        let (entrance, _) = network
            .path(place.client, bench.address(), place.near, link)
            .await;
        let shared = client::Shared::default();
        shared.lock().unwrap().user = format!("u{number}");
        notes.push(Arc::clone(&shared));
        let dice = Dice::of_seed(dice.below(1 << 30) as u64);
        let network = network.clone();
        clients.push(tokio::spawn(async move {
            let stream = TcpStream::connect(entrance).await.unwrap();
            let client = Client::new(stream, network, near, place, dice, shared, calm);
            let client = client.secured_by(security);
            client.run().await;
        }));
    }
    for client in clients {
        client.await.map_err(|_| "a client panicked".to_owned())?;
    }
    let mut faults = Vec::new();
    let ending = gone(&bench, &place, calm, &mut faults).await;
    network.dissolve().await;
    if !comes(SOON, || tasks() == loops).await {
        faults.push(format!("L6: {} tasks instead of {loops}", tasks()));
    }
    drop(bench);
    if !comes(SOON, || tasks() == 0).await {
        faults.push("L6: something outlives the gateway".to_owned());
    }
    let notes: Vec<_> = notes.iter().map(|notes| notes.lock().unwrap()).collect();
    let journals = journals.lock().unwrap();
    let journals: Vec<_> = journals.iter().map(|it| it.lock().unwrap()).collect();
    let mut tally = Tally {
        sessions: notes.len(),
        ending,
        ..Tally::default()
    };
    for notes in &notes {
        tally.add(judge::session(notes, &journals, calm, &mut faults));
    }
    if faults.is_empty() {
        return Ok(tally);
    }
    for notes in &notes {
        faults.push(judge::shown(notes));
    }
    for journal in &journals {
        let stored: Vec<_> = journal
            .stored
            .iter()
            .map(|it| (&it.name, it.bytes.len(), it.ended == Ended::Fin))
            .collect();
        faults.push(format!("heard {:?}, stored {stored:?}", journal.heard));
    }
    Err(faults.join("\n    "))
}

/// Waits until nothing is left of any session; what is silent is still silent, and held: the
/// gateway ends by itself. Says how long that took.
async fn gone(bench: &Bench, place: &Place, calm: bool, faults: &mut Vec<String>) -> Duration {
    let began = now();
    let sessions = || bench.gateway.sessions();
    if !comes(if calm { SOON } else { OVER }, || sessions() == 0).await {
        faults.push(format!("L6: {} sessions are left", sessions()));
    }
    let took = began.elapsed();
    if let Err(left) = only_listens(place).await {
        faults.push(format!("L6: sockets are left: {left:?}"));
    }
    for gauge in ["ftpwarden_sessions", "ftpwarden_passive_ports_in_use"] {
        if !bench.counts(&format!("{gauge}{{listener=\"main\"}} 0")) {
            faults.push(format!("L6: {gauge} is not 0"));
        }
    }
    took
}

/// That the gateway holds no socket but the one that it accepts sessions on.
///
/// # Errors
/// Those that it holds.
pub(crate) async fn only_listens(place: &Place) -> Result<(), Vec<String>> {
    let moment = now();
    let mut held = Vec::new();
    comes(SOON, || {
        place.sockets(moment).is_some_and(|sockets| {
            held = sockets;
            true
        })
    })
    .await;
    let listens = held.len() == 1 && held.iter().all(|socket| socket.ends_with(" 0A"));
    if listens { Ok(()) } else { Err(held) }
}

/// How many tasks live in this runtime.
fn tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

/// Whether something comes within `bound`.
pub(crate) async fn comes(bound: Duration, mut event: impl FnMut() -> bool) -> bool {
    let began = now();
    loop {
        if event() {
            return true;
        }
        if began.elapsed() > bound {
            return false;
        }
        for _ in 0..16 {
            yield_now().await;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
