//! seccomp: system calls that a gateway never needs (`seccomp(2)`).
//!
//! Owns the list of what is refused. It names what is dangerous rather than what is needed: the C
//! library, its modules and the runtime change what they call, and a call that is refused by
//! mistake breaks the gateway in a rare place. The service manager's filter, where there is one,
//! comes on top.

use std::collections::BTreeMap;
use std::env::consts::ARCH;
use std::io;

use libc::c_long;
use seccompiler::SeccompCmpArgLen::{Dword, Qword};
use seccompiler::SeccompCmpOp::{MaskedEq, Ne};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
    apply_filter, sock_filter,
};

/// Refused whatever the arguments are.
const REFUSED: &[c_long] = &[
    // Other programs.
    libc::SYS_execve,
    libc::SYS_execveat,
    // Other processes.
    libc::SYS_kcmp,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    // Namespaces and mounts.
    libc::SYS_chroot,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_pivot_root,
    libc::SYS_setns,
    libc::SYS_umount2,
    libc::SYS_unshare,
    // Code in the kernel, and interfaces that reach around this filter.
    libc::SYS_bpf,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kexec_load,
    libc::SYS_userfaultfd,
    // Keys.
    libc::SYS_add_key,
    libc::SYS_keyctl,
    libc::SYS_request_key,
    // Who one is.
    libc::SYS_capset,
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
    libc::SYS_setgid,
    libc::SYS_setgroups,
    libc::SYS_setregid,
    libc::SYS_setresgid,
    libc::SYS_setresuid,
    libc::SYS_setreuid,
    libc::SYS_setuid,
    // The machine.
    libc::SYS_acct,
    libc::SYS_adjtimex,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_fanotify_init,
    libc::SYS_lookup_dcookie,
    libc::SYS_nfsservctl,
    libc::SYS_personality,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_kexec_file_load,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_uselib,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ustat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// Numbers from here on belong to another way of calling (x32), which the list does not name.
const OTHER_NUMBERS: u32 = 0x4000_0000;

/// Refuses what this thread, and those that it starts, never need.
///
/// # Errors
/// The kernel has no seccomp, or there is no filter for this machine.
pub(super) fn filter() -> io::Result<()> {
    for program in [detours(), refusals().map_err(io::Error::other)?] {
        apply_filter(&program).map_err(io::Error::other)?;
    }
    Ok(())
}

/// The filter of [`REFUSED`] and of what is refused for its arguments: `EPERM`.
///
/// # Errors
/// The crate does not know this machine.
fn refusals() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        REFUSED.iter().map(|call| (*call, Vec::new())).collect();
    let bits = |argument, bits: i32| {
        let bits = u64::from(bits.unsigned_abs());
        SeccompCondition::new(argument, Qword, MaskedEq(bits), bits)
    };
    // Threads, and no processes.
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let process = SeccompCondition::new(0, Qword, MaskedEq(thread), 0)?;
    rules.insert(libc::SYS_clone, vec![SeccompRule::new(vec![process])?]);
    // Memory that is written and run.
    for call in [libc::SYS_mmap, libc::SYS_mprotect, libc::SYS_pkey_mprotect] {
        let both = bits(2, libc::PROT_WRITE | libc::PROT_EXEC)?;
        rules.insert(call, vec![SeccompRule::new(vec![both])?]);
    }
    // Further kinds of sockets: what is dialled is TCP, names are asked for over UDP, and the
    // service manager and the resolver's daemon listen on local ones.
    let kinds = [libc::AF_UNIX, libc::AF_INET, libc::AF_INET6];
    let others = kinds.map(|kind| {
        let kind = u64::from(kind.unsigned_abs());
        SeccompCondition::new(0, Dword, Ne, kind)
    });
    let others = others.into_iter().collect::<Result<Vec<_>, _>>()?;
    rules.insert(libc::SYS_socket, vec![SeccompRule::new(others)?]);
    let refuse = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(
        rules,
        SeccompAction::Allow,
        refuse,
        TargetArch::try_from(ARCH)?,
    )?;
    filter.try_into()
}

/// The filter of ways around the other one: `ENOSYS`, on which the C library takes the plain way.
/// `clone3` hides its flags in memory, where a filter does not see them.
fn detours() -> BpfProgram {
    let instruction = |code: u32, jt, jf, k| sock_filter {
        // All of them are small numbers.
        code: u16::try_from(code).unwrap_or_default(),
        jt,
        jf,
        k,
    };
    let jump = libc::BPF_JMP | libc::BPF_K;
    let clone3 = u32::try_from(libc::SYS_clone3).unwrap_or_default();
    let refuse = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.unsigned_abs();
    vec![
        // The number of the call is the first word.
        instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
        instruction(jump | libc::BPF_JGE, 2, 0, OTHER_NUMBERS),
        instruction(jump | libc::BPF_JEQ, 1, 0, clone3),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        instruction(libc::BPF_RET | libc::BPF_K, 0, 0, refuse),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_is_one_that_the_kernel_takes() {
        let refusals = refusals().unwrap();
        // The kernel's own bound.
        assert!(refusals.len() < 4096, "{}", refusals.len());
        assert_eq!(detours().len(), 5);
    }

    #[test]
    fn no_call_is_named_twice() {
        let mut calls = REFUSED.to_vec();
        calls.sort_unstable();
        calls.dedup();
        assert_eq!(calls.len(), REFUSED.len());
    }
}
