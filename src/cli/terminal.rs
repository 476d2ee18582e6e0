//! The terminal: whether it has colour, and what may be shown on it.
//!
//! Owns `NO_COLOR`. Must not know what is being said.

use std::io::IsTerminal as _;

use crate::config::diagnostic::Style;

/// The style of standard error.
pub(super) fn stderr_style() -> Style {
    style(std::io::stderr().is_terminal())
}

/// The style of standard output.
pub(super) fn stdout_style() -> Style {
    style(std::io::stdout().is_terminal())
}

/// Colour only on a terminal, and never with `NO_COLOR`.
fn style(is_terminal: bool) -> Style {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if is_terminal && !refused {
        Style::Coloured
    } else {
        Style::Plain
    }
}

/// `text` without what would move the cursor.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|one| if one.is_control() { '\u{fffd}' } else { one })
        .collect()
}
