//! A bounded queue of lines and the one thread that writes them out.
//!
//! Owns the promise that a slow, full or broken sink never stalls who hands in a line: the queue
//! is bounded by [`LINES_MAX`] lines and [`BYTES_MAX`] bytes, and what does not fit is dropped and
//! counted. Must not know what the lines say. The writer is a plain thread: a file that hangs in
//! the kernel holds up nothing but itself.

mod writer;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use metrics::Counter;

pub(super) use writer::Target;
use writer::Writer;

/// How many lines wait at most.
pub(super) const LINES_MAX: usize = 16_384;

/// How many bytes wait at most.
pub(super) const BYTES_MAX: usize = 16 * 1024 * 1024;

/// What the writer thread is told.
enum Message {
    /// Write this line, which has its end.
    Line(Vec<u8>),
    /// Look at the flags.
    Wake,
}

/// What a spool and its writer thread both see.
#[derive(Debug)]
struct Shared {
    /// How many lines wait at most.
    lines_max: usize,
    /// Lines handed in and neither written nor lost.
    lines: AtomicUsize,
    /// Their bytes.
    bytes: AtomicUsize,
    /// Whether three quarters of a bound were passed, and the half not yet reached again.
    crowded: AtomicBool,
    /// Whether the last write failed.
    broken: AtomicBool,
    /// Whether what cannot be written is kept and tried again, rather than dropped.
    keep: AtomicBool,
    /// Whether the file is to be opened again.
    reopen: AtomicBool,
    /// Whether the spool is going away.
    closing: AtomicBool,
    /// Lines that were lost.
    lost: Counter,
    /// Held by those who wait for `written`.
    waiting: Mutex<()>,
    /// Told after each batch.
    written: Condvar,
}

impl Shared {
    /// Takes a line's room, or says that there is none.
    fn take(&self, bytes: usize) -> bool {
        let lines = self.lines.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let bytes_now = self
            .bytes
            .fetch_add(bytes, Ordering::Relaxed)
            .saturating_add(bytes);
        if lines > self.lines_max || bytes_now > BYTES_MAX {
            self.release(1, bytes);
            self.crowded.store(true, Ordering::Relaxed);
            return false;
        }
        if lines > self.lines_max / 4 * 3 || bytes_now > BYTES_MAX / 4 * 3 {
            self.crowded.store(true, Ordering::Relaxed);
        }
        true
    }

    /// Gives room back.
    fn release(&self, lines: usize, bytes: usize) {
        let lines_now = self
            .lines
            .fetch_sub(lines, Ordering::Relaxed)
            .saturating_sub(lines);
        let bytes_now = self
            .bytes
            .fetch_sub(bytes, Ordering::Relaxed)
            .saturating_sub(bytes);
        if lines_now < self.lines_max / 2 && bytes_now < BYTES_MAX / 2 {
            self.crowded.store(false, Ordering::Relaxed);
        }
    }

    /// Counts lines that will never be written.
    fn lose(&self, lines: usize) {
        self.lost.increment(lines as u64);
    }
}

/// A bounded queue of lines that a thread writes out.
#[derive(Debug)]
pub(super) struct Spool {
    /// Into the queue; None once the spool is going away.
    sender: Option<SyncSender<Message>>,
    /// What the writer sees as well.
    shared: Arc<Shared>,
    /// The writer thread.
    thread: JoinHandle<()>,
}

impl Spool {
    /// A spool that writes to `target` from a thread called `name` and counts in `lost` what it
    /// drops.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn new(name: &str, target: Target, lost: Counter) -> io::Result<Self> {
        Self::with_room(name, target, lost, LINES_MAX)
    }

    /// The same, for another number of lines.
    ///
    /// # Errors
    /// The thread cannot be started.
    fn with_room(name: &str, target: Target, lost: Counter, lines_max: usize) -> io::Result<Self> {
        let (sender, receiver) = sync_channel(lines_max);
        let shared = Arc::new(Shared {
            lines_max,
            lines: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            crowded: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            keep: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            closing: AtomicBool::new(false),
            lost,
            waiting: Mutex::new(()),
            written: Condvar::new(),
        });
        let writer = Writer::new(receiver, Arc::clone(&shared), target);
        let thread = Builder::new()
            .name(name.to_owned())
            .spawn(move || writer.run())?;
        Ok(Self {
            sender: Some(sender),
            shared,
            thread,
        })
    }

    /// Hands in a line, its end included. Never waits.
    pub(super) fn push(&self, line: Vec<u8>) {
        let bytes = line.len();
        if !self.shared.take(bytes) {
            self.shared.lose(1);
            return;
        }
        if !self.send(Message::Line(line)) {
            self.shared.release(1, bytes);
            self.shared.lose(1);
        }
    }

    /// Whether a line handed in now may be lost.
    pub(super) fn is_at_risk(&self) -> bool {
        self.shared.crowded.load(Ordering::Relaxed) || self.shared.broken.load(Ordering::Relaxed)
    }

    /// Whether what cannot be written is kept and tried again (true) or dropped (false). Where the last
    /// write has failed it is tried again at once: nobody may hand in a line before that.
    pub(super) fn keep(&self, keep: bool) {
        self.shared.keep.store(keep, Ordering::Relaxed);
        self.send(Message::Wake);
        self.thread.thread().unpark();
    }

    /// Opens the file again before the next line.
    pub(super) fn reopen(&self) {
        self.shared.reopen.store(true, Ordering::Release);
        // A full queue needs no waking.
        self.send(Message::Wake);
        self.thread.thread().unpark();
    }

    /// Waits until no line is left that is neither written nor lost; false if that takes longer
    /// than `patience`.
    pub(super) fn flush(&self, patience: Duration) -> bool {
        self.thread.thread().unpark();
        let shared = &self.shared;
        let waiting = shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (_waiting, outcome) = shared
            .written
            .wait_timeout_while(waiting, patience, |()| {
                shared.lines.load(Ordering::Acquire) > 0
            })
            .unwrap_or_else(PoisonError::into_inner);
        !outcome.timed_out()
    }

    /// How many lines are neither written nor lost.
    pub(super) fn waiting(&self) -> usize {
        self.shared.lines.load(Ordering::Acquire)
    }

    /// Puts a message into the queue; false if it is full.
    fn send(&self, message: Message) -> bool {
        self.sender
            .as_ref()
            .is_some_and(|sender| sender.try_send(message).is_ok())
    }
}

impl Drop for Spool {
    /// Waits for nothing: the writer ends by itself once it has written what is queued.
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Release);
        self.sender = None;
        self.thread.thread().unpark();
    }
}

#[cfg(test)]
mod tests;
