//! One control connection: what is to be written, when it may be read, how it ends.
//!
//! Bounds: a peer that takes no byte for the stall limit is given up; the end waits
//! [`FLUSH`] for what is queued and [`LINGER`] for the peer's own end, so that the last reply is
//! not destroyed by a reset.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::session::End;
use crate::sys::socket;
use crate::tls::channel::Channel;
use crate::tls::fault::HandshakeFault;
use crate::tls::handshake::Handshake;
use crate::tls::stream::{receive, send};

/// How long an end waits for queued bytes to go out.
const FLUSH: Duration = Duration::from_secs(10);
/// How long it waits for the peer's end behind them.
const LINGER: Duration = Duration::from_secs(2);
/// How long a peer may take that is to end by itself.
const PARTING: Duration = Duration::from_millis(500);
/// How many bytes of several pieces make one TLS record.
const RECORD_BYTES: usize = 16 * 1024;
/// How many pieces one write takes.
const PIECES: usize = 16;
/// How many bytes of an ended connection are thrown away; who sends more is not waiting for our
/// last word.
pub(super) const DISCARD_BYTES: usize = 1024 * 1024;
/// How many are read for that at a time.
pub(super) const DISCARD_BUFFER_BYTES: usize = 2 * 1024;

/// What happened on a control connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum LegEvent {
    /// It has ended; told once.
    Ended(End),
    /// Bytes went out, or an end came nearer.
    Progress,
    /// There may be bytes to read.
    Readable,
    /// It is under TLS; told once.
    Secured,
    /// Its handshake failed; told once.
    Unsecured(HandshakeFault),
}

/// What a read came to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Read {
    /// What was read gave no plaintext yet; there may be more to read: ask again.
    Again,
    /// So many bytes.
    Bytes(usize),
    /// The end; told once.
    Ended(End),
    /// Nothing at the moment.
    Nothing,
}

/// How far a control connection has come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Stage {
    /// It is not there yet.
    Absent,
    /// It is gone.
    Closed,
    /// It is to be closed once its queue is out, or then at the latest.
    Flushing(Instant),
    /// It is closed on our side; the peer has until then.
    Lingering(Instant),
    /// It is in use.
    Open,
    /// All is said; the peer has until then to end first.
    Parting(Instant),
}

/// Bytes to be written.
#[derive(Debug)]
pub(super) struct Piece {
    /// The bytes.
    bytes: Bytes,
    /// They are one byte that goes out as urgent data.
    urgent: bool,
}

/// What is to be written, in its order.
pub(super) type Queue = VecDeque<Piece>;

/// The protection of a control connection.
enum Security {
    /// In clear.
    Clear,
    /// Its handshake has failed: it is neither in clear nor under TLS, and nothing more is said.
    Failed,
    /// Its handshake begins once the queue is out, or is under way.
    Turning(Handshake),
    /// Under TLS.
    Tls(Box<Channel>),
}

/// What is known of a peer's urgent data, before which a read stops.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Urgent {
    /// It sends none.
    Never,
    /// It may send some.
    Possible,
    /// It may have sent some, with bytes behind it, of which the runtime will not tell.
    Hidden,
}

/// One control connection.
pub(super) struct ControlLeg {
    /// What may stop a read.
    urgent: Urgent,
    /// The connection, unless it is absent or closed.
    stream: Option<TcpStream>,
    /// Its protection.
    security: Security,
    /// How far it has come.
    stage: Stage,
    /// What is to be written.
    queue: Queue,
    /// Nothing can be written any more.
    broken: bool,
    /// Its end was read.
    read_ended: bool,
    /// That is still to be told.
    untold: Option<End>,
    /// A read may have left bytes, and the runtime has not told of any since.
    left_over: bool,
    /// Since when the peer has taken nothing of the queue.
    stalled: Option<Instant>,
    /// How many bytes were thrown away behind our end.
    discarded: usize,
}

impl ControlLeg {
    /// The client's, which is not there yet. It may bring urgent data.
    pub(super) const fn of_client() -> Self {
        Self::absent(Urgent::Possible)
    }

    /// The server's, which is not there yet.
    pub(super) const fn of_server() -> Self {
        Self::absent(Urgent::Never)
    }

    /// One that is not there yet.
    const fn absent(urgent: Urgent) -> Self {
        Self {
            urgent,
            stream: None,
            security: Security::Clear,
            stage: Stage::Absent,
            queue: VecDeque::new(),
            broken: false,
            read_ended: false,
            untold: None,
            left_over: false,
            stalled: None,
            discarded: 0,
        }
    }

    /// Its connection has this keepalive from now on.
    pub(super) fn follow_keepalive(&self, keepalive: Duration) {
        if let Some(stream) = &self.stream {
            // An option that cannot be set says that the connection is broken: a read tells.
            socket::tune(stream, keepalive).ok();
        }
    }

    /// Takes its connection. One that was closed before it came stays closed.
    pub(super) fn open(&mut self, stream: TcpStream) {
        if self.stage == Stage::Absent {
            self.stream = Some(stream);
            self.stage = Stage::Open;
        }
    }

    /// Turns it to TLS once what is queued is out.
    pub(super) fn secure(&mut self, handshake: Handshake) {
        if self.is_open() {
            self.security = Security::Turning(handshake);
        }
    }

    /// Writes `bytes` in clear to a peer whose handshake failed, if the socket takes them at once.
    pub(super) fn say_in_clear(&self, bytes: &[u8]) {
        if let Some(stream) = &self.stream {
            stream.try_write(bytes).ok();
        }
    }

    /// Its TLS, if it is under TLS.
    pub(super) const fn channel(&self) -> Option<&Channel> {
        match &self.security {
            Security::Tls(channel) => Some(channel),
            Security::Clear | Security::Failed | Security::Turning(_) => None,
        }
    }

    /// Whether lines can be read and written, in clear or under TLS.
    const fn speaks(&self) -> bool {
        matches!(self.security, Security::Clear | Security::Tls(_))
    }

    /// Whether it is gone, or never came.
    pub(super) const fn is_closed(&self) -> bool {
        matches!(self.stage, Stage::Absent | Stage::Closed)
    }

    /// Whether it is in use.
    pub(super) const fn is_open(&self) -> bool {
        matches!(self.stage, Stage::Open)
    }

    /// How many bytes are still to be written; under TLS, what the socket has not taken counts as
    /// one.
    pub(super) fn queued(&self) -> usize {
        if self.queue.is_empty() {
            return usize::from(self.has_unsent());
        }
        let queued: usize = self.queue.iter().map(|piece| piece.bytes.len()).sum();
        queued.saturating_add(usize::from(self.has_unsent()))
    }

    /// Whether TLS holds bytes that the socket has not taken, and may still take.
    fn has_unsent(&self) -> bool {
        !self.broken && self.channel().is_some_and(Channel::has_unsent)
    }

    /// Queues bytes.
    pub(super) fn queue(&mut self, bytes: Bytes) {
        self.enqueue(bytes, false);
    }

    /// Queues one byte of urgent data.
    pub(super) fn queue_urgent(&mut self, byte: u8) {
        self.enqueue(Bytes::copy_from_slice(&[byte]), true);
    }

    /// Queues a piece, unless nothing can be written. Behind the word that begins TLS nothing is
    /// said in clear.
    fn enqueue(&mut self, bytes: Bytes, urgent: bool) {
        if self.is_open() && self.speaks() && !self.broken && !bytes.is_empty() {
            self.queue.push_back(Piece { bytes, urgent });
        }
    }

    /// Writes what the connection takes at once.
    pub(super) fn flush(&mut self, now: Instant) {
        if self.queue.is_empty() && self.is_open() && !self.has_unsent() {
            // A handshake writes for itself.
            return;
        }
        while let Some(stream) = &self.stream
            && (!self.queue.is_empty() || self.has_unsent())
        {
            let is_last = matches!(self.stage, Stage::Flushing(_));
            let written = match &mut self.security {
                Security::Clear | Security::Failed | Security::Turning(_) => {
                    write_once(stream, &self.queue, is_last)
                }
                Security::Tls(channel) => write_secured(stream, channel, &self.queue, is_last),
            };
            match written {
                Ok(0) if !self.queue.is_empty() => self.give_up(),
                Ok(bytes) => self.written(bytes),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stalled.get_or_insert(now);
                    break;
                }
                Err(_) => self.give_up(),
            }
        }
        if self.queue.is_empty() && !self.has_unsent() {
            self.stalled = None;
            if matches!(self.stage, Stage::Flushing(_)) {
                self.finish(now);
            }
        }
    }

    /// The connection took bytes.
    fn written(&mut self, mut bytes: usize) {
        self.stalled = None;
        while let Some(front) = self.queue.front_mut() {
            let taken = bytes.min(front.bytes.len());
            front.bytes.advance(taken);
            bytes = bytes.saturating_sub(taken);
            if !front.bytes.is_empty() {
                break;
            }
            self.queue.pop_front();
        }
    }

    /// Works with the memory of `queue` where it has none of its own.
    pub(super) fn take_up(&mut self, queue: &mut Queue) {
        if self.queue.capacity() == 0 {
            std::mem::swap(&mut self.queue, queue);
        }
    }

    /// Gives back as `queue` what holds nothing.
    pub(super) fn put_away(&mut self, queue: &mut Queue) {
        if self.queue.is_empty() {
            *queue = std::mem::take(&mut self.queue);
        }
    }

    /// Nothing can be written any more; what the peer sent before may still be read.
    fn give_up(&mut self) {
        self.broken = true;
        self.queue = VecDeque::new();
        self.stalled = None;
    }

    /// Ends our side, now that the queue is out.
    fn finish(&mut self, now: Instant) {
        let ended = self.read_ended || self.broken;
        self.finish_tls();
        let finished = self
            .stream
            .as_ref()
            .is_some_and(|stream| socket::shut_down(stream).is_ok());
        if finished && !ended {
            self.stage = Stage::Lingering(later(now, LINGER));
        } else {
            self.stream = None;
            self.stage = Stage::Closed;
        }
    }

    /// Says that nothing more comes under TLS.
    fn finish_tls(&mut self) {
        if let (Security::Tls(channel), Some(stream)) = (&mut self.security, &self.stream) {
            channel.close(|raw| send(stream, raw));
        }
    }

    /// Closes it in order once a peer that ends by itself has done so, or had [`PARTING`] for it: whose
    /// side ends a connection first has its port in `TIME_WAIT` behind that, and towards a server there
    /// are only so many of ours.
    pub(super) fn await_end(&mut self, now: Instant) {
        if self.is_open() && self.queued() == 0 && !self.read_ended && !self.broken {
            self.finish_tls();
            self.stage = Stage::Parting(later(now, PARTING));
        } else {
            self.close(End::Fin, now);
        }
    }

    /// Closes it: in order once the queue is out, or with a reset at once.
    pub(super) fn close(&mut self, end: End, now: Instant) {
        match (self.stage, end) {
            (Stage::Absent, _) => self.stage = Stage::Closed,
            (Stage::Open, End::Fin) => {
                self.stage = Stage::Flushing(later(now, FLUSH));
                self.flush(now);
            }
            (_, End::Reset) => self.reset(),
            (
                Stage::Closed | Stage::Flushing(_) | Stage::Lingering(_) | Stage::Parting(_),
                End::Fin,
            ) => {}
        }
    }

    /// Resets it.
    fn reset(&mut self) {
        if let Some(stream) = self.stream.take() {
            socket::arm_reset(&stream).ok();
        }
        self.give_up();
        self.stage = Stage::Closed;
    }

    /// Bounds an end that is under way to `limit` from now.
    pub(super) fn hurry(&mut self, now: Instant, limit: Duration) {
        if let Stage::Flushing(until) | Stage::Lingering(until) | Stage::Parting(until) =
            &mut self.stage
        {
            *until = (*until).min(later(now, limit));
        }
    }

    /// What happens next. Bytes are looked for if `may_read`.
    pub(super) fn poll(
        &mut self,
        may_read: bool,
        now: Instant,
        context: &mut Context<'_>,
    ) -> Poll<LegEvent> {
        let Some(stream) = &self.stream else {
            return Poll::Pending;
        };
        if self.queue.is_empty()
            && self.stage == Stage::Open
            && let Security::Turning(handshake) = &mut self.security
        {
            return handshake.poll(stream, context).map(|result| match result {
                Ok(channel) => {
                    self.security = Security::Tls(channel);
                    // What came with the handshake's end was told with that.
                    self.left_over = true;
                    LegEvent::Secured
                }
                Err(fault) => {
                    self.security = Security::Failed;
                    LegEvent::Unsecured(fault)
                }
            });
        }
        let waits = !self.queue.is_empty() || self.has_unsent();
        if waits && stream.poll_write_ready(context).is_ready() {
            self.flush(now);
            return Poll::Ready(LegEvent::Progress);
        }
        if self.read_ended {
            let is_due = may_read && self.stage == Stage::Open;
            return match self.untold.take_if(|_| is_due) {
                Some(end) => Poll::Ready(LegEvent::Ended(end)),
                None => Poll::Pending,
            };
        }
        match self.stage {
            Stage::Open if !self.speaks() => Poll::Pending,
            Stage::Open if may_read => {
                if self.channel().is_some_and(Channel::has_unread) {
                    return Poll::Ready(LegEvent::Readable);
                }
                ready!(stream.poll_read_ready(context)).ok();
                Poll::Ready(LegEvent::Readable)
            }
            Stage::Open if self.broken => {
                self.read_ended = true;
                Poll::Ready(LegEvent::Ended(End::Reset))
            }
            Stage::Flushing(_) | Stage::Lingering(_) | Stage::Parting(_) => {
                ready!(stream.poll_read_ready(context)).ok();
                self.discard();
                Poll::Ready(LegEvent::Progress)
            }
            Stage::Absent | Stage::Closed | Stage::Open => Poll::Pending,
        }
    }

    /// Reads what the runtime knows to be there.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Read {
        let Some(stream) = &self.stream else {
            return Read::Nothing;
        };
        let result = match &mut self.security {
            Security::Clear => {
                let (result, urgent) = receive_all(stream, buffer, self.urgent);
                self.urgent = urgent;
                result
            }
            Security::Failed | Security::Turning(_) => return Read::Nothing,
            Security::Tls(channel) => {
                let urgent = &mut self.urgent;
                let read = |raw: &mut [u8]| {
                    let result = receive(stream, raw);
                    if *urgent != Urgent::Never && result.is_ok() {
                        *urgent = Urgent::Hidden;
                    }
                    result
                };
                channel.read(read, buffer)
            }
        };
        self.left_over = match &self.security {
            Security::Tls(_) => self.may_have_come(),
            _ => result.as_ref().is_ok_and(|bytes| *bytes == buffer.len()),
        };
        self.take(result)
    }

    /// Whether the runtime has told of bytes since the last read.
    pub(super) const fn is_news(&self) -> bool {
        !self.left_over
    }

    /// Whether there may be bytes to read, or an end, for all that the runtime knows.
    pub(super) fn may_have_come(&self) -> bool {
        self.untold.is_some()
            || self.channel().is_some_and(Channel::has_unread)
            || self
                .stream
                .as_ref()
                .is_some_and(|stream| stream.try_io(Interest::READABLE, || Ok(())).is_ok())
    }

    /// Whether bytes may have come of which [`ControlLeg::poll`] will not tell.
    pub(super) const fn may_hide_bytes(&self) -> bool {
        matches!(self.urgent, Urgent::Hidden)
    }

    /// Reads what the kernel has at this moment, whatever the runtime knows of it: how many bytes,
    /// and the end if it has come. A single read would stop before urgent data.
    pub(super) fn read_now(&mut self, buffer: &mut [u8]) -> (usize, Option<End>) {
        if let Some(end) = self.untold.take() {
            return (0, Some(end));
        }
        let mut filled = 0_usize;
        if self.may_hide_bytes() {
            self.urgent = Urgent::Possible;
        }
        while !self.read_ended
            && let Some(stream) = &self.stream
            && let Some(rest @ [_, ..]) = buffer.get_mut(filled..)
        {
            let result = match &mut self.security {
                Security::Clear => socket::receive_now(stream, rest),
                Security::Failed | Security::Turning(_) => break,
                Security::Tls(channel) => {
                    channel.read(|raw| socket::receive_now(stream, raw), rest)
                }
            };
            match self.take(result) {
                Read::Bytes(bytes) => {
                    // The runtime has yet to tell of them, and what comes next may be told with them.
                    self.left_over = true;
                    filled = filled.saturating_add(bytes);
                }
                Read::Ended(end) => return (filled, Some(end)),
                Read::Again | Read::Nothing => break,
            }
        }
        (filled, None)
    }

    /// An end that was read before its time: it is told once the leg may be read.
    pub(super) const fn put_off(&mut self, end: End) {
        self.untold = Some(end);
    }

    /// What a read came to.
    fn take(&mut self, result: io::Result<usize>) -> Read {
        match result {
            Ok(0) => {
                self.read_ended = true;
                Read::Ended(if self.broken { End::Reset } else { End::Fin })
            }
            Ok(bytes) => Read::Bytes(bytes),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Read::Nothing,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Read::Again,
            // Clients rarely announce the end of their control connection: nothing is lost by it.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.read_ended = true;
                Read::Ended(if self.broken { End::Reset } else { End::Fin })
            }
            Err(_) => {
                self.read_ended = true;
                self.give_up();
                Read::Ended(End::Reset)
            }
        }
    }

    /// Throws away what comes behind our own end.
    fn discard(&mut self) {
        let mut buffer = [0; DISCARD_BUFFER_BYTES];
        let Some(stream) = &self.stream else { return };
        let result = stream.try_read(&mut buffer);
        match self.take(result) {
            Read::Again | Read::Nothing => return,
            Read::Ended(_) => {}
            Read::Bytes(bytes) => {
                self.discarded = self.discarded.saturating_add(bytes);
                self.read_ended = self.discarded >= DISCARD_BYTES;
            }
        }
        let is_said = matches!(self.stage, Stage::Lingering(_) | Stage::Parting(_));
        if self.read_ended && (self.broken || is_said) {
            self.stream = None;
            self.stage = Stage::Closed;
        }
    }

    /// When [`ControlLeg::expire`] is to be called. A peer that takes nothing has `stall_limit`.
    pub(super) fn deadline(&self, stall_limit: Duration) -> Option<Instant> {
        match self.stage {
            Stage::Flushing(until) | Stage::Lingering(until) | Stage::Parting(until) => Some(until),
            Stage::Open => self.stalled.map(|since| later(since, stall_limit)),
            Stage::Absent | Stage::Closed => None,
        }
    }

    /// Its deadline may have come; returns the end of one that was in use.
    pub(super) fn expire(&mut self, now: Instant, stall_limit: Duration) -> Option<End> {
        if self
            .deadline(stall_limit)
            .is_none_or(|deadline| deadline > now)
        {
            return None;
        }
        let was_open = self.is_open();
        match self.stage {
            Stage::Lingering(_) => {
                self.stream = None;
                self.stage = Stage::Closed;
            }
            Stage::Parting(_) => self.finish(now),
            Stage::Absent | Stage::Closed | Stage::Flushing(_) | Stage::Open => self.reset(),
        }
        was_open.then_some(End::Reset)
    }
}

/// Reads what there is; a read that did not fill `buffer` has left nothing, and the runtime is
/// told so: the next look at the socket waits for more to come instead of asking the kernel.
///
/// A read also stops before urgent data, which clients send in the middle of a line: where one of
/// a client's ends in that, the kernel is asked. Behind a line there may be some all the same;
/// what is known of that is the second that is returned. A server is to send none: where a read ends in
/// the middle of its line, it is looked at once whether more is there.
///
/// # Errors
/// As of a read; `WouldBlock` where there is nothing.
fn receive_all(
    stream: &TcpStream,
    buffer: &mut [u8],
    urgent: Urgent,
) -> (io::Result<usize>, Urgent) {
    let mut received = None;
    let result = stream.try_io(Interest::READABLE, || {
        let bytes = socket::receive_now(stream, buffer)?;
        let is_line = buffer
            .get(..bytes)
            .is_some_and(|read| read.ends_with(b"\n"));
        let is_all =
            bytes < buffer.len() && (is_line || urgent == Urgent::Never && !has_more(stream));
        if bytes == 0 || !is_all {
            return Ok(bytes);
        }
        received = Some(bytes);
        Err(io::ErrorKind::WouldBlock.into())
    });
    match (received, urgent) {
        (Some(bytes), Urgent::Never) => (Ok(bytes), urgent),
        (Some(bytes), _) => (Ok(bytes), Urgent::Hidden),
        (None, Urgent::Hidden) if result.is_ok() => (result, Urgent::Possible),
        (None, _) => (result, urgent),
    }
}

/// Whether the kernel has more to be read; where it does not say, the next read will.
fn has_more(stream: &TcpStream) -> bool {
    socket::has_unread(stream).unwrap_or(true)
}

/// One write of what stands first in `queue`. The end of the connection follows at once what
/// `is_last`.
///
/// # Errors
/// As of a write.
fn write_once(stream: &TcpStream, queue: &Queue, is_last: bool) -> io::Result<usize> {
    if let Some(Piece {
        bytes,
        urgent: true,
    }) = queue.front()
    {
        let byte = bytes.first().copied().unwrap_or_default();
        return stream.try_io(Interest::WRITABLE, || socket::send_urgent(stream, byte));
    }
    if let (Some(piece), 1) = (queue.front(), queue.len()) {
        return if is_last {
            stream.try_io(Interest::WRITABLE, || {
                socket::send_last(stream, &piece.bytes)
            })
        } else {
            stream.try_write(&piece.bytes)
        };
    }
    let mut slices = [IoSlice::new(&[]); PIECES];
    let plain = queue.iter().take_while(|piece| !piece.urgent);
    let mut count = 0_usize;
    for (slice, piece) in slices.iter_mut().zip(plain) {
        *slice = IoSlice::new(&piece.bytes);
        count = count.saturating_add(1);
    }
    stream.try_write_vectored(slices.get(..count).unwrap_or_default())
}

/// One write under TLS of what stands first in `queue`; 0 where that was only what had been held.
/// That the connection ends is announced with what `is_last`.
///
/// # Errors
/// As of a write.
fn write_secured(
    stream: &TcpStream,
    channel: &mut Channel,
    queue: &Queue,
    is_last: bool,
) -> io::Result<usize> {
    let mut write = |raw: &[IoSlice<'_>]| send(stream, raw);
    // Replies that wait together leave in one record and one segment, as many as a record holds.
    let mut room = RECORD_BYTES;
    let together = queue.iter().take_while(|piece| {
        let left = room.checked_sub(piece.bytes.len());
        room = left.unwrap_or_default();
        left.is_some()
    });
    let count = together.count();
    let joined: Vec<u8>;
    let bytes: &[u8] = match queue.front() {
        None => return channel.flush(write).map(|()| 0),
        Some(piece) if count <= 1 => &piece.bytes,
        Some(_) => {
            let pieces = queue.iter().take(count).map(|piece| piece.bytes.as_ref());
            joined = pieces.collect::<Vec<&[u8]>>().concat();
            &joined
        }
    };
    if is_last && count.max(1) == queue.len() {
        channel.write_last(&mut write, bytes)
    } else {
        channel.write(&mut write, bytes)
    }
}

/// `limit` after `now`; a limit beyond what the clock can tell is a year.
pub(super) fn later(now: Instant, limit: Duration) -> Instant {
    const YEAR: Duration = Duration::from_hours(365 * 24);
    now.checked_add(limit).unwrap_or_else(|| now + YEAR)
}
