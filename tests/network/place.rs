//! Where everybody is: loopback addresses of their own for each run, so that the sockets that one
//! gateway holds are told from all others of this process and of the machine.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::run::now;

/// How often the kernel's table is read at most: it is long, and every run wants to see it.
const PERIOD: Duration = Duration::from_millis(250);

/// The addresses of one run.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// The gateway's, on both legs.
    pub(crate) gateway: IpAddr,
    /// Where the client's network meets the gateway: the client, for all it knows.
    pub(crate) near: IpAddr,
    /// Where the server's network meets it: the server.
    pub(crate) far: IpAddr,
    /// The client's own.
    pub(crate) client: IpAddr,
    /// The server's own.
    pub(crate) server: IpAddr,
    /// Where nobody listens.
    pub(crate) nobody: IpAddr,
}

/// The second number of all addresses of this process.
fn own_network() -> u8 {
    let [.., last] = (process::id() % 200).to_be_bytes();
    20 + last
}

impl Place {
    /// One that no other run of this process has.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        // Eight addresses each.
        let [_, _, high, low] = (8 * NEXT.fetch_add(1, Ordering::Relaxed)).to_be_bytes();
        let at = |role: u8| IpAddr::V4(Ipv4Addr::new(127, own_network(), high, low + role));
        Self {
            gateway: at(1),
            near: at(2),
            far: at(3),
            client: at(4),
            server: at(5),
            nobody: at(6),
        }
    }

    /// The sockets that this process holds at the gateway's address, as they are after `moment`:
    /// own end, peer and state of each, as the kernel writes them. None if nobody has looked
    /// since.
    pub(crate) fn sockets(&self, moment: Instant) -> Option<Vec<String>> {
        let IpAddr::V4(gateway) = self.gateway else {
            return None;
        };
        let own = format!("{:08X}:", u32::from_le_bytes(gateway.octets()));
        let all = table(moment)?;
        Some(
            all.iter()
                .filter(|row| row.starts_with(&own))
                .cloned()
                .collect(),
        )
    }
}

/// A look at the sockets of this process, and when it began.
type Look = (Instant, Arc<Vec<String>>);

/// All sockets of this process at addresses of its runs, as they are after `moment`.
fn table(moment: Instant) -> Option<Arc<Vec<String>>> {
    static LAST: Mutex<Option<Look>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap();
    if let Some((began, rows)) = &*last {
        if *began > moment {
            return Some(Arc::clone(rows));
        }
        if began.elapsed() < PERIOD {
            return None;
        }
    }
    let began = now();
    let text = fs::read_to_string("/proc/self/net/tcp").unwrap();
    let inodes = inodes();
    let network = format!("{:02X}7F:", own_network());
    let rows = text.match_indices(&network).filter_map(|(at, _)| {
        // The low numbers come first; of the two ends of a row the first is meant.
        let row = text.get(at.checked_sub(4)?..)?.lines().next()?;
        let words: Vec<&str> = row.split_whitespace().collect();
        let [own, peer, state, _, _, _, _, _, inode, ..] = words[..] else {
            return None;
        };
        inodes
            .contains(inode)
            .then(|| format!("{own} {peer} {state}"))
    });
    let rows = Arc::new(rows.collect());
    *last = Some((began, Arc::clone(&rows)));
    Some(rows)
}

/// The sockets of this process, by inode.
fn inodes() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    entries
        .filter_map(|entry| {
            let target = fs::read_link(entry.ok()?.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?;
            Some(inode.strip_suffix(']')?.to_owned())
        })
        .collect()
}
