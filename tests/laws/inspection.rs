//! L1: what is inspected is what is forwarded.

use ftpwarden::ftp::verb::{Forward, Verb};
use ftpwarden::session::{Leg, OwnCommand};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::agreeing::{agree, log_in, logged_in, world};
use crate::world::World;

/// What the policy of these tests denies.
const DENIED: [&str; 12] = [
    "SITE", "DELE", "SMNT", "MKD", "STOR", "RNFR", "XRMD", "CHMOD", "STAT", "MLSD", "OPTS", "RCMD",
];

/// The policy: all that is not denied passes, unknown verbs too.
const POLICY: [&str; 2] = [
    "default = \"allow\"",
    "deny = [\"SITE\", \"DELE\", \"SMNT\", \"MKD\", \"STOR\", \"RNFR\", \"XRMD\", \"STAT\", \
     \"MLSD\", \"OPTS\", \"RCMD\"]",
];

/// So many faults are borne that the session lives on.
const LIMITS: [&str; 1] = ["violations = 1000000"];

/// The verbs that careless servers would run for `wire`: lines end at LF, CR, NUL and behind 511
/// bytes, Telnet commands are stripped, TAB, VT and FF are blanks, and so are leading ones.
fn lenient_verbs(wire: &[u8]) -> Vec<String> {
    let mut stripped = Vec::new();
    let mut bytes = wire.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (byte, bytes.peek()) {
            (0xFF, Some(0xFB..=0xFE)) => {
                bytes.next();
                bytes.next();
            }
            (0xFF, Some(_)) => {
                bytes.next();
            }
            _ => stripped.push(byte),
        }
    }
    [wire, stripped.as_slice()]
        .into_iter()
        .flat_map(|bytes| bytes.split(|byte| matches!(byte, b'\r' | b'\n' | 0)))
        .flat_map(|line| line.chunks(511))
        .filter_map(|line| {
            line.split(|byte| matches!(byte, b' ' | b'\t' | 0x0B | 0x0C))
                .find(|word| !word.is_empty())
        })
        .map(|word| String::from_utf8_lossy(word).to_uppercase())
        .collect()
}

/// Sends `bytes` in `pieces`, the server agreeing to all, and checks what it received.
fn inspect(mut world: World, bytes: &[u8], pieces: usize) {
    let mut wire = agree(&mut world);
    for piece in bytes.chunks(pieces.max(1)) {
        world.send(Leg::Client, piece);
        wire.extend(agree(&mut world));
    }
    for verb in lenient_verbs(&wire) {
        assert!(
            !DENIED.contains(&verb.as_str()),
            "{verb} reached the server in {}",
            wire.escape_ascii()
        );
    }
    check_lines(&world, &wire);
}

/// Whatever the server received is a permitted line or one of the gateway's own.
fn check_lines(world: &World, wire: &[u8]) {
    for line in &world.permitted {
        let content = line.strip_suffix(b"\r\n").expect("no CR LF at the end");
        assert!(
            !content.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
            "a byte that ends lines in {}",
            line.escape_ascii()
        );
        assert!(line.len() <= 510, "longer than the server is sent");
    }
    let own: usize = world.own.iter().map(length).sum();
    let permitted: usize = world.permitted.iter().map(|line| line.len()).sum();
    // The login that came before has been looked at already.
    assert!(wire.len() <= own + permitted, "bytes of nobody's");
}

/// The length of one of the gateway's own commands on the wire.
fn length(command: &OwnCommand) -> usize {
    command.line().len() + command.urgent().map_or(0, <[u8]>::len)
}

/// A command or a part of one, good or bad.
fn token() -> impl Strategy<Value = Vec<u8>> {
    let verbs: Vec<&'static str> = DENIED
        .into_iter()
        .chain([
            "NOOP", "PWD", "CWD", "SIZE", "RETR", "LIST", "TYPE", "PASV", "EPSV", "REST", "ABOR",
            "RNTO", "APPE", "HELP", "FEAT", "USER", "PASS", "QUIT2", "MODE", "STRU", "HOST",
        ])
        .collect();
    let glue: Vec<&'static [u8]> = vec![
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\r\n",
        b"\0",
        b"\r\0",
        b" ",
        b"  ",
        b"\t",
        b"\x0B",
        b"\xFF\xF4",
        b"\xFF\xF2",
        b"\xFF\xFF",
        b"\xFF",
        b"\xFF\xFD\x01",
        b"\xFF\xFA",
        b"\xF2",
        b"a",
        b"/x",
        b"\xC5\xBF",
        b"A N",
        b"CHMOD 777 x",
        b"100",
    ];
    prop_oneof![
        3 => select(verbs).prop_flat_map(|verb| {
            vec(any::<bool>(), verb.len()).prop_map(move |lower| {
                verb.bytes()
                    .zip(lower)
                    .map(|(byte, lower)| if lower { byte.to_ascii_lowercase() } else { byte })
                    .collect()
            })
        }),
        4 => select(glue).prop_map(<[u8]>::to_vec),
        1 => vec(any::<u8>(), 0..4),
        1 => (480_usize..520).prop_map(|length| vec![b'A'; length]),
    ]
}

proptest! {
    #[test]
    fn law_1_random_bytes_pass_nothing_that_is_denied(
        bytes in vec(any::<u8>(), 0..600),
        pieces in 1_usize..64,
        greeted in any::<bool>(),
    ) {
        let mut world = world(&POLICY, &LIMITS);
        if greeted {
            log_in(&mut world);
        }
        inspect(world, &bytes, pieces);
    }

    #[test]
    fn law_1_mutated_commands_pass_nothing_that_is_denied(
        tokens in vec(token(), 0..60),
        pieces in 1_usize..200,
    ) {
        inspect(logged_in(&POLICY, &LIMITS), &tokens.concat(), pieces);
    }

    #[test]
    fn law_1_segments_change_nothing(
        tokens in vec(token(), 0..40),
        pieces in 1_usize..20,
    ) {
        let bytes = tokens.concat();
        let run = |pieces: usize| {
            let mut world = logged_in(&POLICY, &LIMITS);
            let mut wire = Vec::new();
            for piece in bytes.chunks(pieces) {
                world.send(Leg::Client, piece);
                wire.extend(agree(&mut world));
            }
            let over = world.session.is_over();
            (wire, crate::agreeing::heard(&mut world, Leg::Client), over)
        };
        prop_assert_eq!(run(bytes.len().max(1)), run(pieces));
    }
}

#[test]
fn law_1_no_spelling_of_a_denied_verb_passes() {
    let around: [(&[u8], &[u8]); 16] = [
        (b"", b""),
        (b"", b" x"),
        (b" ", b" x"),
        (b"\t", b" x"),
        (b"", b"\tx"),
        (b"", b"\x0Bx"),
        (b"", b"\0x"),
        (b"NOOP\n", b" x"),
        (b"NOOP\r", b" x"),
        (b"NOOP\0", b" x"),
        (b"\xFF\xF4\xFF\xF2", b" x"),
        (b"\xFF\xFD\x01", b" x"),
        (b"\xFF", b" x"),
        (b"\xEF\xBB\xBF", b" x"),
        (b"", b"\r\0"),
        (b"", b"\xFF\xF1 x"),
    ];
    for verb in DENIED {
        for (before, behind) in around {
            for verb in [verb.to_owned(), verb.to_lowercase()] {
                let line = [before, verb.as_bytes(), behind, b"\r\n"].concat();
                inspect(logged_in(&POLICY, &LIMITS), &line, line.len());
            }
        }
    }
}

#[test]
fn law_1_what_cannot_be_carried_passes_under_no_policy() {
    for verb in Verb::ALL {
        if !matches!(verb.row().forward, Forward::Never | Forward::Gateway) {
            continue;
        }
        let mut world = logged_in(&["permissive"], &LIMITS);
        world.send(Leg::Client, format!("{} x\r\n", verb.name()).as_bytes());
        assert_eq!(agree(&mut world), b"", "{} passed", verb.name());
    }
}

#[test]
fn law_1_a_long_line_leaves_no_tail() {
    for length in 480..1100 {
        let line = [b"NOOP ".as_slice(), &vec![b'A'; length], b"SITE x\r\n"].concat();
        inspect(logged_in(&POLICY, &LIMITS), &line, line.len());
        inspect(logged_in(&POLICY, &LIMITS), &line, 7);
    }
}

#[test]
fn law_1_a_permitted_line_is_the_clients_own() {
    let mut world = logged_in(&POLICY, &LIMITS);
    let lines: [(&[u8], &[u8]); 7] = [
        (b"cWd  a b \r\n", b"cWd  a b \r\n"),
        (b"noop \r\n", b"noop\r\n"),
        (b"type  a   n\r\n", b"TYPE A N\r\n"),
        (b"mode s \r\n", b"MODE S\r\n"),
        (b"SIZE \xFF\xFF\r\n", b"SIZE \xFF\xFF\r\n"),
        (b"xyzzy \xE9\t\r\n", b"xyzzy \xE9\t\r\n"),
        (b"PASS \r\n", b"PASS \r\n"),
    ];
    for (sent, received) in lines {
        world.send(Leg::Client, sent);
        assert_eq!(agree(&mut world), received);
    }
}
