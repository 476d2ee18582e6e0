//! ftpwarden
fn main() {}
