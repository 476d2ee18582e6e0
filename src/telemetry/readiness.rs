//! Whether the gateway is of use, and all that `/status` shows.
//!
//! A failed dial counts until another one has succeeded: the gateway sees to it that there is one.
//! Must not dial.

use std::sync::atomic::Ordering;

use serde::Serialize;

use super::bans::BanStatus;
use super::status::SessionStatus;
use super::{Telemetry, clock};

/// All that `/status` shows.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The version of the program.
    pub version: &'static str,
    /// Seconds since it began.
    pub uptime_seconds: f64,
    /// Whether it is stopping.
    pub draining: bool,
    /// The sessions, the oldest first.
    pub sessions: Vec<SessionStatus>,
    /// Banned clients, the last one first, at most a thousand.
    pub bans: Vec<BanStatus>,
    /// The upstreams, by name.
    pub upstreams: Vec<UpstreamStatus>,
    /// The ports of data connections, by listener.
    pub passive_ports: Vec<PortStatus>,
}

/// An upstream as `/status` shows it.
#[derive(Debug, Serialize)]
pub struct UpstreamStatus {
    /// Its name.
    pub name: String,
    /// Its address as configured.
    pub address: String,
    /// Whether the last dial succeeded; null before the first.
    pub up: Option<bool>,
    /// What the last dial said.
    pub last_connect: Option<&'static str>,
    /// Seconds since then.
    pub last_connect_age_seconds: Option<f64>,
}

/// A listener's passive ports as `/status` shows them.
#[derive(Debug, Serialize)]
pub struct PortStatus {
    /// The listener's name.
    pub listener: String,
    /// How many there are; 0 where any free port will do.
    pub total: u64,
    /// How many are taken.
    pub in_use: u64,
}

impl Telemetry {
    /// Why the gateway is not of use at this moment; nothing if it is.
    pub fn obstacles(&self) -> Vec<String> {
        let mut obstacles = Vec::new();
        if self.draining.load(Ordering::Relaxed) {
            obstacles.push("the gateway is draining".to_owned());
        }
        if self.refuses_commands() {
            obstacles.push("the audit cannot be written and refuses commands".to_owned());
        }
        let tables = self.tables.load();
        for (listener, upstream) in &tables.routes {
            let failed = tables
                .upstreams
                .get(upstream)
                .and_then(|table| table.last_dial())
                .filter(|dial| !dial.succeeded());
            if let Some(dial) = failed {
                obstacles.push(format!(
                    "listener {listener}: upstream {upstream} is down ({})",
                    dial.result.name()
                ));
            }
        }
        obstacles
    }

    /// Whether the last dial of an upstream of the configuration in force failed.
    pub fn is_down(&self, upstream: &str) -> bool {
        let tables = self.tables.load();
        let last = tables.upstreams.get(upstream);
        let last = last.and_then(|table| table.last_dial());
        last.is_some_and(|dial| !dial.succeeded())
    }

    /// All that `/status` shows.
    pub fn status(&self) -> Status {
        let now = clock::monotonic();
        let age = |since| now.saturating_duration_since(since).as_secs_f64();
        let tables = self.tables.load();
        let mut upstreams: Vec<UpstreamStatus> = tables
            .upstreams
            .values()
            .map(|table| {
                let last = table.last_dial();
                UpstreamStatus {
                    name: table.name.to_string(),
                    address: table.address.to_string(),
                    up: last.map(super::metrics::Dial::succeeded),
                    last_connect: last.map(|dial| dial.result.name()),
                    last_connect_age_seconds: last.map(|dial| age(dial.at)),
                }
            })
            .collect();
        upstreams.sort_by(|one, other| one.name.cmp(&other.name));
        Status {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: age(self.began),
            draining: self.draining.load(Ordering::Relaxed),
            sessions: self.sessions.show(),
            bans: self.bans.now().1,
            upstreams,
            passive_ports: tables
                .routes
                .iter()
                .filter_map(|(listener, _)| tables.listeners.get(listener))
                .map(|table| {
                    let (total, in_use) = table.ports();
                    PortStatus {
                        listener: table.name.to_string(),
                        total,
                        in_use,
                    }
                })
                .collect(),
        }
    }
}
