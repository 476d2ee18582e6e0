//! `deploy/build`: what it makes is the program. It optimises little here, so that it takes minutes and not ten of them.

use std::process::Command;

use crate::tools::{GATEWAY, repository, succeed};

#[test]
fn the_guided_build_is_the_program() {
    let folder = repository("target/guided-little");
    let mut build = Command::new(repository("deploy/build"));
    build.arg(&folder).envs([
        ("CARGO_PROFILE_RELEASE_LTO", "off"),
        ("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1"),
        ("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16"),
    ]);
    let said = succeed(&mut build);
    // The compiler warns of counts that it cannot use.
    assert!(!said.contains("warning"), "{said}");
    let program = folder.join("ftpwarden");
    let version = |program: &str| succeed(Command::new(program).arg("--version"));
    assert_eq!(version(program.to_str().unwrap()), version(GATEWAY));
    let reference = repository("config/reference.toml");
    succeed(Command::new(&program).arg("check").arg(reference));
}
