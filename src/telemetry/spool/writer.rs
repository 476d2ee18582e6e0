//! The writer thread of a spool: takes lines off the queue in batches and writes them out.
//!
//! Owns the file: when it is opened again, and what becomes of a line of which only a part could
//! be written. Must not know who hands lines in.

use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::{Message, Shared};
use crate::sys::file::{append_to, ends_within_a_line};
use crate::telemetry::clock;

/// How many bytes are written at once, about.
const BATCH_BYTES: usize = 128 * 1024;

/// How long the first line of a batch waits for others.
const LINGER: Duration = Duration::from_millis(10);

/// How often a name is looked up to see whether it still means the file that is open.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// How long a writer waits before it tries again what it must keep.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// How often a failure is told.
const COMPLAIN_EVERY: Duration = Duration::from_mins(1);

/// Where lines go.
pub(in crate::telemetry) enum Target {
    /// A file, appended to.
    File(OpenFile),
    /// A stream that cannot be opened again, and whose failures nobody is told of.
    Stream(Box<dyn Write + Send>),
}

/// A file and the name under which it was opened.
pub(in crate::telemetry) struct OpenFile {
    /// The name.
    path: PathBuf,
    /// The file.
    file: File,
    /// When the name was last looked up.
    looked: Instant,
    /// Whether its last line was cut off, and is to be ended before another one begins.
    torn: bool,
}

impl fmt::Debug for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(open) => formatter.debug_tuple("File").field(&open.path).finish(),
            Self::Stream(_) => formatter.write_str("Stream"),
        }
    }
}

impl Target {
    /// The file called `path`, created with mode 0640 where there is none.
    ///
    /// # Errors
    /// It cannot be opened for appending.
    pub(in crate::telemetry) fn file(path: &Path) -> io::Result<Self> {
        OpenFile::open(path).map(Self::File)
    }
}

impl OpenFile {
    /// The file called `path`, to be appended to.
    ///
    /// # Errors
    /// It cannot be opened.
    fn open(path: &Path) -> io::Result<Self> {
        let file = append_to(path)?;
        Ok(Self {
            torn: ends_within_a_line(&file, path),
            path: path.to_owned(),
            file,
            looked: clock::monotonic(),
        })
    }

    /// Writes some of `bytes`, which begin a line or go on with one of ours. The line that somebody was
    /// cut off in is ended first.
    ///
    /// # Errors
    /// The file takes no more.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.torn {
            self.file.write_all(b"\n")?;
            self.torn = false;
        }
        self.file.write(bytes)
    }

    /// Whether the name means another file by now, or none: logrotate moved ours away.
    fn has_moved(&mut self) -> bool {
        let now = clock::monotonic();
        if now.duration_since(self.looked) < LOOK_EVERY {
            return false;
        }
        self.looked = now;
        let Ok(ours) = self.file.metadata() else {
            return true;
        };
        std::fs::metadata(&self.path).map_or(true, |named| {
            (named.dev(), named.ino()) != (ours.dev(), ours.ino())
        })
    }
}

/// The writer thread's state.
pub(super) struct Writer {
    /// The queue.
    receiver: Receiver<Message>,
    /// What the spool sees as well.
    shared: Arc<Shared>,
    /// Where lines go.
    target: Target,
    /// Whole lines to be written.
    batch: Vec<u8>,
    /// How many bytes of the batch, all of its first line, are written already.
    written: usize,
    /// How many lines the batch has.
    lines: usize,
    /// When a failure was last told.
    complained: Option<Instant>,
}

impl Writer {
    /// A writer of what comes out of `receiver`.
    pub(super) fn new(receiver: Receiver<Message>, shared: Arc<Shared>, target: Target) -> Self {
        Self {
            receiver,
            shared,
            target,
            batch: Vec::with_capacity(BATCH_BYTES),
            written: 0,
            lines: 0,
            complained: None,
        }
    }

    /// Writes until the spool is gone.
    pub(super) fn run(mut self) {
        while let Ok(message) = self.receiver.recv() {
            self.take(message);
            self.linger();
            while self.fill() {
                self.write_out();
            }
            self.write_out();
        }
        // What is left could not be written, and nobody will try again.
        self.shared.lose(self.lines);
        self.shared.release(self.lines, self.batch.len());
    }

    /// Lets more lines come. Who hands one in now wakes nobody, which costs more than the line.
    fn linger(&self) {
        if !self.shared.closing.load(Ordering::Acquire) {
            std::thread::park_timeout(LINGER);
        }
    }

    /// Fills the batch from the queue. Whether there may be more.
    fn fill(&mut self) -> bool {
        while self.batch.len() < BATCH_BYTES {
            match self.receiver.try_recv() {
                Ok(message) => self.take(message),
                Err(_) => return false,
            }
        }
        true
    }

    /// Takes one message in.
    fn take(&mut self, message: Message) {
        match message {
            Message::Line(line) => {
                self.batch.extend_from_slice(&line);
                self.lines = self.lines.saturating_add(1);
            }
            Message::Wake => {}
        }
    }

    /// Writes the batch, again and again where it must not be lost.
    fn write_out(&mut self) {
        loop {
            self.reopen_if_needed();
            let failure = self.write_batch().err();
            self.shared
                .broken
                .store(failure.is_some(), Ordering::Relaxed);
            let Some(failure) = failure else { break };
            self.complain("cannot write", &failure);
            if !self.shared.keep.load(Ordering::Relaxed) {
                self.drop_whole_lines();
                break;
            }
            if self.shared.closing.load(Ordering::Acquire) {
                // Nobody will try again, and there must be room for what else waits to be counted.
                self.drop_whole_lines();
                break;
            }
            std::thread::park_timeout(RETRY_AFTER);
        }
        if self.batch.capacity() > BATCH_BYTES.saturating_mul(2) && self.batch.is_empty() {
            self.batch = Vec::with_capacity(BATCH_BYTES);
        }
        let _waiting = self
            .shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.shared.written.notify_all();
    }

    /// Writes the batch as far as the target takes it.
    ///
    /// # Errors
    /// The target took no more.
    fn write_batch(&mut self) -> io::Result<()> {
        while self.written < self.batch.len() {
            let rest = self.batch.get(self.written..).unwrap_or_default();
            let outcome = match &mut self.target {
                Target::File(open) => open.write(rest),
                Target::Stream(stream) => stream.write(rest),
            };
            match outcome {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.forget(count),
                Err(failure) if failure.kind() == io::ErrorKind::Interrupted => {}
                Err(failure) => return Err(failure),
            }
        }
        if let Target::Stream(stream) = &mut self.target {
            stream.flush()?;
        }
        self.batch.clear();
        self.written = 0;
        Ok(())
    }

    /// Notes that `count` bytes more were written, and frees the room of the lines that are
    /// complete by that.
    fn forget(&mut self, count: usize) {
        let until = self.written.saturating_add(count);
        let done = self.batch.get(..until).unwrap_or(&self.batch);
        let whole = done
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |last| last.saturating_add(1));
        let lines = done.split(|byte| *byte == b'\n').count().saturating_sub(1);
        self.shared.release(lines, whole);
        self.lines = self.lines.saturating_sub(lines);
        self.batch.drain(..whole);
        self.written = until.saturating_sub(whole);
    }

    /// Drops every line of which nothing is written. A torn line stays: its end is written before
    /// anything else, so that the file stays one of whole lines.
    fn drop_whole_lines(&mut self) {
        let torn = if self.written == 0 {
            0
        } else {
            self.batch
                .iter()
                .position(|byte| *byte == b'\n')
                .map_or(self.batch.len(), |end| end.saturating_add(1))
        };
        let lost = self.lines.saturating_sub(usize::from(torn > 0));
        self.shared
            .release(lost, self.batch.len().saturating_sub(torn));
        self.shared.lose(lost);
        self.lines = self.lines.saturating_sub(lost);
        self.batch.truncate(torn);
    }

    /// Opens the file again where that was asked for, or where its name means another one.
    fn reopen_if_needed(&mut self) {
        let asked = self.shared.reopen.swap(false, Ordering::Acquire);
        let Target::File(open) = &mut self.target else {
            return;
        };
        if !asked && !open.has_moved() {
            return;
        }
        match OpenFile::open(&open.path) {
            Ok(file) => {
                *open = file;
                // A torn line begins anew in the new file, or behind what is there of it.
                self.written = 0;
            }
            Err(failure) => self.complain("cannot reopen", &failure),
        }
    }

    /// Tells of a failure, once a minute.
    fn complain(&mut self, what: &str, failure: &io::Error) {
        let Target::File(open) = &self.target else {
            return;
        };
        let now = clock::monotonic();
        if self
            .complained
            .is_some_and(|last| now.duration_since(last) < COMPLAIN_EVERY)
        {
            return;
        }
        self.complained = Some(now);
        tracing::error!(path = %open.path.display(), error = %failure, "{what} the audit file");
    }
}

#[cfg(test)]
mod tests;
