//! Tests of conditions, and of what becomes of those that cannot be decided.

use super::super::judge::System;
use super::super::sample::{Sitting, allow, deny, policy};

#[test]
fn users_are_globs_on_the_name_that_is_tried_or_logged_in() {
    let specs = [policy("p").rule(allow(&["RETR", "USER", "PASS"]).users(&["acme", "glob*"]))];
    let code = |user: &[u8]| Sitting::under(&specs).user(user).code("RETR x");
    assert_eq!(
        [
            code(b"acme"),
            code(b"globex"),
            code(b"ACME"),
            code(b"acme2")
        ],
        [0, 0, 502, 502]
    );
    assert_eq!(Sitting::under(&specs).user(b"glob\xff").code("RETR x"), 0);
    assert_eq!(Sitting::under(&specs).nobody().code("RETR x"), 502);
    assert_eq!(
        Sitting::under(&specs)
            .user(b"globex")
            .codes(&["USER globex", "PASS x"]),
        [0, 0]
    );
    assert_eq!(
        Sitting::under(&specs)
            .user(b"x")
            .codes(&["USER x", "PASS x"]),
        [530, 530]
    );
}

#[test]
fn before_login_no_condition_on_users_holds_not_even_of_a_deny() {
    let specs = [policy("p")
        .allow(&["RETR"])
        .rule(deny(&["RETR"]).users(&["*"]))];
    assert_eq!(Sitting::under(&specs).nobody().code("RETR x"), 0);
    assert_eq!(Sitting::under(&specs).code("RETR x"), 502);
}

#[test]
fn letter_case_of_users_counts_on_unix_only() {
    let specs = [policy("p").rule(allow(&["RETR"]).users(&["Acme"]))];
    assert_eq!(Sitting::before(System::Unix, &specs).code("RETR x"), 502);
    assert_eq!(Sitting::before(System::Windows, &specs).code("RETR x"), 0);
    assert_eq!(Sitting::before(System::Mvs, &specs).code("RETR x"), 0);
}

#[test]
fn clients_are_networks_and_a_mapped_address_is_ipv4() {
    let specs = [policy("p").rule(allow(&["RETR"]).clients(&[
        "198.51.100.0/24",
        "2001:db8::/32",
        "192.0.2.1",
        "::ffff:203.0.113.0/124",
    ]))];
    let code = |address| Sitting::under(&specs).client(address).code("RETR x");
    for address in [
        "198.51.100.255",
        "::ffff:198.51.100.1",
        "2001:db8::1",
        "192.0.2.1",
        "203.0.113.15",
    ] {
        assert_eq!(code(address), 0, "{address}");
    }
    for address in [
        "198.51.101.0",
        "2001:db9::1",
        "192.0.2.2",
        "203.0.113.16",
        "::198.51.100.1",
    ] {
        assert_eq!(code(address), 502, "{address}");
    }
}

#[test]
fn hours_are_judged_per_command() {
    let specs = [policy("p").rule(allow(&["RETR"]).hours(&["Mon 11:00-12:30 UTC", "Tue UTC"]))];
    let code = |time| Sitting::under(&specs).at(time).code("RETR x");
    assert_eq!(code(1_700_481_600), 0);
    assert_eq!(code(1_700_481_600 + 30 * 60 - 1), 0);
    assert_eq!(code(1_700_481_600 + 30 * 60), 502);
    assert_eq!(code(1_700_481_600 + 24 * 3600), 0);
    // An instant beyond the calendar: nobody can tell.
    assert_eq!(code(i64::MAX), 502);
    let specs = [policy("p")
        .by_default()
        .rule(deny(&["RETR"]).hours(&["UTC"]))];
    assert_eq!(Sitting::under(&specs).at(i64::MAX).code("RETR x"), 502);
}

#[test]
fn a_list_within_a_condition_means_any_of() {
    let specs = [policy("p").rule(
        allow(&["RETR", "SIZE"])
            .paths(&["/a/*", "/b/*"])
            .filename(&["x", "y"]),
    )];
    let sitting = Sitting::under(&specs);
    assert_eq!(
        sitting.codes(&["RETR /a/x", "SIZE /b/y", "RETR /b/z", "RETR /c/x"]),
        [0, 0, 550, 550]
    );
}

#[test]
fn all_conditions_must_hold() {
    let specs = [policy("p").rule(
        allow(&["STOR"])
            .users(&["acme"])
            .clients(&["198.51.100.0/24"])
            .hours(&["Mon UTC"])
            .paths(&["/in/{user}/*"])
            .filename(&[r"[A-Z]{6}\d{8}\.edi"])
            .argument(&[r"/in/.+"]),
    )];
    let line = "STOR /in/acme/ORDERS20231120.edi";
    assert_eq!(Sitting::under(&specs).code(line), 0);
    assert_eq!(Sitting::under(&specs).user(b"x").code(line), 502);
    assert_eq!(Sitting::under(&specs).client("192.0.2.1").code(line), 502);
    assert_eq!(Sitting::under(&specs).at(0).code(line), 502);
    assert_eq!(
        Sitting::under(&specs).code("STOR /in/globex/ORDERS20231120.edi"),
        553
    );
    assert_eq!(
        Sitting::under(&specs).code("STOR /in/acme/ORDERS20231120.edi.exe"),
        553
    );
    assert_eq!(
        Sitting::under(&specs)
            .cd("/in/acme")
            .code("STOR ORDERS20231120.edi"),
        501
    );
}

#[test]
fn regexes_match_whole_values() {
    let specs = [policy("p")
        .rule(allow(&["RETR"]).filename(&["a|ab", "x"]))
        .rule(allow(&["ALLO"]).argument(&["5|50"]))];
    let sitting = Sitting::under(&specs);
    assert_eq!(
        sitting.codes(&["RETR a", "RETR ab", "RETR abc", "RETR ax"]),
        [0, 0, 550, 550]
    );
    assert_eq!(
        sitting.codes(&["ALLO 5", "ALLO 50", "ALLO 500", "ALLO 5\t"]),
        [0, 0, 501, 501]
    );
}

#[test]
fn argument_is_what_follows_the_verb_or_the_subcommand() {
    let specs = [policy("p")
        .rule(allow(&["SITE CHMOD"]).argument(&["0?(644|755) .+"]))
        .rule(allow(&["OPTS UTF8"]).argument(&["(?i)on"]))
        .rule(allow(&["USER"]).argument(&["[a-z]+"]))];
    let sitting = Sitting::under(&specs);
    assert_eq!(
        sitting.codes(&[
            "SITE CHMOD 644 x",
            "SITE  CHMOD  0755 x",
            "CHMOD 644 x",
            "SITE CHMOD 777 x",
            "SITE CHMOD 644",
            "SITE CHMOD"
        ]),
        [0, 0, 0, 501, 501, 501]
    );
    assert_eq!(
        sitting.codes(&["OPTS UTF8 ON", "OPTS UTF8 OFF", "OPTS UTF8"]),
        [0, 501, 501]
    );
    assert_eq!(sitting.codes(&["USER acme", "USER x:)"]), [0, 530]);
}

#[test]
fn argument_is_bytes_and_a_dot_is_any_of_them() {
    let specs = [policy("p")
        .by_default()
        .rule(deny(&["RETR"]).argument(&[".*secret.*"]))];
    let sitting = Sitting::under(&specs);
    assert_eq!(sitting.code_of(b"RETR a\xffsecret\xfe"), 501);
    assert_eq!(sitting.code_of(b"RETR a\xffsecre\xfe"), 0);
}

#[test]
fn the_empty_argument_of_pass_is_one() {
    let specs = [policy("p")
        .rule(allow(&["PASS"]).argument(&[""]))
        .rule(allow(&["PWD"]).argument(&[".*"]))];
    let sitting = Sitting::under(&specs);
    assert_eq!(sitting.codes(&["PASS ", "PASS", "PASS x"]), [0, 530, 530]);
    assert_eq!(sitting.code("PWD"), 502);
}

#[test]
fn a_condition_on_what_a_command_does_not_have_does_not_hold() {
    let specs = [policy("p").rule(allow(&["*"]).paths(&["/**"]))];
    let sitting = Sitting::under(&specs);
    assert_eq!(
        sitting.codes(&["RETR x", "SYST", "PWD", "STAT"]),
        [0, 502, 502, 502]
    );
    let specs = [policy("p").by_default().rule(deny(&["*"]).paths(&["/**"]))];
    let sitting = Sitting::under(&specs);
    assert_eq!(
        sitting.codes(&["RETR x", "SYST", "PWD", "STAT"]),
        [550, 0, 0, 0]
    );
}

#[test]
fn what_is_unsure_is_not_allowed_and_is_denied() {
    let allowing = [policy("p").rule(allow(&["RETR"]).paths(&["/**"]))];
    let denying = [policy("p")
        .by_default()
        .rule(deny(&["RETR"]).paths(&["/no/**"]))];
    for line in [
        &b"RETR x"[..],
        b"RETR ~/x",
        b"RETR /a/../x",
        b"RETR /a\tb",
        b"RETR /\xff",
        b"RETR /\xe9",
        b"RETR /e\xcc\x81",
    ] {
        assert_eq!(
            Sitting::under(&allowing).lost().code_of(line),
            550,
            "{line:?}"
        );
        assert_eq!(
            Sitting::under(&denying).lost().code_of(line),
            550,
            "{line:?}"
        );
    }
    assert_eq!(Sitting::under(&allowing).lost().code("RETR /x"), 0);
    assert_eq!(Sitting::under(&denying).lost().code("RETR /x"), 0);
}

#[test]
fn a_user_name_that_is_no_component_is_unsure() {
    let allowing = [policy("p").rule(allow(&["RETR"]).paths(&["/in/{user}/**"]))];
    let denying = [policy("p")
        .by_default()
        .rule(deny(&["RETR"]).paths(&["/in/{user}/**"]))];
    for user in [
        &b".."[..],
        b".",
        b"",
        b"a/b",
        b"a\tb",
        b"\xff",
        b"e\xcc\x81",
    ] {
        assert_eq!(
            Sitting::under(&allowing).user(user).code("RETR /in/x"),
            550,
            "{user:?}"
        );
        assert_eq!(
            Sitting::under(&denying).user(user).code("RETR /in/x"),
            550,
            "{user:?}"
        );
    }
    // Globs in a name are text.
    assert_eq!(
        Sitting::under(&allowing).user(b"*").code("RETR /in/x/y"),
        550
    );
    assert_eq!(Sitting::under(&denying).user(b"**").code("RETR /in/x/y"), 0);
    let windows = |user: &[u8]| {
        Sitting::before(System::Windows, &allowing)
            .user(user)
            .code("RETR /in/acme/y")
    };
    assert_eq!(
        [
            windows(b"ACME"),
            windows(b"DOM\\acme"),
            windows(b"acme."),
            windows(b"acme ")
        ],
        [0, 550, 550, 550]
    );
}

#[test]
fn the_home_directory_is_what_the_server_stated() {
    let specs = [policy("p").rule(allow(&["RETR"]).paths(&["{home}/**"]))];
    let code = |home, line: &str| Sitting::under(&specs).home(home).code(line);
    assert_eq!(code(Some("/home/acme"), "RETR /home/acme/x"), 0);
    assert_eq!(code(Some("/home/acme/"), "RETR /home/acme/x"), 0);
    assert_eq!(code(Some("/home/acme"), "RETR /home/x"), 550);
    assert_eq!(code(Some("/"), "RETR /x"), 0);
    for home in [
        None,
        Some("home"),
        Some("/home/.."),
        Some("/a\tb"),
        Some(""),
    ] {
        assert_eq!(code(home, "RETR /home/acme/x"), 550, "{home:?}");
    }
}

#[test]
fn homes_of_zos_are_prefixes_or_directories() {
    let specs = [policy("p").rule(allow(&["RETR"]).paths(&["{home}.**", "{home}/**"]))];
    let code = |home, line: &str| {
        Sitting::before(System::Mvs, &specs)
            .home(Some(home))
            .code(line)
    };
    assert_eq!(code("'ACME.'", "RETR x.y"), 0);
    assert_eq!(code("'ACME.'", "RETR 'ACME.LIB(M)'"), 0);
    assert_eq!(code("'ACME.'", "RETR 'OTHER.X'"), 550);
    assert_eq!(code("'ACME.'", "RETR /u/acme/x"), 550);
    assert_eq!(code("/u/acme", "RETR /u/acme/x"), 0);
    assert_eq!(code("/u/acme", "RETR /u/ACME/x"), 550);
}

#[test]
fn windows_compares_paths_and_filenames_without_letter_case() {
    let specs = [policy("p")
        .by_default()
        .rule(deny(&["RETR"]).paths(&["/Secret/**"]))
        .rule(deny(&["SIZE"]).filename(&["key[.]txt"]))];
    let windows = Sitting::before(System::Windows, &specs);
    assert_eq!(
        windows.codes(&[
            "RETR /secret/x",
            "RETR \\SECRET\\x",
            "RETR /secret./x",
            "SIZE /KEY.TXT",
            "SIZE key.txt."
        ]),
        [550; 5]
    );
    assert_eq!(windows.code("RETR /public/x"), 0);
    let unix = Sitting::under(&specs);
    assert_eq!(unix.codes(&["RETR /secret/x", "SIZE /KEY.TXT"]), [0, 0]);
}

#[test]
fn of_two_paths_a_deny_needs_one_that_meets_all_of_it() {
    let specs = [policy("p")
        .by_default()
        .rule(deny(&["RNTO"]).paths(&["/a/**"]).filename(&["x"]))];
    let code = |from: &str, line: &str| {
        let sitting = Sitting::under(&specs).renaming(Some(from));
        sitting.code(line)
    };
    assert_eq!(code("/a/x", "RNTO /b/y"), 553);
    assert_eq!(code("/a/y", "RNTO /b/x"), 0);
    assert_eq!(code("/b/x", "RNTO /a/x"), 553);
}

#[test]
fn an_argument_that_a_server_may_read_in_two_ways_helps_nobody() {
    let mode = "0?[0-7][0-7][2367] .*";
    let denied = Sitting::under(&[policy("p")
        .allow(&["SITE"])
        .rule(deny(&["SITE CHMOD"]).argument(&[mode]))]);
    assert_eq!(
        denied.codes(&[
            "SITE CHMOD 777 x",
            "SITE CHMOD 776\tx",
            "SITE CHMOD \"777\" x",
            "SITE CHMOD 7\\77 x",
            "SITE CHMOD 644 x"
        ]),
        [501, 501, 501, 501, 0]
    );
    let allowed =
        Sitting::under(&[policy("p").rule(allow(&["SITE CHMOD"]).argument(&["644[ \\t].*"]))]);
    assert_eq!(
        allowed.codes(&[
            "SITE CHMOD 644 x",
            "SITE CHMOD 644\tx",
            "SITE CHMOD 644 \"x\""
        ]),
        [0, 501, 501]
    );
}

#[test]
fn a_user_whose_name_windows_would_read_otherwise_fills_no_pattern() {
    let sitting = Sitting::before(
        System::Windows,
        &[policy("p")
            .by_default()
            .rule(deny(&["RETR"]).paths(&["/home/{user}/*"]))],
    );
    let sitting = sitting.user(b"ann");
    assert_eq!(sitting.code("RETR /home/ann/x"), 550);
    assert_eq!(sitting.code("RETR /home/bob/x"), 0);
    // Which directory is theirs nobody knows, so it may be this one.
    let mut sitting = sitting;
    for user in ["ann.", "ann ", "con", "a:b", "ANN~1", "a\\b", "..", "a/b"] {
        sitting = sitting.user(user.as_bytes());
        assert_eq!(sitting.code("RETR /home/bob/x"), 550, "{user}");
    }
}

#[test]
fn a_deny_takes_in_what_servers_take_for_the_same_user() {
    let denied = [policy("p")
        .allow(&["RETR"])
        .rule(deny(&["RETR"]).users(&["anonymous", "administrator"]))];
    let allowed = [policy("p").rule(allow(&["RETR"]).users(&["anonymous", "administrator"]))];
    for (system, user, is_same) in [
        (System::Unix, "anonymous", true),
        (System::Unix, "ANONYMOUS", true),
        (System::Unix, "Ftp", true),
        (System::Unix, "ftpx", false),
        (System::Unix, "CORP\\administrator", false),
        (System::Windows, "CORP\\Administrator", true),
        (System::Windows, ".\\administrator", true),
        (System::Windows, "administrator@corp.local", true),
        (System::Windows, "ftp.example.com|administrator", true),
        (System::Windows, "administrators", false),
    ] {
        let code = |specs| {
            let sitting = Sitting::before(system, specs);
            sitting.user(user.as_bytes()).code("RETR x")
        };
        assert_eq!(code(&denied) != 0, is_same, "{system:?} {user}");
        // Another's rights need the name itself.
        assert_eq!(
            code(&allowed) == 0,
            user == "anonymous",
            "{system:?} {user}"
        );
    }
}

#[test]
fn arguments_are_read_as_the_server_receives_them() {
    let specs = [policy("p")
        .allow(&["TYPE"])
        .rule(deny(&["TYPE"]).argument(&["A T"]))];
    let sitting = Sitting::under(&specs);
    assert_eq!(
        sitting.codes(&["TYPE A T", "TYPE a t", "TYPE A  T", "TYPE A N"]),
        [504, 504, 504, 0]
    );
}
