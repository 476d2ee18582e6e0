//! Tests of the dialects: where an argument points, and what is unsure.

use proptest::prelude::*;

use super::super::judge::{Dialect, System};
use super::{Ground, Path, Place};

/// Where `argument` points, from `directory`.
fn place(system: System, symlinks: bool, directory: Option<&str>, argument: &[u8]) -> Place {
    let dialect = Dialect {
        system,
        symlinks,
        path_bytes: 4096,
    };
    Ground::new(dialect, directory.map(str::as_bytes)).resolve(argument)
}

/// The one path, or a description of what else it is.
fn shown(place: &Place) -> String {
    match place {
        Place::Exact(path) => path.as_str().to_owned(),
        Place::Children(path) => format!("in {}", path.as_str()),
        Place::Below(path) => format!("below {}", path.as_str()),
        Place::Inside(_) | Place::Moved(_) | Place::Tree(_) => "?".to_owned(),
        Place::Unsure => "unsure".to_owned(),
    }
}

/// A unix server's reading, with symbolic links, from `/a/b`.
fn unix(argument: &str) -> String {
    shown(&place(
        System::Unix,
        true,
        Some("/a/b"),
        argument.as_bytes(),
    ))
}

/// A unix server's reading, without symbolic links, from `/a/b`.
fn linkless(argument: &str) -> String {
    shown(&place(
        System::Unix,
        false,
        Some("/a/b"),
        argument.as_bytes(),
    ))
}

/// A Windows server's reading, from `/a/b`.
fn windows(argument: &str) -> String {
    shown(&place(
        System::Windows,
        true,
        Some("/a/b"),
        argument.as_bytes(),
    ))
}

/// A z/OS server's reading, from a directory.
fn mvs(directory: &str, argument: &str) -> String {
    shown(&place(
        System::Mvs,
        true,
        Some(directory),
        argument.as_bytes(),
    ))
}

#[test]
fn spellings_of_one_path_are_one_path() {
    for spelling in [
        "/a/b/x",
        "x",
        "./x",
        "//a//b/x",
        "/a/./b/x",
        "/a/b/x/",
        "/a/b/x/.",
        "/../../a/b/x",
        "/./.././a/b/x",
        "./././x",
    ] {
        assert_eq!(unix(spelling), "/a/b/x", "{spelling}");
    }
    for spelling in ["../b/x", "../../a/b/x", "../../../../a/b/x"] {
        assert_eq!(linkless(spelling), "/a/b/x", "{spelling}");
    }
    assert_eq!(unix("/"), "/");
    assert_eq!(unix("/.."), "/");
    assert_eq!(linkless(".."), "/a");
    assert_eq!(unix("."), "/a/b");
    assert_eq!(unix(" x "), "/a/b/ x ");
    assert_eq!(unix("%2e%2e/x"), "/a/b/%2e%2e/x");
    assert_eq!(unix("..."), "/a/b/...");
}

#[test]
fn a_parent_behind_a_name_is_unsure_where_there_are_links() {
    for argument in ["/x/../y", "x/..", "/a/b/../c", "../x/../y"] {
        assert_eq!(unix(argument), "unsure", "{argument}");
    }
    assert_eq!(linkless("/x/../y"), "/y");
    assert_eq!(linkless("x/.."), "/a/b");
    assert_eq!(linkless("/x/y/../../../../z"), "/z");
}

#[test]
fn a_parent_of_the_stated_directory_is_unsure_where_there_are_links() {
    for argument in ["..", "../", "../x", "./../x", "../../x", "../*"] {
        assert_eq!(unix(argument), "unsure", "{argument}");
        assert_eq!(mvs("/a/b", argument), "unsure", "{argument}");
    }
    assert_eq!(windows("..\\x"), "unsure");
    let from_root = |argument: &[u8]| shown(&place(System::Unix, true, Some("/"), argument));
    assert_eq!(from_root(b".."), "/");
    assert_eq!(from_root(b"../../x"), "/x");
    assert_eq!(from_root(b"../x/.."), "unsure");
}

#[test]
fn what_servers_expand_or_read_in_two_ways_is_unsure() {
    for argument in [
        "~", "~/x", "~root/x", "'HLQ.X'", "a\tb", "a\u{7f}", "a\u{85}b", "", "a\\b", ".\\./x",
        "/\\a", "/~x", "//~", "/./~x/y",
    ] {
        assert_eq!(unix(argument), "unsure", "{argument:?}");
    }
    assert_eq!(unix("x/~"), "/a/b/x/~");
    assert_eq!(unix("\"x\""), "/a/b/\"x\"");
}

#[test]
fn bytes_that_are_not_nfc_are_unsure() {
    let of = |bytes: &[u8]| shown(&place(System::Unix, true, Some("/"), bytes));
    assert_eq!(of("/é".as_bytes()), "/é");
    for bytes in [
        &b"/e\xcc\x81"[..],
        b"/\xe9",
        b"/\xc0\xae\xc0\xae",
        b"/\xff",
        b"/\xed\xa0\x80",
        b"/a\xc2",
    ] {
        assert_eq!(of(bytes), "unsure", "{bytes:?}");
    }
}

#[test]
fn without_a_usable_directory_only_absolute_paths_are_sure() {
    for directory in [
        None,
        Some("a/b"),
        Some(""),
        Some("/a/../b"),
        Some("/a\tb"),
        Some("'A.B'"),
    ] {
        assert_eq!(shown(&place(System::Unix, true, directory, b"x")), "unsure");
        assert_eq!(shown(&place(System::Unix, true, directory, b"/x")), "/x");
    }
}

#[test]
fn only_relative_paths_need_the_directory() {
    let ground = Ground::new(Dialect::default(), None);
    ground.resolve(b"/x");
    assert!(!ground.was_asked());
    ground.resolve(b"x");
    assert!(ground.was_asked());
}

#[test]
fn wildcards_mean_what_they_may_expand_to() {
    assert_eq!(unix("*.txt"), "in /a/b");
    assert_eq!(unix("/in/a?"), "in /in");
    assert_eq!(unix("/in/[ab]"), "unsure");
    assert_eq!(unix("/in/[ab]c"), "in /in");
    assert_eq!(unix("/in/report[1].txt"), "in /in");
    assert_eq!(unix("/in/*/x"), "below /in");
    assert_eq!(unix("/*/*"), "below /");
    assert_eq!(unix("/in/{4711}.xml"), "in /in");
    assert_eq!(unix("/in/.bash*"), "in /in");
    // These may be the directory above, or anything.
    for argument in [
        ".*",
        "/in/.?",
        "/in/{..}",
        "/in/[.][.]",
        "/in/{a,/etc/b}",
        "{/etc/b}",
        "{/}",
        "x{/..}",
        "{~root}",
        "/in/{}",
        "/~root/x",
        "/~",
        "/in/*/../x",
        "/in/{.,x}{.,y}",
    ] {
        assert_eq!(unix(argument), "unsure", "{argument}");
    }
}

#[test]
fn the_length_of_a_path_counts_its_directory() {
    let ground = |path_bytes| {
        let dialect = Dialect {
            path_bytes,
            ..Dialect::default()
        };
        Ground::new(dialect, Some(b"/abc"))
    };
    for (argument, length) in [("/12345", 6), ("12345", 10)] {
        let enough = ground(length);
        enough.resolve(argument.as_bytes());
        assert!(!enough.was_too_long(), "{argument}");
        let short = ground(length - 1);
        short.resolve(argument.as_bytes());
        assert!(short.was_too_long(), "{argument}");
    }
}

#[test]
fn windows_reads_backslashes_and_drops_trailing_dots() {
    for spelling in [
        "/a/b/x",
        "x",
        "\\a\\b\\x",
        "/a\\b/x.",
        "x...",
        "x ",
        "x. .",
        ".\\x",
        "\\..\\a\\b\\x",
    ] {
        assert_eq!(windows(spelling), "/a/b/x", "{spelling}");
    }
    assert_eq!(windows("Dir\\File.TXT"), "/a/b/Dir/File.TXT");
}

#[test]
fn windows_names_for_something_else_are_unsure() {
    for argument in [
        "C:\\x",
        "x:stream",
        "x::$DATA",
        "PROGRA~1",
        "a~12.txt",
        "\\\\server\\share",
        "//server/share",
        "...",
        ". .",
        ".. ",
        "NUL",
        "con.txt",
        "a/COM1",
        "lpt9.log",
        "com¹",
        "a<b",
        "a>b",
        "a\"b",
        "a|b",
        "~/x",
        "CONIN$",
        "\u{212A}ey",
        "\u{17f}ite",
        "\u{ff0e}\u{ff0e}",
        "a\u{2215}b",
        "x/../y",
    ] {
        assert_eq!(windows(argument), "unsure", "{argument}");
    }
    assert_eq!(windows("console.txt"), "/a/b/console.txt");
    assert_eq!(windows("a~b"), "/a/b/a~b");
    assert_eq!(windows("com10"), "/a/b/com10");
    let from_drive = place(System::Windows, true, Some("C:\\x"), b"y");
    assert_eq!(from_drive, Place::Unsure);
    let from_backslashes = place(System::Windows, true, Some("\\x\\y"), b"z");
    assert_eq!(shown(&from_backslashes), "/x/y/z");
}

#[test]
fn data_sets_are_quoted_or_behind_the_prefix() {
    assert_eq!(mvs("'PROD.'", "'test.data'"), "TEST.DATA");
    assert_eq!(mvs("'PROD.'", "edi.in"), "PROD.EDI.IN");
    assert_eq!(mvs("'PROD.'", "lib(mem)"), "PROD.LIB(MEM)");
    assert_eq!(mvs("'PROD.LIB'", "mem"), "PROD.LIB(MEM)");
    assert_eq!(mvs("'PROD.EDI.'", ".."), "PROD");
    assert_eq!(mvs("'PROD.'", "'A.B.'"), "A.B");
    assert_eq!(mvs("'PROD.'", "'A.B(C)'"), "A.B(C)");
    assert_eq!(mvs("'PROD.'", "X*"), "below PROD");
    assert_eq!(mvs("'PROD.'", "A.B(+1)"), "in PROD.A.B");
    assert_eq!(mvs("'PROD.'", "'A.B(-12)'"), "in A.B");
    assert_eq!(mvs("'PROD.'", "A(0)"), "in PROD.A");
    assert_eq!(mvs("'PROD.'", "'A.B(*)'"), "below A.B");
    assert_eq!(mvs("'PROD.'", "/u/x/../y"), "unsure");
    assert_eq!(mvs("'PROD.'", "/u/x"), "/u/x");
    assert_eq!(mvs("/u/prod", "x"), "/u/prod/x");
    assert_eq!(mvs("/u/prod", "'A.B'"), "A.B");
}

#[test]
fn names_that_are_no_data_sets_are_unsure() {
    for argument in [
        "'A.B",
        "A'B",
        "toolongname",
        "1ABC",
        "A..B",
        "A.B(1)",
        "A.B(+)",
        "A.B(+1000)",
        "A.B(-1x)",
        "A(B",
        "A(B)C",
        "''",
        "'*.X'",
        "a b",
        "../X",
        "A/B",
    ] {
        assert_eq!(mvs("'PROD.'", argument), "unsure", "{argument}");
    }
    let long = format!("'{}'", ["ABCDEFGH"; 6].join("."));
    assert_eq!(mvs("'PROD.'", &long), "unsure");
    assert_eq!(mvs("'PROD.LIB'", "A.B"), "unsure");
    assert_eq!(mvs("PROD", "X"), "unsure");
    assert_eq!(mvs("/u/x", "~"), "unsure");
}

#[test]
fn a_judged_path_reads_back_as_itself() {
    for (system, text) in [
        (System::Unix, "/a/b c"),
        (System::Unix, "/"),
        (System::Windows, "/Dir/File.TXT"),
        (System::Mvs, "PROD.LIB(MEM)"),
        (System::Mvs, "/u/x"),
    ] {
        let path = Path::judged(text.as_bytes(), system).unwrap();
        assert_eq!(path.as_str(), text);
    }
    assert_eq!(Path::judged(b"x", System::Unix), None);
    assert_eq!(Path::judged(b"", System::Mvs), None);
}

#[test]
fn the_filename_is_the_last_component_or_the_member() {
    let name = |system, text: &str| {
        Path::judged(text.as_bytes(), system).and_then(|path| path.filename().map(str::to_owned))
    };
    assert_eq!(name(System::Unix, "/a/b.txt").as_deref(), Some("b.txt"));
    assert_eq!(name(System::Unix, "/"), None);
    assert_eq!(name(System::Mvs, "A.B.C").as_deref(), Some("C"));
    assert_eq!(name(System::Mvs, "A.B(MEM)").as_deref(), Some("MEM"));
}

proptest! {
    #[test]
    fn no_bytes_panic(
        directory in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..20)),
        argument in proptest::collection::vec(any::<u8>(), 0..40),
        symlinks: bool,
    ) {
        for system in [System::Unix, System::Windows, System::Mvs] {
            let dialect = Dialect { system, symlinks, path_bytes: 10 };
            let ground = Ground::new(dialect, directory.as_deref());
            ground.resolve(&argument);
            ground.here();
            ground.above();
        }
    }

    #[test]
    fn what_is_sure_is_normal(argument in "[a-z./*'~ \\\\-]{0,20}", symlinks: bool) {
        if let Place::Exact(path) = place(System::Unix, symlinks, Some("/a/b"), argument.as_bytes()) {
            let text = path.as_str();
            prop_assert!(text.starts_with('/'));
            prop_assert!(text == "/" || !text.ends_with('/'));
            prop_assert!(text.split('/').skip(1).all(|part| part != "." && part != ".."));
            prop_assert!(text == "/" || text.split('/').skip(1).all(|part| !part.is_empty()));
            // Reading it again changes nothing.
            prop_assert_eq!(shown(&place(System::Unix, symlinks, None, text.as_bytes())), text);
        }
    }
}
