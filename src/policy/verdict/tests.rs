//! Tests of replies as an operator writes them.

use bytes::Bytes;

use super::{Permit, Reply, ReplyFault, TEXT_MAX, Verdict};

#[test]
fn a_reply_is_a_code_and_perhaps_a_text() {
    let reply =
        |written: &str| Reply::parse(written).map(|reply| (reply.code, reply.text.to_string()));
    assert_eq!(reply("550 Not here."), Ok((550, "Not here.".to_owned())));
    assert_eq!(
        reply("502"),
        Ok((502, "Command not implemented.".to_owned()))
    );
    assert_eq!(
        reply("450 "),
        Ok((450, "Requested file action not taken.".to_owned()))
    );
    for written in ["", "55", "abc no", "550-x", "550no", "5 50", "５50 x"] {
        assert_eq!(reply(written), Err(ReplyFault::Form), "{written}");
    }
    assert_eq!(reply("550 a\r\n230 b"), Err(ReplyFault::Text));
    assert!(reply(&format!("550 {}", "a".repeat(TEXT_MAX))).is_ok());
    assert_eq!(
        reply(&format!("550 {}", "a".repeat(TEXT_MAX + 1))),
        Err(ReplyFault::Text)
    );
}

#[test]
fn the_gateways_own_words_are_those_of_the_code() {
    for (code, text) in [
        (200, "Command okay."),
        (202, "Command not implemented, superfluous at this site."),
        (331, "Further information required."),
        (421, "Service not available, closing control connection."),
        (450, "Requested file action not taken."),
        (451, "Requested action not taken, try again later."),
        (500, "Syntax error, command unrecognized."),
        (501, "Syntax error in parameters or arguments."),
        (502, "Command not implemented."),
        (503, "Bad sequence of commands."),
        (504, "Command not implemented for that parameter."),
        (530, "Not logged in."),
        (550, "Requested action not taken."),
        (553, "Requested action not taken, file name not allowed."),
    ] {
        assert_eq!(&*Reply::own(code).text, text, "{code}");
    }
}

#[test]
fn the_gateways_own_words_hold_nothing_that_looks_like_an_address() {
    for code in 200..600 {
        let reply = Reply::own(code);
        assert!(!reply.text.is_empty());
        assert!(
            !reply
                .text
                .contains(|letter: char| letter.is_ascii_digit() || letter == '('),
            "{code}"
        );
    }
}

#[test]
fn debug_of_a_permit_shows_nothing_of_its_line() {
    let permit = Permit::new(Bytes::from_static(b"PASS hunter2\r\n"));
    let shown = format!(
        "{permit:?} {:?}",
        Verdict::Forward(Permit::new(permit.line().clone()))
    );
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("Permit"), "{shown}");
}
