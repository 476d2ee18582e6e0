//! The handles of a set of policies, and the words for what decided.
//!
//! Must not know how a policy decides.

use std::sync::{Arc, OnceLock};

use metrics::Counter;

use super::{Registrar, catalogue};
use crate::policy::RuleInfo;
use crate::policy::verdict::{Action, RuleId, SetId};

/// One way of deciding.
#[derive(Debug)]
pub(in crate::telemetry) struct RuleRow {
    /// The policy that the listener or upstream names.
    pub(in crate::telemetry) policy: Arc<str>,
    /// The rule's label.
    pub(in crate::telemetry) rule: Arc<str>,
    /// What it does.
    pub(in crate::telemetry) action: Action,
    /// Decisions that were obeyed.
    enforced: OnceLock<Counter>,
    /// Decisions that were only observed.
    observed: OnceLock<Counter>,
}

/// Whether a decision was obeyed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(in crate::telemetry) enum Mode {
    /// It was.
    Enforced,
    /// It was only observed.
    Observed,
}

impl Mode {
    /// The label value.
    const fn name(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Observed => "observed",
        }
    }
}

/// All that is counted for a set of policies.
#[derive(Debug)]
pub(in crate::telemetry) struct PolicyTable {
    /// The set; None of rules that no set has.
    set: Option<SetId>,
    /// In the order of rule ids.
    rules: Box<[RuleRow]>,
    /// Makes the counters.
    registrar: Arc<Registrar>,
}

impl PolicyTable {
    /// The table of the rules of `set`; those for which `in_force` says so are created at zero.
    pub(in crate::telemetry) fn new(
        registrar: &Arc<Registrar>,
        set: Option<SetId>,
        rules: &[RuleInfo],
        in_force: impl Fn(&str, Mode) -> bool,
    ) -> Self {
        let table = Self {
            set,
            rules: rules
                .iter()
                .map(|info| RuleRow {
                    policy: Arc::clone(&info.policy),
                    rule: Arc::clone(&info.rule),
                    action: info.action,
                    enforced: OnceLock::new(),
                    observed: OnceLock::new(),
                })
                .collect(),
            registrar: Arc::clone(registrar),
        };
        for row in &table.rules {
            for mode in [Mode::Enforced, Mode::Observed] {
                if in_force(&row.policy, mode) {
                    table.counter(row, mode);
                }
            }
        }
        table
    }

    /// The counter of a rule.
    fn counter<'a>(&self, row: &'a RuleRow, mode: Mode) -> &'a Counter {
        let slot = match mode {
            Mode::Enforced => &row.enforced,
            Mode::Observed => &row.observed,
        };
        slot.get_or_init(|| {
            self.registrar.counter(
                catalogue::POLICY_DECISIONS,
                &[
                    Arc::clone(&row.policy).into(),
                    Arc::clone(&row.rule).into(),
                    row.action.name().into(),
                    mode.name().into(),
                ],
            )
        })
    }

    /// Whether it is the table of this set.
    pub(in crate::telemetry) fn is_of(&self, set: SetId) -> bool {
        self.set == Some(set)
    }

    /// What is known of `id`, if it is of this set.
    pub(in crate::telemetry) fn rule(&self, id: RuleId) -> Option<&RuleRow> {
        self.rules.get(id.index()).filter(|_| self.is_of(id.set()))
    }

    /// One of its rules decided.
    pub(in crate::telemetry) fn decided(&self, row: &RuleRow, mode: Mode) {
        self.counter(row, mode).increment(1);
    }
}
