//! The bounded queue of a client's commands that wait for their turn.
//!
//! Only the head of the queue is worked on, so replies leave in the order of the commands
//! (law L2). Must not know what a command does, ABOR's haste apart.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::BytesMut;

use crate::ftp::command::{Command, Name};
use crate::ftp::line::{Framed, LineReader};
use crate::ftp::misbehaviour::ClientFault;
use crate::ftp::verb::Verb;

/// With the queue full, this many bytes more are read, and only searched for ABOR.
const OVERFLOW_BYTES: usize = 64 * 1024;

/// Empty lines in a row that are swallowed.
const EMPTY_LINES: u32 = 16;

/// A line of the client's in the queue.
pub(super) enum Item {
    /// A command.
    Command(Command),
    /// No command; the verb is told where the line begins with one of the table.
    Fault(ClientFault, Option<Verb>),
}

impl fmt::Debug for Item {
    /// Writes the verb alone: the operator may call any SITE argument a secret (law L4).
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(command) => write!(formatter, "Command({:?})", command.name),
            Self::Fault(fault, verb) => write!(formatter, "Fault({fault:?}, {verb:?})"),
        }
    }
}

/// An item and what is known of it.
#[derive(Debug)]
pub(super) struct Entry {
    /// The line.
    pub(super) item: Item,
    /// When its end was read.
    pub(super) read_at: Duration,
    /// How many more of the same follow: a run of NOOPs is one entry.
    repeats: u16,
    /// An ABOR that was acted on when it was read: only its reply is still owed.
    pub(super) acted: bool,
}

/// The queue, and the bytes behind it.
#[derive(Debug)]
pub(super) struct Pipeline {
    /// Bytes that are not yet commands.
    reader: LineReader,
    /// Commands that wait.
    queue: VecDeque<Entry>,
    /// How many may wait.
    bound: usize,
    /// Empty lines since the last other one.
    empty_lines: u32,
    /// The next ABOR to be taken from `reader` was acted on already.
    acted_ahead: bool,
}

impl Pipeline {
    /// A queue of at most `bound` commands of at most `line_bytes` raw bytes.
    pub(super) fn new(line_bytes: usize, bound: usize) -> Self {
        Self {
            reader: LineReader::new(line_bytes),
            queue: VecDeque::new(),
            bound,
            empty_lines: 0,
            acted_ahead: false,
        }
    }

    /// Bounds what waits from now on; what waits already stays.
    pub(super) const fn bound(&mut self, bound: usize) {
        self.bound = bound;
    }

    /// Takes bytes from the wire.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.reader.push(bytes);
    }

    /// Makes the next line an entry, if there is one and room for it.
    pub(super) fn pull(&mut self, now: Duration) -> bool {
        if self.is_full() {
            return false;
        }
        let Some(framed) = self.reader.next_line() else {
            return false;
        };
        let item = match framed {
            Framed::Line(line) => match Command::parse(&line) {
                Ok(command) => Item::Command(command),
                Err(fault) => Item::Fault(fault, verb_of(&line)),
            },
            Framed::Empty => {
                self.empty_lines = self.empty_lines.saturating_add(1);
                if self.empty_lines > EMPTY_LINES {
                    self.queue
                        .push_back(Entry::new(Item::Fault(ClientFault::EmptyLines, None), now));
                }
                return true;
            }
            Framed::Fault(fault, raw) => Item::Fault(fault, verb_of(&raw)),
        };
        self.empty_lines = 0;
        if let Some(last) = self.queue.back_mut()
            && last.repeats < u16::MAX
            && is_same_noop(&last.item, &item)
        {
            last.repeats = last.repeats.saturating_add(1);
            return true;
        }
        let mut entry = Entry::new(item, now);
        if self.acted_ahead && entry.is_abort() {
            self.acted_ahead = false;
            entry.acted = true;
        }
        self.queue.push_back(entry);
        true
    }

    /// The entry whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        let first = self.queue.front_mut()?;
        if let (Some(repeats), Item::Command(command)) = (first.repeats.checked_sub(1), &first.item)
        {
            let again = Entry::new(Item::Command(command.clone()), first.read_at);
            first.repeats = repeats;
            return Some(again);
        }
        self.queue.pop_front()
    }

    /// Works with this memory where it has none of its own.
    pub(super) fn take_up(&mut self, queue: &mut VecDeque<Entry>, lines: &mut BytesMut) {
        if self.queue.capacity() == 0 {
            std::mem::swap(&mut self.queue, queue);
        }
        self.reader.take_up(lines);
    }

    /// Gives back the memory that holds nothing.
    pub(super) fn put_away(&mut self, queue: &mut VecDeque<Entry>, lines: &mut BytesMut) {
        if self.queue.is_empty() {
            *queue = std::mem::take(&mut self.queue);
        }
        self.reader.put_away(lines);
    }

    /// The entry whose turn it is, if it is `verb` without argument.
    pub(super) fn first_if_bare(&self, verb: Verb) -> Option<&Command> {
        match &self.queue.front()?.item {
            Item::Command(command)
                if command.name == Name::Known(verb) && command.argument.is_none() =>
            {
                Some(command)
            }
            Item::Command(_) | Item::Fault(..) => None,
        }
    }

    /// Whether an ABOR waits that was not acted on, in the queue or, where that is full, behind.
    pub(super) fn has_abort(&mut self) -> bool {
        if self.queue.iter().any(Entry::is_abort_to_act_on) {
            return true;
        }
        self.is_full() && !self.acted_ahead && self.reader.finds_abort()
    }

    /// The first ABOR that waits counts as acted on.
    pub(super) fn mark_abort(&mut self) {
        match self
            .queue
            .iter_mut()
            .find(|entry| entry.is_abort_to_act_on())
        {
            Some(entry) => entry.acted = true,
            None => self.acted_ahead = true,
        }
    }

    /// Whether no more commands are taken for now.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= self.bound
    }

    /// Whether anything has come that was not worked on, if only a byte.
    pub(super) fn holds_anything(&self) -> bool {
        !self.queue.is_empty() || self.reader.buffered() > 0
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether an ABOR that was acted on waits for its turn.
    #[cfg(debug_assertions)]
    pub(super) fn owes_abort(&self) -> bool {
        self.acted_ahead || self.queue.iter().any(|entry| entry.acted)
    }

    /// Whether the client may be read. Where the queue has just lost its head it is not full, and
    /// what was read ahead is still there: that alone counts.
    pub(super) fn has_room(&self) -> bool {
        self.reader.buffered() < OVERFLOW_BYTES
    }

    /// Whether a line has begun and not ended.
    pub(super) fn in_line(&self) -> bool {
        self.reader.in_line()
    }
}

impl Entry {
    /// An entry read `now`.
    const fn new(item: Item, now: Duration) -> Self {
        Self {
            item,
            read_at: now,
            repeats: 0,
            acted: false,
        }
    }

    /// Whether this is an ABOR without an argument.
    fn is_abort(&self) -> bool {
        matches!(&self.item, Item::Command(command)
            if command.name == Name::Known(Verb::Abor) && command.argument.is_none())
    }

    /// Whether this is an ABOR that was not acted on.
    fn is_abort_to_act_on(&self) -> bool {
        !self.acted && self.is_abort()
    }
}

/// Whether both are a NOOP without an argument, spelled alike.
fn is_same_noop(one: &Item, other: &Item) -> bool {
    matches!((one, other), (Item::Command(one), Item::Command(other))
        if one == other && one.name == Name::Known(Verb::Noop) && one.argument.is_none())
}

/// The verb of the table that a rejected line begins with: all of it that may be logged, since
/// the rest may be a password (law L4).
fn verb_of(line: &[u8]) -> Option<Verb> {
    let end = line
        .iter()
        .position(|byte| !byte.is_ascii_alphanumeric())
        .unwrap_or(line.len());
    Verb::parse(line.get(..end)?)
}
