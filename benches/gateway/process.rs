//! A child process: how it is started and ended, what it costs.
//!
//! Times are read from `/proc` in nanoseconds, the descendants' included, so that a server that
//! forks is counted whole.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::clock::Deadline;

/// How long a tick of `/proc/PID/stat` is.
const TICK: Duration = Duration::from_millis(10);
/// How long a process may take to end by itself.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running child; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Process(Child);

impl Process {
    /// Starts a program whose output nobody reads.
    pub(crate) fn start(command: &mut Command) -> io::Result<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map(Self)
    }

    /// Starts this very program in another role and waits until its sockets listen.
    pub(crate) fn role(arguments: &[String]) -> io::Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        let process = Self(child);
        if line.is_empty() {
            return Err(io::Error::other(format!("{arguments:?} does not start")));
        }
        Ok(process)
    }

    /// User and system time that it and its descendants have used so far, once they rest.
    pub(crate) fn cpu(&self) -> Duration {
        let mut before = self.cpu_now();
        for _ in 0..20 {
            pause(Duration::from_millis(10));
            let now = self.cpu_now();
            if now.saturating_sub(before) < Duration::from_micros(100) {
                return now;
            }
            before = now;
        }
        before
    }

    /// As it is at this moment.
    fn cpu_now(&self) -> Duration {
        let ended = stat(self.0.id()).map_or(Duration::ZERO, |stat| stat.ended_children);
        let alive: Duration = self.family().into_iter().map(running_time).sum();
        ended + alive
    }

    /// Proportional set size of all, in KiB.
    pub(crate) fn pss(&self) -> f64 {
        self.family().into_iter().map(pss).sum()
    }

    /// Whether it has no children.
    pub(crate) fn is_alone(&self) -> bool {
        self.family().len() == 1
    }

    /// The identifiers of it and its descendants.
    pub(crate) fn family(&self) -> Vec<u32> {
        let mut family = vec![self.0.id()];
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
            let pid = entry.file_name().to_string_lossy().parse();
            if let Some((pid, stat)) = pid.ok().and_then(|pid| Some((pid, stat(pid)?))) {
                parents.push((pid, stat.parent));
            }
        }
        let mut at = 0;
        while at < family.len() {
            let children = parents.iter().filter(|(_, parent)| *parent == family[at]);
            let children: Vec<u32> = children.map(|(pid, _)| *pid).collect();
            family.extend(children);
            at += 1;
        }
        family
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // Asked first: a server that forks ends its children then.
            kill_process(pid, Signal::TERM).ok();
        }
        let deadline = Deadline::after(PATIENCE);
        while !deadline.is_over() {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            pause(Duration::from_millis(5));
        }
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What `/proc/PID/stat` says.
struct Stat {
    /// The parent.
    parent: u32,
    /// What children used that have ended.
    ended_children: Duration,
}

/// Reads it; None when the process is gone.
fn stat(pid: u32) -> Option<Stat> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before may hold blanks and brackets.
    let fields: Vec<&str> = text.rsplit(')').next()?.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u32>().ok();
    Some(Stat {
        parent: ticks(1)?,
        ended_children: TICK * (ticks(13)? + ticks(14)?),
    })
}

/// What the threads of a process have run.
fn running_time(pid: u32) -> Duration {
    let mut nanoseconds = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
    {
        let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
        let first = text.split_whitespace().next();
        nanoseconds += first.and_then(|text| text.parse().ok()).unwrap_or(0);
    }
    Duration::from_nanos(nanoseconds)
}

/// Proportional set size of one process, in KiB.
fn pss(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    text.lines()
        .find_map(|line| line.strip_prefix("Pss:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}

/// Waits for what nothing announces.
#[expect(clippy::disallowed_methods, reason = "/proc has no event to wait for")]
pub(crate) fn pause(span: Duration) {
    thread::sleep(span);
}
