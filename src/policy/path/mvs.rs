//! Names of z/OS: data sets `'PROD.EDI.IN'`, members `LIB(MEM)`, and files of its Unix side.
//!
//! Owns quoting, the prefix that stands before an unquoted name, and what a data set name may
//! be. The working directory is a prefix (`'PROD.'`), a library (`'PROD.LIB'`, whose members
//! unquoted names are), or a directory of the Unix side (`/u/prod`).

use super::{Ground, Path, Place, unix};

/// The longest data set name, in characters.
const NAME_MAX: usize = 44;

/// The longest qualifier or member, in characters.
const QUALIFIER_MAX: usize = 8;

/// The most digits of a relative generation.
const GENERATION_DIGITS_MAX: usize = 3;

/// What an unquoted name is read against.
enum Base {
    /// The member of a library.
    Library(Path),
    /// A prefix of data set names.
    Prefix(Path),
    /// A directory.
    Slash(Path),
}

/// Where `text` points; None where that is unsure.
pub(super) fn resolve(ground: &Ground<'_>, text: &str) -> Option<Place> {
    if text.starts_with('/') {
        return unix::walk(None, text, ground.has_symlinks());
    }
    if let Some(inside) = unquoted(text) {
        return read(None, inside);
    }
    match base(ground.directory()?)? {
        Base::Slash(_) if text.starts_with('~') => None,
        Base::Slash(path) => unix::walk(Some(&path), text, ground.has_symlinks()),
        Base::Library(path) | Base::Prefix(path) if text == ".." => {
            Some(Place::Exact(path.above()))
        }
        Base::Prefix(path) => read(Some(&path), text),
        Base::Library(path) => {
            let name = text.to_ascii_uppercase();
            is_qualifier(&name).then(|| {
                let member = format!("({name})");
                Place::Exact(Path::data_set(path.components(), Some(&member)))
            })
        }
    }
}

/// A directory that the server stated.
pub(super) fn stated(directory: &str) -> Option<Path> {
    match base(directory)? {
        Base::Library(path) | Base::Prefix(path) | Base::Slash(path) => Some(path),
    }
}

/// A path as a judgement states it: `PROD.LIB(MEM)` or `/u/prod`.
pub(super) fn judged(text: &str) -> Option<Path> {
    if text.starts_with('/') {
        return unix::stated(text);
    }
    match read(None, text)? {
        Place::Exact(path) => Some(path),
        Place::Below(_)
        | Place::Children(_)
        | Place::Inside(_)
        | Place::Moved(_)
        | Place::Tree(_)
        | Place::Unsure => None,
    }
}

/// Whether `user` can be a qualifier.
pub(super) fn is_component(user: &str) -> bool {
    is_qualifier(&user.to_ascii_uppercase())
}

/// What the stated working directory is.
fn base(directory: &str) -> Option<Base> {
    if directory.starts_with('/') {
        return unix::stated(directory).map(Base::Slash);
    }
    let inside = unquoted(directory)?;
    let path = judged(inside)?;
    Some(if inside.ends_with('.') {
        Base::Prefix(path)
    } else {
        Base::Library(path)
    })
}

/// What stands between a pair of quotes.
fn unquoted(text: &str) -> Option<&str> {
    text.strip_prefix('\'')?
        .strip_suffix('\'')
        .filter(|inside| !inside.contains('\''))
}

/// Reads a data set name behind `prefix`. A wildcard may span qualifiers, so it means all below
/// what stands before it.
fn read(prefix: Option<&Path>, text: &str) -> Option<Place> {
    let name = text.to_ascii_uppercase();
    let (qualifiers, member) = match name.split_once('(') {
        Some((before, behind)) => (before, Some(behind.strip_suffix(')')?)),
        // A prefix is stated, and may be given, with a dot behind it.
        None => (name.strip_suffix('.').unwrap_or(&name), None),
    };
    let mut all: Vec<&str> = prefix.map_or_else(Vec::new, |path| path.components().collect());
    for qualifier in qualifiers.split('.') {
        if qualifier.contains(['*', '?', '%']) {
            let path = Path::data_set(all, None);
            return (path.depth() > 0).then_some(Place::Below(path));
        }
        if !is_qualifier(qualifier) {
            return None;
        }
        all.push(qualifier);
    }
    let set = Path::data_set(all.iter().copied(), None);
    if set.as_str().len() > NAME_MAX {
        return None;
    }
    match member {
        None => Some(Place::Exact(set)),
        Some(member) if member.contains(['*', '?', '%']) => Some(Place::Below(set)),
        Some(member) if is_qualifier(member) => {
            let member = format!("({member})");
            Some(Place::Exact(Path::data_set(all, Some(&member))))
        }
        // Which generation that is only the catalogue knows: `BASE.G0007V00` or another.
        Some(member) if is_generation(member) => Some(Place::Children(set)),
        Some(_) => None,
    }
}

/// Whether `member` is a relative generation: `0`, `+1`, `-3`.
fn is_generation(member: &str) -> bool {
    let digits = member.strip_prefix(['+', '-']).unwrap_or(member);
    let is_signed = digits.len() < member.len();
    (is_signed || member == "0")
        && (1..=GENERATION_DIGITS_MAX).contains(&digits.len())
        && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether `name`, in upper case, may be a qualifier or a member.
fn is_qualifier(name: &str) -> bool {
    let national = |byte: u8| matches!(byte, b'@' | b'#' | b'$');
    name.len() <= QUALIFIER_MAX
        && name
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_uppercase() || national(first))
        && name.bytes().all(|byte| {
            byte.is_ascii_uppercase() || byte.is_ascii_digit() || national(byte) || byte == b'-'
        })
}
