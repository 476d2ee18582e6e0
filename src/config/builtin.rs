//! The policies that come with the program, written in the operator's own language.
//!
//! Owns which they are. Must not know anything of them that an operator's policy could not say.

use toml::de::DeTable;

use super::diagnostic::Source;
use super::section::Problems;
use super::tables;
use crate::policy::spec::PolicySpec;

/// One file below `config/policies/`.
macro_rules! built_in {
    ($($name:literal),* $(,)?) => {
        &[$((
            concat!("built-in:", $name, ".toml"),
            include_str!(concat!("../../config/policies/", $name, ".toml")),
        )),*]
    };
}

/// Every built-in source, its name and its text.
const FILES: &[(&str, &str)] = built_in![
    "standard",
    "read-only",
    "upload-only",
    "minimal",
    "permissive",
    "frozen"
];

/// The sources, numbered from one in this order.
pub(super) fn sources() -> impl Iterator<Item = Source> {
    FILES.iter().map(|(name, text)| Source {
        name: (*name).into(),
        text: (*text).into(),
    })
}

/// The policies of all of them. What is wrong with one shows in the tests: see
/// `tests/config.rs`.
pub(super) fn policies() -> Vec<PolicySpec> {
    let mut all = Vec::new();
    for (number, (_, text)) in (1_u16..).zip(FILES) {
        let Ok(root) = DeTable::parse(text) else {
            continue;
        };
        let mut problems = Problems::new(number);
        all.extend(tables::document(root.get_ref(), &mut problems).policies);
    }
    all
}
