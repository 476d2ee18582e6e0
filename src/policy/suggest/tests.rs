//! Tests of suggestions.

use super::{help, list, nearest};

#[test]
fn slips_find_the_name_that_was_meant() {
    let names = ["SITE", "SIZE", "STOR", "MLSD", "MLST"];
    assert_eq!(nearest("STIE", names), Some("SITE"));
    assert_eq!(nearest("site", names), Some("SITE"));
    assert_eq!(nearest("STORE", names), Some("STOR"));
    assert_eq!(nearest("SIT", names), Some("SITE"));
    assert_eq!(nearest("MLS", names), Some("MLSD"));
}

#[test]
fn what_is_far_off_finds_nothing() {
    assert_eq!(nearest("RCMD", ["SITE", "STOR"]), None);
    assert_eq!(nearest("", ["A"]), None);
    assert_eq!(nearest("ab", ["xy"]), None);
    assert_eq!(nearest(&"a".repeat(10_000), ["a"]), None);
}

#[test]
fn the_help_names_the_nearest_word_or_all() {
    let names = ["bind", "policy"];
    assert_eq!(help("bnid", names), "did you mean `bind`?");
    assert_eq!(help("upstream", names), "expected one of `bind`, `policy`");
    assert_eq!(list([]), "");
}
