//! Durations, sizes and numbers.
//!
//! Owns their units and ranges. Must not know which key is given which range.

use std::ops::RangeInclusive;
use std::time::Duration;

use toml::de::{DeInteger, DeValue};

use super::{Misfit, Read, split_while, text};
use crate::settings::Rate;

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
    let forms = "a duration is numbers with the units d, h, m, s and ms, longest first, \
                 such as `\"90s\"` or `\"1h30m\"`";
    let bad = |message, help: &str| Err(Misfit::new("config/bad-duration", message, help));
    let mut units = DURATION_UNITS.iter();
    let mut rest = written;
    let mut millis = Some(0_u64);
    while !rest.is_empty() {
        let (digits, behind) = split_while(rest, |byte| byte.is_ascii_digit());
        let (unit, behind) = split_while(behind, |byte| byte.is_ascii_alphabetic());
        if unit.is_empty() && behind.is_empty() {
            let help = format!("write a unit behind it, such as `\"{written}s\"`");
            return bad(format!("`{digits}` has no unit"), &help);
        }
        if digits.is_empty() || unit.is_empty() {
            return bad(format!("`{written}` is not a duration"), forms);
        }
        let Some((_, length)) = units.find(|(name, _)| *name == unit) else {
            let is_unit = DURATION_UNITS.iter().any(|(name, _)| *name == unit);
            return if is_unit {
                bad(format!("the units of `{written}` are not in order"), forms)
            } else {
                bad(format!("`{unit}` is no unit of a duration"), forms)
            };
        };
        let part = digits
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(*length));
        millis = millis.and_then(|millis| millis.checked_add(part?));
        rest = behind;
    }
    match millis {
        _ if written.is_empty() => bad("an empty string is not a duration".to_owned(), forms),
        Some(millis) => Ok(Duration::from_millis(millis)),
        None => bad(
            format!("`{written}` is too long"),
            "write at most `\"365d\"`",
        ),
    }
}

/// The units of a size, in bytes.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("B", 1),
];

/// A size in bytes within `range`: a number, or a string with a unit.
pub(in crate::config) fn size(range: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Read<usize> {
    move |value| {
        if let DeValue::Integer(number) = value {
            return integer(number, &range, "bytes");
        }
        let written = text(value, "a size", "64KiB")?;
        within(Some(parse_size(written, &SIZE)?), &range, written, "bytes")
    }
}

/// How a kind of size is written.
struct SizeForm {
    /// What stands behind the unit.
    suffix: &'static str,
    /// One sentence with an example.
    forms: &'static str,
    /// What to do about a number without a unit.
    bare: fn(&str) -> String,
}

/// A size in bytes.
const SIZE: SizeForm = SizeForm {
    suffix: "",
    forms: "a size is a number of bytes, or a number with B, KiB, MiB or GiB in quotes, such as \
            `\"64KiB\"`",
    bare: |digits| format!("write `{digits}` without quotes, or with a unit: `\"{digits}B\"`"),
};

/// Bytes in a second.
const BANDWIDTH: SizeForm = SizeForm {
    suffix: "/s",
    forms: "a bandwidth is a number with B, KiB, MiB or GiB, and `/s`, in quotes, such as \
            `\"10MiB/s\"`",
    bare: |digits| format!("write it with a unit, such as `\"{digits}MiB/s\"`"),
};

/// A number and a unit, with what `form` has behind it taken off.
fn parse_size(written: &str, form: &SizeForm) -> Read<u64> {
    let SizeForm {
        suffix,
        forms,
        bare,
    } = form;
    let bad = |message: String, help: String| Misfit::new("config/bad-size", message, help);
    let (digits, unit) = split_while(written, |byte| byte.is_ascii_digit());
    if digits.is_empty() {
        let message = format!("`{written}{suffix}` is not a size");
        return Err(bad(message, (*forms).to_owned()));
    }
    if unit.is_empty() {
        return Err(bad(format!("`{digits}` has no unit"), bare(digits)));
    }
    let Some((_, bytes)) = SIZE_UNITS.iter().find(|(name, _)| *name == unit) else {
        let help = unit_meant(unit.trim(), suffix.is_empty()).map_or_else(
            || (*forms).to_owned(),
            |meant| format!("did you mean `\"{digits}{meant}{suffix}\"`?"),
        );
        return Err(bad(format!("`{}` is no unit of a size", unit.trim()), help));
    };
    digits
        .parse::<u64>()
        .ok()
        .and_then(|number| number.checked_mul(*bytes))
        .ok_or_else(|| {
            bad(
                format!("`{written}{suffix}` is too large"),
                (*forms).to_owned(),
            )
        })
}

/// The unit of a size that `unit` stands for elsewhere. Letters that are near say nothing here: a
/// unit that is a thousand times as large is one letter away, and in a second `Mb` may be bits.
fn unit_meant(unit: &str, has_no_bits: bool) -> Option<&'static str> {
    let (name, _) = SIZE_UNITS.iter().find(|(name, _)| {
        let begins = name.get(..1).unwrap_or_default();
        let is_first = unit
            .get(..1)
            .is_some_and(|first| first.eq_ignore_ascii_case(begins));
        let rest = unit.get(1..).unwrap_or_default();
        let ends: &[&str] = if begins == "B" {
            &["", "yte", "ytes"]
        } else {
            &["", "B", "i", "iB", "ib", "IB"]
        };
        is_first && (ends.contains(&rest) || has_no_bits && rest == "b" && begins != "B")
    })?;
    Some(name)
}

/// The times of a rate.
const RATE_UNITS: [(&str, Duration); 3] = [
    ("s", Duration::from_secs(1)),
    ("m", Duration::from_mins(1)),
    ("h", Duration::from_hours(1)),
];

/// So many within a second, a minute or an hour: `"20/s"`.
pub(in crate::config) fn rate(value: &DeValue<'_>) -> Read<Rate> {
    let written = text(value, "a rate", "20/s")?;
    let found = written.split_once('/').and_then(|(number, unit)| {
        let count = number.parse::<u32>().ok().filter(|count| *count > 0)?;
        let (_, per) = RATE_UNITS.iter().find(|(name, _)| *name == unit)?;
        Some(Rate { count, per: *per })
    });
    found.ok_or_else(|| {
        Misfit::new(
            "config/bad-rate",
            format!("`{written}` is not a rate"),
            "write a number from 1 on, a slash and s, m or h, such as `\"20/s\"`",
        )
    })
}

/// The least bandwidth.
const BANDWIDTH_MIN: u64 = 1 << 10;

/// The most bandwidth.
const BANDWIDTH_MAX: u64 = 1 << 40;

/// Bytes in a second: `"10MiB/s"`.
pub(in crate::config) fn bandwidth(value: &DeValue<'_>) -> Read<u64> {
    let written = text(value, "a bandwidth", "10MiB/s")?;
    let Some(size) = written.strip_suffix("/s") else {
        return Err(Misfit::new(
            "config/bad-bandwidth",
            format!("`{written}` is not a bandwidth"),
            "write a size and `/s` in quotes, such as `\"10MiB/s\"`",
        ));
    };
    let bytes = parse_size(size, &BANDWIDTH)?;
    if (BANDWIDTH_MIN..=BANDWIDTH_MAX).contains(&bytes) {
        return Ok(bytes);
    }
    Err(Misfit::new(
        "config/out-of-range",
        format!("`{written}` is out of range"),
        "write a bandwidth from `\"1KiB/s\"` to `\"1024GiB/s\"`",
    ))
}

/// A whole number within `range`.
pub(in crate::config) fn count(range: RangeInclusive<u64>) -> impl Fn(&DeValue<'_>) -> Read<usize> {
    move |value| match value {
        DeValue::Integer(number) => integer(number, &range, ""),
        _ => Err(Misfit::wrong_type(
            "a number",
            value,
            "write digits without quotes, such as `100`",
        )),
    }
}

/// The integer, if it lies within `range`.
fn integer(number: &DeInteger<'_>, range: &RangeInclusive<u64>, unit: &str) -> Read<usize> {
    let value = u64::from_str_radix(number.as_str(), number.radix());
    within(value.ok(), range, &number.to_string(), unit)
}

/// `number`, which was `written` so, if it lies within `range`.
fn within(
    number: Option<u64>,
    range: &RangeInclusive<u64>,
    written: &str,
    unit: &str,
) -> Read<usize> {
    let found = number.filter(|number| range.contains(number));
    found
        .and_then(|number| usize::try_from(number).ok())
        .ok_or_else(|| {
            let help = format!(
                "write a number from {} to {} {unit}",
                range.start(),
                range.end()
            );
            let message = format!("{written} is out of range");
            Misfit::new("config/out-of-range", message, help.trim_end())
        })
}
