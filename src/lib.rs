//! ftpwarden
pub mod admin;
pub mod ftp;
pub mod policy;
pub mod session;
pub mod settings;
pub mod telemetry;
