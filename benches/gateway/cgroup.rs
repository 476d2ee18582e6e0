//! The memory that the kernel charges to a group of processes, its own for them included.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::clock::Deadline;
use crate::process::pause;

/// Where memory is a controller of its own (cgroup v1), where it is one of all (v2), and the file
/// there that says how much is used, in bytes.
const HIERARCHIES: [(&str, &str); 2] = [
    ("/sys/fs/cgroup/memory", "memory.usage_in_bytes"),
    ("/sys/fs/cgroup", "memory.current"),
];

/// How long the processes of a group may take to be gone.
const PATIENCE: Duration = Duration::from_secs(5);

/// A group of its own; it is gone when this is dropped behind its processes.
#[derive(Debug)]
pub(crate) struct Cgroup {
    /// Its folder.
    folder: PathBuf,
    /// The file that says how much is used.
    usage: PathBuf,
}

impl Cgroup {
    /// A group of these processes: what is charged to it is what they ask for from now on. None
    /// where the kernel or the rights do not allow one.
    pub(crate) fn of(processes: &[u32]) -> Option<Self> {
        let name = format!("ftpwarden-bench-{}", processes.first()?);
        let group = HIERARCHIES.iter().find_map(|(root, usage)| {
            let folder = Path::new(root).join(&name);
            fs::create_dir(&folder).ok()?;
            let usage = folder.join(usage);
            Some(Self { folder, usage })
        })?;
        // Without the controller its file is not there, and dropping the group removes it.
        group.used()?;
        let joined: io::Result<()> = processes.iter().try_for_each(|process| {
            fs::write(group.folder.join("cgroup.procs"), process.to_string())
        });
        joined.ok().map(|()| group)
    }

    /// How much is charged to it, in KiB.
    pub(crate) fn used(&self) -> Option<f64> {
        let text = fs::read_to_string(&self.usage).ok()?;
        let bytes: f64 = text.trim().parse().ok()?;
        Some(bytes / 1024.0)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Children end a moment behind their parent.
        let deadline = Deadline::after(PATIENCE);
        while fs::remove_dir(&self.folder).is_err() && !deadline.is_over() {
            pause(Duration::from_millis(20));
        }
    }
}
