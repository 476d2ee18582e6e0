use std::borrow::Cow;

use proptest::prelude::*;

use super::{escape, is_harmful, tame};

#[test]
fn harmless_text_is_not_copied() {
    for text in ["", "bob", "/in/Über straße/日本.txt", "a\"b'c<script>&"] {
        assert!(
            matches!(escape(text.as_bytes()), Cow::Borrowed(same) if same == text),
            "{text}"
        );
    }
}

#[test]
fn harmful_bytes_become_their_numbers() {
    let cases: [(&[u8], &str); 9] = [
        (b"a\r\nb", "a\\x0d\\x0ab"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        (b"\x00\x7f", "\\x00\\x7f"),
        (b"C:\\x0d", "C:\\\\x0d"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"caf\xe9.txt", "caf\\xe9.txt"),
        ("\u{9b}31m".as_bytes(), "\\xc2\\x9b31m"),
        ("\u{202e}gpj.exe".as_bytes(), "\\xe2\\x80\\xaegpj.exe"),
        ("bob\u{200b}".as_bytes(), "bob\\xe2\\x80\\x8b"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(escape(bytes), expected, "{bytes:?}");
    }
}

#[test]
fn taming_keeps_what_is_escaped_already() {
    assert_eq!(tame("a\\x0d"), "a\\x0d");
    assert_eq!(tame("a\u{1b}b\u{2066}"), "a\\x1bb\\xe2\\x81\\xa6");
}

/// The bytes that an escaped text stands for.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    loop {
        match rest {
            [] => return bytes,
            [b'\\', b'\\', tail @ ..] => {
                bytes.push(b'\\');
                rest = tail;
            }
            [b'\\', b'x', high, low, tail @ ..] => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).unwrap();
                bytes.push(u8::from_str_radix(digits, 16).unwrap());
                rest = tail;
            }
            [byte, tail @ ..] => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
}

proptest! {
    #[test]
    fn escaping_loses_nothing_and_lets_nothing_through(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let escaped = escape(&bytes);
        prop_assert!(!escaped.chars().any(is_harmful));
        prop_assert_eq!(unescape(&escaped), bytes);
    }

    #[test]
    fn any_text_is_tamed(text in "\\PC*|[\\x00-\\x20\u{200b}-\u{2070}]*") {
        let tamed = tame(&text);
        prop_assert!(!tamed.chars().any(is_harmful));
    }
}
