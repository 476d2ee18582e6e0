//! Counters by reply code.
//!
//! Owns which codes have a label of their own. A server does not choose label values: what it
//! says beyond the range of codes is `other`.

use std::sync::{Arc, OnceLock};

use metrics::{Counter, SharedString};

use super::Registrar;
use super::catalogue::Definition;
use crate::session::Origin;

/// The codes that have a label of their own; every other one is `other`.
const CODES: std::ops::RangeInclusive<u16> = 100..=699;

/// The codes that the gateway gives, so that the first refusal of each is a step from zero.
pub(super) const GATEWAY_CODES: [u16; 35] = [
    200, 211, 213, 214, 215, 220, 221, 225, 226, 227, 229, 230, 234, 250, 257, 331, 350, 421, 425,
    426, 450, 451, 500, 501, 502, 503, 504, 521, 522, 530, 533, 534, 536, 550, 553,
];

/// The codes of RFC 959, 2228, 2389, 2428, 3659 and 4217.
pub(super) const SERVER_CODES: [u16; 57] = [
    110, 120, 125, 150, 200, 202, 211, 212, 213, 214, 215, 220, 221, 225, 226, 227, 228, 229, 230,
    232, 234, 235, 250, 257, 331, 332, 334, 335, 336, 350, 421, 425, 426, 431, 434, 450, 451, 452,
    500, 501, 502, 503, 504, 521, 522, 530, 532, 533, 534, 535, 536, 537, 550, 551, 552, 553, 555,
];

/// Counters by reply code.
#[derive(Debug)]
pub(super) struct Codes {
    /// One for each code, and the last for all others.
    slots: Box<[OnceLock<Counter>]>,
    /// Makes the counters.
    registrar: Arc<Registrar>,
    /// The metric, whose second label is the code.
    definition: &'static Definition,
    /// The value of its first label.
    owner: Arc<str>,
    /// The value of its third label, if it has one.
    origin: Option<Origin>,
}

impl Codes {
    /// The counters of a metric, those of `known` at zero.
    pub(super) fn new(
        registrar: &Arc<Registrar>,
        definition: &'static Definition,
        owner: &Arc<str>,
        origin: Option<Origin>,
        known: &[u16],
    ) -> Self {
        let codes = Self {
            slots: CODES
                .map(|_| OnceLock::new())
                .chain([OnceLock::new()])
                .collect(),
            registrar: Arc::clone(registrar),
            definition,
            owner: Arc::clone(owner),
            origin,
        };
        for code in known {
            codes.at(*code);
        }
        codes
    }

    /// The counter of a code.
    pub(super) fn at(&self, code: u16) -> Option<&Counter> {
        let index = if CODES.contains(&code) {
            usize::from(code.saturating_sub(*CODES.start()))
        } else {
            CODES.len()
        };
        let slot = self.slots.get(index)?;
        Some(slot.get_or_init(|| {
            let label: SharedString = if CODES.contains(&code) {
                code.to_string().into()
            } else {
                "other".into()
            };
            let mut values = vec![Arc::clone(&self.owner).into(), label];
            values.extend(self.origin.map(|origin| origin.name().into()));
            self.registrar.counter(self.definition, &values)
        }))
    }

    /// Counts one reply.
    pub(super) fn count(&self, code: u16) {
        if let Some(counter) = self.at(code) {
            counter.increment(1);
        }
    }
}
