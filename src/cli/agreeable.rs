//! A server who agrees to everything, for rehearsals.
//!
//! Owns what it says and the directory that it is in. Must not know policy: whatever reaches it
//! is done.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use bytes::Bytes;

use super::rehearsal::Situation;
use crate::ftp::command::Command;
use crate::ftp::verb::Verb;
use crate::policy::System;

/// Where it listens: an address that documentation may use (RFC 5737).
pub(super) const ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 5)), 21);

/// What it says first.
pub(super) const GREETING: &[u8] = b"220 Ready.\r\n";

/// The server.
#[derive(Debug)]
pub(super) struct Server {
    /// How it writes paths.
    system: System,
    /// The working directory as it states it.
    directory: String,
}

impl Server {
    /// A server of `system`, in the directory of `situation`.
    pub(super) fn new(system: System, situation: &Situation) -> Self {
        let usual = || match system {
            System::Mvs => format!("'{}.'", situation.user.to_ascii_uppercase()),
            System::Unix | System::Windows => "/".to_owned(),
        };
        Self {
            system,
            directory: situation.directory.clone().unwrap_or_else(usual),
        }
    }

    /// What it says to `line`: the usual code of success, all replies at once.
    pub(super) fn answer(&mut self, line: &[u8]) -> Bytes {
        let line = Bytes::copy_from_slice(line.trim_ascii_end());
        let Ok(command) = Command::parse(&line) else {
            return Bytes::from_static(b"500 What?\r\n");
        };
        let argument = String::from_utf8_lossy(command.argument_bytes()).into_owned();
        let Some(verb) = command.name.canonical() else {
            return Bytes::from_static(b"200 Done.\r\n");
        };
        match verb {
            Verb::Cwd => self.enter(&argument),
            Verb::Cdup => self.enter(".."),
            _ => {}
        }
        let text = match verb {
            Verb::Pwd => {
                let directory = self.directory.replace('"', "\"\"");
                return format!("257 \"{directory}\" is the directory.\r\n").into();
            }
            Verb::User => "331 Password, please.",
            Verb::Pass | Verb::Acct => "230 Welcome.",
            Verb::Pasv => "227 Entering passive mode (192,0,2,5,195,80).",
            Verb::Epsv => "229 Entering extended passive mode (|||50000|).",
            Verb::Rnfr | Verb::Rest => "350 Go on.",
            Verb::Feat => "211-Features:\r\n SIZE\r\n211 End.",
            Verb::Size | Verb::Mdtm => "213 20260101000000",
            Verb::Syst => "215 UNIX Type: L8",
            Verb::Rein => "220 Ready.",
            Verb::Auth => "234 TLS it is.",
            Verb::Quit => "221 Goodbye.",
            Verb::Abor => "226 Nothing to abort.",
            Verb::Mkd => "257 \"made\" created.",
            verb if verb.transfers() => "150 Here it comes.\r\n226 Done.",
            Verb::Cwd | Verb::Cdup | Verb::Dele | Verb::Rmd | Verb::Rnto => "250 Done.",
            _ => "200 Done.",
        };
        format!("{text}\r\n").into()
    }

    /// Changes the working directory.
    fn enter(&mut self, path: &str) {
        self.directory = match self.system {
            System::Mvs => data_set_level(&self.directory, path),
            System::Unix | System::Windows => resolve(&self.directory, &path.replace('\\', "/")),
        };
    }
}

/// The absolute directory that `path` names from `directory`.
fn resolve(directory: &str, path: &str) -> String {
    let base = if path.starts_with('/') { "" } else { directory };
    let mut names: Vec<&str> = Vec::new();
    for name in base.split('/').chain(path.split('/')) {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// The prefix that `path` names from the prefix `directory`, in z/OS's quotes.
fn data_set_level(directory: &str, path: &str) -> String {
    let bare = |text: &str| text.trim_matches('\'').trim_end_matches('.').to_owned();
    let prefix = bare(directory);
    let level = match path {
        ".." => prefix
            .rsplit_once('.')
            .map_or("", |(above, _)| above)
            .to_owned(),
        path if path.starts_with('\'') => bare(path),
        path => format!("{prefix}.{}", bare(path)),
    };
    format!("'{level}.'")
}
