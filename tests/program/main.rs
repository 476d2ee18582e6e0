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
mod gateway;
mod leftovers;
mod passthrough;
mod server;
mod signals;
