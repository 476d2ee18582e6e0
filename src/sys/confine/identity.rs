//! Who the process is: user, groups and capabilities.

use std::io;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Group, Uid, User};
use rustix::thread::{self, CapabilitySet, CapabilitySets};

/// The highest capability that the kernel's interface has room for.
const CAPABILITIES: u32 = 64;

/// Somebody that the process can become.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Identity {
    /// As it was asked for.
    name: String,
    /// The user; None where only the group changes.
    user: Option<Uid>,
    /// The group.
    group: Gid,
    /// The further groups.
    groups: Vec<Gid>,
}

/// Why the process does not become somebody else.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The system does not know the group.
    #[error("there is no group `{0}`")]
    NoGroup(String),
    /// The system does not know the user.
    #[error("there is no user `{0}`")]
    NoUser(String),
    /// A user is known by number alone, and so is no group.
    #[error("user {0} has no name: write the group as well")]
    NoGroupOf(Uid),
    /// The kernel does not let it.
    #[error("cannot become {name}: {source}{}", advice(*.source))]
    Refused {
        /// Whom.
        name: String,
        /// Why.
        source: Errno,
    },
    /// The system's users cannot be looked up.
    #[error("users and groups cannot be looked up: {0}")]
    Unreadable(#[source] Errno),
}

/// What to do about it.
fn advice(error: Errno) -> &'static str {
    match error {
        Errno::EPERM => "; only root can: start it as root, or as that user and without the key",
        _ => "",
    }
}

/// Whether the process is root's.
pub fn is_root() -> bool {
    unistd::geteuid().is_root()
}

impl Identity {
    /// Looks up `user` and `group`, each a name or a number. The group is the user's own where
    /// none is named. None where nobody is named.
    ///
    /// # Errors
    /// [`IdentityError`]: the system does not know them.
    pub fn find(user: Option<&str>, group: Option<&str>) -> Result<Option<Self>, IdentityError> {
        let named = group.map(find_group).transpose()?;
        let Some(user) = user else {
            return Ok(named.map(|gid| Self {
                name: format!("group {}", group.unwrap_or_default()),
                user: None,
                group: gid,
                groups: vec![gid],
            }));
        };
        let (uid, known) = find_user(user)?;
        let group = named
            .or_else(|| known.as_ref().map(|known| known.gid))
            .ok_or(IdentityError::NoGroupOf(uid))?;
        let groups = match known.and_then(|known| std::ffi::CString::new(known.name).ok()) {
            Some(name) => unistd::getgrouplist(&name, group).map_err(IdentityError::Unreadable)?,
            None => vec![group],
        };
        Ok(Some(Self {
            name: format!("user {user}"),
            user: Some(uid),
            group,
            groups,
        }))
    }

    /// Whether the process would be root's all the same.
    pub fn is_root(&self) -> bool {
        self.user.map_or_else(is_root, Uid::is_root)
    }

    /// Becomes it, with every thread of the process and without a way back. Nothing is done where
    /// the process is it already.
    ///
    /// # Errors
    /// [`IdentityError::Refused`].
    pub fn assume(&self) -> Result<(), IdentityError> {
        let refused = |source| IdentityError::Refused {
            name: self.name.clone(),
            source,
        };
        let user = self.user.unwrap_or_else(unistd::getuid);
        let users = unistd::getresuid().map_err(refused)?;
        let groups = unistd::getresgid().map_err(refused)?;
        let is_user = [users.real, users.effective, users.saved] == [user; 3];
        let is_group = [groups.real, groups.effective, groups.saved] == [self.group; 3];
        if is_user && is_group {
            return Ok(());
        }
        unistd::setgroups(&self.groups).map_err(refused)?;
        unistd::setresgid(self.group, self.group, self.group).map_err(refused)?;
        unistd::setresuid(user, user, user).map_err(refused)
    }

    /// As it was asked for, for people.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// A user by name, or by number where nobody has that name.
///
/// # Errors
/// There is none.
fn find_user(written: &str) -> Result<(Uid, Option<User>), IdentityError> {
    if let Some(user) = User::from_name(written).map_err(IdentityError::Unreadable)? {
        return Ok((user.uid, Some(user)));
    }
    let number = written.parse().map(Uid::from_raw);
    let uid = number.map_err(|_| IdentityError::NoUser(written.to_owned()))?;
    let known = User::from_uid(uid).map_err(IdentityError::Unreadable)?;
    Ok((uid, known))
}

/// A group by name, or by number where none has that name.
///
/// # Errors
/// There is none.
fn find_group(written: &str) -> Result<Gid, IdentityError> {
    if let Some(group) = Group::from_name(written).map_err(IdentityError::Unreadable)? {
        return Ok(group.gid);
    }
    let number = written.parse().map(Gid::from_raw);
    number.map_err(|_| IdentityError::NoGroup(written.to_owned()))
}

/// Takes every capability out of the set of those that running a program can bring back. Only who
/// has `CAP_SETPCAP` can; who has not runs nothing with more rights anyway.
///
/// # Errors
/// The kernel refused; some may be left.
pub(super) fn empty_bounding_set() -> io::Result<()> {
    let sets = thread::capabilities(None)?;
    if !sets.effective.contains(CapabilitySet::SETPCAP) {
        return Ok(());
    }
    for number in 0..CAPABILITIES {
        let one = CapabilitySet::from_bits_retain(1 << number);
        // An error says that the kernel does not know it: they are numbered without a gap.
        match thread::capability_is_in_bounding_set(one) {
            Ok(true) => thread::remove_capability_from_bounding_set(one)?,
            Ok(false) => {}
            Err(_) => break,
        }
    }
    Ok(())
}

/// Gives every capability up.
///
/// # Errors
/// The kernel refused; some may be left.
pub(super) fn drop_capabilities() -> io::Result<()> {
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    if thread::capabilities(None)? != none {
        thread::clear_ambient_capability_set()?;
        thread::set_capabilities(None, none)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_by_number() {
        let root = Identity::find(Some("root"), None).unwrap().unwrap();
        assert!(root.is_root());
        assert_eq!(root.group, Gid::from_raw(0));
        let zero = Identity::find(Some("0"), None).unwrap().unwrap();
        assert_eq!((zero.user, zero.group), (root.user, root.group));
        let numbers = Identity::find(Some("65533"), Some("65532")).unwrap();
        let numbers = numbers.unwrap();
        assert_eq!(numbers.groups, [Gid::from_raw(65_532)]);
        assert!(!numbers.is_root());
        assert_eq!(Identity::find(None, None).unwrap(), None);
    }

    #[test]
    fn who_is_not_there_is_an_error() {
        let said = |user: Option<&str>, group: Option<&str>| {
            Identity::find(user, group).unwrap_err().to_string()
        };
        assert_eq!(
            said(Some("no-such-user"), None),
            "there is no user `no-such-user`"
        );
        assert_eq!(
            said(None, Some("no-such-group")),
            "there is no group `no-such-group`"
        );
        assert_eq!(
            said(Some("4294967000"), None),
            "user 4294967000 has no name: write the group as well"
        );
    }

    #[test]
    fn who_one_is_already_needs_no_right() {
        let user = unistd::getuid().to_string();
        let group = unistd::getgid().to_string();
        let identity = Identity::find(Some(&user), Some(&group)).unwrap().unwrap();
        identity.assume().unwrap();
    }
}
