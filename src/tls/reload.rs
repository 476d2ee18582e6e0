//! Whether a file has changed since it was read.
//!
//! Owns what is compared. Must not know what the files hold or when they are looked at.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Files as they were at one moment.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Snapshot {
    /// Each file, and what it was; None where it was not there.
    files: Vec<(PathBuf, Option<Stamp>)>,
}

/// What changes when a file does: also when a link to it is swapped, which leaves the old file
/// and its times as they were.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Stamp {
    /// Device and inode.
    place: (u64, u64),
    /// Size in bytes.
    size: u64,
    /// When its content changed: seconds and nanoseconds.
    modified: (i64, i64),
    /// When its content, owner or mode changed: seconds and nanoseconds.
    changed: (i64, i64),
}

impl Stamp {
    /// What `path` is now, links followed; None where it cannot be looked at.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            place: (metadata.dev(), metadata.ino()),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl Snapshot {
    /// What `paths` are now. Taken before they are read: a change while they are read is seen
    /// later.
    pub fn of<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Self {
        let files = paths.into_iter();
        Self {
            files: files
                .map(|path| (path.to_path_buf(), Stamp::of(path)))
                .collect(),
        }
    }

    /// Whether one of the files is not what it was. Costs one system call a file.
    pub fn has_changed(&self) -> bool {
        self.files
            .iter()
            .any(|(path, stamp)| Stamp::of(path) != *stamp)
    }
}

#[cfg(test)]
mod tests;
