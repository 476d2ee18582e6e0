//! Framing and Telnet decoding, one behaviour a test.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// A frame that shows itself, which [`Framed`] must not.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Seen {
    Line(Vec<u8>),
    Empty,
    Fault(ClientFault, Vec<u8>),
}

impl From<Framed> for Seen {
    fn from(framed: Framed) -> Self {
        match framed {
            Framed::Line(line) => Self::Line(line.to_vec()),
            Framed::Empty => Self::Empty,
            Framed::Fault(fault, raw) => Self::Fault(fault, raw.to_vec()),
        }
    }
}

fn line(text: impl AsRef<[u8]>) -> Seen {
    Seen::Line(text.as_ref().to_vec())
}

fn drain(reader: &mut LineReader) -> Vec<Seen> {
    std::iter::from_fn(|| reader.next_line())
        .map(Seen::from)
        .collect()
}

fn read(bytes: impl AsRef<[u8]>) -> Vec<Seen> {
    let mut reader = LineReader::new(510);
    reader.push(bytes.as_ref());
    drain(&mut reader)
}

/// The only fault in what is read from `bytes`.
fn fault_of(bytes: impl AsRef<[u8]>) -> ClientFault {
    match read(bytes).as_slice() {
        [Seen::Fault(fault, _)] => *fault,
        other => panic!("no single fault: {other:?}"),
    }
}

#[test]
fn lines_end_in_cr_lf_or_in_lf_alone() {
    assert_eq!(read("NOOP\r\nPWD\r\n"), [line("NOOP"), line("PWD")]);
    assert_eq!(read("NOOP\nSITE x\r\n"), [line("NOOP"), line("SITE x")]);
    assert_eq!(read("NOOP\n\n"), [line("NOOP"), Seen::Empty]);
}

#[test]
fn an_unfinished_line_is_never_returned() {
    let mut reader = LineReader::new(510);
    reader.push(b"NOOP\r\nDELE x");
    assert_eq!(drain(&mut reader), [line("NOOP")]);
    assert!(reader.in_line());
    assert_eq!(reader.buffered(), 6);
    reader.push(b"\r");
    assert_eq!(drain(&mut reader), []);
    reader.push(b"\n");
    assert_eq!(drain(&mut reader), [line("DELE x")]);
    assert!(!reader.in_line());
}

#[test]
fn blanks_alone_are_an_empty_line_and_nothing_is_trimmed_from_others() {
    assert_eq!(read("\r\n"), [Seen::Empty]);
    assert_eq!(read("   \r\n"), [Seen::Empty]);
    assert_eq!(read(b"\xFF\xF2 \r\n"), [Seen::Empty]);
    assert_eq!(read("\t\r\n"), [line("\t")]);
    assert_eq!(read(" SITE x \r\n"), [line(" SITE x ")]);
}

#[test]
fn a_cr_that_ends_no_line_is_a_fault() {
    for bytes in [
        &b"NOOP\rSITE x\r\n"[..],
        b"PWD\r\r\n",
        b"PWD\r\0\n",
        b"PWD\r\0\r\n",
        b"\rPWD\r\n",
        b"PASS a\rb\r\n",
    ] {
        assert_eq!(fault_of(bytes), ClientFault::BareCr, "{bytes:?}");
    }
}

#[test]
fn nul_stays_in_the_line_for_the_command_to_refuse() {
    assert_eq!(read(b"PWD\0junk\r\n"), [line(b"PWD\0junk")]);
}

#[test]
fn every_form_of_synch_leaves_abor() {
    for bytes in [
        &b"\xFF\xF4\xFF\xF2ABOR\r\n"[..],
        b"\xFF\xF4\xF2ABOR\r\n",
        b"\xFF\xF2ABOR\r\n",
        b"\xF2ABOR\r\n",
        b"\xFF\xF4ABOR\r\n",
    ] {
        assert_eq!(read(bytes), [line("ABOR")], "{bytes:?}");
    }
}

#[test]
fn option_negotiation_before_a_line_is_dropped() {
    assert_eq!(
        read(b"\xFF\xFB\x01\xFF\xFC\x02\xFF\xFD\x0D\xFF\xFE\xFFUSER a\r\n"),
        [line("USER a")]
    );
    assert_eq!(read(b"\xFF\xFD\x03\r\n"), [Seen::Empty]);
}

#[test]
fn telnet_inside_a_line_is_a_fault() {
    for bytes in [
        &b"SI\xFF\xF1TE x\r\n"[..],
        b"S\xFF\xFD\x01ITE x\r\n",
        b"SITE\xFF\r\n",
        b"SITE \xFF\n",
        b"P\xFFWD\r\n",
        b"ABOR\xFF\xF4\xFF\xF2\r\n",
        b"SITE \xF2x\xFF\xF2\r\n",
        // Before a line only Synch and options are expected: NOP is not.
        b"\xFF\xF1NOOP\r\n",
        b"\xFF\xFA\x18\x01\xFF\xF0NOOP\r\n",
        b"\xFF\xFA\x18never ended\r\n",
        // An option cut off by the line's end.
        b"\xFF\xFD\r\n",
    ] {
        assert_eq!(fault_of(bytes), ClientFault::TelnetCommand, "{bytes:?}");
    }
}

#[test]
fn doubled_ff_is_one_byte_of_data() {
    assert_eq!(
        read(b"RETR a\xFF\xFFb\xFF\xFF\r\n"),
        [line(b"RETR a\xFFb\xFF")]
    );
    assert_eq!(read(b"S\xFF\xFFITE\r\n"), [line(b"S\xFFITE")]);
    assert_eq!(
        fault_of(b"RETR \xFF\xFF\xFFb\r\n"),
        ClientFault::TelnetCommand
    );
}

#[test]
fn the_limit_counts_raw_bytes_with_cr_lf() {
    let fits = format!("NOOP {}\r\n", "A".repeat(503));
    assert_eq!(fits.len(), 510);
    assert_eq!(read(&fits), [line(fits.trim_end())]);
    let long = format!("NOOP {}\r\n", "A".repeat(504));
    assert_eq!(
        read(&long),
        [Seen::Fault(
            ClientFault::LineTooLong,
            long.as_bytes()[..510].to_vec()
        )]
    );
    // Telnet counts, though it is dropped: a flood of it smashed a server's stack.
    let mut flood = b"\xFF\xF2".repeat(254);
    flood.extend(b"NOOP\r\n");
    assert_eq!(fault_of(&flood), ClientFault::LineTooLong);
}

#[test]
fn a_bare_lf_counts_as_the_cr_lf_that_it_becomes() {
    let fits = format!("NOOP {}\n", "A".repeat(503));
    assert_eq!(read(&fits), [line(fits.trim_end())]);
    let long = format!("NOOP {}\n", "A".repeat(504));
    assert_eq!(long.len(), 510);
    assert_eq!(fault_of(&long), ClientFault::LineTooLong);
}

#[test]
fn the_tail_of_an_over_long_line_is_never_a_line() {
    for fill in [504, 505, 506, 507, 1022, 2044, 4088, 60_000] {
        let bytes = format!("NOOP {}HELP\r\nPWD\r\n", "A".repeat(fill));
        match read(&bytes).as_slice() {
            [Seen::Fault(ClientFault::LineTooLong, raw), after] => {
                assert_eq!(raw, &bytes.as_bytes()[..510], "{fill}");
                assert_eq!(after, &line("PWD"), "{fill}");
            }
            other => panic!("{fill}: {other:?}"),
        }
    }
}

#[test]
fn an_over_long_line_is_a_fault_before_it_ends() {
    let mut reader = LineReader::new(16);
    reader.push(b"0123456789abcde");
    assert_eq!(drain(&mut reader), []);
    reader.push(b"f");
    assert_eq!(
        drain(&mut reader),
        [Seen::Fault(
            ClientFault::LineTooLong,
            b"0123456789abcdef".to_vec()
        )]
    );
    assert!(reader.in_line(), "it is being discarded");
    reader.push(b"DELE x\r");
    assert_eq!(drain(&mut reader), []);
    assert_eq!(reader.buffered(), 0);
    assert!(reader.in_line());
    reader.push(b"\nNOOP\r\n");
    assert_eq!(drain(&mut reader), [line("NOOP")]);
    assert!(!reader.in_line());
}

#[test]
fn a_line_that_does_not_end_is_discarded_up_to_64_kib() {
    let within = [vec![b'A'; 510 + 65_535], b"\nNOOP\r\n".to_vec()].concat();
    assert_eq!(read(within)[1..], [line("NOOP")]);

    let beyond = [vec![b'A'; 510 + 65_536], b"\nNOOP\r\n".to_vec()].concat();
    assert_eq!(
        read(beyond)[1..],
        [
            Seen::Fault(ClientFault::EndlessLine, Vec::new()),
            line("NOOP")
        ]
    );
}

#[test]
fn an_endless_line_is_said_once_and_holds_nothing() {
    let mut reader = LineReader::new(510);
    let mut faults = 0;
    for _ in 0..1000 {
        reader.push(&[b'A'; 1000]);
        faults += drain(&mut reader).len();
        assert!(reader.buffered() < 510);
    }
    assert_eq!(faults, 2);
    assert!(reader.in_line());
}

#[test]
fn a_tls_record_is_known_by_its_first_bytes() {
    let mut reader = LineReader::new(510);
    reader.push(&[0x16]);
    assert_eq!(drain(&mut reader), []);
    reader.push(&[0x03]);
    assert_eq!(
        drain(&mut reader),
        [Seen::Fault(ClientFault::CrossProtocol, vec![0x16, 0x03])]
    );
    reader.push(&[0x01, 0x02, 0x00, 0x0D, 0xFF]);
    assert_eq!(drain(&mut reader), []);
}

#[test]
fn an_over_long_http_request_is_of_another_protocol() {
    let request = format!("POST /{} HTTP/1.1\r\n", "a".repeat(600));
    assert_eq!(fault_of(&request), ClientFault::CrossProtocol);
    let request = b"GET /\rx HTTP/1.1\r\n";
    assert_eq!(fault_of(request), ClientFault::CrossProtocol);
    // A verb of FTP decides for FTP.
    let command = b"STOR a\rb HTTP/1.1\r\n";
    assert_eq!(fault_of(command), ClientFault::BareCr);
}

#[test]
fn a_fault_carries_its_raw_line() {
    assert_eq!(
        read(b"PASS\xFF\xF1secret\r\n"),
        [Seen::Fault(
            ClientFault::TelnetCommand,
            b"PASS\xFF\xF1secret\r\n".to_vec()
        )]
    );
}

#[test]
fn an_idle_reader_holds_no_buffer() {
    let mut reader = LineReader::new(510);
    reader.push(&b"NOOP\r\n".repeat(1000));
    assert_eq!(drain(&mut reader).len(), 1000);
    assert_eq!(reader.held.capacity(), 0);
}

#[test]
fn one_buffer_serves_one_line_after_the_other() {
    let mut reader = LineReader::new(510);
    reader.push(b"NOOP\r\n");
    let start = reader.held.as_ptr().addr();
    for _ in 0..1000 {
        assert_eq!(reader.next_line(), Some(Framed::Line("NOOP".into())));
        reader.push(b"NOOP\r\n");
        assert!((start..start + ROOM).contains(&reader.held.as_ptr().addr()));
    }
    drain(&mut reader);
    reader.put_away(&mut BytesMut::new());
    assert_eq!(reader.held.capacity(), 0);
}

#[test]
fn a_line_of_a_large_buffer_keeps_nothing_of_its_neighbours() {
    let mut reader = LineReader::new(510);
    reader.push(&b"NOOP\r\n".repeat(100));
    while let Some(Framed::Line(line)) = reader.next_line() {
        assert!(line.is_unique());
        assert_eq!(line.try_into_mut().unwrap().capacity(), 4);
    }
    reader.push(b"NOOP\r\nPASS secret\r\n");
    assert!(reader.held.capacity() <= ROOM, "a small one again");
}

#[test]
fn no_line_is_in_progress_while_a_whole_one_is_held() {
    let mut reader = LineReader::new(510);
    assert!(!reader.in_line());
    reader.push(b"NOOP\r\nPW");
    assert!(!reader.in_line());
    assert!(reader.next_line().is_some());
    assert!(reader.in_line());
}

#[test]
fn debug_shows_no_byte_of_a_line() {
    let mut reader = LineReader::new(510);
    reader.push(b"PASS hunter2\r\nPASS hunter3\xFF\r\nPASS hun");
    let mut shown = format!("{reader:?}");
    while let Some(framed) = reader.next_line() {
        shown.extend([format!("{framed:?} {reader:?}")]);
    }
    assert!(!shown.contains("hun") && !shown.contains("104"), "{shown}");
}

#[test]
fn an_abort_is_found_behind_lines_that_wait() {
    let mut reader = LineReader::new(510);
    reader.push(b"NOOP\r\nABO");
    assert!(!reader.finds_abort());
    reader.push(b"R\r\nPWD\r\n");
    assert!(reader.finds_abort());
    assert_eq!(reader.buffered(), 17, "nothing is taken out");
    assert_eq!(reader.next_line().map(Seen::from), Some(line("NOOP")));
    assert!(reader.finds_abort());
    assert_eq!(reader.next_line().map(Seen::from), Some(line("ABOR")));
    assert!(!reader.finds_abort(), "it was taken");
    assert_eq!(reader.next_line().map(Seen::from), Some(line("PWD")));
}

#[test]
fn an_abort_is_found_in_every_spelling() {
    for bytes in [
        &b"ABOR\r\n"[..],
        b"abor\n",
        b"AbOr  \r\n",
        b"\xFF\xF4\xFF\xF2ABOR\r\n",
        b"\xF2ABOR\r\n",
    ] {
        let mut reader = LineReader::new(510);
        reader.push(b"STOR x\r\n");
        reader.push(bytes);
        assert!(reader.finds_abort(), "{bytes:?}");
    }
    for bytes in [
        &b"ABOR"[..],
        b"ABOR x\r\n",
        b"ABORT\r\n",
        b" ABOR\r\n",
        b"ABOR\t\r\n",
        b"ABOR\rX\r\n",
        b"RETR ABOR\r\n",
        b"AB\xFF\xF1OR\r\n",
    ] {
        let mut reader = LineReader::new(510);
        reader.push(bytes);
        assert!(!reader.finds_abort(), "{bytes:?}");
    }
}

#[test]
fn the_tail_of_a_discarded_line_is_no_abort() {
    let mut reader = LineReader::new(16);
    reader.push(b"0123456789abcdef");
    assert!(matches!(
        reader.next_line(),
        Some(Framed::Fault(ClientFault::LineTooLong, _))
    ));
    reader.push(b"ABOR\r\n");
    assert!(!reader.finds_abort());
    reader.push(b"ABOR\r\n");
    assert!(reader.finds_abort());
    assert_eq!(drain(&mut reader), [line("ABOR")]);
    assert!(!reader.finds_abort());
}

#[test]
fn an_abort_behind_an_over_long_line_is_found_before_and_after_that_is_taken() {
    let mut reader = LineReader::new(16);
    reader.push(b"0123456789abcdefghij\r\nABOR\r\n");
    assert!(reader.finds_abort());
    assert!(matches!(
        reader.next_line(),
        Some(Framed::Fault(ClientFault::LineTooLong, _))
    ));
    assert!(reader.finds_abort());
    assert_eq!(drain(&mut reader), [line("ABOR")]);
    assert!(!reader.finds_abort());
}

/// Bytes in which what matters to framing is frequent.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => prop::sample::select(&[b'\r', b'\n', 0, IAC, IP, DM, 0xFB, 0xFE, 0xFA, 0xF0, b' '][..])
            .prop_map(|byte| vec![byte]),
        2 => Just(b"ABOR\r\n".to_vec()),
        1 => Just(b"NOOP\r\n".to_vec()),
        1 => Just(b"\xFF\xF4\xFF\xF2ABOR\r\n".to_vec()),
        1 => Just(vec![0x16, 0x03, 0x01]),
        1 => vec(any::<u8>(), 0..40),
        1 => vec(b'A'..=b'Z', 0..60),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

/// Cuts `bytes` into segments of the lengths `cuts`, again and again.
fn segments(bytes: &[u8], cuts: &[usize]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut segments = Vec::new();
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let length = (*cuts.next().unwrap()).min(rest.len());
        segments.push(rest[..length].to_vec());
        rest = &rest[length..];
    }
    segments
}

proptest! {
    #[test]
    fn segmentation_changes_nothing(bytes in wire(), cuts in vec(1_usize..50, 1..8)) {
        let mut whole = LineReader::new(32);
        whole.push(&bytes);
        let expected = drain(&mut whole);

        let mut parts = LineReader::new(32);
        let mut late = LineReader::new(32);
        let mut seen = Vec::new();
        for segment in segments(&bytes, &cuts) {
            parts.push(&segment);
            seen.extend(drain(&mut parts));
            late.push(&segment);
        }
        prop_assert_eq!(&seen, &expected);
        prop_assert_eq!(drain(&mut late), expected);
        prop_assert_eq!(parts.buffered(), whole.buffered());
        prop_assert_eq!(parts.in_line(), whole.in_line());
        prop_assert_eq!(parts.ends, 0);
    }

    #[test]
    fn an_abort_is_found_exactly_while_one_is_still_to_come(
        bytes in wire(), cuts in vec(1_usize..50, 1..8), takes in vec(0_usize..4, 1..8)
    ) {
        let mut reader = LineReader::new(32);
        let mut takes = takes.iter().cycle();
        for segment in segments(&bytes, &cuts) {
            reader.push(&segment);
            let found = reader.finds_abort();
            let mut copy = LineReader::new(32);
            copy.held.extend_from_slice(&reader.held);
            copy.ends = reader.ends;
            copy.phase = reader.phase;
            let comes = drain(&mut copy).into_iter().any(|seen| match seen {
                Seen::Line(line) => line.trim_ascii_end().eq_ignore_ascii_case(b"ABOR")
                    && !line.ends_with(b"\t"),
                Seen::Empty | Seen::Fault(..) => false,
            });
            prop_assert_eq!(found, comes);
            for _ in 0..*takes.next().unwrap() {
                reader.next_line();
            }
        }
    }

    #[test]
    fn no_line_is_longer_than_its_limit_or_holds_an_end(bytes in wire()) {
        let mut reader = LineReader::new(32);
        reader.push(&bytes);
        for seen in drain(&mut reader) {
            match seen {
                Seen::Line(line) => {
                    prop_assert!(line.len() <= 30);
                    prop_assert!(!line.contains(&b'\r') && !line.contains(&b'\n'));
                }
                Seen::Fault(_, raw) => prop_assert!(raw.len() <= 32),
                Seen::Empty => {}
            }
        }
    }
}
