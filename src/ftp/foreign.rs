//! What lines of other protocols look like on a client's control connection.
//!
//! Owns how HTTP, TLS, SSH, SMTP, RTSP and the PROXY protocol begin. A browser or a mail client
//! that is tricked into speaking to an FTP service is cut off at its first line, before a later one
//! happens to be a command. Must not know what comes of it.

use super::verb::Verb;

/// What a TLS record with a handshake in it begins with.
pub(super) const TLS_RECORD: [u8; 2] = [0x16, 0x03];

/// Verbs of HTTP, SMTP and RTSP that FTP does not have, and how a balancer begins that is not to be
/// believed.
const VERBS: [&[u8]; 14] = [
    b"CONNECT",
    b"DELETE",
    b"EHLO",
    b"GET",
    b"HEAD",
    b"HELO",
    b"OPTIONS",
    b"PATCH",
    b"POST",
    b"PROPFIND",
    b"PROXY",
    b"PUT",
    b"RTSP",
    b"TRACE",
];

/// Whether `line`, without its end, is one of another protocol: only when its verb is not in the
/// table, for `STOR notes on HTTP/1.1` names a file.
pub(super) fn is_foreign(line: &[u8]) -> bool {
    let verb = line.split(|byte| *byte == b' ').next().unwrap_or_default();
    Verb::parse(verb).is_none() && is_strange(verb, line)
}

/// The same of a line of which it is known that its `verb` is not in the table.
pub(super) fn is_strange(verb: &[u8], line: &[u8]) -> bool {
    VERBS.iter().any(|other| other.eq_ignore_ascii_case(verb))
        || line.starts_with(b"SSH-")
        || line.starts_with(&TLS_RECORD)
        || line
            .last_chunk::<8>()
            .is_some_and(|tail| tail.starts_with(b"HTTP/") || tail.starts_with(b"RTSP/"))
}
