//! Compilation of policies (stub, replaced by the branch `policy`).

use std::sync::Arc;

use super::spec::{PolicySpec, Problem, Span};
use super::verdict::{Action, RuleId};

/// A compiled policy.
#[derive(Debug)]
pub struct Policy {}

/// All compiled policies.
#[derive(Debug)]
pub struct PolicySet {}

/// What can decide, for labels and `explain`.
#[derive(Clone, Debug)]
pub struct RuleInfo {
    /// The policy that a listener or upstream names.
    pub policy: Arc<str>,
    /// Rule label.
    pub rule: Arc<str>,
    /// What it does.
    pub action: Action,
    /// Where it stands.
    pub span: Span,
}

/// Compiles.
pub fn compile(_specs: &[PolicySpec]) -> (Option<PolicySet>, Vec<Problem>) {
    todo!()
}

impl PolicySet {
    /// By name.
    pub fn get(&self, _name: &str) -> Option<&Arc<Policy>> {
        todo!()
    }
    /// Names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        std::iter::empty()
    }
    /// All that can decide.
    pub fn rules(&self) -> &[RuleInfo] {
        todo!()
    }
    /// One of them.
    pub fn rule(&self, _id: RuleId) -> &RuleInfo {
        todo!()
    }
}
