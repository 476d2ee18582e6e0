//! Settings and judges for tests, made from the configuration that an operator would write.

use std::sync::Arc;

use ftpwarden::config::diagnostic::Style;
use ftpwarden::config::{self, Loaded};
use ftpwarden::gateway;
use ftpwarden::policy::{Dialect, Judge};
use ftpwarden::session::Profile;

/// The lines of the tables that a test may say something in.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tables {
    /// `[policies.case]`, or the name of a built-in policy.
    pub(crate) policy: Vec<String>,
    /// `[listeners.main]`, behind `bind` and `upstream`.
    pub(crate) listener: Vec<String>,
    /// `[upstreams.legacy]`, behind `address`.
    pub(crate) upstream: Vec<String>,
    /// `[limits]`.
    pub(crate) limits: Vec<String>,
    /// `[audit]`, behind `path`.
    pub(crate) audit: Vec<String>,
    /// Whole tables.
    pub(crate) toml: Vec<String>,
}

impl Tables {
    /// The file, for a gateway that listens at `bind` in front of `address`.
    pub(crate) fn source(&self, bind: &str, address: &str) -> String {
        let (name, policy) = match self.policy.as_slice() {
            [] => ("permissive", String::new()),
            [name] if !name.contains('=') => (name.as_str(), String::new()),
            lines => ("case", format!("[policies.case]\n{}\n", lines.join("\n"))),
        };
        let mut source = format!(
            "[listeners.main]\nbind = \"{bind}\"\nupstream = \"legacy\"\npolicy = \"{name}\"\n{}\n\
             [upstreams.legacy]\naddress = \"{address}\"\n{}\n\
             [limits]\n{}\n{policy}{}\n",
            self.listener.join("\n"),
            self.upstream.join("\n"),
            self.limits.join("\n"),
            self.toml.join("\n"),
        );
        if !self.audit.is_empty() {
            source.push_str("[audit]\npath = \"/dev/null\"\n");
            source.push_str(&self.audit.join("\n"));
        }
        source
    }
}

/// Reads a configuration.
///
/// # Errors
/// The report that an operator would see.
pub(crate) fn load(source: &str) -> Result<Loaded, String> {
    config::parse(source, "case.toml")
        .map_err(|error| format!("{}\n{source}", error.report(Style::Plain)))
}

/// What a session of the listener is told, and who judges it.
///
/// # Panics
/// The configuration has another listener, upstream or policy than it says.
pub(crate) fn of_session(loaded: &Loaded) -> (Profile, Judge) {
    let listener = &loaded.settings.listeners["main"];
    let upstream = &loaded.settings.upstreams["legacy"];
    let profile = gateway::profile(&loaded.settings, listener, upstream);
    (profile, judge(loaded))
}

/// Who judges the sessions of the listener.
///
/// # Panics
/// As of [`of_session`].
pub(crate) fn judge(loaded: &Loaded) -> Judge {
    let listener = &loaded.settings.listeners["main"];
    let upstream = &loaded.settings.upstreams["legacy"];
    let policy = |name: &str| Arc::clone(loaded.policies.get(name).unwrap());
    Judge::new(
        policy(&listener.policy),
        policy(&upstream.policy),
        listener.observe.as_deref().map(policy),
        Dialect {
            system: upstream.system,
            symlinks: upstream.symlinks,
            path_bytes: upstream.path_bytes,
        },
        upstream.unsupported.clone(),
    )
}
