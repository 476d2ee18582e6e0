//! rustls configurations and handshakes: certificates, trust, session stores, and one TLS channel
//! over a socket.
//!
//! Owns everything that knows rustls. Must not know FTP's dialogue, sessions or how settings are
//! written.

pub mod channel;
pub mod options;
