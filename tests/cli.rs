//! The command line: exit codes, what is printed where, completions, the manual page, and a
//! gateway that is run, asked, reloaded and ended by its signals.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use assert_cmd::cargo::cargo_bin;
use gateway::Gateway;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpSocket;

#[expect(dead_code, reason = "each suite uses a part of it")]
#[path = "support/process.rs"]
mod gateway;

/// The program.
fn program() -> Command {
    let mut command = Command::new(cargo_bin("ftpwarden"));
    command.env_remove("NO_COLOR").stdin(Stdio::null());
    command
}

/// What the program says to `arguments`.
fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

/// What was printed.
fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A file in a directory that is removed in the end.
fn file(content: &str) -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("ftpwarden.toml");
    fs::write(&path, content).unwrap();
    (directory, path)
}

/// How `explain` of the configuration at `path` ends, and what it prints.
fn explain(path: &Path, more: &[&str]) -> (Option<i32>, String) {
    let config = ["explain", "--config", path.to_str().unwrap()];
    let output = run(&[&config[..], more].concat());
    (output.status.code(), text(&output.stdout))
}

/// Compares with a file below `tests/cli`; `BLESS=1` writes it anew.
fn golden(name: &str, got: &str) {
    let path = Path::new("tests/cli").join(name);
    if std::env::var_os("BLESS").is_some() {
        fs::create_dir_all("tests/cli").unwrap();
        fs::write(&path, got).unwrap();
    }
    assert_eq!(got, fs::read_to_string(&path).unwrap_or_default(), "{name}");
}

#[test]
fn usage_errors_exit_with_2() {
    for arguments in [
        &[][..],
        &["serve"],
        &["run"],
        &["run", "--bind", "127.0.0.1:0"],
        &["run", "--upstream", "127.0.0.1:21"],
        &["run", "--config", "a.toml", "--deny", "SITE"],
        &["check"],
        &["explain", "--config", "config/ftpwarden.toml"],
        &["explain", "RETR a"],
        &[
            "explain",
            "--config",
            "config/ftpwarden.toml",
            "--at",
            "noon",
            "RETR a",
        ],
        &[
            "explain",
            "--config",
            "config/ftpwarden.toml",
            "--client",
            "me",
            "RETR a",
        ],
        &[
            "explain",
            "--config",
            "config/ftpwarden.toml",
            "--listener",
            "x",
            "RETR a",
        ],
        &[
            "explain",
            "--config",
            "config/examples/scanners.toml",
            "RETR a",
        ],
        &["explain", "--groups", "RETR a"],
        &[
            "explain",
            "--config",
            "config/ftpwarden.toml",
            "RETR a\r\nSITE x",
        ],
        &["probe", "not an address"],
        &["completions", "dos"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {output:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
        assert!(!output.stderr.is_empty(), "{arguments:?}");
    }
}

#[test]
fn help_and_version_exit_with_0() {
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["help", "run"],
        &["run", "--help"],
        &["check", "--help"],
        &["explain", "--help"],
        &["probe", "--help"],
        &["healthcheck", "--help"],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(!output.stdout.is_empty(), "{arguments:?}");
    }
    let version = run(&["--version"]);
    assert_eq!(
        text(&version.stdout),
        format!("ftpwarden {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn check_says_what_is_fine() {
    let output = run(&["check", "config/ftpwarden.toml"]);
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(
        text(&output.stdout),
        "config/ftpwarden.toml: fine: 1 listener, 1 upstream\n"
    );
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn check_reports_on_standard_error_and_exits_with_78() {
    let output = run(&["check", "tests/configs/invalid/unknown-keys.toml"]);
    assert_eq!(output.status.code(), Some(78));
    assert_eq!(text(&output.stdout), "");
    golden("check-unknown-keys.txt", &text(&output.stderr));
}

#[test]
fn check_takes_warnings_unless_it_is_strict() {
    let path = "tests/configs/warned/unused-upstream.toml";
    let output = run(&["check", path]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stdout).ends_with("fine: 1 listener, 2 upstreams, 1 warning\n"));
    assert!(text(&output.stderr).starts_with("warning[config/unused-upstream]"));
    let strict = run(&["check", "--strict", path]);
    assert_eq!(strict.status.code(), Some(78));
    assert_eq!(text(&strict.stdout), "");
    assert!(text(&strict.stderr).ends_with("has warnings, which --strict refuses\n"));
}

#[test]
fn check_tells_scripts_the_same() {
    let json = |arguments: &[&str]| {
        let output = run(arguments);
        let value: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(text(&output.stderr), "");
        (output.status.code(), value)
    };
    let (code, fine) = json(&["check", "--json", "config/ftpwarden.toml"]);
    assert_eq!(
        (code, &fine["ok"], &fine["errors"]),
        (Some(0), &true.into(), &0.into())
    );
    let warned = "tests/configs/warned/unused-upstream.toml";
    let (code, value) = json(&["check", "--json", warned]);
    assert_eq!(
        (code, &value["ok"], &value["warnings"]),
        (Some(0), &true.into(), &1.into())
    );
    let (code, value) = json(&["check", "--json", "--strict", warned]);
    assert_eq!((code, &value["ok"]), (Some(78), &false.into()));
    let (code, value) = json(&["check", "--json", "tests/configs/invalid/bind-twice.toml"]);
    assert_eq!(
        (code, &value["ok"], &value["errors"]),
        (Some(78), &false.into(), &3.into())
    );
    let first = &value["diagnostics"][0];
    assert_eq!(first["code"], "config/duplicate-bind");
    assert_eq!((&first["line"], &first["column"]), (&2.into(), &34.into()));
    assert_eq!(first["also"]["message"], "first bound here");
    let (code, value) = json(&["check", "--json", "no such file"]);
    assert_eq!((code, &value["ok"]), (Some(78), &false.into()));
    assert_eq!(value["diagnostics"][0]["code"], "config/unreadable");
}

#[test]
fn files_that_cannot_be_read_exit_with_78() {
    let (directory, path) = file("");
    fs::write(&path, [b'#', 0xFF, b'\n']).unwrap();
    let missing = directory.path().join("missing.toml");
    for path in [path.as_path(), &missing, directory.path()] {
        let name = path.to_str().unwrap();
        for arguments in [
            &["check", name][..],
            &["run", "--config", name],
            &["explain", "--config", name, "NOOP"],
            &["healthcheck", "--config", name],
        ] {
            let output = run(arguments);
            assert_eq!(output.status.code(), Some(78), "{arguments:?}");
            assert!(
                text(&output.stderr).contains(name),
                "{arguments:?}: {output:?}"
            );
        }
    }
}

#[test]
fn nothing_is_coloured_where_nobody_looks() {
    for no_color in ["", "1"] {
        let output = program()
            .args(["check", "tests/configs/invalid/unknown-keys.toml"])
            .env("NO_COLOR", no_color)
            .output()
            .unwrap();
        assert!(!output.stderr.contains(&0x1B));
    }
}

/// Runs the program with a terminal as its output and errors, by util-linux' `script`.
fn on_a_terminal(arguments: &str, no_color: Option<&str>) -> String {
    let mut command = Command::new("script");
    let line = format!("{} {arguments}", cargo_bin("ftpwarden").display());
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command
        .env_remove("NO_COLOR")
        .env("TERM", "xterm")
        .stdin(Stdio::null());
    if let Some(value) = no_color {
        command.env("NO_COLOR", value);
    }
    text(&command.output().unwrap().stdout)
}

#[test]
fn a_terminal_has_colours_unless_no_color_is_set() {
    let check = "check tests/configs/invalid/unknown-keys.toml";
    let explain = "explain --config config/ftpwarden.toml 'SITE x'";
    for arguments in [check, explain] {
        assert!(
            on_a_terminal(arguments, None).contains("\u{1b}["),
            "{arguments}"
        );
        assert!(
            on_a_terminal(arguments, Some("")).contains("\u{1b}["),
            "{arguments}"
        );
        assert!(
            !on_a_terminal(arguments, Some("1")).contains("\u{1b}["),
            "{arguments}"
        );
    }
}

#[test]
fn explain_says_what_decides_and_where() {
    let output = run(&[
        "explain",
        "--config",
        "config/examples/edi-partners.toml",
        "--user",
        "acme",
        "--client",
        "198.51.100.9",
        "--tls",
        "--at",
        "2026-11-25T10:00:00[Europe/Berlin]",
        "CWD /in/acme",
        "STOR ORDERS20261125.edi",
        "STOR orders.txt",
        "DELE ORDERS20261125.edi",
        "AUTH TLS",
        "S1TE! x",
        "QUIT",
    ]);
    assert_eq!(output.status.code(), Some(3));
    assert_eq!(text(&output.stderr), "");
    golden("explain.txt", &text(&output.stdout));
}

#[test]
fn explain_names_the_rule_that_refuses_and_no_other() {
    let (_directory, path) = file(
        "listeners.main = { bind = \"127.0.0.1:0\", upstream = \"legacy\", policy = \"read-only\" }\n\
         upstreams.legacy = { address = \"10.0.0.5:21\", policy = \"no-secret\", path_bytes = 64 }\n\
         [policies.no-secret]\ndefault = \"allow\"\nrules = [\n\
         { name = \"secret\", commands = \"RETR\", paths = \"/secret/**\", action = \"deny\" },\n]\n",
    );
    let (code, told) = explain(&path, &["RETR /secret/a"]);
    assert_eq!(code, Some(3));
    assert!(
        told.contains("rule: `secret` of policy `no-secret` at "),
        "{told}"
    );
    let (code, told) = explain(&path, &["STOR /a"]);
    assert_eq!(code, Some(3));
    assert!(told.contains("of policy `read-only`"), "{told}");
    // Both policies let this pass.
    let (code, told) = explain(&path, &[&format!("RETR /{}", "a".repeat(64))]);
    assert_eq!(code, Some(3));
    assert!(told.contains("rule: none, the gateway itself"), "{told}");
}

#[test]
fn a_path_put_together_from_short_pieces_is_too_long() {
    let (_directory, path) = file(
        "listeners.main = { bind = \"127.0.0.1:0\", upstream = \"legacy\" }\n\
         upstreams.legacy = { address = \"10.0.0.5:21\", path_bytes = 16 }\n",
    );
    let fates = |commands: &[&str]| {
        let (_, told) = explain(&path, commands);
        let words = told.lines().filter(|line| !line.starts_with(' '));
        words
            .filter_map(|line| line.split_once(':').map(|(fate, _)| fate.to_owned()))
            .collect::<Vec<String>>()
    };
    let pieces = [
        "CWD /aaaaaaaaaa",
        "CWD bbb",
        "STOR c",
        "STOR cc",
        "STOR /aaaaaaaaaa/c",
    ];
    assert_eq!(fates(&pieces), ["allow", "allow", "deny", "deny", "allow"]);
    let pieces = [
        "CWD /aaaa",
        "CWD bbbb",
        "CWD cccc",
        "CDUP",
        "STOR cccccc",
        "STOR c",
    ];
    assert_eq!(
        fates(&pieces),
        ["allow", "allow", "allow", "allow", "deny", "allow"]
    );
}

#[test]
fn explain_refuses_what_is_no_command_and_no_directory_in_full() {
    let refused = |arguments: &[&str], what: &str| {
        let config = ["explain", "--config", "config/examples/zos-datasets.toml"];
        let output = run(&[&config[..], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let told = text(&output.stderr);
        assert!(told.contains(what), "{told}");
    };
    refused(&[""], "a command is empty");
    refused(&["PWD", " "], "a command is empty");
    refused(
        &["--cwd", "ANNA.", "PWD"],
        "--cwd \"ANNA.\" is not written in full",
    );
    let config = Path::new("config/examples/zos-datasets.toml");
    for directory in ["'ANNA.'", "/u/anna"] {
        let (code, told) = explain(config, &["--cwd", directory, "PWD"]);
        assert_eq!(code, Some(0), "{told}");
    }
    let config = Path::new("config/ftpwarden.toml");
    let output = run(&[
        "explain",
        "--config",
        config.to_str().unwrap(),
        "--cwd",
        "home",
        "PWD",
    ]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn a_file_that_is_no_text_is_told_with_its_place() {
    let (_directory, path) = file("");
    fs::write(&path, b"# \xc3\xa4\n# ab\xff\n").unwrap();
    let output = run(&["check", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(78));
    let told = text(&output.stderr);
    assert!(told.contains("line 2, column 5 is not UTF-8"), "{told}");
}

#[test]
fn explain_says_which_condition_on_channels_fails() {
    let tls = "listeners.main.tls = { certificate = \"c\", key = \"k\", require = \"no\", \
               client_certificates = \"optional\", client_ca = \"ca\" }\n";
    let (_directory, path) = file(
        &("listeners.main.bind = \"127.0.0.1:0\"\nlisteners.main.upstream = \"legacy\"\n\
         listeners.main.policy = \"p\"\n"
            .to_owned()
            + tls
            + "upstreams.legacy.address = \"10.0.0.5:21\"\n\
         [policies.p]\nallow = [\"@session\"]\nrules = [\n\
         { commands = \"RETR\", tls = true, client_certificate = \"CN=acme,*\", action = \"allow\" },\n\
         { commands = \"STOR\", tls = false, action = \"deny\", reply = \"553 Not in clear.\" },\n\
         { commands = \"STOR\", action = \"allow\" },\n]\n"),
    );
    let explain = |more: &[&str]| explain(&path, more);
    let in_clear = "lacks: `tls`, the control connection is in clear";
    let (code, told) = explain(&["RETR a", "STOR a", "PWD", "DELE a"]);
    assert_eq!(code, Some(3));
    let blocks: Vec<bool> = told
        .split("\ndeny: ")
        .flat_map(|block| block.split("\nallow: "))
        .map(|block| block.contains(in_clear))
        .collect();
    assert_eq!(blocks, [true, true, false, false], "{told}");

    let (code, told) = explain(&["--tls", "RETR a"]);
    assert_eq!(code, Some(3));
    assert!(told.contains("reply: 530 "), "{told}");
    assert!(told.contains("lacks: `client_certificate`, "), "{told}");

    let acme = ["--tls", "--client-certificate", "CN=acme,O=Acme"];
    let (code, told) = explain(&[&acme[..], &["RETR a", "STOR a"]].concat());
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = explain(&[&acme[..], &["PROT C", "RETR a"]].concat());
    assert_eq!(code, Some(3));
    assert!(told.contains("reply: 521 "), "{told}");
    assert!(told.contains("lacks: `tls`, the data connection"), "{told}");

    // Nobody is asked for a certificate, or is under TLS.
    let written = fs::read_to_string(&path).unwrap();
    let asks = ", client_certificates = \"optional\", client_ca = \"ca\"";
    fs::write(&path, written.replace(asks, "")).unwrap();
    let output = run(&[
        &["explain", "--config", path.to_str().unwrap()],
        &acme[..],
        &["PWD"],
    ]
    .concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("main asks no client for a certificate"));
    // The newest version that the listener has.
    let newer = written.replace("tls = true, client", "tls_version = \"1.3\", client");
    let explained = |text: String| {
        fs::write(&path, text).unwrap();
        explain(&[&acme[..], &["RETR a"]].concat())
    };
    let (code, told) = explained(newer.clone());
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = explained(newer.replace("key = ", "versions = [\"1.2\"], key = "));
    assert_eq!(code, Some(3), "{told}");
    assert!(told.contains("lacks: `tls_version`"), "{told}");
    fs::write(&path, written.replace(tls, "")).unwrap();
    let output = run(&[
        "explain",
        "--config",
        path.to_str().unwrap(),
        "--tls",
        "PWD",
    ]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no client of the listener main is under TLS"));

    let (_, told) = explain(&["--json", "RETR a", "DELE a"]);
    let value: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(value["commands"][0]["lacks"], "tls");
    assert_eq!(value["commands"][1]["lacks"], Value::Null);
    let output = run(&[
        "explain",
        "--config",
        "x",
        "--client-certificate",
        "CN=a",
        "PWD",
    ]);
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn explain_knows_what_tls_towards_the_server_forbids() {
    for (mode, fate) in [("off", 0), ("explicit", 3), ("implicit", 3), ("match", 0)] {
        let (_directory, path) = file(&format!(
            "listeners.main = {{ bind = \"127.0.0.1:0\", upstream = \"legacy\", policy = \"permissive\" }}\n\
             upstreams.legacy = {{ address = \"10.0.0.5:21\", tls.mode = \"{mode}\" }}\n",
        ));
        let (code, told) = explain(&path, &["LIST", "REIN"]);
        assert_eq!(code, Some(fate), "{mode}: {told}");
        assert_eq!(told.contains("reply: 534 "), fate == 3, "{mode}: {told}");
    }
}

#[test]
fn explain_exits_with_0_when_all_is_allowed() {
    let config = ["explain", "--config", "config/ftpwarden.toml"];
    let output = run(&[&config[..], &["LIST", "RETR a", "SYST"]].concat());
    assert_eq!(output.status.code(), Some(0));
    let output = run(&[&config[..], &["LIST", "SITE HELP", "SYST"]].concat());
    assert_eq!(output.status.code(), Some(3));
}

#[test]
fn explain_tells_of_a_refused_login() {
    let output = run(&[
        "explain",
        "--config",
        "config/examples/anonymous-mirror.toml",
        "--user",
        "root",
        "RETR a",
    ]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("the login of root is refused"));
    assert!(text(&output.stdout).starts_with("deny: USER root\n  reply: 331 "));
}

#[test]
fn explain_tells_scripts_the_same() {
    let output = run(&[
        "explain",
        "--config",
        "config/examples/observe-first.toml",
        "--json",
        "DELE /a",
        "SMNT x",
    ]);
    assert_eq!(output.status.code(), Some(3));
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value["listener"], "main");
    assert_eq!(value["login"], Value::Null);
    let dele = &value["commands"][0];
    assert_eq!(
        (&dele["verdict"], &dele["allowed"]),
        (&"allow".into(), &true.into())
    );
    assert_eq!(dele["decided"]["rule"], "default");
    assert_eq!(dele["observed"]["policy"], "next");
    assert_eq!(dele["observed"]["action"], "deny");
    assert_eq!(dele["path"], "/a");
    let smnt = &value["commands"][1];
    assert_eq!(
        (&smnt["verdict"], &smnt["code"]),
        (&"deny".into(), &502.into())
    );
    assert_eq!(
        smnt["decided"]["place"]["file"],
        "config/examples/observe-first.toml"
    );
    assert!(smnt["decided"]["place"]["line"].is_u64());
}

#[test]
fn explain_prints_the_groups() {
    let output = run(&["explain", "--groups"]);
    assert_eq!(output.status.code(), Some(0));
    golden("groups.txt", &text(&output.stdout));
    let output = run(&["explain", "--groups", "--json"]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(value.as_object().unwrap().len(), 16);
    assert_eq!(value["@download"][0]["name"], "RETR");
}

#[test]
fn explain_never_moves_the_cursor() {
    let output = run(&[
        "explain",
        "--config",
        "config/ftpwarden.toml",
        "RETR \u{1b}[2Ja",
    ]);
    assert!(!output.stdout.contains(&0x1B));
}

#[test]
fn completions_are_there_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell]);
        assert_eq!(output.status.code(), Some(0), "{shell}");
        let script = text(&output.stdout);
        for word in ["explain", "--strict", "healthcheck"] {
            assert!(
                script.contains(word.trim_start_matches('-')),
                "{shell}: {word}"
            );
        }
    }
    let (directory, path) = file(&text(&run(&["completions", "bash"]).stdout));
    let status = Command::new("bash").arg("-n").arg(&path).status().unwrap();
    assert!(status.success());
    drop(directory);
}

#[test]
fn the_manual_page_is_good_roff() {
    let output = run(&["man"]);
    assert_eq!(output.status.code(), Some(0));
    let page = text(&output.stdout);
    for word in [
        "ftpwarden run",
        "EXIT STATUS",
        "SIGHUP",
        "NO_COLOR",
        "SSL_CERT_FILE",
        "NOTIFY_SOCKET",
        "healthcheck",
        "RFC 2228",
        "RFC 4217",
    ] {
        assert!(page.contains(word), "{word}");
    }
    let (_directory, path) = file(&page);
    let lint = Command::new("mandoc")
        .args(["-Tlint", "-Wwarning"])
        .arg(&path)
        .output()
        .expect("mandoc is to be installed");
    assert_eq!(text(&lint.stdout), "");
}

#[test]
fn a_run_without_a_file_is_checked_like_a_file() {
    let output = run(&[
        "run",
        "--bind",
        "127.0.0.1",
        "--upstream",
        "10.0.0.5:21",
        "--policy",
        "standart",
        "--deny",
        "STIE CHMOD",
    ]);
    assert_eq!(output.status.code(), Some(78));
    golden("run-flags.txt", &text(&output.stderr));
}

#[test]
fn run_says_why_it_cannot_listen() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["run", "--bind", &address, "--upstream", "10.0.0.5:21"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("cannot listen on {address}")));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.toml");
    let text_of = format!(
        "listeners.main = {{ bind = \"127.0.0.1:0\", upstream = \"legacy\" }}\n\
         upstreams.legacy.address = \"10.0.0.5:21\"\nadmin.bind = \"{address}\"\n"
    );
    fs::write(&path, text_of).unwrap();
    let output = run(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stderr);
    assert!(
        said.contains(&format!("[admin] cannot listen on {address}")),
        "{said}"
    );
    assert!(said.contains("see `ss -ltnp`"), "{said}");
}

/// A server who greets and answers every line, on a thread that ends with the test.
fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

/// The server's part of one connection. It has a buffer of 512 bytes, and what does not fit is
/// run as a command.
fn serve(mut stream: TcpStream) {
    let mut lines = BufReader::new(stream.try_clone().unwrap());
    let mut say = |text: &str| stream.write_all(format!("{text}\r\n").as_bytes());
    say("220 Old FTP service").unwrap();
    let mut line = String::new();
    while lines.read_line(&mut line).is_ok_and(|count| count > 0) {
        let verb = line
            .split_whitespace()
            .next()
            .unwrap_or_default()
            .to_uppercase();
        let said = match verb.as_str() {
            "USER" => say("331 Password"),
            "PASS" => say("230 In"),
            "SYST" => say("215 Windows_NT"),
            "FEAT" => say("211-Features\r\n SIZE\r\n211 End"),
            "AUTH" => say("234 Go on"),
            "QUIT" => {
                say("221 Bye").ok();
                return;
            }
            _ if line.len() > 512 => say("200 Done").and_then(|()| say("500 What?")),
            _ => say("200 Done"),
        };
        if said.is_err() {
            return;
        }
        line.clear();
    }
}

#[test]
fn probe_prints_a_configuration_that_is_fine() {
    let address = server().to_string();
    let output = run(&["probe", &address]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let printed = text(&output.stdout);
    golden("probe.txt", &printed.replace(&address, "127.0.0.1:2121"));
    let (_directory, path) = file(&printed);
    let check = run(&["check", "--strict", path.to_str().unwrap()]);
    assert_eq!(check.status.code(), Some(0), "{check:?}");
    let output = run(&["probe", "--json", &address]);
    let value: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&value["line_bytes"], &value["tls"]),
        (&510.into(), &true.into())
    );
    assert_eq!(value["configuration"], printed);
}

#[test]
fn probe_says_why_it_cannot() {
    // It has a port, so that no other test gets it, and does not listen there.
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = nobody.local_addr().unwrap().to_string();
    let output = run(&["probe", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("cannot be probed"));
}

#[test]
fn probe_and_healthcheck_say_what_did_not_come_in_time() {
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    for (arguments, what) in [
        (
            vec!["probe", &address],
            "it took the connection and did not greet within 10 s",
        ),
        (
            vec!["healthcheck", "--address", &address],
            "it took the connection and did not answer within 3 s",
        ),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(1));
        let told = text(&output.stderr);
        assert!(told.contains(what), "{told}");
    }
    // One that closes at once is another thing.
    let closing = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = closing.local_addr().unwrap().to_string();
    let server = std::thread::spawn(move || drop(closing.accept().unwrap()));
    let told = text(&run(&["probe", &address]).stderr);
    server.join().unwrap();
    assert!(told.contains("ended it without a greeting"), "{told}");
}

#[test]
fn an_audit_file_that_cannot_be_opened_is_named() {
    let directory = TempDir::new().unwrap();
    let audit = directory.path().join("absent/audit.jsonl");
    let (_directory, path) = file(&format!(
        "[listeners.main]\nbind = \"127.0.0.1:0\"\nupstream = \"old\"\n\
         [upstreams.old]\naddress = \"127.0.0.1:21\"\n[audit]\npath = {audit:?}\n"
    ));
    let output = run(&["run", "--config", path.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let told = text(&output.stderr);
    let wanted = format!("[audit] cannot write to `path` {}", audit.display());
    assert!(told.contains(&wanted), "{told}");
    assert!(told.contains("; make the directory"), "{told}");
}

/// A client's connection.
struct Client(BufReader<TcpStream>);

impl Client {
    /// Dials the gateway and reads the greeting.
    fn dial(gateway: SocketAddr) -> (Self, String) {
        let stream = TcpStream::connect(gateway).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(20)))
            .unwrap();
        let mut client = Self(BufReader::new(stream));
        let greeting = client.line();
        (client, greeting)
    }

    /// One line.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line
    }

    /// One command and the first line of its reply.
    fn ask(&mut self, command: &str) -> String {
        self.0
            .get_mut()
            .write_all(format!("{command}\r\n").as_bytes())
            .unwrap();
        self.line()
    }
}

/// The lines of the log in which `gateway` said what it listens on.
fn announced(gateway: &Gateway) -> String {
    let lines = gateway.before().iter();
    let told = lines.filter(|line| line.contains(" listening "));
    told.cloned().collect::<Vec<_>>().join("\n")
}

#[test]
fn a_gateway_runs_reloads_and_ends() {
    let upstream = server();
    // An address that no other test uses, so that nobody takes the port meanwhile.
    let free = TcpListener::bind("127.0.0.8:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let configuration = |policy: &str| {
        format!(
            "[listeners.main]\nbind = \"127.0.0.1:0\"\nupstream = \"old\"\npolicy = \"{policy}\"\n\
             [upstreams.old]\naddress = \"{upstream}\"\n[admin]\nbind = \"{free}\"\n"
        )
    };
    let gateway = Gateway::run(&configuration("standard"));
    let name = gateway.file.to_str().unwrap();
    let line = announced(&gateway);
    assert!(
        line.contains("listener=main") && line.contains(&upstream.to_string()),
        "{line}"
    );
    let (mut client, greeting) = Client::dial(gateway.address);
    assert_eq!(greeting, "220 Old FTP service\r\n");
    assert!(client.ask("USER anna").starts_with("331"));
    assert!(client.ask("PASS x").starts_with("230"));
    assert!(client.ask("SITE HELP").starts_with("502"));
    assert!(client.ask("DELE a").starts_with("200"));
    let admin = gateway.admin.to_string();
    assert_eq!(
        run(&["healthcheck", "--config", name]).status.code(),
        Some(0)
    );

    // A file that cannot be taken changes nothing.
    fs::write(&gateway.file, configuration("read-onli")).unwrap();
    gateway.signal("HUP");
    let line = gateway.line("not reloaded");
    assert!(line.contains("there is no policy"), "{line}");
    assert!(client.ask("DELE a").starts_with("200"));
    // The file says nothing of the gateway that runs; its address does.
    let health = |of: &[&str]| run(&[&["healthcheck"], of].concat()).status.code();
    assert_eq!(health(&["--config", name]), Some(78));
    assert_eq!(health(&["--address", &admin]), Some(0));

    // A good one is in force before the next command of a live session.
    fs::write(&gateway.file, configuration("read-only")).unwrap();
    gateway.signal("HUP");
    gateway.line("was reloaded");
    assert!(client.ask("DELE a").starts_with("502"));
    gateway.signal("USR1");
    gateway.signal("USR2");
    gateway.line("SIGUSR2 was ignored");

    gateway.signal("QUIT");
    gateway.line("draining");
    assert!(client.line().starts_with("421"));
    assert_eq!(gateway.wait().code(), Some(0));
    assert_eq!(
        run(&["healthcheck", "--config", name]).status.code(),
        Some(1)
    );
}

#[test]
fn a_reload_tells_which_addresses_come_and_go() {
    let upstream = server();
    let configuration = |name: &str, admin: &str| {
        format!(
            "[listeners.main]\nbind = \"127.0.0.1:0\"\nupstream = \"old\"\n\
             [listeners.{name}]\nbind = \"127.0.0.9:0\"\nupstream = \"old\"\n\
             [upstreams.old]\naddress = \"{upstream}\"\n[admin]\nbind = \"{admin}:0\"\n"
        )
    };
    let gateway = Gateway::run(&configuration("second", "127.0.0.1"));
    let second = gateway.listeners.get("second").unwrap();
    let moved =
        configuration("third", "127.0.0.9").replace("127.0.0.9:0\"\nup", "127.0.0.10:0\"\nup");
    fs::write(&gateway.file, moved).unwrap();
    gateway.signal("HUP");
    let line = gateway.line("no longer listening");
    let gone = format!("address={second}");
    assert!(
        line.contains("listener=second") && line.contains(&gone),
        "{line}"
    );
    let line = gateway.line(" listening listener=");
    assert!(
        line.contains("listener=third address=127.0.0.10:"),
        "{line}"
    );
    let line = gateway.line("no longer listening for the admin endpoints");
    assert!(line.contains(&gateway.admin.to_string()), "{line}");
    gateway.line("listening for the admin endpoints address=127.0.0.9:");
    gateway.line("was reloaded");
    gateway.signal("TERM");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn a_gateway_without_a_file_has_nothing_to_reload() {
    let upstream = server().to_string();
    let gateway = Gateway::run_without_file(&["--bind", "127.0.0.1:0", "--upstream", &upstream]);
    let successful = || gateway.sum("ftpwarden_config_last_reload_successful", &[]);
    let before = successful();
    gateway.signal("HUP");
    gateway.line("nothing to reload");
    assert!((successful() - before).abs() < f64::EPSILON);
    let (_client, greeting) = Client::dial(gateway.address);
    assert_eq!(greeting, "220 Old FTP service\r\n");
}

#[test]
fn a_limit_on_descriptors_that_is_too_low_is_warned_of() {
    let configuration = |sessions: u32| {
        format!(
            "[listeners.main]\nbind = \"127.0.0.1:0\"\nupstream = \"old\"\n\
             [upstreams.old]\naddress = \"{}\"\n[admin]\nbind = \"127.0.0.1:0\"\n\
             [limits]\nsessions = {sessions}\n",
            server()
        )
    };
    let warning = "the hard limit on open descriptors is too low for `limits.sessions`";
    // At the edge: four for each, and 128.
    let gateway = Gateway::run_with_descriptors(&configuration(43), 300);
    let is_told = gateway.before().iter().any(|line| line.contains(warning));
    assert!(!is_told, "{:#?}", gateway.before());
    fs::write(&gateway.file, configuration(44)).unwrap();
    gateway.signal("HUP");
    let line = gateway.line(warning);
    assert!(
        line.contains("limit=300 sessions=44 needed=304 enough_for=43"),
        "{line}"
    );
    let gateway = Gateway::run_with_descriptors(&configuration(10_000), 300);
    let mut told = gateway.before().iter();
    assert!(
        told.any(|line| line.contains(warning)),
        "{:#?}",
        gateway.before()
    );
}

#[test]
fn a_second_signal_ends_at_once() {
    let upstream = server().to_string();
    let gateway = Gateway::run_without_file(&[
        "--bind",
        "127.0.0.1:0",
        "--upstream",
        &upstream,
        "--deny",
        "DELE",
    ]);
    let line = announced(&gateway);
    assert!(line.contains("policy=command-line"), "{line}");
    let (mut client, _) = Client::dial(gateway.address);
    client.ask("USER anna");
    client.ask("PASS x");
    assert!(client.ask("DELE a").starts_with("502"));
    assert!(client.ask("MKD a").starts_with("200"));
    // A line that is begun and not ended keeps a session from being idle.
    gateway.signal("INT");
    gateway.line("draining");
    gateway.signal("INT");
    assert_eq!(gateway.wait().code(), Some(0));
}

#[test]
fn the_service_manager_hears_when_the_gateway_is_in_service() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let hear = || {
        let mut buffer = [0_u8; 4096];
        let count = socket.recv(&mut buffer).unwrap();
        text(buffer.get(..count).unwrap())
    };
    let (_file, config) = file(&format!(
        "[listeners.main]\nbind = \"127.0.0.1:0\"\nupstream = \"old\"\n\
         [upstreams.old]\naddress = \"{}\"\n",
        server()
    ));
    let mut child = program()
        .args(["run", "--config", config.to_str().unwrap()])
        .env("NOTIFY_SOCKET", &path)
        .env("WATCHDOG_USEC", "2000000")
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let id = child.id().to_string();
    let signal = |name: &str| {
        Command::new("kill")
            .args(["-s", name, &id])
            .status()
            .unwrap();
    };
    let until = |what: &str| {
        for _ in 0..100 {
            let heard = hear();
            if heard.lines().any(|line| line.starts_with(what)) {
                return heard;
            }
        }
        panic!("{what} was not heard");
    };
    until("READY=1");
    until("WATCHDOG=1");
    signal("HUP");
    assert!(until("RELOADING=1").contains("MONOTONIC_USEC="));
    until("READY=1");
    // A reload that failed is told with each beat, until one succeeds.
    let good = fs::read_to_string(&config).unwrap();
    fs::write(&config, "nothing").unwrap();
    signal("HUP");
    until("STATUS=in service; the last reload failed");
    until("STATUS=in service; the last reload failed: 0 sessions");
    fs::write(&config, good).unwrap();
    signal("HUP");
    until("STATUS=in service: 0 sessions");
    signal("TERM");
    until("STOPPING=1");
    let mut log = String::new();
    child
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut log)
        .unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{log}");
}

/// A directory with an authority, a certificate `NAME.crt` and a key `NAME.key` for each of
/// `names`, and a configuration that shows `cert` with `key`.
fn with_tls(certificate: &str, key: &str, not_after: (i32, u8, u8)) -> (TempDir, PathBuf) {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = TempDir::new().unwrap();
    for name in ["one", "two"] {
        let pair = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["ftp.example.com".to_owned()]).unwrap();
        let (year, month, day) = not_after;
        params.not_after = rcgen::date_time_ymd(year, month, day);
        let made = params.self_signed(&pair).unwrap();
        let path = directory.path().join(name);
        fs::write(path.with_extension("crt"), made.pem()).unwrap();
        fs::write(path.with_extension("key"), pair.serialize_pem()).unwrap();
        fs::set_permissions(
            path.with_extension("key"),
            fs::Permissions::from_mode(0o600),
        )
        .unwrap();
    }
    let path = directory.path().join("ftpwarden.toml");
    let inside = |name: &str| directory.path().join(name).display().to_string();
    let text = format!(
        "[listeners.main]\nbind = \"127.0.0.1:0\"\nupstream = \"legacy\"\n\
         [listeners.main.tls]\ncertificate = \"{}\"\nkey = \"{}\"\n\
         [upstreams.legacy]\naddress = \"127.0.0.1:21\"\n\
         tls = {{ mode = \"explicit\", ca = \"{}\" }}\n",
        inside(certificate),
        inside(key),
        inside("one.crt"),
    );
    // Port 0 is warned of; what is of interest here are certificates.
    fs::write(&path, text.replace("127.0.0.1:0", "127.0.0.1:2121")).unwrap();
    (directory, path)
}

#[test]
fn check_looks_at_certificates_and_keys() {
    use std::os::unix::fs::PermissionsExt as _;
    let late = (2099, 1, 1);
    let check = |path: &Path| run(&["check", path.to_str().unwrap()]);
    let (directory, path) = with_tls("one.crt", "one.key", late);
    let said = check(&path);
    assert_eq!(said.status.code(), Some(0), "{}", text(&said.stderr));
    assert_eq!(text(&said.stderr), "");
    // Everybody may read the key.
    let key = directory.path().join("one.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let said = check(&path);
    assert_eq!(said.status.code(), Some(0));
    let told = text(&said.stderr);
    assert!(told.contains("warning[config/key-readable]"), "{told}");
    assert!(told.contains("ftpwarden.toml:6:7"), "{told}");
    // A key of another certificate.
    let (_directory, path) = with_tls("one.crt", "two.key", late);
    for arguments in [&["check"][..], &["run", "--config"]] {
        let mut command = program();
        let said = command.args(arguments).arg(&path).output().unwrap();
        assert_eq!(said.status.code(), Some(78), "{arguments:?}");
        let told = text(&said.stderr);
        assert!(told.contains("error[config/tls-files]"), "{told}");
        assert!(
            told.contains("does not belong to the certificate"),
            "{told}"
        );
    }
    // No file, and an authority that is none.
    let (directory, path) = with_tls("absent.crt", "one.key", late);
    fs::write(directory.path().join("one.crt"), "nothing").unwrap();
    let said = check(&path);
    assert_eq!(said.status.code(), Some(78));
    let told = text(&said.stderr);
    assert!(told.contains("absent.crt: No such file"), "{told}");
    assert!(told.contains("there is no certificate in PEM"), "{told}");
    assert!(told.contains("2 errors"), "{told}");
}

#[test]
fn check_shows_all_that_is_wrong_with_files_beside_all_else() {
    let late = (2099, 1, 1);
    let told = |path: &Path| {
        let said = run(&["check", path.to_str().unwrap()]);
        assert_eq!(said.status.code(), Some(78));
        text(&said.stderr)
    };
    // Both files are missing, and a key of another table is none.
    let (_directory, path) = with_tls("absent.crt", "absent.key", late);
    let written = fs::read_to_string(&path).unwrap() + "[limits]\nsesions = 3\n";
    fs::write(&path, written).unwrap();
    let report = told(&path);
    for part in [
        "absent.crt: No such",
        "absent.key: No such",
        "`sesions`",
        "3 errors",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
    // What is in the files is no certificate and no key.
    let (directory, path) = with_tls("one.crt", "one.key", late);
    fs::write(directory.path().join("one.crt"), "junk").unwrap();
    fs::write(directory.path().join("one.key"), "").unwrap();
    let report = told(&path);
    for part in ["no certificate in PEM", "no private key in PEM", "3 errors"] {
        assert!(report.contains(part), "{part}: {report}");
    }
    // A pin that is none hides no missing file, and says nothing of authorities.
    let (_directory, path) = with_tls("absent.crt", "one.key", late);
    let written = fs::read_to_string(&path).unwrap();
    let (head, _) = written.split_once("ca = ").unwrap();
    fs::write(
        &path,
        format!("{head}pin = \"short\", certificate = \"gone.crt\" }}\n"),
    )
    .unwrap();
    let report = told(&path);
    for part in [
        "absent.crt: No such",
        "gone.crt: No such",
        "`key` is missing",
        "4 errors",
    ] {
        assert!(report.contains(part), "{part}: {report}");
    }
}

#[test]
fn check_warns_of_certificates_that_expire() {
    let (_directory, path) = with_tls("one.crt", "one.key", (2020, 1, 1));
    let said = run(&["check", path.to_str().unwrap()]);
    assert_eq!(said.status.code(), Some(0));
    let told = text(&said.stderr);
    assert!(told.contains("the certificate has expired"), "{told}");
    let said = run(&["check", "--strict", "--json", path.to_str().unwrap()]);
    assert_eq!(said.status.code(), Some(78));
    let value: Value = serde_json::from_slice(&said.stdout).unwrap();
    assert_eq!(
        value["diagnostics"][0]["code"],
        "config/certificate-expires"
    );
    assert_eq!(value["diagnostics"][0]["line"], 5);
}
