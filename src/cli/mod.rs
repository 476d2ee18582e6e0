//! The command line: what a person types and reads.
//!
//! Owns arguments, exit codes and everything printed to a terminal. Must not know how a session
//! or a policy decides: it asks them.

mod agreeable;
mod args;
mod certificates;
mod check;
mod confinement;
mod dialogue;
mod endpoints;
mod explain;
mod groups;
mod healthcheck;
mod json;
mod manual;
mod probe;
pub mod rehearsal;
mod run;
mod signals;
mod terminal;

use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use clap::Parser as _;

use crate::config::ConfigError;
use args::{Arguments, Command};

/// How a run of the program ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Outcome {
    /// 0: fine.
    Fine,
    /// 1: something failed at run time.
    Failed,
    /// 2: the arguments make no sense.
    Usage,
    /// 3: `explain` found a command that is refused.
    Refused,
    /// 78: the configuration cannot be taken (`EX_CONFIG` of sysexits).
    Configuration,
}

impl Outcome {
    /// The exit code.
    const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Configuration => 78,
        }
    }
}

/// What a subcommand has to say.
#[derive(Debug)]
struct Answer {
    /// How it ended.
    outcome: Outcome,
    /// What was asked for, for standard output.
    out: String,
    /// What else a person should know, for standard error.
    err: String,
}

impl Answer {
    /// All went well, and this is the result.
    const fn fine(out: String) -> Self {
        Self {
            outcome: Outcome::Fine,
            out,
            err: String::new(),
        }
    }

    /// It went wrong, in one sentence.
    fn wrong(outcome: Outcome, sentence: &str) -> Self {
        Self {
            outcome,
            out: String::new(),
            err: format!("ftpwarden: {sentence}\n"),
        }
    }

    /// The configuration cannot be taken.
    fn refused(error: &ConfigError) -> Self {
        let mut answer = Self::wrong(Outcome::Configuration, &check::summary(error));
        answer
            .err
            .insert_str(0, &error.report(terminal::stderr_style()));
        answer
    }
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    let answer = match Arguments::try_parse() {
        Ok(arguments) => obey(arguments),
        Err(error) => {
            // Help and version go to standard output and are no error; clap knows the colours.
            let outcome = if error.use_stderr() {
                Outcome::Usage
            } else {
                Outcome::Fine
            };
            let _closed = error.print();
            return ExitCode::from(outcome.code());
        }
    };
    // Where standard error is closed there is nobody to tell.
    let _closed = std::io::stderr().write_all(answer.err.as_bytes());
    match std::io::stdout().write_all(answer.out.as_bytes()) {
        Ok(()) => ExitCode::from(answer.outcome.code()),
        // `| head` has read enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => {
            ExitCode::from(answer.outcome.code())
        }
        Err(_) => ExitCode::from(Outcome::Failed.code()),
    }
}

/// Does what the arguments say.
fn obey(arguments: Arguments) -> Answer {
    match arguments.command {
        Command::Run(run) => run::run(&run),
        Command::Check(check) => check::check(&check),
        Command::Explain(explain) => explain::explain(&explain),
        Command::Probe(probe) => probe::probe(&probe),
        Command::Healthcheck(healthcheck) => healthcheck::healthcheck(&healthcheck),
        Command::Completions { shell } => manual::completions(shell),
        Command::Man => manual::man(),
    }
}

/// The time of day: seconds since 1970-01-01 UTC.
fn unix_time() -> i64 {
    #[expect(
        clippy::disallowed_methods,
        reason = "the command line is part of the shell, and this is where it reads the clock"
    )]
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since
        .ok()
        .and_then(|since| i64::try_from(since.as_secs()).ok())
        .unwrap_or_default()
}
