//! Fuzzing on the stable toolchain: inputs are made by mutation of a corpus, and each target holds
//! the gateway's answer against an independent one.
//!
//! `fuzz TARGET SECONDS [SEED]` runs one target, `fuzz TARGET FILE` one input. An input that breaks
//! something is kept in `found/`.

use std::panic;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs, process};

#[allow(dead_code)]
#[path = "../../tests/simulation/client.rs"]
mod client;
#[allow(dead_code)]
#[path = "../../tests/simulation/dice.rs"]
mod dice;
#[allow(dead_code)]
#[path = "../../tests/dialogue/facts.rs"]
mod facts;
#[path = "../../tests/simulation/framing.rs"]
mod framing;
#[allow(dead_code)]
#[path = "../../tests/simulation/ideal.rs"]
mod ideal;
#[path = "../../tests/simulation/lenient.rs"]
mod lenient;
mod mutate;
#[path = "../../tests/simulation/replies.rs"]
mod replies;
#[allow(dead_code)]
#[path = "../../tests/dialogue/rules.rs"]
mod rules;
#[allow(dead_code)]
#[path = "../../tests/simulation/run.rs"]
mod run;
#[allow(dead_code)]
#[path = "../../tests/simulation/server.rs"]
mod server;
#[allow(dead_code)]
#[path = "../../tests/simulation/shadow/mod.rs"]
mod shadow;
mod targets;
#[allow(dead_code)]
#[path = "../../tests/dialogue/world.rs"]
mod world;

use dice::Dice;
use targets::TARGETS;

/// The most inputs that a corpus holds in memory.
const CORPUS: usize = 4096;

/// The corpus of a target, in the repository.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(name);
    let mut files: Vec<PathBuf> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    files
        .iter()
        .filter_map(|file| fs::read(file).ok())
        .collect()
}

/// What breaks with `input`, if anything does.
fn fault(target: targets::Target, input: &[u8]) -> Option<String> {
    let result = panic::catch_unwind(|| target(input));
    match result {
        Ok(outcome) => outcome.err(),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(text.unwrap_or_else(|| "a panic".into()))
        }
    }
}

/// Leaves pieces out as long as it breaks.
fn shrink(target: targets::Target, mut input: Vec<u8>) -> Vec<u8> {
    let mut size = input.len() / 2;
    while size > 0 {
        let mut at = 0;
        while at < input.len() {
            let mut less = input.clone();
            less.drain(at..(at + size).min(input.len()));
            if fault(target, &less).is_some() {
                input = less;
            } else {
                at += size;
            }
        }
        size /= 2;
    }
    input
}

/// Keeps an input that breaks something.
fn keep(name: &str, input: &[u8]) -> PathBuf {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("found");
    fs::create_dir_all(&directory).expect("a directory for what was found");
    let file = directory.join(format!("{name}-{}", process::id()));
    fs::write(&file, input).expect("a file for what was found");
    file
}

/// Runs a target for a while; true where nothing broke.
fn fuzz(name: &str, target: targets::Target, time: Duration, seed: u64) -> bool {
    let mut inputs = corpus(name);
    assert!(!inputs.is_empty(), "the corpus of {name} is empty");
    let mut dice = Dice::of_seed(seed);
    let seeds = inputs.len();
    let begun = Instant::now();
    let mut count = 0_u64;
    let mut next = 0;
    while begun.elapsed() < time {
        // First what is known, then what comes of it.
        let input = match inputs.get(next).filter(|_| next < seeds) {
            Some(known) => known.clone(),
            None => mutate::mutate(&mut dice, &inputs),
        };
        next += 1;
        count += 1;
        if let Some(fault) = fault(target, &input) {
            let small = shrink(target, input);
            let file = keep(name, &small);
            println!(
                "{name}: {fault}\n  {}\n  kept in {}",
                small.escape_ascii(),
                file.display()
            );
            return false;
        }
        // Mutants of mutants: some live on, and push others out.
        if dice.chance(5) {
            if inputs.len() < CORPUS {
                inputs.push(input);
            } else {
                let at = seeds + dice.below(CORPUS - seeds);
                inputs[at] = input;
            }
        }
    }
    println!(
        "{name}: {count} inputs in {} s, nothing broke",
        time.as_secs()
    );
    true
}

fn main() -> ExitCode {
    panic::set_hook(Box::new(|_| ()));
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (Some(name), Some(how)) = (arguments.first(), arguments.get(1)) else {
        let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        println!(
            "fuzz TARGET SECONDS|FILE [SEED]; targets: {}",
            names.join(" ")
        );
        return ExitCode::from(2);
    };
    let Some((name, target)) = TARGETS.iter().find(|(each, _)| each == name) else {
        println!("no target {name}");
        return ExitCode::from(2);
    };
    let whole = match how.parse() {
        Ok(seconds) => {
            let seed = arguments
                .get(2)
                .and_then(|seed| seed.parse().ok())
                .unwrap_or(1);
            fuzz(name, *target, Duration::from_secs(seconds), seed)
        }
        Err(_) => {
            let input = fs::read(how).expect("a readable file");
            let fault = fault(*target, &input);
            println!("{name}: {}", fault.as_deref().unwrap_or("nothing broke"));
            fault.is_none()
        }
    };
    ExitCode::from(u8::from(!whole))
}
