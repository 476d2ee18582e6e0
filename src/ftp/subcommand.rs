//! The names of subcommands as servers read them in the words behind SITE.
//!
//! Owns what a strict and what a lenient server takes for a name. Must not know which names there
//! are, apart from z/OS's FILETYPE, or what is done with them.

/// The parameter of z/OS that makes a transfer submit a job or run a query; its name may be cut
/// short after the fourth letter.
pub const FILETYPE: &[u8] = b"FILETYPE";

/// The fewest letters of FILETYPE that z/OS knows it by.
const FILETYPE_LETTERS: usize = 4;

/// The words of `argument`, cut at blanks.
pub fn words(argument: &[u8]) -> impl Iterator<Item = &[u8]> {
    argument
        .split(|byte| *byte == b' ')
        .filter(|word| !word.is_empty())
}

/// Whether a name may have this byte.
pub const fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

/// What a lenient server may take for the name in `word`: its first run of bytes that names have.
/// `PSWD` of `"PSWD"`, `PSWD:x` and `PSWD=x`; empty where there is none.
pub fn lenient_name(word: &[u8]) -> &[u8] {
    word.split(|byte| !is_name_byte(*byte))
        .find(|run| !run.is_empty())
        .unwrap_or_default()
}

/// Whether `word` is `name` with a value: `NAME=VALUE` or `NAME(VALUE)`, as z/OS has it.
pub fn assigns(word: &[u8], name: &[u8]) -> bool {
    word.strip_prefix(name)
        .is_some_and(|behind| behind.starts_with(b"=") || behind.starts_with(b"("))
}

/// Whether `name` is FILETYPE, perhaps cut short.
pub fn is_filetype(name: &[u8]) -> bool {
    name.len() >= FILETYPE_LETTERS
        && FILETYPE
            .get(..name.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::{assigns, is_filetype, lenient_name};

    #[test]
    fn a_lenient_server_finds_the_name_between_other_bytes() {
        for word in [
            "PSWD",
            "\"PSWD\"",
            "PSWD:x",
            "PSWD=x",
            "((PSWD(x)",
            ",PSWD,",
        ] {
            assert_eq!(lenient_name(word.as_bytes()), b"PSWD", "{word}");
        }
        assert_eq!(lenient_name(b"(=)"), b"");
        assert_eq!(lenient_name(b""), b"");
    }

    #[test]
    fn a_value_stands_behind_an_equals_sign_or_in_parentheses() {
        assert!(assigns(b"UNIT=3390", b"UNIT"));
        assert!(assigns(b"UNIT(3390)", b"UNIT"));
        assert!(!assigns(b"UNIT", b"UNIT"));
        assert!(!assigns(b"UNIT:3390", b"UNIT"));
    }

    #[test]
    fn filetype_has_at_least_four_letters() {
        for (name, is) in [
            ("FILETYPE", true),
            ("filet", true),
            ("FILE", true),
            ("FIL", false),
            ("FILETYPES", false),
            ("FILES", false),
        ] {
            assert_eq!(is_filetype(name.as_bytes()), is, "{name}");
        }
    }
}
