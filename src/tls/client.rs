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

use super::fault::HandshakeFault;
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
    /// The server has refused the first and taken one of the others.
    takes_others: AtomicBool,
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
            takes_others: AtomicBool::new(false),
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
    /// others where the server took one of them last.
    pub fn session(&self) -> ClientSession {
        let versions = if self.takes_others.load(Ordering::Relaxed) {
            Versions::Others
        } else {
            Versions::First
        };
        self.begin(versions, self.others.is_some())
    }

    /// What is used in place of `former`, whose version the server refused: it is dialled again
    /// with those that were not tried.
    pub fn session_after(&self, former: &ClientSession) -> ClientSession {
        let versions = match former.versions {
            Versions::First => Versions::Others,
            Versions::Others => Versions::First,
        };
        self.begin(versions, false)
    }

    /// The server took what `session` was tried with: the next one begins with that.
    pub fn remember(&self, session: &ClientSession) {
        let others = session.versions == Versions::Others;
        self.takes_others.store(others, Ordering::Relaxed);
    }

    /// A session over these versions, with a store of its own.
    fn begin(&self, versions: Versions, others_left: bool) -> ClientSession {
        let (first, others) = self
            .options
            .versions
            .split_at(1.min(self.options.versions.len()));
        let (base, tried) = match (versions, &self.others) {
            (Versions::Others, Some(config)) => (config, others),
            (Versions::First, _) | (Versions::Others, None) => (&self.first, first),
        };
        let mut config = ClientConfig::clone(base);
        if self.reuse != SessionReuse::Off {
            let store = ClientSessionMemoryCache::new(TICKETS_MAX);
            config.resumption = Resumption::store(Arc::new(store));
        }
        ClientSession {
            config: Arc::new(config),
            server_name: self.server_name.clone(),
            reuse: self.reuse,
            versions,
            offers_tls12: tried.contains(&TlsVersion::V1_2),
            others_left,
        }
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
    /// Which versions are tried.
    versions: Versions,
    /// TLS 1.2 is among them.
    offers_tls12: bool,
    /// The others were not tried yet.
    others_left: bool,
}

/// Which versions a server is tried with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Versions {
    /// The first of the configuration.
    First,
    /// All but that.
    Others,
}

impl ClientSession {
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

    /// Whether another version may help where the handshake of the control connection failed
    /// with `fault`. A server of before TLS 1.3 may not see that nothing else is offered: it has
    /// no cipher suite in common with us.
    pub fn may_try_others(&self, fault: HandshakeFault) -> bool {
        let refused = match fault {
            HandshakeFault::Version => true,
            HandshakeFault::Alert("handshake_failure") => !self.offers_tls12,
            _ => false,
        };
        self.others_left && refused
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
