//! Policies that decide, from their parts.
//!
//! Owns the tables of steps per verb and the layout of ids: the slots of a policy in the order
//! of its rules, those of a policy that is handed over to in place of the rule, then the lists,
//! what is extended, and the default.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::super::chain::{Chain, Deed, Lists, Policy, Slot, Step, Words};
use super::super::forms;
use super::super::names::{Key, Names, Pattern};
use super::super::rule::{Effect, Rule};
use super::super::spec::{Located, Span, Stance};
use super::super::verdict::{Action, SetId};
use super::graph::Graph;
use super::read::{Draft, RuleDraft};
use super::{Problems, WAYS_MAX};
use crate::ftp::verb::Verb;

/// A compiled policy, and the steps that it was made of.
#[derive(Clone)]
pub(super) struct Built {
    /// The policy.
    pub(super) policy: Arc<Policy>,
    /// All its steps, whatever the verb: its own rules, its lists, then what it extends.
    pub(super) steps: Vec<Step>,
}

/// The rules and lists of one policy, for itself and for those that extend it.
struct Level {
    /// The rules, each with its name and place.
    rules: Vec<(Arc<Rule>, Option<Arc<str>>, Span)>,
    /// `allow`.
    allow: Names,
    /// `deny`.
    deny: Names,
    /// Where the first name of `allow` and of `deny` stands.
    spans: (Span, Span),
}

/// Compiles all policies of `set` that can be, by index; the others are None.
pub(super) fn policies(
    set: SetId,
    drafts: &[Draft<'_>],
    graph: &Graph,
    problems: &mut Problems,
) -> Vec<Option<Built>> {
    let mut built: Vec<Option<Built>> = vec![None; drafts.len()];
    let mut levels: Vec<Option<Arc<Level>>> = vec![None; drafts.len()];
    let mut ways = 0_usize;
    for index in &graph.order {
        let Some(draft) = drafts.get(*index) else {
            continue;
        };
        let next = graph.next.get(*index).map_or(&[][..], Vec::as_slice);
        let level = Arc::new(level(draft, next, &built));
        if let Some(place) = levels.get_mut(*index) {
            *place = Some(Arc::clone(&level));
        }
        let mut all = vec![level];
        let mut extends = graph.extends.get(*index).copied().flatten();
        while let Some(further) = extends {
            all.extend(levels.get(further).cloned().flatten());
            extends = graph.extends.get(further).copied().flatten();
        }
        let (policy, steps) = Layout::new(set, draft, ways).policy(&all);
        ways = ways.saturating_add(policy.size);
        if ways > WAYS_MAX {
            problems
                .error(
                    "policy/too-many-ways",
                    &draft.name.span,
                    format!("with this policy there are more than {WAYS_MAX} ways of deciding"),
                )
                .help("hand over in fewer places: each of them counts all that lies behind it");
            break;
        }
        if let Some(place) = built.get_mut(*index) {
            *place = Some(Built {
                policy: Arc::new(policy),
                steps,
            });
        }
    }
    built
}

/// The rules and lists of one policy.
fn level(draft: &Draft<'_>, next: &[Option<usize>], built: &[Option<Built>]) -> Level {
    let first = |names: &[Located<String>]| {
        names
            .first()
            .map_or_else(|| draft.name.span.clone(), |name| name.span.clone())
    };
    let handed = next.iter().map(|index| {
        let built = built.get((*index)?)?.as_ref()?;
        Some(Arc::clone(&built.policy))
    });
    Level {
        rules: draft
            .rules
            .iter()
            .zip(handed)
            .filter_map(|(rule, next)| {
                Some((
                    Arc::new(rule_of(rule, next)?),
                    rule.label(),
                    rule.spec.span.clone(),
                ))
            })
            .collect(),
        allow: draft.allow.clone(),
        deny: draft.deny.clone(),
        spans: (first(&draft.spec.allow), first(&draft.spec.deny)),
    }
}

/// A rule, with the policy that it hands over to.
fn rule_of(draft: &RuleDraft<'_>, next: Option<Arc<Policy>>) -> Option<Rule> {
    let effect = match &draft.effect {
        Some(effect) => effect.clone(),
        None => Effect::Policy(next?),
    };
    Some(Rule {
        names: draft.names.clone(),
        users: draft.users.clone(),
        clients: draft.clients.clone(),
        hours: draft.hours.clone(),
        security: draft.security.clone(),
        paths: draft.paths.clone(),
        filename: draft.filename.clone(),
        argument: draft.argument.clone(),
        effect,
    })
}

/// The code of the reply that a rule gives, where it has one of its own.
const fn code(effect: &Effect) -> Option<u16> {
    match effect {
        Effect::Answer(reply) | Effect::Deny(Some(reply)) | Effect::Disconnect(reply) => {
            Some(reply.code)
        }
        Effect::Allow | Effect::Deny(None) | Effect::Policy(_) => None,
    }
}

/// A policy in the making.
struct Layout {
    /// The policy, without its table.
    policy: Policy,
    /// The steps of all levels, whatever the verb.
    steps: Vec<Step>,
    /// The number of rules so far.
    position: usize,
}

impl Layout {
    /// Nothing yet; its ids begin at `first`.
    fn new(set: SetId, draft: &Draft<'_>, first: usize) -> Self {
        let default = draft.spec.default.as_ref();
        let policy = Policy {
            name: draft.name.value.as_str().into(),
            set,
            first,
            size: 0,
            known: BTreeMap::new(),
            others: HashMap::new(),
            unnamed: Arc::new(Chain::default()),
            stance: default.map_or(Stance::Deny, |default| default.value),
            default: 0,
            default_span: default
                .map_or_else(|| draft.name.span.clone(), |default| default.span.clone()),
            has_paths: false,
            hands_to_paths: false,
            uses_home: false,
            words: Words::new(),
            slots: Vec::new(),
        };
        Self {
            policy,
            steps: Vec::new(),
            position: 0,
        }
    }

    /// The policy of `levels`, and its steps.
    fn policy(mut self, levels: &[Arc<Level>]) -> (Policy, Vec<Step>) {
        for level in levels {
            for (rule, label, span) in &level.rules {
                self.rule(rule, label.as_ref(), span);
            }
            self.lists(level);
        }
        self.default();
        self.table();
        (self.policy, self.steps)
    }

    /// Adds a slot of `size` ids; its offset is returned.
    fn slot(&mut self, label: Arc<str>, span: &Span, deed: Deed, size: usize) -> usize {
        let offset = self.policy.size;
        self.policy.slots.push(Slot {
            offset,
            label,
            span: span.clone(),
            deed,
        });
        self.policy.size = offset.saturating_add(size);
        offset
    }

    /// Adds a rule.
    fn rule(&mut self, rule: &Arc<Rule>, label: Option<&Arc<str>>, span: &Span) {
        self.position = self.position.saturating_add(1);
        let label = label.map_or_else(|| self.position.to_string().into(), Arc::clone);
        self.policy.has_paths |= rule.has_paths();
        self.policy.uses_home |= rule.is_at_home();
        self.words(&rule.names);
        let (deed, size) = match (&rule.effect, rule.effect.action()) {
            (Effect::Policy(next), _) => {
                self.policy.hands_to_paths |= next.looks_at_paths();
                self.policy.uses_home |= next.uses_home;
                for (verb, words) in &next.words {
                    let own = self.policy.words.entry(*verb).or_default();
                    own.extend(words.iter().cloned());
                }
                (Deed::Pass(Arc::clone(next)), next.size)
            }
            (effect, Some(action)) => (Deed::Decide(action, code(effect)), 1),
            (_, None) => return,
        };
        let offset = self.slot(label, span, deed, size);
        self.steps.push(Step::Rule(Arc::clone(rule), offset));
    }

    /// Adds the lists of a level.
    fn lists(&mut self, level: &Level) {
        if level.allow.is_empty() && level.deny.is_empty() {
            return;
        }
        self.words(&level.allow);
        self.words(&level.deny);
        let (allow, deny) = &level.spans;
        let mut slot = |list: &Names, label: &str, span: &Span, action: Action| {
            if list.is_empty() {
                return 0;
            }
            self.slot(label.into(), span, Deed::Decide(action, None), 1)
        };
        let allow_slot = slot(&level.allow, "allow", allow, Action::Allow);
        let deny_slot = slot(&level.deny, "deny", deny, Action::Deny);
        self.steps.push(Step::Lists(Lists {
            allow: level.allow.clone(),
            deny: level.deny.clone(),
            allow_slot,
            deny_slot,
        }));
    }

    /// Adds the default; one of `allow` refuses what it may not grant.
    fn default(&mut self) {
        let span = self.policy.default_span.clone();
        let refuse = Deed::Decide(Action::Deny, None);
        self.policy.default = match self.policy.stance {
            Stance::Allow => {
                let allow = Deed::Decide(Action::Allow, None);
                let offset = self.slot("default".into(), &span, allow, 1);
                self.slot("default".into(), &span, refuse, 1);
                offset
            }
            Stance::Deny => self.slot("default".into(), &span, refuse, 1),
        };
    }

    /// Notes the words that `names` has.
    fn words(&mut self, names: &Names) {
        for pattern in names.iter() {
            if let Pattern::Word(verb, word) = pattern {
                let own = self.policy.words.entry(*verb).or_default();
                own.insert(word.clone());
            }
        }
    }

    /// Makes the table of steps per verb. Verbs that the same steps concern share them.
    fn table(&mut self) {
        let mut shared: HashMap<Vec<Selection>, Arc<Chain>> = HashMap::new();
        let mut chain = |key: Key<'_>| {
            let selection = select(&self.steps, key);
            Arc::clone(
                shared
                    .entry(selection)
                    .or_insert_with_key(|selection| Arc::new(pick(&self.steps, selection))),
            )
        };
        let others: BTreeSet<&str> = self
            .steps
            .iter()
            .flat_map(step_names)
            .filter_map(|pattern| match pattern {
                Pattern::Other(name) => Some(&**name),
                Pattern::All | Pattern::Group(_) | Pattern::Verb(_) | Pattern::Word(..) => None,
            })
            .collect();
        self.policy.known = Verb::ALL
            .iter()
            .copied()
            .filter(|verb| forms::is_judged(*verb))
            .map(|verb| (verb, chain(Key::Known(verb))))
            .collect();
        self.policy.others = others
            .iter()
            .map(|name| (Box::from(*name), chain(Key::Other(name))))
            .collect();
        self.policy.unnamed = chain(Key::Other(""));
    }
}

/// A step that concerns a verb: its index and, of lists, the indices of the names that do.
type Selection = (usize, Vec<usize>, Vec<usize>);

/// All names of a step.
fn step_names(step: &Step) -> impl Iterator<Item = &Pattern> {
    let (first, second) = match step {
        Step::Lists(lists) => (&lists.allow, Some(&lists.deny)),
        Step::Rule(rule, _) => (&rule.names, None),
    };
    first.iter().chain(second.into_iter().flat_map(Names::iter))
}

/// The steps that concern `key`.
fn select(steps: &[Step], key: Key<'_>) -> Vec<Selection> {
    let concerned = |names: &Names| -> Vec<usize> {
        names
            .iter()
            .enumerate()
            .filter(|(_, pattern)| pattern.concerns(key))
            .map(|(index, _)| index)
            .collect()
    };
    steps
        .iter()
        .enumerate()
        .filter_map(|(index, step)| {
            let (allow, deny) = match step {
                Step::Lists(lists) => (concerned(&lists.allow), concerned(&lists.deny)),
                Step::Rule(rule, _) => (concerned(&rule.names), Vec::new()),
            };
            match step {
                _ if allow.is_empty() && deny.is_empty() => None,
                Step::Lists(_) => Some((index, allow, deny)),
                Step::Rule(..) => Some((index, Vec::new(), Vec::new())),
            }
        })
        .collect()
}

/// The steps of a selection.
fn pick(steps: &[Step], selection: &[Selection]) -> Chain {
    let some = |names: &Names, indices: &[usize]| {
        let chosen = names
            .iter()
            .enumerate()
            .filter(|(index, _)| indices.contains(index))
            .map(|(_, pattern)| pattern.clone())
            .collect();
        Names::new(chosen)
    };
    let steps = selection
        .iter()
        .filter_map(|(index, allow, deny)| {
            Some(match steps.get(*index)? {
                Step::Lists(lists) => Step::Lists(Lists {
                    allow: some(&lists.allow, allow),
                    deny: some(&lists.deny, deny),
                    allow_slot: lists.allow_slot,
                    deny_slot: lists.deny_slot,
                }),
                rule @ Step::Rule(..) => rule.clone(),
            })
        })
        .collect();
    Chain { steps }
}
