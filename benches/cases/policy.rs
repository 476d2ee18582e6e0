//! A policy with many rules before the one that decides, and a question for it.

use std::fmt::Write;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use ftpwarden::config;
use ftpwarden::ftp::command::Command;
use ftpwarden::policy::{Channels, Dialect, Judge, Query};

/// How many rules come before the one that decides.
pub(crate) const COUNTS: [usize; 3] = [10, 1_000, 10_000];

/// What those rules are about. All of them name the verb.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Others {
    /// Another user each: nobody looks at their paths.
    Users,
    /// The same user, and another path each: every glob is tried.
    Paths,
}

/// A judge whose policy has `count` such rules before the one that decides; made once.
pub(crate) fn judge(others: Others, count: usize) -> &'static Judge {
    type Judges = [OnceLock<Judge>; COUNTS.len()];
    static JUDGES: [Judges; 2] = [const { [const { OnceLock::new() }; COUNTS.len()] }; 2];
    let index = COUNTS.iter().position(|each| *each == count).unwrap();
    JUDGES[others as usize][index].get_or_init(|| compile(others, count))
}

/// Compiles such a judge.
fn compile(others: Others, count: usize) -> Judge {
    let mut source = String::from(
        "[listeners.main]\nbind = \"127.0.0.1:2121\"\nupstream = \"legacy\"\npolicy = \"case\"\n\
         [upstreams.legacy]\naddress = \"127.0.0.1:21\"\n\
         [policies.case]\nallow = [\"@session\"]\nrules = [\n",
    );
    for number in 0..count {
        let (user, path) = match others {
            Others::Users => (format!("u{number}"), format!("/in/u{number}/*")),
            Others::Paths => ("acme".to_owned(), format!("/in/*/*-{number}.edi")),
        };
        writeln!(
            source,
            "{{ commands = \"STOR\", users = \"{user}\", paths = \"{path}\", action = \"allow\" }},"
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
