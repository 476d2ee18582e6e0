//! ftpwarden: a transparent FTP policy gateway.
//!
//! It stands in front of FTP servers that nobody can change. The client meets its server: the
//! server's own greeting arrives byte for byte. But every command is inspected first, what policy
//! refuses is answered by the gateway and never reaches the server, and every reply is counted by
//! its exact code.
//!
//! Three pure modules, [`ftp`], [`policy`] and [`session`], hold every protocol and security
//! decision: bytes and events in, actions out, no socket, clock, file, log or metric. Around them
//! a thin Tokio shell, [`gateway`], moves bytes and obeys. `ARCHITECTURE.md` has the map.

pub mod admin;
pub mod cli;
pub mod config;
pub mod ftp;
pub mod gateway;
pub mod policy;
pub mod relay;
pub mod session;
pub mod settings;
pub mod sys;
pub mod telemetry;
pub mod tls;
pub mod upstream;
