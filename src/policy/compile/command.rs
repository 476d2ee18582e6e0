//! The names of commands in a policy, read.
//!
//! Owns which names there are, and what is said of one that is none. Must not know rules.

use super::super::names::{Names, Pattern, Sense};
use super::super::spec::Located;
use super::super::suggest::nearest;
use super::{Problems, did_you_mean, each};
use crate::ftp::command::Name;
use crate::ftp::subcommand::is_name_byte;
use crate::ftp::verb::{self, Alias, Forward, Group, Verb};

/// Reads names of commands.
pub(super) fn names(written: &[Located<String>], sense: Sense, problems: &mut Problems) -> Names {
    Names::new(each(written, problems, |one, problems| {
        pattern(one, sense, problems)
    }))
}

/// Reads `*`, `@group`, `VERB` or `VERB WORD`.
fn pattern(written: &Located<String>, sense: Sense, problems: &mut Problems) -> Option<Pattern> {
    let text = written.value.trim();
    if text == "*" {
        return Some(Pattern::All);
    }
    if let Some(name) = text.strip_prefix('@') {
        let group = Group::parse(&name.to_ascii_lowercase());
        if group.is_none() {
            problems
                .error(
                    "policy/unknown-group",
                    &written.span,
                    format!("there is no group `@{name}`"),
                )
                .help_if(
                    nearest(name, Group::ALL.into_iter().map(Group::name))
                        .map(|near| format!("did you mean `@{near}`?")),
                );
        }
        return group.map(Pattern::Group);
    }
    let mut words = text.split_ascii_whitespace();
    let (Some(first), word, None) = (words.next(), words.next(), words.next()) else {
        problems
            .error(
                "policy/bad-command",
                &written.span,
                format!("`{text}` is not the name of a command"),
            )
            .help("write a verb, `VERB WORD`, `@group` or `*`; what follows is for `argument`");
        return None;
    };
    match Name::parse(first.as_bytes()) {
        Some(Name::Known(verb)) => known(written, verb, word, sense, problems),
        Some(Name::Other(name)) => other(written, name, word, problems),
        None => {
            problems
                .error(
                    "policy/bad-command",
                    &written.span,
                    format!("`{first}` is not the name of a command"),
                )
                .help_if(did_you_mean(first, verb_names()));
            None
        }
    }
}

/// The names of all verbs.
fn verb_names() -> impl Iterator<Item = &'static str> {
    Verb::ALL.iter().map(|verb| verb.name())
}

/// A verb of the table, and perhaps a word.
fn known(
    written: &Located<String>,
    verb: Verb,
    word: Option<&str>,
    sense: Sense,
    problems: &mut Problems,
) -> Option<Pattern> {
    let name = verb.name();
    let canonical = verb.canonical();
    if verb.row().forward == Forward::Gateway || matches!(canonical, Verb::Quit | Verb::Noop) {
        let (why, help) = if verb.row().forward == Forward::Gateway {
            ("the gateway answers it itself", "see the listener's `tls`")
        } else {
            ("it is always forwarded", "leave it out")
        };
        problems
            .error(
                "policy/not-judged",
                &written.span,
                format!("no policy sees {name}: {why}"),
            )
            .help(help);
        return None;
    }
    let carried = verb.row().forward != Forward::Never
        && !matches!((verb, word), (Verb::Mode, Some("B" | "C" | "b" | "c")));
    if !carried && sense == Sense::Grant {
        problems
            .error(
                "policy/never-forwarded",
                &written.span,
                format!("the gateway cannot carry {}", written.value.trim()),
            )
            .help("leave it out: it is refused under every policy");
        return None;
    }
    let Some(word) = word else {
        return Some(match verb.row().alias {
            Some(Alias::Subcommand(verb, word)) => Pattern::Word(verb, word.into()),
            Some(Alias::Verb(_)) | None => Pattern::Verb(canonical),
        });
    };
    if !verb::takes_word(verb) || !word.bytes().all(is_name_byte) {
        problems
            .error(
                "policy/bad-command",
                &written.span,
                format!("`{word}` cannot be named behind {name}"),
            )
            .help("words are named of SITE, OPTS, TYPE, MODE and STRU; use `argument` for others");
        return None;
    }
    let word = word.to_ascii_uppercase();
    if verb == Verb::Site
        && verb::site(word.as_bytes()).is_none()
        && let Some(help) = did_you_mean(&word, verb::SITE.iter().map(|row| row.name))
    {
        problems
            .warning(
                "policy/unknown-subcommand",
                &written.span,
                format!("`{word}` is no subcommand of SITE that the gateway knows"),
            )
            .help(help);
    }
    Some(Pattern::Word(verb, word.into()))
}

/// A verb that the table does not have.
fn other(
    written: &Located<String>,
    name: Box<str>,
    word: Option<&str>,
    problems: &mut Problems,
) -> Option<Pattern> {
    let help = did_you_mean(&name, verb_names());
    let message = format!("`{name}` is not an FTP verb that the gateway knows");
    if word.is_some() {
        // Only verbs of the table have words, so this is a slip.
        problems
            .error("policy/unknown-verb", &written.span, message)
            .help_if(help);
        return None;
    }
    problems
        .warning("policy/unknown-verb", &written.span, message)
        .help_if(help);
    Some(Pattern::Other(name))
}
