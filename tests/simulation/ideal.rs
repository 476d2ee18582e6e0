//! What an ideal gateway would permit: the policies of the runs, judged a second time and in
//! another way.

use std::net::{IpAddr, SocketAddr};
use std::sync::LazyLock;

use ftpwarden::config::Loaded;
use ftpwarden::policy::Judge;
use ftpwarden::session::{Profile, Require};

use crate::framing::Spoken;
use crate::rules::{self, Tables};

/// Refused under every policy.
const NEVER: [&str; 16] = [
    "ADAT", "MIC", "CONF", "ENC", "LPRT", "LPSV", "SPSV", "CPSV", "SSCN", "PRET", "ESTA", "ESTP",
    "APSV", "ALGS", "OPEN", "XDBG",
];

/// Permitted by name only.
const NAMED: [&str; 15] = [
    "SMNT", "RMDA", "MAIL", "MLFL", "MSND", "MSOM", "MSAM", "MRSQ", "MRCP", "XSEM", "XSEN", "XMAS",
    "XRSQ", "XRCP", "XRCP",
];

/// Answered by the gateway, whatever policy says.
pub(crate) const OWN: [&str; 4] = ["AUTH", "PBSZ", "PROT", "CCC"];

/// May come before TLS where that is required.
const BEFORE_TLS: [&str; 11] = [
    "AUTH", "CLNT", "FEAT", "HELP", "HOST", "LANG", "NOOP", "NOP", "OPTS", "QUIT", "SYST",
];

/// May come between two logins.
const BETWEEN_LOGINS: [&str; 16] = [
    "ABOR", "ACCT", "CLNT", "CSID", "FEAT", "HELP", "HOST", "LANG", "NOOP", "NOP", "OPTS", "PASS",
    "QUIT", "REIN", "SYST", "USER",
];

/// Verbs whose argument must be there.
const MANDATORY: [&str; 24] = [
    "USER", "ACCT", "HOST", "OPTS", "TYPE", "MODE", "STRU", "ALLO", "REST", "PORT", "EPRT", "RETR",
    "STOR", "APPE", "SIZE", "MDTM", "DELE", "RNFR", "RNTO", "MKD", "RMD", "SITE", "XMKD", "XRMD",
];

/// Verbs that move data.
pub(crate) const DOWNLOADS: [&str; 5] = ["RETR", "LIST", "NLST", "MLSD", "THMB"];

/// The same, the other way.
pub(crate) const UPLOADS: [&str; 4] = ["STOR", "STOU", "APPE", "MLFL"];

/// Verbs that set up a data connection.
pub(crate) const SETUPS: [&str; 4] = ["PASV", "EPSV", "PORT", "EPRT"];

/// What is denied where all else passes.
const DENIED: [&str; 9] = [
    "SITE", "DELE", "MKD", "OPTS", "MLSD", "RCMD", "APPE", "MDTM", "CLNT",
];

/// What is allowed where nothing else passes.
const LISTED: [&str; 26] = [
    "USER", "PASS", "ACCT", "REIN", "PASV", "EPSV", "PORT", "EPRT", "RETR", "LIST", "STOR", "STOU",
    "TYPE", "CWD", "PWD", "SYST", "REST", "ABOR", "STAT", "FEAT", "HELP", "SIZE", "RNFR", "RNTO",
    "DELE", "MODE",
];

/// A policy of the runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// All but a list.
    Open,
    /// A list and nothing else.
    Listed,
    /// All but what is below one directory.
    Paths,
    /// By name, with answers and disconnections.
    Users,
}

/// All of them.
pub(crate) const KINDS: [Kind; 4] = [Kind::Open, Kind::Listed, Kind::Paths, Kind::Users];

/// Their configurations.
static LOADED: LazyLock<Vec<Loaded>> = LazyLock::new(|| KINDS.into_iter().map(load).collect());

/// Reads the configuration of a kind.
fn load(kind: Kind) -> Loaded {
    let quoted = |names: &[&str]| {
        names
            .iter()
            .map(|name| format!("\"{name}\""))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let policy = match kind {
        Kind::Open => vec![
            "default = \"allow\"".into(),
            format!("deny = [{}]", quoted(&DENIED)),
        ],
        Kind::Listed => vec![format!("allow = [{}]", quoted(&LISTED))],
        Kind::Paths => vec![
            "default = \"allow\"".into(),
            "rules = [{ commands = [\"RETR\", \"STOR\", \"SIZE\", \"DELE\", \"RNFR\", \"RNTO\"], \
             paths = \"/secret/**\", action = \"deny\" }]"
                .into(),
        ],
        Kind::Users => vec![
            "default = \"allow\"".into(),
            "deny = [\"DELE\"]".into(),
            "rules = [{ commands = \"USER\", users = \"bob\", action = \"deny\" },\n\
             { commands = \"DELE\", users = \"ann\", action = \"allow\" },\n\
             { commands = \"SYST\", action = \"answer\", reply = \"215 UNIX Type: L8\" },\n\
             { commands = \"MKD\", action = \"disconnect\" }]"
                .into(),
        ],
    };
    let tables = Tables {
        policy,
        audit: vec!["secret = [\"SITE TOKEN\"]".into()],
        ..Tables::default()
    };
    rules::load(&tables.source("192.0.2.1:21", "10.0.0.5:21")).unwrap()
}

/// The configuration of a kind.
pub(crate) fn loaded(kind: Kind) -> &'static Loaded {
    let index = KINDS.iter().position(|each| *each == kind).unwrap();
    &LOADED[index]
}

/// Its profile and judge.
pub(crate) fn parts(kind: Kind) -> (Profile, Judge) {
    rules::of_session(loaded(kind))
}

/// What becomes of a command.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Verdict {
    /// Refused, or answered, by the gateway: nothing of it goes on.
    Local,
    /// It goes on, or something in its place does.
    Permitted,
    /// It cannot be told without knowing what the server thinks of paths.
    Unsure,
}

/// What a verdict depends on.
#[derive(Clone, Debug)]
pub(crate) struct Circumstances {
    /// The policy.
    pub(crate) kind: Kind,
    /// What the client must protect.
    pub(crate) require: Require,
    /// The client's control connection is under TLS.
    pub(crate) client_secured: bool,
    /// The server's is.
    pub(crate) server_secured: bool,
    /// PROT P is in force.
    pub(crate) private: bool,
    /// Who is logged in.
    pub(crate) user: Option<Vec<u8>>,
    /// Somebody has been.
    pub(crate) was_in: bool,
    /// The last USER was refused.
    pub(crate) refused: bool,
    /// EPSV ALL was said.
    pub(crate) only_epsv: bool,
    /// A RNFR was accepted.
    pub(crate) renaming: bool,
    /// The client's address.
    pub(crate) client: IpAddr,
}

impl Circumstances {
    /// What becomes of `spoken`.
    pub(crate) fn judge(&self, spoken: &Spoken) -> Verdict {
        let verb = spoken.verb.as_str();
        if ["QUIT", "NOOP", "NOP"].contains(&verb) {
            return if self.require != Require::No
                && !self.client_secured
                && !BEFORE_TLS.contains(&verb)
            {
                Verdict::Local
            } else {
                Verdict::Permitted
            };
        }
        if OWN.contains(&verb) || NEVER.contains(&verb) || self.lacks_tls(verb) {
            return Verdict::Local;
        }
        if verb == "REIN" && (self.client_secured || self.server_secured) {
            return Verdict::Local;
        }
        if self.user.is_none() && self.was_in && !BETWEEN_LOGINS.contains(&verb) {
            return Verdict::Local;
        }
        if ["SITE", "CHMOD"].contains(&verb) && self.user.is_none() {
            return Verdict::Local;
        }
        if ["PASS", "ACCT"].contains(&verb) && self.refused {
            return Verdict::Local;
        }
        // A lenient server skips what no value begins with.
        let mode = spoken.argument.as_deref().unwrap_or_default();
        let value = mode.trim_ascii().split(|byte| *byte == b' ').next();
        let mut letters = value.unwrap_or_default().iter();
        let first = letters.find(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(byte));
        if verb == "MODE" && matches!(first, Some(b'b' | b'B' | b'c' | b'C')) {
            return Verdict::Local;
        }
        if NAMED.contains(&verb) {
            return Verdict::Local;
        }
        match self.by_policy(spoken) {
            Verdict::Permitted if self.is_malformed(spoken) => Verdict::Local,
            verdict => verdict,
        }
    }

    /// Whether TLS is required first.
    fn lacks_tls(&self, verb: &str) -> bool {
        let transfers = DOWNLOADS.contains(&verb) || UPLOADS.contains(&verb);
        match self.require {
            Require::No => false,
            _ if !self.client_secured => !BEFORE_TLS.contains(&verb),
            Require::Data => transfers && !self.private,
            Require::Login => false,
        }
    }

    /// What the policy says.
    fn by_policy(&self, spoken: &Spoken) -> Verdict {
        let verb = match spoken.verb.as_str() {
            "XCUP" => "CDUP",
            "XCWD" => "CWD",
            "XMKD" => "MKD",
            "XPWD" => "PWD",
            "XRMD" => "RMD",
            "CHMOD" => "SITE",
            verb => verb,
        };
        let argument = spoken.argument.as_deref().unwrap_or_default();
        let wild = argument
            .iter()
            .filter(|byte| matches!(byte, b'*' | b'?' | b'[' | b'{'))
            .count();
        if wild > 16 {
            return Verdict::Unsure;
        }
        let known = ftpwarden::ftp::verb::Verb::parse(verb.as_bytes()).is_some();
        match self.kind {
            // The form of MDTM that sets a time is of another group and the same name.
            Kind::Open if DENIED.contains(&verb) => Verdict::Local,
            Kind::Listed if !LISTED.contains(&verb) => Verdict::Local,
            Kind::Open | Kind::Listed => risky_site(verb, spoken),
            Kind::Paths if !known => Verdict::Local,
            Kind::Paths if ["RETR", "STOR", "SIZE", "DELE", "RNFR", "RNTO"].contains(&verb) => {
                // Of two names one that is refused is enough, and the other one may be.
                let other = if verb == "RNTO" {
                    Verdict::Unsure
                } else {
                    Verdict::Permitted
                };
                match plain_path(argument) {
                    None => Verdict::Unsure,
                    Some(path) if path == "/secret" || path.starts_with("/secret/") => {
                        Verdict::Local
                    }
                    Some(_) => other,
                }
            }
            // What a subcommand of SITE that the gateway does not know does to paths is unknown.
            Kind::Paths if verb == "SITE" => Verdict::Unsure,
            Kind::Paths => risky_site(verb, spoken),
            Kind::Users => match verb {
                "USER" => match argument {
                    b"bob" => Verdict::Local,
                    name if name.iter().all(u8::is_ascii_lowercase) => Verdict::Permitted,
                    _ => Verdict::Unsure,
                },
                "DELE" if self.user.as_deref() == Some(b"ann") => Verdict::Permitted,
                "DELE" | "SYST" | "MKD" => Verdict::Local,
                _ => risky_site(verb, spoken),
            },
        }
    }

    /// Whether the gateway itself refuses the argument.
    fn is_malformed(&self, spoken: &Spoken) -> bool {
        let verb = spoken.verb.as_str();
        let argument = spoken.argument.as_deref().unwrap_or_default();
        if spoken.argument.is_none() && MANDATORY.contains(&verb) {
            return true;
        }
        let blank = argument.iter().all(|byte| *byte == b' ');
        match verb {
            "SITE" | "OPTS" | "TYPE" | "MODE" | "STRU" => blank,
            "FEAT" | "PASV" if spoken.argument.is_some() => true,
            "REST" => {
                let digits =
                    (1..=19).contains(&argument.len()) && argument.iter().all(u8::is_ascii_digit);
                !digits || spoken.text().parse::<i64>().is_err()
            }
            "RNTO" => !self.renaming,
            "EPSV" if spoken.text().eq_ignore_ascii_case("all") => true,
            "PORT" | "EPRT" => self.only_epsv || !self.may_listen(target(spoken)),
            "PASV" => self.only_epsv || self.client.is_ipv6(),
            _ => false,
        }
    }

    /// Whether a client may name this address for its own.
    pub(crate) fn may_listen(&self, target: Option<SocketAddr>) -> bool {
        target.is_some_and(|target| {
            let own = target.ip().to_canonical() == self.client;
            let unspecified =
                target.ip().is_unspecified() && target.is_ipv6() == self.client.is_ipv6();
            (own || unspecified) && target.port() >= 1024
        })
    }
}

/// What is permitted for its verb, unless it is a subcommand of SITE that must be named.
fn risky_site(verb: &str, spoken: &Spoken) -> Verdict {
    if ["HELP", "OPTS"].contains(&verb) && spoken.argument.is_some() {
        // Nobody is helped with what is refused, or sets options of it.
        return Verdict::Unsure;
    }
    if verb != "SITE" || spoken.verb == "CHMOD" {
        return Verdict::Permitted;
    }
    let plain = ["CHMOD", "UTIME", "IDLE", "PSWD", "TOKEN", "HELP"];
    let word = spoken
        .text()
        .split(' ')
        .find(|word| !word.is_empty())
        .unwrap_or_default();
    if plain.contains(&word.to_ascii_uppercase().as_str()) {
        Verdict::Permitted
    } else {
        Verdict::Unsure
    }
}

/// An absolute path that every server reads alike.
fn plain_path(argument: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(argument).ok()?;
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_'));
    (plain && text.starts_with('/') && !text.contains("//") && !text.ends_with('/')).then_some(text)
}

/// The address that a PORT or EPRT names.
pub(crate) fn target(spoken: &Spoken) -> Option<SocketAddr> {
    let text = spoken.text();
    if spoken.verb == "PORT" {
        let numbers: Vec<u8> = text
            .split(',')
            .map(|number| {
                number
                    .parse()
                    .ok()
                    .filter(|_| number.bytes().all(|byte| byte.is_ascii_digit()))
            })
            .collect::<Option<_>>()?;
        let [a, b, c, d, high, low] = numbers.as_slice() else {
            return None;
        };
        let port = u16::from(*high) * 256 + u16::from(*low);
        return Some(SocketAddr::new(IpAddr::from([*a, *b, *c, *d]), port));
    }
    let delimiter = text.chars().next()?;
    let parts: Vec<&str> = text.split(delimiter).collect();
    let ["", "1" | "2", host, port, ""] = parts.as_slice() else {
        return None;
    };
    let host: IpAddr = host.parse().ok()?;
    let family = if parts[1] == "1" {
        host.is_ipv4()
    } else {
        host.is_ipv6()
    };
    let port = port
        .parse()
        .ok()
        .filter(|_| port.bytes().all(|byte| byte.is_ascii_digit()))?;
    family.then_some(SocketAddr::new(host, port))
}
