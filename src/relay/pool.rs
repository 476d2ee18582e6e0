//! Buffers and pipes that transfers use one after the other.
//!
//! Bounds: [`IDLE_BUFFERS`] of each size and [`IDLE_PIPES`] are kept when nobody uses them;
//! [`WIDE_PIPES`] of [`WIDE_BYTES`] exist at once, [`EARLY_PIPES`] of them for transfers that may turn
//! out short, and [`PIPES`] in all, beyond which relays copy: the kernel gives a user 16,384 pages
//! of pipe (`fs.pipe-user-pages-soft`), then starves them.

use std::io;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sys::splice::Pipe;

/// Bytes of a buffer for a short transfer.
const SMALL_BYTES: usize = 64 * 1024;
/// Bytes of a buffer for a long one.
const LARGE_BYTES: usize = 256 * 1024;
/// How many buffers of a size are kept.
const IDLE_BUFFERS: usize = 32;
/// Bytes of a wide pipe.
const WIDE_BYTES: usize = 1024 * 1024;
/// A pipe that holds less is not worth its calls: the budget is spent.
const LEAST_BYTES: usize = 64 * 1024;
/// How many wide pipes there are at once.
const WIDE_PIPES: usize = 32;
/// How many of them transfers may have that have just begun: the rest is for those that turn out long.
const EARLY_PIPES: usize = 16;
/// How many pipes there are at once.
const PIPES: usize = 512;
/// How many pipes are kept.
const IDLE_PIPES: usize = 32;

/// What is kept for the next transfers.
#[derive(Debug, Default)]
pub struct Pool {
    /// Buffers of [`SMALL_BYTES`].
    small: Mutex<Vec<Box<[u8]>>>,
    /// Buffers of [`LARGE_BYTES`].
    large: Mutex<Vec<Box<[u8]>>>,
    /// Pipes.
    pipes: Mutex<Pipes>,
}

/// The pipes of a pool.
#[derive(Debug, Default)]
struct Pipes {
    /// Empty and unused.
    idle: Vec<Pipe>,
    /// How many there are, idle or not.
    all: usize,
    /// How many of them are wide.
    wide: usize,
    /// How many wide ones were given to transfers that had just begun.
    early: usize,
}

impl Pipes {
    /// An unused pipe, a new one where there is none.
    fn any(&mut self) -> Option<Pipe> {
        self.idle.pop().or_else(|| self.fresh())
    }

    /// The same, but a wide one.
    fn any_wide(&mut self) -> Option<Pipe> {
        if let Some(place) = self.idle.iter().rposition(is_wide) {
            return Some(self.idle.swap_remove(place));
        }
        // A narrow one is made where no wide one is to be had.
        if self.all > self.wide {
            return None;
        }
        let pipe = self.fresh()?;
        if is_wide(&pipe) {
            return Some(pipe);
        }
        self.idle.push(pipe);
        None
    }

    /// A new pipe, wide as long as there are few.
    fn fresh(&mut self) -> Option<Pipe> {
        if self.all >= PIPES {
            return None;
        }
        let mut pipe = Pipe::new().ok()?;
        if self.wide < WIDE_PIPES {
            pipe.widen(WIDE_BYTES);
        }
        if pipe.capacity() < LEAST_BYTES {
            return None;
        }
        self.all = self.all.saturating_add(1);
        self.wide = self.wide.saturating_add(usize::from(is_wide(&pipe)));
        Some(pipe)
    }

    /// Forgets a pipe that was dropped.
    fn forget(&mut self, pipe: &Pipe) {
        self.all = self.all.saturating_sub(1);
        self.wide = self.wide.saturating_sub(usize::from(is_wide(pipe)));
    }
}

/// Whether it is a wide one.
fn is_wide(pipe: &Pipe) -> bool {
    pipe.capacity() >= WIDE_BYTES
}

impl Pool {
    /// A buffer for a short transfer.
    pub(super) fn small(self: &Arc<Self>) -> Buffer {
        self.buffer(SMALL_BYTES)
    }

    /// A buffer for a long transfer.
    pub(super) fn large(self: &Arc<Self>) -> Buffer {
        self.buffer(LARGE_BYTES)
    }

    /// A buffer of one of the two sizes.
    fn buffer(self: &Arc<Self>, length: usize) -> Buffer {
        let kept = lock(self.shelf(length)).pop();
        Buffer {
            bytes: kept.unwrap_or_else(|| vec![0; length].into_boxed_slice()),
            pool: Arc::clone(self),
        }
    }

    /// Where buffers of a size are kept.
    const fn shelf(&self, length: usize) -> &Mutex<Vec<Box<[u8]>>> {
        if length == SMALL_BYTES {
            &self.small
        } else {
            &self.large
        }
    }

    /// An empty pipe for a long transfer, if there is one to be had.
    pub(super) fn pipe(self: &Arc<Self>) -> Option<PipeLease> {
        let pipe = lock(&self.pipes).any()?;
        Some(self.lend(pipe, false))
    }

    /// An empty pipe for a transfer that begins, if there is one to spare.
    pub(super) fn early_pipe(self: &Arc<Self>) -> Option<PipeLease> {
        let mut pipes = lock(&self.pipes);
        if pipes.early >= EARLY_PIPES {
            return None;
        }
        let pipe = pipes.any_wide()?;
        pipes.early = pipes.early.saturating_add(1);
        Some(self.lend(pipe, true))
    }

    /// Lends a pipe.
    fn lend(self: &Arc<Self>, pipe: Pipe, is_early: bool) -> PipeLease {
        PipeLease {
            pipe: Some(pipe),
            is_early,
            pool: Arc::clone(self),
        }
    }
}

/// Locks; a thread that panicked with the lock leaves nothing half done here.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A buffer that goes back to its pool.
#[derive(Debug)]
pub(super) struct Buffer {
    /// Its bytes.
    bytes: Box<[u8]>,
    /// Where it goes back to.
    pool: Arc<Pool>,
}

impl Buffer {
    /// All of it, or its first `most` bytes, to read into.
    pub(super) fn room(&mut self, most: usize) -> &mut [u8] {
        let length = self.bytes.len().min(most);
        self.bytes.get_mut(..length).unwrap_or_default()
    }

    /// A part of it; empty where there is no such part.
    pub(super) fn slice(&self, start: usize, end: usize) -> &[u8] {
        self.bytes.get(start..end).unwrap_or_default()
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        let mut kept = lock(self.pool.shelf(bytes.len()));
        if kept.len() < IDLE_BUFFERS {
            kept.push(bytes);
        }
    }
}

/// A pipe that goes back to its pool, if it is empty then.
#[derive(Debug)]
pub(super) struct PipeLease {
    /// The pipe; there until the drop.
    pipe: Option<Pipe>,
    /// It was given to a transfer that began.
    is_early: bool,
    /// Where it goes back to.
    pool: Arc<Pool>,
}

impl PipeLease {
    /// How many bytes the pipe holds.
    pub(super) fn held(&self) -> usize {
        self.pipe.as_ref().map_or(0, Pipe::held)
    }

    /// [`Pipe::fill`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn fill(&mut self, source: &impl AsFd) -> io::Result<usize> {
        self.pipe()?.fill(source)
    }

    /// [`Pipe::drain`].
    ///
    /// # Errors
    /// As there.
    pub(super) fn drain(&mut self, sink: &impl AsFd) -> io::Result<usize> {
        self.pipe()?.drain(sink)
    }

    /// The pipe, which only a dropped lease does not have.
    ///
    /// # Errors
    /// `BrokenPipe` then.
    fn pipe(&mut self) -> io::Result<&mut Pipe> {
        self.pipe
            .as_mut()
            .ok_or_else(|| io::ErrorKind::BrokenPipe.into())
    }
}

impl Drop for PipeLease {
    fn drop(&mut self) {
        let Some(pipe) = self.pipe.take() else {
            return;
        };
        let mut pipes = lock(&self.pool.pipes);
        pipes.early = pipes.early.saturating_sub(usize::from(self.is_early));
        if pipe.held() == 0 && pipes.idle.len() < IDLE_PIPES {
            pipes.idle.push(pipe);
        } else {
            pipes.forget(&pipe);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn pipes_are_used_again() {
        let pool = Arc::new(Pool::default());
        drop(pool.pipe().unwrap());
        let first = pool.pipe().unwrap();
        assert_eq!(lock(&pool.pipes).all, 1);
        let second = pool.pipe().unwrap();
        drop((first, second));
        assert_eq!(lock(&pool.pipes).idle.len(), 2);
    }

    #[test]
    fn buffers_are_used_again() {
        let pool = Arc::new(Pool::default());
        drop((pool.small(), pool.small(), pool.large()));
        assert_eq!(lock(&pool.small).len(), 2);
        assert_eq!(lock(&pool.large).len(), 1);
        let kept: Vec<_> = (0..=IDLE_BUFFERS).map(|_| pool.small()).collect();
        assert!(lock(&pool.small).is_empty());
        drop(kept);
        assert_eq!(lock(&pool.small).len(), IDLE_BUFFERS);
    }

    #[test]
    fn a_pipe_that_holds_bytes_is_not_used_again() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut writer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (source, _) = listener.accept().unwrap();
        writer.write_all(b"left over").unwrap();
        let pool = Arc::new(Pool::default());
        let mut lease = pool.pipe().unwrap();
        assert_eq!(lease.fill(&source).unwrap(), 9);
        assert_eq!(lease.held(), 9);
        drop(lease);
        assert!(lock(&pool.pipes).idle.is_empty());
        assert_eq!(lock(&pool.pipes).all, 0);
    }

    #[test]
    fn transfers_that_begin_leave_wide_pipes_to_those_that_are_long() {
        let pool = Arc::new(Pool::default());
        let early: Vec<_> = (0..EARLY_PIPES)
            .map(|_| pool.early_pipe().unwrap())
            .collect();
        assert!(pool.early_pipe().is_none());
        let long: Vec<_> = (EARLY_PIPES..WIDE_PIPES)
            .map(|_| pool.pipe().unwrap())
            .collect();
        assert!(
            long.iter()
                .all(|lease| lease.pipe.as_ref().is_some_and(is_wide))
        );
        drop(early);
        assert!(pool.early_pipe().is_some());
        assert_eq!(lock(&pool.pipes).early, 0);
        assert_eq!(lock(&pool.pipes).wide, WIDE_PIPES);
    }

    #[test]
    fn pipes_have_a_bound() {
        let pool = Arc::new(Pool::default());
        lock(&pool.pipes).all = PIPES;
        assert!(pool.pipe().is_none() && pool.early_pipe().is_none());
    }
}
