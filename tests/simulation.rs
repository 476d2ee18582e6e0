//! Ten thousand sessions between clients and servers that pipeline, stall, split, lie, vanish
//! and reset, on a clock of their own, each step held against what an ideal gateway owes.
//!
//! A run is made of its seed alone. `SIMULATION_SEED=n` runs one and writes its steps out,
//! `SIMULATION_SEEDS=n` says how many run, `SIMULATION_FIRST=n` which is the first of them.

#![allow(
    clippy::allow_attributes,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::similar_names,
    clippy::struct_excessive_bools,
    clippy::match_same_arms,
    reason = "a test fails by panicking, and spells its cases out"
)]

use std::panic;
use std::thread;

#[path = "dialogue/facts.rs"]
mod facts;
#[path = "dialogue/rules.rs"]
mod rules;
#[path = "dialogue/world.rs"]
mod world;

#[path = "simulation/client.rs"]
mod client;
#[expect(dead_code, reason = "fuzzing draws from bytes")]
#[path = "simulation/dice.rs"]
mod dice;
#[path = "support/environment.rs"]
mod environment;
#[path = "simulation/framing.rs"]
mod framing;
#[path = "simulation/ideal.rs"]
mod ideal;
#[path = "simulation/lenient.rs"]
mod lenient;
#[path = "simulation/replies.rs"]
mod replies;
#[path = "simulation/run.rs"]
mod run;
#[path = "simulation/server.rs"]
mod server;
#[path = "simulation/shadow/mod.rs"]
mod shadow;

use dice::Dice;
use environment::number;
use run::Tally;

/// How many seeds run where nobody says otherwise.
const SEEDS: u64 = 10_000;

/// The steps of a run.
const STEPS: usize = 260;

/// Seeds that have found something, by the name of what they found.
const FOUND: &str = include_str!("simulation/found.txt");

/// Runs a seed; what broke, if anything did.
fn fault(seed: u64, traced: bool) -> Result<Tally, String> {
    let run = panic::catch_unwind(|| run::run(Dice::of_seed(seed), STEPS, traced));
    run.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(text.unwrap_or_else(|| "a panic".into()))
    })
}

/// Runs the seeds of `range` that are this thread's; the first few that broke something.
fn share(first: u64, seeds: u64, thread: u64, threads: u64) -> (Vec<String>, Tally, usize) {
    let mut faults = Vec::new();
    let mut sum = Tally::default();
    let mut honest = 0;
    for seed in (first..first + seeds).filter(|seed| seed % threads == thread) {
        match fault(seed, false) {
            Ok(tally) => {
                sum.replies += tally.replies;
                sum.transfers += tally.transfers;
                honest += usize::from(tally.honest);
            }
            Err(fault) => faults.push(format!("SIMULATION_SEED={seed}: {fault}")),
        }
    }
    (faults, sum, honest)
}

#[test]
fn the_laws_hold_whatever_peers_do() {
    let seed = number("SIMULATION_SEED");
    let seeds = number("SIMULATION_SEEDS").unwrap_or(SEEDS);
    let first = number("SIMULATION_FIRST").unwrap_or(0);
    // What a run breaks is said with its seed; the place in the test is of no use.
    panic::set_hook(Box::new(|_| ()));
    if let Some(seed) = seed {
        if let Err(fault) = fault(seed, true) {
            let _hook = panic::take_hook();
            panic!("SIMULATION_SEED={seed}: {fault}");
        }
        return;
    }
    let threads = thread::available_parallelism().map_or(2, |count| count.get().min(8) as u64);
    let shares: Vec<_> = (0..threads)
        .map(|thread| thread::spawn(move || share(first, seeds, thread, threads)))
        .collect();
    let mut faults = Vec::new();
    let (mut replies, mut transfers, mut honest) = (0, 0, 0);
    for share in shares {
        let (found, tally, behaved) = share.join().unwrap();
        faults.extend(found);
        replies += tally.replies;
        transfers += tally.transfers;
        honest += behaved;
    }
    let _hook = panic::take_hook();
    println!(
        "{seeds} sessions, {honest} of them honest, {replies} replies, {transfers} whole transfers"
    );
    let shown: Vec<&str> = faults.iter().take(400).map(String::as_str).collect();
    assert!(
        faults.is_empty(),
        "{} of {seeds} seeds broke a law:\n{}",
        faults.len(),
        shown.join("\n")
    );
    // A simulation in which nothing happens proves nothing.
    let count = usize::try_from(seeds).unwrap();
    assert!(replies > 5 * count, "{replies} replies");
    assert!(transfers > count / 4, "{transfers} transfers");
}

#[test]
fn what_was_found_stays_mended() {
    let mut count = 0;
    for line in FOUND
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
    {
        let (seed, name) = line.split_once(' ').expect("a seed and a name");
        count += 1;
        if let Err(fault) = fault(seed.parse().expect("a seed"), false) {
            panic!("{name}: SIMULATION_SEED={seed}: {fault}");
        }
    }
    assert!(count > 0, "nothing was found");
}
