//! Tests of globs, with another implementation as the measure.

use bytes::Bytes;
use proptest::prelude::*;

use super::{
    ALTERNATIVES_MAX, Glob, GlobFault, TEXT_MAX, Token, UserGlob, fold, matches, spell_out,
    substitute,
};
use crate::policy::System;

/// Whether `pattern` matches `text`.
fn fits(pattern: &str, text: &str) -> bool {
    Glob::parse(pattern).unwrap().matches(text, false)
}

#[test]
fn wildcards_match_what_a_shell_would() {
    for (pattern, yes, no) in [
        ("acme", vec!["acme"], vec!["ACME", "acme2", "acm", ""]),
        ("acme*", vec!["acme", "acme2"], vec!["xacme"]),
        ("*", vec!["", "anything"], vec![]),
        ("a?c", vec!["abc", "aéc"], vec!["ac", "abbc"]),
        ("[a-c]x", vec!["ax", "cx"], vec!["dx", "x"]),
        ("[!a-c]x", vec!["dx"], vec!["ax"]),
        ("[^a]x", vec!["bx"], vec!["ax"]),
        ("[]x]", vec!["]", "x"], vec!["y"]),
        ("[a-]", vec!["a", "-"], vec!["b"]),
        (
            "{one,two}-x",
            vec!["one-x", "two-x"],
            vec!["three-x", "one"],
        ),
        ("{a,b{c,d}}", vec!["a", "bc", "bd"], vec!["b", "ac"]),
        ("{a,}b", vec!["ab", "b"], vec!["a"]),
        ("a,b", vec!["a,b"], vec!["a"]),
        (r"\*\{x", vec!["*{x"], vec!["a{x"]),
        ("a*b*c", vec!["abc", "axbxc", "abbcc"], vec!["acb", "ab"]),
    ] {
        for text in yes {
            assert!(fits(pattern, text), "{pattern} {text}");
        }
        for text in no {
            assert!(!fits(pattern, text), "{pattern} {text}");
        }
    }
}

#[test]
fn letter_case_counts_only_where_the_server_says_so() {
    let glob = Glob::parse("Ünïx[a-c]").unwrap();
    assert!(!glob.matches("üNÏXB", false));
    assert!(glob.matches("üNÏXB", true));
}

#[test]
fn a_class_takes_both_cases_of_its_letters_and_no_others() {
    for class in ["[a-c]", "[A-C]"] {
        let glob = Glob::parse(class).unwrap();
        for letter in ["a", "B", "c", "C"] {
            assert!(glob.matches(letter, true), "{class} {letter}");
        }
        for letter in ["d", "D", "0", "é"] {
            assert!(!glob.matches(letter, true), "{class} {letter}");
        }
    }
    let glob = Glob::parse("[!a-c]").unwrap();
    assert!(!glob.matches("B", true));
    assert!(glob.matches("D", true));
    // Two letters in upper case: it has no other case of its own.
    assert!(Glob::parse("[ß]").unwrap().matches("ß", true));
}

#[test]
fn users_of_one_name_are_the_same_where_the_server_folds_case() {
    let glob = UserGlob::parse("acme-*").unwrap();
    assert!(glob.matches(b"acme-1", System::Unix));
    assert!(!glob.matches(b"ACME-1", System::Unix));
    assert!(glob.matches(b"ACME-1", System::Windows));
    assert!(UserGlob::parse("[a").is_err());
    let name = Bytes::from_static("ÄCme-ß\u{130}".as_bytes());
    assert_eq!(UserGlob::folded(&name, System::Unix), name);
    assert_eq!(
        ["ς", "σ", "Σ"].map(|one| fold(one.chars().next().unwrap())),
        ['σ'; 3]
    );
    let folded = UserGlob::folded(&name, System::Windows);
    assert_eq!(folded, "äcme-ß\u{130}".as_bytes());
}

#[test]
fn faults_are_told_apart() {
    let fault = |pattern: &str| Glob::parse(pattern).unwrap_err();
    assert_eq!(fault(""), GlobFault::Empty);
    assert_eq!(fault("a\\"), GlobFault::DanglingEscape);
    assert_eq!(fault("[a"), GlobFault::UnclosedClass);
    assert_eq!(fault("[z-a]"), GlobFault::UnclosedClass);
    assert_eq!(fault("{a,b"), GlobFault::UnpairedBrace);
    assert_eq!(fault("a}"), GlobFault::UnpairedBrace);
    assert_eq!(fault("{user}"), GlobFault::Placeholder("user".to_owned()));
    assert_eq!(fault(&"a".repeat(TEXT_MAX + 1)), GlobFault::TooLong);
    assert!(Glob::parse(&"a".repeat(TEXT_MAX)).is_ok());
    assert_eq!(
        spell_out("x{home}", true).unwrap_err(),
        GlobFault::HomeInside
    );
}

#[test]
fn braces_spell_out_no_more_than_their_bound() {
    let six = "{a,b}".repeat(6);
    assert_eq!(spell_out(&six, false).unwrap().len(), ALTERNATIVES_MAX);
    assert_eq!(
        spell_out(&"{a,b}".repeat(7), false).unwrap_err(),
        GlobFault::TooManyAlternatives
    );
    assert_eq!(
        spell_out(&"{a,b}".repeat(200), false).unwrap_err(),
        GlobFault::TooManyAlternatives
    );
}

#[test]
fn a_placeholder_is_text_and_never_a_pattern() {
    let spelled = spell_out("x-{user}.d", true).unwrap();
    let fits = |user: &str, text: &str| matches(&substitute(&spelled[0], user), text, false);
    assert!(fits("acme", "x-acme.d"));
    for user in ["*", "?", "[a-z]", "{a,b}", "\\"] {
        assert!(!fits(user, "x-a.d"), "{user}");
        assert!(fits(user, &format!("x-{user}.d")), "{user}");
    }
}

#[test]
fn many_runs_stay_cheap() {
    let glob = Glob::parse(&format!("{}c", "a*".repeat(200))).unwrap();
    assert!(!glob.matches(&format!("{}b", "a".repeat(4000)), false));
}

proptest! {
    #[test]
    fn globs_agree_with_globset(pattern in "([a-c.]|\\*|\\?|\\[a-b\\]|\\[!b\\]){0,8}", text in "[a-d.]{0,8}") {
        prop_assume!(!pattern.is_empty());
        let other = globset::GlobBuilder::new(&pattern)
            .literal_separator(true)
            .build()
            .unwrap()
            .compile_matcher();
        prop_assert_eq!(fits(&pattern, &text), other.is_match(&text));
    }

    #[test]
    fn no_pattern_and_no_text_panics(pattern in ".{0,40}", text in ".{0,40}", user in ".{0,8}") {
        if let Ok(spelled) = spell_out(&pattern, true) {
            for tokens in spelled {
                matches(&substitute(&tokens, &user), &text, true);
            }
        }
        if let Ok(glob) = Glob::parse(&pattern) {
            glob.matches(&text, false);
        }
    }

    #[test]
    fn an_escaped_text_matches_itself_only(text in ".{1,20}", other in ".{0,20}") {
        let tokens: Vec<Token> = text.chars().map(Token::Literal).collect();
        prop_assert!(matches(&tokens, &text, false));
        prop_assert_eq!(matches(&tokens, &other, false), text == other);
    }
}
