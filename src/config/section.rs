//! One table of the configuration, read key by key, with every problem kept.
//!
//! Owns how a value is fetched, what "one or a list" means, and the refusal of unknown keys.
//! Must not know what the keys mean.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema::Table;
use super::value::{Misfit, Read};
use crate::policy::spec::{Located, Problem, Severity, Span};
use crate::policy::suggest;

/// All that was found wrong with one source.
#[derive(Debug)]
pub(super) struct Problems {
    /// Which source it is.
    pub(super) source: u16,
    /// What was found, in the order of reading.
    pub(super) list: Vec<Problem>,
}

impl Problems {
    /// No problem yet with `source`.
    pub(super) const fn new(source: u16) -> Self {
        Self {
            source,
            list: Vec::new(),
        }
    }

    /// How many errors were kept so far.
    pub(super) fn errors(&self) -> usize {
        let kept = self.list.iter();
        kept.filter(|one| one.severity == Severity::Error).count()
    }

    /// The span of `bytes` in this source.
    pub(super) const fn span(&self, bytes: Range<usize>) -> Span {
        Span {
            source: self.source,
            bytes,
        }
    }

    /// Keeps an error.
    pub(super) fn error(
        &mut self,
        code: &'static str,
        span: &Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.keep(Severity::Error, code, span, message.into(), help.into());
    }

    /// Keeps a warning.
    pub(super) fn warning(
        &mut self,
        code: &'static str,
        span: &Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.keep(Severity::Warning, code, span, message.into(), help.into());
    }

    /// Adds a second place to the problem that was kept last.
    pub(super) fn also(&mut self, span: &Span, label: impl Into<String>) {
        if let Some(problem) = self.list.last_mut() {
            problem.also = Some((span.clone(), label.into()));
        }
    }

    /// Keeps what does not fit at `span`.
    pub(super) fn misfit(&mut self, span: &Span, misfit: Misfit) {
        self.error(misfit.code, span, misfit.message, misfit.help);
    }

    /// Keeps a problem.
    fn keep(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: &Span,
        message: String,
        help: String,
    ) {
        let help = Some(help).filter(|help| !help.is_empty());
        self.list.push(Problem {
            severity,
            code,
            span: span.clone(),
            message,
            help,
            also: None,
        });
    }
}

/// One table, its place and the keys that it may have.
#[derive(Debug)]
pub(super) struct Section<'a> {
    /// Where its name stands, for what it lacks.
    pub(super) place: Span,
    /// The table.
    table: &'a DeTable<'a>,
    /// The keys that it may have.
    keys: &'static [&'static str],
}

impl<'a> Section<'a> {
    /// `table`, whose name stands at `place`. Every key that `schema` does not have is refused.
    pub(super) fn open(
        table: &'a DeTable<'a>,
        schema: &'static Table,
        place: Span,
        problems: &mut Problems,
    ) -> Self {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !schema.keys.contains(&name) {
                let span = problems.span(key.span());
                let help = suggest::help(name, schema.keys.iter().copied());
                problems.error(
                    "config/unknown-key",
                    &span,
                    format!("unknown key `{name}`"),
                    help,
                );
            }
        }
        Self {
            place,
            table,
            keys: schema.keys,
        }
    }

    /// The value of `key`.
    pub(super) fn value(&self, key: &str) -> Option<&'a Spanned<DeValue<'a>>> {
        debug_assert!(self.keys.contains(&key), "`{key}` is not in the schema");
        self.table.get(key)
    }

    /// The table at `key`, with the place of the key.
    pub(super) fn table(
        &self,
        key: &str,
        problems: &mut Problems,
    ) -> Option<(Span, &'a DeTable<'a>)> {
        debug_assert!(self.keys.contains(&key), "`{key}` is not in the schema");
        let (name, value) = self.table.get_key_value(key)?;
        table(name, value, problems)
    }

    /// The value of `key`, read by `read`; None where it is absent or does not fit.
    pub(super) fn one<T>(
        &self,
        key: &str,
        problems: &mut Problems,
        read: impl Fn(&DeValue<'a>) -> Read<T>,
    ) -> Option<Located<T>> {
        located(self.value(key)?, problems, &read)
    }

    /// The value of `key`, read by `read`; a missing one is an error, and `example` says what
    /// to write.
    pub(super) fn required<T>(
        &self,
        key: &str,
        example: &str,
        problems: &mut Problems,
        read: impl Fn(&DeValue<'a>) -> Read<T>,
    ) -> Option<Located<T>> {
        if self.value(key).is_none() {
            self.lacks(key, example, problems);
        }
        self.one(key, problems, read)
    }

    /// Keeps the lack of `key`.
    pub(super) fn lacks(&self, key: &str, example: &str, problems: &mut Problems) {
        let help = format!("write `{key} = {example}` below it");
        problems.error(
            "config/missing-key",
            &self.place,
            format!("`{key}` is missing"),
            help,
        );
    }

    /// The values of `key`, a list or the one thing, each read by `read`.
    pub(super) fn list<T>(
        &self,
        key: &str,
        problems: &mut Problems,
        read: impl Fn(&DeValue<'a>) -> Read<T>,
    ) -> Vec<Located<T>> {
        match self.value(key) {
            None => Vec::new(),
            Some(value) => match value.get_ref() {
                DeValue::Array(list) => list
                    .iter()
                    .filter_map(|item| located(item, problems, &read))
                    .collect(),
                _ => located(value, problems, &read).into_iter().collect(),
            },
        }
    }

    /// The tables below `key`, which the operator names, in the order of the file.
    pub(super) fn named(&self, key: &str, problems: &mut Problems) -> Vec<Named<'a>> {
        let Some((_, tables)) = self.table(key, problems) else {
            return Vec::new();
        };
        let mut all: Vec<Named<'a>> = tables
            .iter()
            .filter_map(|(name, value)| {
                let (place, table) = table(name, value, problems)?;
                let name: &str = name.get_ref();
                if !is_name(name) {
                    problems.error(
                        "config/bad-name",
                        &place,
                        format!("`{name}` is not a name"),
                        "a name is 1 to 63 letters, digits, hyphens, underscores and dots, begun \
                         by a letter or digit",
                    );
                }
                Some(Named {
                    name: Located {
                        value: name.to_owned(),
                        span: place,
                    },
                    table,
                })
            })
            .collect();
        all.sort_by_key(|named| named.name.span.bytes.start);
        all
    }
}

/// A table that the operator named.
#[derive(Debug)]
pub(super) struct Named<'a> {
    /// Its name.
    pub(super) name: Located<String>,
    /// What it holds.
    pub(super) table: &'a DeTable<'a>,
}

/// Whether `name` may be the name of a listener, an upstream, a policy: it becomes a label.
fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    name.len() <= 63
        && name
            .bytes()
            .next()
            .is_some_and(|byte| byte.is_ascii_alphanumeric())
        && name.bytes().all(inner)
}

/// The table in `value`, with the place of its name.
fn table<'a>(
    name: &Spanned<std::borrow::Cow<'a, str>>,
    value: &'a Spanned<DeValue<'a>>,
    problems: &mut Problems,
) -> Option<(Span, &'a DeTable<'a>)> {
    let place = problems.span(name.span());
    let found = value.get_ref().as_table();
    if found.is_none() {
        let name: &str = name.get_ref();
        let misfit = Misfit::wrong_type(
            "a table",
            value.get_ref(),
            format!("write a table: `{name} = {{ … }}`, or a header in brackets"),
        );
        problems.misfit(&problems.span(value.span()), misfit);
    }
    Some((place, found?))
}

/// `value` read by `read`; what does not fit is kept.
pub(super) fn located<'a, T>(
    value: &Spanned<DeValue<'a>>,
    problems: &mut Problems,
    read: impl Fn(&DeValue<'a>) -> Read<T>,
) -> Option<Located<T>> {
    let span = problems.span(value.span());
    match read(value.get_ref()) {
        Ok(value) => Some(Located { value, span }),
        Err(misfit) => {
            problems.misfit(&span, misfit);
            None
        }
    }
}
