//! Tests of the judge: who is asked when, which reply a refusal gets, and laws of evasion.

use std::sync::LazyLock;

use bytes::Bytes;
use proptest::prelude::*;

use super::super::sample::{Sitting, allow, answer, deny, hand_over, policy};
use super::super::verdict::Verdict;
use super::{Dialect, Judge, Query, System, WILDCARDS_MAX};
use crate::ftp::command::{Command, Name};
use crate::ftp::verb::{Forward, Verb};

/// The line that a judgement forwards.
fn line(sitting: &Sitting, line: &[u8]) -> Option<Bytes> {
    match sitting.ask(line, Judge::decide).verdict {
        Verdict::Forward(permit) => Some(permit.line().clone()),
        Verdict::Answer(_) | Verdict::Close(_) | Verdict::Deny(_) => None,
    }
}

#[test]
fn quit_and_noop_are_always_permitted_and_no_policy_sees_them() {
    let sitting = Sitting::under(&[policy("p").rule(deny(&[]))]);
    for line in ["QUIT", "NOOP", "noop x", "NOP"] {
        let judgement = sitting.judge(line);
        assert!(matches!(judgement.verdict, Verdict::Forward(_)), "{line}");
        assert!(
            judgement.decided.is_none() && judgement.upstream.is_none(),
            "{line}"
        );
    }
}

#[test]
fn what_the_gateway_cannot_carry_is_refused_under_every_policy() {
    let sitting = Sitting::under(&[policy("p").by_default()]);
    let mut seen = 0;
    for verb in Verb::ALL
        .iter()
        .filter(|verb| verb.row().forward == Forward::Never)
    {
        if Name::parse(verb.name().as_bytes()).is_none() {
            continue;
        }
        let judgement = sitting.judge(&format!("{} x", verb.name()));
        assert!(
            matches!(judgement.verdict, Verdict::Deny(reply) if reply.code == 502),
            "{verb:?}"
        );
        assert!(judgement.decided.is_none());
        seen += 1;
    }
    assert!(seen >= 16, "{seen}");
    assert_eq!(
        sitting.codes(&["AUTH TLS", "PBSZ 0", "PROT P", "CCC"]),
        [502; 4]
    );
}

#[test]
fn what_the_server_lacks_is_refused_but_for_what_the_gateway_does_itself() {
    let unsupported = ["MLSD", "XMKD", "EPSV", "EPRT", "FEAT", "RCMD"];
    let sitting = Sitting::with(
        &[policy("p").by_default()],
        Dialect::default(),
        &unsupported,
    );
    assert_eq!(
        sitting.codes(&[
            "MLSD",
            "xmkd a",
            "RCMD a",
            "MKD a",
            "EPSV",
            "EPRT |1|1.2.3.4|2000|",
            "FEAT"
        ]),
        [502, 502, 502, 0, 0, 0, 0]
    );
    assert!(sitting.judge("MLSD").decided.is_none());
    assert!(sitting.judge.is_unsupported(&Name::Known(Verb::Epsv)));
    assert!(!sitting.judge.is_unsupported(&Name::Known(Verb::Mkd)));
}

#[test]
fn modes_that_leave_the_connection_open_are_never_carried() {
    let sitting = Sitting::under(&[policy("p").by_default()]);
    assert_eq!(
        sitting.codes(&["MODE B", "mode c", "MODE  B", "MODE Bx", "MODE S", "MODE Z"]),
        [504, 504, 504, 504, 0, 0]
    );
}

#[test]
fn site_is_never_forwarded_before_login() {
    let sitting = Sitting::under(&[policy("p").by_default()]).nobody();
    assert_eq!(
        sitting.codes(&["SITE CPFR x", "SITE HELP", "CHMOD 644 x", "SYST"]),
        [502, 502, 502, 0]
    );
}

#[test]
fn the_listeners_policy_is_asked_first_and_the_upstreams_must_allow_as_well() {
    let sitting = Sitting::under(&[
        policy("p").allow(&["RETR", "STOR", "MKD"]),
        policy("upstream")
            .by_default()
            .rule(deny(&["@upload"]).reply("450 Frozen.").named("frozen"))
            .deny(&["MKD"]),
    ]);
    let judgement = sitting.judge("STOR x");
    assert!(matches!(judgement.verdict, Verdict::Deny(reply) if reply.code == 450));
    assert_eq!(&*sitting.set.rule(judgement.decided.unwrap()).rule, "allow");
    assert_eq!(
        &*sitting.set.rule(judgement.upstream.unwrap()).rule,
        "frozen"
    );
    assert_eq!(sitting.codes(&["RETR x", "MKD x", "DELE x"]), [0, 502, 502]);
    assert!(sitting.judge("DELE x").upstream.is_none());
    assert!(sitting.judge("RETR x").upstream.is_some());
}

#[test]
fn an_observed_policy_is_asked_and_not_obeyed() {
    let sitting = Sitting::under(&[
        policy("p").allow(&["RETR"]),
        policy("observed").allow(&["STOR"]),
    ]);
    let observed = |line| {
        let id = sitting.judge(line).observed.unwrap();
        sitting.set.rule(id).action.name()
    };
    assert_eq!((sitting.code("RETR x"), observed("RETR x")), (0, "deny"));
    assert_eq!((sitting.code("STOR x"), observed("STOR x")), (502, "allow"));
    assert!(sitting.judge("QUIT").observed.is_none());
}

#[test]
fn a_refused_verb_is_not_implemented_and_a_refused_login_is_incorrect() {
    let sitting = Sitting::under(&[policy("p")]);
    assert_eq!(
        sitting.codes(&["SITE CHMOD 644 x", "SMNT /", "XYZZY", "RETR x", "PWD"]),
        [502; 5]
    );
    assert_eq!(
        sitting.codes(&["USER x", "PASS x", "ACCT x", "REIN", "HOST x"]),
        [530, 530, 530, 502, 502]
    );
}

#[test]
fn an_allow_rule_that_is_missed_by_a_path_makes_it_a_refusal_of_the_path() {
    let sitting = Sitting::under(&[policy("p").rule(
        allow(&[
            "RETR", "STOR", "STOU", "APPE", "RNTO", "RNFR", "CWD", "LIST", "DELE", "MFMT",
        ])
        .paths(&["/in/**"]),
    )]);
    for line in [
        "RETR /x",
        "RNFR /x",
        "CWD /x",
        "LIST /x",
        "DELE /x",
        "MFMT 20240101000000 /x",
        "RETR ~",
    ] {
        assert_eq!(sitting.code(line), 550, "{line}");
    }
    for line in ["STOR /x", "STOU", "APPE /x", "RNTO /x"] {
        assert_eq!(sitting.code(line), 553, "{line}");
    }
    assert_eq!(sitting.code("SIZE /x"), 502);
}

#[test]
fn of_several_misses_paths_come_before_arguments() {
    let sitting = Sitting::under(&[policy("p")
        .rule(allow(&["RETR"]).argument(&["x"]))
        .rule(allow(&["RETR"]).paths(&["/in/**"]).filename(&["y"]))
        .rule(allow(&["SIZE"]).argument(&["x"]))
        .rule(allow(&["MKD"]).paths(&["/in/**"]).users(&["somebody"]))]);
    assert_eq!(
        sitting.codes(&["RETR z", "SIZE z", "MKD z"]),
        [550, 501, 502]
    );
}

#[test]
fn a_deny_without_a_reply_has_the_code_of_its_condition() {
    let sitting = Sitting::under(&[policy("p")
        .by_default()
        .rule(deny(&["RETR", "STOR"]).paths(&["/no/**"]))
        .rule(deny(&["ALLO"]).argument(&["9+"]))
        .rule(deny(&["DELE"]).users(&["acme"]))]);
    assert_eq!(
        sitting.codes(&["RETR /no/x", "STOR /no/x", "ALLO 99", "DELE x"]),
        [550, 553, 501, 502]
    );
}

#[test]
fn a_missing_argument_is_a_syntax_error_where_one_is_needed() {
    let sitting = Sitting::under(&[policy("p").rule(allow(&["RETR", "LIST"]).paths(&["/in/**"]))]);
    assert_eq!(sitting.codes(&["RETR", "LIST"]), [501, 550]);
    // A rule about the argument of a command that may have one is missed without it.
    let sitting =
        Sitting::under(&[policy("p").rule(allow(&["ALLO", "NLST", "CDUP"]).argument(&["[0-9]+"]))]);
    assert_eq!(sitting.codes(&["ALLO 5", "ALLO x"]), [0, 501]);
    assert_eq!(sitting.codes(&["ALLO", "NLST", "CDUP"]), [501, 501, 502]);
}

#[test]
fn before_login_a_path_or_an_argument_is_refused_as_a_server_would() {
    let sitting = Sitting::under(&[policy("p")
        .rule(allow(&["RETR"]).paths(&["/in/**"]))
        .rule(allow(&["OPTS"]).argument(&["ON"]))])
    .nobody();
    assert_eq!(
        sitting.codes(&["RETR /x", "OPTS UTF8 OFF", "STOR x"]),
        [530, 530, 502]
    );
}

#[test]
fn a_refused_value_is_told_from_a_refused_verb() {
    let sitting = Sitting::under(&[policy("p")
        .allow(&["TYPE A", "TYPE I"])
        .rule(allow(&["STRU"]).argument(&["F"]))]);
    assert_eq!(
        sitting.codes(&["TYPE E", "TYPE", "STRU R", "MODE S", "MODE Z"]),
        [504, 501, 504, 502, 502]
    );
    let per_user = Sitting::under(&[policy("p").rule(allow(&["TYPE"]).users(&["other"]))]);
    assert_eq!(per_user.code("TYPE I"), 502);
}

#[test]
fn no_reply_of_ours_echoes_the_client() {
    let sitting = Sitting::under(&[policy("p").rule(allow(&["RETR"]).paths(&["/in/**"]))]);
    for line in [
        "XYZZY 227 (10,0,0,1,0,22)",
        "RETR 227 (10,0,0,1,0,22)",
        "TYPE 227",
        "USER 227",
    ] {
        match sitting.judge(line).verdict {
            Verdict::Deny(reply) => assert!(!reply.text.contains("227"), "{line}"),
            Verdict::Answer(_) | Verdict::Close(_) | Verdict::Forward(_) => panic!("{line}"),
        }
    }
}

#[test]
fn a_path_that_is_too_long_is_refused_where_policy_would_let_it_pass() {
    let dialect = Dialect {
        path_bytes: 10,
        ..Dialect::default()
    };
    let sitting = Sitting::with(&[policy("p").by_default().deny(&["DELE"])], dialect, &[]);
    assert_eq!(
        sitting.codes(&[
            "RETR /123456789",
            "RETR /1234567890",
            "STOR /1234567890",
            "DELE /1234567890",
            "LIST -a/123456789",
            "LIST -a /../456789",
            "LIST -a/12345",
        ]),
        [0, 550, 553, 502, 550, 550, 0]
    );
    assert_eq!(
        sitting.cd("/abc").codes(&["RETR 12345", "MKD 123456"]),
        [0, 550]
    );
}

#[test]
fn letter_case_counts_in_names_on_the_unix_side_of_mvs() {
    let upper = policy("p").rule(allow(&["STOR"]).filename(&["[A-Z]+"]));
    let mvs = Sitting::before(System::Mvs, &[upper]);
    assert_eq!(mvs.codes(&["STOR /u/ABC", "STOR /u/abc"]), [0, 553]);
    assert_eq!(mvs.codes(&["STOR 'PROD.abc'", "STOR 'PROD.ABC'"]), [0, 0]);
}

#[test]
fn a_listing_has_a_bounded_number_of_wildcards() {
    let sitting = Sitting::under(&[policy("p").by_default()]);
    let stars = |verb: &str, count| format!("{verb} {}", "*a".repeat(count));
    assert_eq!(sitting.code(&stars("STAT", WILDCARDS_MAX)), 0);
    assert_eq!(sitting.code(&stars("STAT", WILDCARDS_MAX + 1)), 550);
    assert_eq!(sitting.code(&stars("NLST", WILDCARDS_MAX + 1)), 550);
    assert_eq!(sitting.code(&stars("STOR", WILDCARDS_MAX + 1)), 0);
}

#[test]
fn the_judged_path_is_stated_where_it_is_certain() {
    let sitting = Sitting::under(&[policy("p").by_default()]).cd("/a");
    let path = |line| {
        let path = sitting.judge(line).path?;
        Some(String::from_utf8(path.to_vec()).unwrap())
    };
    assert_eq!(path("RETR b/./c").as_deref(), Some("/a/b/c"));
    assert_eq!(path("LIST -R").as_deref(), Some("/a"));
    assert_eq!(path("SITE COPY x /y").as_deref(), Some("/a/x"));
    assert_eq!(path("SMNT /x").as_deref(), Some("/x"));
    assert_eq!(path("STOU").as_deref(), Some("/a"));
    for line in ["RETR ~", "NLST *", "PWD", "SITE FOO x", "XYZZY x"] {
        assert_eq!(path(line), None, "{line}");
    }
    let mvs = Sitting::before(System::Mvs, &[policy("p").by_default()]);
    assert_eq!(
        mvs.judge("RETR lib(mem)").path.as_deref(),
        Some(&b"ACME.LIB(MEM)"[..])
    );
}

#[test]
fn the_directory_is_needed_only_where_a_rule_depends_on_it() {
    let sitting = Sitting::under(&[policy("p")
        .allow(&["@session", "LIST"])
        .rule(allow(&["RETR", "MLSD"]).paths(&["/in/**"]))
        .rule(deny(&["DELE"]).users(&["somebody"]).paths(&["/no/**"]))
        .rule(allow(&["SIZE"]).filename(&["x"]))]);
    let needs = |line: &str| sitting.ask(line.as_bytes(), Judge::needs_directory);
    for line in ["RETR x", "MLSD", "SIZE x", "RNFR x"] {
        assert!(needs(line), "{line}");
    }
    for line in [
        "RETR /x",
        "LIST",
        "CWD x",
        "DELE x",
        "PWD",
        "SITE CHMOD 644 x",
        "QUIT",
        "RNFR /x",
        "RETR ~",
    ] {
        assert!(!needs(line), "{line}");
    }
    let nobody = sitting.nobody();
    assert!(!nobody.ask(b"RETR x", Judge::needs_directory));
}

#[test]
fn the_upstreams_and_the_observed_policy_may_need_the_directory_too() {
    for name in ["upstream", "observed"] {
        let sitting = Sitting::under(&[
            policy("p").allow(&["RETR"]),
            policy(name)
                .by_default()
                .rule(deny(&["RETR"]).paths(&["/no/**"])),
        ]);
        assert!(sitting.ask(b"RETR x", Judge::needs_directory), "{name}");
        assert!(!sitting.ask(b"STOR x", Judge::needs_directory), "{name}");
    }
}

#[test]
fn home_is_needed_where_any_policy_mentions_it() {
    let at_home = |name: &str| policy(name).rule(allow(&["RETR"]).paths(&["{home}/**"]));
    assert!(Sitting::under(&[at_home("p")]).judge.uses_home());
    assert!(
        Sitting::under(&[policy("p"), at_home("upstream")])
            .judge
            .uses_home()
    );
    assert!(
        Sitting::under(&[policy("p"), at_home("observed")])
            .judge
            .uses_home()
    );
    assert!(
        Sitting::under(&[policy("p").extends("q"), at_home("q")])
            .judge
            .uses_home()
    );
    assert!(
        Sitting::under(&[policy("p").rule(hand_over(&[], "q")), at_home("q")])
            .judge
            .uses_home()
    );
    assert!(
        !Sitting::under(&[policy("p"), at_home("q")])
            .judge
            .uses_home()
    );
    let sitting = Sitting::under(&[at_home("p")]).home(None);
    assert!(sitting.ask(b"RETR /x", Judge::needs_directory));
}

#[test]
fn what_could_be_allowed_depends_on_no_path_and_no_argument() {
    let sitting = Sitting::under(&[policy("p")
        .rule(deny(&["RETR"]).paths(&["/no/**"]))
        .rule(allow(&["RETR", "STOR"]).paths(&["/in/**"]))
        .rule(allow(&["SITE CHMOD"]).argument(&["644 .+"]))
        .rule(allow(&["DELE"]).users(&["other"]))
        .rule(
            allow(&["RMD"])
                .users(&["acme"])
                .clients(&["198.51.100.0/24"])
                .hours(&["Mon UTC"]),
        )
        .rule(answer(&["ALLO"], "202"))
        .rule(answer(&["LANG"], "504"))
        .rule(deny(&["MKD"]))
        .rule(allow(&["XYZZY"]).clients(&["192.0.2.0/24"]))
        .allow(&["@session", "TYPE I", "STAT", "MDTM", "@list"])
        .deny(&["TYPE", "@modify", "MODE Z", "OPTS UTF8"])]);
    for (name, word) in [
        ("RETR", None),
        ("STOR", None),
        ("SITE", None),
        ("SITE", Some("CHMOD")),
        ("SITE", Some("chmod")),
        ("CHMOD", None),
        ("RMD", None),
        ("XRMD", None),
        ("ALLO", None),
        ("TYPE", None),
        ("TYPE", Some("I")),
        ("STAT", None),
        ("MDTM", None),
        ("QUIT", None),
        ("NOOP", None),
        ("MODE", None),
        ("OPTS", Some("MLST")),
        ("OPTS", None),
        ("EPSV", None),
        ("MLST", None),
    ] {
        assert!(sitting.could(name, word), "{name} {word:?}");
    }
    for (name, word) in [
        ("DELE", None),
        ("SITE", Some("UMASK")),
        ("LANG", None),
        ("MKD", None),
        ("XMKD", None),
        ("TYPE", Some("E")),
        ("MFMT", None),
        ("MODE", Some("Z")),
        ("MODE", Some("B")),
        ("OPTS", Some("UTF8")),
        ("SMNT", None),
        ("LPRT", None),
        ("AUTH", None),
        ("XYZZY", None),
    ] {
        assert!(!sitting.could(name, word), "{name} {word:?}");
    }
    let later = sitting.at(0);
    assert!(!later.could("RMD", None));
    let nobody = later.nobody();
    assert!(!nobody.could("SITE", None));
    assert!(nobody.could("STOR", None));
}

#[test]
fn the_form_of_mdtm_and_stat_can_be_asked_for() {
    let sitting = Sitting::under(&[policy("p").allow(&["@list"])]);
    assert!(sitting.could("MDTM", None));
    assert!(!sitting.could("MDTM", Some("YYYYMMDDHHMMSS")));
    let sitting = Sitting::under(&[policy("p").allow(&["@info"])]);
    assert!(sitting.could("STAT", None));
    assert!(!sitting.could("STAT", Some("path")));
}

#[test]
fn what_could_be_allowed_minds_hand_overs_upstreams_and_servers() {
    let specs = [
        policy("p")
            .rule(hand_over(&[], "q").users(&["acme"]))
            .rule(hand_over(&[], "r").paths(&["/in/**"])),
        policy("q")
            .rule(hand_over(&["RETR"], "r"))
            .allow(&["STOR", "DELE"]),
        policy("r").allow(&["RETR"]),
        policy("upstream").by_default().deny(&["DELE"]),
    ];
    let sitting = Sitting::with(&specs, Dialect::default(), &["STOR"]);
    assert!(sitting.could("RETR", None));
    assert!(!sitting.could("STOR", None));
    assert!(!sitting.could("DELE", None));
    let other = sitting.user(b"other");
    // In some directory it could.
    assert!(other.could("RETR", None));
    assert!(!other.could("PWD", None));
}

#[test]
fn what_could_be_allowed_minds_how_the_server_reads_names() {
    let spec = policy("p").rule(allow(&["RETR"]).users(&["ACME"]));
    for (system, is_same) in [
        (System::Unix, false),
        (System::Windows, true),
        (System::Mvs, true),
    ] {
        let sitting = Sitting::before(system, std::slice::from_ref(&spec));
        assert_eq!(sitting.code("RETR x") == 0, is_same, "{system:?}");
        assert_eq!(sitting.could("RETR", None), is_same, "{system:?}");
    }
}

#[test]
fn what_could_be_allowed_minds_the_words_that_either_policy_names() {
    for line in ["STRU F", "TYPE A", "MODE S", "OPTS UTF8", "SITE FOO"] {
        let (verb, _) = line.split_once(' ').unwrap();
        for (own, upstream) in [(line, verb), (verb, line)] {
            let sitting = Sitting::under(&[
                policy("p").allow(&[own]),
                policy("upstream").allow(&[upstream]),
            ]);
            assert_eq!(sitting.code(line), 0, "{own} {upstream}");
            assert!(sitting.could(verb, None), "{own} {upstream}");
        }
    }
}

#[test]
fn what_must_be_named_is_named_by_the_listeners_policy() {
    let specs = [
        policy("p").allow(&["SMNT", "SITE EXEC"]),
        policy("upstream").by_default(),
    ];
    let sitting = Sitting::under(&specs);
    assert_eq!(sitting.codes(&["SMNT /x", "SITE EXEC x"]), [0, 0]);
    assert!(sitting.could("SMNT", None));
    assert!(sitting.could("SITE", Some("EXEC")));
    let specs = [
        policy("p").by_default(),
        policy("upstream").allow(&["SMNT", "SITE EXEC"]),
    ];
    let sitting = Sitting::under(&specs);
    assert_eq!(sitting.codes(&["SMNT /x", "SITE EXEC x"]), [502, 502]);
    assert!(!sitting.could("SMNT", None));
    assert!(!sitting.could("SITE", Some("EXEC")));
}

#[test]
fn nobody_is_promised_what_a_policy_with_paths_cannot_trace() {
    let inside = || allow(&["RETR"]).paths(&["/in/**"]);
    let sitting = Sitting::under(&[policy("p").by_default()]);
    assert_eq!(sitting.code("COMB /in/x /in/y"), 0);
    assert!(sitting.could("COMB", None));
    let own = [policy("p").by_default().rule(inside()).deny(&["RETR"])];
    let before = [
        policy("p").rule(inside()).rule(hand_over(&[], "q")),
        policy("q").by_default().deny(&["RETR"]),
    ];
    let behind = [
        policy("p").rule(hand_over(&[], "q")),
        policy("q").by_default().rule(inside()).deny(&["RETR"]),
    ];
    for specs in [&own[..], &before, &behind] {
        let sitting = Sitting::under(specs);
        assert_eq!(sitting.code("COMB /in/x /in/y"), 502);
        assert!(!sitting.could("COMB", None));
    }
    // A rule that refuses a path refuses what may have it.
    let sitting = Sitting::under(&[policy("p")
        .rule(deny(&["COMB"]).paths(&["/no/**"]))
        .allow(&["COMB"])]);
    assert_eq!(sitting.code("COMB /in/x /in/y"), 550);
    assert!(!sitting.could("COMB", None));
}

#[test]
fn a_session_that_must_not_write_finds_no_way_round() {
    let read_only = policy("p")
        .allow(&["@session", "@list", "@download"])
        .deny(&["REIN"]);
    let sitting = Sitting::under(&[read_only]).renaming(Some("/a"));
    for line in [
        "STOR x",
        "STOU",
        "APPE x",
        "DELE x",
        "RMD x",
        "XRMD x",
        "MKD x",
        "XMKD x",
        "RNFR x",
        "RNTO x",
        "MFMT 20240101000000 x",
        "MFCT 20240101000000 x",
        "MFF UNIX.mode=777; x",
        "MDTM 20240101000000 x",
        "MDTM 20240101 x",
        "MDTM 2aaaaaaaaaaaaa x",
        "SITE CHMOD 777 x",
        "CHMOD 777 x",
        "SITE SYMLINK /a b",
        "SITE CPFR a",
        "SITE CPTO b",
        "SITE COPY a b",
        "COMB a b",
        "RMDA x",
        "SITE EXEC x",
        "SMNT /",
    ] {
        assert_eq!(sitting.code(line), 502, "{line}");
    }
    assert_eq!(
        sitting.codes(&["REST 100", "RETR x", "LIST", "MDTM x"]),
        [0; 4]
    );
}

#[test]
fn a_forwarded_line_is_encoded_anew() {
    let sitting = Sitting::under(&[policy("p").by_default()]);
    for (sent, forwarded) in [
        (&b"pwd   "[..], &b"pwd\r\n"[..]),
        (b"type a  n", b"TYPE A N\r\n"),
        (b"RETR  a ", b"RETR  a \r\n"),
        (b"Retr \xff", b"Retr \xff\xff\r\n"),
        (b"site chmod 644 x", b"site chmod 644 x\r\n"),
        (b"PASS ", b"PASS \r\n"),
    ] {
        assert_eq!(line(&sitting, sent).as_deref(), Some(forwarded));
    }
}

/// Reads a line as a lenient server would: Telnet removed, letters folded, cut at the blank.
fn lenient(line: &[u8]) -> (String, Vec<u8>) {
    let body = line.strip_suffix(b"\r\n").unwrap();
    assert!(!body.contains(&b'\r') && !body.contains(&b'\n') && !body.contains(&0));
    let mut bytes = Vec::new();
    let mut rest = body.iter();
    while let Some(byte) = rest.next() {
        if *byte == 0xFF {
            assert_eq!(rest.next(), Some(&0xFF));
        }
        bytes.push(*byte);
    }
    let mut halves = bytes.splitn(2, |byte| *byte == b' ');
    let verb = String::from_utf8(halves.next().unwrap().to_ascii_uppercase()).unwrap();
    (verb, halves.next().unwrap_or_default().to_vec())
}

/// Any line that is a command, more often than not of a known verb.
fn any_line() -> impl Strategy<Value = Vec<u8>> {
    let verb = prop_oneof![
        4 => (0..Verb::ALL.len()).prop_map(|index| Verb::ALL[index].name().to_owned()),
        1 => "[a-zA-Z0-9]{1,12}",
    ];
    let argument = prop_oneof![
        "[a-z /.*-]{0,20}".prop_map(String::into_bytes),
        proptest::collection::vec(any::<u8>(), 0..30),
    ];
    (verb, proptest::option::of(argument), any::<bool>()).prop_map(|(verb, argument, lower)| {
        let mut line = if lower { verb.to_lowercase() } else { verb }.into_bytes();
        if let Some(argument) = argument {
            line.push(b' ');
            line.extend(argument);
        }
        line
    })
}

/// Sessions with servers of all systems, under a policy that looks at everything.
static STRICT: LazyLock<[Sitting; 3]> = LazyLock::new(|| {
    [System::Unix, System::Windows, System::Mvs].map(|system| {
        let everything = policy("p")
            .rule(
                deny(&[])
                    .paths(&["/no/{user}/**", "{home}/x", "PROD.**"])
                    .filename(&["x.*"]),
            )
            .rule(allow(&["STOR"]).argument(&[".*a.*"]))
            .by_default()
            .deny(&["STOR"]);
        Sitting::before(system, &[everything])
    })
});

/// Sessions that may do nothing but read and write in some places, and everything but read in
/// some places, the first without and the others with symbolic links at the server.
static SPELLING: LazyLock<[Sitting; 3]> = LazyLock::new(|| {
    let allowing = || allow(&["RETR", "STOR"]).paths(&["/in/**", "/a/*/b"]);
    let denying = || deny(&["RETR"]).paths(&["/no/**", "**/no/b"]);
    [
        Sitting::linkless(&[policy("p").rule(denying()).rule(allowing())]).cd("/a/b"),
        Sitting::under(&[policy("p").by_default().rule(denying())]).cd("/a/b"),
        Sitting::under(&[policy("p").rule(allowing())]).cd("/a/b"),
    ]
});

/// A session that may do some things.
static MIXED: LazyLock<Sitting> = LazyLock::new(|| {
    Sitting::under(&[policy("p")
        .rule(allow(&["STOR", "SITE CHMOD"]).paths(&["/**"]))
        .rule(deny(&["RETR"]).users(&["acme"]))
        .allow(&["@session", "@list", "MFMT", "RETR"])
        .deny(&["TYPE E", "SIZE"])])
});

/// Spellings of `path` that name the same file on a server without symbolic links, seen from
/// `/a/b`.
fn spelling(path: &str, seed: &[u8]) -> String {
    let mut spelled = String::new();
    for (index, part) in path.split('/').skip(1).enumerate() {
        match seed.get(index).map(|byte| byte % 6) {
            Some(0) => spelled.push_str("/."),
            Some(1) => spelled.push('/'),
            Some(2) => spelled.push_str("/zz/.."),
            Some(3) if index == 0 => spelled.push_str("/../.."),
            _ => {}
        }
        spelled.push('/');
        spelled.push_str(part);
    }
    match seed.last().map(|byte| byte % 4) {
        Some(0) => spelled.push('/'),
        Some(1) => spelled.push_str("/."),
        Some(2) => spelled = format!("../..{spelled}"),
        _ => {}
    }
    spelled
}

proptest! {
    #[test]
    fn any_line_and_any_state_give_a_verdict(
        sent in any_line(),
        user in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..8)),
        directory in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..8)),
        system in 0..3_u8,
    ) {
        let Ok(command) = Command::parse(&Bytes::from(sent)) else {
            return Ok(());
        };
        let sitting = &STRICT[usize::from(system)];
        let query = Query {
            command: &command,
            user: user.as_deref(),
            client: sitting.client,
            directory: directory.as_deref(),
            home: directory.as_deref(),
            renaming: directory.as_deref(),
            unix_time: sitting.unix_time,
            channels: sitting.channels,
        };
        sitting.judge.decide(&query);
        sitting.judge.needs_directory(&query);
    }

    #[test]
    fn what_a_lenient_server_reads_is_what_was_judged(sent in any_line()) {
        prop_assume!(Command::parse(&Bytes::from(sent.clone())).is_ok());
        let command = Command::parse(&Bytes::from(sent.clone())).unwrap();
        let [_, sitting, _] = &*SPELLING;
        if let Some(line) = line(sitting, &sent) {
            let (verb, argument) = lenient(&line);
            prop_assert_eq!(&verb, command.name.as_str());
            let canonical = matches!(command.judged(), Some(Verb::Type | Verb::Mode | Verb::Stru));
            if canonical {
                let words = |bytes: &[u8]| -> Vec<Vec<u8>> {
                    bytes.split(|byte| *byte == b' ').filter(|word| !word.is_empty()).map(<[u8]>::to_ascii_uppercase).collect()
                };
                prop_assert_eq!(words(&argument), words(command.argument_bytes()));
            } else {
                prop_assert_eq!(&argument[..], command.argument_bytes());
            }
        }
    }

    #[test]
    fn spellings_of_a_path_have_one_verdict(
        path in "(/[ab]|/no|/in){1,4}",
        seed in proptest::collection::vec(any::<u8>(), 1..6),
    ) {
        let [sitting, _, _] = &*SPELLING;
        let spelled = spelling(&path, &seed);
        for verb in ["RETR", "STOR"] {
            let codes = sitting.codes(&[&format!("{verb} {path}"), &format!("{verb} {spelled}")]);
            prop_assert_eq!(codes[0], codes[1], "{} {}", path, spelled);
        }
    }

    #[test]
    fn no_spelling_weakens_a_deny_or_widens_an_allow(
        path in "(/[ab]|/no|/in){1,4}",
        seed in proptest::collection::vec(any::<u8>(), 1..6),
        place in 0..8_usize,
    ) {
        let [_, denying, allowing] = &*SPELLING;
        let spelled = spelling(&path, &seed);
        // A `/./` anywhere.
        let slashes: Vec<usize> = spelled.match_indices('/').map(|(index, _)| index).collect();
        let slash = *slashes.get(place).unwrap_or(&slashes[0]);
        let mut dotted = spelled.clone();
        dotted.insert_str(slash, "/.");
        let lines = [format!("RETR {spelled}"), format!("RETR {dotted}")];
        for sitting in [denying, allowing] {
            prop_assert_eq!(sitting.code(&lines[0]), sitting.code(&lines[1]), "{:?}", lines);
        }
        for line in lines {
            if denying.code(&format!("RETR {path}")) != 0 {
                prop_assert_ne!(denying.code(&line), 0, "{}", line);
            }
            if allowing.code(&format!("RETR {path}")) != 0 {
                prop_assert_ne!(allowing.code(&line), 0, "{}", line);
            }
        }
    }

    #[test]
    fn what_could_not_be_allowed_is_not(sent in any_line()) {
        prop_assume!(Command::parse(&Bytes::from(sent.clone())).is_ok());
        let command = Command::parse(&Bytes::from(sent.clone())).unwrap();
        let sitting = &*MIXED;
        if line(sitting, &sent).is_some() {
            prop_assert!(sitting.could(command.name.as_str(), None), "{:?}", command);
        }
    }
}
