//! Landlock: files and TCP ports (`landlock(7)`).
//!
//! Owns what any process of this kind reads of the system. Bounds: a rule for each path and for
//! each port.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};

use super::Access;

/// What the rules are written for; an older kernel holds those that it knows. Newer ones restrict
/// more, which this program has not been tried with.
const WRITTEN_FOR: ABI = ABI::V6;

/// What of the system is read: names, time zones, authorities, what the C library loads to look
/// names up, and what the process is told of itself. None of it is secret, and a path that is not
/// there is left out.
const SYSTEM: &[&str] = &[
    // Names. A file that is a link is the one that it leads to: hence the directories of those
    // who write it.
    "/etc/gai.conf",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/services",
    "/run/NetworkManager",
    "/run/resolvconf",
    "/run/systemd/resolve",
    "/usr/share/libc-bin",
    // Modules of the C library.
    "/etc/ld.so.cache",
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    // Authorities.
    "/etc/ca-certificates/extracted",
    "/etc/pki/ca-trust/extracted",
    "/etc/pki/tls/cert.pem",
    "/etc/pki/tls/certs",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/etc/ssl/certs",
    "/usr/local/share/ca-certificates",
    "/usr/share/ca-certificates",
    "/usr/share/pki",
    "/var/lib/ca-certificates",
    // Time zones.
    "/etc/localtime",
    "/usr/share/zoneinfo",
    // The process itself, its cores and its share of them. What other processes say of themselves
    // stays closed: Landlock lets no process look into one that is less confined.
    "/proc",
    "/sys/devices/system/cpu",
    "/sys/fs/cgroup",
    "/dev/null",
    "/dev/random",
    "/dev/urandom",
];

/// Rules that are in force.
#[derive(Debug)]
pub(super) struct Rules {
    /// What is left; without the paths that are not there.
    pub(super) access: Access,
    /// Whether the kernel restricts ports as well.
    pub(super) has_ports: bool,
    /// What they do, for people.
    pub(super) said: String,
}

/// Leaves this thread, and those that it starts, no files and ports but those of `access` and the
/// system's.
///
/// # Errors
/// Why nothing is restricted.
pub(super) fn restrict(access: &Access) -> Result<Rules, String> {
    let mut left = access.clone();
    left.read.retain(|path| path.exists());
    left.write.retain(|path| path.exists());
    let status = apply(&left).map_err(|error| error.to_string())?;
    let abi = match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => effective_abi,
        LandlockStatus::NotEnabled => return Err("it is switched off in this kernel".to_owned()),
        LandlockStatus::NotImplemented => return Err("this kernel does not have it".to_owned()),
    };
    if status.ruleset == RulesetStatus::NotEnforced {
        return Err("this kernel does not enforce it".to_owned());
    }
    let has_ports = !AccessNet::from_all(abi).is_empty();
    let system = SYSTEM.iter().filter(|path| Path::new(path).exists());
    let paths = system.count() + left.read.len() + left.write.len();
    let mut said = format!("{paths} files and directories are left");
    if has_ports {
        said.push_str(", and of the ports those that may be needed");
    } else {
        said.push_str(", and all ports: this kernel does not restrict them");
    }
    Ok(Rules {
        access: left,
        has_ports,
        said,
    })
}

/// The same.
///
/// # Errors
/// The kernel's, or the crate's where a rule makes no sense.
fn apply(access: &Access) -> Result<landlock::RestrictionStatus, RulesetError> {
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = read | AccessFs::WriteFile | AccessFs::MakeReg | AccessFs::Truncate;
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(WRITTEN_FOR))?
        .handle_access(AccessNet::from_all(WRITTEN_FOR))?
        .scope(scopes())?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read))?;
    let rules = add_paths(rules, &access.read, read)?;
    let rules = add_paths(rules, &access.write, write)?;
    rules.add_rules(ports(access))?.restrict_self()
}

/// A rule for each port that is left.
fn ports(access: &Access) -> impl Iterator<Item = Result<NetPort, RulesetError>> {
    let right = |ranges: &[RangeInclusive<u16>], port: u16, right: AccessNet| {
        let left = ranges.iter().any(|range| range.contains(&port));
        if left { right.into() } else { BitFlags::EMPTY }
    };
    (0..=u16::MAX).filter_map(move |port| {
        let bind = right(&access.bind, port, AccessNet::BindTcp);
        let rights: BitFlags<AccessNet> =
            bind | right(&access.connect, port, AccessNet::ConnectTcp);
        (!rights.is_empty()).then(|| Ok(NetPort::new(port, rights)))
    })
}

/// Adds each of `paths`. What lies on no disk (a pipe, a terminal behind `/dev/stderr`) takes no
/// rule, and needs none as long as it is open.
///
/// # Errors
/// A rule makes no sense.
fn add_paths(
    mut rules: RulesetCreated,
    paths: &[PathBuf],
    access: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    for path in paths {
        for rule in path_beneath_rules([path], access) {
            let before = rules.try_clone();
            match (rules.add_rule(rule?), before) {
                (Ok(added), _) => rules = added,
                (Err(_), Ok(before)) => rules = before,
                (Err(error), Err(_)) => return Err(error),
            }
        }
    }
    Ok(rules)
}

/// No signals to processes outside, and none of their abstract sockets, unless the service manager
/// listens on one.
fn scopes() -> BitFlags<Scope> {
    let manager = std::env::var_os("NOTIFY_SOCKET");
    if manager.is_some_and(|socket| socket.as_encoded_bytes().starts_with(b"@")) {
        return Scope::Signal.into();
    }
    Scope::from_all(WRITTEN_FOR)
}
