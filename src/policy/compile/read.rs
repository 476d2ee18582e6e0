//! The fields of a policy, each read for itself.
//!
//! Owns what a name, a network, a regex or a reply may look like, and says what is wrong with
//! one. Must not know other policies. Regexes are at most [`REGEX_TEXT_MAX`] bytes long and
//! [`REGEX_SIZE_MAX`] bytes when compiled.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::{IpNet, Ipv4Net};
use regex::RegexBuilder;
use unicode_normalization::UnicodeNormalization;

use super::super::glob::{Glob, GlobFault};
use super::super::hours::{Hours, HoursFault};
use super::super::names::{Names, Pattern, Sense, is_word_byte};
use super::super::path::pattern::{PathGlob, PatternFault};
use super::super::rule::{Effect, NamePattern};
use super::super::spec::{Consequence, Located, PolicySpec, RuleSpec};
use super::super::verdict::Reply;
use super::{Problems, did_you_mean};
use crate::ftp::command::Name;
use crate::ftp::verb::{self, Alias, Forward, Group, Verb};

/// The longest regex, in bytes.
pub(super) const REGEX_TEXT_MAX: usize = 4096;

/// The largest compiled regex, in bytes.
const REGEX_SIZE_MAX: usize = 1 << 20;

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
    let is_error = |problem: &&super::Problem| problem.severity == super::Severity::Error;
    problems.found.iter().filter(is_error).count()
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
        users: each(&spec.users, problems, user),
        clients: each(&spec.clients, problems, network),
        hours: each(&spec.hours, problems, hours),
        paths: each(&spec.paths, problems, path),
        filename: each(&spec.filename, problems, filename),
        argument: each(&spec.argument, problems, argument),
        effect,
        next,
    }
}

/// Reads each of `written`; those that cannot be read are left out, and are problems.
fn each<T>(
    written: &[Located<String>],
    problems: &mut Problems,
    read: impl Fn(&Located<String>, &mut Problems) -> Option<T>,
) -> Vec<T> {
    written
        .iter()
        .filter_map(|one| read(one, problems))
        .collect()
}

/// Reads names of commands.
fn names(written: &[Located<String>], sense: Sense, problems: &mut Problems) -> Names {
    Names::new(each(written, problems, |one, problems| {
        pattern(one, sense, problems)
    }))
}

/// Reads `*`, `@group`, `VERB` or `VERB WORD`.
pub(super) fn pattern(
    written: &Located<String>,
    sense: Sense,
    problems: &mut Problems,
) -> Option<Pattern> {
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
                    did_you_mean(name, Group::ALL.into_iter().map(Group::name))
                        .map(|help| help.replace('`', "`@").replacen("`@?", "`?", 1)),
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
    if !verb::takes_word(verb) || !word.bytes().all(is_word_byte) {
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

/// Reads a glob on user names.
fn user(written: &Located<String>, problems: &mut Problems) -> Option<Glob> {
    let parsed = Glob::parse(&written.value);
    if let Err(fault) = &parsed {
        let help = matches!(fault, GlobFault::Placeholder(_))
            .then_some("write a choice as `{one,two}`, or a literal brace as `\\{`");
        problems
            .error(
                "policy/bad-glob",
                &written.span,
                format!("`{}` is not a glob on user names: {fault}", written.value),
            )
            .help_if(help);
    }
    parsed.ok()
}

/// Reads a network or an address; an IPv4-mapped network is an IPv4 network.
fn network(written: &Located<String>, problems: &mut Problems) -> Option<IpNet> {
    let text = written.value.trim();
    let net = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .ok();
    let Some(net) = net else {
        problems
            .error(
                "policy/bad-network",
                &written.span,
                format!("`{text}` is neither a network nor an address"),
            )
            .help("write `198.51.100.0/24`, `2001:db8::/32` or a single address");
        return None;
    };
    if net.addr() != net.network() {
        problems
            .warning(
                "policy/host-bits",
                &written.span,
                format!("`{text}` has bits behind its prefix, which count for nothing"),
            )
            .help(format!("write `{}`", net.trunc()));
    }
    let mapped = match net {
        IpNet::V4(_) => None,
        IpNet::V6(net) => net
            .addr()
            .to_ipv4_mapped()
            .zip(net.prefix_len().checked_sub(96))
            .and_then(|(address, prefix)| Ipv4Net::new(address, prefix).ok()),
    };
    Some(mapped.map_or(net, IpNet::V4).trunc())
}

/// Reads day and time ranges.
fn hours(written: &Located<String>, problems: &mut Problems) -> Option<Hours> {
    let parsed = Hours::parse(&written.value);
    if let Err(fault) = &parsed {
        let help = match fault {
            HoursFault::Zone(_, Some(near)) => format!("did you mean `{near}`?"),
            HoursFault::Zone(name, None) if name.contains([':', '-']) => {
                "end with a zone, such as `Europe/Berlin` or `UTC`".to_owned()
            }
            HoursFault::Zone(_, None) => {
                "write a zone of the tz database, such as `Europe/Berlin` or `UTC`".to_owned()
            }
            HoursFault::Day(_) => "write `Mon`, `Mon-Fri` or `Mon,Wed,Fri`".to_owned(),
            HoursFault::Time(_) => {
                "write `07:00-19:00`, or `22:00-06:00` to pass midnight".to_owned()
            }
            HoursFault::Form => "write `Mon-Fri 07:00-19:00 Europe/Berlin`".to_owned(),
        };
        problems
            .error(
                "policy/bad-hours",
                &written.span,
                format!("`{}` are no hours: {fault}", written.value),
            )
            .help(help);
    }
    parsed.ok()
}

/// Reads a glob on paths.
fn path(written: &Located<String>, problems: &mut Problems) -> Option<PathGlob> {
    let parsed = PathGlob::parse(&written.value);
    if let Err(fault) = &parsed {
        let help = match fault {
            PatternFault::NotAbsolute => Some(format!(
                "begin it with `/`, `{{home}}/`, or with `**/` for any directory: `/{}`",
                written.value
            )),
            PatternFault::Glob(GlobFault::Placeholder(name)) => {
                Some(did_you_mean(name, ["user", "home"]).map_or_else(
                    || {
                        "the placeholders are `{user}` and `{home}`; a choice is `{one,two}`"
                            .to_owned()
                    },
                    |help| {
                        help.replace("`user`", "`{user}`")
                            .replace("`home`", "`{home}`")
                    },
                ))
            }
            PatternFault::Dots
            | PatternFault::Glob(_)
            | PatternFault::HomeGlued
            | PatternFault::Member
            | PatternFault::TooManyParts => None,
        };
        problems
            .error(
                "policy/bad-path",
                &written.span,
                format!("`{}` is not a glob on paths: {fault}", written.value),
            )
            .help_if(help);
    }
    parsed.ok()
}

/// Reads a regex on file names: text in NFC, which paths are in.
fn filename(written: &Located<String>, problems: &mut Problems) -> Option<NamePattern> {
    let text: String = written.value.nfc().collect();
    let build = |folded: bool| {
        checked(&text, |pattern| {
            RegexBuilder::new(pattern)
                .case_insensitive(folded)
                .size_limit(REGEX_SIZE_MAX)
                .dfa_size_limit(REGEX_SIZE_MAX)
                .build()
        })
    };
    match build(false).and_then(|exact| Ok((exact, build(true)?))) {
        Ok((exact, folded)) => Some(NamePattern { exact, folded }),
        Err(why) => {
            bad_regex(written, &why, problems);
            None
        }
    }
}

/// Reads a regex on an argument: bytes, so `.` is any byte and classes are ASCII.
fn argument(written: &Located<String>, problems: &mut Problems) -> Option<regex::bytes::Regex> {
    let built = checked(&written.value, |pattern| {
        regex::bytes::RegexBuilder::new(pattern)
            .unicode(false)
            .dot_matches_new_line(true)
            .size_limit(REGEX_SIZE_MAX)
            .dfa_size_limit(REGEX_SIZE_MAX)
            .build()
    });
    match built {
        Ok(regex) => Some(regex),
        Err(why) => {
            bad_regex(written, &why, problems);
            None
        }
    }
}

/// Builds `text` for itself, so that it cannot close the group around it, and then so that it
/// matches whole values only.
///
/// # Errors
/// What is wrong with it, in words.
fn checked<T>(text: &str, build: impl Fn(&str) -> Result<T, regex::Error>) -> Result<T, String> {
    if text.len() > REGEX_TEXT_MAX {
        return Err(format!("it is longer than {REGEX_TEXT_MAX} bytes"));
    }
    build(text)
        .and_then(|_| build(&format!(r"\A(?:{text})\z")))
        .map_err(|error| {
            if matches!(error, regex::Error::CompiledTooBig(_)) {
                return format!("it is larger than {REGEX_SIZE_MAX} bytes when compiled");
            }
            let all = error.to_string();
            let last = all.lines().last().unwrap_or_default();
            last.trim().trim_start_matches("error: ").to_owned()
        })
}

/// Notes a regex that could not be built.
fn bad_regex(written: &Located<String>, why: &str, problems: &mut Problems) {
    let help = if why.contains("look-around") || why.contains("backreference") {
        Some("matching takes linear time, so there is neither; use two rules")
    } else if why.contains("Unicode") {
        Some("`argument` is matched as bytes; write `(?u:…)` around a class with other letters")
    } else {
        None
    };
    problems
        .error(
            "policy/bad-regex",
            &written.span,
            format!("`{}` is not a regex that can be used: {why}", written.value),
        )
        .help_if(help);
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
