//! The vocabulary of RFC 959, 2228, 2389, 2428 and 3659: lines, commands, replies, addresses.
//!
//! Pure: bytes in, values out. No socket, clock, file, log or metric is known here; nothing
//! blocks, nothing panics on what a peer sends, and every buffer has a bound.

#![warn(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::wildcard_enum_match_arm
)]

pub mod address;
pub mod command;
pub mod feature;
mod foreign;
pub mod line;
pub mod misbehaviour;
pub mod reply;
pub mod security;
pub mod subcommand;
pub mod verb;
