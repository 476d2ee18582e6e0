//! A configuration from the command line, for a gateway without a file.
//!
//! Owns the TOML that stands for the flags: it goes the same way as a file, so it is checked by
//! the same code and its problems are shown in the same frame.

use std::fmt::Write as _;

use super::{ConfigError, Loaded, builtin, parse};
use crate::policy::spec::{PolicySpec, Stance};

/// What `run` takes in place of a file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Flags {
    /// Where to listen.
    pub bind: String,
    /// The server.
    pub upstream: String,
    /// The built-in policy.
    pub policy: Option<String>,
    /// What is denied beside it.
    pub deny: Vec<String>,
    /// Where the endpoints are.
    pub admin: Option<String>,
}

/// Checks the configuration that `flags` stand for.
///
/// # Errors
/// [`ConfigError::Refused`] with all that is wrong with it, as if it had been in a file.
pub fn from_flags(flags: &Flags) -> Result<Loaded, ConfigError> {
    parse(&to_toml(flags), "command line")
}

/// The configuration as a file would have it.
fn to_toml(flags: &Flags) -> String {
    let named = flags.policy.as_deref().unwrap_or("standard");
    let mut text = format!(
        "[listeners.main]\nbind = {}\nupstream = \"server\"\n",
        quote(&flags.bind)
    );
    let policy = if flags.deny.is_empty() {
        named
    } else {
        "command-line"
    };
    // Writing to a string cannot fail.
    let _written = write!(
        text,
        "policy = {}\n\n[upstreams.server]\naddress = {}\n",
        quote(policy),
        quote(&flags.upstream)
    );
    if let Some(admin) = &flags.admin {
        let _written = write!(text, "\n[admin]\nbind = {}\n", quote(admin));
    }
    if !flags.deny.is_empty() {
        let deny: Vec<String> = flags.deny.iter().map(|verb| quote(verb)).collect();
        let _written = write!(
            text,
            "\n[policies.command-line]\nextends = {}\ndefault = \"{}\"\ndeny = [{}]\n",
            quote(named),
            default_of(named),
            deny.join(", ")
        );
    }
    text
}

/// The default of the built-in policy `named`: `extends` does not take it over.
fn default_of(named: &str) -> &'static str {
    let is_named = |spec: &PolicySpec| spec.name.as_ref().is_some_and(|name| name.value == named);
    let spec = builtin::policies().into_iter().find(is_named);
    match spec
        .and_then(|spec| spec.default)
        .map(|default| default.value)
    {
        Some(Stance::Allow) => "allow",
        Some(Stance::Deny) | None => "deny",
    }
}

/// A TOML string.
fn quote(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}
