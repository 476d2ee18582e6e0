use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{CipherSuite, ClientConfig, RootCertStore};

use super::{
    Acceptor, Kept, LoadFault, SESSION_BYTES, SESSIONS_BYTES, SESSIONS_MAX, Sessions,
    UNRECOGNIZED_NAME, fits,
};
use crate::ftp::security::TlsVersion;
use crate::tls::client::Connector;
use crate::tls::fault::HandshakeFault;
use crate::tls::options::{
    ClientCertificates, ClientOptions, Identity, ServerOptions, SessionReuse,
};
use crate::tls::peer::{peer_of_client, peer_of_server};
use crate::tls::protocol_versions;
use crate::tls::tests::{
    Failed, VERSIONS, World, client, control, meet, resumes, server, server_fault, shake,
};

/// A world with one certificate.
fn one() -> (World, ServerOptions) {
    let world = World::new();
    let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
    (world, server(&[identity]))
}

#[test]
fn data_connections_resume_again_and_again() {
    let (world, options) = one();
    let acceptor = Acceptor::load(&options).unwrap();
    for version in VERSIONS {
        let client = client(&world.path("ca.pem"), "ftp.example.com", version);
        let connector = Connector::load(&client).unwrap();
        let (server, client) = (acceptor.session(), connector.session());
        assert!(
            !resumes(&server, &client, true),
            "before there is a session"
        );
        let (server, client) = (acceptor.session(), connector.session());
        control(&server, &client).unwrap();
        for round in 0..40 {
            assert!(resumes(&server, &client, true), "{version:?} {round}");
        }
    }
}

#[test]
fn the_shorter_key_is_agreed_on_unless_the_client_is_to_choose() {
    let (world, mut options) = one();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(world.path("ca.pem")).unwrap() {
        roots.add(authority.unwrap()).unwrap();
    }
    let short = [
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        CipherSuite::TLS13_AES_128_GCM_SHA256,
    ];
    let long = [
        CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
        CipherSuite::TLS13_AES_256_GCM_SHA384,
    ];
    for (prefer_client_ciphers, suites) in [(false, short), (true, long)] {
        options.prefer_client_ciphers = prefer_client_ciphers;
        let acceptor = Acceptor::load(&options).unwrap();
        for (version, suite) in VERSIONS.iter().zip(suites) {
            // One that has its longest key in front, as most do.
            let client = ClientConfig::builder_with_provider(Arc::clone(&provider))
                .with_protocol_versions(&protocol_versions(&[*version]))
                .unwrap()
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            let name = "ftp.example.com".try_into().unwrap();
            let control = acceptor.session().control();
            let ends = shake(&Arc::new(client), name, &control).unwrap();
            let agreed = ends.server.negotiated_cipher_suite().unwrap().suite();
            assert_eq!(agreed, suite);
        }
    }
}

#[test]
fn eight_uploads_in_a_row_resume_where_they_must_though_they_bring_no_ticket() {
    let (world, mut options) = one();
    options.session_reuse = SessionReuse::Required;
    let acceptor = Acceptor::load(&options).unwrap();
    let version = TlsVersion::V1_3;
    let client = client(&world.path("ca.pem"), "ftp.example.com", version);
    let (server, client) = (
        acceptor.session(),
        Connector::load(&client).unwrap().session(),
    );
    control(&server, &client).unwrap();
    for round in 0..8 {
        assert!(resumes(&server, &client, false), "{round}");
    }
    assert!(!resumes(&server, &client, false), "the tickets are spent");
}

#[test]
fn one_ticket_is_taken_more_than_once() {
    let (world, options) = one();
    let acceptor = Acceptor::load(&options).unwrap();
    let server = acceptor.session();
    let mut sessions = server.sessions.as_ref().unwrap().lock().unwrap();
    for of_control in [true, false] {
        let key = vec![u8::from(of_control)];
        sessions.put(Kept {
            key: key.clone(),
            value: vec![7],
            of_control,
        });
        for _ in 0..3 {
            assert_eq!(sessions.get(&key), Some(vec![7]));
        }
    }
    drop(sessions);
    drop(world);
}

#[test]
fn sessions_have_a_bound_in_bytes() {
    let mut sessions = Sessions::default();
    let mut put = |number: u8, length: usize, of_control: bool| {
        let is_kept = sessions.put(Kept {
            key: vec![number],
            value: vec![0; length - 1],
            of_control,
        });
        assert!(sessions.bytes() <= SESSIONS_BYTES);
        (is_kept, sessions.kept.len())
    };
    assert_eq!(put(0, SESSION_BYTES + 1, true), (false, 0));
    for number in 1..=4 {
        assert_eq!(put(number, SESSION_BYTES, true), (true, number.into()));
    }
    // The oldest goes, and with a longer one as many as it takes.
    assert_eq!(put(5, 1, true), (true, 4));
    assert_eq!(put(6, SESSION_BYTES, true), (true, 4));
    // The same one anew takes no room of its own.
    assert_eq!(put(6, SESSION_BYTES, true), (true, 4));
    assert!(sessions.get(&[1]).is_none() && sessions.get(&[5]).is_some());
}

#[test]
fn sessions_of_data_connections_never_displace_those_of_the_control_connection() {
    let mut sessions = Sessions::default();
    let put = |sessions: &mut Sessions, number: u16, of_control: bool| {
        sessions.put(Kept {
            key: number.to_be_bytes().to_vec(),
            value: Vec::new(),
            of_control,
        });
    };
    for number in 0..8 {
        put(&mut sessions, number, true);
    }
    for number in 8..1000 {
        put(&mut sessions, number, false);
    }
    assert_eq!(sessions.kept.len(), SESSIONS_MAX);
    for number in (0..8).chain(1000 - 56..1000) {
        let key = u16::to_be_bytes(number);
        assert!(sessions.get(&key).is_some(), "{number}");
    }
    assert!(sessions.get(&500_u16.to_be_bytes()).is_none());
    // Even a client that makes nothing but sessions of the first kind is held to the bound.
    for number in 0..1000 {
        put(&mut sessions, number, true);
    }
    assert_eq!(sessions.kept.len(), SESSIONS_MAX);
    assert!(!format!("{sessions:?}").contains("value"));
}

#[test]
fn no_session_resumes_in_another() {
    let (world, options) = one();
    let acceptor = Acceptor::load(&options).unwrap();
    for version in VERSIONS {
        let client = client(&world.path("ca.pem"), "ftp.example.com", version);
        let connector = Connector::load(&client).unwrap();
        let (mine, client) = (acceptor.session(), connector.session());
        control(&mine, &client).unwrap();
        let foreign = acceptor.session();
        control(&foreign, &connector.session()).unwrap();
        assert!(!resumes(&foreign, &client, true), "{version:?}");
    }
}

#[test]
fn a_control_connection_resumes_an_earlier_one_and_its_data_connections_resume_it() {
    let (world, options) = one();
    for version in VERSIONS {
        let acceptor = Acceptor::load(&options).unwrap();
        let client = client(&world.path("ca.pem"), "ftp.example.com", version);
        let client = Connector::load(&client).unwrap().session();
        let resumed = |server: &super::ServerSession| {
            let ends = control(server, &client).unwrap();
            peer_of_server(&ends.server).unwrap().resumed
        };
        assert!(!resumed(&acceptor.session()));
        for round in 0..4 {
            let server = acceptor.session();
            assert!(resumed(&server), "{version:?} {round}");
            // Without new tickets: rustls would show those to the next control connection.
            assert!(resumes(&server, &client, false), "{version:?} {round}");
        }
        let reloaded = acceptor.reload().unwrap();
        assert!(!resumed(&reloaded.session()), "{version:?}: other files");
    }
}

#[test]
fn a_data_connection_does_not_resume_what_its_control_connection_resumed_over_tls_1_3() {
    let (world, options) = one();
    let acceptor = Acceptor::load(&options).unwrap();
    let client = client(&world.path("ca.pem"), "ftp.example.com", TlsVersion::V1_3);
    let client = Connector::load(&client).unwrap().session();
    let earlier = acceptor.session();
    control(&earlier, &client).unwrap();
    let later = acceptor.session();
    let keys = |server: &super::ServerSession| -> Vec<Vec<u8>> {
        let sessions = server.sessions.as_ref().unwrap().lock().unwrap();
        sessions.kept.iter().map(|kept| kept.key.clone()).collect()
    };
    let ends = control(&later, &client).unwrap();
    assert!(peer_of_server(&ends.server).unwrap().resumed);
    let (before, after) = (keys(&earlier), keys(&later));
    assert_eq!((before.len(), after.len()), (2, 2));
    assert!(before.iter().all(|key| !after.contains(key)));
}

/// A clock that a test sets.
#[derive(Debug, Default)]
struct Clock(AtomicU64);

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = 1_800_000_000 + self.0.load(Ordering::Relaxed);
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

#[test]
fn who_resumes_again_and_again_is_looked_at_after_ten_minutes_all_the_same() {
    let (world, options) = one();
    for version in VERSIONS {
        let mut acceptor = Acceptor::load(&options).unwrap();
        let clock = Arc::new(Clock::default());
        acceptor.base.time_provider = Arc::<Clock>::clone(&clock);
        let client = client(&world.path("ca.pem"), "ftp.example.com", version);
        let client = Connector::load(&client).unwrap().session();
        let resumed = [0, 300, 540, 599, 660, 700].map(|seconds| {
            clock.0.store(seconds, Ordering::Relaxed);
            let ends = control(&acceptor.session(), &client).unwrap();
            peer_of_server(&ends.server).unwrap().resumed
        });
        let expected = [false, true, true, true, false, true];
        assert_eq!(resumed, expected, "{version:?}");
    }
}

#[test]
fn a_data_connection_does_not_resume_what_was_refused_to_its_control_connection() {
    let (_world, options) = one();
    let acceptor = Acceptor::load(&options).unwrap();
    let (earlier, later) = (acceptor.session(), acceptor.session());
    let put = |server: &super::ServerSession, key: &[u8]| {
        let store = &server.control().session_storage;
        assert!(store.put(key.to_vec(), b"secret".to_vec()));
    };
    put(&earlier, b"earlier");
    let storage = |server: &super::ServerSession| Arc::clone(&server.data(true).session_storage);
    assert_eq!(storage(&later).get(b"earlier"), None);
    assert!(later.control().session_storage.get(b"earlier").is_some());
    assert!(storage(&later).get(b"earlier").is_some(), "it was resumed");
    // Only a full handshake puts something over TLS 1.2.
    put(&later, b"later");
    assert_eq!(storage(&later).get(b"earlier"), None);
    assert!(storage(&later).get(b"later").is_some());
}

#[test]
fn what_is_too_long_for_a_session_is_not_kept_for_others() {
    let (_world, options) = one();
    let acceptor = Acceptor::load(&options).unwrap();
    let long = vec![0; SESSION_BYTES];
    let store = |server: &super::ServerSession| Arc::clone(&server.control().session_storage);
    assert!(!store(&acceptor.session()).put(b"key".to_vec(), long));
    assert_eq!(store(&acceptor.session()).get(b"key"), None);
}

#[test]
fn a_client_that_resumes_is_still_who_it_was() {
    let (world, mut options) = one();
    let identity = world.issue("someone", &["someone"], |parameters| {
        parameters
            .distinguished_name
            .push(rcgen::DnType::CommonName, "someone");
    });
    options.clients = ClientCertificates::Required(world.path("ca.pem"));
    let acceptor = Acceptor::load(&options).unwrap();
    for version in VERSIONS {
        let mut client = client(&world.path("ca.pem"), "ftp.example.com", version);
        client.identity = Some(identity.clone());
        let client = Connector::load(&client).unwrap().session();
        for resumed in [false, true] {
            let ends = control(&acceptor.session(), &client).unwrap();
            let peer = peer_of_server(&ends.server).unwrap();
            assert_eq!(peer.resumed, resumed);
            assert_eq!(peer.subject.as_deref(), Some("CN=someone"));
        }
    }
}

#[test]
fn reuse_that_is_off_leaves_nothing_to_resume() {
    let (world, mut options) = one();
    options.session_reuse = SessionReuse::Off;
    let acceptor = Acceptor::load(&options).unwrap();
    for version in VERSIONS {
        let client = client(&world.path("ca.pem"), "ftp.example.com", version);
        let (server, client) = (
            acceptor.session(),
            Connector::load(&client).unwrap().session(),
        );
        let ends = control(&server, &client).unwrap();
        if version == TlsVersion::V1_3 {
            assert_eq!(ends.client.tls13_tickets_received(), 0);
        }
        assert!(!server.requires_reuse());
        assert!(!resumes(&server, &client, true));
        assert!(!resumes(&server, &client, true));
        let ends = control(&acceptor.session(), &client).unwrap();
        assert!(!peer_of_server(&ends.server).unwrap().resumed);
    }
}

#[test]
fn downloads_bring_tickets_and_uploads_bring_none() {
    for (reuse, tickets) in [(SessionReuse::Allowed, 2), (SessionReuse::Required, 8)] {
        let (world, mut options) = one();
        options.session_reuse = reuse;
        let server = Acceptor::load(&options).unwrap().session();
        let options = client(&world.path("ca.pem"), "ftp.example.com", TlsVersion::V1_3);
        let client = Connector::load(&options).unwrap().session();
        let count = |config: &Arc<rustls::ServerConfig>| {
            let ends = shake(&client.config(), client.server_name(), config).unwrap();
            ends.client.tls13_tickets_received()
        };
        assert_eq!(count(&server.control()), tickets);
        assert_eq!(count(&server.data(true)), tickets);
        assert_eq!(count(&server.data(false)), 0);
    }
}

/// What the client is shown when it asks for `name`: the first of the certificate's names.
fn shown(options: &ServerOptions, client: &ClientOptions) -> Result<Vec<u8>, HandshakeFault> {
    let ends = meet(options, client).map_err(|failed| server_fault(&failed))?;
    Ok(ends.client.peer_certificates().unwrap()[0].to_vec())
}

#[test]
fn the_certificate_is_chosen_by_name() {
    let world = World::new();
    let identities = [
        world.issue("first", &["ftp.example.com"], |_| {}),
        world.issue("second", &["*.example.net", "files.example.org"], |_| {}),
    ];
    let der = |identity: &Identity| {
        CertificateDer::from_pem_file(&identity.certificate)
            .unwrap()
            .to_vec()
    };
    let options = server(&identities);
    for version in VERSIONS {
        let ask = |name: &str| {
            let client = client(&world.path("ca.pem"), name, version);
            shown(&options, &client)
        };
        assert_eq!(ask("ftp.example.com"), Ok(der(&identities[0])));
        assert_eq!(ask("FTP.example.net"), Ok(der(&identities[1])));
        assert_eq!(ask("files.example.org"), Ok(der(&identities[1])));
        for foreign in ["a.b.example.net", "example.net", "other.example.com"] {
            assert_eq!(ask(foreign), Err(HandshakeFault::Name), "{foreign}");
        }
    }
}

#[test]
fn a_client_that_names_none_gets_the_first() {
    let world = World::new();
    let identities = [
        world.issue("first", &["127.0.0.1"], |_| {}),
        world.issue("second", &["ftp.example.com"], |_| {}),
    ];
    let client = client(&world.path("ca.pem"), "127.0.0.1", TlsVersion::V1_3);
    let ends = meet(&server(&identities), &client).unwrap();
    assert_eq!(peer_of_server(&ends.server).unwrap().server_name, None);
}

#[test]
fn one_certificate_without_names_is_shown_for_any() {
    let world = World::new();
    let nameless = world.issue("nameless", &[], |_| {});
    let client = client(&world.path("ca.pem"), "ftp.example.com", TlsVersion::V1_2);
    let failed = meet(&server(&[nameless]), &client).err().unwrap();
    // The client is not content; the server was.
    assert!(matches!(failed, Failed::Client(_)), "{failed:?}");
}

#[test]
fn the_record_that_stands_for_rustls_answer_is_unrecognized_name() {
    let (world, _) = one();
    let client = client(&world.path("ca.pem"), "ftp.example.com", TlsVersion::V1_3);
    let client = Connector::load(&client).unwrap().session();
    let mut connection =
        rustls::ClientConnection::new(client.config(), client.server_name()).unwrap();
    connection.read_tls(&mut &UNRECOGNIZED_NAME[..]).unwrap();
    let error = connection.process_new_packets().unwrap_err();
    assert_eq!(
        HandshakeFault::from(&error),
        HandshakeFault::Alert("unrecognized_name")
    );
}

#[test]
fn wildcards_stand_for_one_label() {
    assert!(fits("*.example.com", "a.example.com"));
    assert!(!fits("*.example.com", "a.b.example.com"));
    assert!(!fits("*.example.com", "example.com"));
    assert!(!fits("*.example.com", ".example.com"));
    assert!(fits("example.com", "example.com"));
    assert!(!fits("f*.example.com", "ftp.example.com"));
}

/// The client's configuration with other protocols in ALPN.
fn offering(options: &ClientOptions, protocols: &[&[u8]]) -> Arc<ClientConfig> {
    let session = Connector::load(options).unwrap().session();
    let mut config = ClientConfig::clone(&session.config());
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Arc::new(config)
}

#[test]
fn other_protocols_than_ftp_are_refused() {
    let (world, options) = one();
    let acceptor = Acceptor::load(&options).unwrap();
    for version in VERSIONS {
        let options = client(&world.path("ca.pem"), "ftp.example.com", version);
        let name = Connector::load(&options).unwrap().session().server_name();
        let server = acceptor.session();
        let ask = |protocols: &[&[u8]], server: &Arc<rustls::ServerConfig>| {
            let ends = shake(&offering(&options, protocols), name.clone(), server)?;
            Ok(ends.client.alpn_protocol().map(<[u8]>::to_vec))
        };
        let refused = ask(&[b"http/1.1"], &server.control()).unwrap_err();
        assert_eq!(server_fault(&refused), HandshakeFault::Protocol);
        let Failed::Server(_, told) = refused else {
            panic!("the client failed");
        };
        assert_eq!(told, HandshakeFault::Alert("no_application_protocol"));
        assert_eq!(ask(&[], &server.control()), Ok(None));
        let filezilla: [&[u8]; 2] = [b"x-filezilla-ftp", b"ftp"];
        assert_eq!(
            ask(&filezilla, &server.control()),
            Ok(Some(b"ftp".to_vec()))
        );
        assert_eq!(
            ask(&[b"ftp-data"], &server.data(true)),
            Ok(Some(b"ftp-data".to_vec()))
        );
        assert!(ask(&[b"ftp-data"], &server.control()).is_err());
    }
}

#[test]
fn clients_show_certificates_as_the_options_have_it() {
    let (world, mut options) = one();
    let elsewhere = World::new();
    let own = world.issue("client", &[], |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(rcgen::DnType::OrganizationName, "Example, Inc.");
        params
            .distinguished_name
            .push(rcgen::DnType::CommonName, "acme");
    });
    let foreign = elsewhere.issue("client", &[], |_| {});
    let ca = world.path("ca.pem");
    for version in VERSIONS {
        let meet = |clients: ClientCertificates, identity: Option<&Identity>| {
            let mut client = client(&ca, "ftp.example.com", version);
            client.identity = identity.cloned();
            let mut options = options.clone();
            options.clients = clients;
            let ends = meet(&options, &client).map_err(|failed| server_fault(&failed))?;
            Ok(peer_of_server(&ends.server)
                .unwrap()
                .subject
                .map(|subject| subject.to_string()))
        };
        let subject = Some("CN=acme,O=Example\\, Inc.".to_owned());
        let optional = ClientCertificates::Optional(ca.clone());
        let required = ClientCertificates::Required(ca.clone());
        assert_eq!(meet(ClientCertificates::Off, Some(&own)), Ok(None));
        assert_eq!(meet(optional.clone(), None), Ok(None));
        assert_eq!(meet(optional.clone(), Some(&own)), Ok(subject.clone()));
        assert_eq!(meet(required.clone(), Some(&own)), Ok(subject));
        assert_eq!(
            meet(required.clone(), None),
            Err(HandshakeFault::NoCertificate)
        );
        for clients in [optional, required] {
            assert_eq!(
                meet(clients, Some(&foreign)),
                Err(HandshakeFault::UnknownAuthority)
            );
        }
    }
    // A resumed connection knows whom its session began with.
    options.clients = ClientCertificates::Required(ca.clone());
    let acceptor = Acceptor::load(&options).unwrap();
    for version in VERSIONS {
        let mut client = client(&ca, "ftp.example.com", version);
        client.identity = Some(own.clone());
        let client = Connector::load(&client).unwrap().session();
        let server = acceptor.session();
        control(&server, &client).unwrap();
        let data = server.data(true);
        let ends = shake(&client.config(), client.server_name(), &data).unwrap();
        let peer = peer_of_server(&ends.server).unwrap();
        assert!(peer.resumed && peer.subject.is_some(), "{peer:?}");
        assert!(peer_of_client(&ends.client).unwrap().resumed);
    }
}

#[test]
fn a_version_that_is_not_spoken_is_refused() {
    let (world, mut options) = one();
    for (spoken, asked) in [VERSIONS, [VERSIONS[1], VERSIONS[0]]].map(|[a, b]| (a, b)) {
        options.versions = vec![spoken];
        let client = client(&world.path("ca.pem"), "ftp.example.com", asked);
        let failed = meet(&options, &client).err().unwrap();
        assert_eq!(server_fault(&failed), HandshakeFault::Version);
        let Failed::Server(_, told) = failed else {
            panic!("the client failed");
        };
        assert_eq!(told, HandshakeFault::Version);
    }
}

#[test]
fn there_is_no_early_data() {
    let (_world, options) = one();
    let session = Acceptor::load(&options).unwrap().session();
    for config in [session.control(), session.data(true), session.data(false)] {
        assert_eq!(config.max_early_data_size, 0);
        assert!(!config.ticketer.enabled());
    }
}

#[test]
fn files_that_cannot_be_used_are_named() {
    let world = World::new();
    let good = world.issue("good", &["ftp.example.com"], |_| {});
    let other = world.issue("other", &["ftp.example.com"], |_| {});
    let written = |name: &str, text: &str| {
        let path = world.path(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let load = |certificate: &std::path::Path, key: &std::path::Path| {
        let identity = Identity {
            certificate: certificate.to_path_buf(),
            key: key.to_path_buf(),
        };
        let fault = Acceptor::load(&server(&[identity])).unwrap_err();
        assert!(!fault.advice().is_empty());
        fault
    };
    let fault = load(&good.certificate, &other.key);
    assert!(matches!(fault, LoadFault::KeyMismatch { .. }), "{fault}");
    assert!(fault.to_string().contains("other.key"));
    let fault = load(&world.path("absent"), &good.key);
    assert!(matches!(fault, LoadFault::Unreadable { .. }), "{fault}");
    let fault = load(world.directory.path(), &good.key);
    assert!(matches!(fault, LoadFault::Unreadable { .. }), "{fault}");
    let fault = load(&good.key, &good.key);
    assert!(matches!(fault, LoadFault::NoCertificate { .. }), "{fault}");
    let fault = load(&good.certificate, &good.certificate);
    assert!(matches!(fault, LoadFault::NoKey { .. }), "{fault}");
    let pem = |label: &str| format!("-----BEGIN {label}-----\nAAAA\n-----END {label}-----\n");
    let bad = written("bad.crt", &pem("CERTIFICATE"));
    let fault = load(&bad, &good.key);
    assert!(matches!(fault, LoadFault::BadCertificate { .. }), "{fault}");
    let bad = written("bad.key", &pem("PRIVATE KEY"));
    let fault = load(&good.certificate, &bad);
    assert!(matches!(fault, LoadFault::BadKey { .. }), "{fault}");
    let locked = written("locked.key", &pem("ENCRYPTED PRIVATE KEY"));
    let fault = load(&good.certificate, &locked);
    assert!(matches!(fault, LoadFault::EncryptedKey { .. }), "{fault}");
    let large = written("large.crt", &"x".repeat((1 << 20) + 1));
    let fault = load(&large, &good.key);
    assert!(matches!(fault, LoadFault::Unreadable { .. }), "{fault}");
    let fault = Acceptor::load(&server(&[])).unwrap_err();
    assert!(matches!(fault, LoadFault::NoIdentity), "{fault}");
    let mut options = server(std::slice::from_ref(&good));
    options.versions.clear();
    let fault = Acceptor::load(&options).unwrap_err();
    assert!(matches!(fault, LoadFault::Unsupported { .. }), "{fault}");
    let mut options = server(std::slice::from_ref(&good));
    options.clients = ClientCertificates::Required(good.key.clone());
    let fault = Acceptor::load(&options).unwrap_err();
    assert!(matches!(fault, LoadFault::NoCertificate { .. }), "{fault}");
}

#[test]
fn certificates_are_described() {
    let world = World::new();
    let identity = world.issue("ftp", &["FTP.example.com", "127.0.0.1"], |params| {
        params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    });
    let acceptor = Acceptor::load(&server(std::slice::from_ref(&identity))).unwrap();
    let [info] = acceptor.certificates() else {
        panic!("one certificate");
    };
    assert_eq!(info.path, identity.certificate);
    assert_eq!(info.names, ["ftp.example.com"]);
    assert_eq!(info.not_after_unix, 1_893_456_000);
}

#[test]
fn a_key_that_everybody_may_read_is_told() {
    use std::os::unix::fs::PermissionsExt as _;
    let (_world, options) = one();
    let key = &options.identities[0].key;
    for (mode, exposed) in [(0o600, 0), (0o640, 0), (0o644, 1)] {
        std::fs::set_permissions(key, std::fs::Permissions::from_mode(mode)).unwrap();
        let acceptor = Acceptor::load(&options).unwrap();
        assert_eq!(acceptor.exposed_keys().len(), exposed, "{mode:o}");
    }
}

#[test]
fn a_renewed_certificate_is_noticed_and_a_bad_one_leaves_the_old() {
    let (world, options) = one();
    let acceptor = Acceptor::load(&options).unwrap();
    assert!(!acceptor.has_changed());
    world.issue("ftp", &["ftp.example.com", "new.example.com"], |_| {});
    assert!(acceptor.has_changed());
    let renewed = acceptor.reload().unwrap();
    assert!(!renewed.has_changed());
    assert_eq!(renewed.certificates()[0].names.len(), 2);
    std::fs::remove_file(&options.identities[0].key).unwrap();
    assert!(renewed.has_changed());
    assert!(renewed.reload().is_err());
    let client = client(&world.path("ca.pem"), "new.example.com", TlsVersion::V1_3);
    let client = Connector::load(&client).unwrap().session();
    control(&renewed.session(), &client).unwrap();
}
