//! Every conversation below `conversations/`, through the pure core and over sockets.
//!
//! A file says what each side sends and what each must receive, byte for byte; the format is
//! that of `dialogue/script.rs`. Everything else that reaches a side fails the conversation.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

#[path = "support/deaf.rs"]
mod deaf;
mod dialogue;

use dialogue::core::{self, Segments};
use dialogue::script::Script;
use dialogue::{sockets, topics};
use tokio::task::JoinSet;

/// Every conversation of a directory.
fn scripts(directory: &str) -> Vec<Script> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/conversations")
        .join(directory);
    let mut files: Vec<PathBuf> = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|file| file.extension().is_some_and(|end| end == "ftp"));
    files.sort();
    files
        .iter()
        .map(|file| {
            let name = format!(
                "{directory}/{}",
                file.file_name().unwrap().to_str().unwrap()
            );
            let source = fs::read_to_string(file).unwrap();
            Script::parse(&name, &source).unwrap_or_else(|fault| panic!("{name}, {fault}"))
        })
        .collect()
}

/// Runs every conversation of `directory` through the core.
fn hold(directory: &str, segments: Segments) {
    let failures: Vec<String> = scripts(directory)
        .iter()
        .filter(|script| segments == Segments::Lines || script.whole_only.is_none())
        .filter_map(|script| {
            let fault = core::run(script, segments).err()?;
            Some(format!("{}\n    {fault}\n", script.name))
        })
        .collect();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// Runs every conversation of `directory` over sockets, all at once.
fn meet(directory: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let mut failures = Vec::new();
    let mut running = JoinSet::new();
    for script in scripts(directory) {
        match sockets::excuse(&script) {
            Err(fault) => failures.push(format!("{}\n    {fault}\n", script.name)),
            Ok(Some(reason)) => println!("{}: in the core only, {reason}", script.name),
            Ok(None) => {
                running.spawn_on(
                    async move {
                        let result = sockets::run(&script).await;
                        result.map_err(|fault| format!("{}\n    {fault}\n", script.name))
                    },
                    runtime.handle(),
                );
            }
        }
    }
    let results = runtime.block_on(running.join_all());
    failures.extend(results.into_iter().filter_map(Result::err));
    failures.sort();
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

/// One test for each directory and way of running.
macro_rules! directories {
    ($($name:ident),*) => {
        /// Every directory.
        const DIRECTORIES: &[&str] = &[$(stringify!($name)),*];

        mod in_the_core {
            $(#[test] fn $name() { super::hold(stringify!($name), super::Segments::Lines); })*
        }

        mod over_sockets {
            $(#[test] fn $name() { super::meet(stringify!($name)); })*
        }

        mod in_single_bytes {
            $(#[test] fn $name() { super::hold(stringify!($name), super::Segments::Bytes); })*
        }
    };
}

directories!(
    abort, active, evasion, limits, login, passive, pipelining, policy, quirks, replies, security,
    tls, transfer
);

#[test]
fn the_corpus_has_its_size() {
    let all: Vec<Script> = DIRECTORIES
        .iter()
        .flat_map(|directory| scripts(directory))
        .collect();
    let core_only = all.iter().filter(|script| script.pure_only.is_some());
    assert_eq!(all.len(), 435, "conversations");
    assert_eq!(core_only.count(), 58, "in the core only");
    let whole_only = all.iter().filter(|script| script.whole_only.is_some());
    assert_eq!(whole_only.count(), 5, "in whole segments only");
}

#[test]
fn every_directory_is_run() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversations");
    let mut found: Vec<String> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, DIRECTORIES);
}

#[test]
fn every_topic_is_shown() {
    let mut count = 0;
    for (topic, shown) in topics::all() {
        count += 1;
        assert!(!shown.is_empty(), "nothing shows {topic}");
        for name in *shown {
            let path = format!(
                "{}/tests/conversations/{name}.ftp",
                env!("CARGO_MANIFEST_DIR")
            );
            assert!(Path::new(&path).is_file(), "{name} is to show {topic}");
        }
    }
    assert_eq!(count, 162, "topics");
}

#[test]
fn every_conversation_says_what_it_shows() {
    for script in DIRECTORIES.iter().flat_map(|directory| scripts(directory)) {
        let about = &script.about;
        let source = about.split(':').next().unwrap_or_default();
        assert!(
            source.contains("RFC ") || source.starts_with("draft-"),
            "{}: {about}",
            script.name
        );
        assert!(!script.lines.is_empty(), "{} is empty", script.name);
    }
}
