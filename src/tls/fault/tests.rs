use std::collections::BTreeSet;

use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

use super::HandshakeFault;
use crate::ftp::security::TlsVersion;
use crate::tls::server::Acceptor;
use crate::tls::tests::{World, server};

/// One of each.
const ALL: [HandshakeFault; 20] = [
    HandshakeFault::Alert("unknown_ca"),
    HandshakeFault::AuthorityCertificate,
    HandshakeFault::BadCertificate,
    HandshakeFault::Closed,
    HandshakeFault::Expired,
    HandshakeFault::Name,
    HandshakeFault::NoCertificate,
    HandshakeFault::NoCipher,
    HandshakeFault::NotResumed,
    HandshakeFault::NotYetValid,
    HandshakeFault::Other,
    HandshakeFault::OtherCertificate,
    HandshakeFault::Pin,
    HandshakeFault::Plaintext,
    HandshakeFault::Protocol,
    HandshakeFault::Revoked,
    HandshakeFault::Timeout,
    HandshakeFault::UnknownAuthority,
    HandshakeFault::Version,
    HandshakeFault::WrongName,
];

#[test]
fn names_are_stable_and_each_has_a_sentence() {
    let names: Vec<&str> = ALL.iter().map(|fault| fault.name()).collect();
    assert_eq!(names, HandshakeFault::NAMES);
    let sentences: BTreeSet<String> = ALL.iter().map(ToString::to_string).collect();
    assert_eq!(sentences.len(), ALL.len());
}

#[test]
fn reasons_come_from_rustls_errors() {
    use rustls::Error;
    let of = |error: Error| HandshakeFault::from(&error);
    let alert = |alert| of(Error::AlertReceived(alert));
    assert_eq!(
        alert(AlertDescription::UnknownCA),
        HandshakeFault::Alert("unknown_ca")
    );
    assert_eq!(
        alert(AlertDescription::ProtocolVersion),
        HandshakeFault::Version
    );
    assert_eq!(alert(AlertDescription::CloseNotify), HandshakeFault::Closed);
    assert_eq!(
        alert(AlertDescription::Unknown(0xee)),
        HandshakeFault::Alert("another alert")
    );
    assert_eq!(
        of(CertificateError::Revoked.into()),
        HandshakeFault::Revoked
    );
    assert_eq!(
        of(CertificateError::BadSignature.into()),
        HandshakeFault::BadCertificate
    );
    assert_eq!(
        of(PeerIncompatible::NoCipherSuitesInCommon.into()),
        HandshakeFault::NoCipher
    );
    assert_eq!(
        of(InvalidMessage::InvalidContentType.into()),
        HandshakeFault::Plaintext
    );
    assert_eq!(of(Error::DecryptError), HandshakeFault::Other);
    assert_eq!(of(Error::General("x".to_owned())), HandshakeFault::Other);
}

#[test]
fn a_peer_that_speaks_in_clear_is_told_as_such() {
    let world = World::new();
    let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
    let session = Acceptor::load(&server(&[identity])).unwrap().session();
    let mut connection = rustls::ServerConnection::new(session.control()).unwrap();
    connection.read_tls(&mut &b"USER anna\r\n"[..]).unwrap();
    let error = connection.process_new_packets().unwrap_err();
    assert_eq!(HandshakeFault::from(&error), HandshakeFault::Plaintext);
    let client = crate::tls::tests::client(&world.path("ca.pem"), "a.test", TlsVersion::V1_3);
    let client = crate::tls::client::Connector::load(&client)
        .unwrap()
        .session();
    let mut connection =
        rustls::ClientConnection::new(client.config(), client.server_name()).unwrap();
    connection.read_tls(&mut &b"220 Welcome.\r\n"[..]).unwrap();
    let error = connection.process_new_packets().unwrap_err();
    assert_eq!(HandshakeFault::from(&error), HandshakeFault::Plaintext);
}
