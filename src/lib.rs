//! ftpwarden
pub mod cli;
pub mod config;
pub mod ftp;
pub mod policy;
pub mod session;
pub mod settings;
pub mod telemetry;
