//! One command with all that a decision on it may depend on.
//!
//! Owns what is worked out at most once per decision: where the command points, whether the
//! user's name can stand in a path. Must not know rules.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};

use super::extract;
use super::judge::{Dialect, Query, System};
use super::names::Subject;
use super::path::pattern::Fill;
use super::path::{self, Ground, Path, Place};

/// A query in the making.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    /// What was asked.
    pub(super) query: &'a Query<'a>,
    /// The command, as names see it.
    pub(super) subject: Subject<'a>,
    /// How the server reads paths and names.
    system: System,
    /// What paths are read against.
    ground: Ground<'a>,
    /// Where the command points.
    places: OnceCell<Option<Vec<Place>>>,
    /// The home directory.
    home: OnceCell<Option<Path>>,
    /// Whether the home directory was needed and is not known.
    lacks_home: Cell<bool>,
}

impl<'a> Scene<'a> {
    /// The scene of `query` before a server that speaks `dialect`.
    pub(super) fn new(query: &'a Query<'a>, dialect: Dialect) -> Self {
        Self {
            query,
            subject: Subject::of(query.command, dialect.system),
            system: dialect.system,
            ground: Ground::new(dialect, query.directory),
            places: OnceCell::new(),
            home: OnceCell::new(),
            lacks_home: Cell::new(false),
        }
    }

    /// Where the command points, None where it has no path.
    pub(super) fn places(&self) -> Option<&[Place]> {
        self.places
            .get_or_init(|| {
                let renaming = self
                    .query
                    .renaming
                    .and_then(|text| Path::judged(text, self.system));
                extract::places(self.query.command, &self.subject, &self.ground, renaming)
            })
            .as_deref()
    }

    /// The path to state in the judgement: the first, if it is certain.
    pub(super) fn path(&self) -> Option<&Path> {
        self.places()?.first()?.path()
    }

    /// Whether the working directory was needed, or a home directory that is not known.
    pub(super) const fn needed_directory(&self) -> bool {
        self.ground.was_asked() || self.lacks_home.get()
    }

    /// Whether a path is longer than the server is sent.
    pub(super) fn is_too_long(&self) -> bool {
        self.places();
        self.ground.was_too_long()
    }

    /// The user's name as text; bytes that are none can match a wildcard only.
    pub(super) fn user(&self) -> Option<Cow<'a, str>> {
        self.query.user.map(String::from_utf8_lossy)
    }

    /// What placeholders stand for. `at_home` tells that the home directory is needed.
    pub(super) fn fill(&self, at_home: bool) -> Fill<'_> {
        let home = if at_home {
            self.lacks_home
                .set(self.lacks_home.get() || self.query.home.is_none());
            self.home
                .get_or_init(|| {
                    let stated = path::plain(self.query.home?)?;
                    path::stated(stated, self.system)
                })
                .as_ref()
        } else {
            None
        };
        let user = self
            .query
            .user
            .and_then(path::plain)
            .filter(|user| path::is_component(user, self.system));
        Fill {
            user,
            home,
            system: self.system,
        }
    }

    /// How the server reads names.
    pub(super) const fn system(&self) -> System {
        self.system
    }

    /// Whether letter case does not count in `path`.
    pub(super) const fn is_folded_at(&self, path: &Path) -> bool {
        self.system.is_folded_for(path.kind())
    }
}
