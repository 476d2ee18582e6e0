use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use rustls::pki_types::CertificateDer;

use super::{SUBJECT_BYTES_MAX, subject};

/// The subject that a certificate with `parts` has.
fn written(parts: &[(DnType, &str)]) -> String {
    let mut params = CertificateParams::new([]).unwrap();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in parts {
        params.distinguished_name.push(kind.clone(), *value);
    }
    let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
    subject(certificate.der()).unwrap().to_string()
}

#[test]
fn the_last_part_comes_first() {
    assert_eq!(
        written(&[
            (DnType::CountryName, "DE"),
            (DnType::OrganizationName, "Example"),
            (DnType::CommonName, "acme"),
        ]),
        "CN=acme,O=Example,C=DE"
    );
    assert_eq!(written(&[]), "");
}

#[test]
fn what_has_a_meaning_is_escaped() {
    let common = |value: &str| written(&[(DnType::CommonName, value)]);
    assert_eq!(common("a,O=b+c"), "CN=a\\,O\\=b\\+c");
    assert_eq!(common("\\\"<>;"), "CN=\\\\\\\"\\<\\>\\;");
    assert_eq!(common("#a#"), "CN=\\#a#");
    assert_eq!(common(" a b "), "CN=\\ a b\\ ");
    assert_eq!(
        common("a\r\nb\0c\u{85}d\u{1b}"),
        "CN=a\\0d\\0ab\\00c\\c2\\85d\\1b"
    );
    assert_eq!(common("Müller"), "CN=Müller");
}

#[test]
fn an_unknown_type_is_written_as_bytes() {
    assert_eq!(
        written(&[(DnType::CustomDnType(vec![1, 2, 3]), "a")]),
        "1.2.3=#0c0161"
    );
}

#[test]
fn a_long_subject_is_cut() {
    let text = written(&[(DnType::CommonName, &"ü".repeat(3000))]);
    assert!(text.len() <= SUBJECT_BYTES_MAX && text.len() > SUBJECT_BYTES_MAX - 8);
    assert!(text.ends_with('…'));
}

#[test]
fn what_is_no_certificate_has_no_subject() {
    assert_eq!(subject(&CertificateDer::from(vec![0; 9])), None);
}
