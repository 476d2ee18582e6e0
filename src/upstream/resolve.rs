//! Names to addresses, remembered for a while.
//!
//! Bounds: [`NAMES`] names; one lookup of a name at a time.

use std::collections::HashMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::Instant;

/// How many names are remembered.
const NAMES: usize = 1024;

/// What is known of one name.
#[derive(Debug, Default)]
struct Entry {
    /// The last answer and when it came; no answer is empty.
    known: Option<(Vec<IpAddr>, Instant)>,
}

/// Resolves names and remembers the answers for a fixed time. A lookup that fails leaves the last
/// answer in force.
#[derive(Debug)]
pub struct Resolver {
    /// How long an answer is not asked for again.
    keep: Duration,
    /// By name.
    entries: Mutex<HashMap<Arc<str>, Arc<AsyncMutex<Entry>>>>,
}

impl Resolver {
    /// One that asks again after `keep`.
    pub fn new(keep: Duration) -> Self {
        Self {
            keep,
            entries: Mutex::new(HashMap::new()),
        }
    }

    /// The addresses of `host`, an address or a name: at least one.
    ///
    /// # Errors
    /// The name has no address and never had one.
    pub async fn resolve(&self, host: &Arc<str>, now: Instant) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        let entry = self.entry(host);
        let mut entry = entry.lock().await;
        if let Some((addresses, since)) = &entry.known
            && now.saturating_duration_since(*since) < self.keep
        {
            return Ok(addresses.clone());
        }
        let answer = lookup(host).await;
        match (answer, &mut entry.known) {
            (Ok(addresses), known) => {
                *known = Some((addresses.clone(), now));
                Ok(addresses)
            }
            (Err(_), Some((addresses, since))) => {
                *since = now;
                Ok(addresses.clone())
            }
            (Err(error), None) => Err(error),
        }
    }

    /// The entry of a name.
    fn entry(&self, host: &Arc<str>) -> Arc<AsyncMutex<Entry>> {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= NAMES && !entries.contains_key(host) {
            entries.clear();
        }
        Arc::clone(entries.entry(Arc::clone(host)).or_default())
    }
}

/// One lookup: every address once, in the system's order.
///
/// # Errors
/// The system has no answer, or one without an address.
async fn lookup(host: &str) -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for found in lookup_host((host, 0)).await? {
        let address = found.ip().to_canonical();
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() {
        return Err(io::Error::from(io::ErrorKind::NotFound));
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_its_own_answer() {
        let resolver = Resolver::new(Duration::from_secs(30));
        let now = Instant::now();
        let found = resolver.resolve(&"::1".into(), now).await.unwrap();
        assert_eq!(found, ["::1".parse::<IpAddr>().unwrap()]);
        assert!(resolver.entries.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_answer_is_remembered_and_outlives_a_failing_lookup() {
        let resolver = Resolver::new(Duration::from_secs(30));
        let host: Arc<str> = "no-such-host.invalid".into();
        let known: IpAddr = "192.0.2.7".parse().unwrap();
        let start = Instant::now();
        assert!(resolver.resolve(&host, start).await.is_err());
        resolver.entry(&host).lock().await.known = Some((vec![known], start));
        for after in [0, 29, 31, 3600] {
            let now = start + Duration::from_secs(after);
            assert_eq!(resolver.resolve(&host, now).await.unwrap(), [known]);
        }
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_is_followed_when_its_time_is_over() {
        let resolver = Resolver::new(Duration::from_secs(30));
        let host: Arc<str> = "localhost".into();
        let former: IpAddr = "192.0.2.7".parse().unwrap();
        let start = Instant::now();
        resolver.entry(&host).lock().await.known = Some((vec![former], start));
        let just_before = start + Duration::from_millis(29_999);
        assert_eq!(
            resolver.resolve(&host, just_before).await.unwrap(),
            [former]
        );
        let after = start + Duration::from_secs(30);
        let found = resolver.resolve(&host, after).await.unwrap();
        assert!(!found.contains(&former), "{found:?}");
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
    }

    #[tokio::test]
    async fn names_have_a_bound() {
        let resolver = Resolver::new(Duration::from_secs(30));
        for number in 0..=NAMES {
            resolver.entry(&format!("host-{number}").into());
        }
        assert_eq!(resolver.entries.lock().unwrap().len(), 1);
    }
}
