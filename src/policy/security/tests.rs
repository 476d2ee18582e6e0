//! Rules on channels.

use super::Lack;
use crate::ftp::security::TlsVersion;
use crate::policy::judge::{Channels, Judge, Outlook};
use crate::policy::sample::{Sitting, allow, answer, codes, deny, hand_over, policy, problems};
use crate::policy::spec::{RuleSpec, Severity};

/// Control and data under TLS, with a certificate.
const PRIVATE: Channels<'static> = Channels {
    control: Some(TlsVersion::V1_3),
    data: true,
    certificate: Some("CN=acme,O=Acme"),
};

/// Data in clear.
const CLEAR_DATA: Channels<'static> = Channels {
    control: Some(TlsVersion::V1_2),
    data: false,
    certificate: None,
};

#[test]
fn tls_holds_where_every_channel_that_is_used_is_private() {
    let specs = [policy("p").rule(allow(&["RETR", "PWD", "USER"]).tls(true))];
    let clear = Sitting::under(&specs);
    assert_eq!(clear.codes(&["RETR x", "PWD"]), [530, 530]);
    let half = Sitting::under(&specs).over(CLEAR_DATA);
    assert_eq!(half.codes(&["RETR x", "PWD"]), [521, 0]);
    let private = Sitting::under(&specs).over(PRIVATE);
    assert_eq!(private.codes(&["RETR x", "PWD"]), [0, 0]);
}

#[test]
fn a_rule_for_clear_channels_refuses_what_uses_one() {
    let specs = [policy("p")
        .by_default()
        .rule(deny(&["STOR", "PWD"]).tls(false))];
    assert_eq!(Sitting::under(&specs).codes(&["STOR x", "PWD"]), [530, 530]);
    let half = Sitting::under(&specs).over(CLEAR_DATA);
    assert_eq!(half.codes(&["STOR x", "PWD"]), [521, 0]);
    let private = Sitting::under(&specs).over(PRIVATE);
    assert_eq!(private.codes(&["STOR x", "PWD"]), [0, 0]);
}

#[test]
fn a_version_is_the_least() {
    let specs = [policy("p").rule(allow(&["PWD"]).tls_version(TlsVersion::V1_3))];
    assert_eq!(Sitting::under(&specs).code("PWD"), 530);
    assert_eq!(Sitting::under(&specs).over(CLEAR_DATA).code("PWD"), 530);
    assert_eq!(Sitting::under(&specs).over(PRIVATE).code("PWD"), 0);
}

#[test]
fn a_certificate_is_a_glob_on_its_subject() {
    let rule = |glob: &str| [policy("p").rule(allow(&["PWD"]).certificates(&[glob]))];
    let over = |glob: &str, channels| Sitting::under(&rule(glob)).over(channels).code("PWD");
    assert_eq!(over("CN=acme,*", PRIVATE), 0);
    assert_eq!(over("cn=acme,*", PRIVATE), 530);
    assert_eq!(over("CN=globex,*", PRIVATE), 530);
    assert_eq!(over("*", CLEAR_DATA), 530);
    assert_eq!(over("*", Channels::default()), 530);
}

#[test]
fn a_hand_over_needs_its_channels() {
    let specs = [
        policy("p").rule(hand_over(&["*"], "q").tls(true)),
        policy("q").allow(&["PWD"]),
    ];
    assert_eq!(Sitting::under(&specs).code("PWD"), 502);
    assert_eq!(Sitting::under(&specs).over(PRIVATE).code("PWD"), 0);
}

#[test]
fn a_path_counts_behind_the_channels() {
    let specs = [policy("p").rule(allow(&["RETR"]).tls(true).paths(&["/out/**"]))];
    assert_eq!(Sitting::under(&specs).code("RETR /in/x"), 530);
    let private = Sitting::under(&specs).over(PRIVATE);
    assert_eq!(private.codes(&["RETR /in/x", "RETR /out/x"]), [550, 0]);
}

#[test]
fn what_tls_would_allow_may_be_promised() {
    let specs = [policy("p").rule(allow(&["SIZE"]).tls(true))];
    assert!(Sitting::under(&specs).could("SIZE", None));
    let refusing = [policy("p")
        .rule(deny(&["SIZE"]).tls(false))
        .allow(&["SIZE"])];
    assert!(Sitting::under(&refusing).could("SIZE", None));
}

#[test]
fn private_data_is_asked_for_only_where_all_else_is_there() {
    let rule = || allow(&["RETR"]).tls(true);
    let code = |rule: RuleSpec| {
        let specs = [policy("p").rule(rule)];
        Sitting::under(&specs).over(CLEAR_DATA).code("RETR x")
    };
    assert_eq!(code(rule()), 521);
    assert_eq!(code(rule().tls_version(TlsVersion::V1_3)), 530);
    assert_eq!(code(rule().certificates(&["*"])), 530);
    // It does not ask for private data at all.
    assert_eq!(code(allow(&["RETR"]).tls_version(TlsVersion::V1_3)), 530);
    // For one of two rules nothing else is missing.
    let specs = [policy("p")
        .rule(allow(&["RETR"]).tls(true).certificates(&["*"]))
        .rule(allow(&["RETR"]).tls(true))];
    assert_eq!(Sitting::under(&specs).over(CLEAR_DATA).code("RETR x"), 521);
    assert_eq!(Sitting::under(&specs).code("RETR x"), 530);
}

#[test]
fn nobody_is_asked_to_give_up_tls() {
    let specs = [policy("p").rule(allow(&["RETR", "PWD"]).tls(false))];
    assert_eq!(Sitting::under(&specs).codes(&["RETR x", "PWD"]), [0, 0]);
    let private = Sitting::under(&specs).over(PRIVATE);
    assert_eq!(private.codes(&["RETR x", "PWD"]), [502, 502]);
}

#[test]
fn a_value_that_needs_tls_is_no_unknown_value() {
    let specs = [policy("p")
        .allow(&["TYPE A"])
        .rule(allow(&["TYPE I"]).tls(true))];
    let clear = Sitting::under(&specs);
    assert_eq!(clear.codes(&["TYPE A", "TYPE I", "TYPE E"]), [0, 530, 504]);
}

#[test]
fn a_verb_whose_values_are_for_clear_channels_has_none_under_tls() {
    let specs = [policy("p").rule(allow(&["TYPE I"]).tls(false))];
    let clear = Sitting::under(&specs);
    assert_eq!(clear.codes(&["TYPE I", "TYPE E"]), [0, 504]);
    let private = Sitting::under(&specs).over(PRIVATE);
    assert_eq!(private.codes(&["TYPE I", "TYPE E"]), [502, 502]);
}

#[test]
fn what_the_command_never_has_is_not_asked_for_by_way_of_tls() {
    let specs = [policy("p").rule(allow(&["*"]).tls(true).paths(&["/out/**"]))];
    assert_eq!(Sitting::under(&specs).code("SYST"), 502);
    let specs = [policy("p").rule(allow(&["*"]).tls(true).argument(&["x"]))];
    assert_eq!(Sitting::under(&specs).code("CDUP"), 502);
}

#[test]
fn a_login_without_its_channels_is_refused_like_any_other() {
    let specs = [policy("p").rule(allow(&["USER", "PASS"]).tls(true))];
    let clear = Sitting::under(&specs);
    for line in ["USER acme", "PASS x"] {
        let judgement = clear.judge(line);
        assert!(
            matches!(judgement.verdict, crate::policy::Verdict::Deny(reply)
                if reply.code == 530 && &*reply.text == "Login incorrect."),
            "{line}"
        );
    }
}

#[test]
fn what_is_lacking_is_told() {
    let lack = |rule: RuleSpec, channels, line: &str| {
        let specs = [policy("p").rule(rule)];
        let sitting = Sitting::under(&specs).over(channels);
        sitting.ask(line.as_bytes(), Judge::decide).lack
    };
    let clear = Channels::default();
    let tls = || allow(&["RETR", "PWD"]).tls(true);
    assert_eq!(lack(tls(), clear, "PWD"), Some(Lack::Tls));
    assert_eq!(lack(tls(), CLEAR_DATA, "RETR x"), Some(Lack::PrivateData));
    assert_eq!(lack(tls(), PRIVATE, "RETR x"), None);
    assert_eq!(lack(tls(), clear, "STOR x"), None);
    let newest = allow(&["PWD"]).tls_version(TlsVersion::V1_3);
    assert_eq!(lack(newest, CLEAR_DATA, "PWD"), Some(Lack::Version));
    let certified = allow(&["PWD"]).certificates(&["CN=globex,*"]);
    assert_eq!(lack(certified, PRIVATE, "PWD"), Some(Lack::Certificate));
    let refused = deny(&["STOR"]).tls(false).reply("553 Not in clear.");
    assert_eq!(lack(refused, CLEAR_DATA, "STOR x"), Some(Lack::PrivateData));
    assert_eq!(lack(deny(&["PWD"]), clear, "PWD"), None);
}

#[test]
fn only_what_may_come_about_is_promised() {
    let secured = |version, certificate| Outlook::Secured {
        version,
        certificate,
    };
    let old = secured(TlsVersion::V1_2, None);
    let new = secured(TlsVersion::V1_3, Some("CN=acme,O=Acme"));
    let could = |rule: RuleSpec, verb: &str| {
        let specs = [policy("p").rule(rule)];
        let sitting = Sitting::under(&specs);
        [Outlook::Clear, Outlook::Open, old, new].map(|outlook| sitting.could_over(verb, outlook))
    };
    let both = || allow(&["SIZE", "MLSD"]);
    assert_eq!(could(both().tls(true), "SIZE"), [false, true, true, true]);
    assert_eq!(could(both().tls(true), "MLSD"), [false, true, true, true]);
    // PROT C is always to be had.
    assert_eq!(could(both().tls(false), "SIZE"), [true, true, false, false]);
    assert_eq!(could(both().tls(false), "MLSD"), [true, true, true, true]);
    let newest = both().tls_version(TlsVersion::V1_3);
    assert_eq!(could(newest, "SIZE"), [false, true, false, true]);
    let certified = both().certificates(&["CN=acme,*"]);
    assert_eq!(could(certified, "SIZE"), [false, true, false, true]);
    assert_eq!(
        could(both().certificates(&["CN=globex"]), "SIZE"),
        [false, true, false, false]
    );
    let clear_data = both().tls(false).tls_version(TlsVersion::V1_2);
    assert_eq!(could(clear_data, "MLSD"), [false, true, true, true]);
}

#[test]
fn what_is_refused_for_certain_is_not_promised() {
    let specs = [policy("p")
        .rule(deny(&["SIZE", "MLSD"]).tls(false))
        .allow(&["SIZE", "MLSD"])];
    let sitting = Sitting::under(&specs);
    let secured = Outlook::of(CLEAR_DATA);
    let could =
        |verb| [Outlook::Clear, Outlook::Open, secured].map(|of| sitting.could_over(verb, of));
    assert_eq!(could("SIZE"), [false, true, true]);
    assert_eq!(could("MLSD"), [false, true, true]);
    assert_eq!(Outlook::of(Channels::default()), Outlook::Open);
}

/// The codes of the errors of a policy that has `rules`.
fn errors(rules: Vec<RuleSpec>) -> Vec<&'static str> {
    let mut spec = policy("p").allow(&["@session"]);
    spec.rules = rules;
    codes(&[spec], Severity::Error)
}

#[test]
fn a_rule_behind_one_that_asks_for_less_is_never_reached() {
    let retr = || allow(&["RETR"]);
    let unreachable = ["policy/unreachable-rule"];
    let ordered = |first: RuleSpec, second: RuleSpec| errors(vec![first, second]);
    let old = TlsVersion::V1_2;
    let new = TlsVersion::V1_3;
    assert_eq!(ordered(retr(), retr().tls(true)), unreachable);
    assert_eq!(ordered(retr().tls(true), retr().tls(true)), unreachable);
    assert_eq!(
        ordered(retr().tls_version(old), retr().tls_version(new)),
        unreachable
    );
    // Each of these comes with TLS of some version.
    assert_eq!(
        ordered(retr().tls_version(old), retr().tls(true)),
        unreachable
    );
    assert_eq!(
        ordered(retr().tls_version(old), retr().certificates(&["*"])),
        unreachable
    );
    assert_eq!(
        ordered(
            retr().certificates(&["CN=a", "CN=b"]),
            retr().certificates(&["CN=a"])
        ),
        unreachable
    );
    let reached: [&str; 0] = [];
    assert_eq!(ordered(retr().tls(true), retr().tls(false)), reached);
    assert_eq!(
        ordered(retr().tls_version(new), retr().tls_version(old)),
        reached
    );
    assert_eq!(ordered(retr().tls_version(new), retr().tls(true)), reached);
    assert_eq!(ordered(retr().tls_version(old), retr().tls(false)), reached);
    // The control connection alone is not every channel.
    assert_eq!(ordered(retr().tls(true), retr().tls_version(new)), reached);
    assert_eq!(
        ordered(
            retr().certificates(&["CN=a"]),
            retr().certificates(&["CN=a", "CN=b"])
        ),
        reached
    );
}

#[test]
fn clear_channels_and_tls_go_together_in_a_transfer_only() {
    let both = |commands: &[&str]| allow(commands).tls(false).tls_version(TlsVersion::V1_2);
    let reached: [&str; 0] = [];
    assert_eq!(errors(vec![both(&["RETR"])]), reached);
    assert_eq!(errors(vec![both(&["RETR", "DELE"])]), reached);
    let found = problems(
        &[policy("p").allow(&["@session"]).rule(both(&["DELE"]))],
        Severity::Error,
    );
    assert_eq!(found.len(), 1);
    assert!(
        found[0].message.contains("second channel"),
        "{}",
        found[0].message
    );
}

#[test]
fn an_allow_that_asks_for_tls_and_is_allowed_without_restricts_nothing() {
    let restricting = |rule: RuleSpec| {
        let mut spec = policy("p").allow(&["@session", "RETR"]);
        spec.rules = vec![rule];
        codes(&[spec], Severity::Error)
    };
    let unrestricted = ["policy/unrestricted-rule"];
    assert_eq!(restricting(allow(&["RETR"]).tls(true)), unrestricted);
    assert_eq!(
        restricting(allow(&["RETR"]).tls_version(TlsVersion::V1_3)),
        unrestricted
    );
    assert_eq!(
        restricting(allow(&["RETR"]).certificates(&["*"])),
        unrestricted
    );
    // What is allowed below under conditions only leaves the rule something to say.
    let reached: [&str; 0] = [];
    assert_eq!(
        errors(vec![
            allow(&["RETR"]).tls(true),
            allow(&["RETR"]).certificates(&["*"])
        ]),
        reached
    );
    assert_eq!(
        errors(vec![
            answer(&["SYST"], "215 UNIX Type: L8").tls(false),
            allow(&["SYST"]).tls(true)
        ]),
        unrestricted
    );
}

#[test]
fn what_a_channel_lacks_is_told_with_its_condition() {
    for (lack, condition, words) in [
        (Lack::PrivateData, "tls", "PROT P"),
        (Lack::Tls, "tls", "control connection is in clear"),
        (Lack::Version, "tls_version", "older version"),
        (
            Lack::Certificate,
            "client_certificate",
            "no such certificate",
        ),
    ] {
        assert_eq!(lack.condition(), condition);
        assert!(lack.describe().contains(words), "{lack:?}");
    }
}
