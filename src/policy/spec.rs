//! A policy as it was written: names, patterns and where in the source they stand.
//!
//! Owns the input of compilation and the problems that it finds. Must not know TOML: a span is
//! a byte range in a numbered source.

use std::ops::Range;

use crate::ftp::security::TlsVersion;

/// A byte range in a source: 0 is the operator's file, the others are built-in policies.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Span {
    /// Which source.
    pub source: u16,
    /// Which bytes of it.
    pub bytes: Range<usize>,
}

/// A value and where it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Span,
}

/// What decides when no rule and no list does.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Stance {
    /// Forwarded.
    Allow,
    /// Refused.
    #[default]
    Deny,
}

/// `[policies.NAME]`.
#[derive(Clone, Debug, Default)]
pub struct PolicySpec {
    /// Its name, the table's key.
    pub name: Option<Located<String>>,
    /// The policy whose rules and lists come after these.
    pub extends: Option<Located<String>>,
    /// `default`.
    pub default: Option<Located<Stance>>,
    /// `allow`: names of verbs, `VERB WORD`, `@group` or `*`.
    pub allow: Vec<Located<String>>,
    /// `deny`: the same.
    pub deny: Vec<Located<String>>,
    /// `rules`, in order.
    pub rules: Vec<RuleSpec>,
}

/// One rule. An empty list is a condition that was not written.
#[derive(Clone, Debug)]
pub struct RuleSpec {
    /// The whole rule.
    pub span: Span,
    /// `name`.
    pub name: Option<Located<String>>,
    /// `commands`.
    pub commands: Vec<Located<String>>,
    /// `users`: globs.
    pub users: Vec<Located<String>>,
    /// `clients`: networks or single addresses.
    pub clients: Vec<Located<String>>,
    /// `hours`: `Mon-Fri 07:00-19:00 Europe/Berlin`.
    pub hours: Vec<Located<String>>,
    /// `tls`: whether every channel that the command uses is under TLS.
    pub tls: Option<Located<bool>>,
    /// `tls_version`: at least this one on the control connection.
    pub tls_version: Option<Located<TlsVersion>>,
    /// `client_certificate`: globs on the subject.
    pub client_certificate: Vec<Located<String>>,
    /// `paths`: globs with `{user}` and `{home}`.
    pub paths: Vec<Located<String>>,
    /// `filename`: regexes.
    pub filename: Vec<Located<String>>,
    /// `argument`: regexes.
    pub argument: Vec<Located<String>>,
    /// What follows when all conditions hold.
    pub consequence: Consequence,
    /// `reply` of a deny, a disconnect or an answer: `550 No.` or `550`.
    pub reply: Option<Located<String>>,
}

/// `action = …` or `policy = …`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Consequence {
    /// `action = "allow"`.
    Allow,
    /// `action = "answer"`.
    Answer,
    /// `action = "deny"`.
    Deny,
    /// `action = "disconnect"`.
    Disconnect,
    /// `policy = "NAME"`: that policy decides from here.
    Policy(Located<String>),
}

/// How bad a [`Problem`] is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Severity {
    /// The configuration is refused.
    Error,
    /// `check` says so; `check --strict` refuses.
    Warning,
}

/// Something wrong with a policy, for the operator.
#[derive(Clone, Debug)]
pub struct Problem {
    /// How bad it is.
    pub severity: Severity,
    /// A stable code such as `policy/unknown-verb`.
    pub code: &'static str,
    /// Where it stands.
    pub span: Span,
    /// What is wrong, one sentence without a full stop.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// A second place that has to do with it, and what it is.
    pub also: Option<(Span, String)>,
}
