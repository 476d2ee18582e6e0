//! Tests of names: what each grants and refuses, and which of two is the more specific.

use super::super::sample::{Sitting, allow, deny, hand_over, policy};

#[test]
fn a_verb_names_its_aliases_and_an_alias_its_verb() {
    let by_verb = Sitting::under(&[policy("p").allow(&["MKD", "cwd"])]);
    assert_eq!(
        by_verb.codes(&["MKD a", "XMKD a", "xmkd a", "XCWD a"]),
        [0; 4]
    );
    let by_alias = Sitting::under(&[policy("p").by_default().deny(&["XMKD", "XPWD"])]);
    assert_eq!(
        by_alias.codes(&["MKD a", "XMKD a", "PWD", "XPWD"]),
        [502; 4]
    );
}

#[test]
fn pure_ftpds_chmod_is_site_chmod() {
    let denied = Sitting::under(&[policy("p").by_default().deny(&["SITE CHMOD"])]);
    assert_eq!(
        denied.codes(&["CHMOD 777 x", "SITE CHMOD 777 x"]),
        [502, 502]
    );
    let allowed = Sitting::under(&[policy("p").allow(&["CHMOD"])]);
    assert_eq!(
        allowed.codes(&["CHMOD 777 x", "site chmod 777 x", "SITE UMASK 022"]),
        [0, 0, 502]
    );
    let all_site = Sitting::under(&[policy("p").by_default().deny(&["SITE"])]);
    assert_eq!(all_site.code("CHMOD 777 x"), 502);
}

#[test]
fn the_subcommand_of_site_is_its_first_word_in_any_letter_case() {
    let sitting = Sitting::under(&[policy("p")
        .allow(&["SITE", "@session"])
        .deny(&["SITE CHMOD"])]);
    for line in [
        "SITE CHMOD 777 x",
        "site chmod 777 x",
        "SITE  CHMOD 777 x",
        "SITE CHMOD",
        // Some server may read these as CHMOD as well.
        "SITE CHMOD,777 x",
        "SITE \"CHMOD\" 777 x",
    ] {
        assert_eq!(sitting.code(line), 502, "{line:?}");
    }
    assert_eq!(
        sitting.codes(&["SITE", "SITE CHMODE x", "SITE UMASK 022"]),
        [0; 3]
    );
}

#[test]
fn one_subcommand_says_nothing_of_another() {
    let sitting = Sitting::under(&[policy("p").allow(&["SITE CHMOD"])]);
    assert_eq!(
        sitting.codes(&[
            "SITE CHMOD 644 x",
            "SITE UMASK 022",
            "SITE",
            "SITE CHMOD,644 x"
        ]),
        [0, 502, 502, 502]
    );
    let open = Sitting::under(&[policy("p").by_default().deny(&["SITE CHMOD"])]);
    assert_eq!(
        open.codes(&["SITE CHMOD 644 x", "SITE UMASK 022", "SITE"]),
        [502, 0, 0]
    );
}

#[test]
fn the_most_specific_name_wins_and_deny_between_equals() {
    let sitting = Sitting::under(&[policy("p")
        .allow(&["SITE CHMOD", "@session", "MDTM", "@list", "SITE UMASK"])
        .deny(&["SITE", "@login", "@list", "*", "SITE UMASK"])]);
    // Word over verb, verb over group, group over all, and equals.
    assert_eq!(sitting.code("SITE CHMOD 644 x"), 0);
    assert_eq!(sitting.code("SITE IDLE 60"), 502);
    assert_eq!(sitting.code("MDTM x"), 0);
    assert_eq!(sitting.code("PWD"), 0);
    assert_eq!(sitting.code("REIN"), 502);
    assert_eq!(sitting.code("SIZE x"), 502);
    assert_eq!(sitting.code("SITE UMASK 022"), 502);
    assert_eq!(sitting.code("STOR x"), 502);
}

#[test]
fn a_group_refuses_the_subcommands_that_do_the_same_and_grants_none() {
    let denied = Sitting::under(&[policy("p").by_default().deny(&["@modify"])]);
    assert_eq!(
        denied.codes(&[
            "MFMT 20240101000000 x",
            "SITE CHMOD 644 x",
            "SITE UTIME 202401010000 x"
        ]),
        [502; 3]
    );
    assert_eq!(denied.code("SITE UMASK 022"), 0);
    let umbrella = Sitting::under(&[policy("p").by_default().deny(&["@write"])]);
    assert_eq!(
        umbrella.codes(&[
            "SITE MKDIR d",
            "SITE RMDIR d",
            "SITE COPY a b",
            "CHMOD 644 x"
        ]),
        [502; 4]
    );
    let granted = Sitting::under(&[policy("p").allow(&["@modify", "*"])]);
    assert_eq!(
        granted.codes(&["MFMT 20240101000000 x", "SITE CHMOD 644 x", "SITE"]),
        [0, 502, 502]
    );
    let by_rule = Sitting::under(&[policy("p").rule(allow(&["@write"])).rule(allow(&[]))]);
    assert_eq!(
        by_rule.codes(&["STOR x", "NLST", "SITE CHMOD 644 x"]),
        [0, 0, 502]
    );
    let denied_by_rule = Sitting::under(&[policy("p").by_default().rule(deny(&["@delete"]))]);
    assert_eq!(denied_by_rule.codes(&["RMD x", "SITE RMDIR x"]), [502, 502]);
}

#[test]
fn site_is_granted_by_name_by_its_group_and_by_a_default() {
    let lines = [
        "SITE CHMOD 644 x",
        "SITE UMASK 022",
        "SITE",
        "SITE WHATEVER",
    ];
    for names in [["SITE"], ["@site"]] {
        let sitting = Sitting::under(&[policy("p").allow(&names)]);
        assert_eq!(sitting.codes(&lines), [0; 4], "{names:?}");
    }
    assert_eq!(
        Sitting::under(&[policy("p").by_default()]).codes(&lines),
        [0; 4]
    );
}

#[test]
fn umbrellas_span_their_groups() {
    let sitting = Sitting::under(&[policy("p").allow(&["@session"])]);
    let lines = [
        "USER x",
        "SYST",
        "CLNT x",
        "LANG",
        "STAT",
        "PWD",
        "TYPE I",
        "REST 0",
        "ABOR",
        "ALLO 5",
        "PORT 1,2,3,4,5,6",
        "EPSV",
        "OPTS UTF8 ON",
        "MODE S",
        "STRU F",
    ];
    assert_eq!(sitting.codes(&lines), [0; 15]);
    assert_eq!(
        sitting.codes(&["STAT /", "LIST", "RETR x", "STOR x"]),
        [502; 4]
    );
    let sitting = Sitting::under(&[policy("p").allow(&["@write"])]);
    let lines = [
        "STOR x",
        "STOU",
        "APPE x",
        "MFMT 20240101000000 x",
        "RNFR x",
        "RNTO y",
        "DELE x",
        "RMD x",
        "MKD x",
        "MDTM 20240101000000 x",
    ];
    assert_eq!(sitting.codes(&lines), [0; 10]);
    assert_eq!(sitting.codes(&["RETR x", "MDTM x", "PWD"]), [502; 3]);
}

#[test]
fn stat_and_mdtm_are_of_the_group_of_what_they_do() {
    let sitting = Sitting::under(&[policy("p").allow(&["@info", "@modify"])]);
    assert_eq!(sitting.codes(&["STAT", "STAT /x", "MDTM x"]), [0, 502, 502]);
    assert_eq!(sitting.code("MDTM 20240101000000 x"), 0);
    assert_eq!(sitting.code("MDTM 20240101000000+60 x"), 0);
    let sitting = Sitting::under(&[policy("p").allow(&["@list"])]);
    assert_eq!(sitting.codes(&["STAT", "STAT /x", "MDTM x"]), [502, 0, 0]);
    assert_eq!(sitting.code("MDTM 20240101000000 x"), 502);
    // That is a file of this name.
    assert_eq!(sitting.code("MDTM 20240101000000"), 0);
}

#[test]
fn what_must_be_named_is_granted_by_nothing_else() {
    let general = [
        policy("p").by_default(),
        policy("p").allow(&["*", "@legacy", "@delete", "@site", "SITE"]),
        policy("p").rule(allow(&[])),
    ];
    for spec in general {
        let sitting = Sitting::under(&[spec]);
        let lines = [
            "SMNT /x",
            "MAIL x",
            "RMDA x",
            "SITE EXEC ls",
            "SITE CPFR a",
            "SITE FILETYPE=JES",
        ];
        assert_eq!(sitting.codes(&lines), [502; 6]);
        assert_eq!(sitting.code("SITE exec,ls"), 502);
    }
    let sitting = Sitting::under(&[policy("p")
        .allow(&["SMNT", "SITE EXEC"])
        .rule(allow(&["RMDA", "SITE CPFR"]))]);
    assert_eq!(
        sitting.codes(&["SMNT /x", "SITE EXEC ls", "RMDA x", "SITE CPFR a"]),
        [0; 4]
    );
    assert_eq!(sitting.codes(&["MAIL x", "SITE CPTO a"]), [502, 502]);
}

#[test]
fn filetype_is_never_hidden() {
    let sitting = Sitting::under(&[policy("p").allow(&["SITE", "SITE RECFM"])]);
    for line in [
        "SITE FILETYPE=JES",
        "site filetype=jes",
        "SITE FILE=SQL",
        "SITE FILET=JES",
        "SITE RECFM=FB FILETYPE=JES",
        "SITE UMASK 022 FILE=JES",
        "SITE  WHATEVER  FILETYPE=JES",
    ] {
        assert_eq!(sitting.code(line), 502, "{line}");
    }
    assert_eq!(
        sitting.codes(&[
            "SITE RECFM=FB LRECL=80",
            "SITE FIL=JES",
            "SITE FILETYPES=JES"
        ]),
        [0; 3]
    );
    let named = Sitting::under(&[policy("p").allow(&["SITE FILETYPE", "SITE RECFM"])]);
    assert_eq!(
        named.codes(&[
            "SITE FILE=JES",
            "SITE RECFM=FB FILETYPE=JES",
            "SITE RECFM=FB",
            "SITE LRECL=80"
        ]),
        [0, 0, 0, 502]
    );
}

#[test]
fn an_upstreams_general_policy_is_enough_for_what_the_listeners_names() {
    let listener = policy("p").allow(&["SMNT", "SITE CPTO"]);
    let open = Sitting::under(&[listener.clone(), policy("upstream").allow(&["*", "SITE"])]);
    assert_eq!(open.codes(&["SMNT /x", "SITE CPTO a"]), [0, 0]);
    let closed = Sitting::under(&[listener, policy("upstream").by_default().deny(&["@upload"])]);
    assert_eq!(closed.codes(&["SMNT /x", "SITE CPTO a"]), [0, 502]);
}

#[test]
fn a_verb_outside_the_table_may_be_named() {
    let sitting = Sitting::under(&[policy("p").allow(&["RCMD"])]);
    assert_eq!(
        sitting.codes(&["RCMD dsp", "rcmd dsp", "XYZZY"]),
        [0, 0, 502]
    );
    let sitting = Sitting::under(&[policy("p").by_default().deny(&["RCMD"])]);
    assert_eq!(
        sitting.codes(&["RCMD dsp", "XYZZY", "XYZZY y"]),
        [502, 0, 0]
    );
    assert_eq!(
        Sitting::under(&[policy("p").allow(&["*"])]).code("XYZZY"),
        0
    );
}

#[test]
fn where_a_policy_has_paths_untraceable_commands_need_their_name() {
    let with_paths =
        |spec: super::super::PolicySpec| spec.rule(allow(&["STOR"]).paths(&["/in/**"]));
    for spec in [
        policy("p").by_default().deny(&["STOR"]),
        policy("p")
            .allow(&["*", "@upload", "@download", "@site"])
            .deny(&["STOR"]),
    ] {
        let sitting = Sitting::under(&[with_paths(spec)]);
        for line in [
            "XYZZY /in/x",
            "COMB /in/x /in/y",
            "THMB PNG 9 9 /in/x",
            "SITE WHATEVER /in/x",
        ] {
            assert_eq!(sitting.code(line), 502, "{line}");
        }
        assert_eq!(sitting.codes(&["SITE UMASK 022", "RETR /x"]), [0, 0]);
    }
    let named = policy("p").allow(&["XYZZY", "COMB", "THMB", "SITE"]);
    let sitting = Sitting::under(&[with_paths(named)]);
    let lines = [
        "XYZZY /in/x",
        "COMB /in/x /in/y",
        "THMB PNG 9 9 /in/x",
        "SITE WHATEVER /in/x",
    ];
    assert_eq!(sitting.codes(&lines), [0; 4]);
    // The paths of a policy count beyond a hand-over as well.
    let handed = Sitting::under(&[
        with_paths(policy("p")).rule(hand_over(&[], "open")),
        policy("open").by_default().deny(&["STOR"]),
    ]);
    assert_eq!(handed.codes(&["XYZZY /in/x", "RETR /x"]), [502, 0]);
}

#[test]
fn values_of_type_mode_and_stru_may_be_named() {
    let sitting = Sitting::under(&[policy("p").allow(&["TYPE A", "type i", "MODE S", "STRU F"])]);
    assert_eq!(
        sitting.codes(&["TYPE A", "TYPE a n", "TYPE I", "MODE S", "STRU f"]),
        [0; 5]
    );
    assert_eq!(
        sitting.codes(&["TYPE E", "TYPE L 8", "MODE Z", "STRU R", "TYPE AN"]),
        [504; 5]
    );
    let denied =
        Sitting::under(&[policy("p")
            .by_default()
            .deny(&["TYPE L", "MODE Z", "OPTS MODE"])]);
    assert_eq!(
        denied.codes(&["TYPE L 8", "TYPE L8", "MODE Z", "OPTS MODE Z LEVEL 6"]),
        [504, 504, 504, 502]
    );
    assert_eq!(denied.codes(&["TYPE A", "OPTS UTF8 ON", "MODE S"]), [0; 3]);
}
