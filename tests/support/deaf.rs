//! Ports at which nobody listens.
//!
//! One that is only closed may be the next that another test is given, and a dial is let in there.
//! These are bound for as long as they are held, so that nobody else gets them.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

/// A socket that has a port of `address`, and does not listen yet.
pub(crate) fn deaf(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    Ok(socket)
}

/// Nobody listens any more where `listener` did.
pub(crate) fn deafen(listener: TcpListener) -> io::Result<TcpSocket> {
    let address = listener.local_addr()?;
    drop(listener);
    deaf(address)
}
