//! The forms that a command may take, as far as policy tells them apart.
//!
//! Owns the list of subcommands and values to try for a verb: STAT with and without argument,
//! MDTM that asks and MDTM that sets, every known subcommand of SITE, and every word that a policy
//! names. For questions about all commands at once: what FEAT may promise, what a rule can match.

use super::chain::Words;
use super::judge::System;
use super::names::{Key, Subject};
use crate::ftp::verb::{self, Alias, Forward, Group, Paths, Verb};

/// A word that no policy can name: stands for all that it does not name.
const UNNAMED: &str = "*";

/// One form of a command.
#[derive(Clone, Debug)]
pub(super) struct Form<'a> {
    /// The verb, aliases resolved.
    pub(super) key: Key<'a>,
    /// The subcommand or value, empty for none.
    text: &'a str,
    /// Its groups.
    groups: &'static [Group],
    /// Where its paths stand.
    paths: Paths,
}

impl Form<'_> {
    /// What names are read against.
    pub(super) fn subject(&self, system: System) -> Subject<'_> {
        if self.key == Key::Known(Verb::Site) {
            return Subject::site(self.text.as_bytes(), system);
        }
        Subject::new(self.key, self.text.as_bytes(), self.groups, system).at(self.paths)
    }

    /// `SITE CHMOD`, for a message.
    pub(super) fn describe(&self) -> String {
        let verb = match self.key {
            Key::Known(verb) => verb.name(),
            Key::Other(name) => name,
        };
        match (self.text, self.groups) {
            ("", _) => verb.to_owned(),
            (UNNAMED, _) => format!("{verb} with any other word"),
            (text, _) => format!("{verb} {text}"),
        }
    }
}

/// Whether policy sees `verb`: the gateway neither answers it, nor always lets it pass, nor
/// always refuses it.
pub(super) fn is_judged(verb: Verb) -> bool {
    !matches!(verb.canonical(), Verb::Quit | Verb::Noop)
        && matches!(verb.row().forward, Forward::Named | Forward::Yes)
}

/// The forms of `verb`, aliases resolved, with the words that some policy names. `word` limits
/// them to this subcommand or value; of STAT to the listing and of MDTM to the form that sets
/// the time.
pub(super) fn of_verb<'a>(verb: Verb, word: Option<&'a str>, words: &'a Words) -> Vec<Form<'a>> {
    let verb = verb.canonical();
    if let Some(Alias::Subcommand(verb, word)) = verb.row().alias {
        return of_verb(verb, Some(word), words);
    }
    let row = verb.row();
    let form = |text, groups, paths| Form {
        key: Key::Known(verb),
        text,
        groups,
        paths,
    };
    let plain = |text: &'a str| form(text, row.groups, row.paths);
    if verb == Verb::Stat {
        let listing = form("", &[Group::List], row.paths);
        return match word {
            Some(_) => vec![listing],
            None => vec![form("", row.groups, Paths::None), listing],
        };
    }
    if verb == Verb::Mdtm {
        let setting = form("", &[Group::Modify], row.paths);
        return match word {
            Some(_) => vec![setting],
            None => vec![plain(""), setting],
        };
    }
    if !verb::takes_word(verb) {
        return vec![plain("")];
    }
    if let Some(word) = word {
        return vec![plain(word)];
    }
    let mut forms = vec![plain(UNNAMED)];
    if matches!(verb, Verb::Site | Verb::Opts) {
        forms.push(plain(""));
    }
    let named = words.get(&verb).into_iter().flatten();
    forms.extend(named.map(|word| plain(word)));
    // A value of TYPE, MODE or STRU that no policy names is as good as any other.
    if verb == Verb::Site {
        forms.extend(verb::SITE.iter().map(|row| plain(row.name)));
    }
    forms
}

/// The form of a verb that the table does not have.
pub(super) const fn of_other(name: &str) -> Form<'_> {
    Form {
        key: Key::Other(name),
        text: "",
        groups: &[],
        paths: Paths::Opaque,
    }
}

/// All forms of all commands that policy sees; `others` are the verbs outside the table that
/// some policy names.
pub(super) fn all<'a>(words: &'a Words, others: impl Iterator<Item = &'a str>) -> Vec<Form<'a>> {
    let mut forms: Vec<Form<'a>> = Verb::ALL
        .iter()
        .filter(|verb| is_judged(**verb) && verb.row().alias.is_none())
        .flat_map(|verb| of_verb(*verb, None, words))
        .collect();
    forms.extend(others.map(of_other));
    forms.push(of_other(UNNAMED));
    forms
}
