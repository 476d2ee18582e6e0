//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use crate::load::Scale;
use crate::rows::{ROWS, Row};
use crate::subjects::Kind;

/// What `--help` says.
pub(crate) const HELP: &str = "\
cargo bench --bench gateway -- [OPTION]...

  --row NAME       only this row; may be repeated
  --subject NAME   only this subject; may be repeated
  --rounds N       how often each is measured (5); idle sessions three times at most, under TLS once
  --idle N         how many sessions the idle rows hold (5000), as far as there are descriptors
  --burst N        how many clients come at once in the burst row (2000)
  --program FILE   the build of the gateway that is measured, as of deploy/build (the one that cargo has made)
  --former FILE    another build of it, measured beside
  --unconfined     the gateway gives none of its rights up
  --log LEVEL      the gateway's log: info has lines for each session (warn: as the peers, none)
  --plot FILE.svg  draw the first figures as multiples of the relay's";

/// What is to be done.
pub(crate) struct Options {
    /// The rows.
    pub(crate) rows: Vec<&'static Row>,
    /// The subjects.
    pub(crate) kinds: Vec<Kind>,
    /// How often each is measured.
    pub(crate) rounds: usize,
    /// How much is done.
    pub(crate) scale: Scale,
    /// Where the plot goes.
    pub(crate) plot: Option<PathBuf>,
    /// The level of the gateway's log. Its peers log nothing.
    pub(crate) log: String,
    /// The build of the gateway that is measured.
    pub(crate) program: PathBuf,
    /// Another one.
    pub(crate) former: Option<PathBuf>,
    /// Whether they give up what they need no more.
    pub(crate) confined: bool,
}

impl Options {
    /// Reads the arguments. Without `--bench`, which `cargo bench` gives, it is a test.
    pub(crate) fn read(arguments: &[String]) -> Result<Self, String> {
        let is_test = !arguments.iter().any(|argument| argument == "--bench")
            || arguments.iter().any(|argument| argument == "--test");
        let mut options = Self::new(is_test);
        if is_test {
            // What else stands there is meant for a test harness.
            return Ok(options);
        }
        let (mut rows, mut kinds) = (Vec::new(), Vec::new());
        let mut rest = arguments.iter().filter(|argument| *argument != "--bench");
        while let Some(option) = rest.next() {
            let mut value = || rest.next().ok_or_else(|| format!("{option} needs a value"));
            match option.as_str() {
                "--row" => rows.push(row(value()?)?),
                "--subject" => kinds.push(kind(value()?)?),
                "--rounds" => options.rounds = number(value()?)?.max(1),
                "--idle" => options.scale.idle = number(value()?)?,
                "--burst" => options.scale.burst = number(value()?)?,
                "--program" => options.program = file(value()?)?,
                "--unconfined" => options.confined = false,
                "--former" => options.former = Some(file(value()?)?),
                "--log" => options.log = level(value()?)?,
                "--plot" => options.plot = Some(value()?.into()),
                _ => return Err(HELP.to_owned()),
            }
        }
        if !rows.is_empty() {
            options.rows = rows;
        }
        if !kinds.is_empty() {
            options.kinds = kinds;
        }
        match (&options.former, options.kinds.contains(&Kind::Former)) {
            (Some(_), false) => options.kinds.push(Kind::Former),
            (None, true) => return Err("--subject former needs --former FILE".to_owned()),
            (Some(_), true) | (None, false) => {}
        }
        Ok(options)
    }

    /// What is done without options.
    fn new(is_test: bool) -> Self {
        let own = |kind: &Kind| *kind != Kind::Former && !(is_test && kind.is_peer());
        Self {
            rows: ROWS.iter().collect(),
            kinds: Kind::ALL.into_iter().filter(own).collect(),
            rounds: if is_test { 1 } else { 5 },
            scale: Scale::of(is_test),
            plot: None,
            log: "warn".to_owned(),
            program: env!("CARGO_BIN_EXE_ftpwarden").into(),
            former: None,
            confined: true,
        }
    }
}

impl Scale {
    /// Little in a test.
    fn of(is_test: bool) -> Self {
        if is_test {
            return Self {
                span: Duration::from_millis(20),
                bulk: 8 << 20,
                idle: 32,
                burst: 32,
            };
        }
        Self {
            span: Duration::from_millis(600),
            bulk: 768 << 20,
            idle: 5_000,
            burst: 2_000,
        }
    }
}

/// A row by its name.
fn row(name: &str) -> Result<&'static Row, String> {
    let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
    let found = ROWS.iter().find(|row| row.name == name);
    found.ok_or_else(|| format!("no row {name}; there are {}", names.join(", ")))
}

/// A subject by its name.
fn kind(name: &str) -> Result<Kind, String> {
    let names = Kind::ALL.map(Kind::name);
    let found = Kind::ALL.into_iter().find(|kind| kind.name() == name);
    found.ok_or_else(|| format!("no subject {name}; there are {}", names.join(", ")))
}

/// A file that is there.
fn file(path: &str) -> Result<PathBuf, String> {
    let is_there = PathBuf::from(path).is_file();
    is_there
        .then(|| path.into())
        .ok_or_else(|| format!("no file {path}"))
}

/// A level of the gateway's log.
fn level(name: &str) -> Result<String, String> {
    let names = ["error", "warn", "info", "debug", "trace"];
    let known = names.contains(&name).then(|| name.to_owned());
    known.ok_or_else(|| format!("no level {name}; there are {}", names.join(", ")))
}

/// A number.
fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("no number: {text}"))
}
