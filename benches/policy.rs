//! How long a decision takes, and how little it depends on rules for something else.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on stops"
)]

#[path = "cases/policy.rs"]
mod case;

use case::{COUNTS, Others, command, judge, query};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// Decides one command again and again.
fn decide(bencher: Bencher<'_, '_>, others: Others, count: usize, line: &'static [u8]) {
    let judge = judge(others, count);
    let command = command(line);
    let query = query(&command, Some(b"/in/acme"));
    bencher.bench_local(|| judge.decide(black_box(&query)));
}

/// An upload that the last rule allows, behind those for other users.
#[divan::bench(args = COUNTS)]
fn allowed_by_the_last_rule(bencher: Bencher<'_, '_>, count: usize) {
    decide(bencher, Others::Users, count, b"STOR ORDERS20261125.edi");
}

/// The same behind those for other paths of the user's.
#[divan::bench(args = COUNTS)]
fn allowed_by_the_last_path(bencher: Bencher<'_, '_>, count: usize) {
    decide(bencher, Others::Paths, count, b"STOR ORDERS20261125.edi");
}

/// A verb that no rule names.
#[divan::bench(args = COUNTS)]
fn allowed_by_a_list(bencher: Bencher<'_, '_>, count: usize) {
    decide(bencher, Others::Users, count, b"PASV");
}

/// A verb that nothing allows.
#[divan::bench(args = COUNTS)]
fn denied_by_default(bencher: Bencher<'_, '_>, count: usize) {
    decide(bencher, Others::Users, count, b"SITE CHMOD 777 x");
}

/// Whether the directory must be asked for first.
#[divan::bench(args = COUNTS)]
fn needs_directory(bencher: Bencher<'_, '_>, count: usize) {
    let judge = judge(Others::Users, count);
    let command = command(b"STOR ORDERS20261125.edi");
    let query = query(&command, None);
    bencher.bench_local(|| judge.needs_directory(black_box(&query)));
}
