//! Files that are written to for as long as the process lives.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::io::ioctl_fionbio;

/// Opens `path` for appending, created with mode 0640 where there is none. A pipe that nobody
/// reads is an error, and not waited for; one that is full holds up whoever writes to it.
///
/// # Errors
/// It cannot be opened or created.
pub fn append_to(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o640)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| match error.raw_os_error() {
            Some(libc::ENXIO) => io::Error::new(error.kind(), "nobody reads this pipe"),
            _ => error,
        })?;
    ioctl_fionbio(&file, false)?;
    Ok(file)
}
