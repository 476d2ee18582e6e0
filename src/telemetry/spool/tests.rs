use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use metrics::Counter;

use super::{BYTES_MAX, Shared, Spool, Target};
use crate::telemetry::tests::until;

/// Long enough for a test that is going to fail anyway.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a [`Gate`] does with the next write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    /// Takes all.
    Open,
    /// Waits.
    Shut,
    /// Takes this many bytes in all, then fails.
    Room(usize),
}

/// A stream that a test opens and shuts.
#[derive(Clone)]
struct Gate(Arc<(Mutex<State>, Condvar)>);

/// What it does, what it took, and how often it was tried.
type State = (Mode, Vec<u8>, usize);

impl Gate {
    fn new(mode: Mode) -> Self {
        Self(Arc::new((
            Mutex::new((mode, Vec::new(), 0)),
            Condvar::new(),
        )))
    }

    fn set(&self, mode: Mode) {
        self.0.0.lock().unwrap().0 = mode;
        self.0.1.notify_all();
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.0.lock().unwrap().1.clone()).unwrap()
    }

    /// Waits until this many writes were tried.
    fn tried(&self, count: usize) {
        let state = self.0.0.lock().unwrap();
        let (_state, outcome) = self
            .0
            .1
            .wait_timeout_while(state, PATIENCE, |(_, _, tried)| *tried < count)
            .unwrap();
        assert!(!outcome.timed_out(), "nothing was written");
    }
}

impl Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.0.lock().unwrap();
        state.2 += 1;
        self.0.1.notify_all();
        while state.0 == Mode::Shut {
            state = self.0.1.wait(state).unwrap();
        }
        let count = match state.0 {
            Mode::Room(0) => return Err(io::ErrorKind::StorageFull.into()),
            Mode::Room(room) => {
                let count = room.min(bytes.len());
                state.0 = Mode::Room(room - count);
                count
            }
            Mode::Open | Mode::Shut => bytes.len(),
        };
        state.1.extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A spool into a gate, with room for `lines`, and the count of lost ones.
fn spool(gate: &Gate, lines: usize) -> (Spool, Arc<AtomicU64>) {
    let lost = Arc::new(AtomicU64::new(0));
    let target = Target::Stream(Box::new(gate.clone()));
    let counter = Counter::from_arc(Arc::clone(&lost));
    let spool = Spool::with_room("test", target, counter, lines).unwrap();
    (spool, lost)
}

fn line(number: usize) -> Vec<u8> {
    format!("line {number}\n").into_bytes()
}

fn lines(numbers: impl IntoIterator<Item = usize>) -> String {
    let bytes: Vec<u8> = numbers.into_iter().flat_map(line).collect();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn lines_come_out_in_their_order() {
    let gate = Gate::new(Mode::Open);
    let (spool, lost) = spool(&gate, 2_000);
    for number in 0..1_000 {
        spool.push(line(number));
    }
    assert!(spool.flush(PATIENCE));
    assert_eq!(gate.text(), lines(0..1_000));
    assert_eq!(lost.load(Ordering::Relaxed), 0);
}

/// Waits until no line is left of a spool that is gone.
fn until_empty(shared: &Shared) {
    let waiting = shared.waiting.lock().unwrap();
    let (_waiting, outcome) = shared
        .written
        .wait_timeout_while(waiting, PATIENCE, |()| {
            shared.lines.load(Ordering::Acquire) > 0
        })
        .unwrap();
    assert!(!outcome.timed_out(), "lines are left");
}

#[test]
fn a_spool_that_goes_away_writes_what_it_has() {
    let gate = Gate::new(Mode::Shut);
    let (spool, lost) = spool(&gate, 64);
    for number in 0..10 {
        spool.push(line(number));
    }
    let shared = Arc::clone(&spool.shared);
    drop(spool);
    gate.set(Mode::Open);
    until_empty(&shared);
    assert_eq!(gate.text(), lines(0..10));
    assert_eq!(lost.load(Ordering::Relaxed), 0);
}

#[test]
fn what_does_not_fit_is_dropped_and_counted_and_nobody_waits() {
    let gate = Gate::new(Mode::Shut);
    let (spool, lost) = spool(&gate, 8);
    for number in 0..20 {
        spool.push(line(number));
    }
    assert_eq!(lost.load(Ordering::Relaxed), 12);
    assert!(!spool.flush(Duration::from_millis(10)), "the gate is shut");
    gate.set(Mode::Open);
    assert!(spool.flush(PATIENCE));
    assert_eq!(gate.text(), lines(0..8));
    spool.push(line(20));
    assert!(spool.flush(PATIENCE));
    assert_eq!(gate.text(), lines((0..8).chain([20])));
    assert_eq!(lost.load(Ordering::Relaxed), 12);
}

#[test]
fn bytes_are_bounded_as_well_as_lines() {
    let gate = Gate::new(Mode::Shut);
    let (spool, lost) = spool(&gate, 64);
    let long = vec![b'x'; BYTES_MAX / 4];
    for _ in 0..5 {
        spool.push(long.clone());
    }
    assert_eq!(lost.load(Ordering::Relaxed), 1);
    assert!(spool.is_at_risk());
    gate.set(Mode::Open);
}

#[test]
fn risk_begins_at_three_quarters_and_ends_below_the_half() {
    let gate = Gate::new(Mode::Shut);
    let (spool, _) = spool(&gate, 16);
    for number in 0..12 {
        spool.push(line(number));
    }
    assert!(!spool.is_at_risk());
    spool.push(line(12));
    assert!(spool.is_at_risk());
    spool.shared.release(4, 0);
    assert!(spool.is_at_risk(), "nine of sixteen are left");
    spool.shared.release(2, 0);
    assert!(!spool.is_at_risk(), "seven of sixteen are left");
    spool.shared.lines.fetch_add(6, Ordering::Relaxed);
    gate.set(Mode::Open);
}

#[test]
fn a_full_disk_costs_lines_and_never_half_of_one() {
    let gate = Gate::new(Mode::Room(10));
    let (spool, lost) = spool(&gate, 64);
    // Seven bytes each: the first one fits, the second is torn, the others are lost.
    spool.push(line(0));
    gate.tried(1);
    assert!(spool.flush(PATIENCE));
    for number in 1..5 {
        spool.push(line(number));
    }
    // The torn line waits for its end; only what was dropped is counted.
    gate.tried(3);
    gate.set(Mode::Open);
    spool.push(line(5));
    assert!(spool.flush(PATIENCE));
    let text = gate.text();
    let written = text.lines().count() as u64;
    assert_eq!(written + lost.load(Ordering::Relaxed), 6);
    assert!(text.starts_with("line 0\nline 1\n"), "{text}");
    assert!(text.ends_with("line 5\n"), "{text}");
    assert!(text.lines().all(|line| line.len() == 6), "{text}");
}

#[test]
fn what_must_be_kept_survives_a_full_disk() {
    let gate = Gate::new(Mode::Room(10));
    let (spool, lost) = spool(&gate, 64);
    spool.keep(true);
    for number in 0..5 {
        spool.push(line(number));
    }
    gate.tried(3);
    assert!(spool.is_at_risk(), "the last write failed");
    gate.set(Mode::Open);
    spool.reopen();
    assert!(spool.flush(PATIENCE));
    assert_eq!(gate.text(), lines(0..5));
    assert_eq!(lost.load(Ordering::Relaxed), 0);
    assert!(!spool.is_at_risk());
}

#[test]
fn a_disk_that_was_full_when_nothing_was_kept_is_tried_again() {
    let gate = Gate::new(Mode::Room(0));
    let (spool, lost) = spool(&gate, 64);
    spool.push(line(0));
    assert!(spool.flush(PATIENCE));
    assert_eq!(lost.load(Ordering::Relaxed), 1);
    assert!(spool.is_at_risk(), "the last write failed");
    gate.set(Mode::Open);
    // From now on nobody hands in a line before it is known to be safe.
    spool.keep(true);
    until(|| !spool.is_at_risk());
}

#[test]
fn a_full_disk_does_not_outlive_its_spool() {
    let gate = Gate::new(Mode::Room(0));
    let (spool, lost) = spool(&gate, 64);
    spool.keep(true);
    let long = || [vec![b'x'; 100 << 10], vec![b'\n']].concat();
    for _ in 0..3 {
        spool.push(long());
    }
    gate.tried(1);
    let shared = Arc::clone(&spool.shared);
    drop(spool);
    until_empty(&shared);
    assert_eq!(lost.load(Ordering::Relaxed), 3);
}

/// A spool into a file, and the count of lost lines.
fn file_spool(path: &Path) -> (Spool, Arc<AtomicU64>) {
    let lost = Arc::new(AtomicU64::new(0));
    let counter = Counter::from_arc(Arc::clone(&lost));
    let spool = Spool::new("test", Target::file(path).unwrap(), counter).unwrap();
    (spool, lost)
}

#[test]
fn the_full_device_loses_everything_and_stalls_nothing() {
    let (spool, lost) = file_spool(Path::new("/dev/full"));
    for number in 0..100 {
        spool.push(line(number));
    }
    assert!(spool.flush(PATIENCE));
    assert_eq!(lost.load(Ordering::Relaxed), 100);
}

#[test]
fn a_file_is_appended_to_and_opened_again_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    std::fs::write(&path, "before\n").unwrap();
    let (spool, lost) = file_spool(&path);
    spool.push(line(1));
    assert!(spool.flush(PATIENCE));
    let moved = directory.path().join("audit.jsonl.1");
    std::fs::rename(&path, &moved).unwrap();
    spool.reopen();
    spool.push(line(2));
    assert!(spool.flush(PATIENCE));
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "before\nline 1\n");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "line 2\n");
    assert_eq!(lost.load(Ordering::Relaxed), 0);
}

#[test]
fn a_line_that_somebody_was_cut_off_in_is_ended_before_another_begins() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    for (before, after) in [
        ("", "line 1\nline 2\n"),
        ("whole\n", "whole\nline 1\nline 2\n"),
        ("whole\nha", "whole\nha\nline 1\nline 2\n"),
    ] {
        std::fs::write(&path, before).unwrap();
        let (spool, lost) = file_spool(&path);
        spool.push(line(1));
        assert!(spool.flush(PATIENCE));
        spool.push(line(2));
        assert!(spool.flush(PATIENCE));
        assert_eq!(std::fs::read_to_string(&path).unwrap(), after);
        assert_eq!(lost.load(Ordering::Relaxed), 0);
    }
}

#[test]
fn a_line_that_is_torn_begins_anew_behind_what_is_there_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    std::fs::write(&path, "line 0\n").unwrap();
    let (spool, _) = file_spool(&path);
    // Half of it got there before the file took no more.
    std::fs::write(&path, "line 0\nlin").unwrap();
    spool.reopen();
    spool.push(line(1));
    assert!(spool.flush(PATIENCE));
    let text = std::fs::read_to_string(&path).unwrap();
    assert_eq!(text, "line 0\nlin\nline 1\n");
}

#[test]
fn a_file_that_cannot_be_opened_again_stays_open() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("audit.jsonl");
    let (spool, lost) = file_spool(&path);
    let moved = directory.path().join("audit.jsonl.1");
    std::fs::rename(&path, &moved).unwrap();
    std::fs::create_dir(&path).unwrap();
    spool.reopen();
    spool.push(line(1));
    assert!(spool.flush(PATIENCE));
    assert_eq!(std::fs::read_to_string(&moved).unwrap(), "line 1\n");
    assert_eq!(lost.load(Ordering::Relaxed), 0);
}

#[test]
fn a_file_that_cannot_be_opened_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    assert!(Target::file(directory.path()).is_err());
    assert!(Target::file(&directory.path().join("none/audit.jsonl")).is_err());
}
