//! "Did you mean": the known word that an unknown one is nearest to.
//!
//! Owns how near is near enough. Must not know what the words are.

/// The word of `known` that `written` is most likely a slip of, if one is near enough.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = written.to_ascii_lowercase();
    let allowed = (written.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|word| {
            (
                strsim::osa_distance(&written, &word.to_ascii_lowercase()),
                word,
            )
        })
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// The help of an unknown word: the nearest known one, else all of them.
pub(super) fn help<'a>(written: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    nearest(written, known.clone()).map_or_else(
        || format!("expected one of {}", list(known)),
        |word| format!("did you mean `{word}`?"),
    )
}

/// Words for a sentence: "`a`, `b`, `c`".
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}
