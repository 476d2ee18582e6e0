//! `splice(2)`: bytes from socket to socket without passing through this process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::pipe::{
    PipeFlags, SpliceFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with, splice,
};

/// A pipe that holds bytes on their way between two sockets.
#[derive(Debug)]
pub struct Pipe {
    /// Where bytes come out.
    reader: OwnedFd,
    /// Where bytes go in.
    writer: OwnedFd,
    /// How many bytes it can hold.
    capacity: usize,
    /// How many bytes it holds.
    held: usize,
}

impl Pipe {
    /// A pipe of the system's default size.
    ///
    /// # Errors
    /// The process is out of descriptors.
    pub fn new() -> io::Result<Self> {
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let capacity = fcntl_getpipe_size(&reader)?;
        Ok(Self {
            reader,
            writer,
            capacity,
            held: 0,
        })
    }

    /// Asks for a size of `bytes`; the pipe stays as it is where the budget is spent.
    pub fn widen(&mut self, bytes: usize) {
        if let Ok(capacity) = fcntl_setpipe_size(&self.writer, bytes) {
            self.capacity = capacity;
        }
    }

    /// How many bytes it can hold.
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many bytes it holds.
    pub const fn held(&self) -> usize {
        self.held
    }

    /// Takes bytes from `source`; 0 is its end. To be called on an empty pipe only: a full one
    /// answers `WouldBlock` as well, which would be mistaken for the socket's.
    ///
    /// # Errors
    /// As of a read; `InvalidInput` where the socket cannot be spliced.
    pub fn fill(&mut self, source: &impl AsFd) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let bytes = splice(source, None, &self.writer, None, self.capacity, flags)?;
        self.held = self.held.saturating_add(bytes);
        Ok(bytes)
    }

    /// Gives bytes to `sink`.
    ///
    /// # Errors
    /// As of a write.
    pub fn drain(&mut self, sink: &impl AsFd) -> io::Result<usize> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        let bytes = splice(&self.reader, None, sink, None, self.held, flags)?;
        self.held = self.held.saturating_sub(bytes);
        Ok(bytes)
    }
}
