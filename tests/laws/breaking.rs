//! L3: a transfer that the gateway can know to be broken never looks complete.

use std::time::Duration;

use ftpwarden::ftp::address;
use ftpwarden::session::{End, Fact, Leg, TransferOutcome};

use crate::agreeing::{codes, logged_in, open_active, open_passive};
use crate::world::{Seen, World};

/// When it breaks.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum When {
    /// Both connections are there, the server has said nothing.
    Before150,
    /// Behind 150, no byte has moved.
    Empty,
    /// Half of the bytes have moved.
    Half,
    /// The same, and the server has said 226 already.
    HalfBehind226,
    /// The source has ended, the final reply is not there.
    Ended,
}

/// What breaks it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Breaker {
    /// ABOR.
    Abort,
    /// The client's control connection is reset.
    ClientControl,
    /// The client's control connection ends in order.
    ClientControlEnd,
    /// The client's data connection is reset.
    ClientData,
    /// A 4yz of the server's.
    Reply4,
    /// A 5yz of the server's.
    Reply5,
    /// A 421 of the server's.
    Reply421,
    /// The server's control connection is reset.
    ServerControl,
    /// The server's control connection ends in order.
    ServerControlEnd,
    /// The server's data connection is reset.
    ServerData,
    /// Nothing moves any more.
    Stall,
    /// The gateway is stopped.
    Stop,
}

const WHENS: [When; 5] = [
    When::Before150,
    When::Empty,
    When::Half,
    When::HalfBehind226,
    When::Ended,
];

const BREAKERS: [Breaker; 12] = [
    Breaker::Abort,
    Breaker::ClientControl,
    Breaker::ClientControlEnd,
    Breaker::ClientData,
    Breaker::Reply4,
    Breaker::Reply5,
    Breaker::Reply421,
    Breaker::ServerControl,
    Breaker::ServerControlEnd,
    Breaker::ServerData,
    Breaker::Stall,
    Breaker::Stop,
];

/// One broken transfer.
struct Case {
    /// The world.
    world: World,
    /// Where the bytes come from.
    source: Leg,
    /// When.
    when: When,
    /// What.
    breaker: Breaker,
}

impl Case {
    /// A transfer that has come to the moment at which it breaks.
    fn new(verb: &str, passive: bool, when: When, breaker: Breaker) -> Self {
        let mut world = logged_in(&["standard"], &[]);
        if passive {
            open_passive(&mut world);
        } else {
            open_active(&mut world);
        }
        world.client.seen.clear();
        world.send(Leg::Client, format!("{verb} x\r\n").as_bytes());
        let source = if matches!(verb, "STOR" | "APPE" | "STOU") {
            Leg::Client
        } else {
            Leg::Server
        };
        if when != When::Before150 {
            world.send(Leg::Server, b"150 Go.\r\n");
        }
        if !matches!(when, When::Before150 | When::Empty) {
            assert!(world.send_data(source, b"half"));
        }
        if when == When::HalfBehind226 {
            world.send(Leg::Server, b"226 Done.\r\n");
        }
        if when == When::Ended {
            world.end_data(source, End::Fin);
        }
        world.server.seen.clear();
        Self {
            world,
            source,
            when,
            breaker,
        }
    }

    /// Breaks it; the server then says what it likes, success above all.
    fn break_off(&mut self) {
        let world = &mut self.world;
        match self.breaker {
            Breaker::Abort => world.send(Leg::Client, b"ABOR\r\n"),
            Breaker::ClientControl => world.end(Leg::Client, End::Reset),
            Breaker::ClientControlEnd => world.end(Leg::Client, End::Fin),
            Breaker::ClientData => {
                world.end_data(Leg::Client, End::Reset);
            }
            Breaker::Reply4 => world.send(Leg::Server, b"451 Broken.\r\n"),
            Breaker::Reply5 => world.send(Leg::Server, b"552 Broken.\r\n"),
            Breaker::Reply421 => world.send(Leg::Server, b"421 Broken.\r\n"),
            Breaker::ServerControl => world.end(Leg::Server, End::Reset),
            Breaker::ServerControlEnd => world.end(Leg::Server, End::Fin),
            Breaker::ServerData => {
                world.end_data(Leg::Server, End::Reset);
            }
            Breaker::Stall => world.wait(Duration::from_secs(299)),
            Breaker::Stop => world.tell(ftpwarden::session::Told::End(
                ftpwarden::session::EndReason::Drain,
            )),
        }
        if self.breaker == Breaker::Stall {
            self.world.wait(Duration::from_secs(2));
        }
        if !self.world.session.is_over() {
            self.world.send(Leg::Server, b"226 Done.\r\n");
        }
    }

    /// Whether nothing was broken after all: every byte had arrived, and everybody who had to say
    /// so has.
    fn is_whole(&self) -> bool {
        let uploaded = self.source == Leg::Client;
        match self.breaker {
            // A download goes on without its control connection.
            Breaker::ClientControlEnd => !uploaded || self.when == When::Ended,
            // All that the client had has arrived; it only does not want to know any more. An
            // ABOR behind the end of data breaks nothing.
            Breaker::Abort => self.when == When::Ended,
            // Behind its end the client's connection has nothing more to say, and an upload's
            // connection to the server is closed already.
            Breaker::ClientData | Breaker::ServerData => {
                self.when == When::Ended && (uploaded || self.breaker == Breaker::ServerData)
            }
            // Behind 226 a server may leave, with a 421 or without: what it sent is delivered.
            Breaker::Reply421 | Breaker::ServerControl | Breaker::ServerControlEnd => {
                self.when == When::HalfBehind226
            }
            // An unasked reply behind the final one is nobody's.
            Breaker::Reply4 | Breaker::Reply5 => self.when == When::HalfBehind226,
            // Nothing moves any more behind the end, and the server says 226 in time.
            Breaker::Stall => self.when == When::Ended,
            Breaker::ClientControl | Breaker::Stop => false,
        }
    }
}

/// Every combination.
fn cases() -> impl Iterator<Item = Case> {
    ["RETR", "LIST", "STOR", "APPE"]
        .into_iter()
        .flat_map(|verb| [true, false].map(|passive| (verb, passive)))
        .flat_map(|one| WHENS.map(|when| (one, when)))
        .flat_map(|one| BREAKERS.map(|breaker| (one, breaker)))
        .map(|(((verb, passive), when), breaker)| Case::new(verb, passive, when, breaker))
}

#[test]
fn law_3_success_is_never_said_for_a_broken_transfer() {
    let mut count = 0;
    for mut case in cases() {
        let (when, breaker, source) = (case.when, case.breaker, case.source);
        case.break_off();
        if case.is_whole() {
            continue;
        }
        count += 1;
        let mut seen: Vec<Seen> = case.world.client.seen.drain(..).collect();
        seen.retain(|seen| matches!(seen, Seen::Control(_)));
        case.world.client.seen.extend(seen);
        let codes = codes(&mut case.world);
        let finals: Vec<u16> = codes.into_iter().filter(|code| *code >= 200).collect();
        // An ABOR has a reply of its own behind the transfer's.
        assert!(
            !finals.first().is_some_and(|code| *code < 400),
            "{finals:?}: {breaker:?} {when:?}, from {source:?}"
        );
        let outcome = case.world.facts.iter().find_map(|fact| match fact {
            Fact::TransferEnded { outcome, .. } => Some(*outcome),
            _ => None,
        });
        assert_ne!(
            outcome,
            Some(TransferOutcome::Complete),
            "{breaker:?} {when:?}, from {source:?}"
        );
    }
    assert!(count > 250, "{count} cases");
}

#[test]
fn law_3_the_sink_of_a_broken_transfer_sees_no_clean_end() {
    let mut count = 0;
    for mut case in cases() {
        let (when, breaker, source) = (case.when, case.breaker, case.source);
        let sink = if source == Leg::Client {
            Leg::Server
        } else {
            Leg::Client
        };
        case.break_off();
        // Behind the source's own end an upload's sink has seen it, and rightly so. Where nothing
        // has been said or moved a refusal needs no reset.
        let harmless =
            case.when == When::Before150 && matches!(breaker, Breaker::Reply4 | Breaker::Reply5);
        if case.is_whole() || when == When::Ended && source == Leg::Client || harmless {
            continue;
        }
        count += 1;
        let clean = case
            .world
            .peer(sink)
            .seen
            .iter()
            .any(|seen| *seen == Seen::DataEnd(End::Fin));
        assert!(!clean, "{breaker:?} {when:?}, from {source:?}");
    }
    assert!(count > 200, "{count} cases");
}

#[test]
fn law_3_nothing_is_left_of_a_broken_transfer() {
    for mut case in cases() {
        let (when, breaker, source) = (case.when, case.breaker, case.source);
        case.break_off();
        case.world.wait(Duration::from_hours(1));
        assert!(
            case.world.session.is_over(),
            "{breaker:?} {when:?}, from {source:?}"
        );
        assert!(
            !case.world.holds_data(),
            "{breaker:?} {when:?}, from {source:?}"
        );
        let ended = case
            .world
            .facts
            .iter()
            .filter(|fact| matches!(fact, Fact::TransferEnded { .. }))
            .count();
        assert_eq!(ended, 1, "{breaker:?} {when:?}, from {source:?}");
    }
}

/// PORT on both legs; nobody has dialled.
fn offered() -> World {
    let mut world = logged_in(&[], &[]);
    let target = world.listen(Leg::Client);
    let line = address::render_port(target).unwrap();
    world.send(Leg::Client, &line);
    world.send(Leg::Server, b"200 Ok.\r\n");
    codes(&mut world);
    world
}

#[test]
fn law_3_a_server_that_cannot_be_accepted_has_not_stayed_away() {
    for verb in ["RETR", "LIST", "STOR"] {
        let mut world = offered();
        world.send(Leg::Client, format!("{verb} file\r\n").as_bytes());
        world.send(Leg::Server, b"150 Here.\r\n226 Done.\r\n");
        assert!(world.starve());
        let clean = Seen::DataEnd(End::Fin);
        assert!(!world.client.seen.contains(&clean), "{verb}");
        assert_eq!(codes(&mut world), [150, 426], "{verb}");
        assert!(!world.holds_data(), "{verb}");
    }
    // Without a transfer the command that would begin one finds no connection to be had.
    let mut world = offered();
    assert!(world.starve());
    assert!(!world.holds_data());
    world.send(Leg::Client, b"RETR file\r\n");
    let heard = codes(&mut world);
    assert_eq!(heard, [425]);
}

#[test]
fn law_3_what_is_not_broken_is_complete() {
    for verb in ["RETR", "LIST", "STOR", "APPE"] {
        for passive in [true, false] {
            let mut case = Case::new(verb, passive, When::Ended, Breaker::Stall);
            case.world.send(Leg::Server, b"226 Done.\r\n");
            let outcome = case.world.facts.iter().find_map(|fact| match fact {
                Fact::TransferEnded { outcome, bytes, .. } => Some((*outcome, *bytes)),
                _ => None,
            });
            assert_eq!(outcome, Some((TransferOutcome::Complete, 4)), "{verb}");
        }
    }
}
