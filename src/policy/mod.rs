//! What a session may do: rules, lists, paths, hours, and the verdict on one command.
//!
//! Pure: a decision depends on the policy, the command and what the session knows, and on
//! nothing else; the time of day is an argument. Must not know sockets, files or how a
//! configuration is written.

pub mod compile;
pub mod judge;
pub mod spec;
pub mod verdict;

pub use compile::{Policy, PolicySet, RuleInfo, compile};
pub use judge::{Dialect, Judge, Query, System};
pub use spec::{PolicySpec, Problem};
pub use verdict::{Judgement, Permit, Reply, Verdict};
