//! The cost of one event.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::let_underscore_must_use,
    clippy::needless_pass_by_value,
    clippy::missing_docs_in_private_items,
    clippy::allow_attributes,
    reason = "a benchmark that cannot go on stops"
)]

#[path = "cases/telemetry.rs"]
mod case;

use case::{command, recorder};
use divan::{Bencher, black_box};
use ftpwarden::session::{Fact, Origin};

fn main() {
    divan::main();
}

/// A reply to a client.
#[divan::bench]
fn reply(bencher: Bencher<'_, '_>) {
    let mut recorder = recorder(None);
    bencher.bench_local(|| {
        recorder.note(black_box(Fact::Reply {
            code: 226,
            origin: Origin::Server,
        }));
    });
}

/// A reply of a server.
#[divan::bench]
fn server_reply(bencher: Bencher<'_, '_>) {
    let mut recorder = recorder(None);
    bencher.bench_local(|| recorder.note(black_box(Fact::ServerReply { code: 226 })));
}

/// A command, without an audit file.
#[divan::bench(sample_size = 1000)]
fn command_counted(bencher: Bencher<'_, '_>) {
    let mut recorder = recorder(None);
    bencher
        .with_inputs(command)
        .bench_local_values(|fact| recorder.note(fact));
}

/// A command, with one.
// Fewer in all than the queue holds: what is dropped costs nothing.
#[divan::bench(sample_size = 100, sample_count = 100)]
fn command_audited(bencher: Bencher<'_, '_>) {
    let mut recorder = recorder(Some("/dev/null"));
    bencher
        .with_inputs(command)
        .bench_local_values(|fact| recorder.note(fact));
}
