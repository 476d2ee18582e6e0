//! A policy with many rules for somebody else, and a question for it.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use ftpwarden::config;
use ftpwarden::ftp::command::Command;
use ftpwarden::policy::{Channels, Dialect, Judge, Query};

/// How many rules are for other users.
pub(crate) const COUNTS: [usize; 3] = [10, 1_000, 10_000];

/// A judge whose policy has `count` rules for other users before the one that decides; made once.
pub(crate) fn judge(count: usize) -> &'static Judge {
    static JUDGES: [OnceLock<Judge>; COUNTS.len()] = [const { OnceLock::new() }; COUNTS.len()];
    let index = COUNTS.iter().position(|each| *each == count).unwrap();
    JUDGES[index].get_or_init(|| compile(count))
}

/// Compiles such a judge.
fn compile(count: usize) -> Judge {
    let mut source = String::from(
        "[listeners.main]\nbind = \"127.0.0.1:2121\"\nupstream = \"legacy\"\npolicy = \"case\"\n\
         [upstreams.legacy]\naddress = \"127.0.0.1:21\"\n\
         [policies.case]\nallow = [\"@session\"]\nrules = [\n",
    );
    for number in 0..count {
        writeln!(
            source,
            "{{ commands = \"STOR\", users = \"u{number}\", paths = \"/in/u{number}/*\", \
             action = \"allow\" }},"
        )
        .unwrap();
    }
    source.push_str(
        "{ commands = \"STOR\", users = \"acme\", paths = \"/in/{user}/*\", \
         filename = '[A-Z]{6}\\d{8}\\.edi', action = \"allow\" },\n]\n",
    );
    let loaded = config::parse(&source, "bench.toml").unwrap();
    let listener = &loaded.settings.listeners["main"];
    let upstream = &loaded.settings.upstreams["legacy"];
    Judge::new(
        Arc::clone(loaded.policies.get(&listener.policy).unwrap()),
        Arc::clone(loaded.policies.get(&upstream.policy).unwrap()),
        None,
        Dialect::default(),
        Vec::new(),
    )
}

/// A command of a client's.
pub(crate) fn command(line: &'static [u8]) -> Command {
    Command::parse(&Bytes::from_static(line)).unwrap()
}

/// The question whether a user may do that, in a directory if it is known.
pub(crate) fn query<'a>(command: &'a Command, directory: Option<&'a [u8]>) -> Query<'a> {
    Query {
        command,
        user: Some(b"acme"),
        client: [192, 0, 2, 10].into(),
        directory,
        home: None,
        renaming: None,
        unix_time: 1_800_000_000,
        channels: Channels::default(),
    }
}
