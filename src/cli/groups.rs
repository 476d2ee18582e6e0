//! `explain --groups`: every group and its members, from the verb table.
//!
//! Owns the print. Must not know which verbs there are.

use serde_json::{Map, Value, json};

use super::Answer;
use crate::ftp::verb::{Forward, Group, SITE, Verb};

/// Prints all groups.
pub(super) fn groups(as_json: bool) -> Answer {
    if as_json {
        let all: Map<String, Value> = Group::ALL
            .into_iter()
            .map(|group| (format!("@{}", group.name()), json!(members(group))))
            .collect();
        return Answer::fine(format!("{:#}\n", Value::Object(all)));
    }
    let mut lines = Vec::new();
    for group in Group::ALL {
        lines.push(format!("@{}", group.name()));
        lines.extend(
            members(group)
                .into_iter()
                .map(|member| format!("    {member}")),
        );
    }
    lines.push("\n* allowed only by its own name, whatever the group\n".to_owned());
    Answer::fine(lines.join("\n"))
}

/// The groups that `group` spans, then its verbs, then its subcommands of SITE.
fn members(group: Group) -> Vec<String> {
    let spanned = group
        .spans()
        .iter()
        .map(|spanned| format!("@{}", spanned.name()));
    let verbs = Verb::ALL
        .iter()
        .map(|verb| verb.row())
        .filter(|row| row.groups.contains(&group) && row.forward != Forward::Never)
        .map(|row| marked(row.name.to_owned(), row.forward));
    let subcommands = SITE
        .iter()
        .filter(|row| row.groups.contains(&group) && row.forward != Forward::Never)
        .map(|row| marked(format!("SITE {}", row.name), row.forward));
    let special: &[&str] = match group {
        Group::Info => &["STAT without argument"],
        Group::List => &["STAT with argument"],
        Group::Modify => &["MDTM with a time"],
        _ => &[],
    };
    let special = special.iter().map(|text| (*text).to_owned());
    spanned
        .chain(verbs.filter(|name| name != "STAT"))
        .chain(special)
        .chain(subcommands)
        .collect()
}

/// The name with a star where a group does not allow it.
fn marked(name: String, forward: Forward) -> String {
    match forward {
        Forward::Named => format!("{name} *"),
        Forward::Gateway | Forward::Never | Forward::Yes => name,
    }
}
