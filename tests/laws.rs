//! The seven laws of the gateway, each held against whatever peers do.
//!
//! The tests drive the pure core with a simulated shell. Random inputs are shrunk and replayed
//! by proptest.

#![allow(
    clippy::allow_attributes,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::unchecked_time_subtraction,
    clippy::string_slice,
    clippy::similar_names,
    clippy::struct_excessive_bools,
    clippy::match_same_arms,
    clippy::nonminimal_bool,
    clippy::redundant_closure_for_method_calls,
    clippy::format_collect,
    reason = "a test fails by panicking, and spells its cases out"
)]

#[path = "dialogue/facts.rs"]
mod facts;
#[path = "dialogue/rules.rs"]
mod rules;
#[expect(dead_code, reason = "each test file uses its part")]
#[path = "dialogue/world.rs"]
mod world;

#[path = "laws/addresses.rs"]
mod addresses;
#[path = "laws/agreeing.rs"]
mod agreeing;
#[path = "laws/bounds.rs"]
mod bounds;
#[path = "laws/breaking.rs"]
mod breaking;
#[path = "laws/clock.rs"]
mod clock;
#[path = "laws/closed.rs"]
mod closed;
#[path = "laws/inspection.rs"]
mod inspection;
#[path = "laws/order.rs"]
mod order;
#[path = "laws/secrets.rs"]
mod secrets;
#[path = "laws/translation.rs"]
mod translation;
