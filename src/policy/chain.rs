//! A compiled policy: for each verb the rules and lists that concern it, in their order.
//!
//! Owns the walk along them, through hand-overs to other policies, to the one that decides. The
//! walk costs what the steps that name the verb cost, however many others there are. Hand-overs
//! cannot loop: a policy is compiled after those that it names.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::names::{Key, Names, Sense, Subject, Wary};
use super::rule::{Asker, Effect, Near, Rule, Weight};
use super::scene::Scene;
use super::security::{self, Lack};
use super::spec::{Span, Stance};
use super::verdict::{Action, Reply, RuleId, SetId};
use crate::ftp::verb::Verb;

/// The words that a policy names behind each verb, upper case.
pub(super) type Words = BTreeMap<Verb, BTreeSet<Box<str>>>;

/// What may decide for one verb.
#[derive(Clone, Debug)]
pub(super) enum Step {
    /// The lists of one policy.
    Lists(Lists),
    /// A rule, and the offset of its slot.
    Rule(Arc<Rule>, usize),
}

/// The lists of one policy, as far as they concern a verb.
#[derive(Clone, Debug)]
pub(super) struct Lists {
    /// `allow`.
    pub(super) allow: Names,
    /// `deny`.
    pub(super) deny: Names,
    /// The offset of the slot of `allow`.
    pub(super) allow_slot: usize,
    /// The offset of the slot of `deny`.
    pub(super) deny_slot: usize,
}

impl Lists {
    /// What they say of `subject`: the more specific name wins, `deny` between equals.
    pub(super) fn decide(&self, subject: &Subject<'_>, wary: Wary) -> Option<Stance> {
        let allow = self.allow.rank(subject, Sense::Grant, wary);
        let deny = self.deny.rank(subject, Sense::Refuse, wary);
        match (allow, deny) {
            (None, None) => None,
            (Some(allow), Some(deny)) if allow > deny => Some(Stance::Allow),
            (Some(_), None) => Some(Stance::Allow),
            (Some(_) | None, Some(_)) => Some(Stance::Deny),
        }
    }
}

/// What may decide for one verb, in order, before the default does.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// The steps.
    pub(super) steps: Vec<Step>,
}

/// One way in which a policy can decide, or a hand-over to another.
#[derive(Clone, Debug)]
pub(super) struct Slot {
    /// The offset of its id, or of the first of the other policy.
    pub(super) offset: usize,
    /// The rule's label, `allow`, `deny` or `default`.
    pub(super) label: Arc<str>,
    /// Where it stands.
    pub(super) span: Span,
    /// What it does.
    pub(super) deed: Deed,
}

/// What a [`Slot`] does.
#[derive(Clone, Debug)]
pub(super) enum Deed {
    /// It decides, with a reply of this code where the rule has one of its own.
    Decide(Action, Option<u16>),
    /// That policy decides.
    Pass(Arc<Policy>),
}

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {
    /// Its name.
    pub(super) name: Arc<str>,
    /// The set that it is of.
    pub(super) set: SetId,
    /// The index of its first id.
    pub(super) first: usize,
    /// How many ids it has.
    pub(super) size: usize,
    /// What decides for verbs of the table.
    pub(super) known: BTreeMap<Verb, Arc<Chain>>,
    /// What decides for other verbs that it names.
    pub(super) others: HashMap<Box<str>, Arc<Chain>>,
    /// What decides for all other verbs.
    pub(super) unnamed: Arc<Chain>,
    /// What decides when nothing else does.
    pub(super) stance: Stance,
    /// The offset of the default's slot. A default of `allow` has a second one, for what it may
    /// not grant.
    pub(super) default: usize,
    /// Where the default stands, or the policy's name where it was not written.
    pub(super) default_span: Span,
    /// Whether one of its own rules, or of those that it extends, looks at paths.
    pub(super) has_paths: bool,
    /// Whether a policy that it hands over to does.
    pub(super) hands_to_paths: bool,
    /// Whether it, or a policy that it hands over to, mentions `{home}`.
    pub(super) uses_home: bool,
    /// The words that it names, with those of the policies that it hands over to.
    pub(super) words: Words,
    /// Its ways of deciding.
    pub(super) slots: Vec<Slot>,
}

impl Policy {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What may decide for `key`.
    pub(super) fn chain(&self, key: Key<'_>) -> &Chain {
        match key {
            Key::Known(verb) => self.known.get(&verb),
            Key::Other(name) => self.others.get(name),
        }
        .unwrap_or(&self.unnamed)
    }

    /// Whether any of its decisions may look at paths.
    pub(super) const fn looks_at_paths(&self) -> bool {
        self.has_paths || self.hands_to_paths
    }
}

/// What decided.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ruling<'p> {
    /// Forwarded.
    Allow,
    /// Answered.
    Answer(&'p Reply),
    /// Refused, with this reply if the rule has one.
    Deny(Option<&'p Reply>),
    /// Answered, and closed.
    Disconnect(&'p Reply),
}

/// What a policy decided, and why.
#[derive(Clone, Copy, Debug)]
pub(super) struct Decision<'p> {
    /// Its id.
    pub(super) id: RuleId,
    /// What it says.
    pub(super) ruling: Ruling<'p>,
    /// The condition by which the command missed an allow rule, or met a refusing one.
    pub(super) near: Option<Near>,
}

impl Decision<'_> {
    /// What the channels of the command lacked, if that is why it is refused.
    pub(super) const fn lack(&self) -> Option<Lack> {
        match (self.ruling, self.near) {
            (Ruling::Deny(_), Some(Near::Security(lack))) => Some(lack),
            (
                Ruling::Allow | Ruling::Answer(_) | Ruling::Deny(_) | Ruling::Disconnect(_),
                Some(_) | None,
            ) => None,
        }
    }
}

/// What `policy` decides. `excused` tells that another policy has named the command already, so
/// that here a general name or a default is enough.
pub(super) fn decide<'p>(policy: &'p Policy, scene: &Scene<'_>, excused: bool) -> Decision<'p> {
    let subject = &scene.subject;
    let named = !excused && subject.is_named();
    let mut policy = policy;
    let mut first = policy.first;
    let mut has_paths = false;
    let mut near: Option<Near> = None;
    'policies: loop {
        has_paths |= policy.has_paths;
        let wary = Wary {
            named,
            traceless: has_paths && subject.is_traceless(),
        };
        let decided = |offset: usize, ruling, near| Decision {
            id: RuleId::new(policy.set, first.saturating_add(offset)),
            ruling,
            near,
        };
        for step in &policy.chain(subject.key).steps {
            let (rule, offset) = match step {
                Step::Rule(rule, offset) => (rule, *offset),
                Step::Lists(lists) => match lists.decide(subject, wary) {
                    Some(Stance::Allow) => {
                        return decided(lists.allow_slot, Ruling::Allow, None);
                    }
                    Some(Stance::Deny) => {
                        return decided(lists.deny_slot, Ruling::Deny(None), near);
                    }
                    None => continue,
                },
            };
            match (rule.weigh(scene, wary), &rule.effect) {
                (Weight::Misses(miss), Effect::Allow) => near = Some(first_of(near, miss)),
                (Weight::Misses(_) | Weight::Silent, _) => {}
                (Weight::Holds, Effect::Allow) => return decided(offset, Ruling::Allow, None),
                (Weight::Holds, Effect::Answer(reply)) => {
                    return decided(offset, Ruling::Answer(reply), None);
                }
                (Weight::Holds, Effect::Deny(reply)) => {
                    let near = match (rule.has_paths(), rule.argument.is_empty()) {
                        _ if rule.security.wants_clear() => {
                            security::missing(scene.query).map(Near::Security)
                        }
                        (true, _) => Some(first_of(near, Near::Path)),
                        (false, false) => Some(first_of(near, Near::Argument)),
                        (false, true) => near,
                    };
                    return decided(offset, Ruling::Deny(reply.as_ref()), near);
                }
                (Weight::Holds, Effect::Disconnect(reply)) => {
                    return decided(offset, Ruling::Disconnect(reply), None);
                }
                (Weight::Holds, Effect::Policy(next)) => {
                    first = first.saturating_add(offset);
                    policy = next;
                    continue 'policies;
                }
            }
        }
        return match policy.stance {
            Stance::Allow if wary.general_names_suffice() => {
                decided(policy.default, Ruling::Allow, None)
            }
            Stance::Allow => decided(policy.default.saturating_add(1), Ruling::Deny(None), near),
            Stance::Deny => decided(policy.default, Ruling::Deny(None), near),
        };
    }
}

/// The miss that decides the reply.
fn first_of(near: Option<Near>, miss: Near) -> Near {
    near.map_or(miss, |near| near.min(miss))
}

/// Whether `policy` could let `subject` pass, or answer it well, with some path and argument.
pub(super) fn could(
    policy: &Policy,
    subject: &Subject<'_>,
    asker: Option<&Asker<'_>>,
    excused: bool,
) -> bool {
    let named = !excused && subject.is_named();
    let mut seen: Vec<(*const Policy, bool)> = Vec::new();
    let mut work = vec![(policy, false)];
    'policies: while let Some((policy, had_paths)) = work.pop() {
        let has_paths = had_paths || policy.has_paths;
        // By address: policies of one set have one home each.
        let place: (*const Policy, bool) = (policy, has_paths);
        if seen.contains(&place) {
            continue;
        }
        seen.push(place);
        let wary = Wary {
            named,
            traceless: has_paths && subject.is_traceless(),
        };
        for step in &policy.chain(subject.key).steps {
            let rule = match step {
                Step::Rule(rule, _) => rule,
                Step::Lists(lists) => match lists.decide(subject, wary) {
                    Some(Stance::Allow) => return true,
                    Some(Stance::Deny) => continue 'policies,
                    None => continue,
                },
            };
            let weight = rule.could(subject, asker, wary);
            if weight == Weight::Silent {
                continue;
            }
            match &rule.effect {
                Effect::Allow => return true,
                Effect::Answer(reply) if reply.code < 400 => return true,
                Effect::Answer(_) | Effect::Deny(_) | Effect::Disconnect(_) => {}
                Effect::Policy(next) => work.push((next, has_paths)),
            }
            if weight == Weight::Holds {
                continue 'policies;
            }
        }
        if policy.stance == Stance::Allow && wary.general_names_suffice() {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
