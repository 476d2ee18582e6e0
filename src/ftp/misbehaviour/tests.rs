//! What every fault is answered with.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_fault_has_its_own_label() {
    let client: BTreeSet<_> = ClientFault::ALL.map(ClientFault::kind).into();
    assert_eq!(client.len(), ClientFault::ALL.len());
    let server: BTreeSet<_> = ServerFault::ALL.map(ServerFault::kind).into();
    assert_eq!(server.len(), ServerFault::ALL.len());
    for kind in client.union(&server) {
        assert!(
            kind.bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte == b'_'),
            "{kind}"
        );
    }
}

#[test]
fn an_answer_is_a_refusal_in_one_line() {
    for fault in ClientFault::ALL {
        let (code, text, fate) = fault.answer();
        assert!(matches!(code, 421 | 500..=504), "{fault:?}");
        assert!(text.is_ascii() && !text.bytes().any(|byte| byte.is_ascii_control()));
        // Firewalls read addresses out of parentheses.
        assert!(
            !text.contains(['(', ')', ',']) || !text.contains('('),
            "{fault:?}"
        );
        if code == 421 {
            assert_eq!(fate, Fate::Ends, "{fault:?}");
        }
    }
}

#[test]
fn lines_that_are_no_commands_are_counted() {
    for fault in [
        ClientFault::BadVerb,
        ClientFault::BareCr,
        ClientFault::LineTooLong,
        ClientFault::Nul,
        ClientFault::TelnetCommand,
        ClientFault::UnknownVerb,
    ] {
        assert_eq!(fault.answer().2, Fate::Counted, "{fault:?}");
    }
}

#[test]
fn a_server_that_cannot_be_followed_ends_the_session() {
    assert_eq!(ServerFault::NotAReply.fate(), Fate::Ends);
    assert_eq!(ServerFault::ReplyTooLong.fate(), Fate::Ends);
    assert_eq!(ServerFault::Unsolicited.fate(), Fate::Counted);
}
