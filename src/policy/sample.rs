//! Policies and sessions for tests.

use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::compile::{PolicySet, compile};
use super::judge::{Channels, Dialect, Judge, Outlook, Query, System};
use super::spec::{Consequence, Located, PolicySpec, Problem, RuleSpec, Severity, Span, Stance};
use super::verdict::{Judgement, Verdict};
use crate::ftp::command::{Command, Name};
use crate::ftp::security::TlsVersion;

/// Each text of a test stands somewhere else.
static PLACE: AtomicUsize = AtomicUsize::new(1);

/// The next place.
fn place(length: usize) -> Range<usize> {
    let start = PLACE.fetch_add(1000, Ordering::Relaxed);
    start..start.saturating_add(length)
}

/// A text and its place.
pub(super) fn at(value: &str) -> Located<String> {
    Located {
        value: value.to_owned(),
        span: Span {
            source: 0,
            bytes: place(value.len()),
        },
    }
}

/// Texts and their places.
fn all(values: &[&str]) -> Vec<Located<String>> {
    values.iter().map(|value| at(value)).collect()
}

/// `[policies.NAME]`.
pub(super) fn policy(name: &str) -> PolicySpec {
    PolicySpec {
        name: Some(at(name)),
        ..PolicySpec::default()
    }
}

impl PolicySpec {
    /// `allow`.
    pub(super) fn allow(mut self, names: &[&str]) -> Self {
        self.allow = all(names);
        self
    }

    /// `deny`.
    pub(super) fn deny(mut self, names: &[&str]) -> Self {
        self.deny = all(names);
        self
    }

    /// `extends`.
    pub(super) fn extends(mut self, name: &str) -> Self {
        self.extends = Some(at(name));
        self
    }

    /// `default = "allow"`.
    pub(super) fn by_default(mut self) -> Self {
        self.default = Some(Located {
            value: Stance::Allow,
            span: at("allow").span,
        });
        self
    }

    /// One more rule.
    pub(super) fn rule(mut self, rule: RuleSpec) -> Self {
        self.rules.push(rule);
        self
    }
}

/// A rule for `commands`, none for all.
fn rule(commands: &[&str], consequence: Consequence) -> RuleSpec {
    RuleSpec {
        span: at("{ … }").span,
        name: None,
        commands: all(commands),
        users: Vec::new(),
        clients: Vec::new(),
        hours: Vec::new(),
        tls: None,
        tls_version: None,
        client_certificate: Vec::new(),
        paths: Vec::new(),
        filename: Vec::new(),
        argument: Vec::new(),
        consequence,
        reply: None,
    }
}

/// `action = "allow"`.
pub(super) fn allow(commands: &[&str]) -> RuleSpec {
    rule(commands, Consequence::Allow)
}

/// `action = "deny"`.
pub(super) fn deny(commands: &[&str]) -> RuleSpec {
    rule(commands, Consequence::Deny)
}

/// `action = "answer"`.
pub(super) fn answer(commands: &[&str], reply: &str) -> RuleSpec {
    rule(commands, Consequence::Answer).reply(reply)
}

/// `action = "disconnect"`.
pub(super) fn disconnect(commands: &[&str]) -> RuleSpec {
    rule(commands, Consequence::Disconnect)
}

/// `policy = NAME`.
pub(super) fn hand_over(commands: &[&str], name: &str) -> RuleSpec {
    rule(commands, Consequence::Policy(at(name)))
}

impl RuleSpec {
    /// `name`.
    pub(super) fn named(mut self, name: &str) -> Self {
        self.name = Some(at(name));
        self
    }

    /// `users`.
    pub(super) fn users(mut self, globs: &[&str]) -> Self {
        self.users = all(globs);
        self
    }

    /// `clients`.
    pub(super) fn clients(mut self, networks: &[&str]) -> Self {
        self.clients = all(networks);
        self
    }

    /// `tls`.
    pub(super) fn tls(mut self, tls: bool) -> Self {
        self.tls = Some(Located {
            value: tls,
            span: at("tls").span,
        });
        self
    }

    /// `tls_version`.
    pub(super) fn tls_version(mut self, version: TlsVersion) -> Self {
        self.tls_version = Some(Located {
            value: version,
            span: at("tls_version").span,
        });
        self
    }

    /// `client_certificate`.
    pub(super) fn certificates(mut self, globs: &[&str]) -> Self {
        self.client_certificate = all(globs);
        self
    }

    /// `hours`.
    pub(super) fn hours(mut self, ranges: &[&str]) -> Self {
        self.hours = all(ranges);
        self
    }

    /// `paths`.
    pub(super) fn paths(mut self, globs: &[&str]) -> Self {
        self.paths = all(globs);
        self
    }

    /// `filename`.
    pub(super) fn filename(mut self, regexes: &[&str]) -> Self {
        self.filename = all(regexes);
        self
    }

    /// `argument`.
    pub(super) fn argument(mut self, regexes: &[&str]) -> Self {
        self.argument = all(regexes);
        self
    }

    /// `reply`.
    pub(super) fn reply(mut self, reply: &str) -> Self {
        self.reply = Some(at(reply));
        self
    }
}

/// Compiles what has no errors.
pub(super) fn set(specs: &[PolicySpec]) -> PolicySet {
    let (set, problems) = compile(specs);
    set.unwrap_or_else(|| panic!("{problems:#?}"))
}

/// The codes of the problems of one severity.
pub(super) fn codes(specs: &[PolicySpec], severity: Severity) -> Vec<&'static str> {
    problems(specs, severity)
        .iter()
        .map(|problem| problem.code)
        .collect()
}

/// The problems of one severity.
pub(super) fn problems(specs: &[PolicySpec], severity: Severity) -> Vec<Problem> {
    let (_, problems) = compile(specs);
    problems
        .into_iter()
        .filter(|problem| problem.severity == severity)
        .collect()
}

/// A session, logged in as `acme` from 198.51.100.7, on a Monday at noon UTC.
pub(super) struct Sitting {
    /// The policies.
    pub(super) set: PolicySet,
    /// What judges.
    pub(super) judge: Judge,
    /// As in a query.
    pub(super) user: Option<Vec<u8>>,
    /// As in a query.
    pub(super) client: IpAddr,
    /// As in a query.
    pub(super) directory: Option<Vec<u8>>,
    /// As in a query.
    pub(super) home: Option<Vec<u8>>,
    /// As in a query.
    pub(super) renaming: Option<Vec<u8>>,
    /// As in a query.
    pub(super) unix_time: i64,
    /// How the channels are protected.
    pub(super) channels: Channels<'static>,
}

impl Sitting {
    /// A session under the first of `specs`, in the root directory.
    pub(super) fn under(specs: &[PolicySpec]) -> Self {
        Self::with(specs, Dialect::default(), &[])
    }

    /// The same before a server that reads paths as `system`.
    pub(super) fn before(system: System, specs: &[PolicySpec]) -> Self {
        let dialect = Dialect {
            system,
            ..Dialect::default()
        };
        Self::with(specs, dialect, &[])
    }

    /// The same before a server without symbolic links.
    pub(super) fn linkless(specs: &[PolicySpec]) -> Self {
        let dialect = Dialect {
            symlinks: false,
            ..Dialect::default()
        };
        Self::with(specs, dialect, &[])
    }

    /// The same with all that an upstream says. A policy called `upstream` is the upstream's,
    /// one called `observed` is observed.
    pub(super) fn with(specs: &[PolicySpec], dialect: Dialect, unsupported: &[&str]) -> Self {
        let mut specs = specs.to_vec();
        specs.push(policy("permissive").by_default());
        let set = set(&specs);
        let get = |name: &str| set.get(name).cloned();
        let first = specs[0].name.clone().unwrap().value;
        let unsupported = unsupported
            .iter()
            .map(|name| Name::parse(name.as_bytes()).unwrap())
            .collect();
        let judge = Judge::new(
            get(&first).unwrap(),
            get("upstream").or_else(|| get("permissive")).unwrap(),
            get("observed"),
            dialect,
            unsupported,
        );
        Self {
            set,
            judge,
            user: Some(b"acme".to_vec()),
            client: IpAddr::from([198, 51, 100, 7]),
            directory: Some(if dialect.system == System::Mvs {
                b"'ACME.'".to_vec()
            } else {
                b"/".to_vec()
            }),
            home: Some(b"/home/acme".to_vec()),
            renaming: None,
            unix_time: 1_700_481_600,
            channels: Channels::default(),
        }
    }

    /// Over these channels.
    pub(super) fn over(mut self, channels: Channels<'static>) -> Self {
        self.channels = channels;
        self
    }

    /// Somebody else.
    pub(super) fn user(mut self, name: &[u8]) -> Self {
        self.user = Some(name.to_vec());
        self
    }

    /// Nobody yet.
    pub(super) fn nobody(mut self) -> Self {
        self.user = None;
        self
    }

    /// From elsewhere.
    pub(super) fn client(mut self, address: &str) -> Self {
        self.client = address.parse().unwrap();
        self
    }

    /// In this directory.
    pub(super) fn cd(mut self, directory: &str) -> Self {
        self.directory = Some(directory.as_bytes().to_vec());
        self
    }

    /// In a directory that the server has not stated.
    pub(super) fn lost(mut self) -> Self {
        self.directory = None;
        self
    }

    /// At home here.
    pub(super) fn home(mut self, directory: Option<&str>) -> Self {
        self.home = directory.map(|directory| directory.as_bytes().to_vec());
        self
    }

    /// With a pending RNFR.
    pub(super) fn renaming(mut self, path: Option<&str>) -> Self {
        self.renaming = path.map(|path| path.as_bytes().to_vec());
        self
    }

    /// At another time.
    pub(super) fn at(mut self, unix_time: i64) -> Self {
        self.unix_time = unix_time;
        self
    }

    /// Asks something of the judge.
    pub(super) fn ask<T>(&self, line: &[u8], ask: impl Fn(&Judge, &Query<'_>) -> T) -> T {
        let command = Command::parse(&Bytes::copy_from_slice(line)).unwrap();
        let query = Query {
            command: &command,
            user: self.user.as_deref(),
            client: self.client,
            directory: self.directory.as_deref(),
            home: self.home.as_deref(),
            renaming: self.renaming.as_deref(),
            unix_time: self.unix_time,
            channels: self.channels,
        };
        ask(&self.judge, &query)
    }

    /// The judgement on a line.
    pub(super) fn judge(&self, line: &str) -> Judgement {
        self.ask(line.as_bytes(), Judge::decide)
    }

    /// The code of the gateway's reply, 0 for a line that is forwarded.
    pub(super) fn code(&self, line: &str) -> u16 {
        self.code_of(line.as_bytes())
    }

    /// The same of bytes.
    pub(super) fn code_of(&self, line: &[u8]) -> u16 {
        match self.ask(line, Judge::decide).verdict {
            Verdict::Answer(reply) | Verdict::Close(reply) | Verdict::Deny(reply) => reply.code,
            Verdict::Forward(_) => 0,
        }
    }

    /// The codes of several lines.
    pub(super) fn codes(&self, lines: &[&str]) -> Vec<u16> {
        lines.iter().map(|line| self.code(line)).collect()
    }

    /// Policy and rule that decided.
    pub(super) fn decided(&self, line: &str) -> String {
        let id = self.judge(line).decided.unwrap();
        let info = self.set.rule(id);
        format!("{} {} {}", info.policy, info.rule, info.action.name())
    }

    /// Whether a command could be allowed.
    pub(super) fn could(&self, name: &str, word: Option<&str>) -> bool {
        self.could_say(name, word, Outlook::Open)
    }

    /// The same over channels of which something is certain.
    pub(super) fn could_over(&self, name: &str, outlook: Outlook<'_>) -> bool {
        self.could_say(name, None, outlook)
    }

    /// The same of a subcommand or value, over channels of which something may be certain.
    fn could_say(&self, name: &str, word: Option<&str>, outlook: Outlook<'_>) -> bool {
        let name = Name::parse(name.as_bytes()).unwrap();
        let user = self.user.as_deref();
        let (client, unix_time) = (self.client, self.unix_time);
        self.judge
            .could_allow(&name, word, user, client, unix_time, outlook)
    }

    /// Shares one of the policies.
    pub(super) fn policy(&self, name: &str) -> Arc<super::chain::Policy> {
        Arc::clone(self.set.get(name).unwrap())
    }
}
