use rcgen::{BasicConstraints, IsCa, date_time_ymd};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{Connector, sha256};
use crate::ftp::security::TlsVersion;
use crate::tls::fault::HandshakeFault;
use crate::tls::load::LoadFault;
use crate::tls::options::{ClientOptions, Identity, SessionReuse, Trust};
use crate::tls::server::Acceptor;
use crate::tls::tests::{
    Failed, VERSIONS, World, client, client_fault, control, meet, resumes, server,
};

/// What a client that trusts the world's authority and asks for `ftp.example.com` says of
/// `identity`, the same in both versions; None where it is content.
fn verdict(world: &World, identity: &Identity) -> Option<HandshakeFault> {
    let verdicts = VERSIONS.map(|version| {
        let client = client(&world.path("ca.pem"), "ftp.example.com", version);
        let mut options = server(std::slice::from_ref(identity));
        options.versions = vec![version];
        meet(&options, &client)
            .err()
            .map(|failed| client_fault(&failed))
    });
    assert_eq!(verdicts[0], verdicts[1]);
    verdicts[0]
}

#[test]
fn certificates_are_checked() {
    let world = World::new();
    let names = ["ftp.example.com"];
    let good = world.issue("good", &names, |_| {});
    assert_eq!(verdict(&world, &good), None);
    let expired = world.issue("expired", &names, |params| {
        params.not_after = date_time_ymd(2021, 1, 1);
    });
    assert_eq!(verdict(&world, &expired), Some(HandshakeFault::Expired));
    let early = world.issue("early", &names, |params| {
        params.not_before = date_time_ymd(2098, 1, 1);
    });
    assert_eq!(verdict(&world, &early), Some(HandshakeFault::NotYetValid));
    let own = world.self_signed("own", &names, |_| {});
    assert_eq!(
        verdict(&world, &own),
        Some(HandshakeFault::UnknownAuthority)
    );
    let elsewhere = World::new();
    let foreign = elsewhere.issue("foreign", &names, |_| {});
    let verdict_on_foreign = verdict(&world, &foreign);
    assert_eq!(verdict_on_foreign, Some(HandshakeFault::UnknownAuthority));
    let nameless = world.issue("nameless", &[], |_| {});
    assert_eq!(verdict(&world, &nameless), Some(HandshakeFault::WrongName));
}

#[test]
fn an_authoritys_certificate_is_no_servers() {
    let world = World::new();
    // As `openssl req -x509` makes it.
    let own = world.self_signed("own", &["ftp.example.com"], |params| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    });
    let client = client(&own.certificate, "ftp.example.com", TlsVersion::V1_2);
    let failed = meet(&server(std::slice::from_ref(&own)), &client)
        .err()
        .unwrap();
    assert_eq!(client_fault(&failed), HandshakeFault::AuthorityCertificate);
}

#[test]
fn a_name_that_the_certificate_lacks_is_refused() {
    let world = World::new();
    // Over an address the client names no host, and the server shows what it has.
    let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
    for version in VERSIONS {
        let client = client(&world.path("ca.pem"), "192.0.2.7", version);
        let failed = meet(&server(std::slice::from_ref(&identity)), &client)
            .err()
            .unwrap();
        assert_eq!(client_fault(&failed), HandshakeFault::WrongName);
    }
}

/// The digest that `pin` would hold.
fn digest(identity: &Identity) -> [u8; 32] {
    let der = CertificateDer::from_pem_file(&identity.certificate).unwrap();
    sha256(&der).unwrap().try_into().unwrap()
}

#[test]
fn a_pinned_certificate_is_trusted_and_no_other() {
    let world = World::new();
    let ca = |params: &mut rcgen::CertificateParams| {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.not_after = date_time_ymd(2021, 1, 1);
    };
    let own = world.self_signed("own", &["elsewhere.example.com"], ca);
    let other = world.issue("other", &["ftp.example.com"], |_| {});
    for version in VERSIONS {
        let pinned = |digest| ClientOptions {
            trust: Trust::Pin(digest),
            ..client(&world.path("ca.pem"), "192.0.2.7", version)
        };
        let options = server(std::slice::from_ref(&own));
        meet(&options, &pinned(digest(&own))).unwrap();
        let failed = meet(&options, &pinned(digest(&other))).err().unwrap();
        assert_eq!(client_fault(&failed), HandshakeFault::Pin);
        let failed = meet(&options, &pinned([0; 32])).err().unwrap();
        assert_eq!(client_fault(&failed), HandshakeFault::Pin);
        // Resumption holds with a pin too.
        let server = Acceptor::load(&options).unwrap().session();
        let client = Connector::load(&pinned(digest(&own))).unwrap().session();
        control(&server, &client).unwrap();
        assert!(resumes(&server, &client, true));
    }
}

/// Shows a certificate without the key that belongs to it.
#[derive(Debug)]
struct Impostor(std::sync::Arc<rustls::sign::CertifiedKey>);

impl rustls::server::ResolvesServerCert for Impostor {
    fn resolve(
        &self,
        _: rustls::server::ClientHello<'_>,
    ) -> Option<std::sync::Arc<rustls::sign::CertifiedKey>> {
        Some(std::sync::Arc::clone(&self.0))
    }
}

#[test]
fn a_pinned_certificate_without_its_key_is_refused() {
    let world = World::new();
    let pinned = world.self_signed("pinned", &["ftp.example.com"], |_| {});
    let other = world.self_signed("other", &["ftp.example.com"], |_| {});
    let certificate = CertificateDer::from_pem_file(&pinned.certificate).unwrap();
    let own = crate::tls::load::identity(&other).unwrap().certified;
    let stolen = rustls::sign::CertifiedKey::new(vec![certificate], own.key);
    let impostor = std::sync::Arc::new(Impostor(std::sync::Arc::new(stolen)));
    for version in VERSIONS {
        let server = rustls::ServerConfig::builder_with_provider(crate::tls::provider())
            .with_protocol_versions(&crate::tls::protocol_versions(&[version]))
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(impostor.clone());
        let options = ClientOptions {
            trust: Trust::Pin(digest(&pinned)),
            ..client(&world.path("ca.pem"), "ftp.example.com", version)
        };
        let session = Connector::load(&options).unwrap().session();
        let failed = crate::tls::tests::shake(
            &session.config(),
            session.server_name(),
            &std::sync::Arc::new(server),
        )
        .err()
        .unwrap();
        assert_eq!(client_fault(&failed), HandshakeFault::BadCertificate);
    }
}

#[test]
fn the_first_version_is_tried_alone_and_then_the_others() {
    let world = World::new();
    let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
    let mut options = server(std::slice::from_ref(&identity));
    let mut client = client(&world.path("ca.pem"), "ftp.example.com", TlsVersion::V1_2);
    client.versions.push(TlsVersion::V1_3);
    let connector = Connector::load(&client).unwrap();
    let first = connector.session();
    let both = Acceptor::load(&options).unwrap().session();
    let ends = control(&both, &first).unwrap();
    assert_eq!(
        ends.client.protocol_version(),
        Some(rustls::ProtocolVersion::TLSv1_2)
    );
    options.versions = vec![TlsVersion::V1_3];
    let modern = Acceptor::load(&options).unwrap().session();
    let Failed::Server(_, told) = control(&modern, &first).err().unwrap() else {
        panic!("the client failed");
    };
    assert_eq!(told, HandshakeFault::Version);
    assert!(first.may_try_others(HandshakeFault::Version));
    assert!(!first.may_try_others(HandshakeFault::WrongName));
    assert!(!first.may_try_others(HandshakeFault::Alert("handshake_failure")));
    let second = connector.session_after(&first);
    control(&modern, &second).unwrap();
    assert!(resumes(&modern, &second, true));
    assert!(!second.may_try_others(HandshakeFault::Version));
    // Only what the server took is remembered.
    let still = connector.session();
    assert!(control(&modern, &still).is_err());
    connector.remember(&second);
    let next = connector.session();
    control(&modern, &next).unwrap();
    // The server has become another one: the first version is left to be tried.
    assert!(next.may_try_others(HandshakeFault::Version));
    assert!(next.may_try_others(HandshakeFault::Alert("handshake_failure")));
    let old = connector.session_after(&next);
    options.versions = vec![TlsVersion::V1_2];
    let old_server = Acceptor::load(&options).unwrap().session();
    control(&old_server, &old).unwrap();
}

#[test]
fn a_single_version_leaves_none_to_be_tried() {
    let world = World::new();
    let client = client(&world.path("ca.pem"), "ftp.example.com", TlsVersion::V1_3);
    let session = Connector::load(&client).unwrap().session();
    assert!(!session.may_try_others(HandshakeFault::Version));
}

#[test]
fn sessions_share_nothing() {
    let world = World::new();
    let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
    let server = Acceptor::load(&server(&[identity])).unwrap().session();
    for version in VERSIONS {
        let client = client(&world.path("ca.pem"), "ftp.example.com", version);
        let connector = Connector::load(&client).unwrap();
        let one = connector.session();
        control(&server, &one).unwrap();
        assert!(!resumes(&server, &connector.session(), true));
        assert!(resumes(&server, &one, true));
    }
}

#[test]
fn reuse_that_is_off_resumes_nothing() {
    let world = World::new();
    let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
    let server = Acceptor::load(&server(&[identity])).unwrap().session();
    for version in VERSIONS {
        let mut client = client(&world.path("ca.pem"), "ftp.example.com", version);
        client.session_reuse = SessionReuse::Off;
        let client = Connector::load(&client).unwrap().session();
        control(&server, &client).unwrap();
        assert!(!resumes(&server, &client, true));
        assert!(!client.requires_reuse());
    }
}

#[test]
fn options_that_cannot_be_used_are_refused() {
    let world = World::new();
    let ca = world.path("ca.pem");
    let good = client(&ca, "ftp.example.com", TlsVersion::V1_2);
    let mut bad = good.clone();
    bad.server_name = "not a name".into();
    let fault = Connector::load(&bad).unwrap_err();
    assert!(matches!(fault, LoadFault::ServerName { .. }), "{fault}");
    let mut bad = good.clone();
    bad.trust = Trust::File(world.path("absent.pem"));
    let fault = Connector::load(&bad).unwrap_err();
    assert!(matches!(fault, LoadFault::Unreadable { .. }), "{fault}");
    let mut bad = good.clone();
    bad.versions.clear();
    let fault = Connector::load(&bad).unwrap_err();
    assert!(matches!(fault, LoadFault::Unsupported { .. }), "{fault}");
    let connector = Connector::load(&good).unwrap();
    assert!(!connector.has_changed());
    std::fs::write(&ca, "").unwrap();
    assert!(connector.has_changed());
    let fault = connector.reload().unwrap_err();
    assert!(matches!(fault, LoadFault::NoCertificate { .. }), "{fault}");
}

#[test]
fn the_digest_is_sha_256() {
    // FIPS 180-4, the example of one block.
    let digest = sha256(b"abc").unwrap();
    assert_eq!(digest[..4], [0xba, 0x78, 0x16, 0xbf]);
    assert_eq!(digest.len(), 32);
}
