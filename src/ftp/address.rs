//! The addresses of data connections on the wire: PORT, EPRT, 227 and 229 (RFC 959, RFC 2428).
//!
//! Owns parsing and rendering. Must not know who the peers are: comparing is the session's.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;

/// An address family as EPRT and EPSV number it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Family {
    /// IPv4, number 1.
    V4,
    /// IPv6, number 2.
    V6,
}

impl Family {
    /// The family of `address`; an IPv4-mapped address is IPv4.
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
    /// Its number in EPRT and EPSV.
    pub const fn number(self) -> u8 {
        match self {
            Self::V4 => 1,
            Self::V6 => 2,
        }
    }
}

/// Why an EPRT or EPSV argument was refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum AddressFault {
    /// It does not have the form.
    Malformed,
    /// The family has a number other than 1 and 2.
    UnknownFamily,
}

/// The argument of EPSV.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Epsv {
    /// None: the control connection's family.
    Any,
    /// A family.
    Family(Family),
    /// ALL.
    All,
}

/// The argument of PORT: exactly six decimals from 0 to 255.
pub fn parse_port(_argument: &[u8]) -> Option<SocketAddr> {
    todo!()
}
/// The argument of EPRT. A scope id or a missing delimiter is malformed; IPv4-mapped addresses
/// are returned as they stand; port 0 is malformed.
///
/// # Errors
/// [`AddressFault`], by variant.
pub fn parse_eprt(_argument: &[u8]) -> Result<SocketAddr, AddressFault> {
    todo!()
}
/// The argument of EPSV.
///
/// # Errors
/// [`AddressFault`], by variant.
pub fn parse_epsv(_argument: &[u8]) -> Result<Epsv, AddressFault> {
    todo!()
}
/// The address in the text of a 227, parentheses or none: six decimals with commas between.
pub fn parse_227(_line: &[u8]) -> Option<SocketAddr> {
    todo!()
}
/// The port in the text of a 229: the last `(dddportd)`.
pub fn parse_229(_line: &[u8]) -> Option<u16> {
    todo!()
}
/// `227 Entering Passive Mode (h1,h2,h3,h4,p1,p2).` and CR LF; None for IPv6.
pub fn render_227(_address: SocketAddr) -> Option<Bytes> {
    todo!()
}
/// `229 Entering Extended Passive Mode (|||port|)` and CR LF.
pub fn render_229(_port: u16) -> Bytes {
    todo!()
}
/// `PORT h1,h2,h3,h4,p1,p2` and CR LF; None for IPv6.
pub fn render_port(_address: SocketAddr) -> Option<Bytes> {
    todo!()
}
/// `EPRT |n|address|port|` and CR LF.
pub fn render_eprt(_address: SocketAddr) -> Bytes {
    todo!()
}
