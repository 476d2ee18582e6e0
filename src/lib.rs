//! ftpwarden
pub mod ftp;
pub mod policy;
