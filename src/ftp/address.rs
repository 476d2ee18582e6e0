//! The addresses of data connections on the wire: PORT, EPRT, 227 and 229 (RFC 959, RFC 2428).
//!
//! Owns parsing and rendering. Must not know who the peers are: comparing is the session's.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use bytes::Bytes;

#[cfg(test)]
mod tests;

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

/// The argument of PORT: exactly six decimals from 0 to 255 with a comma between (RFC 959 §5.3.2).
pub fn parse_port(argument: &[u8]) -> Option<SocketAddr> {
    join(
        argument
            .split(|byte| *byte == b',')
            .map(|digits| parse_number(digits, 3)),
    )
}

/// The argument of EPRT. A scope id or a missing delimiter is malformed; IPv4-mapped addresses
/// are returned as they stand; port 0 is malformed.
///
/// # Errors
/// [`AddressFault`], by variant.
pub fn parse_eprt(argument: &[u8]) -> Result<SocketAddr, AddressFault> {
    let [_, family, address, port, _] = fields(argument).ok_or(AddressFault::Malformed)?;
    let family = parse_family(family)?;
    let address = std::str::from_utf8(address).map_err(|_| AddressFault::Malformed)?;
    // Neither takes a scope id, brackets, blanks or octal numbers.
    let address = match family {
        Family::V4 => address.parse().map(IpAddr::V4),
        Family::V6 => address.parse().map(IpAddr::V6),
    }
    .map_err(|_| AddressFault::Malformed)?;
    let port = parse_tcp_port(port).ok_or(AddressFault::Malformed)?;
    Ok(SocketAddr::new(address, port))
}

/// The argument of EPSV; blanks behind it are ignored.
///
/// # Errors
/// [`AddressFault`], by variant.
pub fn parse_epsv(argument: &[u8]) -> Result<Epsv, AddressFault> {
    let blanks = argument.iter().rev().take_while(|byte| **byte == b' ');
    let length = argument.len().saturating_sub(blanks.count());
    match argument.get(..length).unwrap_or_default() {
        b"" => Ok(Epsv::Any),
        word if word.eq_ignore_ascii_case(b"ALL") => Ok(Epsv::All),
        word => parse_family(word).map(Epsv::Family),
    }
}

/// The address in the text of a 227, parentheses or none: six decimals with commas between.
///
/// RFC 1123 §4.1.2.6 has clients scan for the first digit, since texts differ and parentheses
/// may be missing. A list of another length, or with a number above 255, is passed over whole.
/// Blanks behind commas are allowed, as clients allow them.
pub fn parse_227(line: &[u8]) -> Option<SocketAddr> {
    let mut rest = line;
    loop {
        let start = rest.iter().position(u8::is_ascii_digit)?;
        let (numbers, behind) = take_list(rest.get(start..)?);
        if let Some(address) = join(numbers.into_iter()) {
            return Some(address);
        }
        rest = behind;
    }
}

/// The port in the text of a 229: the last `(dddportd)`, where `d` is any byte from 33 to 126
/// (RFC 2428 §3).
pub fn parse_229(line: &[u8]) -> Option<u16> {
    line.iter()
        .enumerate()
        .rev()
        .filter(|(_, byte)| **byte == b'(')
        .find_map(|(open, _)| parse_extended(line.get(open.checked_add(1)?..)?))
}

/// `227 Entering Passive Mode (h1,h2,h3,h4,p1,p2).` and CR LF; None for IPv6.
pub fn render_227(address: SocketAddr) -> Option<Bytes> {
    let numbers = numbers(address)?;
    Some(format!("227 Entering Passive Mode ({numbers}).\r\n").into())
}

/// `229 Entering Extended Passive Mode (|||port|)` and CR LF.
pub fn render_229(port: u16) -> Bytes {
    format!("229 Entering Extended Passive Mode (|||{port}|)\r\n").into()
}

/// `PORT h1,h2,h3,h4,p1,p2` and CR LF; None for IPv6.
pub fn render_port(address: SocketAddr) -> Option<Bytes> {
    let numbers = numbers(address)?;
    Some(format!("PORT {numbers}\r\n").into())
}

/// `EPRT |n|address|port|` and CR LF; an IPv4-mapped address goes as IPv4.
pub fn render_eprt(address: SocketAddr) -> Bytes {
    let family = Family::of(address.ip()).number();
    let port = address.port();
    // An `IpAddr` has no scope id, which only its own host could understand.
    let address = address.ip().to_canonical();
    format!("EPRT |{family}|{address}|{port}|\r\n").into()
}

/// `h1,h2,h3,h4,p1,p2`; None for IPv6, IPv4-mapped addresses apart.
fn numbers(address: SocketAddr) -> Option<String> {
    let IpAddr::V4(host) = address.ip().to_canonical() else {
        return None;
    };
    let [h1, h2, h3, h4] = host.octets();
    let [p1, p2] = address.port().to_be_bytes();
    Some(format!("{h1},{h2},{h3},{h4},{p1},{p2}"))
}

/// The address of exactly six numbers, none of them missing.
fn join(mut numbers: impl Iterator<Item = Option<u8>>) -> Option<SocketAddr> {
    let mut next = || numbers.next().flatten();
    let host = Ipv4Addr::new(next()?, next()?, next()?, next()?);
    let port = u16::from_be_bytes([next()?, next()?]);
    numbers
        .next()
        .is_none()
        .then(|| SocketAddr::new(IpAddr::V4(host), port))
}

/// The list of numbers that `text` begins with, and what is behind it. A number above 255 is
/// None.
fn take_list(text: &[u8]) -> (Vec<Option<u8>>, &[u8]) {
    let mut numbers = Vec::new();
    let mut rest = text;
    loop {
        let (digits, behind) = take_while(rest, u8::is_ascii_digit);
        numbers.push(parse_number(digits, 3));
        let Some(behind) = behind.strip_prefix(b",") else {
            return (numbers, behind);
        };
        let (_, next) = take_while(behind, |byte| *byte == b' ');
        if !next.first().is_some_and(u8::is_ascii_digit) {
            return (numbers, next);
        }
        rest = next;
    }
}

/// `text` cut behind the bytes that `belongs` holds for.
fn take_while(text: &[u8], belongs: impl Fn(&u8) -> bool) -> (&[u8], &[u8]) {
    let length = text.iter().take_while(|byte| belongs(byte)).count();
    text.split_at_checked(length).unwrap_or((text, &[]))
}

/// The port of `dddportd)` at the start of `text`.
fn parse_extended(text: &[u8]) -> Option<u16> {
    let ([first, second, third], rest) = text.split_first_chunk::<3>()?;
    if !is_delimiter(*first) || second != first || third != first {
        return None;
    }
    let length = rest.iter().position(|byte| byte == first)?;
    let (port, behind) = rest.split_at_checked(length)?;
    let port = parse_tcp_port(port)?;
    matches!(behind, [_, b')', ..]).then_some(port)
}

/// The five parts of `d…d…d…d`, of which the first and the last are empty.
fn fields(argument: &[u8]) -> Option<[&[u8]; 5]> {
    let delimiter = *argument.first()?;
    let mut parts = argument.split(|byte| *byte == delimiter);
    let mut next = || parts.next();
    let fields = [next()?, next()?, next()?, next()?, next()?];
    let [.., last] = fields;
    (is_delimiter(delimiter) && last.is_empty() && parts.next().is_none()).then_some(fields)
}

/// Whether `byte` may delimit: RFC 2428 §2 has "one of the ASCII characters in range 33-126
/// inclusive".
const fn is_delimiter(byte: u8) -> bool {
    matches!(byte, 33..=126)
}

/// The address family numbered `digits`.
///
/// # Errors
/// [`AddressFault`], by variant.
fn parse_family(digits: &[u8]) -> Result<Family, AddressFault> {
    match digits {
        b"1" => Ok(Family::V4),
        b"2" => Ok(Family::V6),
        [_, ..] if digits.iter().all(u8::is_ascii_digit) => Err(AddressFault::UnknownFamily),
        _ => Err(AddressFault::Malformed),
    }
}

/// A port from 1 to 65535.
fn parse_tcp_port(digits: &[u8]) -> Option<u16> {
    parse_number(digits, 5).filter(|port| *port > 0)
}

/// The number that one to `longest` digits spell; no sign, no blank.
fn parse_number<N: FromStr>(digits: &[u8], longest: usize) -> Option<N> {
    if digits.is_empty() || digits.len() > longest || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
