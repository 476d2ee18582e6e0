//! "Did you mean": the known word that an unknown one is nearest to.
//!
//! Owns how near is near enough. Must not know what the words are for. Only the first
//! `LETTERS_MAX` letters of a word are compared.

/// The most letters that are compared.
const LETTERS_MAX: usize = 32;

/// The word of `known` that differs least from `written`, letter case apart, if it is near enough
/// to be a slip: a third of its letters, two at most. The first wins between equals.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let written = compared(written);
    let reach = written.chars().count().div_ceil(3).min(2);
    known
        .into_iter()
        .map(|word| (strsim::osa_distance(&written, &compared(word)), word))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, word)| word)
}

/// What of a word is compared.
fn compared(word: &str) -> String {
    word.to_lowercase().chars().take(LETTERS_MAX).collect()
}

/// The help of an unknown word: the nearest known one, else all of them.
pub fn help<'a>(written: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    nearest(written, known.clone()).map_or_else(
        || format!("expected one of {}", list(known)),
        |word| format!("did you mean `{word}`?"),
    )
}

/// Words for a sentence: "`a`, `b`, `c`".
pub fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests;
