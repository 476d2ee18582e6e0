//! Paths of Windows: a backslash is a slash, letter case does not matter.
//!
//! Owns what the file systems of Windows take for another spelling of a name: trailing dots and
//! blanks are dropped, and device names, streams, drive letters, short names (`X~1`) and shares
//! are unsure. The path keeps its letter case; rules compare it folded.

use super::super::glob::fold;
use super::{Ground, Path, Place, unix};

/// Names that are devices in every directory, whatever follows their dot.
const DEVICES: [&str; 8] = [
    "con", "prn", "aux", "nul", "conin$", "conout$", "clock$", "config$",
];

/// Where `text` points; None where that is unsure.
pub(super) fn resolve(ground: &Ground<'_>, text: &str) -> Option<Place> {
    if text.starts_with(['~', '\'']) {
        return None;
    }
    let text = cleaned(text)?;
    let base = if text.starts_with('/') {
        None
    } else {
        Some(stated(ground.directory()?)?)
    };
    unix::walk(base.as_ref(), &text, ground.has_symlinks())
}

/// A directory that the server stated.
pub(super) fn stated(directory: &str) -> Option<Path> {
    unix::stated(&cleaned(directory)?)
}

/// Whether `user` is one plain component, and the same when cleaned.
pub(super) fn is_component(user: &str) -> bool {
    unix::is_component(user) && cleaned(user).is_some_and(|cleaned| cleaned == user)
}

/// `text` with slashes, without what the file system drops.
fn cleaned(text: &str) -> Option<String> {
    let text = text.replace('\\', "/");
    // `//server/share` is another machine.
    if text.starts_with("//") || text.contains([':', '<', '>', '"', '|']) {
        return None;
    }
    if text.chars().any(is_ambiguous) {
        return None;
    }
    let mut components = Vec::new();
    for component in text.split('/') {
        if matches!(component, "" | "." | "..") {
            components.push(component);
            continue;
        }
        let trimmed = component.trim_end_matches(['.', ' ']);
        if trimmed.is_empty() || is_short(trimmed) || is_device(trimmed) {
            return None;
        }
        components.push(trimmed);
    }
    Some(components.join("/"))
}

/// Whether a conversion to a code page may make another character of it: the letters that fold
/// into ASCII, the full-width forms, and the slashes of mathematics.
fn is_ambiguous(character: char) -> bool {
    if character.is_ascii() {
        return false;
    }
    fold(character).is_ascii()
        || character.to_uppercase().any(|upper| upper.is_ascii())
        || matches!(
            character,
            '\u{FF00}'
                ..='\u{FFEF}' | '\u{2044}' | '\u{2215}' | '\u{2216}' | '\u{29F5}' | '\u{29F8}'
        )
}

/// Whether it may be a short name: `PROGRA~1`.
fn is_short(name: &str) -> bool {
    name.split('~')
        .skip(1)
        .any(|behind| behind.starts_with(|first: char| first.is_ascii_digit()))
}

/// Whether it is a device, with or without an extension.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end();
    let stem = stem.to_lowercase();
    let numbered = ["com", "lpt"].iter().any(|port| {
        stem.strip_prefix(port).is_some_and(|number| {
            let mut digits = number.chars();
            matches!((digits.next(), digits.next()), (Some(digit), None)
                if digit.is_ascii_digit() || matches!(digit, '¹' | '²' | '³'))
        })
    });
    numbered || DEVICES.contains(&stem.as_str())
}
