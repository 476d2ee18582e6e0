//! Reaches the servers: names to addresses, addresses to connections.
//!
//! Must not know sessions, settings or what is said on a connection.

mod dial;
mod resolve;

pub use dial::{Dialled, Target, connect, connect_data, dial};
pub use resolve::{Answer, Lookup, Resolver};

use std::io;

use crate::sys::socket;

/// Why a server could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Its name has no address.
    #[error("its name could not be resolved: {0}")]
    Name(#[source] io::Error),
    /// Nobody listens there, or somebody on the way says no.
    #[error("the connection was refused: {0}")]
    Refused(#[source] io::Error),
    /// No way leads there.
    #[error("it cannot be reached: {0}")]
    Unreachable(#[source] io::Error),
    /// The gateway would dial itself.
    #[error("the gateway itself listens there")]
    Loop,
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
    /// The gateway has no descriptor, port or memory to dial with, or not the address to dial from:
    /// nothing is known of the server.
    #[error("the gateway has no address, port or descriptor to dial with: {0}")]
    Local(#[source] io::Error),
}

impl From<io::Error> for Fault {
    /// What the error of a dial says.
    fn from(error: io::Error) -> Self {
        if socket::is_exhausted(&error) || error.kind() == io::ErrorKind::AddrNotAvailable {
            return Self::Local(error);
        }
        match error.kind() {
            io::ErrorKind::TimedOut => Self::Timeout,
            io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkDown => Self::Unreachable(error),
            _ => Self::Refused(error),
        }
    }
}

#[cfg(test)]
mod tests;
