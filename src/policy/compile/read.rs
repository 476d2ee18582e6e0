//! Policies and rules, read field by field.
//!
//! Owns what a rule and its reply may be, and what names become labels. Must not know other
//! policies.

use std::collections::BTreeMap;
use std::sync::Arc;

use ipnet::IpNet;

use super::super::glob::Glob;
use super::super::hours::Hours;
use super::super::names::{Names, Pattern, Sense};
use super::super::path::pattern::PathGlob;
use super::super::rule::{Effect, NamePattern};
use super::super::security::Security;
use super::super::spec::{Consequence, Located, PolicySpec, RuleSpec, Severity};
use super::super::verdict::Reply;
use super::command::names;
use super::{Problems, each, value};

/// The longest name of a rule, in characters.
const NAME_MAX: usize = 64;

/// A policy whose fields were read.
pub(super) struct Draft<'s> {
    /// Its name.
    pub(super) name: &'s Located<String>,
    /// As written.
    pub(super) spec: &'s PolicySpec,
    /// `allow`.
    pub(super) allow: Names,
    /// `deny`.
    pub(super) deny: Names,
    /// `rules`.
    pub(super) rules: Vec<RuleDraft<'s>>,
    /// Whether all of it could be read.
    pub(super) sound: bool,
}

/// A rule whose fields were read.
pub(super) struct RuleDraft<'s> {
    /// As written.
    pub(super) spec: &'s RuleSpec,
    /// `commands`; `*` where it has none.
    pub(super) names: Names,
    /// `users`.
    pub(super) users: Vec<Glob>,
    /// `clients`.
    pub(super) clients: Vec<IpNet>,
    /// `hours`.
    pub(super) hours: Vec<Hours>,
    /// `tls`, `tls_version` and `client_certificate`.
    pub(super) security: Security,
    /// `paths`.
    pub(super) paths: Vec<PathGlob>,
    /// `filename`.
    pub(super) filename: Vec<NamePattern>,
    /// `argument`.
    pub(super) argument: Vec<regex::bytes::Regex>,
    /// What follows, None for a hand-over.
    pub(super) effect: Option<Effect>,
    /// The policy that it hands over to.
    pub(super) next: Option<&'s Located<String>>,
}

impl RuleDraft<'_> {
    /// Its label, if it has a name.
    pub(super) fn label(&self) -> Option<Arc<str>> {
        let name = self.spec.name.as_ref()?;
        Some(name.value.as_str().into())
    }

    /// What its conditions are read for.
    pub(super) fn sense(&self) -> Sense {
        self.effect.as_ref().map_or(Sense::Pass, Effect::sense)
    }
}

/// Reads all policies; one whose name another has already is left out.
pub(super) fn drafts<'s>(specs: &'s [PolicySpec], problems: &mut Problems) -> Vec<Draft<'s>> {
    let mut seen: BTreeMap<&str, &Located<String>> = BTreeMap::new();
    let mut drafts = Vec::new();
    for spec in specs {
        let Some(name) = &spec.name else {
            continue;
        };
        if let Some(first) = seen.insert(&name.value, name) {
            problems
                .error(
                    "policy/duplicate-policy",
                    &name.span,
                    format!("there are two policies called `{}`", name.value),
                )
                .also(&first.span, "the first is here");
            continue;
        }
        drafts.push(draft(name, spec, problems));
    }
    drafts
}

/// Reads one policy.
fn draft<'s>(
    name: &'s Located<String>,
    spec: &'s PolicySpec,
    problems: &mut Problems,
) -> Draft<'s> {
    let before = errors(problems);
    check_label(name, "a policy's name", problems);
    let allow = names(&spec.allow, Sense::Grant, problems);
    let deny = names(&spec.deny, Sense::Refuse, problems);
    let rules = spec
        .rules
        .iter()
        .map(|rule| rule_draft(rule, problems))
        .collect();
    check_rule_names(spec, problems);
    Draft {
        name,
        spec,
        allow,
        deny,
        rules,
        sound: errors(problems) == before,
    }
}

/// How many errors there are.
fn errors(problems: &Problems) -> usize {
    problems
        .found
        .iter()
        .filter(|problem| problem.severity == Severity::Error)
        .count()
}

/// Reads one rule.
fn rule_draft<'s>(spec: &'s RuleSpec, problems: &mut Problems) -> RuleDraft<'s> {
    let (effect, next) = effect(spec, problems);
    let sense = effect.as_ref().map_or(Sense::Pass, Effect::sense);
    let names = if spec.commands.is_empty() {
        Names::new(vec![Pattern::All])
    } else {
        names(&spec.commands, sense, problems)
    };
    RuleDraft {
        spec,
        names,
        users: each(&spec.users, problems, value::user),
        clients: each(&spec.clients, problems, value::network),
        hours: each(&spec.hours, problems, value::hours),
        security: Security {
            tls: spec.tls.as_ref().map(|tls| tls.value),
            version: spec.tls_version.as_ref().map(|version| version.value),
            certificates: each(&spec.client_certificate, problems, value::user),
        },
        paths: each(&spec.paths, problems, value::path),
        filename: each(&spec.filename, problems, value::filename),
        argument: each(&spec.argument, problems, value::argument),
        effect,
        next,
    }
}

/// Reads what follows, with its reply; a hand-over has none.
fn effect<'s>(
    spec: &'s RuleSpec,
    problems: &mut Problems,
) -> (Option<Effect>, Option<&'s Located<String>>) {
    let reply = spec.reply.as_ref();
    let refuse = |reply: &Located<String>, problems: &mut Problems| {
        final_reply(reply, 400, "a refusal is a code from 400 to 599", problems)
    };
    match &spec.consequence {
        Consequence::Allow | Consequence::Policy(_) => {
            if let Some(reply) = reply {
                problems
                    .error("policy/bad-reply", &reply.span, "this rule sends no reply")
                    .help("leave `reply` out");
            }
            if let Consequence::Policy(name) = &spec.consequence {
                (None, Some(name))
            } else {
                (Some(Effect::Allow), None)
            }
        }
        Consequence::Deny => {
            let reply = reply.and_then(|reply| {
                let parsed = refuse(reply, problems)?;
                if parsed.code == 421 {
                    problems
                        .error(
                            "policy/bad-reply",
                            &reply.span,
                            "421 tells that the connection closes, and a deny keeps it",
                        )
                        .help("use `action = \"disconnect\"`");
                }
                Some(parsed)
            });
            (Some(Effect::Deny(reply)), None)
        }
        Consequence::Disconnect => {
            let reply = reply.and_then(|reply| refuse(reply, problems));
            let reply = reply.unwrap_or_else(|| Reply::own(421));
            (Some(Effect::Disconnect(reply)), None)
        }
        Consequence::Answer => {
            let Some(reply) = reply else {
                problems
                    .error("policy/bad-reply", &spec.span, "an answer needs a `reply`")
                    .help("write `reply = \"200 Command okay.\"`");
                return (Some(Effect::Answer(Reply::own(502))), None);
            };
            let parsed = final_reply(reply, 200, "an answer is a code from 200 to 599", problems)
                .filter(|parsed| {
                    if parsed.code == 421 {
                        problems
                            .error(
                                "policy/bad-reply",
                                &reply.span,
                                "421 tells that the connection closes, and an answer keeps it",
                            )
                            .help("use `action = \"disconnect\"`");
                    }
                    true
                });
            let reply = parsed.unwrap_or_else(|| Reply::own(502));
            (Some(Effect::Answer(reply)), None)
        }
    }
}

/// Reads a reply whose code is at least `lowest`.
fn final_reply(
    written: &Located<String>,
    lowest: u16,
    rule: &str,
    problems: &mut Problems,
) -> Option<Reply> {
    let parsed = Reply::parse(&written.value);
    let message = match &parsed {
        Ok(reply) if (lowest..600).contains(&reply.code) => return parsed.ok(),
        Ok(_) => format!("`{}` cannot be sent here: {rule}", written.value),
        Err(fault) => format!("`{}` is not a reply: {fault}", written.value),
    };
    problems
        .error("policy/bad-reply", &written.span, message)
        .help("write `550 Not here.` or `550`");
    None
}

/// Checks the names of the rules of one policy: they become labels of metrics.
fn check_rule_names(spec: &PolicySpec, problems: &mut Problems) {
    let mut seen: BTreeMap<&str, &Located<String>> = BTreeMap::new();
    for name in spec.rules.iter().filter_map(|rule| rule.name.as_ref()) {
        check_label(name, "a rule's name", problems);
        if matches!(name.value.as_str(), "allow" | "default" | "deny") {
            problems
                .warning(
                    "policy/reserved-name",
                    &name.span,
                    format!(
                        "`{}` is also what metrics call a list or the default",
                        name.value
                    ),
                )
                .help("choose another name");
        }
        if let Some(first) = seen.insert(&name.value, name) {
            problems
                .warning(
                    "policy/duplicate-name",
                    &name.span,
                    format!(
                        "two rules are called `{}`, and metrics add them up",
                        name.value
                    ),
                )
                .also(&first.span, "the first is here");
        }
    }
}

/// Checks a name that becomes a label.
fn check_label(name: &Located<String>, what: &str, problems: &mut Problems) {
    let text = &name.value;
    let fits = !text.is_empty()
        && text.chars().count() <= NAME_MAX
        && !text.chars().any(|one| one.is_control() || one == '/');
    if !fits {
        problems
            .error(
                "policy/bad-name",
                &name.span,
                format!("{what} has 1 to {NAME_MAX} characters, no `/` and no control character"),
            )
            .help("metrics and `explain` show it");
    }
}
