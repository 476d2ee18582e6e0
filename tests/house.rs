//! The layering of `ARCHITECTURE.md`, held by a machine: who may import whom, who may name which
//! crate, and where tasks are spawned.

#![allow(
    clippy::allow_attributes,
    clippy::unwrap_used,
    clippy::string_slice,
    clippy::missing_panics_doc,
    reason = "a test panics when it fails"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// One row of the import table.
struct Row {
    /// The module below `src/`.
    module: &'static str,
    /// The modules of this crate that it may import.
    modules: &'static [&'static str],
    /// The crates that it may name, beside `std`.
    crates: &'static [&'static str],
}

/// The import table. Arrows point downward only.
const TABLE: &[Row] = &[
    Row {
        module: "ftp",
        modules: &[],
        crates: &["bytes"],
    },
    Row {
        module: "policy",
        modules: &["ftp"],
        crates: &[
            "bytes",
            "thiserror",
            "regex",
            "ipnet",
            "jiff",
            "strsim",
            "unicode_normalization",
        ],
    },
    Row {
        module: "session",
        modules: &["ftp", "policy"],
        crates: &["bytes"],
    },
    Row {
        module: "sys",
        modules: &[],
        crates: &[
            "rustix",
            "socket2",
            "sd_notify",
            "landlock",
            "libc",
            "nix",
            "seccompiler",
            "thiserror",
        ],
    },
    Row {
        module: "relay",
        modules: &["sys", "tls"],
        crates: &["tokio"],
    },
    Row {
        module: "upstream",
        modules: &["sys"],
        crates: &["tokio", "thiserror"],
    },
    Row {
        module: "tls",
        modules: &["ftp"],
        crates: &[
            "rustls",
            "rustls_native_certs",
            "x509_parser",
            "thiserror",
            "tokio",
        ],
    },
    Row {
        module: "settings",
        modules: &["ftp", "policy", "session", "tls"],
        crates: &["ipnet", "bytes"],
    },
    Row {
        module: "telemetry",
        modules: &["ftp", "policy", "session", "settings", "sys", "tls"],
        crates: &[
            "bytes",
            "metrics",
            "metrics_process",
            "tracing",
            "tracing_subscriber",
            "serde",
            "serde_json",
            "jiff",
            "arc_swap",
        ],
    },
    Row {
        module: "gateway",
        modules: &[
            "ftp",
            "session",
            "policy",
            "relay",
            "tls",
            "upstream",
            "sys",
            "settings",
            "telemetry",
        ],
        crates: &[
            "tokio",
            "tokio_util",
            "tracing",
            "bytes",
            "rand",
            "thiserror",
            "ipnet",
            "socket2",
        ],
    },
    Row {
        module: "admin",
        modules: &["telemetry"],
        crates: &[
            "tokio",
            "hyper",
            "hyper_util",
            "http_body_util",
            "serde_json",
            "bytes",
            "tracing",
        ],
    },
    Row {
        module: "config",
        modules: &["settings", "ftp", "policy", "session", "tls"],
        crates: &["toml", "annotate_snippets", "ipnet", "bytes"],
    },
    Row {
        module: "cli",
        modules: &[
            "ftp",
            "policy",
            "session",
            "sys",
            "tls",
            "settings",
            "telemetry",
            "gateway",
            "admin",
            "config",
        ],
        crates: &[
            "clap",
            "clap_complete",
            "clap_mangen",
            "tokio",
            "bytes",
            "jiff",
            "serde_json",
            "thiserror",
            "tracing",
        ],
    },
];

/// Every crate that the manifest names: what is looked for.
fn dependencies() -> BTreeSet<String> {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line == "[dependencies]";
        } else if let (true, Some((name, _))) = (inside, line.split_once('=')) {
            names.insert(name.trim().replace('-', "_"));
        }
    }
    assert!(
        names.len() > 20,
        "the manifest's dependencies were read: {names:?}"
    );
    names
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The Rust files below `path`, or `path` itself.
fn sources(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_path_buf()];
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).into_iter().flatten() {
        found.extend(sources(&entry.unwrap().path()));
    }
    found.retain(|path| path.extension().is_some_and(|extension| extension == "rs"));
    found.sort();
    found
}

/// The files of a module: `src/name.rs` and all below `src/name/`, tests apart.
fn files(module: &str) -> Vec<PathBuf> {
    let source = root().join("src");
    let mut found = sources(&source.join(module));
    let file = source.join(format!("{module}.rs"));
    if file.exists() {
        found.push(file);
    }
    found.retain(|path| {
        path.file_name().is_some_and(|name| name != "tests.rs")
            && !path.components().any(|part| part.as_os_str() == "tests")
    });
    found
}

/// The code of a file, without comments and what stands in strings.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .collect::<Vec<_>>()
        .join("\n")
}

/// Whether `code` names `path` as the start of a path (`tokio::`), not as a part of another.
fn names(code: &str, start: &str) -> bool {
    code.match_indices(start).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let own = before.is_none_or(|c| !c.is_alphanumeric() && c != '_' && c != ':');
        own && !code[at..].starts_with(&format!("{start}_"))
    })
}

#[test]
fn every_module_has_a_row() {
    let rows: BTreeSet<&str> = TABLE.iter().map(|row| row.module).collect();
    let mut modules = BTreeSet::new();
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let name = name.trim_end_matches(".rs").to_owned();
        if !["lib", "main"].contains(&name.as_str()) {
            modules.insert(name);
        }
    }
    assert_eq!(modules, rows.iter().map(|row| (*row).to_owned()).collect());
}

#[test]
fn modules_import_downward_only() {
    let modules: Vec<&str> = TABLE.iter().map(|row| row.module).collect();
    let mut seen = 0;
    let mut wrong = Vec::new();
    for row in TABLE {
        for file in files(row.module) {
            let code = code(&file);
            seen += 1;
            for other in modules.iter().filter(|other| **other != row.module) {
                if names(&code, &format!("crate::{other}")) && !row.modules.contains(other) {
                    wrong.push(format!("{} imports {other}", file.display()));
                }
            }
        }
    }
    assert!(seen > 50, "only {seen} files were looked at");
    assert_eq!(wrong, Vec::<String>::new());
}

/// The modules that `module` imports.
fn imports(module: &str) -> BTreeSet<&'static str> {
    let code: Vec<String> = files(module).iter().map(|file| code(file)).collect();
    let others = TABLE.iter().map(|row| row.module);
    others
        .filter(|other| *other != module)
        .filter(|other| {
            let start = format!("crate::{other}");
            code.iter().any(|code| names(code, &start))
        })
        .collect()
}

/// What the last cell of a row of the code map stands for.
fn mapped(cell: &str, above: &[&'static str]) -> BTreeSet<&'static str> {
    let pure = ["ftp", "policy", "session"];
    match cell {
        "all above" => return above.iter().copied().collect(),
        "everything" => return TABLE.iter().map(|row| row.module).collect(),
        _ => {}
    }
    let is_named = |module: &&str| {
        cell.contains(&format!("`{module}`"))
            || (cell.contains("pure modules") && pure.contains(module))
    };
    TABLE
        .iter()
        .map(|row| row.module)
        .filter(is_named)
        .collect()
}

#[test]
fn the_code_map_says_what_is_imported() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut above = Vec::new();
    for line in page.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, _, imported] = cells[..] else {
            continue;
        };
        let named = name
            .strip_prefix('`')
            .and_then(|rest| rest.split('`').next());
        let Some(row) = TABLE.iter().find(|row| Some(row.module) == named) else {
            continue;
        };
        let mut told = mapped(imported, &above);
        told.remove(row.module);
        if row.module != "cli" {
            assert_eq!(told, imports(row.module), "{}", row.module);
        }
        above.push(row.module);
    }
    assert_eq!(above.len(), TABLE.len(), "a module is not in the map");
}

#[test]
fn modules_name_their_own_crates_only() {
    let crates = dependencies();
    let mut wrong = Vec::new();
    for row in TABLE {
        for file in files(row.module) {
            let code = code(&file);
            for name in &crates {
                if names(&code, &format!("{name}::")) && !row.crates.contains(&name.as_str()) {
                    wrong.push(format!("{} names {name}", file.display()));
                }
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

#[test]
fn the_table_permits_nothing_that_is_not_used() {
    let mut idle = Vec::new();
    for row in TABLE {
        let used = imports(row.module);
        let unused = row.modules.iter().filter(|other| !used.contains(*other));
        idle.extend(unused.map(|other| format!("{} does not import {other}", row.module)));
        let code: Vec<String> = files(row.module).iter().map(|file| code(file)).collect();
        let unused = row.crates.iter().filter(|name| {
            let start = format!("{name}::");
            !code.iter().any(|code| names(code, &start))
        });
        idle.extend(unused.map(|name| format!("{} does not name {name}", row.module)));
    }
    assert_eq!(idle, Vec::<String>::new());
}

#[test]
fn imports_are_written_so_that_they_are_seen() {
    for file in sources(&root().join("src")) {
        let is_grouped = code(&file).contains("crate::{");
        assert!(!is_grouped, "{} groups imports", file.display());
    }
}

#[test]
fn the_pure_modules_see_no_world() {
    let banned = [
        "std::fs",
        "std::io",
        "std::net::Tcp",
        "std::net::Udp",
        "std::thread",
        "std::process",
        "std::env",
        "SystemTime",
        "Instant",
        "println!",
        "eprintln!",
    ];
    let mut seen = 0;
    let mut wrong = Vec::new();
    for module in ["ftp", "policy", "session"] {
        for file in files(module) {
            seen += 1;
            let code = code(&file);
            for word in banned {
                if code.contains(word) {
                    wrong.push(format!("{} says {word}", file.display()));
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} files were looked at");
    assert_eq!(wrong, Vec::<String>::new());
}

/// What begins a task or a thread.
const BEGINNINGS: [&str; 4] = [
    "spawn(",
    "spawn_on(",
    "spawn_blocking(",
    "new_multi_thread(",
];

#[test]
fn tasks_and_threads_are_spawned_where_the_map_says() {
    let map = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut sites = BTreeMap::new();
    for file in sources(&root().join("src")) {
        if file.file_name().is_some_and(|name| name == "tests.rs")
            || file.components().any(|part| part.as_os_str() == "tests")
        {
            continue;
        }
        let code = code(&file);
        let count: usize = BEGINNINGS
            .iter()
            .map(|word| code.matches(word).count())
            .sum();
        if count > 0 {
            let name = file.strip_prefix(root()).unwrap().display().to_string();
            sites.insert(name, count);
        }
    }
    assert!(!sites.is_empty(), "no spawn site was found");
    for (site, count) in &sites {
        let row = format!("| `{site}` |");
        assert!(
            map.contains(&row),
            "ARCHITECTURE.md does not list {site} ({count} spawns)"
        );
    }
}

#[test]
fn a_permit_is_made_by_policy_alone() {
    for file in sources(&root().join("src")) {
        let inside = file.strip_prefix(root().join("src")).unwrap();
        if !inside.starts_with("policy") {
            assert!(
                !code(&file).contains("Permit::new"),
                "{} makes a permit",
                file.display()
            );
        }
    }
}

/// The names of tests in the last column of the tables of `SECURITY.md`.
fn named_tests(page: &str) -> Vec<String> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in page.lines() {
        let last = line
            .trim_matches('|')
            .rsplit('|')
            .next()
            .unwrap_or_default();
        match (line.starts_with('|'), last.trim()) {
            (true, "test") => inside = true,
            (true, cell) if inside => {
                names.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned));
            }
            (true, _) => {}
            (false, _) => inside = false,
        }
    }
    names
}

#[test]
fn every_test_that_the_trust_table_names_is_there() {
    let names = named_tests(&fs::read_to_string(root().join("SECURITY.md")).unwrap());
    assert!(names.len() > 100, "only {} were found", names.len());
    let files = [root().join("src"), root().join("tests")];
    let code: String = files
        .iter()
        .flat_map(|folder| sources(folder))
        .map(|file| fs::read_to_string(file).unwrap())
        .collect();
    let conversations = root().join("tests/conversations");
    let missing: Vec<&String> = names
        .iter()
        .filter(|name| {
            if name.contains('/') {
                !conversations.join(format!("{name}.ftp")).is_file() && !root().join(name).is_file()
            } else {
                !code.contains(&format!("fn {name}("))
            }
        })
        .collect();
    assert_eq!(missing, Vec::<&String>::new());
}

#[test]
fn the_check_itself_catches_a_wrong_import() {
    assert!(names("use crate::gateway::Gateway;", "crate::gateway"));
    assert!(names("let x = tokio::spawn(y);", "tokio::"));
    assert!(!names("use tokio_util::sync::X;", "tokio::"));
    assert!(!names("use my::tokio::X;", "tokio::"));
}

#[test]
fn every_test_that_the_documents_name_is_there() {
    let mut functions = BTreeSet::new();
    for folder in ["src", "tests"] {
        for file in sources(&root().join(folder)) {
            let text = code(&file);
            let names = text.split("fn ").skip(1);
            functions.extend(names.map(|rest| {
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
                rest[..end.unwrap_or(rest.len())].to_owned()
            }));
        }
    }
    let mut seen = 0;
    let mut missing = Vec::new();
    for document in ["SECURITY.md", "ARCHITECTURE.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for name in text.split('`').skip(1).step_by(2) {
            // A sentence with underscores for blanks is a test; a key or a function has fewer.
            let is_test = name.matches('_').count() > 2
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if is_test && !name.starts_with("ftpwarden_") {
                seen += 1;
                if !functions.contains(name) {
                    missing.push(format!("{document}: {name}"));
                }
            }
        }
    }
    assert!(seen > 40, "only {seen} tests are named");
    assert_eq!(missing, Vec::<String>::new());
}

#[test]
fn the_package_of_the_pure_modules_has_all_their_tests() {
    let package = fs::read_to_string(root().join("tests/core/lib.rs")).unwrap();
    let mut missing = Vec::new();
    for folder in ["tests/laws", "tests/simulation"] {
        for file in fs::read_dir(root().join(folder)).unwrap() {
            let mut module = file.unwrap().path();
            if module.is_dir() {
                module.push("mod.rs");
            }
            if module.extension().is_some_and(|end| end == "rs") {
                let shown = module.strip_prefix(root()).unwrap().display().to_string();
                if !package.contains(&format!("\"../{shown}\"")) {
                    missing.push(shown);
                }
            }
        }
    }
    let (_, listed) = package.split_once("directories!(").unwrap();
    for directory in fs::read_dir(root().join("tests/conversations")).unwrap() {
        let name = directory.unwrap().file_name().into_string().unwrap();
        if !listed.contains(&name) {
            missing.push(name);
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}
