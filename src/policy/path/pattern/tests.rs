//! Tests of globs on paths: what they match, cover, and may match.

use proptest::prelude::*;

use super::super::super::judge::System;
use super::super::{Kind, Path, Place};
use super::{Fill, GlobFault, Outcome, PARTS_MAX, PathGlob, PatternFault};

/// What placeholders stand for in these tests.
const fn fill<'a>(user: Option<&'a str>, home: Option<&'a Path>) -> Fill<'a> {
    Fill {
        user,
        home,
        system: System::Unix,
    }
}

/// A path with slashes.
fn slash(text: &str) -> Path {
    Path::slash(text.split('/').filter(|part| !part.is_empty()))
}

/// A data set, `A.B(M)`.
fn data_set(text: &str) -> Path {
    let (set, member) = match text.find('(') {
        Some(open) => {
            let (set, member) = text.split_at(open);
            (set, Some(member))
        }
        None => (text, None),
    };
    Path::data_set(set.split('.'), member)
}

/// Whether `pattern` matches `path`, for the user acme at home in `/home/acme`.
fn fits(pattern: &str, path: &str) -> bool {
    outcome(pattern, &Place::Exact(slash(path))) == Outcome::Holds
}

/// What `pattern` says of `place`.
fn outcome(pattern: &str, place: &Place) -> Outcome {
    let home = slash("/home/acme");
    PathGlob::parse(pattern)
        .unwrap()
        .outcome(place, fill(Some("acme"), Some(&home)))
}

#[test]
fn a_star_stays_in_one_component_and_two_span_any_number() {
    for (pattern, yes, no) in [
        (
            "/in/*",
            vec!["/in/a", "/in/.a"],
            vec!["/in", "/in/a/b", "/inx/a", "/"],
        ),
        (
            "/in/**",
            vec!["/in", "/in/a", "/in/a/b/c"],
            vec!["/inx", "/", "/x/in"],
        ),
        ("/**", vec!["/", "/a", "/a/b"], vec![]),
        ("**", vec!["/", "/a", "/a/b"], vec![]),
        ("/", vec!["/"], vec!["/a"]),
        ("/**/x", vec!["/x", "/a/x", "/a/b/x"], vec!["/x/a", "/"]),
        ("**/*.exe", vec!["/a.exe", "/a/b/c.exe"], vec!["/a.exe/b"]),
        (
            "/a/**/b/**/c",
            vec!["/a/b/c", "/a/x/b/y/z/c", "/a/b/b/c"],
            vec!["/a/c", "/a/b"],
        ),
        (
            "/in/*.{csv,txt}",
            vec!["/in/a.csv", "/in/a.txt"],
            vec!["/in/a.pdf"],
        ),
        (
            "/{in,out/now}/*",
            vec!["/in/a", "/out/now/a"],
            vec!["/out/a"],
        ),
        ("/in/a?", vec!["/in/ab"], vec!["/in/a", "/in/a/"]),
        ("/in/", vec!["/in"], vec!["/in/a"]),
        ("/in/a**b", vec!["/in/axxb"], vec!["/in/a/b"]),
    ] {
        for path in yes {
            assert!(fits(pattern, path), "{pattern} {path}");
        }
        for path in no {
            assert!(!fits(pattern, path), "{pattern} {path}");
        }
    }
}

#[test]
fn placeholders_stand_for_the_session() {
    assert!(fits("/in/{user}/*", "/in/acme/x"));
    assert!(!fits("/in/{user}/*", "/in/globex/x"));
    assert!(fits("/in/u-{user}.d/**", "/in/u-acme.d"));
    assert!(fits("{home}/**", "/home/acme/a/b"));
    assert!(fits("{home}/**", "/home/acme"));
    assert!(fits("{home}", "/home/acme"));
    assert!(!fits("{home}/**", "/home/acme2"));
    assert!(!fits("{home}/**", "/home"));
    assert!(fits("{home}/{user}", "/home/acme/acme"));
}

#[test]
fn placeholders_are_compared_as_text() {
    let home = slash("/home/*");
    let with = |user, path: &str, pattern: &str| {
        PathGlob::parse(pattern)
            .unwrap()
            .outcome(&Place::Exact(slash(path)), fill(Some(user), Some(&home)))
    };
    assert_eq!(with("*", "/in/b/x", "/in/{user}/x"), Outcome::Fails);
    assert_eq!(with("*", "/in/*/x", "/in/{user}/x"), Outcome::Holds);
    assert_eq!(with("a", "/home/b/x", "{home}/**"), Outcome::Fails);
    assert_eq!(with("a", "/home/*/x", "{home}/**"), Outcome::Holds);
}

#[test]
fn a_placeholder_without_a_value_is_unsure() {
    let place = Place::Exact(slash("/in/x"));
    let without = |pattern: &str| {
        PathGlob::parse(pattern)
            .unwrap()
            .outcome(&place, fill(None, None))
    };
    assert_eq!(without("/in/{user}"), Outcome::Unsure);
    assert_eq!(without("{home}/**"), Outcome::Unsure);
    assert_eq!(without("/in/*"), Outcome::Holds);
}

#[test]
fn a_wildcard_matches_only_if_every_match_must() {
    let children = |pattern: &str, path: &str| outcome(pattern, &Place::Children(slash(path)));
    assert_eq!(children("/in/**", "/in"), Outcome::Holds);
    assert_eq!(children("/in/*", "/in"), Outcome::Holds);
    assert_eq!(children("/in/*.txt", "/in"), Outcome::Unsure);
    assert_eq!(children("/in/secret", "/in"), Outcome::Unsure);
    assert_eq!(children("/in/*/x", "/in"), Outcome::Fails);
    assert_eq!(children("/in", "/in"), Outcome::Fails);
    assert_eq!(children("/out/**", "/in"), Outcome::Fails);
    assert_eq!(children("/in/sub/**", "/in"), Outcome::Unsure);
    assert_eq!(children("**/secret", "/in"), Outcome::Unsure);
    let below = |pattern: &str, path: &str| outcome(pattern, &Place::Below(slash(path)));
    assert_eq!(below("/in/**", "/in"), Outcome::Holds);
    assert_eq!(below("/in/*", "/in"), Outcome::Unsure);
    assert_eq!(below("/in/*/x", "/in"), Outcome::Unsure);
    assert_eq!(below("/in", "/in"), Outcome::Fails);
}

#[test]
fn a_subtree_needs_all_of_it() {
    let tree = |pattern: &str, path: &str| outcome(pattern, &Place::Tree(slash(path)));
    assert_eq!(tree("/in/**", "/in"), Outcome::Holds);
    assert_eq!(tree("/in/**", "/in/a"), Outcome::Holds);
    assert_eq!(tree("/in/*", "/in"), Outcome::Unsure);
    assert_eq!(tree("/in", "/in"), Outcome::Unsure);
    assert_eq!(tree("/secret/**", "/"), Outcome::Unsure);
    assert_eq!(tree("/secret/**", "/in"), Outcome::Fails);
    assert_eq!(tree("{home}/**", "/home"), Outcome::Unsure);
    assert_eq!(tree("{home}/**", "/in"), Outcome::Fails);
}

#[test]
fn a_name_of_the_servers_choice_is_in_its_directory() {
    let inside = |pattern: &str, path: &str| outcome(pattern, &Place::Inside(slash(path)));
    assert_eq!(inside("/in/**", "/in"), Outcome::Holds);
    assert_eq!(inside("/in/*", "/in"), Outcome::Holds);
    assert_eq!(inside("/in", "/in"), Outcome::Holds);
    assert_eq!(inside("/in/*.txt", "/in"), Outcome::Unsure);
    assert_eq!(inside("/out/*", "/in"), Outcome::Fails);
}

#[test]
fn data_sets_have_qualifiers_and_members() {
    let holds = |pattern: &str, set: &str| {
        let fill = Fill {
            user: Some("ACME"),
            home: None,
            system: System::Mvs,
        };
        let place = Place::Exact(data_set(set));
        PathGlob::parse(pattern).unwrap().outcome(&place, fill) == Outcome::Holds
    };
    for (pattern, yes, no) in [
        (
            "PROD.EDI.**",
            vec!["PROD.EDI", "PROD.EDI.A.B", "PROD.EDI(M)"],
            vec!["PROD", "PROD.EDIX"],
        ),
        (
            "PROD.*",
            vec!["PROD.A"],
            vec!["PROD", "PROD.A.B", "PROD(M)"],
        ),
        (
            "PROD.LIB(MEM)",
            vec!["PROD.LIB(MEM)"],
            vec!["PROD.LIB", "PROD.LIB(X)", "PROD.LIB.MEM"],
        ),
        (
            "PROD.LIB(*)",
            vec!["PROD.LIB(MEM)"],
            vec!["PROD.LIB", "PROD.LIB.X"],
        ),
        ("{user}.DATA.**", vec!["ACME.DATA.X"], vec!["OTHER.DATA.X"]),
        ("**", vec!["PROD.A"], vec![]),
        ("/u/**", vec![], vec!["U.A"]),
    ] {
        for set in yes {
            assert!(holds(pattern, set), "{pattern} {set}");
        }
        for set in no {
            assert!(!holds(pattern, set), "{pattern} {set}");
        }
    }
}

#[test]
fn the_unix_side_of_zos_tells_letter_case_apart() {
    let fill = Fill {
        user: None,
        home: None,
        system: System::Mvs,
    };
    let pattern = PathGlob::parse("/u/Prod/**").unwrap();
    let of = |path: &str| pattern.outcome(&Place::Exact(slash(path)), fill);
    assert_eq!(of("/u/Prod/x"), Outcome::Holds);
    assert_eq!(of("/u/prod/x"), Outcome::Fails);
}

#[test]
fn a_data_sets_pattern_elsewhere_lets_nothing_pass() {
    assert_eq!(
        outcome("PROD.**", &Place::Exact(slash("/x"))),
        Outcome::Unsure
    );
}

#[test]
fn letters_are_brought_to_the_form_that_paths_have() {
    assert!(fits("/e\u{301}/*", "/é/x"));
}

#[test]
fn faults_are_told_apart() {
    let fault = |pattern: &str| PathGlob::parse(pattern).unwrap_err();
    assert_eq!(fault("in/**"), PatternFault::NotAbsolute);
    assert_eq!(fault("*.txt"), PatternFault::NotAbsolute);
    assert_eq!(fault("{user}/**"), PatternFault::NotAbsolute);
    assert_eq!(fault(""), PatternFault::Glob(GlobFault::Empty));
    assert_eq!(fault("/a/../b"), PatternFault::Dots);
    assert_eq!(fault("/./b"), PatternFault::Dots);
    assert_eq!(fault("{home}x"), PatternFault::HomeGlued);
    assert_eq!(
        fault("/in/{home}"),
        PatternFault::Glob(GlobFault::HomeInside)
    );
    assert_eq!(
        fault("/in/{usr}"),
        PatternFault::Glob(GlobFault::Placeholder("usr".into()))
    );
    assert_eq!(fault("A(B)C.D"), PatternFault::Member);
    assert_eq!(fault("A(B).D"), PatternFault::Member);
    assert_eq!(
        fault(&"/a".repeat(PARTS_MAX + 1)),
        PatternFault::TooManyParts
    );
    let longest = "/a".repeat(PARTS_MAX);
    let shorter = "/a".repeat(PARTS_MAX - 1);
    assert!(fits(&longest, &longest) && !fits(&longest, &shorter));
}

#[test]
fn many_spans_stay_cheap() {
    let pattern = format!("{}/x", "/**/a".repeat(30));
    let path = "/a".repeat(2000);
    assert!(!fits(&pattern, &path));
}

proptest! {
    #[test]
    fn patterns_agree_with_globset(
        pattern in "(/([a-b]|\\*|\\*\\*|a\\*)){1,4}",
        path in "(/[a-c]{1,2}){1,4}",
    ) {
        // There `/**` matches only what lies below, and in the middle it is one or no component.
        let other = globset::GlobBuilder::new(&pattern)
            .literal_separator(true)
            .build()
            .unwrap()
            .compile_matcher();
        let itself = pattern.strip_suffix("/**").is_some_and(|above| {
            above.is_empty() || fits(above, &path)
        });
        prop_assert_eq!(fits(&pattern, &path), other.is_match(&path) || itself);
    }

    #[test]
    fn what_covers_a_place_matches_all_of_it(
        pattern in "(/([a-b]|\\*|\\*\\*|a\\*)){0,4}",
        base in "(/[a-b]){0,3}",
        rest in "(/[a-b]){1,2}",
    ) {
        let pattern = if pattern.is_empty() { "/".to_owned() } else { pattern };
        let inside = format!("{base}{rest}");
        let tree = outcome(&pattern, &Place::Tree(slash(&base)));
        if tree == Outcome::Holds {
            prop_assert!(fits(&pattern, &inside) && fits(&pattern, &base));
        }
        if tree == Outcome::Fails {
            prop_assert!(!fits(&pattern, &inside) && !fits(&pattern, &base));
        }
        let below = outcome(&pattern, &Place::Below(slash(&base)));
        prop_assert!(below != Outcome::Holds || fits(&pattern, &inside));
        prop_assert!(below != Outcome::Fails || !fits(&pattern, &inside));
        if rest.matches('/').count() == 1 {
            let children = outcome(&pattern, &Place::Children(slash(&base)));
            prop_assert!(children != Outcome::Holds || fits(&pattern, &inside));
            prop_assert!(children != Outcome::Fails || !fits(&pattern, &inside));
        }
    }

    #[test]
    fn no_pattern_panics(pattern in ".{0,40}", path in "(/[a-c*{}]{1,3}){0,4}") {
        if let Ok(glob) = PathGlob::parse(&pattern) {
            for system in [System::Mvs, System::Unix, System::Windows] {
                let fill = Fill { system, ..fill(Some("u"), None) };
                let place = Place::Exact(slash(&path));
                glob.outcome(&place, fill);
                prop_assert_eq!(place.path().map(Path::kind), Some(Kind::Slash));
            }
        }
    }
}
