//! How problems look: rustc's frame with a caret.
//!
//! Owns the numbered sources and the one renderer. Must not know what any problem means.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

pub use crate::policy::spec::{Problem as Diagnostic, Severity, Span};

/// A text that configuration was read from.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Source {
    /// What the operator calls it: a path, mostly.
    pub name: String,
    /// What is in it.
    pub text: String,
}

/// The longest line that an excerpt shows whole, in bytes.
const EXCERPT_BYTES: usize = 120;

/// A place in a source, counted from one, as editors do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Place {
    /// What follows `before`.
    pub(super) fn behind(before: &str) -> Self {
        let line = before.rsplit('\n').next().unwrap_or_default();
        Self {
            line: before.matches('\n').count().saturating_add(1),
            column: line.chars().count().saturating_add(1),
        }
    }
}

/// Every source by its number: 0 is the operator's.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sources(pub Vec<Source>);

impl Sources {
    /// The source that `span` lies in.
    pub fn of(&self, span: &Span) -> Option<&Source> {
        self.0.get(usize::from(span.source))
    }

    /// Where `span` begins.
    pub fn place(&self, span: &Span) -> Option<Place> {
        let before = self.of(span)?.text.get(..span.bytes.start)?;
        Some(Place::behind(before))
    }

    /// The line in which `span` begins, without its end.
    fn line(&self, span: &Span) -> Option<&str> {
        let place = self.place(span)?;
        self.of(span)?.text.lines().nth(place.line.checked_sub(1)?)
    }

    /// The line in which `span` begins, or of a long line that holds much else `span` alone.
    pub fn excerpt(&self, span: &Span) -> Option<&str> {
        let line = self.line(span)?.trim();
        if line.len() <= EXCERPT_BYTES {
            return Some(line);
        }
        self.of(span)?.text.get(span.bytes.clone())?.lines().next()
    }

    /// `file:line:column` of `span`.
    pub fn locate(&self, span: &Span) -> Option<String> {
        let place = self.place(span)?;
        Some(format!(
            "{}:{}:{}",
            self.of(span)?.name,
            place.line,
            place.column
        ))
    }
}

/// Whether a report has colour.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Style {
    /// For a terminal.
    Coloured,
    /// For a file, a pipe, and where `NO_COLOR` is set.
    Plain,
}

/// Sorts by place; what has the same place keeps its order.
pub fn sort(diagnostics: &mut [Diagnostic]) {
    diagnostics.sort_by_key(|one| (one.span.source, one.span.bytes.start));
}

/// All `diagnostics` for people, a blank line between two.
pub fn render(diagnostics: &[Diagnostic], sources: &Sources, style: Style) -> String {
    let renderer = match style {
        Style::Coloured => Renderer::styled(),
        Style::Plain => Renderer::plain(),
    };
    let mut report = String::new();
    for one in diagnostics {
        if !report.is_empty() {
            report.push('\n');
        }
        let group = group(one, sources);
        // Writing to a string cannot fail.
        let _written = writeln!(report, "{}", renderer.render(&[group]));
    }
    report
}

/// A help of at most this many words stands beside the caret, as rustc has it.
const INLINE_WORDS: usize = 9;

/// One diagnostic as the renderer wants it.
fn group<'a>(one: &'a Diagnostic, sources: &'a Sources) -> Group<'a> {
    let level = match one.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(one.message.as_str()).id(one.code);
    let Some(source) = sources.of(&one.span) else {
        return Group::with_title(title);
    };
    let help = one.help.as_deref();
    let inline = help.filter(|help| help.split_whitespace().count() <= INLINE_WORDS);
    let mut primary = AnnotationKind::Primary.span(within(&one.span, source));
    if let Some(help) = inline {
        primary = primary.label(format!("help: {help}"));
    }
    let mut snippet = Snippet::source(&source.text)
        .path(&source.name)
        .annotation(primary);
    let mut second = None;
    if let Some((span, label)) = &one.also
        && let Some(source) = sources.of(span)
    {
        let context = AnnotationKind::Context
            .span(within(span, source))
            .label(label.as_str());
        if span.source == one.span.source {
            snippet = snippet.annotation(context);
        } else {
            second = Some(
                Snippet::source(&source.text)
                    .path(&source.name)
                    .annotation(context),
            );
        }
    }
    let mut group = title.element(snippet);
    if let Some(second) = second {
        group = group.element(second);
    }
    match help {
        Some(help) if inline.is_none() => group.element(Level::HELP.message(help)),
        Some(_) | None => group,
    }
}

/// The bytes of `span`, cut to what its source has.
fn within(span: &Span, source: &Source) -> std::ops::Range<usize> {
    let end = span.bytes.end.min(source.text.len());
    span.bytes.start.min(end)..end
}
