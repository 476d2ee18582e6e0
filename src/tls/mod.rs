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

use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, aws_lc_rs};

use crate::ftp::security::TlsVersion;

/// The protocol name of FTP in ALPN (RFC 7301; IANA's registry names RFC 4217 for it).
const ALPN_FTP: &[u8] = b"ftp";

/// The one provider of cryptography; every configuration names it, none asks for a default of the
/// process.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
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
