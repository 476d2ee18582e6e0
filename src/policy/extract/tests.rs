//! Tests of the readers of paths in arguments, by what a rule on `/in/**` says of them.

use std::sync::LazyLock;

use proptest::prelude::*;

use super::super::judge::{Judge, System};
use super::super::sample::{Sitting, allow, deny, policy};
use super::super::spec::PolicySpec;

/// Everything is allowed in `/in`, by name where a name is needed, and nothing else.
fn inside() -> PolicySpec {
    policy("p").rule(
        allow(&[
            "*",
            "SITE",
            "RMDA",
            "SITE SYMLINK",
            "SITE CPFR",
            "SITE CPTO",
            "COMB",
            "THMB",
        ])
        .paths(&["/in/**"]),
    )
}

/// Everything is allowed but in `/no`.
fn outside() -> PolicySpec {
    policy("p").by_default().rule(deny(&[]).paths(&["/no/**"]))
}

/// Sessions with servers of all systems.
static ALL_SYSTEMS: LazyLock<[Sitting; 3]> = LazyLock::new(|| {
    [
        Sitting::under(&[inside()]),
        Sitting::before(System::Mvs, &[outside()]),
        Sitting::before(System::Windows, &[outside()]),
    ]
});

/// The codes of `lines` in `/in`.
fn codes(lines: &[&str]) -> Vec<u16> {
    Sitting::under(&[inside()]).cd("/in").codes(lines)
}

#[test]
fn most_verbs_have_a_path_for_their_argument() {
    for verb in [
        "RETR", "SIZE", "MDTM", "DELE", "RNFR", "CWD", "MKD", "RMD", "XCWD", "XMKD", "XRMD",
        "HASH", "RMDA",
    ] {
        let lines = [
            format!("{verb} x"),
            format!("{verb} /in/x"),
            format!("{verb} /x"),
            format!("{verb} ../x"),
        ];
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(codes(&lines), [0, 0, 550, 550], "{verb}");
    }
    for verb in ["STOR", "APPE"] {
        assert_eq!(
            codes(&[&format!("{verb} x"), &format!("{verb} /x")]),
            [0, 553],
            "{verb}"
        );
    }
    // Blanks are part of a name.
    assert_eq!(codes(&["RETR  x", "RETR x ", "RETR a /x"]), [0; 3]);
}

#[test]
fn an_absent_path_is_the_working_directory_and_a_bare_cwd_is_unsure() {
    let lines = [
        "LIST", "NLST", "MLSD", "MLST", "AVBL", "LIST -la", "NLST -1",
    ];
    assert_eq!(codes(&lines), [0; 7]);
    let elsewhere = Sitting::under(&[inside()]);
    assert_eq!(elsewhere.codes(&lines), [550; 7]);
    assert_eq!(codes(&["CWD", "RETR"]), [550, 501]);
}

#[test]
fn status_has_no_path_and_its_listing_has() {
    let sitting = Sitting::under(&[inside()]).cd("/in");
    assert_eq!(
        sitting.codes(&["STAT", "STAT .", "STAT /", "STAT -R /", "STAT -l /in/x"]),
        [502, 0, 550, 550, 0]
    );
}

#[test]
fn cdup_goes_to_the_directory_above() {
    let sitting = Sitting::under(&[inside()]);
    assert_eq!(
        sitting.cd("/in/a").codes(&["CDUP", "XCUP", "CWD .."]),
        [0; 3]
    );
    let sitting = Sitting::under(&[inside()]).cd("/in");
    assert_eq!(sitting.codes(&["CDUP", "XCUP", "CWD .."]), [550; 3]);
    let denied = Sitting::under(&[outside()]);
    let lines = ["CDUP", "XCUP", "CWD ..", "XCWD ../"];
    assert_eq!(denied.cd("/a/b").codes(&lines), [0; 4]);
    let denied = Sitting::under(&[outside()]).cd("/no/b");
    assert_eq!(denied.codes(&lines), [550; 4]);
}

#[test]
fn only_a_step_up_may_go_through_a_parent() {
    let lines = [
        "CWD ../b",
        "CWD ../..",
        "CWD ./..",
        "RETR ../b",
        "LIST ..",
        "MKD ..",
        "RMD ..",
    ];
    let sitting = Sitting::under(&[inside()]).cd("/in/a/b");
    assert_eq!(sitting.codes(&lines), [550; 7]);
    let denied = Sitting::under(&[outside()]).cd("/a/b/c");
    assert_eq!(denied.codes(&lines), [550; 7]);
    let linkless = Sitting::linkless(&[inside()]).cd("/in/a/b");
    assert_eq!(linkless.codes(&lines), [0; 7]);
}

#[test]
fn flags_of_listings_are_no_paths() {
    assert_eq!(
        codes(&[
            "LIST -la x",
            "LIST -l -a /in",
            "NLST -- -x",
            "LIST --help",
            "LIST sub -la",
            "LIST -la /",
            "LIST -a  /x"
        ]),
        [0, 0, 550, 0, 0, 550, 550]
    );
    assert_eq!(codes(&["LIST -- /in/x", "LIST -- /x"]), [0, 550]);
}

#[test]
fn a_flag_that_a_server_may_cut_short_hides_no_path() {
    let lines = [
        "LIST -a/x",
        "LIST -l../x",
        "NLST -la -1/x",
        "STAT -a/x",
        "LIST  -a/x",
        "LIST -*/x",
        "LIST --sort=/x",
        "LIST -x/../../x",
        "LIST -a\u{e9}",
    ];
    assert_eq!(codes(&lines), [550; 9]);
    let denied = Sitting::under(&[outside()]).cd("/in");
    assert_eq!(denied.codes(&lines), [550; 9]);
    assert_eq!(
        codes(&[
            "LIST -1aL",
            "LIST --group-directories-first",
            "LIST -a-l /in/x",
            "LIST  -la",
            "LIST x -v1.txt"
        ]),
        [0; 5]
    );
    // Behind the first path it may be a path of its own.
    assert_eq!(codes(&["LIST x -a/../../x"]), [550]);
}

#[test]
fn flags_that_a_server_takes_for_a_name_lead_nowhere() {
    let lines = ["NLST -l /../no", "NLST -l /../../in/no", "LIST -l ../../no"];
    let denied = Sitting::linkless(&[outside()]).cd("/in/a");
    assert_eq!(denied.codes(&lines), [550; 3]);
    let inside = Sitting::linkless(&[inside()]).cd("/in/a/b");
    assert_eq!(inside.codes(&["LIST -la ..", "LIST -la ../x"]), [0; 2]);
}

#[test]
fn a_recursive_listing_needs_the_whole_subtree() {
    assert_eq!(
        codes(&[
            "LIST -R",
            "LIST -lR /in/a",
            "NLST --recursive .",
            "LIST a -R"
        ]),
        [0; 4]
    );
    let shallow = Sitting::under(&[policy("p").rule(allow(&["@list"]).paths(&["/in", "/in/*"]))]);
    assert_eq!(
        shallow.codes(&["LIST /in", "LIST -R /in", "LIST /in -R", "LIST --lR /in"]),
        [0, 550, 550, 550]
    );
    let denied = Sitting::under(&[outside()]);
    assert_eq!(
        denied.codes(&["LIST /", "LIST -R /", "LIST -R /in", "LIST  -R"]),
        [0, 550, 0, 550]
    );
}

#[test]
fn a_server_may_cut_a_listings_path_at_its_blanks() {
    assert_eq!(
        codes(&["LIST a b", "LIST a /x", "LIST /in/a /in/b", "NLST  x"]),
        [0, 550, 0, 0]
    );
    let denied = Sitting::under(&[outside()]);
    assert_eq!(
        denied.codes(&["LIST x /no", "LIST x y", "RETR x /no"]),
        [550, 0, 0]
    );
    let many = format!("LIST {}", "a ".repeat(40));
    assert_eq!(codes(&[&many]), [550]);
}

#[test]
fn wildcards_in_listings_must_match_with_every_match() {
    assert_eq!(
        codes(&[
            "NLST *",
            "NLST /in/*.txt",
            "NLST /i*",
            "NLST .*",
            "NLST */x"
        ]),
        [0, 0, 550, 550, 0]
    );
    let denied = Sitting::under(&[outside()]);
    assert_eq!(
        denied.codes(&[
            "NLST *",
            "NLST /n*",
            "NLST /in/*",
            "NLST /*/x",
            "NLST /{no,x}",
            "NLST /no/*"
        ]),
        [550, 550, 0, 550, 550, 550]
    );
}

#[test]
fn a_backslash_may_be_an_escape() {
    let lines = [
        "LIST /in/\\../no",
        "LIST /n\\o",
        "NLST /in/\\.[.]/no/*",
        "NLST -l n\\o",
        "STAT a /\\no",
    ];
    assert_eq!(codes(&lines), [550; 5]);
    let denied = Sitting::under(&[outside()]);
    assert_eq!(denied.codes(&lines), [550; 5]);
    let names = ["RETR /in/.\\./no", "SIZE a\\b", "DELE n\\o", "MLSD a\\b"];
    assert_eq!(codes(&names), [550; 4]);
    assert_eq!(denied.codes(&names), [550; 4]);
    let windows = Sitting::before(System::Windows, &[inside()]).cd("/in");
    assert_eq!(windows.codes(&["LIST \\in\\a", "LIST \\no"]), [0, 550]);
    let mvs = Sitting::before(System::Mvs, &[inside()]).cd("/in");
    assert_eq!(mvs.codes(&["LIST a", "LIST a\\b"]), [0, 550]);
}

#[test]
fn a_name_of_the_servers_choice_counts_as_its_directory() {
    let sitting = Sitting::under(&[inside()]).cd("/in");
    assert_eq!(
        sitting.codes(&["STOU", "STOU x", "STOU /x", "STOU /in/a/x"]),
        [0, 0, 553, 0]
    );
    let elsewhere = Sitting::under(&[inside()]).cd("/out");
    assert_eq!(elsewhere.codes(&["STOU", "STOU /in/x"]), [553, 553]);
    let named = Sitting::under(&[policy("p").rule(allow(&["STOU"]).filename(&[r".*\.txt"]))]);
    assert_eq!(named.code("STOU"), 553);
}

#[test]
fn a_time_that_is_set_stands_before_the_path() {
    assert_eq!(
        codes(&[
            "MDTM 20240101000000 x",
            "MDTM 20240101000000 /x",
            "MDTM 20240101000000+60 /x",
            "MDTM 20240101000000"
        ]),
        [0, 550, 550, 0]
    );
    // Of two ways to read it both must be allowed, and none denied.
    assert_eq!(
        codes(&[
            "MDTM 20240101 x",
            "MDTM 20240101 /x",
            "MDTM 2aaaaaaaaaaaaa /x"
        ]),
        [0, 550, 550]
    );
    let denied = Sitting::under(&[outside()]).cd("/pub");
    assert_eq!(
        denied.codes(&["MDTM 20240101 /no/a", "MDTM 20240101 a"]),
        [550, 0]
    );
    assert_eq!(
        codes(&[
            "MFMT 20240101000000 x",
            "MFMT 20240101000000 /x",
            "MFF UNIX.mode=0777; /x",
            "MFCT 20240101000000 /x"
        ]),
        [0, 550, 550, 550]
    );
    assert_eq!(
        codes(&["MFMT 20240101000000  x", "MFMT 20240101000000"]),
        [550, 550]
    );
}

#[test]
fn subcommands_of_site_have_their_own_readers() {
    assert_eq!(
        codes(&[
            "SITE CHMOD 644 x",
            "SITE CHMOD 644 /x",
            "CHMOD 644 /x",
            "site chmod 644 ../x",
            "SITE  CHMOD 644 x"
        ]),
        [0, 550, 550, 550, 0]
    );
    assert_eq!(
        codes(&[
            "SITE CHMOD 644  x",
            "SITE CHMOD 644 x ",
            "SITE CHMOD 644",
            "SITE CHMOD"
        ]),
        [550; 4]
    );
    // ProFTPD unquotes the words of SITE, and drops a blank at the end.
    assert_eq!(
        codes(&["SITE CHMOD 644 \"x\"", "SITE MKDIR \"d\"", "SITE MKDIR d "]),
        [550; 3]
    );
    assert_eq!(
        codes(&[
            "SITE MKDIR d",
            "SITE RMDIR /d",
            "SITE CPFR x",
            "SITE CPTO /x"
        ]),
        [0, 550, 0, 550]
    );
    assert_eq!(
        codes(&[
            "SITE COPY a b",
            "SITE COPY a /b",
            "SITE COPY /a b",
            "SITE COPY a b c"
        ]),
        [0, 550, 550, 550]
    );
    assert_eq!(
        codes(&[
            "SITE SYMLINK /in/a b",
            "SITE SYMLINK a b",
            "SITE SYMLINK /x b",
            "SITE SYMLINK ../x b"
        ]),
        [0, 550, 550, 550]
    );
    assert_eq!(
        codes(&[
            "SITE UTIME 202401010000 x",
            "SITE UTIME 202401010000 /x",
            "SITE UTIME x 20240101000000 20240101000000 20240101000000 UTC",
            "SITE UTIME /x 20240101000000 20240101000000 20240101000000 UTC",
            "SITE UTIME 202401010000 20240101000000 20240101000000 20240101000000 UTC",
            "SITE UTIME x 20240101000000 20240101000000 20240101000000 GMT",
            "SITE UTIME x 1 20240101000000 20240101000000 UTC",
            "SITE UTIME x 20240101000000 1 20240101000000 UTC",
            "SITE UTIME x 20240101000000 20240101000000 1 UTC",
            "SITE UTIME x",
        ]),
        [0, 550, 0, 550, 550, 550, 550, 550, 550, 550]
    );
    assert_eq!(
        codes(&["SITE WHATEVER x", "SITE UMASK 022", "SITE"]),
        [550, 502, 502]
    );
}

#[test]
fn checksums_may_be_quoted_and_have_offsets() {
    assert_eq!(
        codes(&[
            "XCRC x",
            "XCRC x 0 100",
            "XCRC \"a b\" 0 100",
            "XCRC x;0;100",
            "XMD5 a b"
        ]),
        [0; 5]
    );
    assert_eq!(
        codes(&[
            "XCRC /x",
            "XCRC /x 0 100",
            "XCRC \"/x\" 0 100",
            "XCRC \"/in/x\"/../../x",
            "XSHA1 \"x",
            "MD5 /x;0"
        ]),
        [550; 6]
    );
    // What is no number belongs to the name: the file without it is not asked for.
    let named = policy("p").rule(allow(&["XMD5"]).paths(&["/in/a b", "/in/a 7 b", "/in/a "]));
    let sitting = Sitting::under(&[named]).cd("/in");
    assert_eq!(
        sitting.codes(&["XMD5 a b", "XMD5 a 7 b", "XMD5 a 7", "XMD5 a "]),
        [0, 0, 550, 0]
    );
    assert_eq!(
        codes(&[
            "MMD5 a,b",
            "MMD5 a,/b",
            "MMD5 /in/a,/in/b",
            "MMD5 a, b",
            "MMD5 \"a\",b"
        ]),
        [0, 550, 0, 550, 550]
    );
    let many = format!("MMD5 {}", "a,".repeat(100));
    assert_eq!(codes(&[&many]), [550]);
}

#[test]
fn more_paths_than_may_be_in_one_line_are_unsure() {
    let lines = |paths: usize| {
        let (commas, words) = (vec!["a"; paths], vec!["a"; paths - 1]);
        // All of a listing's words may be one path as well.
        [
            format!("MMD5 {}", commas.join(",")),
            format!("LIST {}", words.join(" ")),
        ]
    };
    assert_eq!(lines(32).each_ref().map(|line| codes(&[line])[0]), [0, 0]);
    assert_eq!(
        lines(33).each_ref().map(|line| codes(&[line])[0]),
        [550, 550]
    );
}

#[test]
fn what_has_no_reader_is_unsure() {
    assert_eq!(
        codes(&["COMB /in/x /in/y", "THMB PNG 9 9 /in/x"]),
        [550, 550]
    );
    let denied = Sitting::under(&[policy("p")
        .allow(&["COMB", "XYZZY", "SITE"])
        .rule(deny(&[]).paths(&["/no/**"]))]);
    assert_eq!(
        denied.codes(&["COMB a b", "XYZZY", "SITE WHATEVER", "SITE UMASK 022"]),
        [550, 550, 550, 0]
    );
}

#[test]
fn a_rename_is_judged_by_both_names() {
    let at = |path| Sitting::under(&[inside()]).cd("/in").renaming(path);
    assert_eq!(at(Some("/in/x")).codes(&["RNTO y", "RNTO /y"]), [0, 553]);
    assert_eq!(at(Some("/x")).code("RNTO y"), 553);
    assert_eq!(at(None).code("RNTO y"), 553);
    let denied = |path| Sitting::under(&[outside()]).renaming(path);
    assert_eq!(
        denied(Some("/x")).codes(&["RNTO /y", "RNTO /no/y"]),
        [0, 553]
    );
    assert_eq!(denied(Some("/no/x")).code("RNTO /y"), 553);
    assert_eq!(denied(None).code("RNTO /y"), 553);
    let judgement = at(Some("/in/x")).judge("RNTO y");
    assert_eq!(judgement.path.as_deref(), Some(&b"/in/y"[..]));
}

#[test]
fn a_directory_is_not_moved_from_above_what_is_denied() {
    let specs = [policy("p").by_default().rule(deny(&[]).paths(&[
        "/data/secret/**",
        "/in/{user}/keys",
        "{home}/x",
        "/own/*.key",
        "/users/*/.ssh/**",
        "**/*.exe",
    ]))];
    let sitting = Sitting::under(&specs);
    assert_eq!(
        sitting.codes(&[
            "RNFR /own",
            "RNFR /data",
            "RNFR /data/secret",
            "RNFR /",
            "RNFR /in",
            "RNFR /in/acme",
            "RNFR /users/bob",
            "RNFR /home"
        ]),
        [550; 8]
    );
    assert_eq!(
        sitting.codes(&[
            "RNFR /data/other",
            "RNFR /own/other",
            "RNFR /x",
            "RNFR /in/globex",
            "RNFR /home/other",
            "RNFR /users/bob/x",
            "RETR /data"
        ]),
        [0; 7]
    );
    assert_eq!(
        Sitting::under(&specs)
            .renaming(Some("/data"))
            .code("RNTO /y"),
        553
    );
    assert_eq!(
        Sitting::under(&specs).renaming(Some("/x")).code("RNTO /y"),
        0
    );
    // Nor is one put where a rule names what lies in it.
    for line in ["RNTO /own", "RNTO /users/bob", "RNTO /data"] {
        let sitting = Sitting::under(&specs).renaming(Some("/x"));
        assert_eq!(sitting.code(line), 553, "{line}");
    }
    let allowing = [policy("p").rule(allow(&["RNFR"]).paths(&["/in/*"]))];
    assert_eq!(
        Sitting::under(&allowing).codes(&["RNFR /in/a", "RNFR /in"]),
        [0, 550]
    );
}

#[test]
fn a_copy_and_a_link_take_all_below_along() {
    let specs = [policy("p")
        .by_default()
        .allow(&["SITE CPFR", "SITE CPTO", "SITE COPY", "SITE SYMLINK"])
        .rule(deny(&[]).paths(&["/srv/secret/**", "**/*.key"]))];
    let sitting = Sitting::under(&specs);
    assert_eq!(
        sitting.codes(&[
            "SITE CPFR /srv",
            "site cpto /srv",
            "SITE COPY /srv /pub/c",
            "SITE COPY /pub/c /srv",
            "SITE SYMLINK / /pub/root",
            "DSIZ /srv",
        ]),
        [550; 6]
    );
    let specs = [policy("p")
        .rule(allow(&["SITE CPFR", "SITE COPY", "SITE SYMLINK"]).paths(&["/pub/**", "/files/*"]))];
    assert_eq!(
        Sitting::under(&specs).codes(&[
            "SITE CPFR /pub/a",
            "SITE COPY /pub/a /pub/b",
            "SITE SYMLINK /pub/a /files/b",
            "SITE CPFR /files/a",
        ]),
        [0, 0, 0, 550]
    );
}

#[test]
fn a_flag_that_takes_the_next_word_may_leave_the_working_directory() {
    let specs = [policy("p")
        .by_default()
        .rule(deny(&["@list"]).paths(&["/secret/**"]))];
    let sitting = Sitting::under(&specs).cd("/secret");
    assert_eq!(
        sitting.codes(&[
            "LIST -I /pub",
            "LIST -w 80",
            "NLST -lT /pub",
            "LIST --hide /pub",
            "LIST -D x /pub",
            "LIST a -I /pub",
        ]),
        [550; 6]
    );
    assert_eq!(sitting.codes(&["LIST -la /pub", "NLST -CF /pub"]), [0; 2]);
}

#[test]
fn a_recursive_delete_takes_all_below() {
    let sitting = Sitting::under(&[policy("p").rule(allow(&["RMDA"]).paths(&["/in/*"]))]);
    assert_eq!(sitting.code("RMDA /in/a"), 550);
    let sitting = Sitting::under(&[policy("p")
        .allow(&["RMDA"])
        .rule(deny(&["RMDA"]).paths(&["/in/keep"]))]);
    assert_eq!(sitting.codes(&["RMDA /in", "RMDA /in/x"]), [550, 0]);
}

#[test]
fn several_parameters_of_zos_are_each_judged() {
    let policy = || policy("p").allow(&["SITE RECFM", "SITE LRECL", "SITE CHMOD"]);
    let sitting = Sitting::before(System::Mvs, &[policy()]);
    assert_eq!(
        sitting.codes(&[
            "SITE RECFM=FB LRECL=80",
            "SITE LRECL=80",
            "SITE CHMOD 644 x"
        ]),
        [0; 3]
    );
    assert_eq!(
        sitting.codes(&[
            "SITE RECFM=FB FILETYPE=JES",
            "SITE LRECL=80 CYL",
            "SITE UMASK 022 FILETYPE=JES"
        ]),
        [502; 3]
    );
    // Behind a mode there is a file of this name.
    assert_eq!(sitting.code("SITE CHMOD 644 FILETYPE=JES"), 0);
    let general = Sitting::before(
        System::Mvs,
        &[super::super::sample::policy("p").allow(&["SITE"])],
    );
    assert_eq!(
        general.codes(&[
            "SITE RECFM=FB",
            "SITE RECFM=FB FILETYPE=JES",
            "SITE FILETYPE=SQL"
        ]),
        [0, 502, 502]
    );
    let denied = Sitting::before(
        System::Mvs,
        &[super::super::sample::policy("p")
            .by_default()
            .deny(&["SITE BLKSIZE"])],
    );
    assert_eq!(
        denied.codes(&["SITE RECFM=FB BLKSIZE=0", "SITE RECFM=FB"]),
        [502, 0]
    );
}

proptest! {
    #[test]
    fn no_argument_panics(verb in 0..crate::ftp::verb::Verb::ALL.len(), argument in proptest::collection::vec(any::<u8>(), 0..60)) {
        let verb = crate::ftp::verb::Verb::ALL[verb];
        let mut line = verb.name().as_bytes().to_vec();
        line.push(b' ');
        line.extend(&argument);
        if crate::ftp::command::Command::parse(&bytes::Bytes::from(line.clone())).is_ok() {
            for sitting in &*ALL_SYSTEMS {
                sitting.ask(&line, Judge::decide);
                sitting.ask(&line, Judge::needs_directory);
            }
        }
    }
}
