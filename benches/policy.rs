//! How long a decision takes, and how little it depends on rules for somebody else.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on stops"
)]

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use divan::{Bencher, black_box};
use ftpwarden::config;
use ftpwarden::ftp::command::Command;
use ftpwarden::policy::{Channels, Dialect, Judge, Query};

fn main() {
    divan::main();
}

/// How many rules are for other users.
const COUNTS: [usize; 3] = [10, 1_000, 10_000];

/// A judge whose policy has `count` rules for other users before the one that decides; made once.
fn judge(count: usize) -> &'static Judge {
    static JUDGES: [OnceLock<Judge>; COUNTS.len()] = [const { OnceLock::new() }; COUNTS.len()];
    let index = COUNTS.iter().position(|each| *each == count).unwrap();
    JUDGES[index].get_or_init(|| compile(count))
}

/// Compiles such a judge.
fn compile(count: usize) -> Judge {
    let mut source = String::from(
        "[listeners.main]\nbind = \"127.0.0.1:2121\"\nupstream = \"legacy\"\npolicy = \"case\"\n\
         [upstreams.legacy]\naddress = \"127.0.0.1:21\"\n\
         [policies.case]\nallow = [\"@session\"]\nrules = [\n",
    );
    for number in 0..count {
        writeln!(
            source,
            "{{ commands = \"STOR\", users = \"u{number}\", paths = \"/in/u{number}/*\", \
             action = \"allow\" }},"
        )
        .unwrap();
    }
    source.push_str(
        "{ commands = \"STOR\", users = \"acme\", paths = \"/in/{user}/*\", \
         filename = '[A-Z]{6}\\d{8}\\.edi', action = \"allow\" },\n]\n",
    );
    let loaded = config::parse(&source, "bench.toml").unwrap();
    let listener = &loaded.settings.listeners["main"];
    let upstream = &loaded.settings.upstreams["legacy"];
    Judge::new(
        Arc::clone(loaded.policies.get(&listener.policy).unwrap()),
        Arc::clone(loaded.policies.get(&upstream.policy).unwrap()),
        None,
        Dialect::default(),
        Vec::new(),
    )
}

/// Decides one command again and again.
fn decide(bencher: Bencher<'_, '_>, count: usize, line: &'static [u8]) {
    let judge = judge(count);
    let command = Command::parse(&Bytes::from_static(line)).unwrap();
    let query = Query {
        command: &command,
        user: Some(b"acme"),
        client: [192, 0, 2, 10].into(),
        directory: Some(b"/in/acme"),
        home: None,
        renaming: None,
        unix_time: 1_800_000_000,
        channels: Channels::default(),
    };
    bencher.bench_local(|| judge.decide(black_box(&query)));
}

/// An upload that the last rule allows.
#[divan::bench(args = COUNTS)]
fn allowed_by_the_last_rule(bencher: Bencher<'_, '_>, count: usize) {
    decide(bencher, count, b"STOR ORDERS20261125.edi");
}

/// A verb that no rule names.
#[divan::bench(args = COUNTS)]
fn allowed_by_a_list(bencher: Bencher<'_, '_>, count: usize) {
    decide(bencher, count, b"PASV");
}

/// A verb that nothing allows.
#[divan::bench(args = COUNTS)]
fn denied_by_default(bencher: Bencher<'_, '_>, count: usize) {
    decide(bencher, count, b"SITE CHMOD 777 x");
}

/// Whether the directory must be asked for first.
#[divan::bench(args = COUNTS)]
fn needs_directory(bencher: Bencher<'_, '_>, count: usize) {
    let judge = judge(count);
    let command = Command::parse(&Bytes::from_static(b"STOR ORDERS20261125.edi")).unwrap();
    let query = Query {
        command: &command,
        user: Some(b"acme"),
        client: [192, 0, 2, 10].into(),
        directory: None,
        home: None,
        renaming: None,
        unix_time: 1_800_000_000,
        channels: Channels::default(),
    };
    bencher.bench_local(|| judge.needs_directory(black_box(&query)));
}
