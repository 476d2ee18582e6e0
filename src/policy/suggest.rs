//! "Did you mean": the nearest of some known names.
//!
//! Must not know what the names are for. Names longer than [`LETTERS_MAX`] letters get no
//! suggestion.

/// The longest name that is compared.
const LETTERS_MAX: usize = 32;

/// The candidate that differs least from `name`, letter case apart, if it is near enough to be a
/// slip: a third of its letters, two at most. The first wins between equals.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let name: Vec<char> = name.to_lowercase().chars().take(LETTERS_MAX).collect();
    let reach = name.len().div_ceil(3).min(2);
    candidates
        .into_iter()
        .map(|candidate| (distance(&name, candidate), candidate))
        .filter(|(distance, _)| *distance <= reach)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many letters must be inserted, dropped, replaced or swapped with their neighbour.
fn distance(name: &[char], candidate: &str) -> usize {
    let other: Vec<char> = candidate.to_lowercase().chars().take(LETTERS_MAX).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=other.len()).collect();
    for (row, letter) in name.iter().enumerate() {
        let mut current = vec![row.saturating_add(1)];
        for (column, theirs) in other.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX);
            let replaced = at(&above, column).saturating_add(usize::from(letter != theirs));
            let dropped = at(&above, column.saturating_add(1)).saturating_add(1);
            let inserted = at(&current, column).saturating_add(1);
            let mut best = replaced.min(dropped).min(inserted);
            if let (Some(last_row), Some(last_column)) = (row.checked_sub(1), column.checked_sub(1))
                && name.get(last_row) == Some(theirs)
                && other.get(last_column) == Some(letter)
            {
                best = best.min(at(&before, last_column).saturating_add(1));
            }
            current.push(best);
        }
        before = std::mem::replace(&mut above, current);
    }
    above.last().copied().unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests;
