//! What whoever runs the tests says in the environment.

/// A number; None where nothing is said. What is said and is no number must not go by unseen.
pub(crate) fn number(name: &str) -> Option<u64> {
    let said = std::env::var_os(name)?;
    let read = said.to_str().and_then(|text| text.parse().ok());
    Some(read.unwrap_or_else(|| panic!("{name}={} is no number", said.display())))
}
