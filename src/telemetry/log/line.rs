//! One event as a line.
//!
//! Owns how lines look. Whatever an event holds, a line has no control byte, no end of line and
//! no mark that turns the direction of text; and a text value cannot end its own quotes.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde::ser::{Serialize, Serializer};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::telemetry::clock;
use crate::telemetry::escape::tame;

/// One event.
pub(super) struct Line {
    /// When.
    time: Timestamp,
    /// How severe.
    level: Level,
    /// The library that it comes from, if it is not the gateway's own.
    target: Option<&'static str>,
    /// What happened.
    pub(super) message: String,
    /// Whether the message is the whole line in text.
    pub(super) is_bare: bool,
    /// What it happened to.
    fields: Vec<(&'static str, Value)>,
}

impl Line {
    /// The line of an event.
    pub(super) fn of(event: &Event<'_>, time: Timestamp) -> Self {
        let metadata = event.metadata();
        let target = metadata.target();
        let mut line = Self {
            time,
            level: *metadata.level(),
            target: (!target.starts_with(env!("CARGO_PKG_NAME"))).then_some(target),
            message: String::new(),
            is_bare: false,
            fields: Vec::with_capacity(8),
        };
        event.record(&mut line);
        line
    }

    /// The line that tells of lost ones.
    pub(super) fn lost(count: u64, time: Timestamp) -> Self {
        Self {
            time,
            level: Level::WARN,
            target: None,
            message: "log lines were lost: nobody read them in time".to_owned(),
            is_bare: false,
            fields: vec![("count", count.into())],
        }
    }

    /// A login failure in vsftpd's form. The name is escaped, its brackets as well, and stands
    /// before the address, so that it can neither end early nor plant an address.
    pub(super) fn fail_login(mut self, time: &str) -> Self {
        let text = |name| {
            self.fields
                .iter()
                .find(|(field, _)| *field == name)
                .and_then(|(_, value)| value.as_str())
                .unwrap_or_default()
        };
        let user = match text("user") {
            "" => "?".to_owned(),
            user => user.replace('[', "\\x5b").replace(']', "\\x5d"),
        };
        self.message = format!(
            "{time} [pid {}] [{user}] FAIL LOGIN: Client \"{}\"",
            std::process::id(),
            text("client")
        );
        self.is_bare = true;
        self.fields.clear();
        self
    }

    /// The line for people, without its end.
    pub(super) fn text(&self, colour: bool) -> String {
        let mut text = clock::stamp(self.time);
        let (begin, end) = match self.level {
            _ if !colour => ("", ""),
            Level::ERROR => ("\x1b[31m", "\x1b[0m"),
            Level::WARN => ("\x1b[33m", "\x1b[0m"),
            Level::INFO => ("\x1b[32m", "\x1b[0m"),
            _ => ("\x1b[2m", "\x1b[0m"),
        };
        for part in [" ", begin, self.level.as_str(), end, " "] {
            text.push_str(part);
        }
        if let Some(target) = self.target {
            text.push_str(target);
            text.push_str(": ");
        }
        text.push_str(&self.message);
        for (name, value) in &self.fields {
            text.push(' ');
            text.push_str(name);
            text.push('=');
            match value {
                Value::String(value) => push_value(&mut text, value),
                other => text.push_str(&other.to_string()),
            }
        }
        text
    }

    /// The line as a JSON object, without its end.
    pub(super) fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Takes a field in.
    fn put(&mut self, field: &Field, value: Value) {
        self.fields.push((field.name(), value));
    }

    /// Takes a text field in.
    fn put_text(&mut self, field: &Field, text: &str) {
        let text = tame(text).into_owned();
        if field.name() == "message" {
            self.message = text;
        } else {
            self.put(field, text.into());
        }
    }
}

/// Appends a value, in quotes where it would not be told from what follows. A quote within is
/// written as its number, so that nothing can end the quotes.
fn push_value(text: &mut String, value: &str) {
    let is_plain = !value.is_empty() && !value.contains([' ', '"', '=']);
    if is_plain {
        text.push_str(value);
    } else {
        text.push('"');
        text.push_str(&value.replace('"', "\\x22"));
        text.push('"');
    }
}

impl Visit for Line {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_text(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // A value that cannot be shown is shown as far as it goes.
        write!(text, "{value:?}").ok();
        self.put_text(field, &text);
    }
}

impl Serialize for Line {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let level = self.level.as_str().to_ascii_lowercase();
        let begin = [
            ("ts", Value::from(clock::stamp(self.time))),
            ("level", level.into()),
        ];
        let target = self.target.map(|target| ("target", Value::from(target)));
        let message = [("message", Value::from(self.message.as_str()))];
        serializer.collect_map(
            begin
                .into_iter()
                .chain(target)
                .chain(message)
                .chain(self.fields.iter().cloned()),
        )
    }
}
