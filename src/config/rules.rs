//! `[policies.NAME]`, read into what policy compiles.
//!
//! Owns the form of a policy: which keys a rule has and that it has one consequence. Must not
//! know what verbs, globs or hours are: policy judges those.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema;
use super::section::{Named, Problems, Section};
use super::value::{self, Misfit};
use crate::ftp::security::TlsVersion;
use crate::policy::spec::{Consequence, Located, PolicySpec, RuleSpec, Stance};

/// One policy.
pub(super) fn policy(named: &Named<'_>, problems: &mut Problems) -> PolicySpec {
    let place = named.name.span.clone();
    let section = Section::open(named.table, &schema::POLICY, place, problems);
    let stances = [("allow", Stance::Allow), ("deny", Stance::Deny)];
    PolicySpec {
        name: Some(named.name.clone()),
        extends: section.one("extends", problems, value::any_text),
        default: section.one("default", problems, value::word(&stances)),
        allow: section.list("allow", problems, value::any_text),
        deny: section.list("deny", problems, value::any_text),
        rules: rules(&section, problems),
    }
}

/// `rules`, a list of tables or the one table.
fn rules(section: &Section<'_>, problems: &mut Problems) -> Vec<RuleSpec> {
    let Some(value) = section.value("rules") else {
        return Vec::new();
    };
    let one = std::slice::from_ref(value);
    let items = value.get_ref().as_array().map_or(one, |list| list.as_ref());
    items
        .iter()
        .filter_map(|item| rule(item, problems))
        .collect()
}

/// One rule; None where it is no table or has no consequence.
fn rule(item: &Spanned<DeValue<'_>>, problems: &mut Problems) -> Option<RuleSpec> {
    let span = problems.span(item.span());
    let DeValue::Table(table) = item.get_ref() else {
        let example = "write `{ commands = \"…\", action = \"deny\" }`";
        problems.misfit(&span, Misfit::wrong_type("a rule", item.get_ref(), example));
        return None;
    };
    let section = Section::open(table, &schema::RULE, span.clone(), problems);
    let mut conditions = |key: &str| condition(&section, table, key, problems);
    let (commands, users, clients) = (
        conditions("commands"),
        conditions("users"),
        conditions("clients"),
    );
    let (hours, paths) = (conditions("hours"), conditions("paths"));
    let client_certificate = conditions("client_certificate");
    let (filename, argument) = (conditions("filename"), conditions("argument"));
    let tls = section.one("tls", problems, value::boolean);
    let versions = TlsVersion::ALL.map(|version| (version.name(), version));
    let tls_version = section.one("tls_version", problems, value::word(&versions));
    let name = section.one("name", problems, value::any_text);
    let reply = section.one("reply", problems, value::any_text);
    let consequence = consequence(&section, problems)?;
    Some(RuleSpec {
        span,
        name,
        commands,
        users,
        clients,
        hours,
        tls,
        tls_version,
        client_certificate,
        paths,
        filename,
        argument,
        consequence,
        reply,
    })
}

/// A condition: a list or the one thing. A list of nothing would hold for nothing or for all,
/// depending on whom one asks, and is refused.
fn condition(
    section: &Section<'_>,
    table: &DeTable<'_>,
    key: &str,
    problems: &mut Problems,
) -> Vec<Located<String>> {
    let list = section.list(key, problems, value::any_text);
    let empty = table.get(key).and_then(|value| {
        value
            .get_ref()
            .as_array()
            .filter(|list| list.is_empty())
            .map(|_| value.span())
    });
    if let Some(bytes) = empty {
        let span = problems.span(bytes);
        problems.error(
            "policy/empty-condition",
            &span,
            format!("`{key}` is a list of nothing"),
            "write what it is to hold for, or drop the key",
        );
    }
    list
}

/// `action` or `policy`, of which there is one.
fn consequence(section: &Section<'_>, problems: &mut Problems) -> Option<Consequence> {
    let actions = [
        ("allow", Action::Allow),
        ("deny", Action::Deny),
        ("disconnect", Action::Disconnect),
        ("answer", Action::Answer),
    ];
    let action = section.one("action", problems, value::word(&actions));
    let policy = section.one("policy", problems, value::any_text);
    if let (Some(action), Some(policy)) = (&action, &policy) {
        problems.error(
            "policy/two-consequences",
            &policy.span,
            "a rule has an `action` or a `policy`, not both",
            "drop one of the two",
        );
        problems.also(&action.span, "the other one");
    }
    if section.value("action").is_none() && section.value("policy").is_none() {
        problems.error(
            "policy/no-consequence",
            &section.place,
            "the rule says nothing of what follows",
            "write `action = \"allow\"`, `\"deny\"`, `\"disconnect\"` or `\"answer\"`, or \
             `policy = \"NAME\"`",
        );
    }
    let action = action.map(|action| match action.value {
        Action::Allow => Consequence::Allow,
        Action::Answer => Consequence::Answer,
        Action::Deny => Consequence::Deny,
        Action::Disconnect => Consequence::Disconnect,
    });
    action.or_else(|| policy.map(Consequence::Policy))
}

/// The words of `action`.
#[derive(Clone, Copy, Debug)]
enum Action {
    /// `allow`.
    Allow,
    /// `answer`.
    Answer,
    /// `deny`.
    Deny,
    /// `disconnect`.
    Disconnect,
}
