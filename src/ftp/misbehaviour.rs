//! Every named way in which a client or a server can break the protocol.
//!
//! Owns the vocabulary of peer faults and, for each, the answer to two questions: which reply,
//! and does the session live. Must not know policy: a refusal is not a misbehaviour.

#[cfg(test)]
mod tests;

/// A client's fault on its control connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ClientFault {
    /// A CR that no LF follows, or NUL behind it (NVT bare CR).
    BareCr,
    /// The verb is not two to twelve letters and digits, begun by a letter.
    BadVerb,
    /// A control byte in an argument.
    ControlByte,
    /// Bytes of HTTP, TLS, SSH, SMTP or RTSP, or a PROXY header from somebody who is no balancer.
    CrossProtocol,
    /// More than sixteen empty lines in a row.
    EmptyLines,
    /// The line was longer than the server is sent.
    LineTooLong,
    /// A NUL in a line.
    Nul,
    /// A Telnet command inside a line.
    TelnetCommand,
    /// A line that never ended was discarded up to its bound.
    EndlessLine,
    /// A well-formed verb that the gateway does not know and did not forward.
    UnknownVerb,
    /// PORT or EPRT named an address other than the client's.
    ForeignAddress,
    /// PORT or EPRT named a port below 1024.
    LowPort,
    /// An argument that RFC 959 or its successors do not allow.
    BadArgument,
    /// Bytes in clear behind an AUTH: somebody on the way may have put them there.
    InjectedPlaintext,
}

/// What becomes of the session after a fault.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Fate {
    /// It goes on.
    Lives,
    /// It goes on, and the fault counts towards `limits.violations`.
    Counted,
    /// It is closed.
    Ends,
}

impl ClientFault {
    /// The label of `ftpwarden_protocol_violations_total`.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::BadArgument => "bad_argument",
            Self::BadVerb => "bad_verb",
            Self::BareCr => "bare_cr",
            Self::ControlByte => "control_byte",
            Self::CrossProtocol => "cross_protocol",
            Self::EmptyLines => "empty_lines",
            Self::EndlessLine => "endless_line",
            Self::ForeignAddress => "foreign_address",
            Self::InjectedPlaintext => "injected_plaintext",
            Self::LineTooLong => "line_too_long",
            Self::LowPort => "low_port",
            Self::Nul => "nul",
            Self::TelnetCommand => "telnet_command",
            Self::UnknownVerb => "unknown_verb",
        }
    }

    /// Every fault, so that its counter can be created at zero.
    pub const ALL: [Self; 14] = [
        Self::BadArgument,
        Self::BadVerb,
        Self::BareCr,
        Self::ControlByte,
        Self::CrossProtocol,
        Self::EmptyLines,
        Self::EndlessLine,
        Self::ForeignAddress,
        Self::InjectedPlaintext,
        Self::LineTooLong,
        Self::LowPort,
        Self::Nul,
        Self::TelnetCommand,
        Self::UnknownVerb,
    ];

    /// The reply line, without its CR LF, and what becomes of the session. No text echoes the
    /// client's bytes (RFC 959 §4.2; PORT and EPRT as RFC 2577 §3).
    pub const fn answer(self) -> (u16, &'static str, Fate) {
        match self {
            Self::BadVerb | Self::BareCr | Self::Nul | Self::TelnetCommand => {
                (500, "Syntax error, command unrecognized.", Fate::Counted)
            }
            Self::LineTooLong => (500, "Command line too long.", Fate::Counted),
            Self::CrossProtocol => (500, "This is an FTP service.", Fate::Ends),
            Self::InjectedPlaintext => (421, "Nothing may follow AUTH, closing.", Fate::Ends),
            Self::EmptyLines => (421, "Too many empty lines, closing.", Fate::Ends),
            Self::EndlessLine => (421, "Command line too long, closing.", Fate::Ends),
            Self::UnknownVerb => (502, "Command not implemented.", Fate::Counted),
            Self::ControlByte | Self::BadArgument => {
                (501, "Syntax error in parameters or arguments.", Fate::Lives)
            }
            Self::ForeignAddress => (
                501,
                "Data connections go to your own address only.",
                Fate::Lives,
            ),
            Self::LowPort => (
                501,
                "Data connections go to ports from 1024 only.",
                Fate::Lives,
            ),
        }
    }
}

/// A server's fault on its control connection.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ServerFault {
    /// A line that is no reply where one had to begin.
    NotAReply,
    /// A reply line longer than `limits.reply_line_bytes`.
    LineTooLong,
    /// A reply longer than `limits.reply_bytes`.
    ReplyTooLong,
    /// A final reply that nothing had asked for.
    Unsolicited,
    /// 227 or 229 without a usable address, or with a port below 1024.
    BadAddress,
    /// 227 named a host other than the server; the host was ignored.
    ForeignAddress,
    /// The greeting was not FTP.
    BadGreeting,
    /// A code outside what pairing can use (a 1yz where only a final reply may come).
    WrongCode,
    /// A reply did not end in time.
    ReplyTimeout,
    /// Bytes in clear behind its 234: somebody on the way may have put them there.
    InjectedPlaintext,
    /// It refused the TLS that the configuration demands.
    TlsRefused,
}

impl ServerFault {
    /// Every fault, so that its counter can be created at zero.
    pub const ALL: [Self; 11] = [
        Self::BadAddress,
        Self::BadGreeting,
        Self::ForeignAddress,
        Self::InjectedPlaintext,
        Self::LineTooLong,
        Self::NotAReply,
        Self::ReplyTimeout,
        Self::ReplyTooLong,
        Self::TlsRefused,
        Self::Unsolicited,
        Self::WrongCode,
    ];

    /// The label of `ftpwarden_protocol_violations_total`.
    pub const fn kind(self) -> &'static str {
        match self {
            Self::BadAddress => "bad_address",
            Self::BadGreeting => "bad_greeting",
            Self::ForeignAddress => "foreign_address",
            Self::InjectedPlaintext => "injected_plaintext",
            Self::LineTooLong => "line_too_long",
            Self::NotAReply => "not_a_reply",
            Self::ReplyTimeout => "reply_timeout",
            Self::ReplyTooLong => "reply_too_long",
            Self::TlsRefused => "tls_refused",
            Self::Unsolicited => "unsolicited",
            Self::WrongCode => "wrong_code",
        }
    }

    /// What becomes of the session.
    pub const fn fate(self) -> Fate {
        match self {
            Self::NotAReply
            | Self::LineTooLong
            | Self::ReplyTooLong
            | Self::BadGreeting
            | Self::InjectedPlaintext
            | Self::ReplyTimeout
            | Self::TlsRefused => Fate::Ends,
            Self::Unsolicited => Fate::Counted,
            Self::BadAddress | Self::ForeignAddress | Self::WrongCode => Fate::Lives,
        }
    }
}
