//! FEAT and HELP made to tell what the session may do.
//!
//! Owns the rewriting: what is refused whatever the path or argument goes, what the gateway does
//! itself comes in, the rest stays byte for byte. Asks whether a command could be allowed, and
//! knows nothing else of policy.

use bytes::{Bytes, BytesMut};

use crate::ftp::command::Name;
use crate::ftp::feature::{self, Needs};
use crate::ftp::reply;
use crate::ftp::verb::{self, Verb};

/// What the gateway itself does, whatever the server knows: TLS (RFC 4217 §6) and the data
/// connection verbs that it translates.
const OWN: [(&str, Verb); 5] = [
    ("AUTH TLS", Verb::Auth),
    ("EPRT", Verb::Eprt),
    ("EPSV", Verb::Epsv),
    ("PBSZ", Verb::Pbsz),
    ("PROT", Verb::Prot),
];

/// The lines of `reply`, each with its end.
fn lines(reply: &[u8]) -> impl Iterator<Item = &[u8]> {
    reply.split_inclusive(|byte| *byte == b'\n')
}

/// A FEAT reply as this session may see it (RFC 2389 §3.2).
pub(super) fn features(reply: &[u8], could: impl Fn(&Name, Option<&str>) -> bool) -> Bytes {
    let all: Vec<&[u8]> = lines(reply).collect();
    let [first, inner @ .., last] = all.as_slice() else {
        return own_features(could).unwrap_or_else(no_features);
    };
    let mut kept = BytesMut::from(*first);
    let mut seen = Vec::new();
    let mut any = false;
    for line in inner {
        let (label, needs) = feature::needs(line);
        if label.is_empty() || !stays(line, &label, needs, &could) {
            continue;
        }
        any = true;
        seen.push(label.to_ascii_uppercase());
        put_feature(&mut kept, line);
    }
    for label in missing(&seen, &could) {
        any = true;
        put_feature(&mut kept, label.as_bytes());
    }
    if !any {
        return no_features();
    }
    kept.extend_from_slice(last);
    kept.freeze()
}

/// The FEAT reply of a session whose server has none; None where the gateway has nothing to
/// announce either.
pub(super) fn own_features(could: impl Fn(&Name, Option<&str>) -> bool) -> Option<Bytes> {
    let mut lines = BytesMut::from(&b"211-Features:\r\n"[..]);
    let mut any = false;
    for label in missing(&[], &could) {
        any = true;
        put_feature(&mut lines, label.as_bytes());
    }
    lines.extend_from_slice(b"211 End\r\n");
    any.then(|| lines.freeze())
}

/// RFC 2389 §3.2: without a feature the reply has one line.
fn no_features() -> Bytes {
    reply::render(211, "No features supported")
}

/// What the gateway itself does, the session may use and the server did not list.
fn missing(
    seen: &[Vec<u8>],
    could: impl Fn(&Name, Option<&str>) -> bool,
) -> impl Iterator<Item = &'static str> {
    let missing = OWN.into_iter().filter(move |(_, verb)| {
        !seen.iter().any(|label| label == verb.name().as_bytes())
            && could(&Name::Known(*verb), None)
    });
    missing.map(|(label, _)| label)
}

/// Appends a feature line in the form that RFC 2389 gives it: one blank, then the feature. A
/// line that has the form already is kept byte for byte.
fn put_feature(reply: &mut BytesMut, line: &[u8]) {
    if matches!(line, [b' ', second, ..] if !second.is_ascii_whitespace()) {
        reply.extend_from_slice(line);
        return;
    }
    let feature = line.strip_prefix(b"211-").unwrap_or(line).trim_ascii();
    reply.extend_from_slice(b" ");
    reply.extend_from_slice(feature);
    reply.extend_from_slice(b"\r\n");
}

/// Whether a feature line is true for this session.
fn stays(
    line: &[u8],
    label: &Bytes,
    needs: Needs,
    could: &impl Fn(&Name, Option<&str>) -> bool,
) -> bool {
    match needs {
        Needs::Nothing => true,
        Needs::Verbs(verbs) => verbs.iter().all(|verb| could(&Name::Known(*verb), None)),
        Needs::SettingMdtm => {
            could(&Name::Known(Verb::Mfmt), None) && could(&Name::Known(Verb::Mdtm), None)
        }
        Needs::Words(verb, words) => words
            .iter()
            .all(|word| could(&Name::Known(verb), Some(word))),
        Needs::Site => feature::site_words(line).all(|word| {
            std::str::from_utf8(word).is_ok_and(|word| could(&Name::Known(Verb::Site), Some(word)))
        }),
        Needs::Gateway | Needs::Never => false,
        Needs::Unknown => Name::parse(label).is_some_and(|name| could(&name, None)),
    }
}

/// A HELP reply as this session may see it. `site`: it lists subcommands of SITE.
pub(super) fn help(reply: &[u8], site: bool, could: impl Fn(&Name, Option<&str>) -> bool) -> Bytes {
    let all: Vec<&[u8]> = lines(reply).collect();
    let last = all.len().saturating_sub(1);
    let mut kept = BytesMut::new();
    for (index, line) in all.iter().enumerate() {
        let ends = index == 0 || index == last;
        if feature::is_usage(line) {
            let first = feature::help_words(line).into_iter().next();
            let word = first.and_then(|range| line.get(range)).unwrap_or_default();
            // The first and the last line may be prose, which begins with any word.
            let may_stay = |word: &[u8]| may_list(word, site, &could) || !is_known(word, site);
            if may_list(word, site, &could) || ends && may_stay(word) {
                put_blanked(&mut kept, line, may_stay);
            } else if ends {
                put_blank(&mut kept, line);
            }
        } else if ends && !is_list(line) {
            kept.extend_from_slice(line);
        } else {
            put_blanked(&mut kept, line, |word| may_list(word, site, &could));
        }
    }
    kept.freeze()
}

/// Whether a word of a HELP reply names something that the session could use.
fn may_list(word: &[u8], site: bool, could: &impl Fn(&Name, Option<&str>) -> bool) -> bool {
    let word = word.strip_suffix(b"*").unwrap_or(word);
    let Ok(text) = std::str::from_utf8(word) else {
        return true;
    };
    if site {
        return could(&Name::Known(Verb::Site), Some(text));
    }
    match Name::parse(word) {
        // Pure-FTPd answers bare HELP with its SITE list.
        Some(Name::Other(_)) if verb::site(word).is_some() => {
            could(&Name::Known(Verb::Site), Some(text))
        }
        // It is always refused.
        Some(Name::Known(Verb::Ccc)) => false,
        Some(Name::Known(Verb::Quit | Verb::Noop | Verb::Nop)) | None => true,
        Some(name) => could(&name, None),
    }
}

/// Whether the gateway knows `word` as a subcommand of SITE or as a verb.
fn is_known(word: &[u8], site: bool) -> bool {
    let word = word.strip_suffix(b"*").unwrap_or(word);
    verb::site(word).is_some() || !site && Verb::parse(word).is_some()
}

/// Whether a line with a code in front lists names and has no word of prose.
fn is_list(line: &[u8]) -> bool {
    let text = line.get(4..).unwrap_or_default();
    let words = text
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    words.count() == feature::help_words(line).len()
}

/// Appends a line of a code alone, with the blank or hyphen behind it.
fn put_blank(reply: &mut BytesMut, line: &[u8]) {
    reply.extend_from_slice(line.get(..4).unwrap_or_default());
    reply.extend_from_slice(b"\r\n");
}

/// Appends `line` with the refused names in it blanked to the same width: columns keep.
fn put_blanked(reply: &mut BytesMut, line: &[u8], stays: impl Fn(&[u8]) -> bool) {
    let start = reply.len();
    reply.extend_from_slice(line);
    for range in feature::help_words(line) {
        let refused = line.get(range.clone()).is_some_and(|word| !stays(word));
        let shifted = start.saturating_add(range.start)..start.saturating_add(range.end);
        if let (true, Some(word)) = (refused, reply.get_mut(shifted)) {
            word.fill(b' ');
        }
    }
}
