//! Finding and running the programs of others.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The gateway, as built for this test.
pub(crate) const GATEWAY: &str = env!("CARGO_BIN_EXE_ftpwarden");

/// A path of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of the repository.
pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The program `name`: as `tests/install` unpacked it, else the system's.
pub(crate) fn tool(name: &str) -> Command {
    let unpacked = fs::read_dir(repository("target/tools"))
        .into_iter()
        .flatten()
        .flatten();
    let found = unpacked
        .flat_map(|folder| ["bin", "usr/bin", "usr/sbin"].map(|bin| folder.path().join(bin)))
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|bin| bin.join(name))
        .find(|program| program.is_file());
    Command::new(found.unwrap_or_else(|| name.into()))
}

/// Runs a command to its end, whatever that is.
pub(crate) fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| match error.kind() {
        ErrorKind::NotFound => {
            panic!(
                "{} is missing: run tests/install",
                command.get_program().display()
            )
        }
        _ => panic!("{command:?}: {error}"),
    })
}

/// Runs a command that must succeed, and returns what it said on both streams.
pub(crate) fn succeed(command: &mut Command) -> String {
    let output = output(command);
    let said = said(&output);
    assert!(
        output.status.success(),
        "{command:?}: {}\n{said}",
        output.status
    );
    said
}

/// What a command said, standard output first.
pub(crate) fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr]
        .map(|stream| String::from_utf8_lossy(stream))
        .concat()
}
