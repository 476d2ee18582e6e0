//! What a finished handshake agreed on, and with whom.
//!
//! Owns how a certificate's subject is written. Must not know what policy makes of it.

use std::fmt::Write as _;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::{CommonState, HandshakeKind, ProtocolVersion};
use x509_parser::asn1_rs::ToDer as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::ftp::security::TlsVersion;

/// The longest subject, in bytes.
const SUBJECT_BYTES_MAX: usize = 1024;

/// What ends a subject that was too long.
const CUT: &str = "…";

/// The short names of attributes (RFC 4514 §3).
const SHORT_NAMES: [(&str, &str); 9] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
];

/// A handshake that succeeded.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Peer {
    /// The version that was agreed on.
    pub version: TlsVersion,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// The cipher suite, by its name in IANA's registry.
    pub cipher: Arc<str>,
    /// The name that the client asked for (RFC 6066 §3); None where it named none, and of a
    /// server.
    pub server_name: Option<Arc<str>>,
    /// The subject of the peer's certificate as RFC 4514 text of at most 1 KiB; None where it
    /// showed none.
    pub subject: Option<Arc<str>>,
}

/// The peer behind `connection`; None before the handshake has ended.
pub fn of(connection: &rustls::Connection) -> Option<Peer> {
    match connection {
        rustls::Connection::Client(connection) => peer_of_client(connection),
        rustls::Connection::Server(connection) => peer_of_server(connection),
    }
}

/// Whether `data` shows the certificate that `control` has shown, if it has shown one: a session that
/// is resumed has that of its first handshake (RFC 8446 §2.2).
pub fn shows_the_same(control: &rustls::Connection, data: &rustls::Connection) -> bool {
    certificate(control).is_none_or(|shown| certificate(data) == Some(shown))
}

/// The certificate that the peer has shown.
fn certificate(state: &CommonState) -> Option<&CertificateDer<'static>> {
    state.peer_certificates()?.first()
}

/// The client behind `connection`; None before the handshake has ended.
pub fn peer_of_server(connection: &rustls::ServerConnection) -> Option<Peer> {
    let server_name = connection.server_name().map(Arc::from);
    Some(Peer {
        server_name,
        ..peer(connection)?
    })
}

/// The server behind `connection`; None before the handshake has ended.
pub fn peer_of_client(connection: &rustls::ClientConnection) -> Option<Peer> {
    peer(connection)
}

/// The peer, its name apart.
fn peer(state: &CommonState) -> Option<Peer> {
    let version = match state.protocol_version()? {
        ProtocolVersion::TLSv1_2 => TlsVersion::V1_2,
        ProtocolVersion::TLSv1_3 => TlsVersion::V1_3,
        _ => return None,
    };
    if state.is_handshaking() {
        return None;
    }
    let suite = state.negotiated_cipher_suite()?.suite();
    // rustls says TLS13_ where the registry says TLS_.
    let cipher = suite
        .as_str()
        .unwrap_or_default()
        .replacen("TLS13_", "TLS_", 1);
    Some(Peer {
        version,
        resumed: state.handshake_kind() == Some(HandshakeKind::Resumed),
        cipher: cipher.into(),
        server_name: None,
        subject: certificate(state).and_then(subject),
    })
}

/// The subject of a certificate as RFC 4514 text; None where it is no certificate.
fn subject(certificate: &CertificateDer<'_>) -> Option<Arc<str>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    Some(distinguished_name(parsed.subject()).into())
}

/// A name as RFC 4514 text: the last part first, cut at 1 KiB.
fn distinguished_name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|part| part.iter().map(attribute).collect::<Vec<_>>().join("+"))
        .collect();
    parts.reverse();
    let mut text = parts.join(",");
    if text.len() > SUBJECT_BYTES_MAX {
        let room = SUBJECT_BYTES_MAX.saturating_sub(CUT.len());
        text.truncate(text.floor_char_boundary(room));
        text.push_str(CUT);
    }
    text
}

/// `CN=value`, or for types and values without text `1.2.3.4=#hex` (RFC 4514 §2.3, §2.4).
fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let short = SHORT_NAMES
        .iter()
        .find(|(known, _)| *known == oid)
        .map(|(_, short)| *short);
    match (short, attribute.as_str()) {
        (Some(short), Ok(value)) => format!("{short}={}", escaped(value)),
        (short, _) => {
            let mut text = format!("{}=#", short.unwrap_or(&oid));
            for byte in attribute.attr_value().to_der_vec().unwrap_or_default() {
                push_hex(&mut text, byte);
            }
            text
        }
    }
}

/// A value with what has a meaning of its own escaped (RFC 4514 §2.4), and every control
/// character, by its bytes.
fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, one) in value.chars().enumerate() {
        let at_end = index == 0 || index == last;
        match one {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => text.extend(['\\', one]),
            '#' if index == 0 => text.push_str("\\#"),
            ' ' if at_end => text.push_str("\\ "),
            _ if one.is_control() => {
                let mut bytes = [0; 4];
                for byte in one.encode_utf8(&mut bytes).bytes() {
                    text.push('\\');
                    push_hex(&mut text, byte);
                }
            }
            _ => text.push(one),
        }
    }
    text
}

/// Two hexadecimal digits.
fn push_hex(text: &mut String, byte: u8) {
    // Writing to a string does not fail.
    write!(text, "{byte:02x}").ok();
}

#[cfg(test)]
mod tests;
