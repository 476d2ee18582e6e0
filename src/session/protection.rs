//! How the channels of both legs are protected, and what the client may ask of that
//! (RFC 2228, RFC 4217).
//!
//! The legs are independent: each has a control connection in clear or under TLS, and a level for
//! its data connections.

use std::sync::Arc;

use crate::ftp::security::TlsVersion;
use crate::policy::Channels;

/// What a listener offers to its clients.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClientTls {
    /// Whether there is TLS, and how it begins.
    pub offer: TlsOffer,
    /// What a client must protect.
    pub require: Require,
}

/// Whether a listener has TLS, and how it begins (`listeners.NAME.tls.mode`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum TlsOffer {
    /// With AUTH.
    Explicit,
    /// With the connection.
    Implicit,
    /// There is none.
    #[default]
    None,
}

/// What a client must protect (`listeners.NAME.tls.require`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Require {
    /// The control connection before USER, and PROT P before a transfer.
    Data,
    /// The control connection before USER.
    Login,
    /// Nothing.
    #[default]
    No,
}

/// How the server's leg is protected (`upstreams.NAME.tls.mode`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum ServerTls {
    /// With AUTH TLS, and PROT P.
    Explicit,
    /// With the connection, and PROT P.
    Implicit,
    /// As the client does: AUTH TLS if it does, PROT as it has it.
    Match,
    /// In clear.
    #[default]
    Off,
}

/// A TLS handshake that succeeded, as far as a session wants to know.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Secured {
    /// The version that was agreed on.
    pub version: TlsVersion,
    /// The subject of the peer's certificate, as RFC 4514 text; None where it showed none.
    pub subject: Option<Arc<str>>,
}

/// How the channels of both legs are protected.
#[derive(Debug, Default)]
pub(super) struct Protection {
    /// What was agreed on for the client's control connection; None in clear.
    pub(super) client: Option<Secured>,
    /// Whether PROT P is in force on the client's leg.
    pub(super) client_data: bool,
}

impl Protection {
    /// What policy is told of it.
    pub(super) fn channels(&self) -> Channels<'_> {
        Channels {
            control: self.client.as_ref().map(|secured| secured.version),
            data: self.client_data,
            certificate: self
                .client
                .as_ref()
                .and_then(|secured| secured.subject.as_deref()),
        }
    }
}
