//! Globs on paths: `/in/{user}/*`, `{home}/**`, `PROD.EDI.**`, `PROD.LIB(MEM)`.
//!
//! Owns their syntax and what they say of a place: `*` stays in one component, `**` spans any
//! number, none included. A pattern is followed as a set of positions in it, so a match takes at
//! most components times parts steps. At most [`PARTS_MAX`] parts.

use unicode_normalization::UnicodeNormalization;

use super::super::glob::{self, GlobFault, Token};
use super::super::judge::System;
use super::{Kind, Path, Place};

/// The most components that a pattern may have.
const PARTS_MAX: usize = 64;

/// Why a pattern was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(in crate::policy) enum PatternFault {
    /// It has `.` or `..`, which no normalised path has.
    #[error("it has a component `.` or `..`, which no normalised path has")]
    Dots,
    /// A glob's fault.
    #[error(transparent)]
    Glob(#[from] GlobFault),
    /// It is neither a path from the root nor a data set.
    #[error("it is neither a path from the root nor the name of a data set in upper case")]
    NotAbsolute,
    /// Parentheses that are no member.
    #[error("a member stands in parentheses at its end, as in `PROD.LIB(MEM)`")]
    Member,
    /// `{home}` with something else than a separator behind it.
    #[error("`{{home}}` is followed by `/` or nothing")]
    HomeGlued,
    /// More than [`PARTS_MAX`] parts.
    #[error("it has more than {PARTS_MAX} components")]
    TooManyParts,
}

/// What a pattern can match.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Style {
    /// Both: `**`, `{home}`.
    Any,
    /// Data sets.
    DataSet,
    /// Paths with slashes.
    Slash,
}

/// A part of a pattern.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    /// One component.
    One(Vec<Token>),
    /// `**`.
    Span,
}

impl Part {
    /// Whether it is `*`, which any component is.
    fn is_star(&self) -> bool {
        match self {
            Self::One(tokens) => {
                !tokens.is_empty() && tokens.iter().all(|token| *token == Token::Run)
            }
            Self::Span => false,
        }
    }
}

/// How certainly a pattern, or a condition, holds.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(in crate::policy) enum Outcome {
    /// It does not.
    Fails,
    /// That cannot be told.
    Unsure,
    /// It does.
    Holds,
}

impl Outcome {
    /// Holds or fails.
    pub(in crate::policy) const fn certain(holds: bool) -> Self {
        if holds { Self::Holds } else { Self::Fails }
    }
}

/// What placeholders stand for, and how letters compare.
#[derive(Clone, Copy, Debug)]
pub(in crate::policy) struct Fill<'a> {
    /// The user's name, if it is a plain component.
    pub(in crate::policy) user: Option<&'a str>,
    /// The directory stated right after login, if it was understood.
    pub(in crate::policy) home: Option<&'a Path>,
    /// How the server reads names.
    pub(in crate::policy) system: System,
}

/// A glob on paths.
#[derive(Clone, Debug)]
pub(in crate::policy) struct PathGlob {
    /// What it can match.
    style: Style,
    /// Whether it begins at `{home}`.
    at_home: bool,
    /// Whether it has `{user}`.
    has_user: bool,
    /// What its braces spell out, each in parts.
    alternatives: Vec<Vec<Part>>,
}

impl PathGlob {
    /// Reads a pattern; its letters are brought to NFC, which paths are in.
    ///
    /// # Errors
    /// Any [`PatternFault`].
    pub(in crate::policy) fn parse(text: &str) -> Result<Self, PatternFault> {
        let text: String = text.nfc().collect();
        let (at_home, rest) = match text.strip_prefix("{home}") {
            Some(rest) => (true, rest),
            None => (false, text.as_str()),
        };
        let style = style(at_home, rest)?;
        let spelled = if at_home && rest.is_empty() {
            vec![Vec::new()]
        } else {
            glob::spell_out(rest, true)?
        };
        let has_user = spelled.iter().any(|tokens| tokens.contains(&Token::User));
        let alternatives = spelled
            .into_iter()
            .map(|tokens| parts(&tokens, style))
            .collect::<Result<Vec<_>, _>>()?;
        if alternatives.iter().any(|parts| parts.len() > PARTS_MAX) {
            return Err(PatternFault::TooManyParts);
        }
        Ok(Self {
            style,
            at_home,
            has_user,
            alternatives,
        })
    }

    /// Whether it begins at `{home}`.
    pub(in crate::policy) const fn is_at_home(&self) -> bool {
        self.at_home
    }

    /// What it says of `place`.
    pub(in crate::policy) fn outcome(&self, place: &Place, fill: Fill<'_>) -> Outcome {
        let path = match place {
            Place::Below(path)
            | Place::Children(path)
            | Place::Exact(path)
            | Place::Inside(path)
            | Place::Moved(path)
            | Place::Tree(path) => path,
            Place::Unsure => return Outcome::Unsure,
        };
        match (self.style, path.kind()) {
            // A data set's pattern on a server without any is a mistake that must not let pass.
            (Style::DataSet, Kind::Slash) if fill.system != System::Mvs => return Outcome::Unsure,
            (Style::DataSet, Kind::Slash) | (Style::Slash, Kind::DataSet) => {
                return Outcome::Fails;
            }
            (Style::Any, _) | (Style::DataSet, Kind::DataSet) | (Style::Slash, Kind::Slash) => {}
        }
        if self.has_user && fill.user.is_none() {
            return Outcome::Unsure;
        }
        let components: Vec<&str> = path.components().collect();
        let mut components = components.as_slice();
        if self.at_home {
            let Some(home) = fill.home else {
                return Outcome::Unsure;
            };
            if home.kind() != path.kind() {
                return Outcome::Fails;
            }
            match behind(home, components, fill.system.is_folded_for(path.kind())) {
                Behind::Path(rest) => components = rest,
                // A wildcard, a subtree or a move above the home directory may reach into it.
                Behind::Above if !matches!(place, Place::Exact(_)) => return Outcome::Unsure,
                Behind::Above | Behind::Elsewhere => return Outcome::Fails,
            }
        }
        self.alternatives
            .iter()
            .map(|parts| Reach::of(parts, components, path.kind(), fill).outcome(place))
            .max()
            .unwrap_or(Outcome::Fails)
    }
}

/// Where a path lies, seen from the home directory.
enum Behind<'c, 'p> {
    /// On the way to it.
    Above,
    /// Neither above nor below it.
    Elsewhere,
    /// In it, at these components.
    Path(&'c [&'p str]),
}

/// Where `components` lie, seen from `home`.
fn behind<'c, 'p>(home: &Path, components: &'c [&'p str], folded: bool) -> Behind<'c, 'p> {
    let mut rest = components;
    for name in home.components() {
        let Some((first, others)) = rest.split_first() else {
            return Behind::Above;
        };
        let tokens: Vec<Token> = name.chars().map(Token::Literal).collect();
        if !glob::matches(&tokens, first, folded) {
            return Behind::Elsewhere;
        }
        rest = others;
    }
    Behind::Path(rest)
}

/// What of all that lies below a path a pattern matches; each includes those before it.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
enum Extent {
    /// Nothing.
    #[default]
    Nothing,
    /// Perhaps something.
    Something,
    /// Perhaps something directly below.
    SomeChild,
    /// Everything directly below.
    Children,
    /// Everything.
    Tree,
}

/// How far a pattern reaches at a path.
#[derive(Clone, Copy, Debug, Default)]
struct Reach {
    /// Whether it matches the path.
    here: bool,
    /// What it matches below.
    below: Extent,
    /// Whether the path is a directory that it names, or above one, and what it matches lies below.
    leads_below: bool,
}

impl Reach {
    /// How far `parts` reach at `components`.
    fn of(parts: &[Part], components: &[&str], kind: Kind, fill: Fill<'_>) -> Self {
        let mut positions = Positions::default();
        positions.mark(0);
        skip_spans(parts, &mut positions);
        for component in components {
            let mut next = Positions::default();
            for (index, part) in parts.iter().enumerate() {
                if !positions.has(index) {
                    continue;
                }
                let reached = match part {
                    Part::Span => index,
                    Part::One(tokens) if takes(tokens, component, kind, fill) => {
                        index.saturating_add(1)
                    }
                    Part::One(_) => continue,
                };
                next.mark(reached);
            }
            skip_spans(parts, &mut next);
            positions = next;
        }
        let before_span = parts.iter().take_while(|part| **part != Part::Span).count();
        let mut reach = Self {
            here: positions.has(parts.len()),
            below: Extent::Nothing,
            leads_below: components.len() <= before_span && positions.has(components.len()),
        };
        for (index, part) in parts.iter().enumerate() {
            if !positions.has(index) {
                continue;
            }
            let then = parts.get(index.saturating_add(1)..).unwrap_or_default();
            let ends = then.iter().all(|part| *part == Part::Span);
            let extent = match part {
                _ if !ends => Extent::Something,
                Part::One(_) if part.is_star() => Extent::Children,
                Part::One(_) => Extent::SomeChild,
                Part::Span => Extent::Tree,
            };
            reach.below = reach.below.max(extent);
        }
        reach
    }

    /// What that says of `place`.
    fn outcome(self, place: &Place) -> Outcome {
        // To hold, the first must be matched; to be possible, the second.
        let (needed, possible) = match place {
            Place::Exact(_) => return Outcome::certain(self.here),
            Place::Inside(_) | Place::Moved(_) if self.here => return Outcome::Holds,
            // A directory that is moved takes along what a rule names below it.
            Place::Moved(_) if self.leads_below => return Outcome::Unsure,
            Place::Moved(_) => return Outcome::Fails,
            Place::Unsure => return Outcome::Unsure,
            Place::Below(_) | Place::Tree(_) => (Extent::Tree, Extent::Something),
            Place::Children(_) | Place::Inside(_) => (Extent::Children, Extent::SomeChild),
        };
        let here = self.here && matches!(place, Place::Tree(_));
        if self.below >= needed {
            Outcome::Holds
        } else if here || self.below >= possible {
            Outcome::Unsure
        } else {
            Outcome::Fails
        }
    }
}

/// Marks what lies behind each marked `**`, which may be nothing at all.
fn skip_spans(parts: &[Part], positions: &mut Positions) {
    for (index, part) in parts.iter().enumerate() {
        if *part == Part::Span && positions.has(index) {
            positions.mark(index.saturating_add(1));
        }
    }
}

/// Positions in a pattern: before each of its parts, and behind the last.
#[derive(Clone, Copy, Debug, Default)]
struct Positions(u128);

impl Positions {
    /// The bit of one; none for a position that no pattern has.
    fn bit(position: usize) -> u128 {
        const { assert!(PARTS_MAX < 128, "a bit for each") };
        let shift = u32::try_from(position).unwrap_or(u32::MAX);
        1_u128.checked_shl(shift).unwrap_or_default()
    }

    /// Whether it is marked.
    fn has(self, position: usize) -> bool {
        self.0 & Self::bit(position) != 0
    }

    /// Marks it.
    fn mark(&mut self, position: usize) {
        self.0 |= Self::bit(position);
    }
}

/// Whether a component's pattern takes `component`; a member's only a member, and no other.
fn takes(tokens: &[Token], component: &str, kind: Kind, fill: Fill<'_>) -> bool {
    let member = tokens.first() == Some(&Token::Literal('('));
    if member != component.starts_with('(') && kind == Kind::DataSet {
        return false;
    }
    let tokens = glob::substitute(tokens, fill.user.unwrap_or_default());
    glob::matches(&tokens, component, fill.system.is_folded_for(kind))
}

/// What a pattern can match, by how it begins.
///
/// # Errors
/// [`PatternFault::HomeGlued`], [`PatternFault::NotAbsolute`], [`GlobFault::Empty`].
fn style(at_home: bool, rest: &str) -> Result<Style, PatternFault> {
    if at_home {
        return match rest.chars().next() {
            None => Ok(Style::Any),
            Some('/') => Ok(Style::Slash),
            Some('.') => Ok(Style::DataSet),
            Some(_) => Err(PatternFault::HomeGlued),
        };
    }
    if rest.is_empty() {
        return Err(PatternFault::Glob(GlobFault::Empty));
    }
    if rest == "**" {
        return Ok(Style::Any);
    }
    if rest.starts_with('/') || rest.starts_with("**/") {
        return Ok(Style::Slash);
    }
    let fixed = rest.replace("{user}", "");
    if fixed.contains('/') || fixed.chars().any(char::is_lowercase) {
        return Err(PatternFault::NotAbsolute);
    }
    Ok(Style::DataSet)
}

/// Cuts an alternative into components.
///
/// # Errors
/// [`PatternFault::Dots`], [`PatternFault::Member`].
fn parts(tokens: &[Token], style: Style) -> Result<Vec<Part>, PatternFault> {
    let separator = match style {
        Style::DataSet => '.',
        Style::Any | Style::Slash => '/',
    };
    let mut components: Vec<Vec<Token>> = Vec::new();
    for piece in tokens.split(|token| *token == Token::Literal(separator)) {
        let member = piece
            .iter()
            .position(|token| *token == Token::Literal('('))
            .filter(|_| style == Style::DataSet);
        match member {
            Some(open) => {
                let (set, member) = piece.split_at(open);
                components.push(set.to_vec());
                components.push(member.to_vec());
            }
            None => components.push(piece.to_vec()),
        }
    }
    let is_member = |tokens: &Vec<Token>| tokens.first() == Some(&Token::Literal('('));
    if style == Style::DataSet {
        let before_last = components.len().saturating_sub(1);
        let misplaced = components.iter().take(before_last).any(is_member);
        let open = components
            .last()
            .is_some_and(|last| is_member(last) && last.last() != Some(&Token::Literal(')')));
        if misplaced || open {
            return Err(PatternFault::Member);
        }
    }
    let mut parts = Vec::new();
    for component in components {
        let dots = component.iter().all(|token| *token == Token::Literal('.'));
        if component.is_empty() {
            continue;
        }
        if dots && component.len() < 3 {
            return Err(PatternFault::Dots);
        }
        if component.as_slice() == [Token::Run, Token::Run] {
            parts.push(Part::Span);
        } else {
            parts.push(Part::One(component));
        }
    }
    Ok(parts)
}

#[cfg(test)]
mod tests;
