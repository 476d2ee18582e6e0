//! An authority, certificates in files, and handshakes in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::{ClientConnection, Error, ServerConnection};
use tempfile::TempDir;

use super::client::{ClientSession, Connector};
use super::fault::HandshakeFault;
use super::options::{
    ClientCertificates, ClientOptions, Identity, ServerOptions, SessionReuse, Trust,
};
use super::server::{Acceptor, ServerSession};
use crate::ftp::security::TlsVersion;

/// The versions one by one.
pub(crate) const VERSIONS: [TlsVersion; 2] = TlsVersion::ALL;

/// A directory with an authority in it.
pub(crate) struct World {
    /// Where the files are.
    pub(super) directory: TempDir,
    /// Signs.
    authority: Issuer<'static, KeyPair>,
}

impl World {
    /// An authority, its certificate in `ca.pem`.
    pub(crate) fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new([]).unwrap();
        // No two authorities have one name.
        let name = directory.path().display().to_string();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
        Self {
            directory,
            authority: Issuer::new(params, key),
        }
    }

    /// The path of a file.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a certificate of the authority's and its key, changed by `change`; the files are
    /// called `file` with an ending.
    pub(crate) fn issue(
        &self,
        file: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = params(names);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        self.write(file, &certificate.pem(), &key.serialize_pem())
    }

    /// The same, signed by itself.
    pub(super) fn self_signed(
        &self,
        file: &str,
        names: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let key = KeyPair::generate().unwrap();
        let mut params = params(names);
        change(&mut params);
        let certificate = params.self_signed(&key).unwrap();
        self.write(file, &certificate.pem(), &key.serialize_pem())
    }

    /// Writes both files.
    fn write(&self, file: &str, certificate: &str, key: &str) -> Identity {
        let identity = Identity {
            certificate: self.path(&format!("{file}.crt")),
            key: self.path(&format!("{file}.key")),
        };
        std::fs::write(&identity.certificate, certificate).unwrap();
        std::fs::write(&identity.key, key).unwrap();
        identity
    }
}

/// For a server and a client.
fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2099, 1, 1);
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params
}

/// A server with `identities`, both versions, nothing else.
pub(crate) fn server(identities: &[Identity]) -> ServerOptions {
    ServerOptions {
        identities: identities.to_vec(),
        versions: vec![TlsVersion::V1_2, TlsVersion::V1_3],
        prefer_client_ciphers: false,
        session_reuse: SessionReuse::Allowed,
        clients: ClientCertificates::Off,
    }
}

/// A client that trusts the authority in `authorities`, asks for `name` and speaks `version`.
pub(crate) fn client(authorities: &Path, name: &str, version: TlsVersion) -> ClientOptions {
    ClientOptions {
        trust: Trust::File(authorities.to_path_buf()),
        server_name: name.into(),
        identity: None,
        versions: vec![version],
        session_reuse: SessionReuse::Allowed,
    }
}

/// Both ends after a handshake.
pub(crate) struct Ends {
    /// The client's.
    pub(crate) client: ClientConnection,
    /// The server's.
    pub(crate) server: ServerConnection,
}

/// Which end failed first, and why.
#[derive(Debug, PartialEq)]
pub(crate) enum Failed {
    /// The client, and what the server made of its alert.
    Client(Error),
    /// The server, and what the client made of its alert.
    Server(Error, HandshakeFault),
}

/// A handshake with a connection's configurations.
pub(super) fn shake(
    client: &Arc<rustls::ClientConfig>,
    name: rustls::pki_types::ServerName<'static>,
    server: &Arc<rustls::ServerConfig>,
) -> Result<Ends, Failed> {
    let mut ends = Ends {
        client: ClientConnection::new(Arc::clone(client), name).unwrap(),
        server: ServerConnection::new(Arc::clone(server)).unwrap(),
    };
    // More flights than any handshake has: the last ones carry tickets.
    for _ in 0..8 {
        let mut bytes = Vec::new();
        while ends.client.wants_write() {
            ends.client.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            ends.server.read_tls(&mut rest).unwrap();
            if let Err(error) = ends.server.process_new_packets() {
                let mut alert = Vec::new();
                ends.server.write_tls(&mut alert).unwrap();
                ends.client.read_tls(&mut &alert[..]).unwrap();
                let told = ends.client.process_new_packets().unwrap_err();
                return Err(Failed::Server(error, (&told).into()));
            }
        }
        let mut bytes = Vec::new();
        while ends.server.wants_write() {
            ends.server.write_tls(&mut bytes).unwrap();
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            ends.client.read_tls(&mut rest).unwrap();
            ends.client.process_new_packets().map_err(Failed::Client)?;
        }
    }
    assert!(!ends.client.is_handshaking() && !ends.server.is_handshaking());
    Ok(ends)
}

/// The handshake of a control connection of new sessions.
pub(crate) fn meet(server: &ServerOptions, client: &ClientOptions) -> Result<Ends, Failed> {
    let server = Acceptor::load(server).unwrap().session();
    let client = Connector::load(client).unwrap().session();
    control(&server, &client)
}

/// The handshake of a control connection.
pub(super) fn control(server: &ServerSession, client: &ClientSession) -> Result<Ends, Failed> {
    shake(&client.config(), client.server_name(), &server.control())
}

/// Whether the handshake of a data connection resumes.
pub(super) fn resumes(server: &ServerSession, client: &ClientSession, tickets: bool) -> bool {
    let ends = shake(
        &client.config(),
        client.server_name(),
        &server.data(tickets),
    )
    .unwrap();
    let seen = super::peer::peer_of_server(&ends.server).unwrap().resumed;
    let there = super::peer::peer_of_client(&ends.client).unwrap().resumed;
    assert_eq!(seen, there);
    seen
}

/// What the server said was wrong; panics where it was the client.
pub(super) fn server_fault(failed: &Failed) -> HandshakeFault {
    match failed {
        Failed::Server(error, _) => error.into(),
        Failed::Client(error) => panic!("the client failed: {error}"),
    }
}

/// What the client said was wrong; panics where it was the server.
pub(super) fn client_fault(failed: &Failed) -> HandshakeFault {
    match failed {
        Failed::Client(error) => error.into(),
        Failed::Server(error, _) => panic!("the server failed: {error}"),
    }
}

#[test]
fn both_versions_are_spoken() {
    let world = World::new();
    let identity = world.issue("ftp", &["ftp.example.com"], |_| {});
    for version in VERSIONS {
        let client = client(&world.path("ca.pem"), "ftp.example.com", version);
        let ends = meet(&server(std::slice::from_ref(&identity)), &client).unwrap();
        assert_eq!(ends.server.alpn_protocol(), Some(&b"ftp"[..]));
        let peer = super::peer::peer_of_server(&ends.server).unwrap();
        assert_eq!(peer.version, version);
        assert_eq!(peer.server_name.as_deref(), Some("ftp.example.com"));
        assert_eq!(peer.subject, None);
        assert!(!peer.resumed);
        assert!(peer.cipher.starts_with("TLS_"), "{}", peer.cipher);
        let peer = super::peer::peer_of_client(&ends.client).unwrap();
        assert_eq!(peer.version, version);
        assert_eq!(
            peer.subject.as_deref(),
            Some("CN=rcgen self signed cert"),
            "what rcgen writes"
        );
    }
}
