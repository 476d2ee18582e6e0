//! Policies as written, made into policies that decide, or into problems.
//!
//! Owns the order of compilation and the ids of all ways of deciding. All problems are collected,
//! whichever policy has them; a set is made only when none of them is an error. Bounds:
//! `WAYS_MAX` ways of deciding in a set, since each is a time series; those of patterns and
//! regexes stand with their readers.

mod build;
mod check;
mod command;
mod graph;
mod read;
mod value;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chain::{Deed, Policy};
use super::spec::{Located, PolicySpec, Problem, Severity, Span};
use super::verdict::{Action, RuleId, SetId};

/// The most ways of deciding that the policies of one set may have together.
const WAYS_MAX: usize = 100_000;

/// What is known of one way of deciding: labels of metrics, and where it was written.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RuleInfo {
    /// The policy that a listener or an upstream names.
    pub policy: Arc<str>,
    /// The rule's name, or its position from 1 where it has none, counted on through `extends`;
    /// `allow`, `deny` or `default`; behind a hand-over `acme/in`.
    pub rule: Arc<str>,
    /// What it does.
    pub action: Action,
    /// The code of the reply that it always gives; None where that depends on the command.
    pub code: Option<u16>,
    /// The rule, the list's first name, or what the default is written in.
    pub span: Span,
}

/// Policies that were compiled together and know each other by name.
#[derive(Debug)]
pub struct PolicySet {
    /// Which one it is.
    id: SetId,
    /// By name.
    policies: BTreeMap<String, Arc<Policy>>,
    /// By id.
    rules: Vec<RuleInfo>,
    /// What is said of an id of another set.
    stranger: RuleInfo,
}

impl PolicySet {
    /// Which one it is.
    pub const fn id(&self) -> SetId {
        self.id
    }

    /// The policy called `name`.
    pub fn get(&self, name: &str) -> Option<&Arc<Policy>> {
        self.policies.get(name)
    }

    /// The names of all policies, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.keys().map(String::as_str)
    }

    /// All ways of deciding, by [`RuleId::index`].
    pub fn rules(&self) -> &[RuleInfo] {
        &self.rules
    }

    /// What is known of `id`. Of an id of another set nothing is: its labels are `unknown`.
    pub fn rule(&self, id: RuleId) -> &RuleInfo {
        let own = (id.set() == self.id).then(|| self.rules.get(id.index()));
        own.flatten().unwrap_or(&self.stranger)
    }
}

/// Compiles `specs`, which may name each other. None when any problem is an error; the problems
/// come in the order in which they stand in the sources.
pub fn compile(specs: &[PolicySpec]) -> (Option<PolicySet>, Vec<Problem>) {
    let mut problems = Problems::default();
    let drafts = read::drafts(specs, &mut problems);
    let graph = graph::Graph::new(&drafts, &mut problems);
    let id = SetId::next();
    let built = build::policies(id, &drafts, &graph, &mut problems);
    check::all(&drafts, &graph, &built, &mut problems);
    let mut problems = problems.found;
    problems.sort_by_key(|problem| {
        let span = &problem.span;
        (
            span.source,
            span.bytes.start,
            problem.severity,
            span.bytes.end,
        )
    });
    let failed = problems
        .iter()
        .any(|problem| problem.severity == Severity::Error);
    if failed {
        return (None, problems);
    }
    let mut set = PolicySet {
        id,
        policies: BTreeMap::new(),
        rules: Vec::new(),
        stranger: RuleInfo {
            policy: "unknown".into(),
            rule: "unknown".into(),
            action: Action::Deny,
            code: None,
            span: Span::default(),
        },
    };
    // Ids were given in this order.
    let ordered = graph.order.iter().filter_map(|index| built.get(*index));
    for policy in ordered.flatten().map(|built| &built.policy) {
        enumerate(policy, &mut set.rules);
        set.policies
            .insert(policy.name().to_owned(), Arc::clone(policy));
    }
    (Some(set), problems)
}

/// Appends what is known of the ids of `top`, in their order.
fn enumerate(top: &Arc<Policy>, rules: &mut Vec<RuleInfo>) {
    let mut own: BTreeMap<usize, RuleInfo> = BTreeMap::new();
    let mut work: Vec<(&Policy, usize, String)> = vec![(top, 0, String::new())];
    while let Some((policy, first, prefix)) = work.pop() {
        for slot in &policy.slots {
            let id = first.saturating_add(slot.offset);
            let label = format!("{prefix}{}", slot.label);
            match &slot.deed {
                Deed::Pass(next) => work.push((next, id, format!("{label}/"))),
                Deed::Decide(action, code) => {
                    let info = RuleInfo {
                        policy: Arc::clone(&top.name),
                        rule: label.into(),
                        action: *action,
                        code: *code,
                        span: slot.span.clone(),
                    };
                    own.insert(id, info);
                }
            }
        }
    }
    rules.extend(own.into_values());
}

/// Problems in the making.
#[derive(Debug, Default)]
struct Problems {
    /// What was found so far.
    found: Vec<Problem>,
}

impl Problems {
    /// Notes an error.
    fn error(&mut self, code: &'static str, span: &Span, message: impl Into<String>) -> Note<'_> {
        self.note(Severity::Error, code, span, message.into())
    }

    /// Notes a warning.
    fn warning(&mut self, code: &'static str, span: &Span, message: impl Into<String>) -> Note<'_> {
        self.note(Severity::Warning, code, span, message.into())
    }

    /// Notes a problem.
    fn note(
        &mut self,
        severity: Severity,
        code: &'static str,
        span: &Span,
        message: String,
    ) -> Note<'_> {
        self.found.push(Problem {
            severity,
            code,
            span: span.clone(),
            message,
            help: None,
            also: None,
        });
        Note(self.found.last_mut())
    }
}

/// The problem noted last, for what else there is to say of it.
struct Note<'p>(Option<&'p mut Problem>);

impl Note<'_> {
    /// What to write instead.
    fn help(self, help: impl Into<String>) -> Self {
        self.help_if(Some(help))
    }

    /// What to write instead, if that is known.
    fn help_if(mut self, help: Option<impl Into<String>>) -> Self {
        if let (Some(problem), Some(help)) = (&mut self.0, help) {
            problem.help = Some(help.into());
        }
        self
    }

    /// A second place, and what it is.
    fn also(mut self, span: &Span, what: impl Into<String>) -> Self {
        if let Some(problem) = &mut self.0 {
            problem.also = Some((span.clone(), what.into()));
        }
        self
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

/// "did you mean", for a help line.
fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    super::suggest::nearest(name, candidates).map(|near| format!("did you mean `{near}`?"))
}

#[cfg(test)]
mod tests;
