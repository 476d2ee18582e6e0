//! Rights that the process gives up for good, once it has opened what it needs.
//!
//! Owns the mechanisms and their order: user and groups, capabilities, no-new-privileges,
//! Landlock, seccomp. Must not know why a file or a port is needed. All of them hold for the
//! thread that asks and for those that it starts afterwards: [`confine`] is called before there
//! is a second one.

mod access;
mod identity;
mod landlock;
mod seccomp;

use std::io;

use rustix::thread;

pub use access::{Access, Lack};
pub use identity::{Identity, IdentityError, is_root};

/// One way of giving rights up.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mechanism {
    /// What root may do.
    Capabilities,
    /// Files and ports.
    Landlock,
    /// A program that is run cannot have more rights.
    NoNewPrivileges,
    /// System calls.
    Seccomp,
}

impl Mechanism {
    /// Its name in the log.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Capabilities => "capabilities",
            Self::Landlock => "landlock",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::Seccomp => "seccomp",
        }
    }
}

/// What became of one mechanism.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Report {
    /// Which one.
    pub mechanism: Mechanism,
    /// What it does now, or why it does nothing.
    pub result: Result<String, String>,
}

/// What came of [`confine`].
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Confined {
    /// Each mechanism, in the order in which they were tried.
    pub reports: Vec<Report>,
    /// The files that are left; None where files are not restricted.
    pub files: Option<Access>,
    /// The ports that are left; None where ports are not restricted.
    pub ports: Option<Access>,
}

/// Becomes `identity`, then gives up every right of this thread, and of all that it will start, but
/// those of `access`. A mechanism that the kernel lacks is reported, and the others are tried all
/// the same.
///
/// # Errors
/// The process does not become who it should: nothing else was tried.
pub fn confine(identity: Option<&Identity>, access: &Access) -> Result<Confined, IdentityError> {
    // Only root can, so it comes before root is gone.
    let unbound = identity::empty_bounding_set();
    if let Some(identity) = identity {
        identity.assume()?;
    }
    let mut confined = Confined::default();
    let mut report = |mechanism, result| confined.reports.push(Report { mechanism, result });
    let said = |result: io::Result<()>, what: &str| match result {
        Ok(()) => Ok(what.to_owned()),
        Err(error) => Err(error.to_string()),
    };
    report(
        Mechanism::Capabilities,
        said(
            unbound.and_then(|()| identity::drop_capabilities()),
            "none is left",
        ),
    );
    // The two that follow need it.
    report(
        Mechanism::NoNewPrivileges,
        said(
            thread::set_no_new_privs(true).map_err(io::Error::from),
            "what is run can have no more rights",
        ),
    );
    let restricted = landlock::restrict(access);
    report(
        Mechanism::Landlock,
        restricted
            .as_ref()
            .map(|rules| rules.said.clone())
            .map_err(Clone::clone),
    );
    // The last: it takes away what the others are done with.
    report(
        Mechanism::Seccomp,
        said(
            seccomp::filter(),
            "running programs, tracing, mounting, loading code and further kinds of sockets are refused",
        ),
    );
    if let Ok(rules) = restricted {
        confined.files = Some(rules.access.clone());
        confined.ports = rules.has_ports.then_some(rules.access);
    }
    Ok(confined)
}
