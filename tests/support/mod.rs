//! What conversations and laws have in common.

pub mod core;
pub mod facts;
pub mod rules;
pub mod script;
pub mod world;
