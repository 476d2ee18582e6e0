//! The only modules that talk to the kernel directly; everything is a safe call.
//!
//! Owns socket options, urgent data, splice and its pipes, how files are opened that last, the
//! descriptor limit, the service manager's socket and the rights that the process gives up. Must
//! not know FTP, sessions or the runtime. The kernel is Linux.

pub mod confine;
pub mod file;
pub mod notify;
pub mod rlimit;
pub mod socket;
pub mod splice;
