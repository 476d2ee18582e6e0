//! What `deploy/` holds is tried with the programs that will read it: systemd, Prometheus, fail2ban, logrotate and
//! the linters. `tests/install` fetches those programs; one that is missing fails its test.

#![allow(
    clippy::allow_attributes,
    clippy::indexing_slicing,
    clippy::missing_panics_doc,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

#[path = "deploy/container.rs"]
mod container;
#[path = "deploy/logs.rs"]
mod logs;
#[path = "deploy/prometheus.rs"]
mod prometheus;
#[path = "deploy/supply.rs"]
mod supply;
#[path = "deploy/systemd.rs"]
mod systemd;
#[path = "deploy/tools.rs"]
mod tools;
