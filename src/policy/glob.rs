//! Globs over one piece of text: a user name, or one component of a path.
//!
//! Owns the syntax (`*`, `?`, `[a-z]`, `{one,two}`, `\` before a literal) and matching. Written
//! here and not taken from a library because `{user}` must be compared as text, never as a
//! pattern, and because whether letter case counts depends on the server and not on the policy.
//! Bounds: [`TEXT_MAX`] bytes in a pattern, [`ALTERNATIVES_MAX`] alternatives in its braces; a
//! match takes at most pattern times text steps.

use std::borrow::Cow;

use bytes::Bytes;

use super::judge::System;

/// The longest pattern, in bytes.
pub(super) const TEXT_MAX: usize = 1024;

/// How many alternatives the braces of one pattern may spell out.
pub(super) const ALTERNATIVES_MAX: usize = 64;

/// Why a pattern was refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum GlobFault {
    /// A `\` with nothing behind it.
    #[error("a `\\` stands at its end and makes nothing literal")]
    DanglingEscape,
    /// Nothing.
    #[error("it is empty")]
    Empty,
    /// `{home}` behind other text.
    #[error("`{{home}}` is a whole path: it can only stand at the beginning")]
    HomeInside,
    /// `{one}`, which is no choice and no placeholder.
    #[error("`{{{0}}}` is neither a placeholder nor a choice of several")]
    Placeholder(String),
    /// More than [`TEXT_MAX`] bytes.
    #[error("it is longer than {TEXT_MAX} bytes")]
    TooLong,
    /// More than [`ALTERNATIVES_MAX`] alternatives.
    #[error("its braces spell out more than {ALTERNATIVES_MAX} alternatives")]
    TooManyAlternatives,
    /// `[` without `]`, a reversed range, or a slash in it, which no component has.
    #[error("a `[` has no fitting `]`, a range in it runs backwards, or it has a `/`")]
    UnclosedClass,
    /// Braces that do not pair.
    #[error("its braces do not pair")]
    UnpairedBrace,
}

/// A set of characters, `[a-z_]`, or all others, `[!a-z]`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Class {
    /// Whether it is all others.
    negated: bool,
    /// First and last of each range.
    ranges: Vec<(char, char)>,
}

/// One step of a pattern.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Token {
    /// `?`: any one character.
    Any,
    /// `[…]`: one character of a set.
    Class(Class),
    /// This character.
    Literal(char),
    /// `*`: any number of characters, none included.
    Run,
    /// `{user}`: the session's user name, literally.
    User,
}

impl Token {
    /// Whether it takes `character`; a run and a placeholder are not asked.
    fn takes(&self, character: char, folded: bool) -> bool {
        match self {
            Self::Any => true,
            Self::Class(class) => class.takes(character, folded),
            Self::Literal(own) => *own == character || (folded && fold(*own) == fold(character)),
            Self::Run | Self::User => false,
        }
    }
}

impl Class {
    /// Whether `character` is of the set.
    fn takes(&self, character: char, folded: bool) -> bool {
        let within = |one: char| {
            self.ranges
                .iter()
                .any(|(first, last)| (*first..=*last).contains(&one))
        };
        let found =
            within(character) || (folded && (within(fold(character)) || within(unfold(character))));
        found != self.negated
    }
}

/// The lower case of a character, where that is one character. A sigma at the end of a word is
/// another one in lower case alone.
pub(super) fn fold(character: char) -> char {
    if character == 'ς' {
        return 'σ';
    }
    single(character.to_lowercase(), character)
}

/// The upper case of a character, where that is one character.
fn unfold(character: char) -> char {
    single(character.to_uppercase(), character)
}

/// The one character of `mapped`, or `character`.
fn single(mut mapped: impl Iterator<Item = char>, character: char) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        (Some(_) | None, _) => character,
    }
}

/// A glob over a whole text, for user names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Glob {
    /// What its braces spell out.
    alternatives: Vec<Vec<Token>>,
}

impl Glob {
    /// Reads a glob without placeholders.
    ///
    /// # Errors
    /// Any [`GlobFault`] but those of `{user}` and `{home}`.
    pub(super) fn parse(text: &str) -> Result<Self, GlobFault> {
        let alternatives = spell_out(text, false)?;
        Ok(Self { alternatives })
    }

    /// Whether it matches the whole of `text`.
    pub(super) fn matches(&self, text: &str, folded: bool) -> bool {
        self.alternatives
            .iter()
            .any(|tokens| matches(tokens, text, folded))
    }
}

/// A glob over user names, for what depends on the user outside of rules.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UserGlob(Glob);

impl UserGlob {
    /// Reads a glob.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        Glob::parse(text)
            .map(Self)
            .map_err(|fault| fault.to_string())
    }

    /// Whether it matches the whole of `user`, as `system` reads names.
    pub fn matches(&self, user: &[u8], system: System) -> bool {
        let user = String::from_utf8_lossy(user);
        self.0.matches(&user, system.is_folded())
    }

    /// The name that stands for all those which `system` takes for the same as `user`.
    pub fn folded(user: &Bytes, system: System) -> Bytes {
        if !system.is_folded() {
            return user.clone();
        }
        let folded: String = String::from_utf8_lossy(user).chars().map(fold).collect();
        folded.into()
    }
}

/// A token, or a mark of the braces that are spelled out before anything is matched.
#[derive(Clone, Debug)]
enum Piece {
    /// `}`.
    Close,
    /// `,`.
    Comma,
    /// `{`.
    Open,
    /// A token.
    Token(Token),
}

/// The alternatives that `text` stands for, with `{user}` as a placeholder if asked.
///
/// # Errors
/// Any [`GlobFault`].
pub(super) fn spell_out(text: &str, placeholders: bool) -> Result<Vec<Vec<Token>>, GlobFault> {
    if text.is_empty() {
        return Err(GlobFault::Empty);
    }
    if text.len() > TEXT_MAX {
        return Err(GlobFault::TooLong);
    }
    let mut work = vec![cut(text, placeholders)?];
    let mut done = Vec::new();
    while let Some(pieces) = work.pop() {
        // The first `}` closes the innermost brace, so nesting needs no recursion.
        let Some(close) = pieces
            .iter()
            .position(|piece| matches!(piece, Piece::Close))
        else {
            done.push(tokens(pieces)?);
            continue;
        };
        let (before, after) = pieces.split_at(close);
        let open = before
            .iter()
            .rposition(|piece| matches!(piece, Piece::Open))
            .ok_or(GlobFault::UnpairedBrace)?;
        let (before, inside) = before.split_at(open);
        let inside = inside.get(1..).unwrap_or_default();
        let options: Vec<&[Piece]> = inside
            .split(|piece| matches!(piece, Piece::Comma))
            .collect();
        if options.len() < 2 {
            return Err(GlobFault::Placeholder(plain(inside)));
        }
        let total = work
            .len()
            .saturating_add(done.len())
            .saturating_add(options.len());
        if total > ALTERNATIVES_MAX {
            return Err(GlobFault::TooManyAlternatives);
        }
        for option in options.into_iter().rev() {
            let mut whole = before.to_vec();
            whole.extend_from_slice(option);
            whole.extend_from_slice(after.get(1..).unwrap_or_default());
            work.push(whole);
        }
    }
    Ok(done)
}

/// Cuts a pattern into pieces.
///
/// # Errors
/// [`GlobFault::DanglingEscape`], [`GlobFault::HomeInside`], [`GlobFault::UnclosedClass`].
fn cut(text: &str, placeholders: bool) -> Result<Vec<Piece>, GlobFault> {
    let mut pieces = Vec::new();
    let mut rest = text;
    loop {
        if placeholders {
            if let Some(behind) = rest.strip_prefix("{user}") {
                pieces.push(Piece::Token(Token::User));
                rest = behind;
                continue;
            }
            if rest.starts_with("{home}") {
                return Err(GlobFault::HomeInside);
            }
        }
        let mut characters = rest.chars();
        let Some(character) = characters.next() else {
            return Ok(pieces);
        };
        pieces.push(match character {
            '*' => Piece::Token(Token::Run),
            '?' => Piece::Token(Token::Any),
            '{' => Piece::Open,
            '}' => Piece::Close,
            ',' => Piece::Comma,
            '[' => Piece::Token(Token::Class(class(&mut characters)?)),
            '\\' => {
                let literal = characters.next().ok_or(GlobFault::DanglingEscape)?;
                Piece::Token(Token::Literal(literal))
            }
            literal => Piece::Token(Token::Literal(literal)),
        });
        rest = characters.as_str();
    }
}

/// Reads a class up to its `]`; a `]` or `-` that comes first is a member.
///
/// # Errors
/// [`GlobFault::UnclosedClass`].
fn class(characters: &mut std::str::Chars<'_>) -> Result<Class, GlobFault> {
    let mut ranges = Vec::new();
    let mut next = characters.next();
    let negated = matches!(next, Some('!' | '^'));
    if negated {
        next = characters.next();
    }
    loop {
        let first = next.ok_or(GlobFault::UnclosedClass)?;
        let mut ahead = characters.clone();
        let mut last = first;
        if ahead.next() == Some('-')
            && let Some(end) = ahead.next()
            && end != ']'
        {
            last = end;
            *characters = ahead;
        }
        if last < first || first == '/' {
            return Err(GlobFault::UnclosedClass);
        }
        ranges.push((first, last));
        next = characters.next();
        if next == Some(']') {
            return Ok(Class { negated, ranges });
        }
    }
}

/// Pieces without pairs of braces as tokens; a comma outside braces is one.
///
/// # Errors
/// [`GlobFault::UnpairedBrace`] for a brace that is left.
fn tokens(pieces: Vec<Piece>) -> Result<Vec<Token>, GlobFault> {
    pieces
        .into_iter()
        .map(|piece| match piece {
            Piece::Token(token) => Ok(token),
            Piece::Comma => Ok(Token::Literal(',')),
            Piece::Close | Piece::Open => Err(GlobFault::UnpairedBrace),
        })
        .collect()
}

/// The letters of `pieces`, for a message.
fn plain(pieces: &[Piece]) -> String {
    pieces
        .iter()
        .filter_map(|piece| match piece {
            Piece::Token(Token::Literal(literal)) => Some(*literal),
            Piece::Token(Token::Any | Token::Class(_) | Token::Run | Token::User)
            | Piece::Close
            | Piece::Comma
            | Piece::Open => None,
        })
        .collect()
}

/// `tokens` with the user's name in its place.
pub(super) fn substitute<'t>(tokens: &'t [Token], user: &str) -> Cow<'t, [Token]> {
    if !tokens.contains(&Token::User) {
        return Cow::Borrowed(tokens);
    }
    let mut filled = Vec::with_capacity(tokens.len().saturating_add(user.len()));
    for token in tokens {
        if *token == Token::User {
            filled.extend(user.chars().map(Token::Literal));
        } else {
            filled.push(token.clone());
        }
    }
    Cow::Owned(filled)
}

/// Whether `tokens` match the whole of `text`. Only the last run need be tried again: what an
/// earlier one could take more, the last can take as well.
pub(super) fn matches(tokens: &[Token], text: &str, folded: bool) -> bool {
    let mut tokens = tokens;
    let mut text = text.chars();
    let mut retry: Option<(&[Token], std::str::Chars<'_>)> = None;
    loop {
        match tokens.split_first() {
            None if text.as_str().is_empty() => return true,
            Some((Token::Run, behind)) => {
                retry = Some((behind, text.clone()));
                tokens = behind;
                continue;
            }
            Some((token, behind)) => {
                let mut ahead = text.clone();
                if ahead.next().is_some_and(|one| token.takes(one, folded)) {
                    tokens = behind;
                    text = ahead;
                    continue;
                }
            }
            None => {}
        }
        let Some((behind, from)) = &mut retry else {
            return false;
        };
        if from.next().is_none() {
            return false;
        }
        tokens = behind;
        text = from.clone();
    }
}

#[cfg(test)]
mod tests;
