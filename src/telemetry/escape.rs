//! What peers sent, as text that can do no harm where it is read.
//!
//! Owns the one escaping of logs, audit and endpoints: control bytes (ESC among them), invalid
//! UTF-8, marks that turn the direction of text and characters without a width become `\xNN`, one
//! for each byte. Must not know what the text is.

use std::borrow::Cow;

/// `bytes` as harmless text. A backslash is doubled, so that the bytes can be told from the text.
pub fn escape(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes)
        && !text
            .chars()
            .any(|character| character == '\\' || is_harmful(character))
    {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(bytes.len().saturating_add(16));
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if character == '\\' {
                escaped.push_str("\\\\");
            } else {
                push(&mut escaped, character);
            }
        }
        push_bytes(&mut escaped, chunk.invalid());
    }
    Cow::Owned(escaped)
}

/// `text` without harmful characters; backslashes stay, since the text may be escaped already.
pub(crate) fn tame(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_harmful) {
        return Cow::Borrowed(text);
    }
    let mut tamed = String::with_capacity(text.len().saturating_add(16));
    for character in text.chars() {
        push(&mut tamed, character);
    }
    Cow::Owned(tamed)
}

/// Appends a character, or its bytes as `\xNN` where it is harmful.
fn push(text: &mut String, character: char) {
    if is_harmful(character) {
        let mut buffer = [0_u8; 4];
        push_bytes(text, character.encode_utf8(&mut buffer).as_bytes());
    } else {
        text.push(character);
    }
}

/// Appends each byte as `\xNN`.
fn push_bytes(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str("\\x");
        for digit in [byte >> 4, byte & 0xF] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('?'));
        }
    }
}

/// Whether a character moves the cursor, turns the direction of text or cannot be seen.
const fn is_harmful(character: char) -> bool {
    matches!(character,
        '\0'..='\u{1f}'
        | '\u{7f}'..='\u{9f}'
        | '\u{ad}'
        | '\u{34f}'
        | '\u{61c}'
        | '\u{115f}'..='\u{1160}'
        | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{3164}'
        | '\u{fe00}'..='\u{fe0f}'
        | '\u{feff}'
        | '\u{ffa0}'
        | '\u{fff0}'..='\u{fffb}'
        | '\u{e000}'..='\u{f8ff}'
        | '\u{e0000}'..='\u{10ffff}')
}

#[cfg(test)]
mod tests;
