//! What must hold between the rows of the table.

use std::collections::BTreeSet;

use super::*;

#[test]
fn every_verb_is_found_in_any_ascii_case_and_in_no_other() {
    for verb in Verb::ALL {
        let name = verb.name();
        assert_eq!(Verb::parse(name.as_bytes()), Some(*verb));
        assert_eq!(
            Verb::parse(name.to_ascii_lowercase().as_bytes()),
            Some(*verb)
        );
    }
    for name in [
        "",
        "\u{17f}ite",
        "s\u{131}te",
        "SITE ",
        "SITEX",
        "ABCDEFGHIJKLM",
        "P@SW",
    ] {
        assert_eq!(Verb::parse(name.as_bytes()), None, "{name:?}");
    }
}

#[test]
fn names_are_unique_and_well_formed() {
    let names: BTreeSet<_> = Verb::ALL.iter().map(|verb| verb.name()).collect();
    assert_eq!(names.len(), Verb::ALL.len());
    let words: BTreeSet<_> = SITE.iter().map(|row| row.name).collect();
    assert_eq!(words.len(), SITE.len());
    for name in names.union(&words) {
        assert!((2..=12).contains(&name.len()), "{name}");
        assert!(
            name.bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit()),
            "{name}"
        );
    }
}

#[test]
fn an_alias_does_what_its_verb_does() {
    for verb in Verb::ALL {
        let row = verb.row();
        match row.alias {
            Some(Alias::Verb(of)) => {
                let other = of.row();
                assert_eq!(other.alias, None, "{verb:?}: one step");
                assert_eq!(row.groups, other.groups, "{verb:?}");
                assert_eq!(row.forward, other.forward, "{verb:?}");
                assert_eq!(row.data, other.data, "{verb:?}");
                assert_eq!(row.secret, other.secret, "{verb:?}");
                assert_eq!(verb.canonical(), of);
            }
            Some(Alias::Subcommand(of, word)) => {
                let other = site(word.as_bytes()).unwrap();
                assert_eq!(of, Verb::Site);
                assert_eq!(row.groups, other.groups, "{verb:?}");
                assert_eq!(row.forward, other.forward, "{verb:?}");
                assert_eq!(row.paths, other.paths, "{verb:?}");
                assert_eq!(verb.canonical(), *verb);
            }
            None => assert_eq!(verb.canonical(), *verb),
        }
    }
}

#[test]
fn what_opens_a_data_connection_for_bytes_is_a_transfer() {
    assert!(Verb::Retr.transfers() && Verb::Stor.transfers() && Verb::Mlsd.transfers());
    assert!(!Verb::Pasv.transfers() && !Verb::Mlst.transfers() && !Verb::Noop.transfers());
}

#[test]
fn a_path_shaped_argument_says_where_its_paths_are() {
    for verb in Verb::ALL {
        let row = verb.row();
        let has_path = matches!(row.argument, Argument::Path | Argument::OptionalPath);
        let says_where = !matches!(row.paths, Paths::None | Paths::Parent);
        assert_eq!(has_path, says_where, "{verb:?}");
    }
    for row in SITE {
        let has_path = matches!(row.argument, Argument::Path | Argument::OptionalPath);
        assert_eq!(has_path, row.paths != Paths::None, "{}", row.name);
    }
}

#[test]
fn groups_are_found_by_their_names() {
    for group in Group::ALL {
        assert_eq!(Group::parse(group.name()), Some(group));
    }
    assert_eq!(Group::parse("List"), None);
    assert_eq!(Group::parse("@list"), None);
}

#[test]
fn umbrellas_take_in_plain_groups_only() {
    for group in Group::ALL {
        assert!(group.takes_in(group));
        for spanned in group.spans() {
            assert!(spanned.spans().is_empty(), "{group:?}");
            assert!(group.takes_in(*spanned));
            assert!(!spanned.takes_in(group));
        }
    }
    assert!(Group::Write.takes_in(Group::Rename));
    assert!(!Group::Write.takes_in(Group::Site));
    assert!(!Group::Session.takes_in(Group::List));
}

#[test]
fn no_group_holds_what_the_gateway_never_sends() {
    for verb in Verb::ALL {
        let row = verb.row();
        if row.forward == Forward::Never {
            assert!(
                row.groups.iter().all(|group| *group == Group::Legacy),
                "{verb:?}"
            );
        }
        if row.forward == Forward::Gateway {
            assert_eq!(row.groups, [], "{verb:?}");
        }
    }
}

#[test]
fn verbs_that_may_hold_a_password_are_told_from_others() {
    for name in [
        "PASS",
        "PASSHUNTER2",
        "PAS",
        "PASHUNTER2",
        "PSASHUNTER",
        "PAASSHUNTER",
        "PADSHUNTER2",
        "ASSHUNTER2",
        "ACCTHUNTER2",
        "ACTHUNTER2",
        "ADATHUNTER2",
        "ADTAHUNTER2",
        "ENCHUNTER2",
        "MICX",
    ] {
        assert!(may_hold_secret(name), "{name}");
    }
    for name in [
        "RCMD", "ADDM", "ADDV", "CRTL", "CRTP", "DLTF", "DLTL", "CRTS", "XRCMD", "Q", "STIE",
    ] {
        assert!(!may_hold_secret(name), "{name}");
    }
}
