//! `explain --groups`: every group and its members, from the verb table.
//!
//! Owns the print. Must not know which verbs there are.

use serde_json::{Map, Value, json};

use super::Answer;
use crate::ftp::verb::{Alias, Forward, Group, SITE, Verb};

/// One member of a group.
struct Member {
    /// Its name.
    name: String,
    /// Whether only its own name allows it.
    is_named: bool,
    /// Whether the group takes it in when it denies, and does not allow it.
    is_denied_only: bool,
}

impl Member {
    /// A member that the group allows and denies.
    fn plain(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            is_named: false,
            is_denied_only: false,
        }
    }
}

/// Prints all groups.
pub(super) fn groups(as_json: bool) -> Answer {
    if as_json {
        let all: Map<String, Value> = Group::ALL
            .into_iter()
            .map(|group| (format!("@{}", group.name()), to_json(group)))
            .collect();
        return Answer::fine(format!("{:#}\n", Value::Object(all)));
    }
    let mut lines = Vec::new();
    for group in Group::ALL {
        lines.push(format!("@{}", group.name()));
        lines.extend(members(group).iter().map(|member| {
            let named = if member.is_named { " *" } else { "" };
            let denied = if member.is_denied_only { " -" } else { "" };
            format!("    {}{named}{denied}", member.name)
        }));
    }
    lines.push("\n* is allowed only by its own name, whatever the group".to_owned());
    lines
        .push("- is denied with the group, and allowed only by its own name or @site\n".to_owned());
    Answer::fine(lines.join("\n"))
}

/// The members of `group` for scripts.
fn to_json(group: Group) -> Value {
    members(group)
        .iter()
        .map(|member| {
            json!({
                "name": member.name,
                "by_name_only": member.is_named,
                "denied_only": member.is_denied_only,
            })
        })
        .collect()
}

/// The groups that `group` spans, then its verbs, then its subcommands of SITE.
fn members(group: Group) -> Vec<Member> {
    let spanned = group.spans().iter();
    let mut all: Vec<Member> = spanned
        .map(|spanned| Member::plain(format!("@{}", spanned.name())))
        .collect();
    for row in Verb::ALL.iter().map(|verb| verb.row()) {
        // STAT is two things: see below.
        let is_one = row.groups.contains(&group) && row.name != Verb::Stat.name();
        if is_one && row.forward != Forward::Never {
            let is_site = matches!(row.alias, Some(Alias::Subcommand(Verb::Site, _)));
            all.push(Member {
                name: row.name.to_owned(),
                is_named: row.forward == Forward::Named,
                is_denied_only: is_site && group != Group::Site,
            });
        }
    }
    match group {
        Group::Info => all.push(Member::plain("STAT without argument")),
        Group::List => all.push(Member::plain("STAT with argument")),
        Group::Modify => all.push(Member::plain("MDTM with a time")),
        _ => {}
    }
    let subcommands = SITE.iter().filter(|row| row.groups.contains(&group));
    all.extend(
        subcommands
            .filter(|row| row.forward != Forward::Never)
            .map(|row| Member {
                name: format!("SITE {}", row.name),
                is_named: row.forward == Forward::Named,
                is_denied_only: group != Group::Site,
            }),
    );
    all
}
