//! Where the paths stand in a command's argument.
//!
//! Owns one reader per [`Paths`] of the verb table. Must not know how a path is normalised or
//! what rules say of it. What a server may cut in two ways gives all the paths of both readings:
//! letting pass needs each of them, refusing any. At most [`PLACES_MAX`] paths are looked at.

use super::names::{Key, Subject};
use super::path::{Ground, Path, Place};
use crate::ftp::command::Command;
use crate::ftp::subcommand::{self, words};
use crate::ftp::verb::{Paths, Verb};

/// More paths than any server takes in one line.
const PLACES_MAX: usize = 32;

/// Where `command` points; None for a command without a path. `renaming` is where the pending
/// RNFR points, None where that is unsure.
pub(super) fn places(
    command: &Command,
    subject: &Subject<'_>,
    ground: &Ground<'_>,
    renaming: Option<Path>,
) -> Option<Vec<Place>> {
    if subject.paths == Paths::None {
        return None;
    }
    let argument = if command.row().is_some_and(|row| row.alias.is_some()) {
        command.argument_bytes()
    } else {
        command.value()
    };
    // A TAB is a blank to some servers, so nobody can tell where anything stands.
    if argument.iter().any(u8::is_ascii_control) {
        return Some(vec![Place::Unsure]);
    }
    let is_site = subject.key == Key::Known(Verb::Site);
    // ProFTPD unquotes the words of SITE, where others have the quotes in a name.
    if is_site && argument.contains(&b'"') {
        return Some(vec![Place::Unsure]);
    }
    let places = match subject.paths {
        Paths::None => return None,
        Paths::Opaque => vec![Place::Unsure],
        Paths::WholeOrDirectory if argument.is_empty() => match subject.key {
            // A bare CWD leads home on one server and is an error on others.
            Key::Known(Verb::Cwd) => vec![Place::Unsure],
            Key::Known(_) | Key::Other(_) => vec![ground.here()],
        },
        Paths::Whole | Paths::WholeOrDirectory if is_step_up(subject, argument) => {
            vec![ground.above()]
        }
        Paths::Directory => directory(argument, ground),
        Paths::Parent => vec![ground.above()],
        Paths::Listing => listing(argument, ground),
        Paths::AfterTime if command.sets_time() => {
            let path = command.timed_path().unwrap_or_default();
            vec![tight(path, ground)]
        }
        Paths::AfterTime => {
            let mut places = whole(argument, ground);
            places.extend(command.doubtful_path().map(|path| tight(path, ground)));
            places
        }
        // ProFTPD copies a directory with all that lies below.
        Paths::Whole if is_site && names(subject, &["CPFR", "CPTO"]) => {
            vec![tight(argument, ground).with_subtree()]
        }
        Paths::Whole if is_site => vec![tight(argument, ground)],
        Paths::Whole | Paths::WholeOrDirectory => whole(argument, ground),
        Paths::AfterWord => after_word(argument, ground),
        Paths::Checksum => checksum(argument, ground),
        Paths::CommaList => comma_list(argument, ground),
        Paths::Pair => pair(argument, ground, names(subject, &["SYMLINK"])),
        Paths::Utime => utime(argument, ground),
    };
    if places.len() > PLACES_MAX {
        return Some(vec![Place::Unsure]);
    }
    Some(match subject.key {
        Key::Known(Verb::Rnfr) => places.into_iter().map(moved).collect(),
        Key::Known(Verb::Rnto) => with_source(places, renaming),
        // All that lies below is deleted, or counted.
        Key::Known(Verb::Rmda | Verb::Dsiz) => {
            places.into_iter().map(Place::with_subtree).collect()
        }
        Key::Known(_) | Key::Other(_) => places,
    })
}

/// RNTO is judged by both names: its own comes first. What is moved may be a directory, with what a
/// rule names below either.
fn with_source(places: Vec<Place>, renaming: Option<Path>) -> Vec<Place> {
    let mut places: Vec<Place> = places.into_iter().map(moved).collect();
    places.push(renaming.map_or(Place::Unsure, Place::Moved));
    places
}

/// The first name of a rename.
fn moved(place: Place) -> Place {
    match place {
        Place::Exact(path) => Place::Moved(path),
        Place::Below(_)
        | Place::Children(_)
        | Place::Inside(_)
        | Place::Moved(_)
        | Place::Tree(_)
        | Place::Unsure => place,
    }
}

/// Whether it is CDUP by another name: `CWD ..`, and nothing more.
fn is_step_up(subject: &Subject<'_>, argument: &[u8]) -> bool {
    subject.key == Key::Known(Verb::Cwd) && matches!(argument, b".." | b"../")
}

/// Whether the subcommand of SITE is one of `words`.
fn names(subject: &Subject<'_>, words: &[&str]) -> bool {
    let word = subcommand::words(subject.text).next().unwrap_or_default();
    words
        .iter()
        .any(|one| one.as_bytes().eq_ignore_ascii_case(word))
}

/// The whole argument.
fn whole(argument: &[u8], ground: &Ground<'_>) -> Vec<Place> {
    vec![ground.resolve(argument)]
}

/// STOU: a name of the server's choice in the working directory; some servers take an argument
/// for a path to begin the name with.
fn directory(argument: &[u8], ground: &Ground<'_>) -> Vec<Place> {
    let inside = |place: Place| match place {
        Place::Exact(path) => Place::Inside(path),
        Place::Below(_)
        | Place::Children(_)
        | Place::Inside(_)
        | Place::Moved(_)
        | Place::Tree(_)
        | Place::Unsure => Place::Unsure,
    };
    let mut places = vec![inside(ground.here())];
    if !argument.is_empty() {
        places.push(match ground.resolve(argument) {
            Place::Exact(path) => Place::Inside(path.above()),
            Place::Below(_)
            | Place::Children(_)
            | Place::Inside(_)
            | Place::Moved(_)
            | Place::Tree(_)
            | Place::Unsure => Place::Unsure,
        });
    }
    places
}

/// LIST, NLST and STAT: words that begin with `-` are flags of `ls` as long as they come first,
/// then the path, or the working directory. A server that runs `ls` cuts the path at its blanks
/// and sees several; one without flags takes all of it for one name in the working directory,
/// which a `..` may lead anywhere.
fn listing(argument: &[u8], ground: &Ground<'_>) -> Vec<Place> {
    let begun = argument.trim_ascii_start();
    let is_flagged = begun.starts_with(b"-");
    let steps_up = |part: &[u8]| matches!(part, b"/.." | b"\\..");
    if is_flagged && begun.windows(3).any(steps_up) {
        return vec![ground.unsure(argument)];
    }
    let mut rest = if is_flagged { begun } else { argument };
    let mut subtree = false;
    let mut takes_word = false;
    while rest.starts_with(b"-") {
        let (flags, behind) = cut(rest);
        rest = behind.trim_ascii_start();
        // Where the letters end, servers begin the path.
        if !is_flags(flags) {
            return vec![ground.unsure(argument)];
        }
        if flags == b"--" {
            if rest.starts_with(b"-") {
                return vec![ground.unsure(argument)];
            }
            break;
        }
        subtree |= goes_down(flags);
        takes_word |= may_take_word(flags);
    }
    let mut places = Vec::new();
    if !rest.is_empty() {
        places.push(ground.resolve(rest));
    }
    if rest.contains(&b' ') {
        let (flags, paths): (Vec<&[u8]>, Vec<&[u8]>) = words(rest).partition(|word| is_flags(word));
        subtree |= flags.iter().copied().any(goes_down);
        takes_word |= flags.into_iter().any(may_take_word);
        if paths.is_empty() {
            places.push(ground.here());
        }
        places.extend(paths.into_iter().map(|path| ground.resolve(path)));
    }
    if rest.is_empty() || takes_word {
        places.push(ground.here());
    }
    if subtree {
        places.into_iter().map(Place::with_subtree).collect()
    } else {
        places
    }
}

/// Whether `word` is flags of `ls` to the end.
fn is_flags(word: &[u8]) -> bool {
    word.starts_with(b"-")
        && word
            .iter()
            .all(|byte| *byte == b'-' || byte.is_ascii_alphanumeric())
}

/// Whether flags of `ls` ask for all directories below. Long flags may be cut short, `--rec`, and
/// some servers read their letters one by one.
fn goes_down(flags: &[u8]) -> bool {
    flags.contains(&b'R') || flags.starts_with(b"--r")
}

/// Whether flags of `ls` may take the next word for themselves, which then is no path: `-I x`, `-w 80`,
/// `-T 8`, `-D format`, `--hide x`.
fn may_take_word(flags: &[u8]) -> bool {
    let is_long = flags.len() > 2 && flags.starts_with(b"--");
    is_long || flags.iter().any(|byte| b"DITw".contains(byte))
}

/// `word path`: MFMT, MFF, SITE CHMOD.
fn after_word(argument: &[u8], ground: &Ground<'_>) -> Vec<Place> {
    let (_, path) = cut(argument);
    vec![tight(path, ground)]
}

/// A path behind something else. Servers disagree on more than one blank between them and on
/// blanks at the end, so those are unsure.
fn tight(path: &[u8], ground: &Ground<'_>) -> Place {
    if has_loose_blanks(path) {
        Place::Unsure
    } else {
        ground.resolve(path)
    }
}

/// XCRC and its kin: `path`, `"path" 0 100`, `path 0 100`, `path;0;100`. Numbers at the end may
/// belong to the name.
fn checksum(argument: &[u8], ground: &Ground<'_>) -> Vec<Place> {
    if let Some(quoted) = argument.strip_prefix(b"\"") {
        let mut halves = quoted.splitn(2, |byte| *byte == b'"');
        let (Some(path), Some(rest)) = (halves.next(), halves.next()) else {
            return vec![Place::Unsure];
        };
        let offsets = rest
            .iter()
            .all(|byte| byte.is_ascii_digit() || *byte == b' ');
        return vec![if offsets {
            ground.resolve(path)
        } else {
            Place::Unsure
        }];
    }
    let mut places = vec![ground.resolve(argument)];
    let mut rest = argument;
    for _ in 0..2 {
        let Some(mark) = rest.iter().rposition(|byte| matches!(byte, b' ' | b';')) else {
            break;
        };
        let (before, number) = rest.split_at(mark);
        let digits = number.get(1..).unwrap_or_default();
        if before.is_empty() || digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
            break;
        }
        places.push(ground.resolve(before));
        rest = before;
    }
    places
}

/// MMD5: paths between commas.
fn comma_list(argument: &[u8], ground: &Ground<'_>) -> Vec<Place> {
    argument
        .split(|byte| *byte == b',')
        .map(|path| {
            if path.contains(&b'"') {
                Place::Unsure
            } else {
                tight(path, ground)
            }
        })
        .take(PLACES_MAX.saturating_add(1))
        .collect()
}

/// SITE COPY, SITE SYMLINK: exactly two words. The source of a link is read from where the link
/// stands, so only an absolute one is sure. What lies below comes along, but for the link itself.
fn pair(argument: &[u8], ground: &Ground<'_>, symlink: bool) -> Vec<Place> {
    let mut words = words(argument);
    let (Some(first), Some(second), None) = (words.next(), words.next(), words.next()) else {
        return vec![Place::Unsure];
    };
    let source = if symlink && !first.starts_with(b"/") {
        Place::Unsure
    } else {
        ground.resolve(first).with_subtree()
    };
    let target = ground.resolve(second);
    vec![
        source,
        if symlink {
            target
        } else {
            target.with_subtree()
        },
    ]
}

/// SITE UTIME: `time path`, or `path time time time UTC`; what fits both is unsure.
fn utime(argument: &[u8], ground: &Ground<'_>) -> Vec<Place> {
    let is_time =
        |word: &[u8]| (12..=14).contains(&word.len()) && word.iter().all(u8::is_ascii_digit);
    if has_loose_blanks(argument) {
        return vec![Place::Unsure];
    }
    let (first, behind) = cut(argument);
    let time_first = is_time(first).then_some(behind);
    let path_first = argument
        .rsplitn(5, |byte| *byte == b' ')
        .collect::<Vec<_>>()
        .as_slice()
        .split_first()
        .and_then(|(zone, rest)| match rest {
            [third, second, first, path]
                if zone.eq_ignore_ascii_case(b"UTC")
                    && is_time(third)
                    && is_time(second)
                    && is_time(first) =>
            {
                Some(*path)
            }
            _ => None,
        });
    vec![match (time_first, path_first) {
        (Some(path), None) | (None, Some(path)) => ground.resolve(path),
        (Some(_), Some(_)) | (None, None) => Place::Unsure,
    }]
}

/// Cuts at the first blank, which goes.
fn cut(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text
        .iter()
        .position(|byte| *byte == b' ')
        .unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    (word, rest.get(1..).unwrap_or_default())
}

/// Whether blanks begin it, end it, or stand side by side.
fn has_loose_blanks(text: &[u8]) -> bool {
    text.starts_with(b" ") || text.ends_with(b" ") || text.windows(2).any(|pair| pair == b"  ")
}

#[cfg(test)]
mod tests;
