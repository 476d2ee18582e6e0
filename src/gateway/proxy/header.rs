//! The header of the PROXY protocol, versions 1 and 2: with it a balancer says for whom it has
//! dialled.
//!
//! Owns what is a header and whom it names, read from the bytes that a connection begins with. Must
//! not know sockets, nor whom to believe. Bounds: [`TEXT_BYTES`] and [`BINARY_BYTES`].

#[cfg(test)]
mod tests;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The longest header of version 1, CR LF included: `UNKNOWN` with two IPv6 addresses written out.
pub const TEXT_BYTES: usize = 107;

/// The longest header of version 2 that is taken. "This block is always smaller than an MSS, so there
/// is no reason for it to be segmented": the smallest that every network carries is this one.
pub const BINARY_BYTES: usize = 536;

/// What a header of version 1 begins with.
const TEXT: &[u8] = b"PROXY ";

/// What one of version 2 begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The bytes of version 2 before those whose number they state.
const FIXED_BYTES: usize = 16;

/// The record with the checksum of the header (`PP2_TYPE_CRC32C`).
const CHECKSUM: u8 = 0x03;

/// For whom a connection was dialled.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Source {
    /// For this client.
    Client(SocketAddr),
    /// For the balancer itself, to see whether somebody is there (`LOCAL`).
    Itself,
    /// For somebody whom the protocol cannot name (`UNKNOWN`, `UNSPEC`, other than TCP).
    Unknown,
}

/// A whole header.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// For whom the connection was dialled.
    pub source: Source,
    /// How many bytes it has.
    pub length: usize,
}

/// Why what a connection begins with is no header that can be believed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum HeaderFault {
    /// The checksum is not that of the header.
    Checksum,
    /// It begins like one and is none.
    Malformed,
    /// It does not begin like one.
    Missing,
    /// It is longer than its bound.
    TooLong,
}

/// Reads the header that `bytes` begin with; None while they are the beginning of one. More bytes
/// never change an answer that was given.
///
/// # Errors
/// [`HeaderFault`]: whatever follows, there is no header.
pub fn read(bytes: &[u8]) -> Result<Option<Header>, HeaderFault> {
    if is_beginning(bytes, SIGNATURE) {
        read_binary(bytes)
    } else if is_beginning(bytes, TEXT) {
        read_text(bytes)
    } else {
        Err(HeaderFault::Missing)
    }
}

/// Whether `bytes` begin with `start`, as far as they go.
fn is_beginning(bytes: &[u8], start: &[u8]) -> bool {
    bytes.iter().zip(start).all(|(one, other)| one == other)
}

/// Version 1: a line of text.
///
/// # Errors
/// [`HeaderFault`].
fn read_text(bytes: &[u8]) -> Result<Option<Header>, HeaderFault> {
    let within = bytes.get(..TEXT_BYTES).unwrap_or(bytes);
    let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
        return if within.len() < TEXT_BYTES {
            Ok(None)
        } else {
            Err(HeaderFault::TooLong)
        };
    };
    let line = within.get(..end).unwrap_or_default();
    let source = text_source(line).ok_or(HeaderFault::Malformed)?;
    Ok(Some(Header {
        source,
        length: end.saturating_add(2),
    }))
}

/// Whom a line of version 1 names.
fn text_source(line: &[u8]) -> Option<Source> {
    let mut fields = line.split(|byte| *byte == b' ').skip(1);
    let protocol = fields.next()?;
    if protocol == b"UNKNOWN" {
        // It "should accept the connection and use the real connection's parameters": what else the
        // line says is ignored.
        return Some(Source::Unknown);
    }
    let [source, target, source_port, target_port] = [(); 4].map(|()| fields.next());
    let source = text_address(protocol, source?)?;
    let port = text_port(source_port?)?;
    text_address(protocol, target?)?;
    text_port(target_port?)?;
    if fields.next().is_some() {
        return None;
    }
    client(SocketAddr::new(source, port))
}

/// An address of the family that `protocol` names.
fn text_address(protocol: &[u8], field: &[u8]) -> Option<IpAddr> {
    let text = str::from_utf8(field).ok()?;
    match protocol {
        b"TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        b"TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => None,
    }
}

/// A port: digits, none of them a zero too many.
fn text_port(field: &[u8]) -> Option<u16> {
    let plain = match field {
        [b'0', _, ..] => false,
        _ => field.iter().all(u8::is_ascii_digit),
    };
    str::from_utf8(field).ok().filter(|_| plain)?.parse().ok()
}

/// A client at `address`, which somebody can have.
fn client(address: SocketAddr) -> Option<Source> {
    let ip = address.ip().to_canonical();
    let nobody = ip.is_unspecified()
        || ip.is_multicast()
        || matches!(ip, IpAddr::V4(four) if four.is_broadcast());
    (!nobody).then_some(Source::Client(SocketAddr::new(ip, address.port())))
}

/// Version 2: a signature, the command, the family, the length of the rest, and the rest.
///
/// # Errors
/// [`HeaderFault`].
fn read_binary(bytes: &[u8]) -> Result<Option<Header>, HeaderFault> {
    let Some([.., command, family, high, low]) = bytes.first_chunk::<FIXED_BYTES>() else {
        return Ok(None);
    };
    let length = FIXED_BYTES.saturating_add(u16::from_be_bytes([*high, *low]).into());
    // "Receivers must drop connections presenting unexpected values here."
    if !matches!(command, 0x20 | 0x21) {
        return Err(HeaderFault::Malformed);
    }
    if length > BINARY_BYTES {
        return Err(HeaderFault::TooLong);
    }
    let Some(whole) = bytes.get(..length) else {
        return Ok(None);
    };
    let source = match (command, family) {
        // "The receiver must use the real connection endpoints and discard the protocol block
        // including the family which is ignored."
        (0x20, _) => Source::Itself,
        (_, 0x11) => binary_source(whole, binary_four)?,
        (_, 0x21) => binary_source(whole, binary_six)?,
        // Nobody that TCP knows: no family, datagrams, sockets of Unix. A receiver "automatically
        // falls back to the UNSPEC mode for the valid combinations that it does not support".
        (_, family) if family >> 4 <= 3 && family & 0xF <= 2 => Source::Unknown,
        // "Other values must be rejected as invalid by receivers."
        _ => return Err(HeaderFault::Malformed),
    };
    Ok(Some(Header { source, length }))
}

/// What takes the client and the rest from what follows the fixed bytes.
type Addresses = fn(&[u8]) -> Option<(SocketAddr, &[u8])>;

/// Whom a header of TCP names.
///
/// # Errors
/// [`HeaderFault`].
fn binary_source(whole: &[u8], addresses: Addresses) -> Result<Source, HeaderFault> {
    let block = whole.get(FIXED_BYTES..).unwrap_or_default();
    let (address, records) = addresses(block).ok_or(HeaderFault::Malformed)?;
    let source = client(address).ok_or(HeaderFault::Malformed)?;
    check_records(whole, records)?;
    Ok(source)
}

/// Two IPv4 addresses, two ports, and the rest.
fn binary_four(block: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (address, rest) = block.split_first_chunk::<4>()?;
    let (_target, rest) = rest.split_first_chunk::<4>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (_target_port, rest) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    Some((SocketAddr::new((*address).into(), port), rest))
}

/// Two IPv6 addresses, two ports, and the rest.
fn binary_six(block: &[u8]) -> Option<(SocketAddr, &[u8])> {
    let (address, rest) = block.split_first_chunk::<16>()?;
    let (_target, rest) = rest.split_first_chunk::<16>()?;
    let (port, rest) = rest.split_first_chunk::<2>()?;
    let (_target_port, rest) = rest.split_first_chunk::<2>()?;
    let port = u16::from_be_bytes(*port);
    Some((SocketAddr::new((*address).into(), port), rest))
}

/// Goes over the records at the end of `whole`: each has a type, a length and a value, and nothing
/// is left. Of all types only the checksum means something here.
///
/// # Errors
/// [`HeaderFault`].
fn check_records(whole: &[u8], mut records: &[u8]) -> Result<(), HeaderFault> {
    let mut checked = false;
    while !records.is_empty() {
        let Some(([kind, high, low], rest)) = records.split_first_chunk::<3>() else {
            return Err(HeaderFault::Malformed);
        };
        let length = u16::from_be_bytes([*high, *low]).into();
        let Some((value, rest)) = rest.split_at_checked(length) else {
            return Err(HeaderFault::Malformed);
        };
        if *kind == CHECKSUM {
            let stated = value.try_into().ok().filter(|_| !checked);
            let stated = u32::from_be_bytes(stated.ok_or(HeaderFault::Malformed)?);
            // It counts as zeroes in its own sum.
            let behind = rest.len();
            let before = whole.len().saturating_sub(behind.saturating_add(length));
            let parts = [whole.get(..before).unwrap_or_default(), &[0; 4], rest];
            if checksum(&parts) != stated {
                return Err(HeaderFault::Checksum);
            }
            checked = true;
        }
        records = rest;
    }
    Ok(())
}

/// The CRC-32C (RFC 3720 §12.1) of `parts` one behind the other.
fn checksum(parts: &[&[u8]]) -> u32 {
    let bytes = parts.iter().copied().flatten();
    !bytes.fold(u32::MAX, |sum, byte| {
        (0..8).fold(sum ^ u32::from(*byte), |sum, _| {
            let carried = if sum & 1 == 1 { 0x82F6_3B78 } else { 0 };
            (sum >> 1) ^ carried
        })
    })
}
