//! rustls configurations and handshakes: certificates, trust, session stores, and one TLS channel
//! over a socket.
//!
//! Owns everything that knows rustls. Must not know FTP's dialogue, sessions or how settings are
//! written.

pub mod channel;
pub mod client;
pub mod fault;
pub mod handshake;
pub mod load;
pub mod options;
pub mod peer;
pub mod reload;
pub mod server;
pub mod stream;

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::{CipherSuite, SupportedProtocolVersion};

use crate::ftp::security::TlsVersion;

/// The protocol name of FTP in ALPN (RFC 7301; IANA's registry names RFC 4217 for it).
const ALPN_FTP: &[u8] = b"ftp";

/// The one provider of cryptography; every configuration names it, none asks for a default of the
/// process.
///
/// The suites with AES-128 come first, whose hash is SHA-256. X25519 and P-256 are no stronger than they are,
/// and the SHA-384 of the others is a quarter of what a resumed handshake costs.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut provider = aws_lc_rs::default_provider();
        provider
            .cipher_suites
            .sort_by_key(|suite| !has_aes_128(suite.suite()));
        Arc::new(provider)
    });
    Arc::clone(&PROVIDER)
}

/// Whether a suite encrypts with AES-128.
const fn has_aes_128(suite: CipherSuite) -> bool {
    matches!(
        suite,
        CipherSuite::TLS13_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
    )
}

/// rustls' words for `versions`.
fn protocol_versions(versions: &[TlsVersion]) -> Vec<&'static SupportedProtocolVersion> {
    versions
        .iter()
        .map(|version| match version {
            TlsVersion::V1_2 => &rustls::version::TLS12,
            TlsVersion::V1_3 => &rustls::version::TLS13,
        })
        .collect()
}

#[cfg(test)]
pub(crate) mod tests;
