//! The admin endpoints: `/metrics`, `/healthz`, `/readyz` and `/status`, read only.
//!
//! Owns HTTP. Must not know sessions: they show themselves through [`crate::telemetry`]. Bounds:
//! [`CONNECTIONS_MAX`] connections, each with one request and [`PATIENCE`] in all.
//! Spawns: one task for each connection, and one blocking task for each rendering, in `http.rs`;
//! all of them end with [`serve`].

mod http;
mod status;

use std::time::Duration;

pub use http::serve;

/// How many connections are served at once; more of them wait.
pub const CONNECTIONS_MAX: usize = 32;

/// How long a connection may take, from its first byte to its last.
pub const PATIENCE: Duration = Duration::from_secs(30);
