//! The only modules that talk to the kernel directly; everything is a safe call.
//!
//! Owns socket options, urgent data, splice and its pipes, the descriptor limit and the service
//! manager's socket. Must not know FTP, sessions or the runtime.

pub mod notify;
pub mod rlimit;
pub mod socket;
pub mod splice;
