//! Files and ports that somebody needs, and whether they are among those that are left.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// Files and TCP ports.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Access {
    /// Directories and files that are read, with all that is below them.
    pub read: Vec<PathBuf>,
    /// Directories and files that are read and written, with all that is below them.
    pub write: Vec<PathBuf>,
    /// Ports that are listened on, or dialled from; 0 is any free one.
    pub bind: Vec<RangeInclusive<u16>>,
    /// Ports that are dialled.
    pub connect: Vec<RangeInclusive<u16>>,
}

/// Something that is needed and not left.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lack {
    /// A port cannot be listened on.
    Bind(u16),
    /// A port cannot be dialled.
    Connect(u16),
    /// A directory or a file cannot be read.
    Read(PathBuf),
    /// A directory or a file cannot be written.
    Write(PathBuf),
}

impl fmt::Display for Lack {
    /// What it is, as the beginning of a sentence.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind(port) => write!(formatter, "listening on port {port}"),
            Self::Connect(port) => write!(formatter, "dialling port {port}"),
            Self::Read(path) => write!(formatter, "reading below {}", path.display()),
            Self::Write(path) => write!(formatter, "writing below {}", path.display()),
        }
    }
}

impl Access {
    /// The first directory or file of `needed` that is not among these.
    pub fn lacks_file(&self, needed: &Self) -> Option<Lack> {
        let written = |path: &Path| self.write.iter().any(|left| path.starts_with(left));
        let read =
            |path: &Path| written(path) || self.read.iter().any(|left| path.starts_with(left));
        let unread = needed.read.iter().find(|path| !read(path));
        let unwritten = needed.write.iter().find(|path| !written(path));
        unread
            .map(|path| Lack::Read(path.clone()))
            .or_else(|| unwritten.map(|path| Lack::Write(path.clone())))
    }

    /// The first port of `needed` that is not among these.
    pub fn lacks_port(&self, needed: &Self) -> Option<Lack> {
        missing(&self.bind, &needed.bind)
            .map(Lack::Bind)
            .or_else(|| missing(&self.connect, &needed.connect).map(Lack::Connect))
    }
}

/// The first port of `needed` that none of `left` holds.
fn missing(left: &[RangeInclusive<u16>], needed: &[RangeInclusive<u16>]) -> Option<u16> {
    needed
        .iter()
        .cloned()
        .flatten()
        .find(|port| !left.iter().any(|range| range.contains(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_a_directory_is_left_and_what_is_beside_it_is_not() {
        let left = Access {
            read: vec!["/etc/ftpwarden".into()],
            write: vec!["/var/log/ftpwarden".into()],
            ..Access::default()
        };
        let needs = |read: &str, write: &str| {
            left.lacks_file(&Access {
                read: vec![read.into()],
                write: vec![write.into()],
                ..Access::default()
            })
        };
        assert_eq!(needs("/etc/ftpwarden/tls", "/var/log/ftpwarden"), None);
        // What may be written may be read.
        assert_eq!(needs("/var/log/ftpwarden", "/var/log/ftpwarden/a"), None);
        let beside = needs("/etc/ftpwarden-2", "/var/log/ftpwarden");
        assert_eq!(beside, Some(Lack::Read("/etc/ftpwarden-2".into())));
        let unwritten = needs("/etc/ftpwarden", "/etc/ftpwarden");
        assert_eq!(unwritten, Some(Lack::Write("/etc/ftpwarden".into())));
    }

    #[test]
    fn ports_are_left_one_by_one() {
        let left = Access {
            bind: vec![0..=0, 2121..=2121, 50_000..=50_099],
            connect: vec![21..=21, 1024..=u16::MAX],
            ..Access::default()
        };
        let needs = |bind, connect| {
            left.lacks_port(&Access {
                bind: vec![bind],
                connect: vec![connect],
                ..Access::default()
            })
        };
        assert_eq!(needs(0..=0, 21..=21), None);
        assert_eq!(needs(50_000..=50_099, 1024..=u16::MAX), None);
        assert_eq!(needs(50_000..=50_100, 21..=21), Some(Lack::Bind(50_100)));
        assert_eq!(needs(2121..=2121, 22..=22), Some(Lack::Connect(22)));
    }
}
