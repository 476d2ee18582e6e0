//! The whole shell behind a network that delays, tears, joins, loses, silences, ends and resets:
//! seeded runs, held against what each side may have seen, and the faults of a network by name.
//!
//! What happens is decided by the seed; when it happens is left to the kernel. `NETWORK_SEED=n`
//! runs one seed, `NETWORK_SEEDS=n` says how many run, `NETWORK_FIRST=n` which is the first.

#![allow(
    clippy::allow_attributes,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::similar_names,
    clippy::match_same_arms,
    reason = "a test fails by panicking, and spells its cases out"
)]

use std::panic;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

#[expect(dead_code, reason = "the helpers serve other tests too")]
mod support;

#[expect(dead_code, reason = "it serves other tests too")]
#[path = "support/authority.rs"]
mod authority;

#[path = "network/client.rs"]
mod client;
#[expect(dead_code, reason = "fuzzing draws from bytes")]
#[path = "simulation/dice.rs"]
mod dice;
#[path = "support/environment.rs"]
mod environment;
#[path = "network/faults.rs"]
mod faults;
#[path = "network/judge.rs"]
mod judge;
#[path = "network/lab.rs"]
mod lab;
#[path = "network/lines.rs"]
mod lines;
#[path = "network/names.rs"]
mod names;
#[path = "network/place.rs"]
mod place;
#[path = "network/run.rs"]
mod run;
#[path = "network/security.rs"]
mod security;
#[path = "network/server.rs"]
mod server;
#[path = "network/weather.rs"]
mod weather;
#[path = "network/wire.rs"]
mod wire;

use environment::number;
use run::Tally;

/// How many seeds run where nobody says otherwise.
const SEEDS: u64 = 240;

/// How many run at once: most of the time they wait.
const AT_ONCE: usize = 48;

/// Runs a seed; what broke, if anything did, and how to see it again.
fn fault(seed: u64) -> Result<Tally, String> {
    let run = panic::catch_unwind(|| run::run(seed));
    let result = run.unwrap_or_else(|_| Err("a panic".to_owned()));
    result.map_err(|fault| format!("NETWORK_SEED={seed} cargo test --test network: {fault}"))
}

#[test]
fn all_laws_hold_whatever_the_network_does() {
    if let Some(seed) = number("NETWORK_SEED") {
        match fault(seed) {
            Ok(tally) => println!("{tally:?}"),
            Err(fault) => panic!("{fault}"),
        }
        return;
    }
    let seeds = number("NETWORK_SEEDS").unwrap_or(SEEDS);
    let first = number("NETWORK_FIRST").unwrap_or(0);
    let next = AtomicU64::new(first);
    let (faults, sum) = (Mutex::new(Vec::new()), Mutex::new(Tally::default()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + seeds {
                        break;
                    }
                    match fault(seed) {
                        Ok(tally) => sum.lock().unwrap().add(tally),
                        Err(fault) => faults.lock().unwrap().push(fault),
                    }
                }
            });
        }
    });
    let (faults, sum) = (faults.into_inner().unwrap(), sum.into_inner().unwrap());
    println!("{seeds} runs: {sum:?}");
    let shown: Vec<&str> = faults.iter().take(20).map(String::as_str).collect();
    assert!(
        faults.is_empty(),
        "{} of {seeds} seeds broke a law:\n{}",
        faults.len(),
        shown.join("\n")
    );
    // A network behind which nothing happens proves nothing.
    let count = usize::try_from(seeds).unwrap();
    assert!(sum.answered > 5 * count, "{sum:?}");
    assert!(sum.refused > count / 4, "{sum:?}");
    assert!(
        sum.downloads > count / 4 && sum.uploads > count / 4,
        "{sum:?}"
    );
    assert!(sum.broken > count / 4, "{sum:?}");
    assert!(sum.secured > count / 8, "{sum:?}");
}
