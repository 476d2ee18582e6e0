//! Where a command points: an absolute, normalised path, or the certainty that there is none.
//!
//! Owns the reading of a path argument against the working directory, in the dialect of the
//! server. Must not know which verb carries it or what rules say of it. Whatever two servers
//! may read in two ways is [`Place::Unsure`]. A path that is sure is valid UTF-8 in NFC and
//! free of control characters.

mod mvs;
pub(super) mod pattern;
mod unix;
mod windows;

use std::cell::Cell;
use std::ops::Range;

use unicode_normalization::is_nfc;

use super::judge::{Dialect, System};

/// What the components of a path are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// Qualifiers of a data set of z/OS, and perhaps a member.
    DataSet,
    /// Names between slashes.
    Slash,
}

/// An absolute, normalised path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Path {
    /// What its components are.
    kind: Kind,
    /// `/a/b`, or `A.B(M)`.
    text: String,
    /// Where each component stands in `text`; a member with its parentheses.
    cuts: Vec<Range<usize>>,
}

impl Path {
    /// `/` and the components, which hold no slash.
    pub(super) fn slash<'c>(components: impl IntoIterator<Item = &'c str>) -> Self {
        let mut path = Self {
            kind: Kind::Slash,
            text: String::new(),
            cuts: Vec::new(),
        };
        for component in components {
            path.text.push('/');
            path.push(component);
        }
        if path.text.is_empty() {
            path.text.push('/');
        }
        path
    }

    /// A data set and perhaps a member, which comes with its parentheses.
    pub(super) fn data_set<'c>(
        qualifiers: impl IntoIterator<Item = &'c str>,
        member: Option<&str>,
    ) -> Self {
        let mut path = Self {
            kind: Kind::DataSet,
            text: String::new(),
            cuts: Vec::new(),
        };
        for qualifier in qualifiers {
            if !path.text.is_empty() {
                path.text.push('.');
            }
            path.push(qualifier);
        }
        if let Some(member) = member {
            path.push(member);
        }
        path
    }

    /// Appends a component.
    fn push(&mut self, component: &str) {
        let start = self.text.len();
        self.text.push_str(component);
        self.cuts.push(start..self.text.len());
    }

    /// A path that an earlier judgement stated.
    pub(super) fn judged(text: &[u8], system: System) -> Option<Self> {
        match system {
            System::Unix => unix::stated(plain(text)?),
            System::Windows => windows::stated(plain(text)?),
            System::Mvs => mvs::judged(plain(text)?),
        }
    }

    /// What its components are.
    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The path.
    pub(super) const fn as_str(&self) -> &str {
        self.text.as_str()
    }

    /// Its components from the root; a member keeps its parentheses.
    pub(super) fn components(&self) -> impl Iterator<Item = &str> {
        self.cuts
            .iter()
            .filter_map(|cut| self.text.get(cut.clone()))
    }

    /// How many components it has.
    pub(super) const fn depth(&self) -> usize {
        self.cuts.len()
    }

    /// Its last component, a member without its parentheses; the root has none.
    pub(super) fn filename(&self) -> Option<&str> {
        let last = self.components().last()?;
        if self.kind == Kind::DataSet
            && let Some(member) = last.strip_prefix('(')
        {
            return member.strip_suffix(')');
        }
        Some(last)
    }

    /// The path above it; the root's is the root.
    pub(super) fn above(&self) -> Self {
        let components = self.components().take(self.depth().saturating_sub(1));
        match self.kind {
            Kind::DataSet => Self::data_set(components, None),
            Kind::Slash => Self::slash(components),
        }
    }
}

/// Where an argument points.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Place {
    /// To whatever below this directory a wildcard matches, at any depth.
    Below(Path),
    /// To whatever in this directory a wildcard matches, or to what is named like the wildcard.
    Children(Path),
    /// To this path.
    Exact(Path),
    /// To something in this directory that the server will name, which stands for it.
    Inside(Path),
    /// To this path, and what lies below goes wherever it goes.
    Moved(Path),
    /// To this path and all below it.
    Tree(Path),
    /// To something that cannot be told with certainty.
    Unsure,
}

impl Place {
    /// With all that lies below.
    pub(super) fn with_subtree(self) -> Self {
        match self {
            Self::Below(path) | Self::Children(path) => Self::Below(path),
            Self::Exact(path) | Self::Inside(path) | Self::Moved(path) | Self::Tree(path) => {
                Self::Tree(path)
            }
            Self::Unsure => Self::Unsure,
        }
    }

    /// The path, where there is exactly one.
    pub(super) const fn path(&self) -> Option<&Path> {
        match self {
            Self::Exact(path) | Self::Inside(path) | Self::Moved(path) | Self::Tree(path) => {
                Some(path)
            }
            Self::Below(_) | Self::Children(_) | Self::Unsure => None,
        }
    }
}

/// What paths are read against.
#[derive(Debug)]
pub(super) struct Ground<'a> {
    /// How.
    dialect: Dialect,
    /// The working directory as the server stated it.
    directory: Option<&'a [u8]>,
    /// Whether anything has depended on the working directory.
    asked: Cell<bool>,
    /// Whether a path was longer than the dialect's `path_bytes`.
    too_long: Cell<bool>,
}

impl<'a> Ground<'a> {
    /// Paths are read from `directory`.
    pub(super) const fn new(dialect: Dialect, directory: Option<&'a [u8]>) -> Self {
        Self {
            dialect,
            directory,
            asked: Cell::new(false),
            too_long: Cell::new(false),
        }
    }

    /// Whether anything has depended on the working directory.
    pub(super) const fn was_asked(&self) -> bool {
        self.asked.get()
    }

    /// Whether a path that was read here has more than the dialect's `path_bytes` bytes, in the
    /// absolute form that the server will look at.
    pub(super) const fn was_too_long(&self) -> bool {
        self.too_long.get()
    }

    /// Where `argument` points.
    pub(super) fn resolve(&self, argument: &[u8]) -> Place {
        self.measure(argument);
        let Some(text) = plain(argument).filter(|text| !text.is_empty()) else {
            return Place::Unsure;
        };
        let place = match self.dialect.system {
            System::Unix => unix::resolve(self, text),
            System::Windows => windows::resolve(self, text),
            System::Mvs => mvs::resolve(self, text),
        };
        place.unwrap_or(Place::Unsure)
    }

    /// Nowhere with certainty; `argument` has its length all the same.
    pub(super) fn unsure(&self, argument: &[u8]) -> Place {
        self.measure(argument);
        Place::Unsure
    }

    /// The working directory.
    pub(super) fn here(&self) -> Place {
        self.stated().map_or(Place::Unsure, Place::Exact)
    }

    /// The directory above the working directory, as text. For a command that goes there and
    /// does nothing else: where that has led the server says before the next path is judged.
    pub(super) fn above(&self) -> Place {
        self.stated()
            .map_or(Place::Unsure, |path| Place::Exact(path.above()))
    }

    /// Notes whether `argument`, in its absolute form, is too long.
    fn measure(&self, argument: &[u8]) {
        let before = match self.directory {
            Some(directory) if !is_absolute(argument) => {
                let separator = usize::from(!directory.ends_with(b"/"));
                directory.len().saturating_add(separator)
            }
            Some(_) | None => 0,
        };
        if before.saturating_add(argument.len()) > self.dialect.path_bytes {
            self.too_long.set(true);
        }
    }

    /// The working directory's bytes, if the server stated it; notes that it was needed.
    fn directory(&self) -> Option<&'a str> {
        self.asked.set(true);
        self.directory.and_then(plain)
    }

    /// The working directory as a path.
    fn stated(&self) -> Option<Path> {
        stated(self.directory()?, self.dialect.system)
    }

    /// Whether a `..` may lead elsewhere than one name back.
    const fn has_symlinks(&self) -> bool {
        self.dialect.symlinks
    }
}

/// Whether a path that a client wrote begins where no directory is put in front of it.
pub fn is_absolute(argument: &[u8]) -> bool {
    matches!(argument.first(), Some(b'/' | b'\'' | b'\\'))
}

/// A directory that a server stated, as a path.
pub(super) fn stated(directory: &str, system: System) -> Option<Path> {
    match system {
        System::Unix => unix::stated(directory),
        System::Windows => windows::stated(directory),
        System::Mvs => mvs::stated(directory),
    }
}

/// `bytes` as text, unless two servers may read it in two ways: bytes that are no UTF-8 or
/// change under NFC, control characters (a TAB is a blank to some), and with the first of these
/// a byte `FF`, which Telnet doubles (RFC 854).
pub(super) fn plain(bytes: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control) && is_nfc(text)).then_some(text)
}

/// Whether `user` can stand for one component of a path, and for nothing else.
pub(super) fn is_component(user: &str, system: System) -> bool {
    match system {
        System::Unix => unix::is_component(user),
        System::Windows => windows::is_component(user),
        System::Mvs => mvs::is_component(user),
    }
}

#[cfg(test)]
mod tests;
