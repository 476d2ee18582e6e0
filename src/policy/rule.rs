//! One rule: its conditions, and what they say of a command.
//!
//! Owns the order in which conditions are tried and what becomes of one that cannot be decided:
//! it does not hold where the rule would let the command pass, and holds where it would refuse
//! it. Must not know other rules.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use regex::Regex;

use super::chain::Policy;
use super::glob::Glob;
use super::hours::Hours;
use super::judge::{Outlook, System};
use super::names::{Names, Sense, Subject, Wary};
use super::path::Place;
use super::path::pattern::{Outcome, PathGlob};
use super::scene::Scene;
use super::security::{Fit, Lack, Security};
use super::verdict::{Action, Reply};
use crate::ftp::verb::{Argument, Paths};

/// A regex on file names, in both readings of letter case.
#[derive(Clone, Debug)]
pub(super) struct NamePattern {
    /// As written.
    pub(super) exact: Regex,
    /// Where letter case does not count.
    pub(super) folded: Regex,
}

/// What follows when all conditions hold.
#[derive(Clone, Debug)]
pub(super) enum Effect {
    /// Forwarded.
    Allow,
    /// Answered.
    Answer(Reply),
    /// Refused, with this reply if it was written.
    Deny(Option<Reply>),
    /// Answered, and closed.
    Disconnect(Reply),
    /// That policy decides from here.
    Policy(Arc<Policy>),
}

impl Effect {
    /// What a condition is read for.
    pub(super) const fn sense(&self) -> Sense {
        match self {
            Self::Allow => Sense::Grant,
            // An answer keeps the command from the server as well as a refusal does.
            Self::Answer(_) | Self::Deny(_) | Self::Disconnect(_) => Sense::Refuse,
            Self::Policy(_) => Sense::Pass,
        }
    }

    /// The action to count, None for a hand-over.
    pub(super) const fn action(&self) -> Option<Action> {
        match self {
            Self::Allow => Some(Action::Allow),
            Self::Answer(_) => Some(Action::Answer),
            Self::Deny(_) => Some(Action::Deny),
            Self::Disconnect(_) => Some(Action::Disconnect),
            Self::Policy(_) => None,
        }
    }
}

/// The condition by which an allow rule missed a command; the first decides the reply.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Near {
    /// `tls`, `tls_version` or `client_certificate`.
    Security(Lack),
    /// `paths` or `filename`.
    Path,
    /// `argument`.
    Argument,
}

/// What a rule says of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Weight {
    /// It decides.
    Holds,
    /// A hand-over of which nobody can tell whether it applies: what it leads to may refuse, and not
    /// let pass.
    MayHold,
    /// Only this condition, which the command could have met, keeps it from deciding.
    Misses(Near),
    /// It has nothing to say.
    Silent,
}

/// Who asks what could be allowed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker<'a> {
    /// Their name, None before login.
    pub(super) user: Option<&'a str>,
    /// Their address.
    pub(super) client: IpAddr,
    /// When.
    pub(super) unix_time: i64,
    /// How the server reads names.
    pub(super) system: System,
    /// What is certain of their channels.
    pub(super) outlook: Outlook<'a>,
}

/// A compiled rule.
#[derive(Debug)]
pub(super) struct Rule {
    /// `commands`; `*` where it has none.
    pub(super) names: Names,
    /// `users`.
    pub(super) users: Vec<Glob>,
    /// `clients`.
    pub(super) clients: Vec<IpNet>,
    /// `hours`.
    pub(super) hours: Vec<Hours>,
    /// `tls`, `tls_version` and `client_certificate`.
    pub(super) security: Security,
    /// `paths`.
    pub(super) paths: Vec<PathGlob>,
    /// `filename`.
    pub(super) filename: Vec<NamePattern>,
    /// `argument`.
    pub(super) argument: Vec<regex::bytes::Regex>,
    /// What follows.
    pub(super) effect: Effect,
}

impl Rule {
    /// Whether it looks at paths.
    pub(super) const fn has_paths(&self) -> bool {
        !self.paths.is_empty() || !self.filename.is_empty()
    }

    /// Whether it begins a path at `{home}`.
    pub(super) fn is_at_home(&self) -> bool {
        self.paths.iter().any(PathGlob::is_at_home)
    }

    /// Whether it has no condition but `commands`.
    pub(super) const fn is_unconditional(&self) -> bool {
        self.users.is_empty()
            && self.clients.is_empty()
            && self.hours.is_empty()
            && self.security.is_empty()
            && self.argument.is_empty()
            && !self.has_paths()
    }

    /// What it says of the command of `scene`.
    pub(super) fn weigh(&self, scene: &Scene<'_>, wary: Wary) -> Weight {
        if !matches!(self.effect, Effect::Policy(_)) {
            return self.weigh_as(self.effect.sense(), scene, wary);
        }
        let weight = self.weigh_as(Sense::Refuse, scene, wary);
        if weight == Weight::Holds && self.weigh_as(Sense::Pass, scene, wary) != Weight::Holds {
            return Weight::MayHold;
        }
        weight
    }

    /// The same, with what is uncertain read in one sense.
    fn weigh_as(&self, sense: Sense, scene: &Scene<'_>, wary: Wary) -> Weight {
        if self.names.rank(&scene.subject, sense, wary).is_none() {
            return Weight::Silent;
        }
        let user = scene.user();
        let asker = Asker {
            user: user.as_deref(),
            client: scene.query.client,
            unix_time: scene.query.unix_time,
            system: scene.system(),
            outlook: Outlook::of(scene.query.channels),
        };
        if !counts(self.who(&asker), sense) || self.asks_what_is_not_there(scene) {
            return Weight::Silent;
        }
        match self.security.fit(scene.query) {
            Fit::Holds => {}
            Fit::Lacks(lack) => return Weight::Misses(Near::Security(lack)),
            Fit::Protected => return Weight::Silent,
        }
        if self.has_paths() {
            match scene.places() {
                None => return Weight::Silent,
                Some(places) if !counts(self.where_to(places, scene, sense), sense) => {
                    return Weight::Misses(Near::Path);
                }
                Some(_) => {}
            }
        }
        if self.argument.is_empty() {
            return Weight::Holds;
        }
        let command = scene.query.command;
        match &command.argument {
            // The empty argument of PASS is one; behind a subcommand nothing is nothing.
            Some(all) if !command.value().is_empty() || all.is_empty() => {
                let value = command.sent_value();
                // ProFTPD reads the words of SITE without their quotes, and a TAB as a blank.
                let is_doubtful = |byte: &u8| matches!(byte, b'\t' | b'"' | b'\\');
                if scene.subject.is_site() && value.iter().any(is_doubtful) {
                    return if sense.needs_certainty() {
                        Weight::Misses(Near::Argument)
                    } else {
                        Weight::Holds
                    };
                }
                if self.argument.iter().any(|regex| regex.is_match(&value)) {
                    Weight::Holds
                } else {
                    Weight::Misses(Near::Argument)
                }
            }
            None | Some(_) => Weight::Misses(Near::Argument),
        }
    }

    /// Whether it has a condition on something that the command never has, be its channels what
    /// they are: on the path of NOOP, on the argument of CDUP.
    fn asks_what_is_not_there(&self, scene: &Scene<'_>) -> bool {
        let command = scene.query.command;
        let has_none = command.argument.is_none()
            && command.row().map(|row| row.argument) == Some(Argument::None);
        self.has_paths() && scene.subject.paths == Paths::None
            || !self.argument.is_empty() && has_none
    }

    /// `users`, `clients` and `hours`.
    fn who(&self, asker: &Asker<'_>) -> Outcome {
        let users = if self.users.is_empty() {
            Outcome::Holds
        } else {
            asker
                .user
                .map_or(Outcome::Fails, |user| self.names_user(user, asker.system))
        };
        // An IPv4-mapped address is IPv4.
        let client = asker.client.to_canonical();
        let clients =
            self.clients.is_empty() || self.clients.iter().any(|net| net.contains(&client));
        if !clients {
            return Outcome::Fails;
        }
        if self.hours.is_empty() {
            return users;
        }
        let hours = self
            .hours
            .iter()
            .map(|hours| match hours.holds(asker.unix_time) {
                Some(holds) => Outcome::certain(holds),
                None => Outcome::Unsure,
            })
            .max()
            .unwrap_or(Outcome::Fails);
        users.min(hours)
    }

    /// Whether `users` has `user`; unsure where it has a name that servers may take for the same.
    fn names_user(&self, user: &str, system: System) -> Outcome {
        let has = |name: &str| {
            let folded = system.is_folded();
            self.users.iter().any(|glob| glob.matches(name, folded))
        };
        if has(user) {
            Outcome::Holds
        } else if spellings(user, system).any(has) {
            Outcome::Unsure
        } else {
            Outcome::Fails
        }
    }

    /// `paths` and `filename`: letting pass needs all places, refusing one.
    fn where_to(&self, places: &[Place], scene: &Scene<'_>, sense: Sense) -> Outcome {
        let outcomes = places.iter().map(|place| self.at(place, scene));
        let outcome = if sense.needs_certainty() {
            outcomes.min()
        } else {
            outcomes.max()
        };
        outcome.unwrap_or(Outcome::Unsure)
    }

    /// `paths` and `filename` at one place.
    fn at(&self, place: &Place, scene: &Scene<'_>) -> Outcome {
        let paths = if self.paths.is_empty() {
            Outcome::Holds
        } else {
            self.paths
                .iter()
                .map(|glob| glob.outcome(place, scene.fill(glob.is_at_home())))
                .max()
                .unwrap_or(Outcome::Fails)
        };
        let filename = if self.filename.is_empty() {
            Outcome::Holds
        } else {
            self.filename_at(place, scene)
        };
        paths.min(filename)
    }

    /// `filename` at one place.
    fn filename_at(&self, place: &Place, scene: &Scene<'_>) -> Outcome {
        let path = match place {
            Place::Exact(path) | Place::Moved(path) => path,
            // There is a name, and nobody can tell which.
            Place::Below(_)
            | Place::Children(_)
            | Place::Inside(_)
            | Place::Tree(_)
            | Place::Unsure => return Outcome::Unsure,
        };
        let folded = scene.is_folded_at(path);
        Outcome::certain(path.filename().is_some_and(|name| {
            self.filename.iter().any(|pattern| {
                let regex = if folded {
                    &pattern.folded
                } else {
                    &pattern.exact
                };
                regex.is_match(name)
            })
        }))
    }

    /// What it could say of `subject` for some path and argument: [`Weight::Holds`] for any,
    /// [`Weight::Misses`] for some. Without an asker, anyone's could.
    pub(super) fn could(
        &self,
        subject: &Subject<'_>,
        asker: Option<&Asker<'_>>,
        wary: Wary,
    ) -> Weight {
        let sense = self.effect.sense();
        if self.names.rank(subject, sense, wary).is_none() {
            return Weight::Silent;
        }
        let mut weight = Weight::Holds;
        match asker {
            Some(asker) if !counts(self.who(asker), sense) => return Weight::Silent,
            Some(_) => {}
            None if self.users.is_empty() && self.clients.is_empty() && self.hours.is_empty() => {}
            None => weight = Weight::Misses(Near::Argument),
        }
        let outlook = asker.map_or(Outlook::Open, |asker| asker.outlook);
        match self.security.prospect(subject, outlook) {
            Outcome::Fails => return Weight::Silent,
            Outcome::Holds => {}
            Outcome::Unsure => weight = Weight::Misses(Near::Security(Lack::Tls)),
        }
        if self.has_paths() {
            match subject.paths {
                Paths::None => return Weight::Silent,
                Paths::Opaque if sense.needs_certainty() => return Weight::Silent,
                Paths::Opaque => {}
                Paths::AfterTime
                | Paths::AfterWord
                | Paths::Checksum
                | Paths::CommaList
                | Paths::Directory
                | Paths::Listing
                | Paths::Pair
                | Paths::Parent
                | Paths::Utime
                | Paths::Whole
                | Paths::WholeOrDirectory => weight = Weight::Misses(Near::Path),
            }
        }
        if !self.argument.is_empty() {
            weight = Weight::Misses(Near::Argument);
        }
        weight
    }
}

/// Other names of the account that `user` logs in to, at some servers.
fn spellings(user: &str, system: System) -> impl Iterator<Item = &str> {
    // vsftpd takes either name in any letter case.
    let anonymous = ["anonymous", "ftp"];
    let is_anonymous = anonymous.iter().any(|name| user.eq_ignore_ascii_case(name));
    // `DOMAIN\user`, `host|user` and `user@domain` of IIS.
    let bare = || {
        let behind = user.rsplit(['\\', '/', '|']).next().unwrap_or(user);
        behind.split('@').next().unwrap_or(behind)
    };
    anonymous
        .into_iter()
        .filter(move |_| is_anonymous)
        .chain((system == System::Windows).then(bare))
}

/// Whether `outcome` is enough for `sense`.
const fn counts(outcome: Outcome, sense: Sense) -> bool {
    match outcome {
        Outcome::Fails => false,
        Outcome::Holds => true,
        Outcome::Unsure => !sense.needs_certainty(),
    }
}

#[cfg(test)]
mod tests;
