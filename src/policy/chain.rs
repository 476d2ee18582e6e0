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

/// How far the walk through one policy has come.
#[derive(Clone, Copy)]
struct Walk<'p> {
    /// The policy.
    policy: &'p Policy,
    /// The index of its first id on this way to it.
    first: usize,
    /// Whether it, or a policy before it, looks at paths.
    has_paths: bool,
    /// The next of its steps.
    next: usize,
    /// The condition by which an allow rule was missed.
    near: Option<Near>,
}

impl<'p> Walk<'p> {
    /// At the beginning of `policy`.
    const fn into(policy: &'p Policy, first: usize, has_paths: bool, near: Option<Near>) -> Self {
        Self {
            policy,
            first,
            has_paths: has_paths || policy.has_paths,
            next: 0,
            near,
        }
    }

    /// What the slot at `offset` decides.
    fn decided(&self, offset: usize, ruling: Ruling<'p>, near: Option<Near>) -> Decision<'p> {
        Decision {
            id: RuleId::new(self.policy.set, self.first.saturating_add(offset)),
            ruling,
            near,
        }
    }

    /// Walks on to what decides, or to a hand-over to the policy and the first id that it names.
    fn go_on(&mut self, scene: &Scene<'_>, named: bool) -> Stop<'p> {
        let subject = &scene.subject;
        let policy = self.policy;
        let wary = Wary {
            named,
            traceless: self.has_paths && subject.is_traceless(),
        };
        let steps = policy.chain(subject.key).steps.get(self.next..);
        for step in steps.unwrap_or_default() {
            self.next = self.next.saturating_add(1);
            let (rule, offset) = match step {
                Step::Rule(rule, offset) => (rule, *offset),
                Step::Lists(lists) => match lists.decide(subject, wary) {
                    Some(Stance::Allow) => {
                        return Stop::At(self.decided(lists.allow_slot, Ruling::Allow, None));
                    }
                    Some(Stance::Deny) => {
                        let ruling = Ruling::Deny(None);
                        return Stop::At(self.decided(lists.deny_slot, ruling, self.near));
                    }
                    None => continue,
                },
            };
            let decision = match (rule.weigh(scene, wary), &rule.effect) {
                (Weight::Misses(miss), Effect::Allow) => {
                    self.near = Some(first_of(self.near, miss));
                    continue;
                }
                (Weight::Holds, Effect::Policy(next)) => {
                    return Stop::HandOver(next, self.first.saturating_add(offset));
                }
                (Weight::MayHold, Effect::Policy(next)) => {
                    return Stop::MayHandOver(next, self.first.saturating_add(offset));
                }
                (Weight::Misses(_) | Weight::MayHold | Weight::Silent, _) => continue,
                (Weight::Holds, Effect::Allow) => self.decided(offset, Ruling::Allow, None),
                (Weight::Holds, Effect::Answer(reply)) => {
                    self.decided(offset, Ruling::Answer(reply), None)
                }
                (Weight::Holds, Effect::Deny(reply)) => {
                    let near = self.near_of_deny(rule, scene);
                    self.decided(offset, Ruling::Deny(reply.as_ref()), near)
                }
                (Weight::Holds, Effect::Disconnect(reply)) => {
                    self.decided(offset, Ruling::Disconnect(reply), None)
                }
            };
            return Stop::At(decision);
        }
        Stop::At(match policy.stance {
            Stance::Allow if wary.general_names_suffice() => {
                self.decided(policy.default, Ruling::Allow, None)
            }
            Stance::Allow => {
                let wary = policy.default.saturating_add(1);
                self.decided(wary, Ruling::Deny(None), self.near)
            }
            Stance::Deny => self.decided(policy.default, Ruling::Deny(None), self.near),
        })
    }

    /// The condition by which a command met `rule`, which refuses it.
    fn near_of_deny(&self, rule: &Rule, scene: &Scene<'_>) -> Option<Near> {
        match (rule.has_paths(), rule.argument.is_empty()) {
            _ if rule.security.wants_clear() => security::missing(scene.query).map(Near::Security),
            (true, _) => Some(first_of(self.near, Near::Path)),
            (false, false) => Some(first_of(self.near, Near::Argument)),
            (false, true) => self.near,
        }
    }
}

/// Where a walk stops.
enum Stop<'p> {
    /// At what decides.
    At(Decision<'p>),
    /// At a hand-over to a policy, whose first id this is.
    HandOver(&'p Policy, usize),
    /// At one of which nobody can tell whether it applies.
    MayHandOver(&'p Policy, usize),
}

/// What `policy` decides. `excused` tells that another policy has named the command already, so
/// that here a general name or a default is enough.
///
/// A hand-over that may apply leads to a policy whose refusal stands, and whose leave is none: then the
/// walk goes on behind it.
pub(super) fn decide<'p>(policy: &'p Policy, scene: &Scene<'_>, excused: bool) -> Decision<'p> {
    let named = !excused && scene.subject.is_named();
    let mut walk = Walk::into(policy, policy.first, false, None);
    // Where to go on, one for each hand-over on the way that may apply.
    let mut doubts: Vec<Walk<'p>> = Vec::new();
    loop {
        match walk.go_on(scene, named) {
            Stop::HandOver(next, first) => {
                walk = Walk::into(next, first, walk.has_paths, walk.near);
            }
            Stop::MayHandOver(next, first) => {
                doubts.push(walk);
                walk = Walk::into(next, first, walk.has_paths, walk.near);
            }
            Stop::At(decision) => match (decision.ruling, doubts.pop()) {
                (Ruling::Allow, Some(before)) => walk = before,
                (
                    Ruling::Allow | Ruling::Answer(_) | Ruling::Deny(_) | Ruling::Disconnect(_),
                    _,
                ) => return decision,
            },
        }
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
