//! ftpwarden
pub mod admin;
pub mod ftp;
pub mod gateway;
pub mod policy;
pub mod relay;
pub mod session;
pub mod settings;
pub mod sys;
pub mod telemetry;
pub mod upstream;
