//! The bans of this moment, for those who ask.
//!
//! Must not keep any: the gateway does, and is asked.

use std::fmt;
use std::net::IpAddr;
use std::sync::OnceLock;

use serde::Serialize;

/// A banned client as `/status` shows it.
#[derive(Clone, Debug, Serialize)]
pub struct BanStatus {
    /// Its address; an IPv6 client's /64.
    pub client: IpAddr,
    /// For so many failed logins.
    pub failed_logins: u32,
    /// Seconds until it is over.
    pub seconds_left: f64,
}

/// Tells how many bans there are, and of the last of them.
type Source = Box<dyn Fn() -> (usize, Vec<BanStatus>) + Send + Sync>;

/// Who is asked, once there is one.
#[derive(Default)]
pub(super) struct Bans(OnceLock<Source>);

impl Bans {
    /// Asks `source` from now on, unless there is one already.
    pub(super) fn ask(&self, source: Source) {
        self.0.set(source).ok();
    }

    /// How many bans there are, and the last of them.
    pub(super) fn now(&self) -> (usize, Vec<BanStatus>) {
        self.0.get().map(|source| source()).unwrap_or_default()
    }
}

impl fmt::Debug for Bans {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Bans").finish_non_exhaustive()
    }
}
