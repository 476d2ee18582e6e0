//! What both sides of a conversation need for TLS, made for it alone.

use std::fs;
use std::sync::Arc;

use ftpwarden::session::Leg;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, Connection, RootCertStore, ServerConfig, ServerConnection,
};

use super::rules::Tables;

/// An alert that ends a handshake (RFC 8446 §6.2).
pub(crate) const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

/// The one that says that a version is not spoken.
pub(crate) const PROTOCOL_VERSION: [u8; 7] = [21, 3, 3, 0, 2, 2, 70];

/// The name that every certificate has.
const NAME: &str = "localhost";

/// An authority, and one certificate for the gateway and the server.
pub(crate) struct Secrets {
    /// Where they are.
    folder: tempfile::TempDir,
    /// What the client begins every connection with.
    client: Arc<ClientConfig>,
    /// What the server does.
    server: Arc<ServerConfig>,
}

/// The cryptography of both sides.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

impl Secrets {
    /// Makes them.
    ///
    /// # Panics
    /// There is no place for them, or no randomness.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![NAME.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        for (name, text) in [
            ("ca.pem", authority.pem()),
            ("c.pem", certificate.pem()),
            ("k.pem", key.serialize_pem()),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let client = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .unwrap();
        Self {
            folder,
            client: Arc::new(client),
            server: Arc::new(server),
        }
    }

    /// `tables` with these files in place of those that a conversation names, and with this
    /// authority for the server.
    pub(crate) fn with_files(&self, mut tables: Tables) -> Tables {
        let folder = self.folder.path().display();
        for line in &mut tables.listener {
            for name in ["/c.pem", "/k.pem"] {
                *line = line.replace(name, &format!("{folder}{name}"));
            }
        }
        for line in &mut tables.upstream {
            let trust = format!("tls = {{ ca = \"{folder}/ca.pem\", server_name = \"{NAME}\",");
            *line = line.replace("tls = {", &trust);
        }
        tables
    }

    /// A new connection of a side's.
    ///
    /// # Errors
    /// The configuration makes none.
    pub(crate) fn connection(&self, leg: Leg) -> Result<Connection, String> {
        let connection = match leg {
            Leg::Client => {
                let name = ServerName::try_from(NAME).map_err(|error| error.to_string())?;
                ClientConnection::new(Arc::clone(&self.client), name).map(Into::into)
            }
            Leg::Server => ServerConnection::new(Arc::clone(&self.server)).map(Into::into),
        };
        connection.map_err(|error| error.to_string())
    }
}
