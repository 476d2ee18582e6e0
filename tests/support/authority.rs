//! An authority of a test's own, and what its peers need of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion};

/// Certificates of an authority that is made for one test.
pub(crate) struct Authority {
    /// Where they are.
    folder: tempfile::TempDir,
    /// Who signs.
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// One with its own certificate in `ca.pem`.
    pub(crate) fn new() -> Self {
        Self::named("Test authority")
    }

    /// The same under another name.
    pub(crate) fn named(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.self_signed(&key).unwrap();
        fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self {
            folder,
            issuer: Issuer::new(params, key),
        }
    }

    /// A file of it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Issues `name.pem` and `name.key`, changed by `change`.
    pub(crate) fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        fs::write(self.path(&format!("{name}.pem")), certificate.pem()).unwrap();
        fs::write(self.path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }

    /// The table `tls` of a listener that shows `localhost`, with further keys.
    pub(crate) fn listener(&self, keys: &str) -> String {
        self.issue("localhost", |_| ());
        format!(
            "tls = {{ certificate = '{}', key = '{}'{}{keys} }}",
            self.path("localhost.pem").display(),
            self.path("localhost.key").display(),
            if keys.is_empty() { "" } else { ", " },
        )
    }

    /// The table `tls` of an upstream that trusts it, with further keys.
    pub(crate) fn upstream(&self, keys: &str) -> String {
        format!(
            "tls = {{ ca = '{}', server_name = \"localhost\", {keys} }}",
            self.path("ca.pem").display()
        )
    }

    /// Its own certificate, as who trusts it.
    pub(crate) fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        for certificate in chain(&self.path("ca.pem")) {
            roots.add(certificate).unwrap();
        }
        roots
    }

    /// The key of `name`.
    pub(crate) fn key(&self, name: &str) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_file(self.path(&format!("{name}.key"))).unwrap()
    }

    /// The certificate of `name`.
    pub(crate) fn chain(&self, name: &str) -> Vec<CertificateDer<'static>> {
        chain(&self.path(&format!("{name}.pem")))
    }

    /// What a client of the gateway's needs.
    pub(crate) fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots())
            .with_no_client_auth()
    }

    /// The same for one that shows `name` of `other` if it is asked.
    pub(crate) fn client_showing(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        other: &Self,
        name: &str,
    ) -> ClientConfig {
        ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(self.roots())
            .with_client_auth_cert(other.chain(name), other.key(name))
            .unwrap()
    }

    /// What a server of the gateway's needs, showing `name`.
    pub(crate) fn server(
        &self,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
    ) -> ServerConfig {
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(self.chain(name), self.key(name))
            .unwrap()
    }

    /// The same for one that demands a certificate of `clients`.
    pub(crate) fn server_demanding(
        &self,
        name: &str,
        versions: &[&'static SupportedProtocolVersion],
        clients: &Self,
    ) -> ServerConfig {
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(clients.roots()), provider())
                .build()
                .unwrap();
        ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain(name), self.key(name))
            .unwrap()
    }
}

/// The cryptography of the peers.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// The certificates in a file.
pub(crate) fn chain(path: &Path) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_file_iter(path)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}
