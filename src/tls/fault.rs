//! Why a TLS handshake failed, or a channel after it.
//!
//! Owns the reasons and their names. Must not know what becomes of a session then. No reason
//! carries a byte of the peer's.

use std::fmt;

use rustls::{AlertDescription, CertificateError, InvalidMessage, PeerIncompatible};

/// What rustls says where the resolver of `server` refuses the name that a client asks for.
const NO_IDENTITY: &str = "no server certificate chain resolved";

/// What webpki calls an authority's certificate that is shown as a server's own.
const AUTHORITY_SHOWN: &str = "CaUsedAsEndEntity";

/// Why there is no TLS.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum HandshakeFault {
    /// The peer refused us: the name of its alert (RFC 8446 §6).
    Alert(&'static str),
    /// The server shows an authority's certificate as its own.
    AuthorityCertificate,
    /// The peer's certificate, or its proof that it has the key, is wrong in another way.
    BadCertificate,
    /// The peer ended the connection.
    Closed,
    /// The peer's certificate has expired.
    Expired,
    /// The client asked for a name that no certificate has.
    Name,
    /// The peer showed no certificate and had to.
    NoCertificate,
    /// The peers have no cipher suite, group or signature in common.
    NoCipher,
    /// A data connection did not resume its control connection's session and had to.
    NotResumed,
    /// The peer's certificate is not valid yet.
    NotYetValid,
    /// Something else.
    Other,
    /// A data connection showed another certificate than its control connection.
    OtherCertificate,
    /// The server's certificate is not the one that was pinned.
    Pin,
    /// The peer spoke in clear.
    Plaintext,
    /// The client speaks other protocols than FTP (ALPN).
    Protocol,
    /// The peer's certificate was revoked.
    Revoked,
    /// It took longer than `limits.tls_handshake_timeout`.
    Timeout,
    /// The peer's certificate comes from an authority that is not trusted.
    UnknownAuthority,
    /// The peers have no version in common.
    Version,
    /// The server's certificate has another name.
    WrongName,
}

impl HandshakeFault {
    /// Every name, for metrics that begin at zero.
    pub const NAMES: [&str; 20] = [
        "alert",
        "authority_certificate",
        "bad_certificate",
        "closed",
        "expired",
        "name",
        "no_certificate",
        "no_cipher",
        "not_resumed",
        "not_yet_valid",
        "other",
        "other_certificate",
        "pin",
        "plaintext",
        "protocol",
        "revoked",
        "timeout",
        "unknown_authority",
        "version",
        "wrong_name",
    ];

    /// Its name, as a label of metrics and in the audit.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alert(_) => "alert",
            Self::AuthorityCertificate => "authority_certificate",
            Self::BadCertificate => "bad_certificate",
            Self::Closed => "closed",
            Self::Expired => "expired",
            Self::Name => "name",
            Self::NoCertificate => "no_certificate",
            Self::NoCipher => "no_cipher",
            Self::NotResumed => "not_resumed",
            Self::NotYetValid => "not_yet_valid",
            Self::Other => "other",
            Self::OtherCertificate => "other_certificate",
            Self::Pin => "pin",
            Self::Plaintext => "plaintext",
            Self::Protocol => "protocol",
            Self::Revoked => "revoked",
            Self::Timeout => "timeout",
            Self::UnknownAuthority => "unknown_authority",
            Self::Version => "version",
            Self::WrongName => "wrong_name",
        }
    }
}

impl fmt::Display for HandshakeFault {
    /// One sentence for an operator, without a full stop.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Alert(alert) => return write!(formatter, "the peer refused with {alert}"),
            Self::AuthorityCertificate => {
                "the server shows a certificate that is made for an authority, as self-signed \
                 ones often are: trust it with `pin`"
            }
            Self::BadCertificate => "the peer's certificate is not acceptable",
            Self::Closed => "the peer ended the connection",
            Self::Expired => "the peer's certificate has expired",
            Self::Name => "the client asked for a name that no certificate has",
            Self::NoCertificate => "the peer showed no certificate",
            Self::NoCipher => "the peer has no cipher suite, group or signature in common with us",
            Self::NotResumed => {
                "the data connection did not resume the TLS session of the control connection"
            }
            Self::NotYetValid => "the peer's certificate is not valid yet",
            Self::Other => "the handshake failed",
            Self::OtherCertificate => {
                "a data connection showed another certificate than its control connection"
            }
            Self::Pin => "the server's certificate is not the one that was pinned",
            Self::Plaintext => "the peer spoke in clear",
            Self::Protocol => "the client speaks other protocols than FTP (ALPN)",
            Self::Revoked => "the peer's certificate was revoked",
            Self::Timeout => "the handshake took too long",
            Self::UnknownAuthority => {
                "the peer's certificate comes from an authority that is not trusted"
            }
            Self::Version => "the peer has no TLS version in common with us",
            Self::WrongName => "the server's certificate has another name",
        })
    }
}

impl std::error::Error for HandshakeFault {}

impl From<&rustls::Error> for HandshakeFault {
    fn from(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::AlertReceived(alert) => of_alert(*alert),
            rustls::Error::InvalidCertificate(reason) => of_certificate(reason),
            rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => Self::Plaintext,
            rustls::Error::NoApplicationProtocol => Self::Protocol,
            rustls::Error::NoCertificatesPresented => Self::NoCertificate,
            rustls::Error::PeerIncompatible(reason) => of_incompatible(reason),
            rustls::Error::General(reason) if reason == NO_IDENTITY => Self::Name,
            _ => Self::Other,
        }
    }
}

/// The reason behind an alert of the peer's.
fn of_alert(alert: AlertDescription) -> HandshakeFault {
    match alert {
        AlertDescription::CloseNotify => HandshakeFault::Closed,
        // A server that lacks the version which is tried first: another one may be tried.
        AlertDescription::ProtocolVersion => HandshakeFault::Version,
        other => HandshakeFault::Alert(alert_name(other)),
    }
}

/// The name that an alert has in RFC 8446 §6, RFC 5246 §7.2 and IANA's registry.
fn alert_name(alert: AlertDescription) -> &'static str {
    match alert {
        AlertDescription::AccessDenied => "access_denied",
        AlertDescription::BadCertificate => "bad_certificate",
        AlertDescription::BadRecordMac => "bad_record_mac",
        AlertDescription::CertificateExpired => "certificate_expired",
        AlertDescription::CertificateRequired => "certificate_required",
        AlertDescription::CertificateRevoked => "certificate_revoked",
        AlertDescription::CertificateUnknown => "certificate_unknown",
        AlertDescription::DecodeError => "decode_error",
        AlertDescription::DecryptError => "decrypt_error",
        AlertDescription::HandshakeFailure => "handshake_failure",
        AlertDescription::IllegalParameter => "illegal_parameter",
        AlertDescription::InappropriateFallback => "inappropriate_fallback",
        AlertDescription::InsufficientSecurity => "insufficient_security",
        AlertDescription::InternalError => "internal_error",
        AlertDescription::MissingExtension => "missing_extension",
        AlertDescription::NoApplicationProtocol => "no_application_protocol",
        AlertDescription::NoRenegotiation => "no_renegotiation",
        AlertDescription::RecordOverflow => "record_overflow",
        AlertDescription::UnexpectedMessage => "unexpected_message",
        AlertDescription::UnknownCA => "unknown_ca",
        AlertDescription::UnknownPSKIdentity => "unknown_psk_identity",
        AlertDescription::UnrecognisedName => "unrecognized_name",
        AlertDescription::UnsupportedCertificate => "unsupported_certificate",
        AlertDescription::UnsupportedExtension => "unsupported_extension",
        AlertDescription::UserCanceled => "user_canceled",
        _ => "another alert",
    }
}

/// The reason why a certificate was not taken.
fn of_certificate(reason: &CertificateError) -> HandshakeFault {
    match reason {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            HandshakeFault::Expired
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            HandshakeFault::NotYetValid
        }
        CertificateError::Revoked => HandshakeFault::Revoked,
        CertificateError::UnknownIssuer => HandshakeFault::UnknownAuthority,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            HandshakeFault::WrongName
        }
        // What the verifier of a pin says, and nobody else.
        CertificateError::ApplicationVerificationFailure => HandshakeFault::Pin,
        CertificateError::Other(other) if other.to_string() == AUTHORITY_SHOWN => {
            HandshakeFault::AuthorityCertificate
        }
        _ => HandshakeFault::BadCertificate,
    }
}

/// The reason why the peers have too little in common.
fn of_incompatible(reason: &PeerIncompatible) -> HandshakeFault {
    match reason {
        PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoEcPointFormatsInCommon
        | PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon
        | PeerIncompatible::NamedGroupsExtensionRequired
        | PeerIncompatible::SignatureAlgorithmsExtensionRequired => HandshakeFault::NoCipher,
        PeerIncompatible::ServerDoesNotSupportTls12Or13
        | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
        | PeerIncompatible::SupportedVersionsExtensionRequired
        | PeerIncompatible::Tls12NotOffered
        | PeerIncompatible::Tls12NotOfferedOrEnabled => HandshakeFault::Version,
        _ => HandshakeFault::Other,
    }
}

#[cfg(test)]
mod tests;
