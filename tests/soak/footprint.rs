//! What the process holds, as the kernel has it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;

/// What a process holds.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Footprint {
    /// Descriptors that are sockets.
    pub(crate) sockets: usize,
    /// Descriptors that are ends of pipes.
    pub(crate) pipes: usize,
    /// Other descriptors.
    pub(crate) others: usize,
    /// Addresses that are listened on.
    pub(crate) listening: BTreeSet<String>,
    /// Threads.
    pub(crate) threads: usize,
    /// KiB in memory.
    pub(crate) rss: u64,
    /// KiB in memory that nobody shares, and a share of the rest.
    pub(crate) pss: u64,
}

impl Footprint {
    /// That of a process.
    pub(crate) fn of(pid: u32) -> Self {
        let root = format!("/proc/{pid}");
        let mut found = Self::default();
        let mut own = BTreeSet::new();
        for entry in fs::read_dir(format!("{root}/fd")).unwrap().flatten() {
            // One that is closed in between is none.
            let Ok(target) = fs::read_link(entry.path()) else {
                continue;
            };
            let target = target.to_string_lossy().into_owned();
            if let Some(inode) = target.strip_prefix("socket:[") {
                found.sockets += 1;
                own.insert(inode.trim_end_matches(']').to_owned());
            } else if target.starts_with("pipe:") {
                found.pipes += 1;
            } else {
                found.others += 1;
            }
        }
        for table in ["tcp", "tcp6"] {
            let text = fs::read_to_string(format!("{root}/net/{table}")).unwrap_or_default();
            for line in text.lines().skip(1) {
                let columns: Vec<&str> = line.split_whitespace().collect();
                // 0A is LISTEN.
                if columns[3] == "0A" && own.contains(columns[9]) {
                    found.listening.insert(columns[1].to_owned());
                }
            }
        }
        found.threads = fs::read_dir(format!("{root}/task")).unwrap().count();
        let memory = fs::read_to_string(format!("{root}/smaps_rollup")).unwrap();
        let kib = |name: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name));
            let value = line.unwrap().trim_end_matches("kB").trim();
            value.parse().unwrap()
        };
        found.rss = kib("Rss:");
        found.pss = kib("Pss:");
        found
    }

    /// What is there that was not at `start`, but for so many pipes and threads.
    pub(crate) fn left(&self, start: &Self, pipes: usize, threads: usize) -> Vec<String> {
        let mut left = Vec::new();
        for (what, now, before) in [
            ("sockets", self.sockets, start.sockets),
            ("pipes", self.pipes, start.pipes + pipes),
            ("other descriptors", self.others, start.others),
            ("threads", self.threads, start.threads + threads),
        ] {
            if now > before {
                left.push(format!("{what}: {now} where there were {before}"));
            }
        }
        if self.listening != start.listening {
            left.push(format!("listening on {:?}", self.listening));
        }
        left
    }

    /// All descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        self.sockets + self.pipes + self.others
    }
}

/// Three of them beside each other.
pub(crate) struct Table<'a>(pub(crate) [&'a Footprint; 3]);

impl fmt::Display for Table<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        type Value = fn(&Footprint) -> u64;
        let rows: [(&str, Value); 7] = [
            ("descriptors: sockets", |one| one.sockets as u64),
            ("descriptors: pipes", |one| one.pipes as u64),
            ("descriptors: others", |one| one.others as u64),
            ("listening sockets", |one| one.listening.len() as u64),
            ("threads", |one| one.threads as u64),
            ("RSS, KiB", |one| one.rss),
            ("PSS, KiB", |one| one.pss),
        ];
        writeln!(
            formatter,
            "{:<22}{:>10}{:>10}{:>10}",
            "", "start", "warm", "end"
        )?;
        for (name, value) in rows {
            write!(formatter, "{name:<22}")?;
            for one in self.0 {
                write!(formatter, "{:>10}", value(one))?;
            }
            writeln!(formatter)?;
        }
        Ok(())
    }
}
