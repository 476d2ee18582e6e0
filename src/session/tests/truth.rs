//! FEAT and HELP replies in all their forms.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::super::truth::{features, help, own_features};
use crate::ftp::command::Name;
use crate::ftp::verb::Verb;

/// What the sessions of these tests may do: all but SIZE, MLSD, SITE CHMOD and EPRT.
fn could(name: &Name, word: Option<&str>) -> bool {
    let is_chmod = word.is_some_and(|word| word.eq_ignore_ascii_case("CHMOD"));
    match name {
        Name::Known(
            Verb::Auth | Verb::Eprt | Verb::Mlsd | Verb::Pbsz | Verb::Prot | Verb::Size,
        )
        | Name::Other(_) => false,
        Name::Known(Verb::Site) => !is_chmod,
        Name::Known(_) => true,
    }
}

/// A HELP reply as a session may see it.
fn helped(reply: &str, site: bool) -> String {
    let reply = help(reply.as_bytes(), site, could);
    String::from_utf8(reply.to_vec()).unwrap()
}

/// A FEAT reply as a session may see it.
fn announced(reply: &str) -> String {
    let reply = features(reply.as_bytes(), could);
    String::from_utf8(reply.to_vec()).unwrap()
}

#[test]
fn features_of_one_line_are_the_gateways_own() {
    assert_eq!(
        announced("211 no features\r\n"),
        "211-Features:\r\n EPSV\r\n211 End\r\n"
    );
}

#[test]
fn features_are_not_listed_twice() {
    assert_eq!(
        announced("211-F\r\n epsv\r\n EPRT\r\n211 End\r\n"),
        "211-F\r\n epsv\r\n211 End\r\n"
    );
}

#[test]
fn features_in_odd_forms_take_the_form_of_the_rfc() {
    assert_eq!(
        announced("211-F\n    MDTM\n211-REST STREAM\n\tTVFS \n\n MLST a;\n SITE CHMOD\n211 End\n"),
        "211-F\n MDTM\r\n REST STREAM\r\n TVFS\r\n EPSV\r\n211 End\n"
    );
}

#[test]
fn an_mdtm_that_sets_the_time_is_listed_only_where_both_of_its_readings_may_be() {
    let reply = b"211-F\r\n MDTM YYYYMMDDHHMMSS[+-TZ];filename\r\n211 End\r\n";
    for (lacking, is_listed) in [(Verb::Stor, true), (Verb::Mfmt, false), (Verb::Mdtm, false)] {
        let kept = features(reply, |name, _| *name != Name::Known(lacking));
        let kept = String::from_utf8_lossy(&kept).into_owned();
        assert_eq!(
            kept.contains("MDTM"),
            is_listed,
            "without {lacking:?}: {kept}"
        );
    }
}

#[test]
fn features_without_any_are_one_line() {
    let nothing = |_: &Name, _: Option<&str>| false;
    assert_eq!(
        features(b"211-F\r\n SIZE\r\n211 End\r\n", nothing).as_ref(),
        b"211 No features supported\r\n"
    );
    assert_eq!(own_features(nothing), None);
}

#[test]
fn help_keeps_prose_that_begins_in_capitals_at_its_ends_only() {
    assert_eq!(
        helped(
            "214-FTP server has:\r\n FTP server has:\r\n MDTM\r\n214 PLEASE do not call.\r\n",
            false
        ),
        "214-FTP server has:\r\n MDTM\r\n214 PLEASE do not call.\r\n"
    );
}

#[test]
fn help_keeps_prose_and_blanks_names() {
    assert_eq!(
        helped(
            "214-The SIZE of it:\r\n SIZE* MDTM\r\n214 SIZE MLSD\r\n",
            false
        ),
        "214-The SIZE of it:\r\n       MDTM\r\n214          \r\n"
    );
}

#[test]
fn help_drops_usage_lines_whole() {
    assert_eq!(
        helped(
            "214-SITE:\r\n CHMOD <sp> mode\r\n UTIME <sp> time\r\n214 CHMOD <sp> mode\r\n",
            true
        ),
        "214-SITE:\r\n UTIME <sp> time\r\n214 \r\n"
    );
}

#[test]
fn features_have_the_gateways_tls_and_never_the_servers() {
    let server = b"211-F\r\n AUTH SSL\r\n SIZE\r\n PBSZ\r\n PROT C;P;\r\n CCC\r\n211 End\r\n";
    let with_tls = |name: &Name, _: Option<&str>| {
        matches!(name, Name::Known(Verb::Auth | Verb::Pbsz | Verb::Prot))
    };
    assert_eq!(
        features(server, with_tls).as_ref(),
        b"211-F\r\n AUTH TLS\r\n PBSZ\r\n PROT\r\n211 End\r\n"
    );
}

#[test]
fn features_under_implicit_tls_have_no_auth() {
    let implicit =
        |name: &Name, _: Option<&str>| matches!(name, Name::Known(Verb::Pbsz | Verb::Prot));
    assert_eq!(
        features(
            b"211-F\r\n AUTH TLS\r\n ADAT\r\n PROT\r\n211 End\r\n",
            implicit
        )
        .as_ref(),
        b"211-F\r\n PBSZ\r\n PROT\r\n211 End\r\n"
    );
    assert_eq!(
        own_features(implicit).unwrap().as_ref(),
        b"211-Features:\r\n PBSZ\r\n PROT\r\n211 End\r\n"
    );
}

#[test]
fn help_keeps_the_verbs_of_tls_that_there_are() {
    let explicit = |name: &Name, _: Option<&str>| {
        matches!(name, Name::Known(Verb::Auth | Verb::Pbsz | Verb::Prot))
    };
    let server = b"214-\r\n AUTH PBSZ PROT CCC ADAT\r\n214 .\r\n";
    assert_eq!(
        help(server, false, explicit).as_ref(),
        b"214-\r\n AUTH PBSZ PROT         \r\n214 .\r\n"
    );
}

#[test]
fn help_lists_the_verbs_of_tls_only_where_there_is_tls() {
    assert_eq!(
        helped("214-\r\n AUTH PBSZ PROT CCC NOOP QUIT\r\n214 .\r\n", false),
        "214-\r\n                    NOOP QUIT\r\n214 .\r\n"
    );
}

#[test]
fn help_of_one_line_about_an_allowed_verb_stays() {
    let reply = "214 Syntax: MDTM <sp> path\r\n";
    assert_eq!(helped(reply, false), reply);
}

proptest! {
    #[test]
    fn nothing_refused_is_listed(
        words in vec(
            select(vec!["SIZE", "MLSD", "EPRT", "MDTM", "AUTH", "SITE", "NOOP", "size", "<sp>", "\t"]),
            0..30,
        ),
        breaks in vec(any::<bool>(), 30),
    ) {
        let mut reply = "214-Known:\r\n".to_owned();
        for (word, ends) in words.iter().zip(breaks) {
            reply.push(' ');
            reply.push_str(word);
            if ends {
                reply.push_str("\r\n");
            }
        }
        reply.push_str("\r\n214 End\r\n");
        let helped = helped(&reply, false);
        for refused in ["SIZE", "MLSD", "EPRT", "AUTH"] {
            prop_assert!(!helped.contains(refused), "{helped}");
        }
        prop_assert!(helped.ends_with("214 End\r\n"));
    }
}
