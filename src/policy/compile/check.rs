//! What can be said of rules together: those that restrict nothing, that can never be reached,
//! or that would break what clients cannot do without.
//!
//! Owns these questions, each asked of every form that a command may take. Must not change what
//! a policy decides.

use std::sync::Arc;

use ipnet::IpNet;

use super::super::chain::{self, Lists, Policy, Step};
use super::super::forms::{self, Form};
use super::super::judge::System;
use super::super::names::{Key, Names, Pattern, Sense, Subject, Wary};
use super::super::rule::{Effect, Rule, Weight};
use super::super::spec::{Located, RuleSpec, Span, Stance};
use super::Problems;
use super::build::Built;
use super::graph::Graph;
use super::read::{Draft, RuleDraft};
use crate::ftp::verb::{Data, Group, Verb, site};

/// Asks all questions of all policies that could be compiled.
pub(super) fn all(
    drafts: &[Draft<'_>],
    graph: &Graph,
    built: &[Option<Built>],
    problems: &mut Problems,
) {
    for ((draft, built), needed) in drafts.iter().zip(built).zip(&graph.needed) {
        let Some(built) = built else {
            continue;
        };
        let others = built.policy.others.keys().map(|name| &**name);
        let forms = forms::all(&built.policy.words, others);
        let check = Check {
            draft,
            built,
            forms: &forms,
        };
        for (index, rule) in check.rules().enumerate() {
            check.answer(index, rule, problems);
            if check.reachable(index, rule, problems) {
                check.restricts(index, rule, problems);
            }
        }
        // What only decides a part for another policy need not serve a whole session.
        if !needed {
            check.serves_clients(problems);
        }
    }
}

/// The questions about one policy.
struct Check<'c, 's> {
    /// As written.
    draft: &'c Draft<'s>,
    /// As compiled.
    built: &'c Built,
    /// All that a client may send.
    forms: &'c [Form<'c>],
}

impl Check<'_, '_> {
    /// Its own rules.
    fn rules(&self) -> impl Iterator<Item = &Arc<Rule>> {
        let own = self.draft.rules.len();
        self.built
            .steps
            .iter()
            .take(own)
            .filter_map(|step| match step {
                Step::Rule(rule, _) => Some(rule),
                Step::Lists(_) => None,
            })
    }

    /// One of its rules as it was written.
    fn written(&self, index: usize) -> Option<&RuleDraft<'_>> {
        self.draft.rules.get(index)
    }

    /// The names of a rule one by one, each with its place; a rule without any has `*`.
    fn names(&self, index: usize) -> Vec<(Names, &Span)> {
        let Some(written) = self.written(index) else {
            return Vec::new();
        };
        let spans = if written.spec.commands.is_empty() {
            vec![&written.spec.span]
        } else {
            written
                .spec
                .commands
                .iter()
                .map(|name| &name.span)
                .collect()
        };
        let single = |pattern: &Pattern| Names::new(vec![pattern.clone()]);
        written.names.iter().map(single).zip(spans).collect()
    }

    /// The forms for which `rule` may hold.
    fn matched<'r>(&'r self, rule: &'r Rule) -> impl Iterator<Item = Subject<'r>> {
        self.forms
            .iter()
            .map(|form| form.subject(System::Unix))
            .filter(|subject| rule.could(subject, None, self.wary(subject)) != Weight::Silent)
    }

    /// Why a general name may not be enough for `subject` here.
    fn wary(&self, subject: &Subject<'_>) -> Wary {
        Wary {
            named: subject.is_named(),
            traceless: subject.is_traceless() && self.built.policy.has_paths,
        }
    }

    /// An answer must not pretend: that somebody logged in, that a file moved or changed, that
    /// the next transfer will be another.
    fn answer(&self, index: usize, rule: &Rule, problems: &mut Problems) {
        if !matches!(rule.effect, Effect::Answer(_)) {
            return;
        }
        for (names, span) in self.names(index) {
            let pretended = self.forms.iter().find(|form| {
                let subject = form.subject(System::Unix);
                names
                    .rank(&subject, Sense::Refuse, Wary::default())
                    .is_some()
                    && has_effects(form, &subject)
            });
            if let Some(form) = pretended {
                problems
                    .error(
                        "policy/pretended-answer",
                        span,
                        format!(
                            "an answer to {} would tell the client of something that did not happen",
                            form.describe()
                        ),
                    )
                    .help("use `action = \"deny\"` with a `reply`");
            }
        }
    }

    /// Whether the rule at `index` can ever decide.
    fn reachable(&self, index: usize, rule: &Rule, problems: &mut Problems) -> bool {
        let Some(written) = self.written(index) else {
            return true;
        };
        let span = &written.spec.span;
        let mut matched = self.matched(rule).peekable();
        if matched.peek().is_none() {
            self.unmatched(rule, span, problems);
            return false;
        }
        let mut before = None;
        let all_taken = matched.all(|subject| {
            let earlier = self
                .rules()
                .take(index)
                .enumerate()
                .find(|(earlier, other)| {
                    self.written(*earlier)
                        .is_some_and(|other| subsumes(other, written))
                        && other
                            .names
                            .rank(&subject, other.effect.sense(), self.wary(&subject))
                            .is_some()
                });
            before = before.or_else(|| earlier.map(|(earlier, _)| earlier));
            earlier.is_some()
        });
        if all_taken {
            let note = problems.error(
                "policy/unreachable-rule",
                span,
                "this rule can never be reached: another one decides before it",
            );
            if let Some(earlier) = before.and_then(|earlier| self.written(earlier)) {
                note.also(&earlier.spec.span, "this one")
                    .help("put the more specific rule first");
            }
        }
        !all_taken
    }

    /// Says why no command matches `rule`.
    fn unmatched(&self, rule: &Rule, span: &Span, problems: &mut Problems) {
        let sense = rule.effect.sense();
        let named = self.forms.iter().any(|form| {
            let subject = form.subject(System::Unix);
            rule.names
                .rank(&subject, sense, self.wary(&subject))
                .is_some()
        });
        if named && rule.security.wants_both() {
            problems
                .error(
                    "policy/unreachable-rule",
                    span,
                    "this rule can never hold: none of its commands has a second channel that \
                     could be in clear",
                )
                .help("leave `tls = false` out, or `tls_version` and `client_certificate`");
        } else if named && rule.has_paths() {
            problems
                .error(
                    "policy/unreachable-rule",
                    span,
                    "this rule can never hold: none of its commands has a path that can be told",
                )
                .help("leave `paths` and `filename` out, or use `argument`");
        } else if sense == Sense::Grant {
            problems
                .error(
                    "policy/unreachable-rule",
                    span,
                    "this rule can never hold: a group or `*` grants none of these commands",
                )
                .help("name the command itself, such as `SITE CHMOD`");
        } else {
            problems
                .warning(
                    "policy/unreachable-rule",
                    span,
                    "the gateway refuses these commands under every policy",
                )
                .help("leave the rule out");
        }
    }

    /// Whether an allow rule restricts what it names: the rest of the policy must not allow the
    /// same command whatever its conditions say.
    fn restricts(&self, index: usize, rule: &Rule, problems: &mut Problems) {
        if !matches!(rule.effect, Effect::Allow) || rule.is_unconditional() {
            return;
        }
        let below = self
            .built
            .steps
            .get(index.saturating_add(1)..)
            .unwrap_or_default();
        for (names, span) in self.names(index) {
            let mut matched = self
                .matched(rule)
                .filter(|subject| {
                    names
                        .rank(subject, Sense::Grant, self.wary(subject))
                        .is_some()
                })
                .peekable();
            let Some(first) = matched.peek().copied() else {
                continue;
            };
            if matched.all(|subject| allowed_by(&self.built.policy, below, &subject).is_some())
                && let Some(place) = allowed_by(&self.built.policy, below, &first)
            {
                problems
                    .error(
                        "policy/unrestricted-rule",
                        span,
                        "this rule restricts nothing: the same command is allowed below it anyway",
                    )
                    .also(&place, "allowed here")
                    .help("leave the command out there, or deny it behind this rule");
            }
        }
    }

    /// Warns where hardly any client could work.
    fn serves_clients(&self, problems: &mut Problems) {
        let policy = &self.built.policy;
        let could = |verb: Verb, word: Option<&'static str>| {
            forms::of_verb(verb, word, &policy.words)
                .iter()
                .any(|form| chain::could(policy, &form.subject(System::Unix), None, false))
        };
        let essential = [
            (Verb::User, None),
            (Verb::Pass, None),
            (Verb::Type, Some("A")),
            (Verb::Type, Some("I")),
            (Verb::Pwd, None),
        ];
        for (verb, word) in essential {
            if could(verb, word) {
                continue;
            }
            let name = word.map_or_else(
                || verb.name().to_owned(),
                |word| format!("{} {word}", verb.name()),
            );
            problems
                .warning(
                    "policy/breaks-clients",
                    self.refuser(verb),
                    format!("this policy refuses {name}, without which most clients give up"),
                )
                .help(format!("allow `{name}`, or `@session`"));
        }
        let setup = [Verb::Port, Verb::Pasv, Verb::Eprt, Verb::Epsv];
        if !setup.into_iter().any(|verb| could(verb, None)) {
            problems
                .warning(
                    "policy/breaks-clients",
                    self.refuser(Verb::Pasv),
                    "this policy refuses all commands that prepare a transfer",
                )
                .help("allow `@passive`, `@active` or `@session`");
        }
    }

    /// The place to blame for a refusal of `verb`: the entry of `deny` that names it, else the
    /// policy's name.
    fn refuser(&self, verb: Verb) -> &Span {
        let entries: &[Located<String>] = &self.draft.spec.deny;
        self.draft
            .deny
            .iter()
            .zip(entries)
            .find(|(pattern, _)| pattern.concerns(Key::Known(verb)))
            .map_or(&self.draft.name.span, |(_, entry)| &entry.span)
    }
}

/// Whether `form` does more than tell something.
fn has_effects(form: &Form<'_>, subject: &Subject<'_>) -> bool {
    let Key::Known(verb) = form.key else {
        return false;
    };
    let writes = |groups: &[Group]| groups.iter().any(|group| Group::Write.takes_in(*group));
    let subcommand = subject
        .is_site()
        .then(|| site(subject.text.trim_ascii()))
        .flatten();
    let sets_up_next = matches!(
        verb,
        Verb::Cdup | Verb::Cwd | Verb::Mode | Verb::Rang | Verb::Rest | Verb::Stru | Verb::Type
    );
    sets_up_next
        || verb.row().data != Data::None
        || subject.groups.contains(&Group::Login)
        || writes(subject.groups)
        || subcommand.is_some_and(|row| writes(row.groups))
}

/// Whether `earlier` holds whenever `later` does: networks by what they hold, everything else by what
/// was written, but for a user `*`, who is anybody.
fn subsumes(earlier: &RuleDraft<'_>, later: &RuleDraft<'_>) -> bool {
    let narrower = |pick: fn(&RuleSpec) -> &Vec<Located<String>>| {
        let (earlier, later) = (pick(earlier.spec), pick(later.spec));
        let has = |value: &String| earlier.iter().any(|other| other.value == *value);
        earlier.is_empty() || (!later.is_empty() && later.iter().all(|one| has(&one.value)))
    };
    let is_anybody = |user: &Located<String>| user.value == "*";
    let in_some = |one: &IpNet| earlier.clients.iter().any(|other| other.contains(one));
    let networks = earlier.clients.is_empty()
        || (!later.clients.is_empty() && later.clients.iter().all(in_some));
    let users = narrower(|rule| &rule.users)
        || (!later.spec.users.is_empty() && earlier.spec.users.iter().any(is_anybody));
    let all = users
        && networks
        && narrower(|rule| &rule.hours)
        && narrower(|rule| &rule.client_certificate)
        && earlier.security.subsumes(&later.security)
        && narrower(|rule| &rule.paths)
        && narrower(|rule| &rule.filename)
        && narrower(|rule| &rule.argument);
    // An unsure path passes by a rule that lets pass and is stopped by one that refuses.
    let looks = !earlier.spec.paths.is_empty() || !earlier.spec.filename.is_empty();
    let lets_unsure_by = looks && earlier.sense().needs_certainty();
    all && !(lets_unsure_by && later.sense() == Sense::Refuse)
}

/// Where `subject` is allowed whatever its path, argument, user, client and hour, by the steps
/// `below` in `policy`; None where it may be refused.
fn allowed_by(policy: &Policy, below: &[Step], subject: &Subject<'_>) -> Option<Span> {
    let named = subject.is_named();
    let mut policy = policy;
    let mut steps = below;
    let mut has_paths = false;
    'policies: loop {
        has_paths |= policy.has_paths;
        let wary = Wary {
            named,
            traceless: has_paths && subject.is_traceless(),
        };
        for step in steps {
            let (rule, offset) = match step {
                Step::Rule(rule, offset) => (rule, *offset),
                Step::Lists(lists) => match lists.decide(subject, wary) {
                    Some(Stance::Allow) => return slot_span(policy, allow_slot(lists)),
                    Some(Stance::Deny) => return None,
                    None => continue,
                },
            };
            match (rule.could(subject, None, wary), &rule.effect) {
                (Weight::Silent, _) | (Weight::Misses(_), Effect::Allow) => {}
                (Weight::Holds, Effect::Allow) => return slot_span(policy, offset),
                (Weight::Holds, Effect::Policy(next)) => {
                    policy = next;
                    steps = &policy.chain(subject.key).steps;
                    continue 'policies;
                }
                (
                    Weight::Holds | Weight::MayHold | Weight::Misses(_),
                    Effect::Answer(_) | Effect::Deny(_) | Effect::Disconnect(_),
                )
                | (Weight::MayHold, Effect::Allow)
                | (Weight::MayHold | Weight::Misses(_), Effect::Policy(_)) => return None,
            }
        }
        let allows = policy.stance == Stance::Allow && wary.general_names_suffice();
        return allows.then(|| policy.default_span.clone());
    }
}

/// The slot of what allows.
const fn allow_slot(lists: &Lists) -> usize {
    lists.allow_slot
}

/// Where the slot at `offset` was written.
fn slot_span(policy: &Policy, offset: usize) -> Option<Span> {
    policy
        .slots
        .iter()
        .find(|slot| slot.offset == offset)
        .map(|slot| slot.span.clone())
}
