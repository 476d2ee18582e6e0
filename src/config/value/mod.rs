//! The values that a configuration may hold: durations, sizes, addresses, port ranges, words,
//! files.
//!
//! Owns their grammar and what to say of one that does not fit. Must not know which key a value
//! belongs to.

mod ftp;
mod measure;
mod network;
mod tls;

use std::sync::Arc;

use toml::de::DeValue;

pub(super) use ftp::{greeting, secret, unsupported};
pub(super) use measure::{bandwidth, count, duration, keepalive, rate, size};
pub(super) use network::{
    advertised, ip, network, network_text, parse_server_address, ports, server_address,
    socket_address,
};

pub(super) use tls::{file, pin};

use crate::policy::suggest;

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

/// A user or a group of the system: a name, or a number in quotes.
pub(super) fn account(value: &DeValue<'_>) -> Read<Arc<str>> {
    let written = text(value, "a name", "ftpwarden")?;
    let fits = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b':' | b'/' | b',');
    if written.is_empty() || !written.bytes().all(fits) {
        return Err(Misfit::new(
            "config/bad-account",
            format!("`{written}` is no user or group"),
            "write the name that the system has for it, or its number in quotes",
        ));
    }
    Ok(written.into())
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
                    suggest::nearest(written, names())
                        .map_or_else(String::new, |near| format!("did you mean `{near}`?")),
                )
            })
    }
}

/// `text` cut behind its leading bytes that `holds`.
fn split_while(text: &str, holds: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text
        .bytes()
        .position(|byte| !holds(byte))
        .unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}
