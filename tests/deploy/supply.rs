//! What we depend on, and the scripts that build and test.

use crate::tools::{repository, succeed, tool};

#[test]
fn dependencies_keep_the_rules_of_deny_toml() {
    // Advisories need a network and belong to a scheduled run.
    succeed(
        tool("cargo-deny")
            .args(["--offline", "--manifest-path"])
            .arg(repository("Cargo.toml"))
            .args(["check", "bans", "licenses", "sources"]),
    );
}

#[test]
fn scripts_pass_shellcheck() {
    let scripts = [
        ".ci/run",
        "benches/install",
        "benches/profile",
        "deploy/build",
        "fuzz/run",
        "tests/install",
        "tests/run",
        "tests/deploy/install",
    ];
    succeed(tool("shellcheck").args(scripts.map(repository)));
}
