//! What is said in FTP's own words: greetings, verbs, subcommands.
//!
//! Owns their forms. Must not know what policy makes of them.

use std::sync::Arc;

use bytes::Bytes;
use toml::de::DeValue;

use super::{Misfit, Read, split_while, text};
use crate::ftp::command::Name;

/// The longest greeting, in bytes.
const GREETING_BYTES_MAX: usize = 500;

/// A whole reply line of one line, `220 text`; returned with its CR LF.
pub(in crate::config) fn greeting(value: &DeValue<'_>) -> Read<Bytes> {
    let written = text(value, "a reply", "220 File service.")?;
    let bad = |message: String, help: String| Misfit::new("config/bad-greeting", message, help);
    if written.chars().any(char::is_control) {
        return Err(bad(
            "a greeting is one line without control characters".to_owned(),
            "write one line, such as `\"220 File service.\"`".to_owned(),
        ));
    }
    if written.len() > GREETING_BYTES_MAX {
        return Err(bad(
            "the greeting is too long".to_owned(),
            format!("write at most {GREETING_BYTES_MAX} bytes"),
        ));
    }
    let (digits, behind) = split_while(written, |byte| byte.is_ascii_digit());
    let (code, said) = (digits.len() == 3, behind.trim_start_matches([' ', '-']));
    let said = if said.is_empty() {
        "File service."
    } else {
        said
    };
    if !code || !(behind.is_empty() || behind.starts_with([' ', '-'])) {
        let help = format!("write code and text: `\"220 {written}\"`");
        return Err(bad("the greeting has no reply code".to_owned(), help));
    }
    // RFC 959 §5.4: a connection is answered with 120, 220 or 421, and only 220 goes on.
    if digits != "220" {
        let help = format!("write `\"220 {said}\"`");
        return Err(bad(
            format!("a greeting has the code 220, not {digits}"),
            help,
        ));
    }
    if behind.trim().is_empty() || behind.starts_with('-') {
        let help = format!("write `\"220 {said}\"`");
        return Err(bad(
            "a greeting is a code, a blank and one line of text".to_owned(),
            help,
        ));
    }
    Ok(format!("{written}\r\n").into())
}

/// The verb that a server lacks.
pub(in crate::config) fn unsupported(value: &DeValue<'_>) -> Read<Name> {
    let written = text(value, "a verb", "MLSD")?;
    let bad = |message: String, help: &str| Misfit::new("config/bad-verb", message, help);
    if written.contains(' ') {
        return Err(bad(
            format!("`{written}` is more than a verb"),
            "name whole verbs here; deny a subcommand in a policy",
        ));
    }
    if let Some(group) = written.strip_prefix('@') {
        return Err(bad(
            format!("`@{group}` is a group, not a verb"),
            "name each verb that the server lacks",
        ));
    }
    let name = Name::parse(written.as_bytes()).ok_or_else(|| {
        bad(
            format!("`{written}` is not a verb"),
            "a verb is 2 to 12 letters and digits",
        )
    })?;
    Ok(name)
}

/// `SITE WORD`, whose argument is a secret; returns the word in upper case.
pub(in crate::config) fn secret(value: &DeValue<'_>) -> Read<Arc<str>> {
    let written = text(value, "a SITE subcommand", "SITE PSWD")?;
    let mut words = written.split_ascii_whitespace();
    let site = words
        .next()
        .is_some_and(|word| word.eq_ignore_ascii_case("SITE"));
    match (words.next(), words.next()) {
        (Some(word), None) if site && word.bytes().all(|byte| byte.is_ascii_graphic()) => {
            Ok(word.to_ascii_uppercase().into())
        }
        _ => Err(Misfit::new(
            "config/bad-secret",
            format!("`{written}` is not a SITE subcommand"),
            "write `SITE` and one word, such as `\"SITE PSWD\"`; PASS, ACCT and ADAT are secret \
             anyway",
        )),
    }
}
