//! Names to addresses, remembered for a while.
//!
//! Bounds: [`NAMES`] names; one lookup of a name at a time.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::sync::Mutex as AsyncMutex;
use tokio::time::{Instant, timeout};

/// How many names are remembered.
const NAMES: usize = 1024;

/// A lookup of a name that is under way: every address once.
pub type Answer = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// Who is asked for the addresses of a name.
pub type Lookup = Box<dyn Fn(Arc<str>) -> Answer + Send + Sync>;

/// What is known of one name.
#[derive(Debug, Default)]
struct Entry {
    /// The last answer and when it came; no answer is empty.
    known: Option<(Vec<IpAddr>, Instant)>,
}

/// Resolves names and remembers the answers for a fixed time. A lookup that fails, or is late,
/// leaves the last answer in force.
pub struct Resolver {
    /// How long an answer is not asked for again.
    keep: Duration,
    /// Who is asked.
    lookup: Lookup,
    /// By name.
    entries: Mutex<HashMap<Arc<str>, Arc<AsyncMutex<Entry>>>>,
}

impl Resolver {
    /// One that asks the system, and again after `keep`.
    pub fn new(keep: Duration) -> Self {
        Self::asking(keep, Box::new(|host| Box::pin(ask_system(host))))
    }

    /// One that asks `lookup`, and again after `keep`.
    pub fn asking(keep: Duration, lookup: Lookup) -> Self {
        Self {
            keep,
            lookup,
            entries: Mutex::new(HashMap::new()),
        }
    }

    /// The addresses of `host`, an address or a name: at least one. Takes no longer than `limit`,
    /// and where an answer is known a quarter of it.
    ///
    /// # Errors
    /// The name has no address and never had one; `TimedOut` where nobody said so in time.
    pub async fn resolve(
        &self,
        host: &Arc<str>,
        now: Instant,
        limit: Duration,
    ) -> io::Result<Vec<IpAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![address]);
        }
        let renewed = self.renew(host, now, limit);
        timeout(limit, renewed).await.unwrap_or_else(|_| late())
    }

    /// The same for a name, behind all who asked for it before.
    ///
    /// # Errors
    /// As of [`Self::resolve`].
    async fn renew(
        &self,
        host: &Arc<str>,
        now: Instant,
        limit: Duration,
    ) -> io::Result<Vec<IpAddr>> {
        let entry = self.entry(host);
        let mut entry = entry.lock().await;
        let limit = match &entry.known {
            Some((addresses, since)) if now.saturating_duration_since(*since) < self.keep => {
                return Ok(addresses.clone());
            }
            Some(_) => limit / 4,
            None => limit,
        };
        let answer = timeout(limit, (self.lookup)(Arc::clone(host))).await;
        match (answer.unwrap_or_else(|_| late()), &mut entry.known) {
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

/// That no answer came in time.
///
/// # Errors
/// Always.
fn late<T>() -> io::Result<T> {
    Err(io::ErrorKind::TimedOut.into())
}

/// One lookup: every address once, in the system's order.
///
/// # Errors
/// The system has no answer, or one without an address.
async fn ask_system(host: Arc<str>) -> io::Result<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    for found in lookup_host((&*host, 0)).await? {
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
    use std::future::pending;

    use super::*;

    /// More than the system takes for an answer.
    const LIMIT: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn an_address_is_its_own_answer() {
        let resolver = Resolver::new(Duration::from_secs(30));
        let now = Instant::now();
        let found = resolver.resolve(&"::1".into(), now, LIMIT).await.unwrap();
        assert_eq!(found, ["::1".parse::<IpAddr>().unwrap()]);
        assert!(resolver.entries.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn an_answer_is_remembered_and_outlives_a_failing_lookup() {
        let resolver = Resolver::new(Duration::from_secs(30));
        let host: Arc<str> = "no-such-host.invalid".into();
        let known: IpAddr = "192.0.2.7".parse().unwrap();
        let start = Instant::now();
        assert!(resolver.resolve(&host, start, LIMIT).await.is_err());
        resolver.entry(&host).lock().await.known = Some((vec![known], start));
        for after in [0, 29, 31, 3600] {
            let now = start + Duration::from_secs(after);
            assert_eq!(resolver.resolve(&host, now, LIMIT).await.unwrap(), [known]);
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
            resolver.resolve(&host, just_before, LIMIT).await.unwrap(),
            [former]
        );
        let after = start + Duration::from_secs(30);
        let found = resolver.resolve(&host, after, LIMIT).await.unwrap();
        assert!(!found.contains(&former), "{found:?}");
        assert!(found.iter().all(IpAddr::is_loopback), "{found:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_does_not_come_leaves_the_last_one_in_force() {
        let resolver = Resolver::asking(Duration::from_secs(30), Box::new(|_| Box::pin(pending())));
        let (known, unknown): (Arc<str>, Arc<str>) = ("legacy.test".into(), "other.test".into());
        let address: IpAddr = "192.0.2.7".parse().unwrap();
        let start = Instant::now();
        resolver.entry(&known).lock().await.known = Some((vec![address], start));
        let later = start + Duration::from_secs(30);
        // Whoever asks meanwhile is served with the first.
        let (first, second, refused) = tokio::join!(
            resolver.resolve(&known, later, LIMIT),
            resolver.resolve(&known, later, LIMIT),
            resolver.resolve(&unknown, later, LIMIT / 2),
        );
        assert_eq!(
            (first.unwrap(), second.unwrap()),
            (vec![address], vec![address])
        );
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::TimedOut);
        // A quarter for the known name, all of it for the unknown one, which had half as much.
        assert_eq!(start.elapsed().as_secs(), (LIMIT / 2).as_secs());
        let again = Instant::now();
        let known = resolver.resolve(&known, later + Duration::from_secs(29), LIMIT);
        assert_eq!(known.await.unwrap(), [address]);
        assert!(
            again.elapsed().is_zero(),
            "it is not asked for again at once"
        );
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
