//! The command line: what a person types and reads.
//!
//! Owns arguments, exit codes and everything printed to a terminal. Must not know how a session
//! or a policy decides: it asks them.

mod args;
mod check;
mod explain;
mod groups;
mod healthcheck;
mod json;
mod manual;
mod probe;
pub mod rehearsal;
mod terminal;

use std::process::ExitCode;

use clap::Parser as _;

use args::{Arguments, Command};

/// How a run of the program ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// 0: fine.
    Fine,
    /// 1: something failed at run time.
    Failed,
    /// 2: the arguments make no sense.
    Usage,
    /// 3: `explain` found a command that is refused.
    Refused,
    /// 78: the configuration cannot be taken (EX_CONFIG of sysexits).
    Configuration,
}

impl Outcome {
    /// The exit code.
    pub const fn code(self) -> u8 {
        match self {
            Self::Fine => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Refused => 3,
            Self::Configuration => 78,
        }
    }
}

/// Reads the arguments and does what they say.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version go to standard output and are no error.
            let outcome = if error.use_stderr() {
                Outcome::Usage
            } else {
                Outcome::Fine
            };
            let written = error.print();
            return outcome_of(written.map(|()| outcome));
        }
    };
    outcome_of(obey(arguments))
}

/// The exit code; a closed pipe at standard output is nobody's failure but ends the program.
fn outcome_of(result: std::io::Result<Outcome>) -> ExitCode {
    match result {
        Ok(outcome) => ExitCode::from(outcome.code()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::from(Outcome::Fine.code())
        }
        Err(error) => {
            terminal::complain(&error.to_string());
            ExitCode::from(Outcome::Failed.code())
        }
    }
}

/// Does what the arguments say. Errors are those of writing to the terminal.
fn obey(arguments: Arguments) -> std::io::Result<Outcome> {
    match arguments.command {
        Command::Run(_run) => Ok(Outcome::Failed),
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
