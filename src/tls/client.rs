//! The gateway as a TLS client, towards a server.
//!
//! Owns whom a server's certificate must come from, which versions are tried in which order, and
//! the sessions that data connections resume. Must not know sockets or what is said over them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientSessionMemoryCache, Resumption, WebPkiServerVerifier};
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme};

pub use super::load::{CertificateInfo, LoadFault};
use super::options::{ClientOptions, SessionReuse, Trust};
use super::reload::Snapshot;
use super::{ALPN_FTP, load, protocol_versions, provider};
use crate::ftp::security::TlsVersion;

/// How many tickets are kept for one control connection: rustls' own cache keeps as many for one
/// server.
const TICKETS_MAX: usize = 8;

/// What every control connection towards an upstream begins with.
#[derive(Debug)]
pub struct Connector {
    /// With the first version alone, and without a store of sessions.
    first: Arc<ClientConfig>,
    /// The same with the versions that are left; None where none is.
    others: Option<Arc<ClientConfig>>,
    /// The server has refused the first.
    first_refused: AtomicBool,
    /// The name that the certificate must have, and that the server is told.
    server_name: ServerName<'static>,
    /// Whether data connections resume.
    reuse: SessionReuse,
    /// What is shown if the server asks.
    certificates: Vec<CertificateInfo>,
    /// Keys that everybody may read.
    exposed_keys: Vec<PathBuf>,
    /// What it was built from.
    options: ClientOptions,
    /// The files as they were.
    snapshot: Snapshot,
}

impl Connector {
    /// Reads the files and checks what is in them. Blocks on files alone.
    ///
    /// # Errors
    /// The first file that cannot be used, [`LoadFault::ServerName`],
    /// [`LoadFault::NoAuthorities`], or [`LoadFault::Unsupported`] without a version.
    pub fn load(options: &ClientOptions) -> Result<Self, LoadFault> {
        let snapshot = Snapshot::of(files(options));
        let server_name = ServerName::try_from(options.server_name.as_ref())
            .map_err(|_| LoadFault::ServerName {
                name: options.server_name.to_string(),
            })?
            .to_owned();
        let verifier = verifier(&options.trust)?;
        let identity = options.identity.as_ref().map(load::identity).transpose()?;
        let certificates = identity.iter().map(|one| one.info.clone()).collect();
        let shown = identity.map(|one| Arc::new(SingleCertAndKey::from(one.certified)));
        let configured = |versions: &[TlsVersion]| {
            let builder = ClientConfig::builder_with_provider(provider())
                .with_protocol_versions(&protocol_versions(versions))
                .map_err(|error| LoadFault::Unsupported {
                    reason: error.to_string(),
                })?
                .dangerous()
                .with_custom_certificate_verifier(Arc::clone(&verifier));
            let mut config = match &shown {
                Some(shown) => {
                    let shown = Arc::clone(shown);
                    builder.with_client_cert_resolver(shown)
                }
                None => builder.with_no_client_auth(),
            };
            config.resumption = Resumption::disabled();
            config.alpn_protocols = vec![ALPN_FTP.to_vec()];
            Ok(Arc::new(config))
        };
        let (first, others) = options.versions.split_at(1.min(options.versions.len()));
        let first = configured(first)?;
        let others = match others {
            [] => None,
            others => Some(configured(others)?),
        };
        let keys = options.identity.iter().map(|one| one.key.as_path());
        Ok(Self {
            first,
            others,
            first_refused: AtomicBool::new(false),
            server_name,
            reuse: options.session_reuse,
            certificates,
            exposed_keys: load::exposed(keys),
            options: options.clone(),
            snapshot,
        })
    }

    /// The same from the files as they are now.
    ///
    /// # Errors
    /// As [`Connector::load`]; this one stays good.
    pub fn reload(&self) -> Result<Self, LoadFault> {
        Self::load(&self.options)
    }

    /// Whether one of the files is not what it was when this was loaded. Of the system's
    /// authorities nothing is noticed.
    pub fn has_changed(&self) -> bool {
        self.snapshot.has_changed()
    }

    /// What one control connection and its data connections use: the first version, or the
    /// others once the server has refused it.
    pub fn session(&self) -> ClientSession {
        let refused = self.first_refused.load(Ordering::Relaxed);
        let others = self.others.as_ref().filter(|_| refused);
        let base = Arc::clone(others.unwrap_or(&self.first));
        ClientSession::begin(base, self.server_name.clone(), self.reuse)
    }

    /// A server refused its handshake with
    /// [`HandshakeFault::Version`](super::fault::HandshakeFault::Version): from now on sessions
    /// begin with the other versions, if there are any.
    pub fn refuse_first_version(&self) {
        self.first_refused.store(true, Ordering::Relaxed);
    }

    /// The certificate that is shown if the server asks for one.
    pub fn certificates(&self) -> &[CertificateInfo] {
        &self.certificates
    }

    /// The files of keys that every user of the system may read.
    pub fn exposed_keys(&self) -> &[PathBuf] {
        &self.exposed_keys
    }
}

/// Every file that `options` name.
fn files(options: &ClientOptions) -> Vec<&Path> {
    let authorities = match &options.trust {
        Trust::File(path) => Some(path),
        Trust::Pin(_) | Trust::System => None,
    };
    options
        .identity
        .iter()
        .flat_map(|one| [&one.certificate, &one.key])
        .chain(authorities)
        .map(PathBuf::as_path)
        .collect()
}

/// What one control connection and its data connections use. All of them use the one
/// configuration: rustls resumes a session only with the verifier that checked it.
#[derive(Clone, Debug)]
pub struct ClientSession {
    /// For every connection.
    config: Arc<ClientConfig>,
    /// The same for every connection, whichever address it goes to.
    server_name: ServerName<'static>,
    /// Whether data connections resume.
    reuse: SessionReuse,
}

impl ClientSession {
    /// A session over `base`, with a store of its own.
    fn begin(
        base: Arc<ClientConfig>,
        server_name: ServerName<'static>,
        reuse: SessionReuse,
    ) -> Self {
        let mut config = Arc::unwrap_or_clone(base);
        if reuse != SessionReuse::Off {
            let store = ClientSessionMemoryCache::new(TICKETS_MAX);
            config.resumption = Resumption::store(Arc::new(store));
        }
        Self {
            config: Arc::new(config),
            server_name,
            reuse,
        }
    }

    /// For the control connection and every data connection.
    pub fn config(&self) -> Arc<ClientConfig> {
        Arc::clone(&self.config)
    }

    /// The name for the control connection and every data connection.
    pub fn server_name(&self) -> ServerName<'static> {
        self.server_name.clone()
    }

    /// Whether a data connection that does not resume is refused.
    pub fn requires_reuse(&self) -> bool {
        self.reuse == SessionReuse::Required
    }
}

/// Checks servers as `trust` has it.
///
/// # Errors
/// The file that cannot be used, or [`LoadFault::NoAuthorities`].
fn verifier(trust: &Trust) -> Result<Arc<dyn ServerCertVerifier>, LoadFault> {
    let roots = match trust {
        Trust::File(path) => load::authorities(path)?,
        Trust::Pin(digest) => {
            return Ok(Arc::new(Pin {
                digest: *digest,
                algorithms: provider().signature_verification_algorithms,
            }));
        }
        Trust::System => load::system_authorities()?,
    };
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider())
        .build()
        .map_err(|error| LoadFault::Unsupported {
            reason: error.to_string(),
        })?;
    Ok(verifier)
}

/// Trusts one certificate, whoever signed it, whatever its names and times are.
#[derive(Debug)]
struct Pin {
    /// The SHA-256 of the certificate in DER.
    digest: [u8; 32],
    /// How the server's proof that it has the key is checked.
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if sha256(end_entity).as_deref() == Some(&self.digest[..]) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The SHA-256 of `bytes`, as `pin` compares it; None if the provider has no SHA-256, which it
/// always has.
pub fn sha256(bytes: &[u8]) -> Option<Vec<u8>> {
    use rustls::crypto::hash::HashAlgorithm;
    let provider = provider();
    let hash = provider
        .cipher_suites
        .iter()
        .map(|suite| match suite {
            rustls::SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
            rustls::SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        })
        .find(|hash| hash.algorithm() == HashAlgorithm::SHA256)?;
    Some(hash.hash(bytes).as_ref().to_vec())
}

#[cfg(test)]
mod tests;
