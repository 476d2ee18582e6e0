//! The words of the security extensions: RFC 2228 and RFC 4217.

/// A version of TLS that the gateway speaks.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum TlsVersion {
    /// RFC 5246.
    V1_2,
    /// RFC 8446.
    V1_3,
}

impl TlsVersion {
    /// Every version.
    pub const ALL: [Self; 2] = [Self::V1_2, Self::V1_3];

    /// As it is written in the configuration, in the audit and in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

/// What AUTH asks for (RFC 4217 §2, §15.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mechanism {
    /// TLS or TLS-C: data connections begin in clear.
    Tls,
    /// SSL or TLS-P, the old forms: data connections begin protected.
    Ssl,
}

impl Mechanism {
    /// The mechanism that an argument of AUTH names, in any letter case.
    pub fn parse(argument: &[u8]) -> Option<Self> {
        let is = |name: &[u8]| argument.trim_ascii().eq_ignore_ascii_case(name);
        if is(b"TLS") || is(b"TLS-C") {
            Some(Self::Tls)
        } else if is(b"SSL") || is(b"TLS-P") {
            Some(Self::Ssl)
        } else {
            None
        }
    }
}

/// A data channel protection level (RFC 2228 §3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Level {
    /// C: in clear.
    Clear,
    /// S and E: levels that TLS does not have.
    Other,
    /// P: encrypted.
    Private,
}

impl Level {
    /// The level that an argument of PROT names, in any letter case.
    pub fn parse(argument: &[u8]) -> Option<Self> {
        match argument.trim_ascii() {
            b"C" | b"c" => Some(Self::Clear),
            b"P" | b"p" => Some(Self::Private),
            b"S" | b"s" | b"E" | b"e" => Some(Self::Other),
            _ => None,
        }
    }
}
