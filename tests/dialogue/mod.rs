//! Dialogues between a client and a server, and the gateway between them.

pub(crate) mod core;
pub(crate) mod facts;
pub(crate) mod rules;
pub(crate) mod script;
pub(crate) mod secrets;
pub(crate) mod sockets;
pub(crate) mod topics;
pub(crate) mod world;
