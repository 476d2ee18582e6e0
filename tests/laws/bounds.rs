//! L6: everything has a bound, and each is tested at its edge.

use std::time::Duration;

use ftpwarden::ftp::address;
use ftpwarden::ftp::misbehaviour::ServerFault;
use ftpwarden::session::{CloseReason, End, EndReason, Fact, Leg, Told};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::agreeing::{agree, answer_passive, codes, heard, logged_in, open_passive, world};
use crate::world::{Listens, World};

/// Lets `bound` pass but for a millisecond, in which nothing may end, then that millisecond.
fn at_the_edge(world: &mut World, bound: Duration) {
    let rest = Duration::from_millis(1);
    world.wait(bound - rest);
    assert!(
        !world.session.is_over(),
        "it ended before {bound:?} were over"
    );
    world.wait(rest);
}

/// Lets `bound` pass, at which the session ends with 421.
fn ends_at(world: &mut World, bound: Duration) {
    at_the_edge(world, bound);
    assert!(world.session.is_over(), "it did not end at {bound:?}");
    assert_eq!(codes(world).last(), Some(&421));
}

/// Seconds.
const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn law_6_the_greeting() {
    ends_at(&mut world(&["standard"], &[]), s(30));
    ends_at(
        &mut world(&["standard"], &["greeting_timeout = \"7s\""]),
        s(7),
    );
}

#[test]
fn law_6_the_login() {
    let mut world = world(&["standard"], &["login_timeout = \"9s\""]);
    world.send(Leg::Server, b"220 Ready.\r\n");
    world.wait(s(4));
    world.send(Leg::Client, b"USER ann\r\n");
    world.send(Leg::Server, b"331 Password?\r\n");
    ends_at(&mut world, s(5));
}

#[test]
fn law_6_the_login_ends_with_the_login() {
    let mut world = logged_in(&["standard"], &["login_timeout = \"9s\""]);
    world.wait(s(100));
    assert!(!world.session.is_over());
}

#[test]
fn law_6_the_command() {
    let mut world = logged_in(&["standard"], &["command_timeout = \"9s\""]);
    world.send(Leg::Client, b"N");
    world.wait(s(8));
    world.send(Leg::Client, b"O");
    ends_at(&mut world, s(1));
}

#[test]
fn law_6_the_command_behind_a_full_queue() {
    let limits = ["command_timeout = \"9s\"", "pipelined_commands = 1"];
    let mut world = logged_in(&["standard"], &limits);
    world.send(Leg::Client, b"CWD a\r\nCWD b\r\nCWD c\r\nN");
    world.wait(s(20));
    world.send(Leg::Server, b"250 Ok.\r\n");
    world.send(Leg::Server, b"250 Ok.\r\n");
    world.wait(s(4));
    world.send(Leg::Server, b"250 Ok.\r\n");
    ends_at(&mut world, s(5));
}

#[test]
fn law_6_the_reply() {
    let mut world = logged_in(&["standard"], &["reply_timeout = \"9s\""]);
    world.send(Leg::Client, b"NOOP\r\n");
    world.wait(s(4));
    world.send(Leg::Server, b"120 Soon.\r\n");
    ends_at(&mut world, s(5));
}

#[test]
fn law_6_the_reply_to_a_hidden_command() {
    let policy = [
        "default = \"allow\"",
        "rules = [{ commands = \"DELE\", paths = \"/x\", action = \"deny\" }]",
    ];
    let mut world = logged_in(&policy, &["reply_timeout = \"9s\""]);
    world.send(Leg::Client, b"DELE a\r\n");
    assert_eq!(heard(&mut world, Leg::Server), b"PWD\r\n");
    ends_at(&mut world, s(9));
}

#[test]
fn law_6_the_reply_to_a_data_command() {
    for line in ["PASV", "EPSV", "PORT 192,0,2,10,200,1"] {
        let mut world = logged_in(&["standard"], &["reply_timeout = \"9s\""]);
        world.send(Leg::Client, format!("{line}\r\n").as_bytes());
        ends_at(&mut world, s(9));
        assert!(!world.holds_data());
    }
}

#[test]
fn law_6_idleness() {
    let mut world = logged_in(&["standard"], &["idle_timeout = \"300s\""]);
    world.wait(s(299));
    world.send(Leg::Client, b"\r\n");
    ends_at(&mut world, s(1));
}

#[test]
fn law_6_the_data_connection() {
    let mut world = logged_in(&["standard"], &["data_connect_timeout = \"9s\""]);
    world.send(Leg::Client, b"PASV\r\n");
    answer_passive(&mut world);
    world.send(Leg::Client, b"RETR x\r\n");
    at_the_edge(&mut world, s(9));
    world.send(Leg::Server, b"226 Done.\r\n");
    assert_eq!(codes(&mut world), [227, 425]);
}

#[test]
fn law_6_an_offer_that_nobody_wants() {
    let mut world = logged_in(&["standard"], &["data_connect_timeout = \"9s\""]);
    world.send(Leg::Client, b"PASV\r\n");
    answer_passive(&mut world);
    world.wait(Duration::from_millis(8999));
    assert!(world.offers(Leg::Client));
    world.wait(Duration::from_millis(1));
    assert!(!world.holds_data());
}

#[test]
fn law_6_an_offer_to_the_server_that_nobody_uses() {
    let mut world = logged_in(&["standard"], &["data_connect_timeout = \"9s\""]);
    world.send(Leg::Client, b"PORT 192,0,2,10,195,81\r\n");
    world.send(Leg::Server, b"200 Ok.\r\n");
    world.wait(Duration::from_millis(8999));
    assert!(world.offers(Leg::Server));
    world.wait(Duration::from_millis(1));
    assert!(!world.holds_data());
    world.client.seen.clear();
    world.send(Leg::Client, b"LIST\r\n");
    assert_eq!(codes(&mut world), [425]);
}

#[test]
fn law_6_an_endpoint_that_was_refused() {
    let mut world = logged_in(&["standard"], &["data_connect_timeout = \"9s\""]);
    world.send(Leg::Client, b"PASV\r\n");
    answer_passive(&mut world);
    world.send(Leg::Client, b"RETR x\r\n");
    world.send(Leg::Server, b"550 No.\r\n");
    world.wait(Duration::from_millis(8999));
    assert!(world.offers(Leg::Client));
    world.wait(Duration::from_millis(1));
    assert!(!world.holds_data());
}

#[test]
fn law_6_a_transfer_that_stands_still() {
    let mut world = logged_in(&["standard"], &["transfer_idle_timeout = \"8s\""]);
    open_passive(&mut world);
    world.send(Leg::Client, b"RETR x\r\n");
    world.send(Leg::Server, b"150 Here.\r\n");
    world.wait(Duration::from_millis(7999));
    assert!(world.holds_data());
    world.wait(Duration::from_millis(1));
    assert!(!world.holds_data());
}

#[test]
fn law_6_a_client_that_takes_no_bytes() {
    let mut world = logged_in(&["standard"], &["transfer_idle_timeout = \"8s\""]);
    open_passive(&mut world);
    world.client.stalls = true;
    world.send(Leg::Client, b"RETR x\r\n");
    world.send_data(Leg::Server, b"bytes");
    world.end_data(Leg::Server, End::Fin);
    world.send(Leg::Server, b"150 Here.\r\n226 Done.\r\n");
    assert_eq!(codes(&mut world), [227, 150]);
    world.wait(s(8));
    assert_eq!(codes(&mut world), [426]);
    assert!(!world.holds_data());
}

#[test]
fn law_6_pipelined_commands() {
    for bound in [1_usize, 2, 32] {
        let mut world = logged_in(&["standard"], &[&format!("pipelined_commands = {bound}")]);
        // One is in work, so many wait, and 64 KiB are read ahead; then the client is not read.
        let lines = "CWD /a\r\n".repeat(bound + 1);
        world.send(Leg::Client, lines.as_bytes());
        let ahead = "CWD /aaaaaaaaaa\r\n".repeat(64 * 1024 / 17);
        world.send(Leg::Client, ahead.as_bytes());
        assert!(world.session.reads(Leg::Client));
        world.send(Leg::Client, b"CWD /aaaaaaaaaa\r\n");
        assert!(!world.session.reads(Leg::Client));
        // The first makes room in the queue, the second moves up what was read ahead.
        world.send(Leg::Server, b"250 Ok.\r\n");
        world.send(Leg::Server, b"250 Ok.\r\n");
        assert!(world.session.reads(Leg::Client));
    }
}

#[test]
fn law_6_a_line_of_a_reply() {
    for (length, over) in [(1024_usize, false), (1025, true)] {
        let mut world = logged_in(&["standard"], &["reply_line_bytes = 1024"]);
        world.send(Leg::Client, b"SYST\r\n");
        let line = format!("215 {}\r\n", "x".repeat(length - 6));
        world.send(Leg::Server, line.as_bytes());
        assert_eq!(world.session.is_over(), over, "{length}");
    }
}

#[test]
fn law_6_a_whole_reply() {
    for (lines, over) in [(2046_usize, false), (2047, true)] {
        let mut world = logged_in(
            &["standard"],
            &["reply_bytes = 4096", "reply_line_bytes = 1024"],
        );
        world.send(Leg::Client, b"STAT\r\n");
        // Seven bytes begin it and six end it: 4096 in all at 2041 lines of two bytes.
        let body = "\r\n".repeat(lines - 5);
        let reply = format!("211-\r\n{body}211 .\r\n");
        world.send(Leg::Server, reply.as_bytes());
        assert_eq!(reply.len() > 4096, over, "{}", reply.len());
        assert_eq!(world.session.is_over(), over, "{lines}");
    }
}

#[test]
fn law_6_faults_before_and_behind_the_login() {
    for (limit, before, behind) in [("50", 10, 50), ("5", 1, 5)] {
        let limits = [format!("violations = {limit}")];
        let mut fresh = world(&["standard"], &[&limits[0]]);
        fresh.send(Leg::Server, b"220 Ready.\r\n");
        let known = logged_in(&["standard"], &[&limits[0]]);
        for (mut world, bound) in [(fresh, before), (known, behind)] {
            for _ in 0..bound {
                world.send(Leg::Client, b"!\r\n");
                assert!(!world.session.is_over());
            }
            world.send(Leg::Client, b"!\r\n");
            assert!(world.session.is_over());
            assert!(
                world
                    .facts
                    .iter()
                    .any(|fact| matches!(fact, Fact::Closing(CloseReason::Violations)))
            );
        }
    }
}

#[test]
fn law_6_replies_that_nothing_asked_for() {
    for (limit, bound) in [("50", 50), ("5", 5)] {
        let limits = [format!("violations = {limit}")];
        let mut world = logged_in(&["standard"], &[&limits[0]]);
        // Whatever the server owed begins them anew, however many there have been.
        for _ in 0..3 {
            for _ in 0..bound {
                world.send(Leg::Server, b"226 Done.\r\n");
                assert!(!world.session.is_over());
            }
            world.send(Leg::Client, b"NOOP\r\n");
            world.send(Leg::Server, b"200 Ok.\r\n");
        }
        assert_eq!(codes(&mut world).last(), Some(&200));
        world.send(Leg::Server, &b"226 Done.\r\n".repeat(bound));
        assert!(!world.session.is_over());
        // Its first line says that it is one too many.
        world.send(Leg::Server, b"226-D");
        assert!(!world.session.is_over());
        world.send(Leg::Server, b"one.\r\n");
        assert!(world.session.is_over());
        assert_eq!(codes(&mut world).last(), Some(&421));
        let is_unsolicited =
            |fact: &&Fact| matches!(fact, Fact::ServerFault(ServerFault::Unsolicited));
        let told = world.facts.iter().filter(is_unsolicited).count();
        assert_eq!(told, 4 * bound + 1);
        let is_end = |fact: &Fact| matches!(fact, Fact::Closing(CloseReason::Violations));
        assert!(world.facts.iter().any(is_end));
    }
    // 421 may come at any time.
    let mut world = logged_in(&["standard"], &["violations = 1"]);
    world.send(Leg::Server, b"226 Done.\r\n421 Goodbye.\r\n");
    assert!(heard(&mut world, Leg::Client).ends_with(b"421 Goodbye.\r\n"));
}

#[test]
fn law_6_the_time_of_a_refusal_grows_to_its_bound() {
    let limits = ["failed_login_delay = \"2s\"", "login_timeout = \"10m\""];
    let mut world = world(&["standard"], &limits);
    world.send(Leg::Server, b"220 Ready.\r\n");
    for seconds in [2, 4, 6, 8, 10, 10, 10] {
        world.send(Leg::Client, b"USER ann\r\n");
        world.send(Leg::Server, b"331 Password?\r\n");
        world.send(Leg::Client, b"PASS guess\r\n");
        // The time that the server takes is part of it.
        world.wait(s(1));
        world.client.seen.clear();
        world.send(Leg::Server, b"530 No.\r\n");
        at_the_edge(&mut world, s(seconds - 1) - Duration::from_millis(1));
        assert!(codes(&mut world).is_empty(), "{seconds}");
        world.wait(Duration::from_millis(1));
        assert_eq!(codes(&mut world), [530], "{seconds}");
    }
    // All sessions of the client count, once the shell has told of them.
    world.send(Leg::Client, b"PASS guess\r\n");
    world.send(Leg::Server, b"530 No.\r\n");
    world.tell(Told::FailedLogins { count: 2 });
    world.wait(s(4));
    assert_eq!(codes(&mut world), [530]);
    // A server that takes longer than that is not held back.
    world.send(Leg::Client, b"PASS guess\r\n");
    world.wait(s(60));
    world.send(Leg::Server, b"530 No.\r\n");
    world.tell(Told::FailedLogins { count: 9 });
    world.wait(Duration::ZERO);
    assert_eq!(codes(&mut world), [530]);
    // A ban answers the login that is in work.
    world.send(Leg::Client, b"PASS guess\r\n");
    world.send(Leg::Server, b"530 No.\r\n");
    world.tell(Told::End(EndReason::Banned));
    assert_eq!(codes(&mut world), [421]);
    assert!(world.session.is_over());
}

#[test]
fn law_6_a_transfer_that_is_held_back_does_not_stand_still() {
    let mut world = logged_in(&["standard"], &["transfer_idle_timeout = \"8s\""]);
    open_passive(&mut world);
    world.send(Leg::Client, b"RETR x\r\n");
    world.send(Leg::Server, b"150 Here.\r\n");
    world.held_back = true;
    world.wait(s(100));
    assert!(world.holds_data());
    world.held_back = false;
    world.wait(s(8));
    assert!(!world.holds_data());
}

#[test]
fn law_6_empty_lines() {
    let mut world = logged_in(&["standard"], &[]);
    for _ in 0..16 {
        world.send(Leg::Client, b"  \r\n");
    }
    assert!(!world.session.is_over());
    world.send(Leg::Client, b"\n");
    assert!(world.session.is_over());
    assert_eq!(codes(&mut world), [421]);
}

#[test]
fn law_6_long_lines() {
    let mut world = logged_in(&["permissive"], &[]);
    for length in [510_usize, 511, 511, 511, 511] {
        assert!(!world.session.is_over());
        let line = format!("NOOP {}\r\n", "x".repeat(length - 7));
        world.send(Leg::Client, line.as_bytes());
        agree(&mut world);
    }
    assert!(world.session.is_over());
    assert_eq!(codes(&mut world), [250, 500, 500, 500, 421]);
}

#[test]
fn law_6_one_listener_for_each_leg() {
    let mut world = logged_in(&["standard"], &[]);
    // The simulated shell fails where a second one is asked for beside the first.
    for line in ["PASV", "EPSV", "PORT 192,0,2,10,200,1", "PASV", "PASV"].repeat(200) {
        world.send(Leg::Client, format!("{line}\r\n").as_bytes());
        agree(&mut world);
    }
    assert!(!world.session.is_over());
}

/// Something that a peer, the shell or the clock does.
#[derive(Clone, Debug)]
enum Event {
    /// Bytes of the client's.
    Client(&'static str),
    /// Bytes of the server's.
    Server(&'static str),
    /// The server answers as it should.
    Agree,
    /// PASV or PORT on both legs, if the session takes it.
    Prepare(&'static str),
    /// A transfer begins: its data connections are made and 150 is said.
    Begin(&'static str, &'static str),
    /// A peer dials the gateway's offer.
    Dial(Leg),
    /// How a peer's own listener behaves.
    Listens(Leg, Listens),
    /// Bytes on a data connection.
    Data(Leg),
    /// The end of a data connection.
    EndData(Leg, End),
    /// The end of a control connection.
    End(Leg, End),
    /// A peer takes bytes, or does not.
    Stalls(Leg, bool),
    /// No port is free.
    Exhausted(bool),
    /// Seconds.
    Wait(u64),
    /// The gateway is stopping.
    Drain,
}

/// Anything that can happen.
fn event() -> impl Strategy<Value = Event> {
    let client = vec![
        "USER ann\r\n",
        "USER bob\r\n",
        "PASS x\r\n",
        "PASV\r\n",
        "EPSV\r\n",
        "EPSV ALL\r\n",
        "PORT 192,0,2,10,195,81\r\n",
        "RETR a\r\n",
        "STOR a\r\n",
        "LIST\r\n",
        "ABOR\r\n",
        "AB",
        "OR\r\n",
        "STAT\r\n",
        "NOOP\r\n",
        "NOOP\r\nNOOP\r\n",
        "SITE x\r\n",
        "CWD a\r\n",
        "PWD\r\n",
        "DELE x\r\n",
        "REST 5\r\n",
        "RNFR a\r\n",
        "RNTO b\r\n",
        "REIN\r\n",
        "FEAT\r\n",
        "HELP\r\n",
        "!\r\n",
        "\r\n",
        "QUIT\r\n",
        "RETR a\r\nABOR\r\n",
        "STOR a\r\nSTAT\r\nPASV\r\nLIST\r\n",
    ];
    let server = vec![
        "150 Go.\r\n",
        "226 Done.\r\n",
        "250 Ok.\r\n",
        "257 \"/\"\r\n",
        "350 Go on.\r\n",
        "425 No.\r\n",
        "426 Broken.\r\n226 Ok.\r\n",
        "500 What?\r\n",
        "550 No.\r\n",
        "331 Password?\r\n",
        "230 In.\r\n",
        "220 Ready.\r\n",
        "227 (10,0,0,5,195,81)\r\n",
        "229 (|||50000|)\r\n",
        "211-x\r\n SIZE\r\n211 End\r\n",
    ];
    let broken = vec![
        "421 Bye.\r\n",
        "150-Go\r\n",
        "150 on.\r\n",
        "226-Do",
        "ne\r\n226 Done.\r\n",
        "hello\r\n",
    ];
    let prepare = || select(vec!["PASV", "PORT"]);
    let leg = || select(vec![Leg::Client, Leg::Server]);
    let end = || select(vec![End::Fin, End::Reset]);
    let listens = select(vec![Listens::Accepts, Listens::Ignores, Listens::Refuses]);
    prop_oneof![
        10 => select(client).prop_map(Event::Client),
        4 => select(server).prop_map(Event::Server),
        1 => select(broken).prop_map(Event::Server),
        10 => Just(Event::Agree),
        4 => prepare().prop_map(Event::Prepare),
        6 => (prepare(), select(vec!["RETR a", "STOR a", "LIST"]))
            .prop_map(|(prepare, verb)| Event::Begin(prepare, verb)),
        3 => leg().prop_map(Event::Dial),
        1 => (leg(), listens).prop_map(|(leg, listens)| Event::Listens(leg, listens)),
        3 => leg().prop_map(Event::Data),
        2 => (leg(), end()).prop_map(|(leg, end)| Event::EndData(leg, end)),
        1 => (leg(), any::<bool>()).prop_map(|(leg, stalls)| Event::Stalls(leg, stalls)),
        1 => any::<bool>().prop_map(Event::Exhausted),
        2 => (0_u64..400).prop_map(Event::Wait),
    ]
}

/// PASV or PORT on both legs, if the session takes it.
fn prepare(world: &mut World, verb: &str) {
    let line = if verb == "PASV" {
        b"PASV\r\n".as_slice().into()
    } else {
        address::render_port(world.listen(Leg::Client)).unwrap()
    };
    world.send(Leg::Client, &line);
    agree(world);
}

/// Lets an event happen.
fn happen(world: &mut World, event: &Event) {
    match event {
        Event::Client(bytes) => world.send(Leg::Client, bytes.as_bytes()),
        Event::Server(bytes) => world.send(Leg::Server, bytes.as_bytes()),
        Event::Agree => {
            agree(world);
        }
        Event::Prepare(verb) => prepare(world, verb),
        Event::Begin(how, verb) => {
            prepare(world, how);
            world.dial(Leg::Client);
            world.send(Leg::Client, format!("{verb}\r\n").as_bytes());
            world.dial(Leg::Server);
            world.send(Leg::Server, b"150 Go.\r\n");
        }
        Event::Dial(leg) => {
            world.dial(*leg);
        }
        Event::Listens(leg, listens) => world.peer(*leg).listens = *listens,
        Event::Data(leg) => {
            world.send_data(*leg, b"bytes");
        }
        Event::EndData(leg, end) => {
            world.end_data(*leg, *end);
        }
        Event::End(leg, end) => world.end(*leg, *end),
        Event::Stalls(leg, stalls) => world.peer(*leg).stalls = *stalls,
        Event::Exhausted(exhausted) => world.exhausted = *exhausted,
        Event::Wait(seconds) => world.wait(s(*seconds)),
        Event::Drain => world.tell(Told::Drain),
    }
}

/// The final replies, the greeting apart, that no command had. None is looked for where the
/// greeting was a refusal.
fn unasked(world: &World) -> Vec<u16> {
    if !world.facts.iter().any(|fact| matches!(fact, Fact::Greeted)) {
        return Vec::new();
    }
    let mut replies = Vec::new();
    for fact in &world.facts {
        match fact {
            Fact::Reply { code, .. } if *code >= 200 => replies.push(*code),
            Fact::Greeted => {
                replies.pop();
            }
            Fact::Command(record) => {
                let Some(code) = record.code else { continue };
                let at = replies.iter().position(|reply| *reply == code);
                assert!(
                    at.is_some(),
                    "a command was told of a {code} that nobody saw"
                );
                replies.remove(at.unwrap());
            }
            _ => {}
        }
    }
    replies
}

/// How peers leave, or do not.
fn ending() -> impl Strategy<Value = Option<Event>> {
    prop_oneof![
        Just(None),
        Just(Some(Event::Drain)),
        (
            select(vec![Leg::Client, Leg::Server]),
            select(vec![End::Fin, End::Reset])
        )
            .prop_map(|(leg, end)| Some(Event::End(leg, end))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn law_6_whatever_happens_the_session_ends(
        events in vec(event(), 0..60),
        ending in ending(),
        greeted in any::<bool>(),
    ) {
        let policy = [
            "default = \"allow\"",
            "rules = [{ commands = \"DELE\", paths = \"/x\", action = \"deny\" }]",
        ];
        // The session checks its own joint rules behind each event.
        let mut world = if greeted { logged_in(&policy, &[]) } else { world(&policy, &[]) };
        for event in &events {
            happen(&mut world, event);
        }
        if let Some(event) = &ending {
            happen(&mut world, event);
        }
        // Nobody does anything any more: greeting, login, replies, transfer and idleness have
        // their bounds, and no more than a queue full of commands is left.
        world.wait(Duration::from_hours(24));
        prop_assert!(world.session.is_over(), "it lives for ever");
        prop_assert!(!world.holds_data(), "a data connection is left");
        prop_assert_eq!(world.session.deadline(), None);
        let extra = unasked(&world);
        prop_assert!(extra.len() <= 1 && extra.iter().all(|code| *code == 421), "{extra:?}");
    }
}

#[test]
fn law_6_no_more_is_read_ahead_for_each_reply() {
    let mut world = logged_in(&["standard"], &["pipelined_commands = 2"]);
    let line = b"CWD /aaaaaaaaaa\r\n";
    world.send(Leg::Client, &line.repeat(100_000));
    for _ in 0..200 {
        world.send(Leg::Server, b"250 Ok.\r\n");
    }
    let unread = world.unread(Leg::Client);
    let taken = 100_000 * line.len() - unread;
    assert!(
        taken < 64 * 1024 + 8192 + 300 * line.len(),
        "{taken} bytes were read ahead"
    );
}
