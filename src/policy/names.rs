//! The names of commands in a policy: what each stands for, and which is the more specific.
//!
//! Owns the reading of `SITE CHMOD`, `SITE`, `@group` and `*` against a command. Must not know
//! conditions or the order of rules. The words of a line are bounded by the line.

use super::judge::System;
use crate::ftp::command::Command;
use crate::ftp::subcommand::{self, FILETYPE, assigns, is_filetype, lenient_name};
use crate::ftp::verb::{self, Alias, Forward, Group, Paths, SiteRow, Verb};

/// The verb that policy judges.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(super) enum Key<'a> {
    /// One of the table, aliases resolved.
    Known(Verb),
    /// Another well-formed one, in upper case.
    Other(&'a str),
}

/// One name as a policy wrote it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Pattern {
    /// `*`, or a rule without `commands`.
    All,
    /// `@group`.
    Group(Group),
    /// A verb that the table does not have, in upper case.
    Other(Box<str>),
    /// A verb, aliases resolved.
    Verb(Verb),
    /// `VERB WORD`, the word in upper case.
    Word(Verb, Box<str>),
}

/// How specific a name is; the greater wins between lists.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Rank {
    /// `*`.
    All,
    /// `@group`.
    Group,
    /// `SITE`.
    Verb,
    /// `SITE CHMOD`.
    Word,
}

/// What a name is read for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Sense {
    /// To let the command pass: only what is certain counts, and SITE needs its name.
    Grant,
    /// To hand the decision to another policy: only what is certain counts.
    Pass,
    /// To keep the command from the server: what may be meant counts.
    Refuse,
}

impl Sense {
    /// Whether what is uncertain does not count.
    pub(super) const fn needs_certainty(self) -> bool {
        matches!(self, Self::Grant | Self::Pass)
    }
}

/// Why a general name may not be enough to let a command pass.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Wary {
    /// The table says `named`: neither a group nor `*` nor a default grants it.
    pub(super) named: bool,
    /// The policy has path rules, and nobody can tell where this command's paths stand.
    pub(super) traceless: bool,
}

impl Wary {
    /// Whether a group, `*` or a default of `allow` may grant the command.
    pub(super) const fn general_names_suffice(self) -> bool {
        !self.named && !self.traceless
    }
}

/// A word behind a verb.
#[derive(Clone, Copy, Debug)]
struct Word<'a> {
    /// As written, up to the blank.
    whole: &'a [u8],
    /// What a lenient server may take for the word: up to the first byte that no name has, and
    /// FILETYPE where that is cut short.
    head: &'a [u8],
    /// The spelling that a name must have to grant it: `NAME` of `NAME=VALUE`, else all of it.
    exact: &'a [u8],
    /// Whether it is `NAME=VALUE` or `NAME(…)`, as z/OS has it.
    assigns: bool,
    /// The row of the SITE subcommand that is spelled `exact`, if the table has it.
    row: Option<&'static SiteRow>,
    /// That of what a lenient server may take it for.
    meant: Option<&'static SiteRow>,
}

/// Which words of a subject count.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Telling {
    /// The first.
    First,
    /// The first, and those that set what must be named: FILETYPE.
    Assigned,
    /// All.
    All,
}

/// What the names of a policy are read against: a command, or a form that a command may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    /// The verb.
    pub(super) key: Key<'a>,
    /// The argument of a verb whose words may be named, else empty.
    pub(super) text: &'a [u8],
    /// The first word of `text`.
    first: Option<Word<'a>>,
    /// The words of `text` that count.
    telling: Telling,
    /// The plain groups of which it is a member; of SITE only `@site`.
    pub(super) groups: &'static [Group],
    /// Where its paths stand.
    pub(super) paths: Paths,
}

impl<'a> Subject<'a> {
    /// The subject of a client's command.
    pub(super) fn of(command: &'a Command, system: System) -> Self {
        let key = command
            .judged()
            .map_or_else(|| Key::Other(command.name.as_str()), Key::Known);
        let subcommand = match command.row().and_then(|row| row.alias) {
            Some(Alias::Subcommand(_, word)) => Some(word.as_bytes()),
            Some(Alias::Verb(_)) | None => None,
        };
        let text = subcommand.unwrap_or_else(|| match key {
            Key::Known(verb) if verb::takes_word(verb) => command.argument_bytes(),
            Key::Known(_) | Key::Other(_) => &[],
        });
        let subject = Self::new(key, text, command.groups(), system);
        let paths = match (key, command.row()) {
            (Key::Known(Verb::Site), _) => subject.site_paths(),
            // Without an argument STAT tells of the session, and of no directory.
            (Key::Known(Verb::Stat), _) if command.argument.is_none() => Paths::None,
            (Key::Known(_), Some(row)) => row.paths,
            (Key::Known(_) | Key::Other(_), _) => Paths::Opaque,
        };
        subject.at(paths)
    }

    /// The subject of SITE with `text` behind it.
    pub(super) fn site(text: &'a [u8], system: System) -> Self {
        let subject = Self::new(
            Key::Known(Verb::Site),
            text,
            Verb::Site.row().groups,
            system,
        );
        subject.at(subject.site_paths())
    }

    /// The subject of `key` with `text` behind it, whose paths nobody can tell.
    pub(super) fn new(
        key: Key<'a>,
        text: &'a [u8],
        groups: &'static [Group],
        system: System,
    ) -> Self {
        let first = words(key, text).next();
        Self {
            key,
            text,
            first,
            telling: first.map_or(Telling::First, |first| first.telling(key, text, system)),
            groups,
            paths: Paths::Opaque,
        }
    }

    /// The same, with its paths there.
    pub(super) const fn at(mut self, paths: Paths) -> Self {
        self.paths = paths;
        self
    }

    /// Whether it is SITE, with whatever subcommand.
    pub(super) fn is_site(&self) -> bool {
        self.key == Key::Known(Verb::Site)
    }

    /// The first word in the server's reading, for the values of MODE.
    pub(super) fn first_letter(&self) -> Option<u8> {
        self.first?.head.first().map(u8::to_ascii_uppercase)
    }

    /// The words that count, all of which a grant must name: the first; where each is a
    /// parameter of its own, all; and whatever sets FILETYPE, which is never hidden behind a
    /// harmless word, unless a path or a secret stands there.
    fn telling_words(&self) -> impl Iterator<Item = Word<'a>> {
        let telling = self.telling;
        let rest = (telling != Telling::First).then(|| words(self.key, self.text).skip(1));
        let rest = rest.into_iter().flatten();
        let counts =
            move |word: &Word<'_>| telling == Telling::All || word.assigns && word.is_named();
        self.first.into_iter().chain(rest.filter(counts))
    }

    /// Whether the table has it as `named`: a verb, or one of the words of SITE.
    pub(super) fn is_named(&self) -> bool {
        match self.key {
            Key::Known(Verb::Site) => self.telling_words().any(|word| word.is_named()),
            Key::Known(verb) => verb.row().forward == Forward::Named,
            Key::Other(_) => false,
        }
    }

    /// Whether it has paths, or may have, and nobody can tell where.
    pub(super) fn is_traceless(&self) -> bool {
        self.paths == Paths::Opaque
    }

    /// Where the paths of a SITE line stand.
    fn site_paths(&self) -> Paths {
        let Some(first) = self.first else {
            return Paths::None;
        };
        if self.telling != Telling::All {
            return first.row.map_or(Paths::Opaque, |row| row.paths);
        }
        let pathless = self
            .telling_words()
            .all(|word| word.meant.is_some_and(|row| row.paths == Paths::None));
        if pathless { Paths::None } else { Paths::Opaque }
    }

    /// Whether `group` takes it in, when that group is read to refuse or to pass on: with the
    /// subcommands of SITE that do the same.
    fn is_within(&self, group: Group) -> bool {
        self.is_member(group)
            || (self.is_site()
                && self.telling_words().any(|word| {
                    word.meant
                        .is_some_and(|row| row.groups.iter().any(|own| group.takes_in(*own)))
                }))
    }

    /// Whether it is a member of `group` by its own groups.
    fn is_member(&self, group: Group) -> bool {
        self.groups.iter().any(|own| group.takes_in(*own))
    }
}

impl<'a> Word<'a> {
    /// Reads one word behind `key`.
    fn new(key: Key<'_>, whole: &'a [u8]) -> Self {
        let head = lenient_name(whole);
        let plain = Self {
            whole,
            head,
            exact: whole,
            assigns: false,
            row: None,
            meant: None,
        };
        match key {
            // RFC 959 §5.3.2: the first letter is the value, and servers are known that look no
            // further.
            Key::Known(Verb::Type | Verb::Mode | Verb::Stru) => Self {
                head: head.get(..1).unwrap_or_default(),
                ..plain
            },
            Key::Known(Verb::Site) if assigns(whole, head) => {
                let name = if is_filetype(head) { FILETYPE } else { head };
                let row = verb::site(name);
                Self {
                    head: name,
                    exact: name,
                    assigns: true,
                    row,
                    meant: row,
                    ..plain
                }
            }
            Key::Known(Verb::Site) => {
                let row = verb::site(whole);
                Self {
                    row,
                    meant: if head == whole { row } else { verb::site(head) },
                    ..plain
                }
            }
            Key::Known(_) | Key::Other(_) => plain,
        }
    }

    /// Which words of `text` count, of which this is the first.
    fn telling(&self, key: Key<'_>, text: &[u8], system: System) -> Telling {
        if key != Key::Known(Verb::Site) {
            return Telling::First;
        }
        // Each word is a parameter of its own in `SITE RECFM=FB LRECL=80` of z/OS, where a known
        // subcommand takes the rest as its argument.
        if system == System::Mvs && (self.assigns || self.row.is_none()) {
            return Telling::All;
        }
        let takes_rest = self
            .row
            .is_some_and(|row| row.secret || row.paths != Paths::None);
        let may_assign = text.iter().any(|byte| matches!(byte, b'=' | b'('));
        if may_assign && !takes_rest {
            Telling::Assigned
        } else {
            Telling::First
        }
    }

    /// Whether a lenient server may take it for a subcommand that must be named.
    fn is_named(&self) -> bool {
        self.meant.is_some_and(|row| row.forward == Forward::Named)
    }
}

/// The words of `text` behind `key` of which a name may be read.
fn words<'a>(key: Key<'a>, text: &'a [u8]) -> impl Iterator<Item = Word<'a>> {
    let is_site = key == Key::Known(Verb::Site);
    subcommand::words(text.trim_ascii_start())
        .take(if is_site { usize::MAX } else { 1 })
        .map(move |whole| Word::new(key, whole))
}

impl Pattern {
    /// Whether this name may stand for some form of the verb `key`.
    pub(super) fn concerns(&self, key: Key<'_>) -> bool {
        match (self, key) {
            (Self::All, _) | (Self::Group(_), Key::Known(Verb::Site)) => true,
            (Self::Group(group), Key::Known(Verb::Stat | Verb::Mdtm)) => {
                // Their group depends on the argument: see `Command::groups`.
                [Group::Info, Group::List, Group::Modify]
                    .into_iter()
                    .any(|own| group.takes_in(own))
            }
            (Self::Group(group), Key::Known(verb)) => {
                verb.row().groups.iter().any(|own| group.takes_in(*own))
            }
            (Self::Other(name), Key::Other(other)) => **name == *other,
            (Self::Verb(own) | Self::Word(own, _), Key::Known(verb)) => *own == verb,
            (Self::Group(_) | Self::Verb(_) | Self::Word(..), Key::Other(_))
            | (Self::Other(_), Key::Known(_)) => false,
        }
    }

    /// Its rank.
    const fn rank(&self) -> Rank {
        match self {
            Self::All => Rank::All,
            Self::Group(_) => Rank::Group,
            Self::Other(_) | Self::Verb(_) => Rank::Verb,
            Self::Word(..) => Rank::Word,
        }
    }

    /// Whether it stands for `subject`, words apart: those are read together.
    fn covers(&self, subject: &Subject<'_>, sense: Sense, wary: Wary) -> bool {
        let grant = sense == Sense::Grant;
        match self {
            Self::All => !grant || (wary.general_names_suffice() && !subject.is_site()),
            Self::Group(group) if grant => {
                wary.general_names_suffice() && subject.is_member(*group)
            }
            Self::Group(group) => subject.is_within(*group),
            Self::Other(name) => subject.key == Key::Other(name),
            // `SITE` alone does not name SITE EXEC.
            Self::Verb(verb) => {
                subject.key == Key::Known(*verb) && !(grant && wary.named && subject.is_site())
            }
            Self::Word(..) => false,
        }
    }
}

/// Names read together: the `commands` of a rule, or a list.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Names {
    /// The names, as written.
    patterns: Vec<Pattern>,
}

impl Names {
    /// The names `patterns`.
    pub(super) const fn new(patterns: Vec<Pattern>) -> Self {
        Self { patterns }
    }

    /// Whether there are none.
    pub(super) const fn is_empty(&self) -> bool {
        self.patterns.is_empty()
    }

    /// The names.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Pattern> {
        self.patterns.iter()
    }

    /// The rank of the most specific name that stands for `subject`, None if none does.
    pub(super) fn rank(&self, subject: &Subject<'_>, sense: Sense, wary: Wary) -> Option<Rank> {
        if let Key::Known(verb) = subject.key
            && verb::takes_word(verb)
            && self.covers_words(verb, subject, sense)
        {
            return Some(Rank::Word);
        }
        self.patterns
            .iter()
            .filter(|pattern| pattern.covers(subject, sense, wary))
            .map(Pattern::rank)
            .max()
    }

    /// Whether names of the form `VERB WORD` stand for `subject`: any of its words to refuse,
    /// all of them to let pass.
    fn covers_words(&self, verb: Verb, subject: &Subject<'_>, sense: Sense) -> bool {
        let has = |word: &[u8]| {
            self.patterns.iter().any(|pattern| {
                matches!(pattern, Pattern::Word(own, name)
                    if *own == verb && name.as_bytes().eq_ignore_ascii_case(word))
            })
        };
        if sense == Sense::Refuse {
            return subject
                .telling_words()
                .any(|word| has(word.whole) || has(word.head));
        }
        let mut words = subject.telling_words().peekable();
        words.peek().is_some() && words.all(|word| has(word.exact))
    }
}

#[cfg(test)]
mod tests;
