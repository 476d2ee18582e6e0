//! Files of certificates and keys, and digests.
//!
//! Owns their forms. Must not know what is in a file.

use std::path::PathBuf;

use toml::de::DeValue;

use super::{Misfit, Read, text};

/// The path of a PEM file; nothing is looked at.
pub(in crate::config) fn file(value: &DeValue<'_>) -> Read<PathBuf> {
    let written = text(value, "a path", "/etc/ftpwarden/cert.pem")?;
    if written.is_empty() {
        return Err(Misfit::new(
            "config/bad-path",
            "the path is empty",
            "write the path of a PEM file",
        ));
    }
    Ok(written.into())
}

/// `sha256/` and the digest of a certificate, in base64 or in hexadecimal digits, which may have
/// colons as `openssl x509 -fingerprint` writes them.
pub(in crate::config) fn pin(value: &DeValue<'_>) -> Read<[u8; 32]> {
    let written = text(value, "a digest", "sha256/…")?;
    let bad = |message: String| {
        Misfit::new(
            "config/bad-pin",
            message,
            "write `sha256/` and what `openssl x509 -in CERTIFICATE -noout -fingerprint -sha256` \
             says behind the `=`",
        )
    };
    let Some(digest) = written.strip_prefix("sha256/") else {
        return Err(bad(format!("`{written}` does not begin with `sha256/`")));
    };
    let plain = digest.replace(':', "");
    let bytes = if plain.len() == 64 {
        from_hex(&plain)
    } else {
        from_base64(digest)
    };
    bytes
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| bad(format!("`{digest}` is no SHA-256 in hexadecimal or base64")))
}

/// The bytes behind hexadecimal digits.
fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let values: Option<Vec<u8>> = digits
        .chars()
        .map(|digit| {
            digit
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
        })
        .collect();
    let values = values?;
    let (pairs, []) = values.as_chunks::<2>() else {
        return None;
    };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

/// The bytes behind base64 (RFC 4648 §4, or §5 with its two other digits), with or without the
/// padding of a digest.
fn from_base64(digits: &str) -> Option<Vec<u8>> {
    let digits = digits.strip_suffix('=').unwrap_or(digits);
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0_u32, 0_u32);
    for digit in digits.bytes() {
        let value = match digit {
            b'A'..=b'Z' => digit - b'A',
            b'a'..=b'z' => digit - b'a' + 26,
            b'0'..=b'9' => digit - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6 | u32::from(value)) & 0xffff;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(bits >> held & 0xff).ok()?);
        }
    }
    // What is left of the last digit holds nothing.
    (bits & ((1 << held) - 1) == 0).then_some(bytes)
}

#[cfg(test)]
mod tests;
