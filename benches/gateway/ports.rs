//! Where everybody listens: one range of ports, and an address of the loopback network each.
//!
//! The stub's control port is the first of the range and its data ports follow. Whoever stands in
//! front of it listens on the same ports at an address of its own, so that a relay needs no map.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener as Probe};
use std::ops::Range;

use tokio::net::{TcpListener, TcpSocket};

/// How many data ports the stub has: more than any row has clients with a transfer at once.
const DATA: u16 = 64;
/// The first port that is tried, below those that the system gives out by itself.
const FIRST: u16 = 12_000;
/// How far apart two runs on one machine are.
const APART: u16 = 100;

/// The stub's address.
pub(crate) const STUB: Ipv4Addr = Ipv4Addr::new(127, 77, 0, 1);

/// The data ports of the range that begins with `base`.
pub(crate) const fn data(base: u16) -> Range<u16> {
    base + 1..base + 1 + DATA
}

/// Where FTPS is spoken, by a subject that speaks both.
pub(crate) const fn tls(base: u16) -> u16 {
    base + 1 + DATA
}

/// Where metrics are.
pub(crate) const fn admin(base: u16) -> u16 {
    base + 2 + DATA
}

/// A range that no other run uses.
pub(crate) fn find() -> io::Result<u16> {
    (FIRST..30_000)
        .step_by(APART.into())
        .find(|base| Probe::bind((STUB, *base)).is_ok())
        .ok_or_else(|| io::ErrorKind::AddrInUse.into())
}

/// Listens with a backlog that a thousand clients at once fit in.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4_096)
}

/// Tells the parent that all sockets listen.
pub(crate) fn say_ready() {
    println!("ready");
    io::stdout().flush().ok();
}
