//! One event as a line: an object for JSON, or text that is written as the event is read.
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

/// How long most lines are.
const TEXT_BYTES: usize = 256;

/// What is said of lines that were lost.
const LOST: &str = "log lines were lost: nobody read them in time";

/// One event, to be looked at.
pub(super) struct Line {
    /// When.
    time: Timestamp,
    /// How severe.
    level: Level,
    /// The library that it comes from, if it is not the gateway's own.
    target: Option<&'static str>,
    /// What happened.
    pub(super) message: String,
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
            message: LOST.to_owned(),
            fields: vec![("count", count.into())],
        }
    }

    /// A login failure in vsftpd's form. The name is escaped, its brackets as well, and stands
    /// before the address, so that it can neither end early nor plant an address.
    pub(super) fn fail_login(&mut self, time: &str) {
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
        self.fields.clear();
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

/// The text of one event, for people. Each field is appended once, as it is read: a line is
/// written for every session.
pub(super) struct TextLine {
    /// What was written so far.
    text: String,
    /// Where the message ends, behind which the fields are.
    message_end: usize,
}

impl TextLine {
    /// The text of an event, without its end.
    pub(super) fn of(event: &Event<'_>, time: Timestamp, colour: bool) -> String {
        let metadata = event.metadata();
        let mut text = Self::begin(*metadata.level(), time, colour);
        let target = metadata.target();
        if !target.starts_with(env!("CARGO_PKG_NAME")) {
            text.push_str(target);
            text.push_str(": ");
        }
        let mut line = Self {
            message_end: text.len(),
            text,
        };
        event.record(&mut line);
        line.text
    }

    /// The line that tells of lost ones.
    pub(super) fn lost(count: u64, time: Timestamp, colour: bool) -> String {
        let text = Self::begin(Level::WARN, time, colour);
        format!("{text}{LOST} count={count}")
    }

    /// What stands before the message.
    fn begin(level: Level, time: Timestamp, colour: bool) -> String {
        let mut text = String::with_capacity(TEXT_BYTES);
        clock::push_stamp(&mut text, time);
        let (begin, end) = match level {
            _ if !colour => ("", ""),
            Level::ERROR => ("\x1b[31m", "\x1b[0m"),
            Level::WARN => ("\x1b[33m", "\x1b[0m"),
            Level::INFO => ("\x1b[32m", "\x1b[0m"),
            _ => ("\x1b[2m", "\x1b[0m"),
        };
        for part in [" ", begin, level.as_str(), end, " "] {
            text.push_str(part);
        }
        text
    }

    /// Appends a field, in quotes where its value would not be told from what follows.
    fn put(&mut self, field: &Field, write: impl FnOnce(&mut String)) {
        if field.name() == "message" {
            let fields = self.text.split_off(self.message_end);
            self.append(write, |text, message| text.push_str(&tame(message)));
            self.message_end = self.text.len();
            self.text.push_str(&fields);
        } else {
            self.text.push(' ');
            self.text.push_str(field.name());
            self.text.push('=');
            self.append(write, |text, value| push_quoted(text, &tame(value)));
        }
    }

    /// Appends what `write` writes; through `otherwise` where it is not plain.
    fn append(
        &mut self,
        write: impl FnOnce(&mut String),
        otherwise: impl FnOnce(&mut String, &str),
    ) {
        let begin = self.text.len();
        write(&mut self.text);
        let written = self.text.as_bytes().get(begin..).unwrap_or_default();
        let is_plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=');
        if written.is_empty() || !written.iter().all(is_plain) {
            let value = self.text.split_off(begin);
            otherwise(&mut self.text, &value);
        }
    }
}

/// Appends a value in quotes, unless it can stand without. A quote within is written as its
/// number, so that nothing can end the quotes.
fn push_quoted(text: &mut String, value: &str) {
    if !value.is_empty() && !value.contains([' ', '"', '=']) {
        text.push_str(value);
        return;
    }
    text.push('"');
    for (index, part) in value.split('"').enumerate() {
        if index > 0 {
            text.push_str("\\x22");
        }
        text.push_str(part);
    }
    text.push('"');
}

impl Visit for TextLine {
    fn record_f64(&mut self, field: &Field, value: f64) {
        // A number looks the same in both formats.
        self.put(field, |text| text.push_str(&Value::from(value).to_string()));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, |text| text.push_str(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // A value that cannot be shown is shown as far as it goes.
        self.put(field, |text| write!(text, "{value:?}").unwrap_or_default());
    }
}
