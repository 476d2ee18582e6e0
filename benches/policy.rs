//! How long a decision takes, and how little it depends on rules for somebody else.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on stops"
)]

#[path = "cases/policy.rs"]
mod case;

use case::{COUNTS, command, judge, query};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// Decides one command again and again.
fn decide(bencher: Bencher<'_, '_>, count: usize, line: &'static [u8]) {
    let judge = judge(count);
    let command = command(line);
    let query = query(&command, Some(b"/in/acme"));
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
    let command = command(b"STOR ORDERS20261125.edi");
    let query = query(&command, None);
    bencher.bench_local(|| judge.needs_directory(black_box(&query)));
}
