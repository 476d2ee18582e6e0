//! Durations, sizes and numbers.
//!
//! Owns their units and ranges. Must not know which key is given which range.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::{DeInteger, DeValue};

use super::{Misfit, Read, split_while, text};
use crate::config::suggest;

/// The longest duration: a year.
const DURATION_MAX: Duration = Duration::from_hours(365 * 24);

/// The units of a duration, longest first, in milliseconds.
const DURATION_UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A duration of at least a millisecond and at most a year: `"90s"`, `"1h30m"`.
pub(in crate::config) fn duration(value: &DeValue<'_>) -> Read<Duration> {
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
pub(in crate::config) fn keepalive(value: &DeValue<'_>) -> Read<Duration> {
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

/// The units of a size, in bytes.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
];

/// A size in bytes within `range`: a number, or a string with a unit.
pub(in crate::config) fn size(range: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Read<usize> {
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
pub(in crate::config) fn count(range: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Read<usize> {
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
