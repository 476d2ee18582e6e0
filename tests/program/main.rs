//! The built program from outside: what it counts, what it passes on unchanged, what it leaves
//! behind, and how it obeys signals.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::string_slice,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    reason = "a test panics when it fails"
)]

mod client;
mod confinement;
mod counters;
mod faults;
#[expect(dead_code, reason = "each suite uses a part of it")]
#[path = "../support/process.rs"]
mod gateway;
#[expect(dead_code, reason = "each suite uses a part of it")]
#[path = "../support/killable.rs"]
mod killable;
mod leftovers;
mod passthrough;
mod server;
mod signals;
