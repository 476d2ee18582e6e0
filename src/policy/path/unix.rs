//! Paths with slashes, where letter case matters.
//!
//! Owns `.`, `..`, doubled and trailing slashes, and wildcards. RFC 959 gives servers their own
//! conventions; all that were measured resolve these textually, but for a `..` behind a name
//! that may be a symbolic link. The last name of a stated directory is such a name: nobody can
//! tell whether a server states the way that led there or the place where it is.

use super::{Ground, Path, Place};

/// Where `text` points; None where that is unsure.
pub(super) fn resolve(ground: &Ground<'_>, text: &str) -> Option<Place> {
    // Several servers expand `~` and `~user`; a leading quote is a data set to z/OS.
    if text.starts_with(['~', '\'']) {
        return None;
    }
    let base = if text.starts_with('/') {
        None
    } else {
        Some(stated(ground.directory()?)?)
    };
    walk(base.as_ref(), text, ground.has_symlinks())
}

/// A directory that the server stated.
pub(super) fn stated(directory: &str) -> Option<Path> {
    let names = directory.strip_prefix('/')?;
    let components = || names.split('/').filter(|name| !matches!(*name, "" | "."));
    (!components().any(|name| name == "..")).then(|| Path::slash(components()))
}

/// Whether `user` is one plain component.
pub(super) fn is_component(user: &str) -> bool {
    !matches!(user, "" | "." | "..") && !user.contains('/')
}

/// Follows `text` from `base`, or from the root.
pub(super) fn walk(base: Option<&Path>, text: &str, symlinks: bool) -> Option<Place> {
    // The servers of BSD give the path of any verb to glob(3), which drops a backslash and takes what
    // follows as it stands: `.\.` is `..` there.
    if text.contains('\\') {
        return None;
    }
    let mut components: Vec<&str> = base.map_or_else(Vec::new, |path| path.components().collect());
    let mut wild: Option<usize> = None;
    for piece in text.split('/') {
        match piece {
            "" | "." => {}
            ".." => {
                // The root is its own parent; of anything else only the server knows it.
                let is_certain = components.is_empty() || !symlinks;
                if wild.is_some() || !is_certain {
                    return None;
                }
                components.pop();
            }
            // OpenBSD's server takes `/~user` for `~user`.
            name if name.starts_with('~') && base.is_none() && components.is_empty() => {
                return None;
            }
            name => {
                if is_wild(name) {
                    if chooses(name, text) || !stays_in_directory(name) {
                        return None;
                    }
                    wild = wild.or(Some(components.len()));
                }
                components.push(name);
            }
        }
    }
    let Some(first) = wild else {
        return Some(Place::Exact(Path::slash(components)));
    };
    let above = Path::slash(components.iter().take(first).copied());
    if first.saturating_add(1) == components.len() {
        Some(Place::Children(above))
    } else {
        Some(Place::Below(above))
    }
}

/// Whether a server may expand `name`.
fn is_wild(name: &str) -> bool {
    name.contains(['*', '?', '[', '{'])
}

/// Whether the braces of `name`, a component of `text`, may spell out anything, slashes and `..` included:
/// with a choice in them, or a slash between them, or a home directory.
fn chooses(name: &str, text: &str) -> bool {
    let bare = name.replace(['{', '}'], "");
    let count = |brace| name.matches(brace).count();
    name.contains('{') && (text.contains(',') || bare.is_empty() || bare.starts_with('~'))
        || count('{') != count('}')
}

/// Whether no expansion of `name` is `.` or `..`, as one of `.*` is. A leading `*` or `?` stands
/// for no dot; braces without a choice vanish.
fn stays_in_directory(name: &str) -> bool {
    let name = name.replace(['{', '}'], "");
    let behind_dot = match name.strip_prefix('[') {
        Some(class) => match class.split_once(']') {
            Some((_, behind)) => behind,
            None => return true,
        },
        None => match name.strip_prefix('.') {
            Some(behind) => behind,
            None => return true,
        },
    };
    behind_dot.starts_with(|second| !matches!(second, '.' | '*' | '?' | '['))
}
