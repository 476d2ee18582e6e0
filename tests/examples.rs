//! The examples of `config/examples` do what they say: each ends with the commands that it must
//! allow and refuse, and they are tried by a real session against a server who agrees to all.
//!
//! A line `#: user=… client=… tls=yes certificate=… cwd=… at=…
//! listener=…` begins a session; each line below it is one
//! command of it, with what must become of it and, where the gateway answers, the code.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::PathBuf;

use ftpwarden::cli::rehearsal::{Explanation, Situation, rehearse};
use ftpwarden::config::diagnostic::{Style, render};
use ftpwarden::config::{self, Loaded};
use jiff::Zoned;

/// One command and what must become of it.
struct Check {
    /// `allow`, `deny`, …
    fate: String,
    /// The code, where the gateway answers.
    code: Option<u16>,
    /// The command.
    command: String,
}

/// One session.
struct Session {
    /// Which listener; None for the only one.
    listener: Option<String>,
    /// Who, where and when.
    situation: Situation,
    /// What is tried in it.
    checks: Vec<Check>,
}

/// The examples, sorted.
fn examples() -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir("config/examples")
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    found.sort();
    found
}

/// The sessions at the end of an example.
fn sessions(text: &str) -> Vec<Session> {
    let mut sessions: Vec<Session> = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("#: ")) {
        let (first, rest) = line.split_once(' ').unwrap();
        if first.contains('=') {
            sessions.push(session(line));
            continue;
        }
        let (code, command) = if first == "allow" {
            (None, rest)
        } else {
            let (code, command) = rest.split_once(' ').unwrap();
            (Some(code.parse().unwrap()), command)
        };
        sessions.last_mut().unwrap().checks.push(Check {
            fate: first.to_owned(),
            code,
            command: command.to_owned(),
        });
    }
    sessions
}

/// The session that a line of `key=value` begins.
fn session(line: &str) -> Session {
    let mut session = Session {
        listener: None,
        situation: Situation {
            user: "anonymous".to_owned(),
            client: [127, 0, 0, 1].into(),
            directory: None,
            tls: None,
            unix_time: 1_764_064_800,
        },
        checks: Vec::new(),
    };
    for word in line.split(' ') {
        let (key, value) = word.split_once('=').unwrap();
        match key {
            "user" => value.clone_into(&mut session.situation.user),
            "client" => session.situation.client = value.parse().unwrap(),
            "cwd" => session.situation.directory = Some(value.to_owned()),
            "at" => {
                let at: Zoned = value.parse().unwrap();
                session.situation.unix_time = at.timestamp().as_second();
            }
            "listener" => session.listener = Some(value.to_owned()),
            "tls" => session.situation.tls = (value == "yes").then_some(None),
            "certificate" => session.situation.tls = Some(Some(value.to_owned())),
            _ => panic!("what is {key}?"),
        }
    }
    session
}

/// What is wrong with what became of one command, if anything is.
fn difference(check: &Check, got: &Explanation) -> Option<String> {
    let code = got.reply.as_ref().map(|(code, _)| *code);
    if got.fate.name() == check.fate && code == check.code {
        return None;
    }
    let rule = got
        .decided
        .as_ref()
        .map_or("the gateway itself", |rule| &*rule.rule);
    Some(format!(
        "{}: {} {code:?} by {rule}, not {} {:?}",
        check.command,
        got.fate.name(),
        check.fate,
        check.code
    ))
}

/// Tries every session of `text`: how many commands there were, and what differs.
fn try_all(loaded: &Loaded, text: &str) -> (usize, Vec<String>) {
    let mut differences = Vec::new();
    let mut seen = 0;
    for session in sessions(text) {
        let mut listeners = loaded.settings.listeners.values();
        let listener = listeners
            .find(|listener| {
                let wanted = session.listener.as_deref();
                wanted.is_none_or(|wanted| wanted == &*listener.name)
            })
            .unwrap();
        let commands: Vec<String> = session
            .checks
            .iter()
            .map(|check| check.command.clone())
            .collect();
        let rehearsal = rehearse(loaded, listener, &session.situation, &commands);
        assert_eq!(rehearsal.commands.len(), session.checks.len());
        for (check, got) in session.checks.iter().zip(&rehearsal.commands) {
            seen += 1;
            differences.extend(difference(check, got));
        }
    }
    (seen, differences)
}

#[test]
fn examples_allow_and_refuse_what_they_say() {
    let all = examples();
    assert_eq!(all.len(), 11);
    let mut seen = 0;
    for path in &all {
        let text = fs::read_to_string(path).unwrap();
        let loaded = config::load(path).unwrap_or_else(|error| {
            panic!("{}", error.report(Style::Plain));
        });
        assert!(loaded.warnings.is_empty(), "{}", path.display());
        let (tried, differences) = try_all(&loaded, &text);
        assert_eq!(differences, Vec::<String>::new(), "{}", path.display());
        assert!(tried >= 6, "{} checks {tried} commands", path.display());
        seen += tried;
    }
    assert_eq!(seen, 144);
}

#[test]
fn the_policies_of_the_manual_do_what_they_say() {
    let manual = fs::read_to_string("docs/policy.md").unwrap();
    let mut policies = 0;
    let mut seen = 0;
    for block in manual.split("```toml\n").skip(1) {
        let policy = block.split("```").next().unwrap();
        let name = policy.split(['[', '.', ']']).nth(2).unwrap();
        let text = format!(
            "listeners.main = {{ bind = \"0.0.0.0:21\", upstream = \"legacy\", policy = \"{name}\", \
             tls = {{ certificate = \"c\", key = \"k\", require = \"no\", client_certificates = \"optional\", client_ca = \"a\" }} }}\n\
             upstreams.legacy.address = \"10.0.0.5:21\"\n{policy}"
        );
        let loaded = config::parse(&text, name).unwrap_or_else(|error| {
            panic!("{}", error.report(Style::Plain));
        });
        let warnings = render(&loaded.warnings, &loaded.sources, Style::Plain);
        assert_eq!(warnings, "", "{name}");
        let (tried, differences) = try_all(&loaded, policy);
        assert_eq!(differences, Vec::<String>::new(), "{name}");
        assert!(tried > 1, "{name} checks {tried} commands");
        policies += 1;
        seen += tried;
    }
    assert_eq!((policies, seen), (14, 52));
}

#[test]
fn every_example_refuses_something_and_allows_something() {
    for path in examples() {
        let text = fs::read_to_string(&path).unwrap();
        let checks: Vec<Check> = sessions(&text)
            .into_iter()
            .flat_map(|session| session.checks)
            .collect();
        assert!(checks.iter().any(|check| check.fate == "deny"));
        assert!(checks.iter().any(|check| check.fate == "allow"));
    }
}
