//! ftpwarden
