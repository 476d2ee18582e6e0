//! Command grammar, one behaviour a test.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::ftp::line::{Framed, LineReader};

/// Parses a line of a test.
///
/// # Errors
/// As [`Command::parse`].
fn parse(line: impl AsRef<[u8]>) -> Result<Command, ClientFault> {
    Command::parse(&Bytes::copy_from_slice(line.as_ref()))
}

fn command(line: impl AsRef<[u8]>) -> Command {
    parse(line).unwrap()
}

fn encoded(line: impl AsRef<[u8]>) -> Bytes {
    command(line).encode().unwrap()
}

/// The word of a command, as text.
fn word(line: &str) -> Option<String> {
    command(line)
        .word()
        .map(|word| String::from_utf8_lossy(word).into_owned())
}

#[test]
fn a_verb_is_letters_and_digits_then_the_end_or_a_blank() {
    for line in ["XY", "NOOP", "XSHA256 a", "RCMD ls", "ABCDEFGHIJ12"] {
        assert!(parse(line).is_ok(), "{line:?}");
    }
    for line in [
        "",
        "X",
        "ABCDEFGHIJKLM",
        "1XY",
        " SITE x",
        "\tSITE x",
        "S1TE!",
        "SITE;",
        "\"PWD\"",
        "P@SW",
        "PWD,",
        "SITE\tCHMOD 777 x",
        "NOOP\x0bx",
        "NOOP\x0cx",
        "PWD\t",
        "\u{17f}ite x",
        "s\u{131}te x",
        "\u{ff33}\u{ff29}\u{ff34}\u{ff25} x",
        "\u{feff}SITE x",
        "SITE\u{a0}x",
        "SITE\u{2028}x",
        "SITE\u{85}x",
    ] {
        assert_eq!(parse(line), Err(ClientFault::BadVerb), "{line:?}");
    }
    for line in [&b"SITE\xA0x"[..], b"S\xFFITE", b"\x85SITE"] {
        assert_eq!(parse(line), Err(ClientFault::BadVerb), "{line:?}");
    }
}

#[test]
fn letter_case_is_ascii_and_goes_on_as_it_came() {
    for line in ["SITE x", "site x", "SiTe x"] {
        assert_eq!(command(line).name, Name::Known(Verb::Site), "{line}");
        assert_eq!(encoded(line), format!("{line}\r\n"));
    }
    assert_eq!(command("rcmd ls").name, Name::Other("RCMD".into()));
    assert_eq!(command("RcMd").name.as_str(), "RCMD");
    assert_eq!(encoded("RcMd ls"), "RcMd ls\r\n");
}

#[test]
fn nul_is_refused_wherever_it_stands() {
    for line in [
        "PWD\0junk",
        "P\0WD",
        "SIZE a.txt\0.jpg",
        "PASS a\0b",
        "XYZZY \0",
    ] {
        assert_eq!(parse(line), Err(ClientFault::Nul), "{line:?}");
    }
}

#[test]
fn an_end_of_line_is_refused_wherever_it_stands() {
    for line in ["PASS a\rb", "PASS a\nSITE x", "RETR a\r\nDELE b", "NOOP\r"] {
        assert_eq!(parse(line), Err(ClientFault::BareCr), "{line:?}");
    }
}

#[test]
fn control_bytes_are_for_passwords_only() {
    for byte in (1..0x20_u8).chain([0x7F]) {
        if matches!(byte, b'\t' | b'\r' | b'\n') {
            continue;
        }
        let line = [b"RETR a", &[byte][..], b"b"].concat();
        assert_eq!(parse(&line), Err(ClientFault::ControlByte), "{byte:#x}");
        let line = [b"PASS a", &[byte][..], b"b"].concat();
        assert_eq!(command(&line).argument_bytes(), &line[5..]);
    }
    assert_eq!(command("RETR a\tb").argument_bytes(), b"a\tb");
    assert!(parse("ACCT \x1b").is_ok());
}

#[test]
fn blanks_of_a_path_belong_to_it() {
    assert_eq!(command("RETR  a.txt ").argument_bytes(), b" a.txt ");
    assert_eq!(encoded("RETR  a.txt "), "RETR  a.txt \r\n");
    assert_eq!(encoded("CWD  "), "CWD  \r\n");
    assert_eq!(command("RETR ").argument, None);
    assert_eq!(encoded("RETR "), "RETR\r\n");
}

#[test]
fn blanks_behind_a_verb_without_argument_are_dropped() {
    assert_eq!(encoded("PWD "), "PWD\r\n");
    assert_eq!(encoded("pwd    "), "pwd\r\n");
    assert_eq!(parse("PWD \t"), Err(ClientFault::BadVerb));
    // What stands there all the same is the server's to refuse.
    assert_eq!(encoded("PWD  x "), "PWD  x \r\n");
}

#[test]
fn a_password_goes_on_exactly() {
    for line in [
        "PASS",
        "PASS ",
        "PASS  lead",
        "PASS trail  ",
        "PASS a b",
        "pass \u{e9}\t\x01",
    ] {
        assert_eq!(encoded(line), format!("{line}\r\n"));
    }
    assert_eq!(command("PASS").argument, None);
    assert_eq!(command("PASS ").argument, Some(Bytes::new()));
    assert_eq!(encoded(b"PASS a\xFFb"), &b"PASS a\xFF\xFFb\r\n"[..]);
}

#[test]
fn ff_is_doubled_on_the_way_out() {
    assert_eq!(encoded(b"RETR \xFF"), &b"RETR \xFF\xFF\r\n"[..]);
    assert_eq!(encoded(b"TYPE \xFF\xF4"), &b"TYPE \xFF\xFF\xF4\r\n"[..]);
}

#[test]
fn values_of_type_mode_and_stru_go_on_in_canonical_form() {
    assert_eq!(encoded("type i"), "TYPE I\r\n");
    assert_eq!(encoded("TYPE  a   n "), "TYPE A N\r\n");
    assert_eq!(encoded("Type l 8"), "TYPE L 8\r\n");
    assert_eq!(encoded("mode s"), "MODE S\r\n");
    assert_eq!(encoded("stru f"), "STRU F\r\n");
    assert_eq!(command("TYPE   ").argument, None);
    assert_eq!(encoded("TYPE   "), "TYPE\r\n");
    assert_eq!(parse("TYPE \t"), Err(ClientFault::BadVerb));
}

#[test]
fn other_protocols_are_told_apart() {
    for line in [
        "GET / HTTP/1.1",
        "get /",
        "POST / HTTP/1.0",
        "OPTIONS * HTTP/1.1",
        "PRI * HTTP/2.0",
        "BREW /pot HTTP/1.1",
        "/ HTTP/1.1",
        "EHLO example.org",
        "helo x",
        "SSH-2.0-OpenSSH_9.2",
        "DESCRIBE rtsp://x RTSP/1.0",
        "\x16\x03\x01\x02",
        "\x16\x03\0",
    ] {
        assert_eq!(parse(line), Err(ClientFault::CrossProtocol), "{line:?}");
    }
    for line in [
        "STOR notes on HTTP/1.1",
        "retr HTTP/1.1",
        "SITE GET / HTTP/1.1",
    ] {
        assert!(parse(line).is_ok(), "{line:?}");
    }
    assert_eq!(parse("Host: example.org"), Err(ClientFault::BadVerb));
}

#[test]
fn a_subcommand_is_the_first_word_behind_any_blanks() {
    assert_eq!(word("SITE CHMOD 777 x").as_deref(), Some("CHMOD"));
    assert_eq!(word("site   chmod 777 x").as_deref(), Some("chmod"));
    assert_eq!(word("SITE CHMOD,777").as_deref(), Some("CHMOD,777"));
    assert_eq!(word("SITE \"CHMOD\" 777").as_deref(), Some("\"CHMOD\""));
    assert_eq!(word("SITE"), None);
    assert_eq!(word("SITE "), None);
    assert_eq!(word("SITE   "), None);
    assert_eq!(word("opts utf8 on").as_deref(), Some("utf8"));
    assert_eq!(word("OPTS MLST a=b;").as_deref(), Some("MLST"));
    assert_eq!(word("TYPE A N").as_deref(), Some("A"));
    assert_eq!(word("RETR CHMOD"), None);
    assert_eq!(word("HELP SITE"), None);
    assert_eq!(word("RCMD CHMOD"), None);
}

#[test]
fn a_tab_or_a_backslash_is_no_part_of_a_subcommand() {
    for line in [
        "SITE \tCHMOD 777 x",
        "SITE CHMOD\t777 x",
        "SITE  A\tB",
        "OPTS UTF8\tON",
        "TYPE A\tN",
        "SITE A\tB FILETYPE=JES",
        "SITE \"CH\\MOD\"777 x",
        "SITE \"EX\\EC\"ls",
    ] {
        assert_eq!(parse(line), Err(ClientFault::ControlByte), "{line:?}");
    }
    assert!(parse("SITE CHMOD 777 a\tb").is_ok());
    assert!(parse("SITE CHMOD 777 a\\b").is_ok());
}

#[test]
fn a_parameter_of_zos_is_named_by_what_stands_before_its_value() {
    assert_eq!(word("SITE RECFM=FB LRECL=80").as_deref(), Some("RECFM"));
    assert_eq!(word("SITE =x").as_deref(), Some("=x"));
    for line in [
        "SITE FILETYPE=JES",
        "SITE FILETYPE JES",
        "site filetype=jes",
        "SITE FILE=JES",
        "SITE RECFM=FB FILEtype=SQL",
        "SITE CYL  FILET=JES",
        "SITE UMASK 022 FILETYPE=JES",
    ] {
        let row = command(line).site_row().unwrap();
        assert_eq!(
            (row.name, row.forward),
            ("FILETYPE", verb::Forward::Named),
            "{line}"
        );
    }
    for line in [
        "SITE CHMOD 644 filetype=x",
        "SITE RECFM=FB FIL=JES",
        "SITE RECFM=FB FILETYPES=JES",
        "SITE RECFM=FB FILETYPE",
        "OPTS UTF8 FILETYPE=JES",
    ] {
        let row = command(line).site_row().map(|row| row.name);
        assert_ne!(row, Some("FILETYPE"), "{line}");
    }
}

#[test]
fn a_value_is_what_follows_the_verb_or_the_subcommand() {
    for (line, value) in [
        ("SITE CHMOD 777 x", "777 x"),
        ("SITE  CHMOD   777 x ", "777 x "),
        ("SITE CHMOD", ""),
        ("SITE", ""),
        ("OPTS MLST a;b;", "a;b;"),
        ("CHMOD 777 x", "777 x"),
        ("RETR  a", " a"),
        ("TYPE A N", "A N"),
        ("SITE RECFM=FB LRECL=80", "=FB LRECL=80"),
        ("SITE filetype=JES", "=JES"),
        ("SITE RECFM=FB FILETYPE=JES", "RECFM=FB FILETYPE=JES"),
    ] {
        assert_eq!(command(line).value(), value.as_bytes(), "{line}");
    }
}

#[test]
fn aliases_are_judged_as_what_they_stand_for() {
    for (line, verb) in [
        ("XMKD a", Verb::Mkd),
        ("XCUP", Verb::Cdup),
        ("XCWD a", Verb::Cwd),
        ("XPWD", Verb::Pwd),
        ("XRMD a", Verb::Rmd),
        ("NOP", Verb::Noop),
        ("CHMOD 777 x", Verb::Site),
        ("RETR a", Verb::Retr),
    ] {
        assert_eq!(command(line).judged(), Some(verb), "{line}");
    }
    assert_eq!(command("RCMD x").judged(), None);
    assert_eq!(encoded("xmkd a"), "xmkd a\r\n", "and sent as they came");
    let chmod = command("CHMOD 777 x");
    assert_eq!(chmod.word(), Some(&b"CHMOD"[..]));
    assert_eq!(chmod.site_row().unwrap().name, "CHMOD");
    assert_eq!(
        command("SITE chmod 777 x").site_row().unwrap().name,
        "CHMOD"
    );
    assert!(command("SITE XYZZY").site_row().is_none());
    assert!(command("RETR CHMOD").site_row().is_none());
}

#[test]
fn mdtm_with_a_time_and_a_name_is_a_write() {
    for (line, path) in [
        ("MDTM 20240101000000 name", "name"),
        ("mdtm 20240101000000 a b", "a b"),
        ("MDTM 20240101000000+60 name", "name"),
        ("MDTM 20240101000000-300 name", "name"),
        ("MDTM 20240101000000.123 name", "name"),
        ("MDTM  20240101000000 name", "name"),
        ("MDTM 20240101000000  name", " name"),
        ("MDTM 20240101000000\tname", "name"),
    ] {
        assert_eq!(command(line).timed_path(), Some(path.as_bytes()), "{line}");
        assert_eq!(command(line).groups(), [Group::Modify], "{line}");
    }
    for line in [
        "MDTM 20240101000000",
        "MDTM 20240101000000 ",
        "MDTM 2024010100000 name",
        "MDTM 202401010000000 name",
        "MDTM 20240101000000.txt",
        "MDTM 20240101120000-report 1.txt",
        "MDTM name",
        "MDTM",
        "MFMT 20240101000000 name",
        "SIZE 20240101000000 name",
    ] {
        assert!(!command(line).sets_time(), "{line}");
    }
    assert_eq!(command("MDTM 20240101000000").groups(), [Group::List]);
}

#[test]
fn mdtm_that_may_set_a_time_is_a_write() {
    for (line, path) in [
        ("MDTM 20240101 name", "name"),
        ("MDTM  20240101 a b", "a b"),
        ("MDTM 2aaaaaaaaaaaaa name", "name"),
        ("MDTM 2aaaaaaaaaaaaa.5 name", "name"),
    ] {
        assert_eq!(
            command(line).doubtful_path(),
            Some(path.as_bytes()),
            "{line}"
        );
        assert_eq!(command(line).groups(), [Group::Modify], "{line}");
        assert!(!command(line).sets_time(), "{line}");
    }
    for line in [
        "MDTM 20240101",
        "MDTM 20240101 ",
        "MDTM a0240101 name",
        "MDTM 2024 name",
        "MDTM 202401010000000 name",
        "MDTM 20240101000000 name",
        "SIZE 20240101 name",
    ] {
        assert_eq!(command(line).doubtful_path(), None, "{line}");
    }
    assert_eq!(command("MDTM 2024 name").groups(), [Group::List]);
}

#[test]
fn stat_with_an_argument_is_a_listing() {
    assert_eq!(command("STAT").groups(), [Group::Info]);
    assert_eq!(command("STAT ").groups(), [Group::Info]);
    assert_eq!(command("STAT /etc").groups(), [Group::List]);
    assert_eq!(command("RCMD x").groups(), []);
}

#[test]
fn debug_shows_no_secret() {
    for line in [
        "PASS hunter2",
        "pass hunter2",
        "ACCT hunter2",
        "ADAT hunter2",
        "MIC hunter2",
        "SITE PSWD old hunter2",
        "site  gpass hunter2",
        "SITE PSWD hunter2 FILE=x",
        // Mistyped.
        "PASShunter2",
        "PAS hunter2",
    ] {
        let shown = format!("{:?}", command(line)).to_lowercase();
        assert!(
            !shown.contains("hunter2") && !shown.contains("104"),
            "{shown}"
        );
    }
    assert_eq!(format!("{:?}", command("PASS x")), "PASS ***");
    assert_eq!(format!("{:?}", command("RETR x")), "RETR b\"x\"");
    assert_eq!(format!("{:?}", command("RCMD x")), "other ***");
}

#[test]
fn a_command_put_together_by_hand_is_checked_when_it_is_encoded() {
    for argument in ["a\r\nDELE b", "a\nb", "a\rb", "a\0b"] {
        let command = Command {
            argument: Some(Bytes::from(argument)),
            ..command("PASS x")
        };
        assert_eq!(command.encode(), None, "{argument:?}");
    }
    for spelling in ["DELE", "NOOP\r\nDELE x\r\n", "NOOP x", ""] {
        let command = Command {
            spelling: Bytes::from(spelling),
            ..command("NOOP")
        };
        assert_eq!(command.encode(), None, "{spelling:?}");
    }
    let command = Command {
        name: Name::Other("X\r\nDELE".into()),
        spelling: Bytes::from("X\r\nDELE"),
        argument: None,
    };
    assert_eq!(command.encode(), None);
}

/// Lines near to commands.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let verb = prop_oneof![
        4 => prop::sample::select(Verb::ALL).prop_map(|verb| verb.name().as_bytes().to_vec()),
        1 => vec(prop_oneof![b'A'..=b'Z', b'a'..=b'z', b'0'..=b'9'], 0..14),
        1 => vec(any::<u8>(), 0..6),
    ];
    let argument = vec(
        prop_oneof![
            4 => b' '..=b'~',
            1 => Just(b' '),
            1 => any::<u8>(),
            1 => Just(0xFF),
        ],
        0..30,
    );
    (verb, prop_oneof![Just(None), argument.prop_map(Some)]).prop_map(|(mut line, argument)| {
        if let Some(argument) = argument {
            line.push(b' ');
            line.extend(argument);
        }
        line
    })
}

proptest! {
    #[test]
    fn what_is_sent_reads_as_one_line_and_the_same_command(line in line()) {
        let Ok(command) = parse(&line) else { return Ok(()) };
        let sent = command.encode().expect("parsed, so it can be sent");

        let mut reader = LineReader::new(510);
        reader.push(&sent);
        let Some(Framed::Line(framed)) = reader.next_line() else {
            return Err(TestCaseError::fail("no line"));
        };
        prop_assert_eq!(reader.next_line(), None);
        prop_assert_eq!(reader.buffered(), 0);
        let again = Command::parse(&framed).unwrap();
        prop_assert_eq!(&again.name, &command.name);
        prop_assert_eq!(again.encode(), Some(sent));
        if !command.name.known().is_some_and(is_canonical) {
            prop_assert_eq!(again, command);
        }
    }

    /// A server that ends lines at CR, LF or NUL, takes any white space for a blank and drops
    /// Telnet commands sees one line, with the verb that was judged.
    #[test]
    fn a_lenient_server_sees_the_verb_that_was_judged(line in line()) {
        let Ok(command) = parse(&line) else { return Ok(()) };
        if command.is_password() {
            return Ok(());
        }
        let sent = command.encode().unwrap();
        let content = sent.strip_suffix(b"\r\n").unwrap();
        prop_assert!(!content.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)));
        let mut plain = Vec::new();
        let mut bytes = content.iter();
        while let Some(byte) = bytes.next() {
            if *byte == 0xFF {
                prop_assert_eq!(bytes.next(), Some(&0xFF), "a Telnet command");
            }
            plain.push(*byte);
        }
        let verb = plain
            .split(|byte| byte.is_ascii_whitespace() || *byte == 0x0B)
            .next()
            .unwrap();
        prop_assert!(verb.eq_ignore_ascii_case(command.name.as_str().as_bytes()));
    }

    #[test]
    fn what_fits_the_line_limit_still_fits_it_when_sent(line in line(), bare in any::<bool>()) {
        let limit = 24;
        let mut reader = LineReader::new(limit);
        reader.push(&line);
        reader.push(if bare { b"\n" } else { b"\r\n" });
        while let Some(framed) = reader.next_line() {
            if let Framed::Line(line) = framed
                && let Ok(command) = Command::parse(&line)
            {
                prop_assert!(command.encode().unwrap().len() <= limit);
            }
        }
    }

    #[test]
    fn nothing_panics(line in vec(any::<u8>(), 0..60)) {
        if let Ok(command) = parse(&line) {
            command.word();
            command.value();
            command.groups();
            command.timed_path();
            let shown = format!("{command:?}");
            prop_assert!(!shown.is_empty());
        }
    }
}
