//! L2: one reply per command, in the order of the commands.

use std::collections::VecDeque;

use ftpwarden::session::{End, Leg};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::agreeing::{answer_passive, heard, logged_in};
use crate::world::{Seen, World};

/// A command, and who answers it.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// The server, with a number of its own.
    Server,
    /// The server, in several lines.
    ServerLines,
    /// The server, behind a preliminary reply.
    ServerTwice,
    /// The gateway: refused.
    Refused,
    /// The gateway: no command.
    Malformed,
    /// The gateway: a transfer without an endpoint.
    NoEndpoint,
    /// Nobody: an empty line.
    Empty,
}

impl Kind {
    /// The line of the command with this number.
    fn line(self, number: usize) -> String {
        match self {
            Self::Server | Self::ServerLines | Self::ServerTwice => format!("SIZE {number}\r\n"),
            Self::Refused => format!("SITE {number}\r\n"),
            Self::Malformed => format!("!{number}\r\n"),
            Self::NoEndpoint => format!("RETR {number}\r\n"),
            Self::Empty => "\r\n".to_owned(),
        }
    }

    /// What the client is to read for it.
    fn reply(self, number: usize) -> String {
        match self {
            Self::Server => format!("213 {number}\r\n"),
            Self::ServerLines => format!("213-{number}\r\n213x\r\n 502 no\r\n213 {number}\r\n"),
            Self::ServerTwice => format!("120 {number}\r\n213 {number}\r\n"),
            Self::Refused => "502 Command not implemented.\r\n".to_owned(),
            Self::Malformed => "500 Syntax error, command unrecognized.\r\n".to_owned(),
            Self::NoEndpoint => "425 Use PORT or PASV first.\r\n".to_owned(),
            Self::Empty => String::new(),
        }
    }

    /// Any of them.
    fn any() -> impl Strategy<Value = Self> {
        prop_oneof![
            Just(Self::Server),
            Just(Self::ServerLines),
            Just(Self::ServerTwice),
            Just(Self::Refused),
            Just(Self::Malformed),
            Just(Self::NoEndpoint),
            Just(Self::Empty),
        ]
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Move {
    /// The client sends so many bytes more.
    Client(usize),
    /// The server sends so many bytes more of what it owes.
    Server(usize),
}

/// Any of them.
fn moves() -> impl Strategy<Value = Vec<Move>> {
    vec(
        prop_oneof![
            (1_usize..60).prop_map(Move::Client),
            (1_usize..60).prop_map(Move::Server),
        ],
        0..200,
    )
}

/// Makes the server owe replies to the commands that it has received, one at a time.
fn owe(world: &mut World, kinds: &[Kind], owed: &mut VecDeque<u8>) {
    let heard = heard(world, Leg::Server);
    if heard.is_empty() {
        return;
    }
    assert!(
        owed.is_empty(),
        "a second command before the reply to the first"
    );
    let line = String::from_utf8(heard).unwrap();
    let number: usize = line.trim_end()["SIZE ".len()..].parse().unwrap();
    owed.extend(kinds[number].reply(number).bytes());
}

proptest! {
    #[test]
    fn law_2_replies_keep_the_order_of_the_commands(
        kinds in vec(Kind::any(), 0..60),
        moves in moves(),
        bound in 1_usize..40,
    ) {
        let limits = [format!("pipelined_commands = {bound}"), "violations = 1000".to_owned()];
        let limits: Vec<&str> = limits.iter().map(String::as_str).collect();
        let mut world = logged_in(&["standard"], &limits);
        let numbered = || kinds.iter().enumerate();
        let mut unsent: VecDeque<u8> =
            numbered().flat_map(|(number, kind)| kind.line(number).into_bytes()).collect();
        let expected: String = numbered().map(|(number, kind)| kind.reply(number)).collect();
        let mut owed = VecDeque::new();
        let rest = [Move::Client(usize::MAX), Move::Server(usize::MAX)];
        let moves = moves.into_iter().chain(rest.into_iter().cycle().take(2 * kinds.len() + 4));
        let mut read = Vec::new();
        for next in moves {
            let (leg, queue, length) = match next {
                Move::Client(length) => (Leg::Client, &mut unsent, length),
                Move::Server(length) => (Leg::Server, &mut owed, length),
            };
            let bytes: Vec<u8> = queue.drain(..length.min(queue.len())).collect();
            world.send(leg, &bytes);
            owe(&mut world, &kinds, &mut owed);
            read.extend(heard(&mut world, Leg::Client));
        }
        prop_assert_eq!(String::from_utf8(read).unwrap(), expected);
    }

    #[test]
    fn law_2_transfers_keep_the_order_too(
        before in vec(Kind::any(), 0..6),
        behind in vec(Kind::any(), 0..6),
        final_first in any::<bool>(),
        pieces in 1_usize..40,
    ) {
        let mut world = logged_in(&["standard"], &["violations = 1000"]);
        world.send(Leg::Client, b"PASV\r\n");
        answer_passive(&mut world);
        world.dial(Leg::Client);
        world.server.seen.clear();
        heard(&mut world, Leg::Client);
        let line = |kind: &Kind| kind.line(0).replace("RETR", "SITE");
        let reply = |kind: &Kind| kind.reply(0).replace(
            "425 Use PORT or PASV first.",
            "502 Command not implemented.",
        );
        let lines: String = before.iter().map(line)
            .chain(["RETR x\r\n".to_owned()])
            .chain(behind.iter().map(line))
            .collect();
        let expected: String = before.iter().map(reply)
            .chain(["150 Here.\r\n226 Done.\r\n".to_owned()])
            .chain(behind.iter().map(reply))
            .collect();
        let answered: Vec<Kind> = before.iter().chain(&behind).copied()
            .filter(|kind| matches!(kind, Kind::Server | Kind::ServerLines | Kind::ServerTwice))
            .collect();
        let mut answered = answered.into_iter();
        for piece in lines.as_bytes().chunks(pieces) {
            world.send(Leg::Client, piece);
        }
        let mut read = Vec::new();
        while let Some(line) = Some(heard_line(&mut world, &mut read)).filter(|line| !line.is_empty()) {
            if line == b"RETR x\r\n" {
                world.send(Leg::Server, b"150 Here.\r\n");
                if final_first {
                    world.send(Leg::Server, b"226 Done.\r\n");
                }
                world.send_data(Leg::Server, b"bytes");
                world.end_data(Leg::Server, End::Fin);
                if !final_first {
                    world.send(Leg::Server, b"226 Done.\r\n");
                }
            } else {
                let reply = answered.next().unwrap().reply(0);
                world.send(Leg::Server, reply.as_bytes());
            }
        }
        prop_assert_eq!(String::from_utf8(read).unwrap(), expected);
    }
}

/// The next command that the server has received; what the client has received goes to `read`,
/// and its data must be there before the final reply that reports them.
fn heard_line(world: &mut World, read: &mut Vec<u8>) -> Vec<u8> {
    for seen in world.client.seen.drain(..) {
        match seen {
            Seen::Control(bytes) => read.extend(bytes),
            Seen::DataEnd(end) => {
                assert_eq!(end, End::Fin);
                assert!(
                    !read.ends_with(b"226 Done.\r\n"),
                    "a final reply before the end of its data"
                );
            }
            Seen::Data(_)
            | Seen::DataOpened
            | Seen::DataTurning(_)
            | Seen::ControlEnd(_)
            | Seen::Turning => {}
        }
    }
    heard(world, Leg::Server)
}

#[test]
fn law_2_a_full_queue_drops_nothing() {
    let mut world = logged_in(&["standard"], &["pipelined_commands = 1"]);
    let lines: String = (0..500)
        .map(|number| format!("SIZE {number}\r\n"))
        .collect();
    world.send(Leg::Client, lines.as_bytes());
    for number in 0..500 {
        assert_eq!(
            heard(&mut world, Leg::Server),
            format!("SIZE {number}\r\n").as_bytes()
        );
        world.send(Leg::Server, format!("213 {number}\r\n").as_bytes());
        assert_eq!(
            heard(&mut world, Leg::Client),
            format!("213 {number}\r\n").as_bytes()
        );
    }
}

#[test]
fn law_2_ten_thousand_files_in_one_session() {
    let mut world = logged_in(&["standard"], &[]);
    for number in 0..10_000 {
        crate::agreeing::open_passive(&mut world);
        world.send(Leg::Client, format!("RETR {number}\r\n").as_bytes());
        world.send(Leg::Server, b"150 Here.\r\n");
        world.send_data(Leg::Server, b"x");
        world.end_data(Leg::Server, End::Fin);
        world.send(Leg::Server, b"226 Done.\r\n");
        world.server.seen.clear();
        let read = heard(&mut world, Leg::Client);
        assert!(
            read.ends_with(b"150 Here.\r\n226 Done.\r\n"),
            "{}",
            read.escape_ascii()
        );
        assert!(!world.holds_data(), "a data connection is left");
        world.facts.clear();
        world.permitted.clear();
        world.own.clear();
    }
}
