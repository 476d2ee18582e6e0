//! What a session may do: rules, lists, paths, hours, and the verdict on one command.
//!
//! Pure: a decision depends on the policy, the command and what the session knows, and on
//! nothing else; the time of day is an argument. Must not know sockets, files or how a
//! configuration is written.
//!
//! [`compile()`] turns what was written into a [`PolicySet`] or into problems; a [`Judge`] holds
//! the policies that speak on one session and gives a [`Judgement`] per command. A rule's
//! conditions are weighed in three values: what is not certain does not hold where it would let
//! a command pass, and holds where it would refuse it.

#![warn(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm
)]

mod chain;
pub mod compile;
mod extract;
mod forms;
mod glob;
mod hours;
pub mod judge;
mod names;
mod network;
mod path;
mod rule;
#[cfg(test)]
mod sample;
mod scene;
mod security;
pub mod spec;
pub mod suggest;
pub mod verdict;

pub use chain::Policy;
pub use compile::{PolicySet, RuleInfo, compile};
pub use glob::UserGlob;
pub use judge::{Channels, Dialect, Judge, Outlook, Query, System};
pub use network::unmapped;
pub use path::is_absolute;
pub use security::Lack;
pub use spec::{PolicySpec, Problem};
pub use verdict::{Action, Judgement, Permit, Reply, RuleId, SetId, Verdict};
