//! L4: no secret leaves by the side door.

use std::fmt::Write;

use ftpwarden::ftp::command::Name;
use ftpwarden::session::{Fact, Leg};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::agreeing::{agree, of_tables};
use crate::facts::describe;
use crate::rules::{self, Tables};

/// What must appear nowhere.
const SECRET: &str = "hunter2swordfish";

/// The tables of these tests: a SITE subcommand of the operator's is a secret too.
fn tables() -> Tables {
    Tables {
        policy: vec!["default = \"allow\"".into()],
        limits: vec!["violations = 100000".into()],
        audit: vec!["secret = [\"SITE TOKEN\"]".into()],
        ..Tables::default()
    }
}

/// Sends `bytes` in `pieces` and fails where the secret shows.
fn look(bytes: &[u8], pieces: usize) {
    let tables = tables();
    let loaded = rules::load(&tables.source("192.0.2.1:21", "10.0.0.5:21")).unwrap();
    let mut world = of_tables(&tables);
    world.actions = Some(Vec::new());
    let mut written = String::new();
    world.send(Leg::Server, b"220 Ready.\r\n");
    for piece in bytes.chunks(pieces.max(1)) {
        world.send(Leg::Client, piece);
        write!(written, "{:?}", world.session).unwrap();
        agree(&mut world);
        write!(written, "{:?}", world.session).unwrap();
        for fact in world.facts.drain(..) {
            write!(written, "{fact:?}{}", describe(&fact, &loaded.policies)).unwrap();
        }
    }
    written.push_str(&world.actions.take().unwrap_or_default().concat());
    let folded = written.to_lowercase();
    if let Some(at) = folded.find(SECRET) {
        panic!(
            "the secret is told: {}",
            written
                .get(at.saturating_sub(200)..at + SECRET.len())
                .unwrap_or_default()
        );
    }
}

#[test]
fn law_4_no_form_of_a_password_is_told() {
    let lines: [&[u8]; 31] = [
        b"PASS hunter2swordfish\r\n",
        b"pass hunter2swordfish\r\n",
        b"PASS  hunter2swordfish\r\n",
        b"PASS hunter2swordfish\n",
        b"PASS\thunter2swordfish\r\n",
        b"PASS\0hunter2swordfish\r\n",
        b"PASS hunter2swordfish\0\r\n",
        b"PASS hunter2swordfish\rx\r\n",
        b" PASS hunter2swordfish\r\n",
        b"PASShunter2swordfish\r\n",
        b"PASS=hunter2swordfish\r\n",
        b"ACCT hunter2swordfish\r\n",
        b"ADAT hunter2swordfish\r\n",
        b"SITE PSWD hunter2swordfish hunter2swordfish\r\n",
        b"site gpass hunter2swordfish\r\n",
        b"SITE  TOKEN hunter2swordfish\r\n",
        b"SITE TOKEN hunter2swordfish FILE=x\r\n",
        b"SITE TOKEN FILE=hunter2swordfish\r\n",
        // What a lenient server may read as these words.
        b"SITE PSWD(hunter2swordfish\r\n",
        b"SITE PSWD:hunter2swordfish x\r\n",
        b"SITE PSWD, hunter2swordfish\r\n",
        b"SITE \"PSWD\" x hunter2swordfish\r\n",
        b"SITE 'gpass' hunter2swordfish\r\n",
        b"SITE TOKEN(hunter2swordfish)\r\n",
        b"SITE TOKEN;hunter2swordfish\r\n",
        b"SITE \"token\" hunter2swordfish\r\n",
        // Parameters of which each has its value.
        b"SITE RECFM=FB TOKEN=hunter2swordfish\r\n",
        b"SITE UNIT=3390 PSWD(hunter2swordfish)\r\n",
        b"SITE LRECL=80 FILETYPE=JES Token=hunter2swordfish\r\n",
        b"MIC hunter2swordfish\r\n",
        b"ENC hunter2swordfish\r\n",
    ];
    for login in [b"".as_slice(), b"USER ann\r\nPASS x\r\n"] {
        for line in lines {
            let all = [login, line].concat();
            look(&all, all.len());
            look(&all, 1);
            look(&all, 9);
            // A line that is never finished.
            look(&all[..all.len() - 1], 7);
        }
    }
}

/// Fails where a password that begins with `hunter` shows.
fn look_for_hunter(login: &[u8], line: &str, policy: &str) {
    let tables = Tables {
        policy: vec![policy.into()],
        ..Tables::default()
    };
    let loaded = rules::load(&tables.source("192.0.2.1:21", "10.0.0.5:21")).unwrap();
    let mut world = of_tables(&tables);
    world.send(Leg::Server, b"220 Ready.\r\n");
    world.send(Leg::Client, &[login, line.as_bytes(), b"\r\n"].concat());
    agree(&mut world);
    for fact in &world.facts {
        let mut told = format!("{fact:?}{}", describe(fact, &loaded.policies));
        if let Fact::Command(record) = fact {
            write!(told, "{:?}", record.name.as_ref().map(Name::as_str)).unwrap();
            write!(told, "{:?}", record.argument).unwrap();
        }
        assert!(!told.to_lowercase().contains("hunter"), "{line}: {told}");
    }
}

#[test]
fn law_4_a_refused_verb_that_is_like_pass_is_not_told() {
    let logins = [b"".as_slice(), b"USER ann\r\nPASS x\r\n"];
    for verb in [
        "PASS", "PAS", "PSAS", "PASSS", "PADS", "ASS", "ACCT", "ACT", "ADAT", "ADTA",
    ] {
        for login in logins {
            for line in [format!("{verb}hunter2"), format!("{verb} hunter2")] {
                look_for_hunter(login, &line, "extends = \"standard\"");
            }
        }
    }
    // Before the login nothing that nobody knows is told.
    look_for_hunter(b"", "hunter2", "extends = \"standard\"");
}

#[test]
fn law_4_a_password_that_is_too_long_is_not_told() {
    for length in [480, 500, 510, 600, 2000] {
        let line = [
            b"PASS ".as_slice(),
            &vec![b'x'; length],
            SECRET.as_bytes(),
            b"\r\n",
        ]
        .concat();
        look(&line, line.len());
        look(&line, 64);
    }
}

#[test]
fn law_4_a_password_behind_a_refused_name_is_not_told() {
    let tables = Tables {
        policy: vec![
            "default = \"allow\"".into(),
            "deny = [\"USER\", \"PASS\"]".into(),
        ],
        ..Tables::default()
    };
    let loaded = rules::load(&tables.source("192.0.2.1:21", "10.0.0.5:21")).unwrap();
    let mut world = of_tables(&tables);
    world.send(Leg::Server, b"220 Ready.\r\n");
    world.send(Leg::Client, b"USER ann\r\nPASS hunter2swordfish\r\n");
    assert!(!format!("{:?}", world.session).contains(SECRET));
    world.wait(std::time::Duration::from_secs(2));
    for fact in &world.facts {
        assert!(!describe(fact, &loaded.policies).contains(SECRET));
        assert!(!format!("{fact:?}").contains(SECRET));
    }
}

proptest! {
    #[test]
    fn law_4_no_mutation_of_a_password_is_told(
        before in vec(select(vec!["\r\n", " ", "\t", "\0", "x", "NOOP\r\n", "USER a\r\n"]), 0..4),
        verb in select(vec!["PASS ", "pass ", "ACCT ", "SITE PSWD ", "PASS\t", "SITE TOKEN "]),
        behind in vec(select(vec!["\r\n", "\r", "\0", "\n", " ", "NOOP\r\n"]), 0..4),
        pieces in 1_usize..40,
    ) {
        let bytes = [&before.concat(), verb, SECRET, &behind.concat()].concat();
        look(bytes.as_bytes(), pieces);
    }
}
