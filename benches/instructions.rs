//! How many instructions reading, deciding, stepping and counting take, whatever else the machine does.
//!
//! Each case runs twice under `valgrind`, the second time with more repetitions: what is between
//! both is theirs alone, without start and preparation. The last recorded figures are in
//! `benches/instructions.tsv`; `cargo bench --bench instructions -- --record` writes them anew, and
//! without `--record` it fails where a case takes more than [`TOLERANCE`] beyond its figure.
//! Without `--bench`, which `cargo bench` gives, each case runs a few times as it is.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::missing_docs_in_private_items,
    clippy::allow_attributes,
    reason = "a benchmark that cannot go on stops"
)]

#[path = "cases/policy.rs"]
mod policy;
#[path = "cases/session.rs"]
mod session;
#[path = "cases/telemetry.rs"]
mod telemetry;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::io;
use std::process::{Command as Program, ExitCode};

use bytes::Bytes;
use divan::black_box;
use ftpwarden::ftp::command::Command;
use ftpwarden::ftp::line::LineReader;
use ftpwarden::ftp::reply::ReplyReader;
use ftpwarden::session::{Fact, Leg, Origin};
use policy::Others;

/// Repetitions of the first run; the second has those of the case on top.
const FIRST: u32 = 10;
/// What another compiler or C library may add.
const TOLERANCE: f64 = 0.05;
/// Where the recorded figures are.
const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.tsv");

/// What is counted: its name, how often it is done (more where it is little beside what starts), and
/// how to do it so many times.
type Case = (&'static str, u32, fn(u32));

/// Every case.
const CASES: &[Case] = &[
    ("frame a short line", 1_000, |count| {
        frame(count, b"NOOP\r\n");
    }),
    ("frame a line with a path", 1_000, |count| {
        frame(count, b"STOR /in/acme/ORDERS20261125.edi\r\n");
    }),
    ("parse and encode NOOP", 1_000, |count| {
        parse(count, b"NOOP");
    }),
    ("parse and encode STOR with a path", 1_000, |count| {
        parse(count, b"STOR /in/acme/ORDERS20261125.edi");
    }),
    ("read a reply", 1_000, reply),
    ("decide STOR, 10 rules for other users", 1_000, |count| {
        store(count, Others::Users, 10);
    }),
    ("decide STOR, 1,000 rules for other users", 100, |count| {
        store(count, Others::Users, 1_000);
    }),
    ("decide STOR, 10,000 rules for other users", 20, |count| {
        store(count, Others::Users, 10_000);
    }),
    ("decide STOR, 10 rules for other paths", 1_000, |count| {
        store(count, Others::Paths, 10);
    }),
    ("decide STOR, 1,000 rules for other paths", 20, |count| {
        store(count, Others::Paths, 1_000);
    }),
    ("decide PASV, 10 rules for others", 1_000, |count| {
        decide(count, Others::Users, 10, b"PASV");
    }),
    ("decide PASV, 10,000 rules for others", 1_000, |count| {
        decide(count, Others::Users, 10_000, b"PASV");
    }),
    ("refuse SITE, 10 rules for others", 1_000, |count| {
        decide(count, Others::Users, 10, b"SITE CHMOD 777 x");
    }),
    ("refuse SITE, 10,000 rules for others", 1_000, |count| {
        decide(count, Others::Users, 10_000, b"SITE CHMOD 777 x");
    }),
    ("session: NOOP and its reply", 1_000, forwarded),
    ("session: a refused SITE", 1_000, refused),
    ("session: a login", 500, login),
    ("count a reply", 50_000, |count| {
        note(count, || Fact::Reply {
            code: 226,
            origin: Origin::Server,
        });
    }),
    ("count a reply of a server", 50_000, |count| {
        note(count, || Fact::ServerReply { code: 226 });
    }),
    ("count a command", 50_000, |count| {
        note(count, telemetry::command);
    }),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [role, number, count] = arguments.as_slice()
        && role == "case"
    {
        CASES[number.parse::<usize>().unwrap()].2(count.parse().unwrap());
        return ExitCode::SUCCESS;
    }
    if !arguments.iter().any(|argument| argument == "--bench") {
        for (_, _, run) in CASES {
            run(2);
        }
        return ExitCode::SUCCESS;
    }
    match measure(arguments.iter().any(|argument| argument == "--record")) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Counts all cases and prints them beside what was recorded.
fn measure(records: bool) -> io::Result<()> {
    let text = fs::read_to_string(RECORD).unwrap_or_default();
    let recorded: BTreeMap<&str, f64> = text
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .filter_map(|(name, count)| Some((name, count.parse().ok()?)))
        .collect();
    println!("| work | instructions | recorded | change |");
    println!("|---|---|---|---|");
    let mut record = String::new();
    let mut worse = Vec::new();
    for (number, (name, count, _)) in CASES.iter().enumerate() {
        let between = count_run(number, FIRST + count)? - count_run(number, FIRST)?;
        let each = between / f64::from(*count);
        writeln!(record, "{name}\t{each:.0}").unwrap();
        match recorded.get(name) {
            Some(before) => {
                let change = each / before - 1.0;
                println!(
                    "| {name} | {each:.0} | {before:.0} | {:+.1} % |",
                    change * 100.0
                );
                worse.extend((change > TOLERANCE).then_some(*name));
            }
            None => println!("| {name} | {each:.0} | – | – |"),
        }
    }
    if records {
        fs::write(RECORD, record)?;
    } else if !worse.is_empty() {
        let names = worse.join("; ");
        return Err(io::Error::other(format!("more than recorded: {names}")));
    }
    Ok(())
}

/// Instructions of one run of this program, as valgrind counts them.
fn count_run(number: usize, count: u32) -> io::Result<f64> {
    let output = Program::new("valgrind")
        .args([
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
        ])
        .arg(std::env::current_exe()?)
        .args(["case", &number.to_string(), &count.to_string()])
        .output()
        .map_err(|error| io::Error::other(format!("valgrind: {error}; benches/install has it")))?;
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .filter_map(|line| line.split_once("refs:"))
        .find_map(|(_, figure)| figure.trim().replace(',', "").parse().ok())
        .ok_or_else(|| io::Error::other(text.into_owned()))
}

/// Frames a line.
fn frame(count: u32, line: &[u8]) {
    let mut reader = LineReader::new(510);
    for _ in 0..count {
        reader.push(black_box(line));
        black_box(reader.next_line());
    }
}

/// Parses a command and encodes it.
fn parse(count: u32, line: &'static [u8]) {
    let line = Bytes::from_static(line);
    for _ in 0..count {
        black_box(Command::parse(black_box(&line)).map(|command| command.encode())).ok();
    }
}

/// Reads a reply of one line.
fn reply(count: u32) {
    let mut reader = ReplyReader::new(64 * 1024, 16 * 1024 * 1024);
    for _ in 0..count {
        reader.push(black_box(b"226 Transfer complete.\r\n"));
        while black_box(reader.next_line()).is_some() {}
    }
}

/// Decides an upload that the last rule allows.
fn store(count: u32, others: Others, rules: usize) {
    decide(count, others, rules, b"STOR ORDERS20261125.edi");
}

/// Decides a command.
fn decide(count: u32, others: Others, rules: usize, line: &'static [u8]) {
    let judge = policy::judge(others, rules);
    let command = policy::command(line);
    let query = policy::query(&command, Some(b"/in/acme"));
    for _ in 0..count {
        black_box(judge.decide(black_box(&query)));
    }
}

/// A command that goes through, and its reply.
fn forwarded(count: u32) {
    let mut session = session::session(&session::made());
    for _ in 0..count {
        session::feed(&mut session, Leg::Client, b"NOOP\r\n");
        session::feed(&mut session, Leg::Server, b"200 NOOP ok.\r\n");
    }
}

/// A command that is refused.
fn refused(count: u32) {
    let mut session = session::session(&session::made());
    for _ in 0..count {
        session::feed(&mut session, Leg::Client, b"SITE CHMOD 777 x\r\n");
    }
}

/// From the dial to the 230.
fn login(count: u32) {
    let made = session::made();
    for _ in 0..count {
        black_box(session::session(&made));
    }
}

/// Counts a fact.
fn note(count: u32, fact: fn() -> Fact) {
    let mut recorder = telemetry::recorder(None);
    for _ in 0..count {
        recorder.note(&black_box(fact()));
    }
}
