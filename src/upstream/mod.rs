//! Reaches the servers: names to addresses, addresses to connections.
//!
//! Must not know sessions, settings or what is said on a connection.

mod dial;
mod resolve;

pub use dial::{Dialled, Target, connect, connect_data, dial};
pub use resolve::{Answer, Lookup, Resolver};

use std::io;

/// Why a server could not be reached.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// Its name has no address.
    #[error("its name could not be resolved")]
    Name(#[source] io::Error),
    /// Refused, unreachable, or no descriptor or port to dial with.
    #[error("the connection was refused")]
    Refused(#[source] io::Error),
    /// No answer in time.
    #[error("no answer in time")]
    Timeout,
}
