//! Tests of compilation: ids and their labels, problems, and the policies that are built in.

use super::super::sample::{
    Sitting, allow, answer, at, codes, deny, disconnect, hand_over, policy, problems, set,
};
use super::super::spec::{Located, PolicySpec, Problem, Severity, Span, Stance};
use super::super::verdict::Action;
use super::value::REGEX_TEXT_MAX;
use super::{WAYS_MAX, compile};
use crate::ftp::security::TlsVersion;

/// The codes of the errors.
fn errors(specs: &[PolicySpec]) -> Vec<&'static str> {
    codes(specs, Severity::Error)
}

/// The codes of the warnings.
fn warnings(specs: &[PolicySpec]) -> Vec<&'static str> {
    codes(specs, Severity::Warning)
}

/// A policy that clients can work with.
fn usable(name: &str) -> PolicySpec {
    policy(name).allow(&["@session"])
}

/// The only error.
fn error(spec: PolicySpec) -> Problem {
    let mut all = problems(&[spec], Severity::Error);
    assert_eq!(all.len(), 1, "{all:?}");
    all.remove(0)
}

/// The text that a span of `located` covers.
fn is_at(problem: &Problem, located: &Located<String>) -> bool {
    problem.span == located.span
}

#[test]
fn every_way_of_deciding_has_an_id_with_its_labels() {
    let set = set(&[
        policy("edi")
            .rule(hand_over(&[], "partner").users(&["acme"]).named("acme"))
            .rule(hand_over(&[], "partner").users(&["globex"]))
            .rule(deny(&["DELE"]))
            .allow(&["@info"]),
        policy("partner")
            .extends("base")
            .rule(allow(&["STOR"]).paths(&["/in/**"]).named("in"))
            .rule(disconnect(&["RMD"]).named("out"))
            .allow(&["@session"])
            .deny(&["REIN"]),
        policy("base").rule(answer(&["ALLO"], "202")).by_default(),
    ]);
    let shown: Vec<String> = set
        .rules()
        .iter()
        .map(|info| format!("{} {} {}", info.policy, info.rule, info.action.name()))
        .collect();
    let partner = [
        "in allow",
        "out disconnect",
        "allow allow",
        "deny deny",
        "3 answer",
        "default deny",
    ];
    let expected: Vec<String> = ["base 1 answer", "base default allow", "base default deny"]
        .into_iter()
        .map(str::to_owned)
        .chain(partner.iter().map(|rule| format!("partner {rule}")))
        .chain(partner.iter().map(|rule| format!("edi acme/{rule}")))
        .chain(partner.iter().map(|rule| format!("edi 2/{rule}")))
        .chain(["edi 3 deny", "edi allow allow", "edi default deny"].map(str::to_owned))
        .collect();
    assert_eq!(shown, expected);
    assert_eq!(set.names().collect::<Vec<_>>(), ["base", "edi", "partner"]);
    assert_eq!(set.get("edi").unwrap().name(), "edi");
    assert!(set.get("x").is_none());
}

#[test]
fn ids_say_where_what_decided_was_written() {
    let rule = allow(&["STOR"]).users(&["acme"]);
    let span = rule.span.clone();
    let spec = usable("p").rule(rule).deny(&["REIN"]);
    let name = spec.name.clone().unwrap().span;
    let (first_allow, first_deny) = (spec.allow[0].span.clone(), spec.deny[0].span.clone());
    let sitting = Sitting::under(&[spec]);
    let place = |line| {
        sitting
            .set
            .rule(sitting.judge(line).decided.unwrap())
            .span
            .clone()
    };
    assert_eq!(place("STOR x"), span);
    assert_eq!(place("PWD"), first_allow);
    assert_eq!(place("REIN"), first_deny);
    assert_eq!(place("DELE x"), name);
}

#[test]
fn a_way_of_deciding_has_the_code_of_its_own_reply() {
    let set = set(&[
        policy("p")
            .rule(deny(&["RETR"]).named("own").reply("561 No."))
            .rule(deny(&["STOR"]).named("none"))
            .rule(answer(&["SYST"], "215 UNIX").named("answer"))
            .rule(hand_over(&["@list"], "q").named("q")),
        policy("q").rule(deny(&["LIST"]).named("own").reply("461")),
    ]);
    let codes: Vec<(&str, Option<u16>)> = set
        .rules()
        .iter()
        .filter(|info| *info.policy == *"p")
        .map(|info| (&*info.rule, info.code))
        .collect();
    let expected = [
        ("own", Some(561)),
        ("none", None),
        ("answer", Some(215)),
        ("q/own", Some(461)),
        ("q/default", None),
        ("default", None),
    ];
    assert_eq!(codes, expected);
}

#[test]
fn an_id_of_another_set_is_a_stranger() {
    let sitting = Sitting::under(&[usable("p").rule(deny(&["RETR"])).rule(deny(&["STOR"]))]);
    let id = sitting.judge("STOR x").decided.unwrap();
    let again = || set(&[usable("p").rule(deny(&["RETR"])).rule(deny(&["STOR"]))]);
    for other in [set(&[]), again()] {
        let info = other.rule(id);
        assert_eq!(
            (&*info.policy, &*info.rule, info.action),
            ("unknown", "unknown", Action::Deny)
        );
    }
}

#[test]
fn an_error_makes_no_set_and_a_warning_does() {
    let (none, found) = compile(&[usable("p").deny(&["XYZZY", "@nothing"])]);
    assert!(none.is_none());
    assert_eq!(found.len(), 2);
    let (some, found) = compile(&[usable("p").deny(&["XYZZY"])]);
    assert!(some.is_some());
    assert_eq!(found.len(), 1);
}

#[test]
fn all_problems_come_at_once_and_in_order() {
    let specs = [
        policy("p")
            .allow(&["STIE CHMOD", "@lists"])
            .rule(
                allow(&["RETR"])
                    .users(&["{a"])
                    .clients(&["10.0.0.0/33"])
                    .hours(&["Mon"])
                    .paths(&["in"])
                    .filename(&["("])
                    .argument(&["["]),
            )
            .rule(hand_over(&[], "nowhere")),
        usable("q").rule(deny(&["RETR"]).reply("200 Fine.")),
    ];
    assert_eq!(
        errors(&specs),
        [
            "policy/unknown-verb",
            "policy/unknown-group",
            "policy/bad-glob",
            "policy/bad-network",
            "policy/bad-hours",
            "policy/bad-path",
            "policy/bad-regex",
            "policy/bad-regex",
            "policy/unknown-policy",
            "policy/bad-reply",
        ]
    );
}

#[test]
fn unknown_names_get_a_suggestion() {
    let help = |spec: PolicySpec| error(spec).help.unwrap_or_default();
    assert_eq!(
        help(usable("p").deny(&["STIE CHMOD"])),
        "did you mean `SITE`?"
    );
    assert_eq!(help(usable("p").deny(&["@lsit"])), "did you mean `@list`?");
    assert_eq!(help(usable("p").extends("pp")), "did you mean `p`?");
    assert!(
        help(usable("p").rule(allow(&["RETR"]).paths(&["/in/{usr}/*"])))
            .contains("did you mean `{user}`?")
    );
    assert!(help(usable("p").rule(allow(&["RETR"]).paths(&["in/*"]))).contains("/in/*"));
    assert!(
        help(usable("p").rule(allow(&["RETR"]).hours(&["Mon Europe/Berln"])))
            .contains("Europe/Berlin")
    );
    let all = problems(&[usable("p").deny(&["STOER"])], Severity::Warning);
    assert_eq!(all[0].code, "policy/unknown-verb");
    assert_eq!(all[0].help.as_deref(), Some("did you mean `STOR`?"));
    let all = problems(&[usable("p").deny(&["SITE CHMDO"])], Severity::Warning);
    assert_eq!(all[0].code, "policy/unknown-subcommand");
    assert_eq!(all[0].help.as_deref(), Some("did you mean `CHMOD`?"));
    assert!(warnings(&[usable("p").deny(&["SITE LRECL"])]).is_empty());
}

#[test]
fn names_that_are_no_commands_are_errors() {
    for name in [
        "",
        "S",
        "TOOLONGAVERBX",
        "SITE CHMOD 777",
        "STOR x",
        "SI-TE",
        "P@SW",
        "SITE CH/MOD",
        "1ABC",
    ] {
        assert_eq!(
            errors(&[usable("p").deny(&[name])]),
            ["policy/bad-command"],
            "{name}"
        );
    }
}

#[test]
fn what_no_policy_sees_cannot_be_named() {
    for name in ["QUIT", "NOOP", "NOP", "AUTH", "PBSZ", "PROT", "CCC", "auth"] {
        for spec in [usable("p").deny(&[name]), usable("p").rule(allow(&[name]))] {
            assert_eq!(errors(&[spec]), ["policy/not-judged"], "{name}");
        }
    }
}

#[test]
fn why_no_policy_sees_a_command_is_told() {
    let help = |name| error(usable("p").deny(&[name])).help;
    assert_eq!(help("AUTH").as_deref(), Some("see the listener's `tls`"));
    assert_eq!(help("QUIT").as_deref(), Some("leave it out"));
}

#[test]
fn what_is_never_forwarded_cannot_be_allowed() {
    for name in ["LPRT", "MIC", "PRET", "MODE B", "MODE c"] {
        assert_eq!(
            errors(&[usable("p").allow(&[name])]),
            ["policy/never-forwarded"],
            "{name}"
        );
        assert!(errors(&[usable("p").deny(&[name])]).is_empty(), "{name}");
    }
}

#[test]
fn loops_are_errors_whichever_way_they_go() {
    let looped = |specs: &[PolicySpec]| errors(specs);
    assert_eq!(looped(&[usable("a").extends("a")]), ["policy/loop"]);
    assert_eq!(
        looped(&[usable("a").rule(hand_over(&[], "a"))]),
        ["policy/loop"]
    );
    assert_eq!(
        looped(&[usable("a").extends("b"), usable("b").extends("a")]),
        ["policy/loop"]
    );
    assert_eq!(
        looped(&[
            usable("a").rule(hand_over(&["RETR"], "b")),
            usable("b").extends("c"),
            usable("c").rule(hand_over(&["RETR"], "a")),
        ]),
        ["policy/loop"]
    );
    // Two ways to one policy are no loop.
    let diamond = [
        usable("a").extends("b").rule(hand_over(&["RETR"], "c")),
        usable("b").rule(hand_over(&["STOR"], "c")),
        usable("c"),
    ];
    assert!(looped(&diamond).is_empty());
}

#[test]
fn two_policies_cannot_have_one_name() {
    let specs = [usable("a"), usable("a")];
    let all = problems(&specs, Severity::Error);
    assert_eq!(all[0].code, "policy/duplicate-policy");
    assert!(is_at(&all[0], specs[1].name.as_ref().unwrap()));
    assert_eq!(
        all[0].also.as_ref().unwrap().0,
        specs[0].name.as_ref().unwrap().span
    );
}

#[test]
fn replies_fit_what_sends_them() {
    let bad = |spec| assert_eq!(errors(&[spec]), ["policy/bad-reply"]);
    for reply in [
        "200 Fine.",
        "331 Go on.",
        "150 Here.",
        "xyz",
        "550\u{7}",
        "421 Bye.",
        "600 x",
        "99 x",
    ] {
        bad(usable("p").rule(deny(&["RETR"]).reply(reply)));
    }
    bad(usable("p").rule(disconnect(&["RETR"]).reply("230 In.")));
    bad(usable("p").rule(allow(&["RETR"]).reply("200 x")));
    let handed = usable("p").rule(hand_over(&["RETR"], "q").reply("200 x"));
    assert_eq!(errors(&[handed, usable("q")]), ["policy/bad-reply"]);
}

#[test]
fn answers_are_final_replies_and_pretend_nothing() {
    let with = |commands: &[&str], reply| errors(&[usable("p").rule(answer(commands, reply))]);
    assert!(
        with(
            &[
                "ALLO",
                "SITE UMASK",
                "SITE FOO",
                "CLNT",
                "@info",
                "OPTS UTF8",
                "SYST",
                "SIZE"
            ],
            "200"
        )
        .is_empty()
    );
    assert!(with(&["SITE IDLE"], "550 No.").is_empty());
    assert_eq!(with(&["ALLO"], "150 x"), ["policy/bad-reply"]);
    assert_eq!(with(&["ALLO"], "421 x"), ["policy/bad-reply"]);
    let mut rule = answer(&["ALLO"], "200");
    rule.reply = None;
    assert_eq!(errors(&[usable("p").rule(rule)]), ["policy/bad-reply"]);
    for name in [
        "USER",
        "PASS",
        "ACCT",
        "REIN",
        "HOST",
        "RETR",
        "LIST",
        "STOR",
        "DELE",
        "MKD",
        "RNFR",
        "MFMT",
        "SITE CHMOD",
        "CHMOD",
        "SITE",
        "@write",
        "@session",
        "@site",
        "*",
        "CWD",
        "TYPE",
        "TYPE A",
        "REST",
        "PASV",
        "PORT",
        "MDTM",
        "SITE COPY",
    ] {
        assert_eq!(with(&[name], "200"), ["policy/pretended-answer"], "{name}");
    }
    assert_eq!(with(&[], "200"), ["policy/pretended-answer"]);
}

#[test]
fn what_an_answer_would_pretend_is_told() {
    let pretended = |name| {
        let message = error(usable("p").rule(answer(&[name], "200"))).message;
        let behind = message.strip_prefix("an answer to ").unwrap();
        let (form, _) = behind.split_once(" would ").unwrap();
        form.to_owned()
    };
    assert_eq!(pretended("DELE"), "DELE");
    assert_eq!(pretended("SITE CHMOD"), "SITE CHMOD");
    assert_eq!(pretended("TYPE"), "TYPE with any other word");
}

#[test]
fn a_rule_that_restricts_nothing_is_an_error() {
    let spec = policy("p")
        .rule(allow(&["STOR", "RETR"]).paths(&["/in/**"]))
        .allow(&["@session", "STOR"]);
    let (name, place) = (
        spec.rules[0].commands[0].clone(),
        spec.allow[0].span.clone(),
    );
    let problem = error(spec);
    assert_eq!(problem.code, "policy/unrestricted-rule");
    assert!(is_at(&problem, &name));
    assert_eq!(problem.also.unwrap().0, place);
    let is = |specs: &[PolicySpec]| errors(specs) == ["policy/unrestricted-rule"];
    let rule = || allow(&["RETR"]).paths(&["/in/**"]);
    assert!(is(&[policy("p").by_default().rule(rule())]));
    assert!(is(&[usable("p").rule(rule()).rule(allow(&["@download"]))]));
    assert!(is(&[
        usable("p").rule(rule()).extends("q"),
        usable("q").allow(&["*"])
    ]));
    assert!(is(&[
        usable("p").rule(rule()).rule(hand_over(&["RETR"], "q")),
        usable("q").allow(&["RETR"])
    ]));
    assert!(is(&[policy("p")
        .rule(allow(&["@navigate"]).clients(&["10.0.0.0/8"]))
        .allow(&["@session"])]));
    assert!(is(&[policy("p")
        .rule(allow(&["SITE CHMOD"]).argument(&["6.*"]))
        .allow(&["@session", "@site"])]));
    assert!(is(&[policy("p")
        .by_default()
        .rule(allow(&[]).users(&["acme"]))]));
}

#[test]
fn what_allows_a_command_anyway_is_shown_behind_other_rules() {
    let spec = policy("p")
        .rule(deny(&["DELE"]).paths(&["/in/**"]))
        .rule(allow(&["STOR"]).paths(&["/in/**"]))
        .rule(deny(&["RMD"]))
        .allow(&["@session", "STOR"]);
    let place = spec.allow[0].span.clone();
    assert_eq!(error(spec).also.unwrap().0, place);
}

#[test]
fn a_rule_that_restricts_something_is_none() {
    let fine = |specs: &[PolicySpec]| assert_eq!(errors(specs), [""; 0]);
    let rule = || allow(&["RETR"]).paths(&["/in/**"]);
    fine(&[usable("p").rule(rule())]);
    fine(&[policy("p").by_default().rule(rule()).deny(&["RETR"])]);
    fine(&[policy("p").by_default().rule(rule()).rule(deny(&["RETR"]))]);
    // It keeps the second rule from refusing a part.
    fine(&[policy("p")
        .by_default()
        .rule(rule())
        .rule(deny(&["RETR"]).users(&["acme"]))]);
    fine(&[
        usable("p").rule(rule()).rule(hand_over(&["RETR"], "q")),
        usable("q"),
    ]);
    fine(&[
        usable("p")
            .rule(rule())
            .rule(hand_over(&["RETR"], "q").users(&["x"]))
            .allow(&["*"]),
        usable("q"),
    ]);
    // A group of which a part is allowed below, and all commands of which some have no path.
    fine(&[usable("p")
        .rule(allow(&["@list"]).paths(&["/in/**"]))
        .allow(&["@session", "LIST"])]);
    fine(&[usable("p").rule(allow(&[]).paths(&["/in/**"]))]);
    fine(&[policy("p")
        .by_default()
        .rule(allow(&["SMNT"]).users(&["acme"]))]);
    fine(&[policy("p")
        .by_default()
        .rule(allow(&["SITE EXEC"]).users(&["acme"]))]);
}

#[test]
fn what_a_policy_with_paths_cannot_trace_is_allowed_by_its_name_alone() {
    let fine = |specs: &[PolicySpec]| assert_eq!(errors(specs), [""; 0]);
    let rule = || allow(&["COMB"]).users(&["acme"]);
    let looks = || deny(&["RETR"]).paths(&["/in/**"]);
    fine(&[policy("p").by_default().rule(rule()).rule(looks())]);
    fine(&[usable("p")
        .rule(rule())
        .rule(looks())
        .allow(&["@session", "@upload"])]);
    // Nor is it by a policy that looks at none itself and is handed the decision by one that does.
    fine(&[
        usable("p")
            .rule(rule())
            .rule(looks())
            .rule(hand_over(&["COMB"], "q")),
        policy("q").by_default(),
    ]);
    let named = usable("p")
        .rule(rule())
        .rule(looks())
        .allow(&["@session", "COMB"]);
    assert_eq!(errors(&[named]), ["policy/unrestricted-rule"]);
}

#[test]
fn a_rule_that_is_never_reached_is_an_error() {
    let first = deny(&["@upload", "RETR"]);
    let first_span = first.span.clone();
    let second = allow(&["STOR"]).users(&["acme"]);
    let second_span = second.span.clone();
    let problem = error(usable("p").rule(first).rule(second));
    assert_eq!(problem.code, "policy/unreachable-rule");
    assert_eq!(problem.span, second_span);
    assert_eq!(problem.also.unwrap().0, first_span);
    let is = |spec: PolicySpec| errors(&[spec, usable("q")]) == ["policy/unreachable-rule"];
    assert!(is(usable("p")
        .rule(hand_over(&[], "q"))
        .rule(allow(&["RETR"]))));
    assert!(is(usable("p")
        .rule(deny(&["RETR"]))
        .rule(deny(&["STOR"]))
        .rule(deny(&["RETR", "STOR"]).users(&["x"]))));
    assert!(is(usable("p")
        .rule(deny(&["SITE"]))
        .rule(allow(&["SITE CHMOD"]))));
    assert!(is(usable("p")
        .rule(deny(&["RETR"]).users(&["a", "b"]))
        .rule(allow(&["RETR"]).users(&["b"]).paths(&["/x"]))));
    assert!(is(usable("p")
        .rule(deny(&["RETR"]).paths(&["/x"]))
        .rule(allow(&["RETR"]).paths(&["/x"]))));
    assert!(is(usable("p").rule(allow(&["RETR"])).rule(deny(&["RETR"]))));
    assert!(is(usable("p")
        .rule(deny(&["RETR"]).clients(&["10.0.0.0/8", "::ffff:10.0.0.0/104"]))
        .rule(allow(&["RETR"]).clients(&["10.1.0.0/16", "10.2.0.1"]))));
    assert!(is(usable("p")
        .rule(deny(&["DELE"]).users(&["ann", "*"]))
        .rule(allow(&["DELE"]).users(&["bob"]))));
    // These can never hold.
    assert!(is(usable("p").rule(deny(&["SYST", "PWD"]).paths(&["/x"]))));
    assert!(is(usable("p")
        .rule(allow(&["XYZZY"]).paths(&["/x"]))
        .deny(&["RETR"])));
    assert!(is(
        usable("p").rule(allow(&["COMB", "SITE FOO"]).filename(&["x"]))
    ));
    assert!(is(usable("p").rule(allow(&["@legacy"]))));
}

#[test]
fn why_a_rule_never_holds_is_told() {
    let help = |spec: PolicySpec| {
        let problem = error(spec);
        assert_eq!(problem.code, "policy/unreachable-rule");
        problem.help.unwrap()
    };
    let clear_and_version = deny(&["PWD"]).tls(false).tls_version(TlsVersion::V1_3);
    let text = help(usable("p").rule(clear_and_version));
    assert!(text.starts_with("leave `tls = false` out"), "{text}");
    let text = help(usable("p").rule(deny(&["PWD"]).paths(&["/x"])));
    assert!(
        text.starts_with("leave `paths` and `filename` out"),
        "{text}"
    );
    let text = help(usable("p").rule(allow(&["@legacy"])));
    assert!(text.starts_with("name the command itself"), "{text}");
}

#[test]
fn a_rule_that_is_sometimes_reached_is_none() {
    let fine = |spec: PolicySpec| assert_eq!(errors(&[spec, usable("q")]), [""; 0]);
    fine(usable("p").rule(deny(&["STOR"])).rule(deny(&["@upload"])));
    fine(
        usable("p")
            .rule(deny(&["SITE CHMOD"]))
            .rule(allow(&["SITE"])),
    );
    fine(usable("p").rule(allow(&[])).rule(deny(&[])));
    fine(
        usable("p")
            .rule(deny(&["RETR"]).clients(&["10.1.0.0/16"]))
            .rule(allow(&["RETR"]).clients(&["10.1.0.0/16", "10.2.0.0/16"])),
    );
    fine(
        usable("p")
            .rule(deny(&["DELE"]).users(&["*"]))
            .rule(deny(&["DELE"])),
    );
    fine(
        usable("p")
            .rule(deny(&["RETR"]).users(&["a"]))
            .rule(deny(&["RETR"])),
    );
    fine(
        usable("p")
            .rule(deny(&["RETR"]).users(&["a"]))
            .rule(allow(&["RETR"]).users(&["a", "b"])),
    );
    // What is unsure passes the first and meets the second.
    fine(
        usable("p")
            .rule(allow(&["RETR"]).paths(&["/x"]))
            .rule(deny(&["RETR"]).paths(&["/x"])),
    );
    fine(
        usable("p")
            .rule(allow(&["RETR"]).filename(&["x"]))
            .rule(deny(&["RETR"]).filename(&["x"])),
    );
    fine(usable("p").rule(deny(&["RETR"])).extends("q"));
    fine(usable("p").rule(deny(&["STAT"]).paths(&["/x"])));
}

#[test]
fn a_rule_for_what_is_refused_anyway_is_a_warning() {
    assert_eq!(
        warnings(&[usable("p").rule(deny(&["LPRT"]))]),
        ["policy/unreachable-rule"]
    );
}

#[test]
fn refusing_what_clients_need_is_a_warning() {
    let one = |spec: PolicySpec| warnings(&[spec]);
    assert_eq!(one(policy("p")), ["policy/breaks-clients"; 6]);
    for name in ["USER", "PASS", "TYPE A", "TYPE I", "PWD", "XPWD"] {
        assert_eq!(
            one(usable("p").deny(&[name])),
            ["policy/breaks-clients"],
            "{name}"
        );
    }
    assert_eq!(
        one(usable("p").deny(&["PORT", "PASV", "EPRT", "EPSV"])),
        ["policy/breaks-clients"]
    );
    for names in [
        &["PORT", "PASV", "EPRT"][..],
        &["TYPE E"],
        &["SYST", "FEAT"],
    ] {
        assert!(one(usable("p").deny(names)).is_empty(), "{names:?}");
    }
    let spec = usable("p").deny(&["REIN", "PWD"]);
    let entry = spec.deny[1].clone();
    assert!(is_at(&problems(&[spec], Severity::Warning)[0], &entry));
    // Not where another policy only hands a part over, nor for what some user may do.
    assert!(
        warnings(&[
            usable("p").rule(hand_over(&["STOR"], "q")),
            policy("q").allow(&["STOR"])
        ])
        .is_empty()
    );
    assert!(one(policy("p").rule(allow(&["@session"]).users(&["acme"]))).is_empty());
}

#[test]
fn each_mistake_in_hours_has_its_own_help() {
    let help = |hours: &str| {
        let spec = usable("p").rule(allow(&["RETR"]).hours(&[hours]));
        error(spec).help.unwrap_or_default()
    };
    for (hours, text) in [
        ("Mon 07:00-19:00", "end with a zone, such as"),
        ("Mon Nowhere/At-All:1", "end with a zone, such as"),
        ("Mon Xyzzyplugh", "write a zone of the tz database"),
        ("Mun UTC", "write `Mon`, `Mon-Fri` or `Mon,Wed,Fri`"),
        ("Mon 07:00-25:00 UTC", "write `07:00-19:00`, or"),
        ("Mon 07:00-08:00 09:00 UTC", "write `Mon-Fri 07:00-19:00 "),
        ("", "write `Mon-Fri 07:00-19:00 "),
    ] {
        assert!(help(hours).starts_with(text), "{hours}: {}", help(hours));
    }
}

#[test]
fn what_regexes_lack_is_told() {
    let name = |regex: &str| error(usable("p").rule(allow(&["RETR"]).filename(&[regex]))).help;
    let bytes = |regex: &str| error(usable("p").rule(allow(&["RETR"]).argument(&[regex]))).help;
    for regex in ["(?=a)", r"(a)\1"] {
        let help = name(regex).unwrap();
        assert!(help.starts_with("matching takes linear time"), "{help}");
    }
    let help = bytes("[äö]").unwrap();
    assert!(help.starts_with("`argument` is matched as bytes"), "{help}");
    assert_eq!(name("("), None);
    assert_eq!(name("(a{100}){100}{100}"), None);
}

#[test]
fn a_placeholder_like_no_other_is_told_of_all() {
    let spec = usable("p").rule(allow(&["RETR"]).paths(&["/in/{department}/*"]));
    let help = error(spec).help.unwrap();
    assert!(help.contains("`{user}` and `{home}`"), "{help}");
    let spec = usable("p").rule(allow(&["RETR"]).paths(&["/in/../*"]));
    assert_eq!(error(spec).help, None);
}

#[test]
fn names_become_labels() {
    for name in ["", "a/b", "a\nb", &"x".repeat(65)] {
        assert_eq!(
            errors(&[usable("p").rule(allow(&["RETR"]).named(name))]),
            ["policy/bad-name"],
            "{name}"
        );
    }
    assert!(errors(&[usable("p").rule(allow(&["RETR"]).named(&"é".repeat(64)))]).is_empty());
    let twice = usable("p")
        .rule(allow(&["RETR"]).named("a"))
        .rule(allow(&["STOR"]).named("a"));
    assert_eq!(warnings(&[twice]), ["policy/duplicate-name"]);
    assert_eq!(
        warnings(&[usable("p").rule(allow(&["RETR"]).named("default"))]),
        ["policy/reserved-name"]
    );
}

#[test]
fn networks_may_have_no_host_bits() {
    assert_eq!(
        warnings(&[usable("p").rule(allow(&["RETR"]).clients(&["10.1.2.3/8"]))]),
        ["policy/host-bits"]
    );
    for network in ["", "10.0.0", "host.example", "10.0.0.0/", "::/129"] {
        assert_eq!(
            errors(&[usable("p").rule(allow(&["RETR"]).clients(&[network]))]),
            ["policy/bad-network"],
            "{network}"
        );
    }
}

#[test]
fn regexes_have_bounds() {
    let with = |regex: &str| errors(&[usable("p").rule(allow(&["RETR"]).filename(&[regex]))]);
    assert!(with(&"a".repeat(REGEX_TEXT_MAX)).is_empty());
    assert_eq!(with(&"a".repeat(REGEX_TEXT_MAX + 1)), ["policy/bad-regex"]);
    assert_eq!(with("(a{100}){100}{100}"), ["policy/bad-regex"]);
    // It must not close the group around it.
    assert_eq!(with("a)|(b"), ["policy/bad-regex"]);
    assert_eq!(with("(?=a)"), ["policy/bad-regex"]);
    assert_eq!(with(r"(a)\1"), ["policy/bad-regex"]);
    let bytes = |regex: &str| errors(&[usable("p").rule(allow(&["RETR"]).argument(&[regex]))]);
    assert_eq!(bytes("[äö]"), ["policy/bad-regex"]);
    assert!(bytes("(?u:[äö])ü").is_empty());
}

#[test]
fn ways_of_deciding_are_bounded() {
    let mut specs = vec![usable("p0")];
    for level in 1..20 {
        let below = format!("p{}", level - 1);
        specs.push(
            usable(&format!("p{level}"))
                .rule(hand_over(&["RETR"], &below).users(&["a"]))
                .rule(hand_over(&["RETR"], &below).users(&["b"])),
        );
    }
    assert_eq!(errors(&specs), ["policy/too-many-ways"]);
    specs.truncate(10);
    let (set, _) = compile(&specs);
    assert!(set.unwrap().rules().len() < WAYS_MAX);
}

#[test]
fn as_many_ways_of_deciding_as_may_be_are_none_too_many() {
    // A policy that hands over twice to the one below it: twice as many ways, and its own two.
    let users: Vec<String> = (0..32).map(|user| format!("u{user}")).collect();
    let to = |level: usize, user: usize| {
        hand_over(&["RETR"], &format!("p{level}")).users(&[&users[user]])
    };
    let mut specs = vec![usable("p0")];
    let mut sizes = vec![2];
    for level in 1..14 {
        let spec = usable(&format!("p{level}"));
        specs.push(spec.rule(to(level - 1, 0)).rule(to(level - 1, 1)));
        sizes.push(2 * sizes[level - 1] + 2);
    }
    let mut last = usable("last");
    let mut left = WAYS_MAX - sizes.iter().sum::<usize>() - 2;
    for (level, size) in sizes.into_iter().enumerate().rev() {
        while size <= left {
            last = last.clone().rule(to(level, last.rules.len()));
            left -= size;
        }
    }
    specs.push(last.clone());
    let (set, problems) = compile(&specs);
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(set.unwrap().rules().len(), WAYS_MAX);
    specs.pop();
    specs.push(last.rule(deny(&["DELE"])));
    assert_eq!(errors(&specs), ["policy/too-many-ways"]);
}

#[test]
fn policies_without_a_name_are_left_out() {
    let (set, problems) = compile(&[PolicySpec::default()]);
    assert_eq!(set.unwrap().names().count(), 0);
    assert!(problems.is_empty());
}

/// A built-in policy, by a reader that knows just enough of the language.
fn built_in(name: &str, text: &str) -> PolicySpec {
    let without_comments: String = text
        .lines()
        .map(|line| line.split('#').next().unwrap())
        .collect::<Vec<_>>()
        .join("\n");
    assert!(
        without_comments.contains(&format!("[policies.{name}]")),
        "{name}"
    );
    let list = |key: &str| -> Vec<String> {
        let Some((_, rest)) = without_comments.split_once(&format!("{key} = [")) else {
            return Vec::new();
        };
        let (inside, _) = rest.split_once(']').unwrap();
        inside
            .split(',')
            .map(|item| item.trim().trim_matches('"').to_owned())
            .filter(|item| !item.is_empty())
            .collect()
    };
    let mut spec = policy(name);
    spec.allow = list("allow").iter().map(|item| at(item)).collect();
    spec.deny = list("deny").iter().map(|item| at(item)).collect();
    if without_comments.contains("default = \"allow\"") {
        spec.default = Some(Located {
            value: Stance::Allow,
            span: Span::default(),
        });
    }
    if name == "frozen" {
        assert!(
            without_comments.contains("commands = \"@write\", action = \"deny\", reply = \"450 ")
        );
        spec = spec.rule(deny(&["@write"]).reply("450 Frozen.").named("frozen"));
    }
    spec
}

/// All built-in policies; `name` comes first.
fn built_ins(name: &str) -> Vec<PolicySpec> {
    let mut all = vec![
        built_in(
            "standard",
            include_str!("../../../config/policies/standard.toml"),
        ),
        built_in(
            "read-only",
            include_str!("../../../config/policies/read-only.toml"),
        ),
        built_in(
            "upload-only",
            include_str!("../../../config/policies/upload-only.toml"),
        ),
        built_in(
            "minimal",
            include_str!("../../../config/policies/minimal.toml"),
        ),
        built_in(
            "frozen",
            include_str!("../../../config/policies/frozen.toml"),
        ),
    ];
    let open = built_in(
        "permissive",
        include_str!("../../../config/policies/permissive.toml"),
    );
    assert!(open.allow.is_empty() && open.deny.is_empty() && open.default.is_some());
    all.sort_by_key(|spec| spec.name.as_ref().unwrap().value != name);
    all
}

#[test]
fn the_built_in_policies_have_no_problems() {
    let (set, problems) = compile(&built_ins("standard"));
    assert!(problems.is_empty(), "{problems:?}");
    assert_eq!(set.unwrap().names().count(), 5);
}

/// What RFC 1123 §4.1.2.13 asks of every server.
const MINIMUM: [&str; 30] = [
    "USER x",
    "PASS x",
    "ACCT x",
    "PORT 1,2,3,4,5,6",
    "PASV",
    "TYPE A",
    "TYPE A N",
    "TYPE I",
    "MODE S",
    "STRU F",
    "STRU R",
    "RETR x",
    "STOR x",
    "APPE x",
    "RNFR x",
    "RNTO x",
    "DELE x",
    "CWD x",
    "CDUP",
    "RMD x",
    "MKD x",
    "PWD",
    "LIST",
    "NLST",
    "SYST",
    "STAT",
    "HELP",
    "NOOP",
    "QUIT",
    "XPWD",
];

#[test]
fn standard_is_for_everyday_work() {
    let sitting = Sitting::under(&built_ins("standard"));
    assert_eq!(sitting.codes(&MINIMUM), [0; 30]);
    let more = [
        "FEAT",
        "CLNT x",
        "OPTS UTF8 ON",
        "MFMT 20240101000000 x",
        "MLSD",
        "SIZE x",
        "EPSV",
        "REST 0",
        "HASH x",
        "STOU",
        "ABOR",
    ];
    assert_eq!(sitting.codes(&more), [0; 11]);
    let refused = [
        "SITE HELP",
        "SITE CHMOD 644 x",
        "CHMOD 644 x",
        "SMNT /",
        "MAIL x",
        "REIN",
        "RMDA x",
        "XYZZY",
        "RCMD x",
    ];
    assert_eq!(sitting.codes(&refused), [502; 9]);
}

#[test]
fn read_only_looks_and_fetches() {
    let sitting = Sitting::under(&built_ins("read-only"));
    assert_eq!(
        sitting.codes(&[
            "USER x", "RETR x", "LIST", "MLSD", "SIZE x", "EPSV", "CWD x"
        ]),
        [0; 7]
    );
    assert_eq!(
        sitting.codes(&[
            "STOR x",
            "DELE x",
            "MKD x",
            "RNFR x",
            "MFMT 20240101000000 x",
            "SITE X",
            "REIN"
        ]),
        [502; 7]
    );
}

#[test]
fn upload_only_takes_files_in() {
    let sitting = Sitting::under(&built_ins("upload-only"));
    assert_eq!(
        sitting.codes(&[
            "STOR x", "STOU", "APPE x", "MKD x", "RNFR x", "RNTO y", "SIZE x", "LIST", "NLST",
            "MLSD", "PASV"
        ]),
        [0; 11]
    );
    assert_eq!(
        sitting.codes(&[
            "RETR x", "DELE x", "RMD x", "MLST x", "MDTM x", "SITE X", "REIN"
        ]),
        [502; 7]
    );
}

#[test]
fn minimal_is_what_every_server_must_have() {
    let sitting = Sitting::under(&built_ins("minimal"));
    assert_eq!(sitting.codes(&MINIMUM), [0; 30]);
    assert_eq!(
        sitting.codes(&[
            "EPSV", "FEAT", "SIZE x", "MLSD", "REST 0", "ABOR", "ALLO 1", "SITE X", "REIN", "STOU"
        ]),
        [502; 10]
    );
    assert_eq!(
        sitting.codes(&["TYPE E", "TYPE L 8", "MODE Z", "STRU P"]),
        [504; 4]
    );
}

#[test]
fn frozen_keeps_files_as_they_are() {
    let sitting = Sitting::under(&built_ins("frozen"));
    let writes = [
        "STOR x",
        "DELE x",
        "RNTO y",
        "MKD x",
        "MFMT 20240101000000 x",
        "MDTM 20240101000000 x",
        "SITE CHMOD 644 x",
        "SITE MKDIR x",
    ];
    assert_eq!(sitting.codes(&writes), [450; 8]);
    assert_eq!(
        sitting.codes(&["RETR x", "SITE UMASK 022", "XYZZY", "MDTM x", "CWD x"]),
        [0; 5]
    );
}
