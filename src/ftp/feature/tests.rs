//! Feature labels and HELP words, one behaviour a test.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn label(line: &str) -> Bytes {
    needs(line.as_bytes()).0
}

fn need(line: &str) -> Needs {
    needs(line.as_bytes()).1
}

/// The verbs that a line needs, if that is what it needs.
fn verbs(line: &str) -> Vec<Verb> {
    let Needs::Verbs(verbs) = need(line) else {
        panic!("{line:?} needs {:?}", need(line));
    };
    verbs.to_vec()
}

fn help(line: &str) -> Vec<&str> {
    help_words(line.as_bytes())
        .into_iter()
        .map(|range| line.get(range).unwrap())
        .collect()
}

#[test]
fn a_label_stands_behind_whatever_servers_put_before_it() {
    for line in [
        " SIZE\r\n",
        "    SIZE\r\n",
        "\tSIZE\r\n",
        "211-SIZE\r\n",
        "211- SIZE\n",
        "SIZE",
        " SIZE and more \r\n",
        " SIZE\tx",
    ] {
        assert_eq!(label(line), "SIZE", "{line:?}");
    }
    assert_eq!(label(" Mdtm\r\n"), "Mdtm", "as it was written");
    assert_eq!(label("\r\n"), "");
}

#[test]
fn a_label_that_is_a_verb_needs_the_verb_in_any_letter_case() {
    for (line, verb) in [
        (" SIZE", Verb::Size),
        (" Mdtm", Verb::Mdtm),
        (" mfmt", Verb::Mfmt),
        (" MFF modify;UNIX.mode;", Verb::Mff),
        (" MLSD", Verb::Mlsd),
        (" HOST", Verb::Host),
        (" CLNT", Verb::Clnt),
        (" REST STREAM", Verb::Rest),
        (" RANG STREAM", Verb::Rang),
        (" LANG EN*;FR", Verb::Lang),
        (" HASH SHA-256*;SHA-1", Verb::Hash),
        (" XCRC filename;start;end", Verb::Xcrc),
        (" XSHA512", Verb::Xsha512),
        (" COMB target;source_list", Verb::Comb),
        (" RMDA path", Verb::Rmda),
        (" EPSV", Verb::Epsv),
        (" EPRT", Verb::Eprt),
        (" PASV", Verb::Pasv),
        (" MODE B", Verb::Mode),
    ] {
        assert_eq!(verbs(line), [verb], "{line:?}");
    }
}

#[test]
fn mlst_stands_for_mlsd_as_well() {
    assert_eq!(
        need(" MLST type*;size*;modify*;\r\n"),
        Needs::Verbs(&[Verb::Mlst, Verb::Mlsd])
    );
}

#[test]
fn mdtm_with_a_form_is_a_write() {
    assert_eq!(
        need(" MDTM YYYYMMDDHHMMSS[+-TZ];filename\r\n"),
        Needs::SettingMdtm
    );
    assert_eq!(need(" MDTM \r\n"), Needs::Verbs(&[Verb::Mdtm]));
}

#[test]
fn values_are_needed_where_the_label_names_them() {
    assert_eq!(need(" UTF8"), Needs::Words(Verb::Opts, &["UTF8"]));
    assert_eq!(need(" utf8"), Needs::Words(Verb::Opts, &["UTF8"]));
    assert_eq!(need(" MODE Z"), Needs::Words(Verb::Mode, &["Z"]));
    assert_eq!(need(" IDLE"), Needs::Words(Verb::Site, &["IDLE"]));
    assert_eq!(need(" TVFS"), Needs::Nothing);
}

#[test]
fn the_gateway_speaks_for_its_own_tls() {
    for line in [
        " AUTH TLS",
        " AUTH SSL",
        " AUTH TLS;TLS-C;SSL;TLS-P;",
        " AUTH GSSAPI",
        " PBSZ",
        " PROT",
        " PROT C;P;",
        " CCC",
        " ADAT",
    ] {
        assert_eq!(need(line), Needs::Gateway, "{line:?}");
    }
}

#[test]
fn what_cannot_be_carried_always_goes() {
    for line in [
        " SPSV", " CPSV", " SSCN", " PRET", " ESTA", " ESTP", " LPRT", " LPSV", " ALGS", " MIC",
    ] {
        assert_eq!(need(line), Needs::Never, "{line:?}");
    }
}

#[test]
fn labels_of_no_verb_are_unknown() {
    for line in [" XYZZY", " SIZE;", " P@SW", "\r\n", " \u{fffd}"] {
        assert_eq!(need(line), Needs::Unknown, "{line:?}");
    }
}

#[test]
fn site_lines_name_their_subcommands() {
    assert_eq!(need(" SITE MKDIR\r\n"), Needs::Site);
    assert_eq!(site_words(b" SITE MKDIR\r\n").next(), Some(&b"MKDIR"[..]));
    assert_eq!(site_words(b"211-site  utime x").next(), Some(&b"utime"[..]));
    assert_eq!(
        need(" SITE COPY"),
        Needs::Words(Verb::Site, &["COPY", "CPFR", "CPTO"])
    );
    assert_eq!(need(" SITE"), Needs::Verbs(&[Verb::Site]));
    assert_eq!(site_words(b" SITE").next(), None);
    assert_eq!(site_words(b" SIZE x").next(), None);
}

#[test]
fn a_site_line_may_be_a_list() {
    let words: Vec<_> = site_words(b" SITE PSWD;SET;ZONE;\r\n").collect();
    assert_eq!(words, [&b"PSWD"[..], b"SET", b"ZONE"]);
}

#[test]
fn help_words_are_found_in_every_servers_columns() {
    assert_eq!(
        help(" ABOR ACCT ALLO XSHA256\r\n"),
        ["ABOR", "ACCT", "ALLO", "XSHA256"]
    );
    assert_eq!(
        help(" CWD     XCWD    SMNT*   P\r\n"),
        ["CWD", "XCWD", "SMNT*"]
    );
    assert_eq!(help("   REIN*   QUIT\r\n"), ["REIN*", "QUIT"]);
    assert_eq!(help("   ADAT *\r\n"), ["ADAT"]);
    assert_eq!(help("\tSYST\tSTAT\n"), ["SYST", "STAT"]);
    assert_eq!(help("214-USER PASS\r\n"), ["USER", "PASS"]);
    assert_eq!(help("214 CHMOD\r\n"), ["CHMOD"]);
    assert_eq!(help(" CHECKMETHOD CHECKSUM"), ["CHECKMETHOD", "CHECKSUM"]);
}

#[test]
fn prose_has_no_help_words() {
    for line in [
        "214-The following commands are recognized (* =>'s unimplemented):\r\n",
        "214 Direct comments to root@localhost\r\n",
        "214 Help OK.\r\n",
        "   (* ==>'s unimplemented)\r\n",
        " quit *ABOR ABOR** A 2FOO ABOR, \u{c9}TAT\r\n",
        "",
    ] {
        assert_eq!(help(line), [""; 0], "{line:?}");
    }
}

#[test]
fn usage_is_told_from_a_list() {
    for line in [
        " UTIME <sp> YYYYMMDDhhmm[ss] <sp> path\r\n",
        " CHMOD <sp> mode <sp> path\r\n",
        "214-IDLE [seconds]\r\n",
    ] {
        assert!(is_usage(line.as_bytes()), "{line:?}");
    }
    for line in [
        " HELP\r\n",
        " ABOR ACCT* ALLO\r\n",
        "   ADAT *\r\n",
        "214 Help OK.\r\n",
        "\r\n",
    ] {
        assert!(!is_usage(line.as_bytes()), "{line:?}");
    }
}

proptest! {
    #[test]
    fn help_words_lie_apart_within_the_line(
        line in vec(prop_oneof![b'A'..=b'Z', Just(b' '), Just(b'*'), Just(b'-'), any::<u8>()], 0..80)
    ) {
        let mut end = 0;
        for range in help_words(&line) {
            prop_assert!(end <= range.start && range.end <= line.len());
            end = range.end;
            prop_assert!(is_help_word(&line[range]));
        }
        is_usage(&line);
    }

    #[test]
    fn nothing_panics(line in vec(any::<u8>(), 0..80)) {
        let (label, _) = needs(&line);
        prop_assert!(label.len() <= line.len());
        site_words(&line).count();
    }

    #[test]
    fn every_verb_is_known_as_a_label(index in 0..Verb::ALL.len(), before in "[ \t]{0,4}") {
        let line = format!("{before}{}\r\n", Verb::ALL[index].name().to_ascii_lowercase());
        prop_assert_ne!(need(&line), Needs::Unknown);
    }
}
