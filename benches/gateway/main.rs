//! The program against a relay that reads nothing, and against its peers: what it costs.
//!
//! A stub server, the subjects and this load generator are processes of their own, so that the
//! time which is counted is the proxy's. Rounds are interleaved over rows and subjects, and the
//! ratios of the medians are the result: times of a shared machine mean nothing alone. Without
//! `--bench`, which `cargo bench` gives, each row runs once and small, without peers.

#![allow(
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::unnecessary_wraps,
    clippy::allow_attributes,
    reason = "a benchmark that cannot go on stops, and its figures are rough"
)]

mod certificates;
mod cgroup;
mod client;
mod clock;
mod idle;
mod load;
mod options;
mod plot;
mod ports;
mod process;
mod relay;
mod report;
mod rows;
mod stub;
mod subjects;

use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::ExitCode;

use ftpwarden::sys::rlimit::raise_descriptors;
use options::Options;
use process::Process;
use report::Results;
use subjects::{Kind, Subject, World};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let done = match arguments.first().map(String::as_str) {
        Some("stub" | "relay") => role(&arguments),
        _ => match Options::read(&arguments) {
            Ok(options) => run(&options),
            Err(sentence) => {
                eprintln!("{sentence}");
                return ExitCode::from(2);
            }
        },
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("gateway bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// What this program is when it is its own child: `stub HOST PORT`, `relay HOST PORT [FOLDER]`.
fn role(arguments: &[String]) -> io::Result<()> {
    raise_descriptors()?;
    let [role, host, base, rest @ ..] = arguments else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let host: Ipv4Addr = host.parse().map_err(io::Error::other)?;
    let base = base.parse().map_err(io::Error::other)?;
    if role == "stub" {
        stub::run(host, base)
    } else {
        relay::run(host, base, rest.first().map(Path::new))
    }
}

/// Starts everybody, measures, prints.
fn run(options: &Options) -> io::Result<()> {
    let mut scale = options.scale;
    if let Some(limit) = raise_descriptors()? {
        // A proxy has two descriptors for a session.
        let most = usize::try_from(limit.saturating_sub(500) / 2).unwrap_or(usize::MAX);
        if scale.idle > most {
            println!(
                "there are descriptors for {most} idle sessions, not {}",
                scale.idle
            );
            scale.idle = most;
        }
    }
    let folder = tempfile::tempdir()?;
    // ProFTPD looks at its files as somebody else.
    #[cfg(unix)]
    fs::set_permissions(
        folder.path(),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )?;
    let world = World::new(ports::find()?, folder.path(), options)?;
    let stub = [
        "stub".to_owned(),
        ports::STUB.to_string(),
        world.base.to_string(),
    ];
    let _stub = Process::role(&stub)?;
    let mut subjects = Vec::new();
    for kind in &options.kinds {
        match Subject::start(*kind, &world)? {
            Some(subject) => subjects.push(subject),
            None => println!("{} is not installed; benches/install has it\n", kind.name()),
        }
    }
    print_machine("before");
    let mut results = Results::default();
    for round in 0..options.rounds {
        for row in options.rows.iter().filter(|row| round < row.rounds) {
            for at in 0..subjects.len() {
                // Another one begins each round, and every second goes backwards: nobody always
                // comes behind the same one, whose ended processes the kernel still clears away.
                let turn = if round % 2 == 0 {
                    at
                } else {
                    subjects.len() - at
                };
                let subject = &subjects[(turn + round) % subjects.len()];
                match row.measure(subject, &world, scale) {
                    Ok(Some(sample)) => results.add(row, subject.kind, sample),
                    Ok(None) => {}
                    Err(error) => failed(subject.kind, row.name, &error)?,
                }
            }
        }
    }
    print_machine("after");
    println!();
    let kinds: Vec<Kind> = subjects.iter().map(|subject| subject.kind).collect();
    results.print(&kinds);
    if let Some(path) = &options.plot {
        fs::write(path, plot::draw(&results, &options.rows))?;
    }
    Ok(())
}

/// A peer that fails is said to, as is what somebody does not offer; what is ours must work.
fn failed(kind: Kind, row: &str, error: &io::Error) -> io::Result<()> {
    let sentence = format!("{}, {row}: {error}", kind.name());
    if kind.is_peer() || error.kind() == io::ErrorKind::Unsupported {
        eprintln!("{sentence}");
        return Ok(());
    }
    Err(io::Error::other(sentence))
}

/// How busy the machine is: what others do is in the figures.
fn print_machine(when: &str) {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split_whitespace().take(3).collect();
    println!("load {when}: {}", load.join(" "));
}
