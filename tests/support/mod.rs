//! What conversations and laws have in common.

pub(crate) mod core;
pub(crate) mod facts;
pub(crate) mod rules;
pub(crate) mod script;
pub(crate) mod world;
