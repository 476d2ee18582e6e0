//! Files that are written to for as long as the process lives.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
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

/// Whether `file`, which was opened as `path`, ends within a line: whoever wrote to it was cut off. What
/// is no file has no end, and of one that may not be read it is not known.
pub fn ends_within_a_line(file: &File, path: &Path) -> bool {
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    is_file && last_byte(path).is_ok_and(|byte| byte.is_some_and(|byte| byte != b'\n'))
}

/// The last byte of the file `path`; None of an empty one.
///
/// # Errors
/// It cannot be read.
fn last_byte(path: &Path) -> io::Result<Option<u8>> {
    let mut file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        return Ok(None);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut byte = [0];
    file.read_exact(&mut byte)?;
    let [byte] = byte;
    Ok(Some(byte))
}
