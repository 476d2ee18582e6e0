//! What a TLS configuration is built from: plain types.

use std::path::PathBuf;
use std::sync::Arc;

use crate::ftp::security::TlsVersion;

/// What the gateway is as a TLS server, towards clients.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ServerOptions {
    /// The certificates, chosen by the name that a client asks for; the first where it asks for
    /// none.
    pub identities: Vec<Identity>,
    /// Which versions are spoken; at least one.
    pub versions: Vec<TlsVersion>,
    /// Whether the client's order of cipher suites counts, and not the gateway's, which has those with
    /// AES-128 in front.
    pub prefer_client_ciphers: bool,
    /// Whether a data connection must resume the session of its control connection.
    pub session_reuse: SessionReuse,
    /// Whether clients show a certificate.
    pub clients: ClientCertificates,
}

/// What the gateway is as a TLS client, towards a server.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientOptions {
    /// Whom the server's certificate must come from.
    pub trust: Trust,
    /// The name that the certificate must have: the host of the upstream's address, unless it is
    /// written.
    pub server_name: Arc<str>,
    /// What the gateway shows if it is asked for a certificate.
    pub identity: Option<Identity>,
    /// Which versions are spoken, the one that is tried first in front; at least one.
    pub versions: Vec<TlsVersion>,
    /// Whether data connections resume the session of their control connection.
    pub session_reuse: SessionReuse,
}

/// A certificate chain and its key, both PEM files.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// The chain, the own certificate first.
    pub certificate: PathBuf,
    /// The key.
    pub key: PathBuf,
}

/// Whether a data connection resumes the TLS session of its control connection.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum SessionReuse {
    /// It may.
    #[default]
    Allowed,
    /// It cannot.
    Off,
    /// It must.
    Required,
}

/// Whether clients show a certificate.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum ClientCertificates {
    /// They are not asked.
    #[default]
    Off,
    /// They may; one that is shown must come from one of the authorities in this PEM file.
    Optional(PathBuf),
    /// They must.
    Required(PathBuf),
}

/// Whom a server's certificate must come from.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum Trust {
    /// One of the authorities in this PEM file.
    File(PathBuf),
    /// Nobody: the SHA-256 of its certificate, in DER, is this.
    Pin([u8; 32]),
    /// One of the system's authorities.
    #[default]
    System,
}
