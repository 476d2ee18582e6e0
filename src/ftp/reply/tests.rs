//! Reply grammar, one behaviour a test.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

/// What a reader returned.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Seen {
    /// A line as code, first, last, text.
    Line(u16, bool, bool, Vec<u8>),
    Fault(ServerFault),
}

impl Seen {
    /// The bytes that the client gets.
    fn text(&self) -> &[u8] {
        match self {
            Self::Line(_, _, _, text) => text,
            Self::Fault(_) => &[],
        }
    }
}

fn drain(reader: &mut ReplyReader) -> Vec<Seen> {
    std::iter::from_fn(|| reader.next_line())
        .map(|line| match line {
            Ok(line) => Seen::Line(
                line.code.value(),
                line.first,
                line.last,
                line.bytes.to_vec(),
            ),
            Err(fault) => Seen::Fault(fault),
        })
        .collect()
}

fn read(bytes: impl AsRef<[u8]>) -> Vec<Seen> {
    let mut reader = ReplyReader::new(64 * 1024, 16 * 1024 * 1024);
    reader.push(bytes.as_ref());
    drain(&mut reader)
}

fn whole(code: u16, text: impl AsRef<[u8]>) -> Seen {
    Seen::Line(code, true, true, text.as_ref().to_vec())
}

fn first(code: u16, text: impl AsRef<[u8]>) -> Seen {
    Seen::Line(code, true, false, text.as_ref().to_vec())
}

fn inner(code: u16, text: impl AsRef<[u8]>) -> Seen {
    Seen::Line(code, false, false, text.as_ref().to_vec())
}

fn last(code: u16, text: impl AsRef<[u8]>) -> Seen {
    Seen::Line(code, false, true, text.as_ref().to_vec())
}

#[test]
fn a_single_line_is_a_reply() {
    assert_eq!(read("220 Ready.\r\n"), [whole(220, "220 Ready.\r\n")]);
    assert_eq!(read("631 c2VjcmV0\r\n"), [whole(631, "631 c2VjcmV0\r\n")]);
    assert_eq!(
        read("150 a\r\n226 b\r\n"),
        [whole(150, "150 a\r\n"), whole(226, "226 b\r\n")]
    );
}

#[test]
fn old_servers_may_leave_out_text_blank_and_cr() {
    assert_eq!(read("200\r\n"), [whole(200, "200\r\n")]);
    assert_eq!(read("200 \r\n"), [whole(200, "200 \r\n")]);
    assert_eq!(read("200 ok\n"), [whole(200, "200 ok\n")]);
    assert_eq!(read("200\n"), [whole(200, "200\n")]);
    assert_eq!(
        read("200-a\nb\n200 c\n"),
        [
            first(200, "200-a\n"),
            inner(200, "b\n"),
            last(200, "200 c\n")
        ]
    );
}

#[test]
fn what_is_no_reply_is_a_fault() {
    for bytes in [
        "SSH-2.0-OpenSSH_9.2\r\n",
        "HTTP/1.1 400 Bad Request\r\n",
        "\r\n",
        " 220 a\r\n",
        "22 a\r\n",
        "2200 a\r\n",
        "220a\r\n",
        "220\ta\r\n",
        "020 a\r\n",
        "720 a\r\n",
        "999 a\r\n",
        "+20 a\r\n",
        "2 0 a\r\n",
    ] {
        assert_eq!(
            read(bytes),
            [Seen::Fault(ServerFault::NotAReply)],
            "{bytes:?}"
        );
    }
}

#[test]
fn only_the_same_code_and_a_blank_end_a_multi_line_reply() {
    assert_eq!(
        read("211-x\r\n226 looks final\r\n211-y\r\n230 no\r\n211 End\r\n"),
        [
            first(211, "211-x\r\n"),
            inner(211, "226 looks final\r\n"),
            inner(211, "211-y\r\n"),
            inner(211, "230 no\r\n"),
            last(211, "211 End\r\n"),
        ]
    );
    assert_eq!(
        read("123-First\r\nSecond\r\n  234 A line\r\n123 The last\r\n").last(),
        Some(&last(123, "123 The last\r\n"))
    );
}

#[test]
fn a_code_on_every_line_does_not_nest() {
    assert_eq!(
        read("220-a\r\n220-b\r\n220 c\r\n220 d\r\n"),
        [
            first(220, "220-a\r\n"),
            inner(220, "220-b\r\n"),
            last(220, "220 c\r\n"),
            whole(220, "220 d\r\n"),
        ]
    );
}

#[test]
fn another_code_at_the_end_ends_nothing() {
    let mut reader = ReplyReader::new(100, 100);
    reader.push(b"220-a\r\n221 b\r\n");
    assert_eq!(
        drain(&mut reader),
        [first(220, "220-a\r\n"), inner(220, "221 b\r\n")]
    );
    assert!(reader.in_reply());
}

#[test]
fn a_bare_code_ends_a_multi_line_reply() {
    assert_eq!(
        read("220-a\r\n2201\r\n220\r\n"),
        [
            first(220, "220-a\r\n"),
            inner(220, "2201\r\n"),
            last(220, "220\r\n")
        ]
    );
}

#[test]
fn inner_lines_are_relayed_byte_for_byte() {
    let inside = b" leading\r\n\r\n\n\xFF\xFC\x01x\r\n\xE9t\xE9\x1B[0m\r\n\tend\r\n";
    let bytes = [b"211-a\r\n", &inside[..], b"211 b\r\n"].concat();
    let lines = read(&bytes);
    let relayed: Vec<u8> = lines.iter().flat_map(|line| line.text().to_vec()).collect();
    assert_eq!(relayed, bytes);
    assert_eq!(lines.len(), 8);
}

#[test]
fn a_client_sees_no_line_that_was_none_here() {
    assert_eq!(
        read(b"220 a\r230 b\0c\r\r\n"),
        [whole(220, "220 a?230 b?c?\r\n")]
    );
    assert_eq!(
        read(b"211-a\r\nb\r211 c\n211 d\r\n")[1],
        inner(211, "b?211 c\n")
    );
}

#[test]
fn telnet_before_the_code_is_removed() {
    for before in [
        &b"\xFF\xFC\x01"[..],
        b"\xFF\xFB\x03\xFF\xFE\x01",
        b"\xFF\xF1",
        b"\xFF\xFA\x18\x01\xFF\xF0\xFF\xF9",
    ] {
        let bytes = [before, b"257 \"/\" is here\r\n"].concat();
        assert_eq!(
            read(&bytes),
            [whole(257, "257 \"/\" is here\r\n")],
            "{before:?}"
        );
    }
    assert_eq!(
        read(b"211-a\r\n\xFF\xFC\x01211 b\r\n")[1],
        last(211, "211 b\r\n")
    );
}

#[test]
fn telnet_elsewhere_is_relayed() {
    assert_eq!(
        read(b"550 a\xFF\xFFb\xFF\xF1\r\n"),
        [whole(550, b"550 a\xFF\xFFb\xFF\xF1\r\n")]
    );
}

#[test]
fn broken_telnet_before_the_code_is_no_reply() {
    for bytes in [
        &b"\xFF\xFFx\r\n"[..],
        b"\xFF\xFA\x18220 a\r\n",
        b"\xFF220 a\r\n",
        b"\xFF\xFC\r\n",
    ] {
        assert_eq!(
            read(bytes),
            [Seen::Fault(ServerFault::NotAReply)],
            "{bytes:?}"
        );
    }
}

#[test]
fn a_line_has_a_bound() {
    let mut reader = ReplyReader::new(10, 1000);
    reader.push(b"220 5678\r\n220 56789\r\n220 x\r\n");
    assert_eq!(
        drain(&mut reader),
        [
            whole(220, "220 5678\r\n"),
            Seen::Fault(ServerFault::LineTooLong)
        ]
    );

    let mut reader = ReplyReader::new(10, 1000);
    reader.push(b"220 56789");
    assert_eq!(drain(&mut reader), []);
    reader.push(b"0");
    assert_eq!(drain(&mut reader), [Seen::Fault(ServerFault::LineTooLong)]);
}

#[test]
fn a_reply_has_a_bound() {
    let mut reader = ReplyReader::new(100, 21);
    reader.push(b"220-a\r\n220-b\r\n220 c\r\n220 d\r\n");
    assert_eq!(drain(&mut reader).len(), 4, "the bound is for each reply");

    let mut reader = ReplyReader::new(100, 20);
    reader.push(b"220-a\r\n220-b\r\n220 c\r\n");
    assert_eq!(
        drain(&mut reader),
        [
            first(220, "220-a\r\n"),
            inner(220, "220-b\r\n"),
            Seen::Fault(ServerFault::ReplyTooLong)
        ]
    );
}

#[test]
fn a_failed_reader_stays_silent_and_holds_nothing() {
    let mut reader = ReplyReader::new(100, 100);
    reader.push(b"what?\r\n220 a\r\n");
    assert_eq!(drain(&mut reader), [Seen::Fault(ServerFault::NotAReply)]);
    reader.push(b"220 a\r\n");
    assert_eq!(drain(&mut reader), []);
    assert!(!reader.in_reply());
    reader.put_away(&mut BytesMut::new());
    assert_eq!(reader.held.capacity(), 0);
}

#[test]
fn a_reply_is_in_progress_from_its_first_byte_to_its_last() {
    let mut reader = ReplyReader::new(100, 100);
    assert!(!reader.in_reply());
    reader.push(b"2");
    assert!(reader.in_reply());
    reader.push(b"20-a\r\n");
    assert_eq!(drain(&mut reader).len(), 1);
    assert!(reader.in_reply());
    reader.push(b"220 b\r\n");
    assert!(reader.in_reply());
    assert_eq!(drain(&mut reader).len(), 1);
    assert!(!reader.in_reply());
    reader.put_away(&mut BytesMut::new());
    assert_eq!(reader.held.capacity(), 0);
}

#[test]
fn a_code_is_from_100_to_699() {
    assert_eq!(Code::new(99), None);
    assert_eq!(Code::new(700), None);
    let code = Code::new(100).unwrap();
    assert!(code.is_preliminary());
    let code = Code::new(699).unwrap();
    assert_eq!((code.value(), code.class()), (699, 6));
    assert!(!code.is_preliminary());
}

#[test]
fn a_rendered_reply_is_one_line_whatever_its_text() {
    assert_eq!(
        render(502, "Command not implemented."),
        "502 Command not implemented.\r\n"
    );
    assert_eq!(render(550, "a\r\n226 b\0"), "550 a??226 b?\r\n");
    assert_eq!(read(render(200, "")), [whole(200, "200 \r\n")]);
}

#[test]
fn a_directory_stands_between_the_first_quote_and_the_last() {
    for (line, expected) in [
        (&b"257 \"/\" is the current directory\r\n"[..], &b"/"[..]),
        (b"257 \"/a b\"\r\n", b"/a b"),
        (
            b"257 \"/q\"\"uo'te\" is the current directory\r\n",
            b"/q\"uo'te",
        ),
        (b"257 \"\"\"/a\"\"\" created\r\n", b"\"/a\""),
        (
            b"257 \"'HLQ.'\" is the working directory name prefix.\r\n",
            b"'HLQ.'",
        ),
        (b"257 \"/\xE9\" created\r\n", b"/\xE9"),
    ] {
        assert_eq!(directory(line).as_deref(), Some(expected));
    }
}

#[test]
fn a_directory_that_could_be_two_is_none() {
    for line in [
        &b"257 \"/q\"uo'te\" is your current location\r\n"[..],
        b"257 \"/a\" is the \"current\" directory\r\n",
        b"257 \"/a\"\" created\r\n",
        b"257 /a\r\n",
        b"257 \"/a\r\n",
        b"257 \"\" created\r\n",
        b"",
    ] {
        assert_eq!(directory(line), None, "{line:?}");
    }
}

/// Bytes in which what matters to replies is frequent.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        3 => prop::sample::select(&["220 a\r\n", "220-b\r\n", "211-c\n", "211 d\n", "220\r\n"][..])
            .prop_map(|text| text.as_bytes().to_vec()),
        3 => prop::sample::select(&[b'\r', b'\n', 0, IAC, SB, SE, WILL, b'2', b'1', b'-', b' '][..])
            .prop_map(|byte| vec![byte]),
        1 => vec(any::<u8>(), 0..40),
    ];
    vec(piece, 0..30).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn segmentation_changes_nothing(bytes in wire(), cuts in vec(1_usize..30, 1..8)) {
        let mut whole = ReplyReader::new(40, 120);
        whole.push(&bytes);
        let expected = drain(&mut whole);

        let mut parts = ReplyReader::new(40, 120);
        let mut seen = Vec::new();
        let mut rest = &bytes[..];
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let (segment, behind) = rest.split_at((*cuts.next().unwrap()).min(rest.len()));
            parts.push(segment);
            seen.extend(drain(&mut parts));
            rest = behind;
        }
        prop_assert_eq!(seen, expected);
        prop_assert_eq!(parts.in_reply(), whole.in_reply());
    }

    #[test]
    fn a_relayed_line_reads_the_same_again(bytes in wire()) {
        let mut reader = ReplyReader::new(40, 120);
        reader.push(&bytes);
        let mut seen = drain(&mut reader);
        seen.retain(|seen| matches!(seen, Seen::Line(..)));
        let relayed: Vec<u8> = seen.iter().flat_map(|line| line.text().to_vec()).collect();
        let mut again = ReplyReader::new(40, 120);
        again.push(&relayed);
        prop_assert_eq!(&drain(&mut again), &seen);
        for line in seen {
            let content = line.text().strip_suffix(b"\n").unwrap();
            let content = content.strip_suffix(b"\r").unwrap_or(content);
            prop_assert!(!content.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        }
    }

    #[test]
    fn no_line_makes_the_directory_panic(line in vec(any::<u8>(), 0..80)) {
        directory(&line);
    }
}
