//! Tests of the walk: order of rules and lists, hand-overs, extension, defaults.

use super::super::names::Key;
use super::super::sample::{Sitting, allow, answer, deny, disconnect, hand_over, policy};
use super::super::verdict::Verdict;
use crate::ftp::verb::Verb;

#[test]
fn the_first_rule_that_holds_decides() {
    let sitting = Sitting::under(&[policy("p")
        .rule(deny(&["RETR"]).paths(&["/a/b/**"]).named("b"))
        .rule(allow(&["RETR"]).paths(&["/a/**"]).named("a"))
        .rule(deny(&["RETR"]).named("rest"))
        .by_default()]);
    assert_eq!(sitting.decided("RETR /a/b/x"), "p b deny");
    assert_eq!(sitting.decided("RETR /a/x"), "p a allow");
    assert_eq!(sitting.decided("RETR /x"), "p rest deny");
    assert_eq!(sitting.decided("STOR /x"), "p default allow");
}

#[test]
fn rules_come_before_lists_and_lists_before_what_is_extended() {
    let sitting = Sitting::under(&[
        policy("p")
            .extends("q")
            .rule(allow(&["SITE CHMOD"]).named("chmod"))
            .allow(&["SIZE"])
            .deny(&["SITE CHMOD", "STOR"]),
        policy("q")
            .by_default()
            .rule(deny(&["SIZE"]).named("size"))
            .rule(allow(&["STOR"]).named("stor"))
            .allow(&["RETR"])
            .deny(&["DELE"]),
    ]);
    assert_eq!(sitting.decided("SITE CHMOD 644 x"), "p chmod allow");
    assert_eq!(sitting.decided("SIZE x"), "p allow allow");
    assert_eq!(sitting.decided("STOR x"), "p deny deny");
    assert_eq!(sitting.decided("RETR x"), "p allow allow");
    assert_eq!(sitting.decided("DELE x"), "p deny deny");
    // The default of what is extended is not used.
    assert_eq!(sitting.decided("MKD x"), "p default deny");
}

#[test]
fn extension_reaches_through_several_policies() {
    let sitting = Sitting::under(&[
        policy("a").extends("b"),
        policy("b").extends("c").allow(&["RETR"]),
        policy("c").rule(allow(&["STOR"])).deny(&["RETR"]),
    ]);
    assert_eq!(sitting.codes(&["RETR x", "STOR x", "DELE x"]), [0, 0, 502]);
}

#[test]
fn a_hand_over_decides_from_there_its_default_included() {
    let sitting = Sitting::under(&[
        policy("edi")
            .rule(hand_over(&[], "partner").users(&["acme"]).named("acme"))
            .rule(
                hand_over(&["STOR"], "open")
                    .users(&["globex"])
                    .named("globex"),
            )
            .allow(&["@info", "STOR"]),
        policy("partner")
            .rule(allow(&["STOR"]).paths(&["/in/{user}/*"]).named("in"))
            .rule(hand_over(&["RETR"], "open"))
            .allow(&["@session"]),
        policy("open").by_default().deny(&["DELE"]),
    ]);
    assert_eq!(sitting.decided("STOR /in/acme/x"), "edi acme/in allow");
    assert_eq!(sitting.decided("STOR /x"), "edi acme/default deny");
    assert_eq!(sitting.code("STOR /x"), 553);
    assert_eq!(sitting.decided("RETR x"), "edi acme/2/default allow");
    assert_eq!(sitting.decided("PWD"), "edi acme/allow allow");
    let globex = sitting.user(b"globex");
    assert_eq!(globex.decided("STOR x"), "edi globex/default allow");
    assert_eq!(globex.decided("DELE x"), "edi default deny");
    let nobody = globex.nobody();
    assert_eq!(nobody.decided("FEAT"), "edi allow allow");
    assert_eq!(nobody.decided("PWD"), "edi default deny");
}

#[test]
fn what_is_extended_brings_its_hand_overs_along() {
    let sitting = Sitting::under(&[
        policy("a").extends("b").deny(&["SIZE"]),
        policy("b").rule(hand_over(&["RETR", "SIZE"], "c").named("c")),
        policy("c").allow(&["RETR", "SIZE"]),
    ]);
    assert_eq!(sitting.decided("RETR x"), "a c/allow allow");
    assert_eq!(sitting.decided("SIZE x"), "a deny deny");
    assert_eq!(sitting.decided("STOR x"), "a default deny");
}

#[test]
fn what_is_unsure_is_not_handed_over() {
    let specs = [
        policy("p").rule(hand_over(&["RETR"], "open").paths(&["/**"])),
        policy("open").by_default(),
    ];
    assert_eq!(
        Sitting::under(&specs).codes(&["RETR /x", "RETR ~"]),
        [0, 502]
    );
}

#[test]
fn what_may_be_handed_over_may_be_refused_there_and_is_not_granted() {
    let sitting = Sitting::under(&[
        policy("p")
            .by_default()
            .rule(
                hand_over(&[], "read-only")
                    .paths(&["/archive/**"])
                    .named("archive"),
            )
            .rule(
                hand_over(&["RETR"], "none")
                    .paths(&["/other/**"])
                    .named("other"),
            )
            .deny(&["MKD"]),
        policy("read-only")
            .rule(
                hand_over(&["SIZE"], "none")
                    .paths(&["/archive/x"])
                    .named("x"),
            )
            .allow(&["RETR", "SIZE", "MKD"]),
        policy("none"),
    ]);
    assert_eq!(sitting.decided("DELE /archive/x"), "p archive/default deny");
    assert_eq!(sitting.decided("DELE /pub/x"), "p default allow");
    for path in ["~", "/pub/../archive/x", "/arch*/x"] {
        let decided = |verb| sitting.decided(&format!("{verb} {path}"));
        assert_eq!(decided("DELE"), "p archive/default deny", "{path}");
        assert_eq!(decided("SIZE"), "p archive/x/default deny", "{path}");
        assert_eq!(decided("RETR"), "p other/default deny", "{path}");
        // What is behind the doubt decides, whatever the other policy grants.
        assert_eq!(decided("MKD"), "p deny deny", "{path}");
    }
}

#[test]
fn whoever_may_be_named_by_a_hand_over_gets_nothing_beyond_it() {
    let specs = [
        policy("p")
            .by_default()
            .rule(hand_over(&[], "read-only").users(&["anonymous"])),
        policy("read-only").allow(&["RETR"]),
    ];
    // vsftpd takes all of them for one account.
    for user in ["anonymous", "ftp", "FTP"] {
        let sitting = Sitting::under(&specs).user(user.as_bytes());
        assert_eq!(sitting.codes(&["RETR /x", "DELE /x"]), [0, 502], "{user}");
    }
    assert_eq!(Sitting::under(&specs).user(b"ann").code("DELE /x"), 0);
}

#[test]
fn a_hand_over_takes_site_and_named_verbs_along() {
    let specs = [
        policy("p").rule(hand_over(&["*"], "named")),
        policy("named").allow(&["SITE EXEC", "SMNT"]),
    ];
    assert_eq!(
        Sitting::under(&specs).codes(&["SITE EXEC x", "SMNT /x", "SITE UMASK"]),
        [0, 0, 502]
    );
}

#[test]
fn a_default_of_allow_that_cannot_grant_counts_as_a_refusal() {
    let sitting = Sitting::under(&[policy("p").by_default()]);
    assert_eq!(sitting.decided("STOR x"), "p default allow");
    assert_eq!(sitting.decided("SMNT x"), "p default deny");
}

#[test]
fn consequences_are_what_they_say() {
    let sitting = Sitting::under(&[policy("p")
        .rule(deny(&["DELE"]).reply("450 Not today."))
        .rule(disconnect(&["RMD"]).reply("500 Go away."))
        .rule(disconnect(&["MKD"]))
        .rule(answer(&["ALLO"], "202 No storage allocation necessary."))]);
    let verdict = |line| format!("{:?}", sitting.judge(line).verdict);
    assert_eq!(
        verdict("DELE x"),
        "Deny(Reply { code: 450, text: \"Not today.\" })"
    );
    assert_eq!(
        verdict("RMD x"),
        "Close(Reply { code: 500, text: \"Go away.\" })"
    );
    assert!(matches!(sitting.judge("MKD x").verdict, Verdict::Close(reply) if reply.code == 421));
    assert!(matches!(sitting.judge("ALLO 5").verdict, Verdict::Answer(reply) if reply.code == 202));
    assert_eq!(sitting.decided("ALLO 5"), "p 4 answer");
    assert_eq!(sitting.decided("MKD x"), "p 3 disconnect");
}

#[test]
fn an_answer_makes_a_command_available_only_below_400() {
    let could =
        |reply| Sitting::under(&[policy("p").rule(answer(&["ALLO"], reply))]).could("ALLO", None);
    assert!(could("202 No storage allocation necessary."));
    assert!(!could("400 Not now."));
    assert!(!could("500 Never."));
}

#[test]
fn a_decision_costs_only_the_steps_that_name_its_verb() {
    let mut spec = policy("p")
        .rule(allow(&["STOR"]).paths(&["/in/**"]))
        .allow(&["@session", "RETR"]);
    for index in 0..500 {
        spec = spec.rule(allow(&["DELE"]).users(&[&format!("u{index}")]));
    }
    let sitting = Sitting::under(&[spec]);
    let policy = sitting.policy("p");
    let steps = |verb| policy.chain(Key::Known(verb)).steps.len();
    assert_eq!(steps(Verb::Stor), 1);
    assert_eq!(steps(Verb::Retr), 1);
    assert_eq!(steps(Verb::Dele), 500);
    assert_eq!(steps(Verb::Rmd), 0);
    assert_eq!(policy.chain(Key::Other("RCMD")).steps.len(), 0);
}
