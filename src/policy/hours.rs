//! Day and time ranges in a zone: `Mon-Fri 07:00-19:00 Europe/Berlin`.
//!
//! Owns their syntax and whether an instant lies in them. Must not know the clock: the instant
//! is an argument. The zone database is compiled in; a zone that it does not have is an error.

use jiff::Timestamp;
use jiff::civil::{Time, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};

use super::suggest;

/// Minutes of a day.
const DAY: u16 = 24 * 60;

/// The days, Monday first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// Why a range was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum HoursFault {
    /// A day that is none.
    #[error("`{0}` is no day of the week")]
    Day(String),
    /// Words that are not days, times and a zone in this order.
    #[error("it does not have the form `Mon-Fri 07:00-19:00 Europe/Berlin`")]
    Form,
    /// A time that is none.
    #[error("`{0}` is no range of times within a day")]
    Time(String),
    /// A zone that is none.
    #[error("`{0}` is no time zone")]
    Zone(String, Option<String>),
}

/// From this minute of the day to that one, which is not included.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Span {
    /// The first minute.
    from: u16,
    /// The minute after the last; not after `from` where it is of the next day.
    to: u16,
}

impl Span {
    /// Whether it ends on the day after the one on which it begins.
    const fn is_overnight(self) -> bool {
        self.to <= self.from
    }
}

/// Ranges of days and times in one zone.
#[derive(Clone, Debug)]
pub(super) struct Hours {
    /// Whether the day is named, Monday first.
    days: [bool; 7],
    /// The ranges of each of these days; one that passes midnight belongs to the day on which
    /// it begins.
    spans: Vec<Span>,
    /// Where.
    zone: TimeZone,
}

impl Hours {
    /// Reads `[days] [times] zone`; days left out are all of them, times left out the whole day.
    ///
    /// # Errors
    /// Any [`HoursFault`].
    pub(super) fn parse(text: &str) -> Result<Self, HoursFault> {
        let mut words: Vec<&str> = text.split_ascii_whitespace().collect();
        let zone = words.pop().ok_or(HoursFault::Form)?;
        let (days, times) = match *words.as_slice() {
            [] => (None, None),
            [word] if word.starts_with(|first: char| first.is_ascii_digit()) => (None, Some(word)),
            [word] => (Some(word), None),
            [days, times] => (Some(days), Some(times)),
            _ => return Err(HoursFault::Form),
        };
        let spans = match times {
            None => vec![Span { from: 0, to: DAY }],
            Some(times) => times.split(',').map(span).collect::<Result<_, _>>()?,
        };
        Ok(Self {
            days: days.map_or(Ok([true; 7]), week)?,
            spans,
            zone: self::zone(zone)?,
        })
    }

    /// Whether `unix_time`, in seconds since 1970, lies in one of them; None for an instant that
    /// no calendar has.
    pub(super) fn holds(&self, unix_time: i64) -> Option<bool> {
        let local = Timestamp::from_second(unix_time)
            .ok()?
            .to_zoned(self.zone.clone());
        let minute = minute(local.time())?;
        let today = self.is_named(local.weekday());
        let yesterday = self.is_named(local.weekday().previous());
        Some(self.spans.iter().any(|span| {
            if span.is_overnight() {
                (today && minute >= span.from) || (yesterday && minute < span.to)
            } else {
                today && (span.from..span.to).contains(&minute)
            }
        }))
    }

    /// Whether `day` is one of the days.
    fn is_named(&self, day: Weekday) -> bool {
        usize::try_from(day.to_monday_zero_offset())
            .ok()
            .and_then(|index| self.days.get(index).copied())
            .unwrap_or(false)
    }
}

/// The minute of the day.
fn minute(time: Time) -> Option<u16> {
    let hour = u16::try_from(time.hour()).ok()?;
    let minute = u16::try_from(time.minute()).ok()?;
    hour.checked_mul(60)?.checked_add(minute)
}

/// Reads `Mon-Fri,Sun`; a range may pass the end of the week.
///
/// # Errors
/// [`HoursFault::Day`].
fn week(text: &str) -> Result<[bool; 7], HoursFault> {
    let mut days = [false; 7];
    for range in text.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (day(first)?, day(last)?);
        let mut cycle = DAYS
            .iter()
            .enumerate()
            .map(|(index, _)| index)
            .cycle()
            .skip(first);
        while let Some(index) = cycle.next()
            && let Some(named) = days.get_mut(index)
        {
            *named = true;
            if index == last {
                break;
            }
        }
    }
    Ok(days)
}

/// Reads `Mon`, or `Monday`.
///
/// # Errors
/// [`HoursFault::Day`].
fn day(text: &str) -> Result<usize, HoursFault> {
    let folded = text.to_ascii_lowercase();
    let full = [
        "monday",
        "tuesday",
        "wednesday",
        "thursday",
        "friday",
        "saturday",
        "sunday",
    ];
    DAYS.iter()
        .zip(full)
        .position(|(short, long)| folded == *short || folded == long)
        .ok_or_else(|| HoursFault::Day(text.to_owned()))
}

/// Reads `07:00-19:00`; `24:00` is the end of the day, and an end before the beginning is of
/// the next day.
///
/// # Errors
/// [`HoursFault::Time`].
fn span(text: &str) -> Result<Span, HoursFault> {
    let fault = || HoursFault::Time(text.to_owned());
    let (from, to) = text.split_once('-').ok_or_else(fault)?;
    let span = Span {
        from: clock(from).filter(|from| *from < DAY).ok_or_else(fault)?,
        to: clock(to).ok_or_else(fault)?,
    };
    if span.from == span.to {
        return Err(fault());
    }
    Ok(span)
}

/// Reads `07:00` or `7:00`, up to `24:00`.
fn clock(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) || minute.len() != 2 || hour.len() > 2 {
        return None;
    }
    let (hour, minute) = (hour.parse::<u16>().ok()?, minute.parse::<u16>().ok()?);
    let total = hour.checked_mul(60)?.checked_add(minute)?;
    (minute < 60 && total <= DAY).then_some(total)
}

/// Finds a zone in the compiled-in database.
///
/// # Errors
/// [`HoursFault::Zone`], with the nearest name that it has.
fn zone(name: &str) -> Result<TimeZone, HoursFault> {
    let database = TimeZoneDatabase::bundled();
    database.get(name).map_err(|_| {
        let names: Vec<String> = database.available().map(|name| name.to_string()).collect();
        let near = suggest::nearest(name, names.iter().map(String::as_str));
        HoursFault::Zone(name.to_owned(), near.map(str::to_owned))
    })
}

#[cfg(test)]
mod tests;
