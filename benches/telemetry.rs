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

use std::sync::atomic::{AtomicBool, Ordering};

use case::{command, recorder, session, telemetry};
use divan::{Bencher, black_box};
use ftpwarden::session::{Fact, Origin};
use ftpwarden::telemetry::SessionRecorder;

fn main() {
    divan::main();
}

/// A reply to a client.
#[divan::bench]
fn reply(bencher: Bencher<'_, '_>) {
    let mut recorder = recorder(None);
    bencher.bench_local(|| {
        recorder.note(black_box(&Fact::Reply {
            code: 226,
            origin: Origin::Server,
        }));
    });
}

/// The same while somebody scrapes without a pause.
#[divan::bench]
fn reply_while_scraped(bencher: Bencher<'_, '_>) {
    let telemetry = telemetry(None, 1);
    let mut recorder = session(&telemetry, 0);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                black_box(telemetry.render());
            }
        });
        bencher.bench_local(|| {
            recorder.note(black_box(&Fact::Reply {
                code: 226,
                origin: Origin::Server,
            }));
        });
        done.store(true, Ordering::Relaxed);
    });
}

/// What a scrape of ten listeners costs that have worked since the last one: a thousand commands each.
#[divan::bench]
fn scrape_of_ten_listeners(bencher: Bencher<'_, '_>) {
    let telemetry = telemetry(None, 10);
    let mut recorders: Vec<_> = (0..10).map(|number| session(&telemetry, number)).collect();
    bencher
        .with_inputs(|| {
            for recorder in &mut recorders {
                for _ in 0..1000 {
                    work(recorder);
                }
            }
        })
        .bench_local_values(|()| black_box(telemetry.render()));
}

/// The same while all of them go on working on another thread.
#[divan::bench]
fn scrape_of_ten_listeners_that_work(bencher: Bencher<'_, '_>) {
    let telemetry = telemetry(None, 10);
    let mut recorders: Vec<_> = (0..10).map(|number| session(&telemetry, number)).collect();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for recorder in &mut recorders {
                    work(recorder);
                }
            }
        });
        bencher.bench_local(|| black_box(telemetry.render()));
        done.store(true, Ordering::Relaxed);
    });
}

/// A command and its reply.
fn work(recorder: &mut SessionRecorder) {
    recorder.note(&command());
    recorder.note(&Fact::ServerReply { code: 226 });
    recorder.note(&Fact::Reply {
        code: 226,
        origin: Origin::Server,
    });
}

/// A reply of a server.
#[divan::bench]
fn server_reply(bencher: Bencher<'_, '_>) {
    let mut recorder = recorder(None);
    bencher.bench_local(|| recorder.note(black_box(&Fact::ServerReply { code: 226 })));
}

/// A command, without an audit file.
#[divan::bench(sample_size = 1000)]
fn command_counted(bencher: Bencher<'_, '_>) {
    let mut recorder = recorder(None);
    bencher
        .with_inputs(command)
        .bench_local_refs(|fact| recorder.note(fact));
}

/// A command, with one.
// Fewer in all than the queue holds: what is dropped costs nothing.
#[divan::bench(sample_size = 100, sample_count = 100)]
fn command_audited(bencher: Bencher<'_, '_>) {
    let mut recorder = recorder(Some("/dev/null"));
    bencher
        .with_inputs(command)
        .bench_local_refs(|fact| recorder.note(fact));
}
