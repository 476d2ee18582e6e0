//! Diagnostics and places as JSON, for scripts.
//!
//! Owns the form of `--json`. Must not know what any problem means.

use serde_json::{Value, json};

use crate::config::diagnostic::{Diagnostic, Severity, Sources, Span};

/// All `diagnostics` for scripts: one object.
pub(super) fn diagnostics(diagnostics: &[Diagnostic], sources: &Sources) -> Value {
    let count = |severity: Severity| {
        diagnostics
            .iter()
            .filter(|one| one.severity == severity)
            .count()
    };
    let errors = count(Severity::Error);
    json!({
        "ok": errors == 0,
        "errors": errors,
        "warnings": count(Severity::Warning),
        "diagnostics": diagnostics.iter().map(|found| one(found, sources)).collect::<Vec<_>>(),
    })
}

/// One diagnostic for scripts.
fn one(one: &Diagnostic, sources: &Sources) -> Value {
    let mut object = place(&one.span, sources);
    let severity = match one.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    if let Value::Object(members) = &mut object {
        members.insert("severity".into(), severity.into());
        members.insert("code".into(), one.code.into());
        members.insert("message".into(), one.message.as_str().into());
        members.insert("help".into(), one.help.as_deref().into());
        let also = one.also.as_ref().map(|(span, label)| {
            let mut also = place(span, sources);
            if let Value::Object(members) = &mut also {
                members.insert("message".into(), label.as_str().into());
            }
            also
        });
        members.insert("also".into(), also.into());
    }
    object
}

/// The place of `span` for scripts.
pub(super) fn place(span: &Span, sources: &Sources) -> Value {
    let found = sources.place(span);
    json!({
        "file": sources.of(span).map(|source| source.name.as_str()),
        "line": found.map(|place| place.line),
        "column": found.map(|place| place.column),
    })
}

/// A file that could not be read.
pub(super) fn unreadable(message: &str) -> Value {
    json!({ "ok": false, "errors": 1, "warnings": 0, "diagnostics": [{
        "severity": "error",
        "code": "config/unreadable",
        "message": message,
    }] })
}
