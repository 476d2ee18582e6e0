//! L7: what cannot be parsed, decided or verified is refused.

use std::sync::Arc;

use ftpwarden::session::{EndReason, Leg, Told};

use crate::agreeing::{agree, codes, heard, log_in, logged_in, of_tables, world};
use crate::rules::{self, Tables};
use crate::world::{Places, Seen, World};

/// What a client without luck may send.
const COMMANDS: [&str; 10] = [
    "USER ann", "PASS x", "CWD a", "PASV", "RETR a", "STOR a", "DELE a", "SITE x", "STAT",
    "XYZZY a",
];

/// Answers the PWD that the gateway has asked, if it has.
fn answer_hidden(world: &mut World, reply: &[u8]) {
    if world.server.seen.front() == Some(&Seen::Control(b"PWD\r\n".to_vec())) {
        world.server.seen.clear();
        world.send(Leg::Server, reply);
    }
}

#[test]
fn law_7_a_policy_without_a_default_denies() {
    let mut world = world(&["allow = [\"SYST\"]"], &["violations = 1000"]);
    world.send(Leg::Server, b"220 Ready.\r\n");
    for command in COMMANDS {
        world.send(Leg::Client, format!("{command}\r\n").as_bytes());
        world.wait(std::time::Duration::from_secs(2));
        assert_eq!(heard(&mut world, Leg::Server), b"", "{command}");
    }
    world.send(Leg::Client, b"SYST\r\n");
    assert_eq!(heard(&mut world, Leg::Server), b"SYST\r\n");
}

#[test]
fn law_7_a_listener_without_a_policy_has_the_standard_one() {
    let source = "[listeners.main]\nbind = \"192.0.2.1:21\"\nupstream = \"legacy\"\n\
                  [upstreams.legacy]\naddress = \"10.0.0.5:21\"\n";
    let loaded = rules::load(source).unwrap();
    let (profile, judge) = rules::of_session(&loaded);
    let places = Places::new(false, false);
    let mut world = World::new(profile, judge, places);
    world.settle();
    log_in(&mut world);
    for command in ["SITE CHMOD 777 x", "SMNT x", "XYZZY", "REIN"] {
        world.send(Leg::Client, format!("{command}\r\n").as_bytes());
        assert_eq!(heard(&mut world, Leg::Server), b"", "{command}");
    }
    assert_eq!(codes(&mut world), [502; 4]);
}

#[test]
fn law_7_without_room_in_the_audit_the_command_in_work_is_the_last() {
    let mut world = logged_in(&["standard"], &[]);
    world.send(Leg::Client, b"SIZE a\r\nSIZE b\r\n");
    assert_eq!(heard(&mut world, Leg::Server), b"SIZE a\r\n");
    world.tell(Told::End(EndReason::Audit));
    assert_eq!(codes(&mut world), [0; 0]);
    world.send(Leg::Server, b"213 5\r\n");
    assert_eq!(codes(&mut world), [213, 421]);
    assert!(world.session.is_over());
    assert_eq!(heard(&mut world, Leg::Server), b"");
}

#[test]
fn law_7_what_is_no_command_is_refused_under_every_policy() {
    let mut world = logged_in(&["permissive"], &["violations = 1000"]);
    let lines: [&[u8]; 9] = [
        b"!\r\n",
        b" NOOP\r\n",
        b"NOOP\0\r\n",
        b"NOOP\tx\r\n",
        b"P@SW\r\n",
        b"NO\xFF\xF1OP\r\n",
        b"\xC5\xBFITE\r\n",
        b"DELE a\rb\r\n",
        b"DELE \x1b\r\n",
    ];
    for line in lines {
        world.send(Leg::Client, line);
        assert_eq!(
            heard(&mut world, Leg::Server),
            b"",
            "{}",
            line.escape_ascii()
        );
    }
    let codes = codes(&mut world);
    assert_eq!(codes.len(), lines.len());
    assert!(codes.iter().all(|code| matches!(code, 500 | 501)));
}

#[test]
fn law_7_a_path_that_nobody_can_decide_is_not_allowed() {
    let policy = [
        "allow = [\"@session\"]",
        "rules = [{ commands = \"DELE\", paths = \"/in/**\", action = \"allow\" }]",
    ];
    let mut world = logged_in(&policy, &[]);
    for path in ["a", "~/in/a", "/in/x/../../out", "/in/e\u{301}", "'in.a'"] {
        world.send(Leg::Client, format!("DELE {path}\r\n").as_bytes());
        answer_hidden(&mut world, b"550 I do not know.\r\n");
        assert_eq!(heard(&mut world, Leg::Server), b"", "{path}");
        assert_eq!(codes(&mut world), [550], "{path}");
    }
}

#[test]
fn law_7_a_path_that_nobody_can_decide_is_denied() {
    let policy = [
        "default = \"allow\"",
        "rules = [{ commands = \"DELE\", paths = \"/keep/**\", action = \"deny\" }]",
    ];
    let mut world = logged_in(&policy, &[]);
    for path in ["a", "~/a", "/x/../keep/a"] {
        world.send(Leg::Client, format!("DELE {path}\r\n").as_bytes());
        answer_hidden(&mut world, b"257 here\r\n");
        assert_eq!(heard(&mut world, Leg::Server), b"", "{path}");
    }
    assert_eq!(codes(&mut world), [550; 3]);
}

#[test]
fn law_7_nobody_is_logged_in_before_the_server_says_so() {
    let policy = [
        "allow = [\"USER\", \"PASS\"]",
        "rules = [{ commands = \"*\", users = \"*\", action = \"allow\" }]",
    ];
    let mut world = world(&policy, &["violations = 1000"]);
    world.send(Leg::Server, b"220 Ready.\r\n");
    for replies in ["331 Password?\r\n", "331 Password?\r\n530 No.\r\n"] {
        world.send(Leg::Client, b"USER ann\r\nPASS x\r\n");
        for reply in replies.split_inclusive('\n') {
            heard(&mut world, Leg::Server);
            world.send(Leg::Server, reply.as_bytes());
        }
        heard(&mut world, Leg::Server);
        world.send(Leg::Server, b"500 No.\r\n");
        world.send(Leg::Client, b"SYST\r\n");
        assert_eq!(heard(&mut world, Leg::Server), b"");
    }
}

#[test]
fn law_7_a_changed_policy_is_in_force_before_the_next_command() {
    let mut world = logged_in(&["permissive"], &[]);
    world.send(Leg::Client, b"DELE a\r\nDELE b\r\nSIZE c\r\n");
    assert_eq!(heard(&mut world, Leg::Server), b"DELE a\r\n");
    let tables = Tables {
        policy: vec!["default = \"allow\"".into(), "deny = [\"DELE\"]".into()],
        ..Tables::default()
    };
    let loaded = rules::load(&tables.source("192.0.2.1:21", "10.0.0.5:21")).unwrap();
    world.tell(Told::JudgeChanged(Arc::new(rules::judge(&loaded))));
    world.send(Leg::Server, b"250 Gone.\r\n");
    assert_eq!(heard(&mut world, Leg::Server), b"SIZE c\r\n");
    assert_eq!(codes(&mut world), [250, 502]);
}

#[test]
fn law_7_a_changed_policy_does_not_cut_a_transfer() {
    let mut world = logged_in(&["permissive"], &[]);
    crate::agreeing::open_passive(&mut world);
    world.send(Leg::Client, b"RETR a\r\n");
    world.send(Leg::Server, b"150 Here.\r\n");
    let tables = Tables {
        policy: vec!["allow = [\"SYST\"]".into()],
        ..Tables::default()
    };
    let loaded = rules::load(&tables.source("192.0.2.1:21", "10.0.0.5:21")).unwrap();
    world.tell(Told::JudgeChanged(Arc::new(rules::judge(&loaded))));
    world.send_data(Leg::Server, b"bytes");
    world.end_data(Leg::Server, ftpwarden::session::End::Fin);
    world.send(Leg::Server, b"226 Done.\r\n");
    world
        .client
        .seen
        .retain(|seen| matches!(seen, Seen::Control(_)));
    assert_eq!(codes(&mut world), [227, 150, 226]);
}

#[test]
fn law_7_a_reply_that_nobody_can_read_ends_the_session() {
    for reply in ["hello\r\n", "99 x\r\n", "200x\r\n", "\r\n", "700 x\r\n"] {
        let mut world = logged_in(&["permissive"], &[]);
        world.send(Leg::Client, b"NOOP\r\n");
        world.send(Leg::Server, reply.as_bytes());
        assert!(world.session.is_over(), "{reply}");
        assert_eq!(codes(&mut world), [421]);
    }
}

#[test]
fn law_7_an_upstream_policy_that_refuses_is_obeyed() {
    let tables = Tables {
        policy: vec!["permissive".into()],
        upstream: vec!["policy = \"read-only\"".into()],
        ..Tables::default()
    };
    let mut world = of_tables(&tables);
    log_in(&mut world);
    world.send(Leg::Client, b"DELE a\r\n");
    assert_eq!(agree(&mut world), b"");
    assert_eq!(codes(&mut world), [502]);
}
