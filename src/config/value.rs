//! The values that a configuration may hold: durations, sizes, addresses, port ranges, words.
//!
//! Owns their grammar and what to say of one that does not fit. Must not know which key a value
//! belongs to.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use toml::de::{DeInteger, DeValue};

use super::suggest;
use crate::ftp::command::Name;
use crate::settings::Advertised;

/// Why a value does not fit.
#[derive(Debug)]
pub(super) struct Misfit {
    /// The stable code.
    pub(super) code: &'static str,
    /// What is wrong.
    pub(super) message: String,
    /// What to write instead.
    pub(super) help: String,
}

impl Misfit {
    /// A misfit of `code`.
    pub(super) fn new(
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            help: help.into(),
        }
    }

    /// A value of another type than `expected`.
    pub(super) fn wrong_type(expected: &str, found: &DeValue<'_>, help: impl Into<String>) -> Self {
        let found = match found {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        Self::new(
            "config/wrong-type",
            format!("expected {expected}, found {found}"),
            help,
        )
    }
}

/// The result of reading one value.
pub(super) type Read<T> = Result<T, Misfit>;

/// The string in `value`, which is to be `expected`; `example` is one.
pub(super) fn text<'a>(value: &'a DeValue<'_>, expected: &str, example: &str) -> Read<&'a str> {
    value.as_str().ok_or_else(|| {
        Misfit::wrong_type(
            expected,
            value,
            format!("write it in quotes, such as `\"{example}\"`"),
        )
    })
}

/// Any string.
pub(super) fn any_text(value: &DeValue<'_>) -> Read<String> {
    text(value, "a string", "name").map(str::to_owned)
}

/// `true` or `false`.
pub(super) fn boolean(value: &DeValue<'_>) -> Read<bool> {
    value.as_bool().ok_or_else(|| {
        Misfit::wrong_type(
            "`true` or `false`",
            value,
            "write `true` or `false`, without quotes",
        )
    })
}

/// One of a few words, each with what it means.
pub(super) fn word<T: Copy>(words: &[(&str, T)]) -> impl Fn(&DeValue<'_>) -> Read<T> {
    move |value| {
        let names = || words.iter().map(|(name, _)| *name);
        let expected = format!("one of {}", suggest::list(names()));
        let example = words.first().map_or("", |(name, _)| name);
        let written = text(value, &expected, example)?;
        words
            .iter()
            .find(|(name, _)| *name == written)
            .map(|(_, meaning)| *meaning)
            .ok_or_else(|| {
                Misfit::new(
                    "config/unknown-word",
                    format!("`{written}` is not {expected}"),
                    suggest::help(written, names().collect::<Vec<_>>()),
                )
            })
    }
}

/// The longest duration: a year.
const DURATION_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// The units of a duration, longest first, in milliseconds.
const DURATION_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A duration of at least a millisecond and at most a year: `"90s"`, `"1h30m"`.
pub(super) fn duration(value: &DeValue<'_>) -> Read<Duration> {
    if let DeValue::Integer(number) = value {
        return Err(Misfit::wrong_type(
            "a duration",
            value,
            format!("write it with a unit and in quotes, such as `\"{number}s\"`"),
        ));
    }
    let written = text(value, "a duration", "90s")?;
    let length = parse_duration(written)?;
    if length.is_zero() {
        return Err(Misfit::new(
            "config/out-of-range",
            "a duration of zero would end everything at once",
            "nothing can be switched off; write a long duration, such as `\"24h\"`",
        ));
    }
    if length > DURATION_MAX {
        return Err(Misfit::new(
            "config/out-of-range",
            format!("`{written}` is longer than a year"),
            "write at most `\"365d\"`",
        ));
    }
    Ok(length)
}

/// A duration of whole seconds that TCP can keep: `keepalive`.
pub(super) fn keepalive(value: &DeValue<'_>) -> Read<Duration> {
    let length = duration(value)?;
    let whole = length.subsec_nanos() == 0;
    if whole && (1..=32_767).contains(&length.as_secs()) {
        return Ok(length);
    }
    Err(Misfit::new(
        "config/out-of-range",
        "TCP keeps whole seconds, from 1 to 32767",
        "write a number of seconds, minutes or hours, such as `\"60s\"`, and at most `\"9h\"`",
    ))
}

/// Numbers with units, longest unit first, each at most once.
fn parse_duration(written: &str) -> Read<Duration> {
    let bad = |message: String, help: &str| Misfit::new("config/bad-duration", message, help);
    let units = "a duration is numbers with the units d, h, m, s and ms, longest first, \
                 such as `\"90s\"` or `\"1h30m\"`";
    let mut rest = written;
    let mut millis = 0_u64;
    let mut shortest = usize::MAX;
    while !rest.is_empty() {
        let (digits, behind) = split_while(rest, |byte| byte.is_ascii_digit());
        let (unit, behind) = split_while(behind, |byte| byte.is_ascii_alphabetic());
        if digits.is_empty() {
            return Err(bad(format!("`{written}` is not a duration"), units));
        }
        if unit.is_empty() && behind.is_empty() {
            let help = format!("write a unit behind it, such as `\"{written}s\"`");
            return Err(bad(format!("`{digits}` has no unit"), &help));
        }
        let position = DURATION_UNITS.iter().position(|(name, _)| *name == unit);
        let Some((position, (_, length))) =
            position.and_then(|position| Some((position, DURATION_UNITS.get(position)?)))
        else {
            return Err(bad(format!("`{unit}` is no unit of a duration"), units));
        };
        if shortest != usize::MAX && position <= shortest {
            return Err(bad(
                format!("the units of `{written}` are not in order"),
                units,
            ));
        }
        shortest = position;
        millis = digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*length))
            .and_then(|part| millis.checked_add(part))
            .ok_or_else(|| {
                bad(
                    format!("`{written}` is too long"),
                    "write at most `\"365d\"`",
                )
            })?;
        rest = behind;
    }
    if written.is_empty() {
        return Err(bad("an empty string is not a duration".to_owned(), units));
    }
    Ok(Duration::from_millis(millis))
}

/// `text` cut behind its leading bytes that `holds`.
fn split_while(text: &str, holds: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text
        .bytes()
        .position(|byte| !holds(byte))
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

/// The units of a size, in bytes.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// A size in bytes within `range`: a number, or a string with a unit.
pub(super) fn size(range: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Read<usize> {
    move |value| {
        let bytes = match value {
            DeValue::Integer(number) => integer(number)?,
            _ => parse_size(text(value, "a size", "64KiB")?)?,
        };
        within(bytes, &range, "bytes")
    }
}

/// A number and a unit.
fn parse_size(written: &str) -> Read<u64> {
    let units = "a size is a number of bytes, or a number with B, KiB, MiB or GiB in quotes, \
                 such as `\"64KiB\"`";
    let bad = |message: String, help: String| Misfit::new("config/bad-size", message, help);
    let (digits, unit) = split_while(written, |byte| byte.is_ascii_digit());
    if digits.is_empty() {
        return Err(bad(format!("`{written}` is not a size"), units.to_owned()));
    }
    if unit.is_empty() {
        let help = format!("write `{digits}` without quotes, or with a unit: `\"{digits}B\"`");
        return Err(bad(format!("`{digits}` has no unit"), help));
    }
    let Some((_, bytes)) = SIZE_UNITS
        .iter()
        .find(|(name, _)| *name == unit.trim_start())
    else {
        let help = suggest::nearest(unit, SIZE_UNITS.map(|(name, _)| name)).map_or_else(
            || units.to_owned(),
            |near| format!("did you mean `\"{digits}{near}\"`?"),
        );
        return Err(bad(format!("`{unit}` is no unit of a size"), help));
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*bytes))
        .ok_or_else(|| bad(format!("`{written}` is too large"), units.to_owned()))
}

/// A whole number within `range`.
pub(super) fn count(range: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Read<usize> {
    move |value| match value {
        DeValue::Integer(number) => within(integer(number)?, &range, ""),
        _ => Err(Misfit::wrong_type(
            "a number",
            value,
            "write digits without quotes, such as `100`",
        )),
    }
}

/// The value of an integer; a negative one is below every range.
fn integer(number: &DeInteger<'_>) -> Read<u64> {
    u64::from_str_radix(number.as_str(), number.radix()).map_err(|_| {
        Misfit::new(
            "config/out-of-range",
            format!("{number} is out of range"),
            "write a number above zero",
        )
    })
}

/// `number`, if it lies within `range`.
fn within(number: u64, range: &RangeInclusive<u64>, unit: &str) -> Read<usize> {
    usize::try_from(number)
        .ok()
        .filter(|_| range.contains(&number))
        .ok_or_else(|| {
            let gap = if unit.is_empty() { "" } else { " " };
            Misfit::new(
                "config/out-of-range",
                format!("{number} is out of range"),
                format!(
                    "write a number from {} to {}{gap}{unit}",
                    range.start(),
                    range.end()
                ),
            )
        })
}

/// A single IP address.
pub(super) fn ip(value: &DeValue<'_>) -> Read<IpAddr> {
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
pub(super) fn socket_address(value: &DeValue<'_>) -> Read<SocketAddr> {
    let written = text(value, "an address with a port", "0.0.0.0:21")?;
    written.parse().map_err(|_| {
        let help = if written.parse::<std::net::Ipv4Addr>().is_ok() {
            format!("write a port behind it, such as `\"{written}:21\"`")
        } else if written.parse::<std::net::Ipv6Addr>().is_ok() {
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
pub(super) fn server_address(value: &DeValue<'_>) -> Read<(Arc<str>, u16)> {
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
    let written = text(value, "an address with a port", "10.0.0.5:21")?;
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
    if written.parse::<std::net::Ipv6Addr>().is_ok() {
        let help = format!("write an IPv6 address in brackets and a port: `\"[{written}]:21\"`");
        return Err(bad(format!("`{written}` has no port"), help));
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
    text.parse::<std::net::Ipv4Addr>().is_ok()
        || (name.len() <= 253 && name.split('.').all(label) && !numeric)
}

/// `"50000-50999"`, or one port.
pub(super) fn ports(value: &DeValue<'_>) -> Read<RangeInclusive<u16>> {
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

/// A network in CIDR notation, or one address.
pub(super) fn network(written: &str) -> Read<IpNet> {
    if let Ok(address) = written.parse::<IpAddr>() {
        return Ok(address.into());
    }
    let bad = |message, help| Misfit::new("config/bad-network", message, help);
    match written.parse::<IpNet>() {
        Ok(net) if net.trunc() == net => Ok(net),
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
pub(super) fn advertised(value: &DeValue<'_>) -> Read<Advertised> {
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

/// The longest greeting, in bytes.
const GREETING_BYTES_MAX: usize = 500;

/// A whole reply line of one line, `220 text`; returned with its CR LF.
pub(super) fn greeting(value: &DeValue<'_>) -> Read<Bytes> {
    let written = text(value, "a reply", "220 File service.")?;
    let bad = |message: String, help: String| Misfit::new("config/bad-greeting", message, help);
    if written.chars().any(char::is_control) {
        return Err(bad(
            "a greeting is one line without control characters".to_owned(),
            "write one line, such as `\"220 File service.\"`".to_owned(),
        ));
    }
    if written.len() > GREETING_BYTES_MAX {
        return Err(bad(
            "the greeting is too long".to_owned(),
            format!("write at most {GREETING_BYTES_MAX} bytes"),
        ));
    }
    let (digits, behind) = split_while(written, |byte| byte.is_ascii_digit());
    let (code, said) = (digits.len() == 3, behind.trim_start_matches([' ', '-']));
    let said = if said.is_empty() {
        "File service."
    } else {
        said
    };
    if !code || !(behind.is_empty() || behind.starts_with([' ', '-'])) {
        let help = format!("write code and text: `\"220 {written}\"`");
        return Err(bad("the greeting has no reply code".to_owned(), help));
    }
    // RFC 959 §5.4: a connection is answered with 120, 220 or 421, and only 220 goes on.
    if digits != "220" {
        let help = format!("write `\"220 {said}\"`");
        return Err(bad(
            format!("a greeting has the code 220, not {digits}"),
            help,
        ));
    }
    if behind.trim().is_empty() || behind.starts_with('-') {
        let help = format!("write `\"220 {said}\"`");
        return Err(bad(
            "a greeting is a code, a blank and one line of text".to_owned(),
            help,
        ));
    }
    Ok(format!("{written}\r\n").into())
}

/// The verb that a server lacks.
pub(super) fn unsupported(value: &DeValue<'_>) -> Read<Name> {
    let written = text(value, "a verb", "MLSD")?;
    let bad = |message: String, help: &str| Misfit::new("config/bad-verb", message, help);
    if written.contains(' ') {
        return Err(bad(
            format!("`{written}` is more than a verb"),
            "name whole verbs here; deny a subcommand in a policy",
        ));
    }
    if let Some(group) = written.strip_prefix('@') {
        return Err(bad(
            format!("`@{group}` is a group, not a verb"),
            "name each verb that the server lacks",
        ));
    }
    let name = Name::parse(written.as_bytes()).ok_or_else(|| {
        bad(
            format!("`{written}` is not a verb"),
            "a verb is 2 to 12 letters and digits",
        )
    })?;
    Ok(name)
}

/// `SITE WORD`, whose argument is a secret; returns the word in upper case.
pub(super) fn secret(value: &DeValue<'_>) -> Read<Arc<str>> {
    let written = text(value, "a SITE subcommand", "SITE PSWD")?;
    let mut words = written.split_ascii_whitespace();
    let site = words
        .next()
        .is_some_and(|word| word.eq_ignore_ascii_case("SITE"));
    match (words.next(), words.next()) {
        (Some(word), None) if site && word.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(word.to_ascii_uppercase().into())
        }
        _ => Err(Misfit::new(
            "config/bad-secret",
            format!("`{written}` is not a SITE subcommand"),
            "write `SITE` and one word, such as `\"SITE PSWD\"`; PASS, ACCT and ADAT are secret \
             anyway",
        )),
    }
}
