//! The pure modules alone, and with them every test that needs nothing but them: unit tests, laws,
//! conversations through the core and some seeds of the simulation.
//!
//! `assemble` makes a package of it. As all is one crate, a change of one line is built and tested
//! in seconds; coverage and mutation testing stand on it. The configuration is here because tests
//! write their policies as an operator would.

#![cfg_attr(test, allow(dead_code, reason = "each test uses its part"))]

// The name by which the tests know the gateway.
#[cfg(test)]
extern crate self as ftpwarden;

pub mod config;
pub mod ftp;
pub mod policy;
pub mod session;
pub mod settings;

/// What the settings know of TLS: plain types.
pub mod tls {
    pub mod options;
}

#[cfg(test)]
#[path = "../tests/dialogue/facts.rs"]
mod facts;
#[cfg(test)]
#[path = "../tests/dialogue/rules.rs"]
mod rules;
#[cfg(test)]
#[path = "../tests/dialogue/world.rs"]
mod world;

#[cfg(test)]
#[path = "../tests/laws/addresses.rs"]
mod addresses;
#[cfg(test)]
#[path = "../tests/laws/agreeing.rs"]
mod agreeing;
#[cfg(test)]
#[path = "../tests/laws/bounds.rs"]
mod bounds;
#[cfg(test)]
#[path = "../tests/laws/breaking.rs"]
mod breaking;
#[cfg(test)]
#[path = "../tests/laws/clock.rs"]
mod clock;
#[cfg(test)]
#[path = "../tests/laws/closed.rs"]
mod closed;
#[cfg(test)]
#[path = "../tests/laws/inspection.rs"]
mod inspection;
#[cfg(test)]
#[path = "../tests/laws/order.rs"]
mod order;
#[cfg(test)]
#[path = "../tests/laws/secrets.rs"]
mod secrets;
#[cfg(test)]
#[path = "../tests/laws/translation.rs"]
mod translation;

#[cfg(test)]
#[path = "../tests/dialogue/core.rs"]
mod pure;
#[cfg(test)]
#[path = "../tests/dialogue/script.rs"]
mod script;

#[cfg(test)]
#[path = "../tests/simulation/client.rs"]
mod client;
#[cfg(test)]
#[path = "../tests/simulation/dice.rs"]
mod dice;
#[cfg(test)]
#[path = "../tests/simulation/framing.rs"]
mod framing;
#[cfg(test)]
#[path = "../tests/simulation/ideal.rs"]
mod ideal;
#[cfg(test)]
#[path = "../tests/simulation/lenient.rs"]
mod lenient;
#[cfg(test)]
#[path = "../tests/simulation/replies.rs"]
mod replies;
#[cfg(test)]
#[path = "../tests/simulation/run.rs"]
mod run;
#[cfg(test)]
#[path = "../tests/simulation/server.rs"]
mod server;
#[cfg(test)]
#[path = "../tests/simulation/shadow/mod.rs"]
mod shadow;

#[cfg(test)]
mod tests {
    //! Conversations and seeds; everything else has its tests with it.

    use std::fs;
    use std::path::{Path, PathBuf};

    use crate::dice::Dice;
    use crate::pure::{self, Segments};
    use crate::run;
    use crate::script::Script;

    /// How many seeds run where nobody says otherwise.
    const SEEDS: u64 = 300;

    /// The steps of a run.
    const STEPS: usize = 260;

    /// Every conversation of a directory.
    fn scripts(directory: &str) -> Vec<Script> {
        let path = Path::new("tests/conversations").join(directory);
        let files = fs::read_dir(path).unwrap();
        let files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
        let script = |file: &PathBuf| {
            let name = file.display().to_string();
            let source = fs::read_to_string(file).unwrap();
            Script::parse(&name, &source).unwrap()
        };
        files.iter().map(script).collect()
    }

    /// Runs every conversation of `directory`.
    fn hold(directory: &str, segments: Segments) {
        let scripts = scripts(directory);
        assert!(!scripts.is_empty(), "no conversations about {directory}");
        for script in scripts {
            if segments == Segments::Lines || script.whole_only.is_none() {
                assert_eq!(pure::run(&script, segments), Ok(()), "{}", script.name);
            }
        }
    }

    /// One test for each directory and way of running.
    macro_rules! directories {
        ($($name:ident),*) => {
            mod conversations {
                $(#[test] fn $name() { super::hold(stringify!($name), super::Segments::Lines); })*
            }

            mod in_single_bytes {
                $(#[test] fn $name() { super::hold(stringify!($name), super::Segments::Bytes); })*
            }
        };
    }

    directories!(
        abort, active, evasion, limits, login, passive, pipelining, policy, quirks, replies,
        security, tls, transfer
    );

    /// Runs every fourth seed, from `first` on.
    fn simulate(first: u64) {
        let seeds = std::env::var("SIMULATION_SEEDS").map_or(SEEDS, |text| text.parse().unwrap());
        for seed in (first..seeds).step_by(4) {
            if let Err(fault) = run::run(Dice::of_seed(seed), STEPS, false) {
                panic!("SIMULATION_SEED={seed}: {fault}");
            }
        }
    }

    #[test]
    fn a_first_part_of_the_simulation() {
        simulate(0);
    }

    #[test]
    fn a_second_part_of_the_simulation() {
        simulate(1);
    }

    #[test]
    fn a_third_part_of_the_simulation() {
        simulate(2);
    }

    #[test]
    fn a_fourth_part_of_the_simulation() {
        simulate(3);
    }
}
