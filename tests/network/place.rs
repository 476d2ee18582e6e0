//! Where everybody is: loopback addresses of their own for each run, so that what a gateway holds
//! is told from what others do, and what it holds of the kernel.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

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
}

impl Place {
    /// One that nobody else in this process has, nor in another that runs at the same time unless
    /// chance has it.
    pub(crate) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let [.., own] = (process::id() % 200).to_be_bytes();
        let [.., high, low] = number.to_be_bytes();
        let at = |last: u8| IpAddr::V4(Ipv4Addr::new(127, 20 + own, high.wrapping_mul(8) ^ low, last));
        // Eight addresses a run, in the last number.
        let base = 8 * u8::try_from(number / 256 % 30).unwrap();
        Self {
            gateway: at(base + 1),
            near: at(base + 2),
            far: at(base + 3),
            client: at(base + 4),
            server: at(base + 5),
        }
    }

    /// The sockets that this process holds at the gateway's address: state and port of each.
    pub(crate) fn sockets(&self) -> Vec<String> {
        let own = own_sockets();
        let IpAddr::V4(gateway) = self.gateway else {
            return Vec::new();
        };
        let address = format!("{:08X}:", u32::from_le_bytes(gateway.octets()));
        let table = fs::read_to_string("/proc/self/net/tcp").unwrap();
        table
            .lines()
            .skip(1)
            .filter_map(|line| {
                let words: Vec<&str> = line.split_whitespace().collect();
                let (local, peer, state) = (words.get(1)?, words.get(2)?, words.get(3)?);
                let is_held = own.contains(*words.get(9)?);
                (is_held && local.starts_with(&address)).then(|| format!("{state} {local} {peer}"))
            })
            .collect()
    }
}

/// The sockets of this process, by inode.
fn own_sockets() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc/self/fd").unwrap();
    entries
        .filter_map(|entry| {
            let target = fs::read_link(entry.ok()?.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?;
            Some(inode.strip_suffix(']')?.to_owned())
        })
        .collect()
}
