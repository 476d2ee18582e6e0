//! Addresses, ports and networks.
//!
//! Owns their forms. Must not know which of them are in use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;

use ipnet::IpNet;
use toml::de::DeValue;

use super::{Misfit, Read, text};
use crate::policy::unmapped;
use crate::settings::Advertised;

/// A single IP address.
pub(in crate::config) fn ip(value: &DeValue<'_>) -> Read<IpAddr> {
    let written = text(value, "an IP address", "10.0.0.5")?;
    written.parse().map_err(|_| {
        let help = if written.parse::<SocketAddr>().is_ok() {
            "write the address without a port".to_owned()
        } else {
            "write an IPv4 or IPv6 address, such as `\"10.0.0.5\"`".to_owned()
        };
        Misfit::new(
            "config/bad-address",
            format!("`{written}` is not an IP address"),
            help,
        )
    })
}

/// An address and a port to listen on.
pub(in crate::config) fn socket_address(value: &DeValue<'_>) -> Read<SocketAddr> {
    let written = text(value, "an address with a port", "0.0.0.0:21")?;
    written.parse().map_err(|_| {
        let help = if written.parse::<Ipv4Addr>().is_ok() {
            format!("write a port behind it, such as `\"{written}:21\"`")
        } else if written.parse::<Ipv6Addr>().is_ok() {
            format!("write an IPv6 address in brackets and a port: `\"[{written}]:21\"`")
        } else {
            match written.trim_start_matches('*').strip_prefix(':') {
                Some(port) if port.parse::<u16>().is_ok() => {
                    format!("write `\"0.0.0.0:{port}\"` or `\"[::]:{port}\"`")
                }
                _ => "write an IP address and a port, such as `\"0.0.0.0:21\"` or `\"[::]:21\"`"
                    .to_owned(),
            }
        };
        let message = format!("`{written}` is not an IP address with a port");
        Misfit::new("config/bad-address", message, help)
    })
}

/// A host, an address or a name, and the port of a server.
pub(in crate::config) fn server_address(value: &DeValue<'_>) -> Read<(Arc<str>, u16)> {
    if let DeValue::Array(list) = value {
        return match list.as_ref() {
            [one] => server_address(one.get_ref()),
            _ => Err(Misfit::new(
                "config/several-addresses",
                "an upstream has one address",
                "write one address; put a TCP balancer in front of several servers",
            )),
        };
    }
    parse_server_address(text(value, "an address with a port", "10.0.0.5:21")?)
}

/// A host and a port.
pub(in crate::config) fn parse_server_address(written: &str) -> Read<(Arc<str>, u16)> {
    let bad = |message: String, help: String| Misfit::new("config/bad-address", message, help);
    if let Ok(address) = written.parse::<SocketAddr>() {
        return match address.port() {
            0 => Err(bad(
                "a server has no port 0".to_owned(),
                "write port `21`".to_owned(),
            )),
            port => Ok((address.ip().to_string().into(), port)),
        };
    }
    if written.parse::<Ipv6Addr>().is_ok() {
        let help = format!("write an IPv6 address in brackets and a port: `\"[{written}]:21\"`");
        return Err(bad(format!("`{written}` has no port"), help));
    }
    if let Some((_, bare)) = written.split_once("://") {
        let help = format!(
            "write it without the scheme: `\"{}\"`",
            bare.trim_end_matches('/')
        );
        return Err(bad(format!("`{written}` is a URL"), help));
    }
    let (host, port) = written.rsplit_once(':').unwrap_or((written, ""));
    if !is_host(host) {
        let help = "write an IP address or a host name, a colon and a port, \
                    such as `\"10.0.0.5:21\"`";
        return Err(bad(
            format!("`{written}` is not an address with a port"),
            help.to_owned(),
        ));
    }
    match port.parse::<u16>() {
        Ok(port) if port > 0 => Ok((host.into(), port)),
        _ => {
            let help = format!("write `\"{host}:21\"`");
            let message = if port.is_empty() {
                format!("`{written}` has no port")
            } else {
                format!("`{port}` is no port")
            };
            Err(bad(message, help))
        }
    }
}

/// Whether `text` is an IPv4 address or a host name (RFC 1123 §2.1, underscores tolerated).
fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    let name = text.strip_suffix('.').unwrap_or(text);
    let last = name.rsplit('.').next().unwrap_or_default();
    // A name whose last label is a number is a mistyped address (RFC 3986 §3.2.2).
    let numeric = last.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<Ipv4Addr>().is_ok()
        || (name.len() <= 253 && name.split('.').all(label) && !numeric)
}

/// `"50000-50999"`, or one port.
pub(in crate::config) fn ports(value: &DeValue<'_>) -> Read<RangeInclusive<u16>> {
    let example = "50000-50999";
    let written = text(value, "a range of ports", example)?;
    let (first, last) = written.split_once('-').unwrap_or((written, written));
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0);
    let (Some(first), Some(last)) = (port(first), port(last)) else {
        return Err(Misfit::new(
            "config/bad-port-range",
            format!("`{written}` is not a range of ports"),
            format!("write the first and the last port with a hyphen: `\"{example}\"`"),
        ));
    };
    if first > last {
        return Err(Misfit::new(
            "config/bad-port-range",
            format!("the range `{written}` runs backwards"),
            format!("write `\"{last}-{first}\"`"),
        ));
    }
    Ok(first..=last)
}

/// A network in CIDR notation, or one address, as a value.
pub(in crate::config) fn network_text(value: &DeValue<'_>) -> Read<IpNet> {
    network(text(value, "a network", "10.9.0.0/24")?)
}

/// A network in CIDR notation, or one address.
pub(in crate::config) fn network(written: &str) -> Read<IpNet> {
    if let Ok(address) = written.parse::<IpAddr>() {
        return Ok(unmapped(address.into()));
    }
    let bad = |message, help| Misfit::new("config/bad-network", message, help);
    match written.parse::<IpNet>() {
        Ok(net) if net.trunc() == net => Ok(unmapped(net)),
        Ok(net) => Err(bad(
            format!("`{written}` has bits set behind its prefix"),
            format!("write `\"{}\"`", net.trunc()),
        )),
        Err(_) => Err(bad(
            format!("`{written}` is not a network"),
            "write an address and a prefix length, such as `\"10.0.0.0/8\"`".to_owned(),
        )),
    }
}

/// What 227 advertises: `"local"`, an IPv4 address or a name.
pub(in crate::config) fn advertised(value: &DeValue<'_>) -> Read<Advertised> {
    let written = text(value, "`local`, an IPv4 address or a name", "203.0.113.7")?;
    let bad = |message, help: &str| Misfit::new("config/bad-address", message, help);
    match written.parse::<IpAddr>() {
        Ok(address @ IpAddr::V4(_)) => Ok(Advertised::Address(address)),
        Ok(IpAddr::V6(_)) => Err(bad(
            format!("`{written}` cannot be advertised: 227 has room for IPv4 only"),
            "leave IPv6 clients out: they use EPSV, which advertises no address",
        )),
        Err(_) if written == "local" => Ok(Advertised::Local),
        Err(_) if is_host(written) => Ok(Advertised::Name(written.into())),
        Err(_) => Err(bad(
            format!("`{written}` is no address and no host name"),
            "write `\"local\"`, an IPv4 address or a host name",
        )),
    }
}
