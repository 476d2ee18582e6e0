//! `probe`: what a server says of itself, as a configuration to start from.
//!
//! Owns the questions and what is made of the answers. Must not log in, and sends nothing that
//! could change anything.

use std::io;

use serde_json::{Value, json};

use super::args::Probe;
use super::dialogue::{Dialogue, Reply};
use super::{Answer, Outcome};
use crate::config;
use crate::settings;

/// The lengths of lines that are tried, in bytes with CR LF: each just below a buffer that a
/// server is known to have.
const LENGTHS: [usize; 7] = [126, 254, 510, 1022, 2040, 4090, 8180];

/// The length that is written where none is known to be safe.
const LINE_BYTES_DEFAULT: usize = 510;

/// What was found out.
#[derive(Debug)]
struct Findings {
    /// The server's host.
    host: String,
    /// The server's port.
    port: u16,
    /// Its greeting.
    greeting: Reply,
    /// Its answer to SYST.
    system: Option<Reply>,
    /// Its answer to FEAT.
    features: Option<Reply>,
    /// Its answer to HELP.
    help: Option<Reply>,
    /// Its answer to AUTH TLS.
    tls: Option<Reply>,
    /// The lengths that were tried, and whether each was taken as one line.
    lengths: Vec<(usize, bool)>,
}

/// Probes the server and prints what was found.
pub(super) fn probe(arguments: &Probe) -> Answer {
    let written = &arguments.address;
    let Some((host, port)) = config::server_address(written) else {
        let sentence =
            format!("{written:?} is no address; write a host and a port, such as 10.0.0.5:21");
        return Answer::wrong(Outcome::Usage, &sentence);
    };
    match examine(&host, port) {
        Ok(findings) if arguments.json => Answer::fine(format!("{:#}\n", findings.to_json())),
        Ok(findings) => Answer::fine(findings.to_toml()),
        Err(error) => Answer::wrong(
            Outcome::Failed,
            &format!("{written} cannot be probed: {error}"),
        ),
    }
}

/// Asks everything.
///
/// # Errors
/// The server cannot be dialled or does not greet.
fn examine(host: &str, port: u16) -> io::Result<Findings> {
    let mut dialogue = Dialogue::open(host, port)?;
    let greeting = dialogue.greeting()?;
    if greeting.code != 220 {
        let said = greeting.lines.first().map_or("", String::as_str);
        let sentence = format!("it does not greet with 220 but says {said:?}");
        return Err(io::Error::new(io::ErrorKind::InvalidData, sentence));
    }
    let mut ask = |line| dialogue.ask(line).ok();
    let (system, features, help) = (ask("SYST"), ask("FEAT"), ask("HELP"));
    // The server waits for a handshake then, so nothing more can be said on this connection.
    let tls = ask("AUTH TLS");
    drop(dialogue);
    Ok(Findings {
        host: host.to_owned(),
        port,
        greeting,
        system,
        features,
        help,
        tls,
        lengths: measure(host, port),
    })
}

/// Tries longer and longer lines, each on a fresh connection, until one is not taken.
fn measure(host: &str, port: u16) -> Vec<(usize, bool)> {
    let mut lengths = Vec::new();
    // Servers refuse NOOP before login, or an argument of it, with a code of their own.
    let Ok(usual) = codes_of_noop(host, port, 8) else {
        return lengths;
    };
    if usual.len() != 2 {
        return lengths;
    }
    for length in LENGTHS {
        let taken = codes_of_noop(host, port, length).is_ok_and(|codes| codes == usual);
        lengths.push((length, taken));
        if !taken {
            break;
        }
    }
    lengths
}

/// The codes that answer a NOOP of `length` bytes and the QUIT behind it. A server that runs the
/// tail of a line as a command gives one more.
///
/// # Errors
/// The server cannot be dialled, does not greet or does not answer.
fn codes_of_noop(host: &str, port: u16, length: usize) -> io::Result<Vec<u16>> {
    let mut dialogue = Dialogue::open(host, port)?;
    if dialogue.reply()?.code != 220 {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let tail = "A".repeat(length.saturating_sub("NOOP \r\n".len()));
    let mut codes = vec![dialogue.ask(&format!("NOOP {tail}"))?.code];
    codes.extend(dialogue.quit()?);
    Ok(codes)
}

impl Findings {
    /// Whether AUTH TLS was accepted.
    fn offers_tls(&self) -> bool {
        self.tls.as_ref().is_some_and(|reply| reply.code == 234)
    }

    /// The longest line that was taken as one.
    fn line_bytes(&self) -> Option<usize> {
        self.lengths
            .iter()
            .rev()
            .find(|(_, taken)| *taken)
            .map(|(length, _)| *length)
    }

    /// How the server reads paths, by what SYST says.
    fn system(&self) -> &'static str {
        let said = self
            .system
            .as_ref()
            .map_or("", Reply::text)
            .to_ascii_uppercase();
        if said.starts_with("WINDOWS") {
            "windows"
        } else if said.starts_with("MVS") {
            "mvs"
        } else {
            "unix"
        }
    }

    /// A configuration to start from, with what was found in comments.
    fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut comment = |line: &str| {
            text.push_str(format!("# {line}").trim_end());
            text.push('\n');
        };
        for line in &self.greeting.lines {
            comment(line);
        }
        for (question, answer) in [
            ("SYST", &self.system),
            ("FEAT", &self.features),
            ("HELP", &self.help),
        ] {
            comment(&format!("{question}:"));
            for line in answer.iter().flat_map(|reply| &reply.lines) {
                comment(&format!("  {line}"));
            }
            if answer.is_none() {
                comment("  no answer");
            }
        }
        comment(if self.offers_tls() {
            "AUTH TLS: offered"
        } else {
            "AUTH TLS: not offered"
        });
        for (length, taken) in &self.lengths {
            let word = if *taken {
                "taken"
            } else {
                "not taken as one line"
            };
            comment(&format!("a line of {length} bytes: {word}"));
        }
        if self.lengths.is_empty() {
            comment("the longest line could not be found");
        }
        text + &self.tables()
    }

    /// The configuration itself.
    fn tables(&self) -> String {
        let address = settings::join(&self.host, self.port);
        // On the server's own machine its port is taken.
        let local = self.host == "localhost"
            || self
                .host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|ip| ip.is_loopback());
        let port = if local && self.port == 21 { 2121 } else { 21 };
        format!(
            "\n[listeners.main]\nbind = \"0.0.0.0:{port}\"\nupstream = \"server\"\n\n\
             [upstreams.server]\naddress = \"{address}\"\nsystem = \"{}\"\nline_bytes = {}\n",
            self.system(),
            self.line_bytes().unwrap_or(LINE_BYTES_DEFAULT),
        )
    }

    /// What was found, for scripts.
    fn to_json(&self) -> Value {
        let lines = |reply: &Option<Reply>| reply.as_ref().map(|reply| reply.lines.clone());
        let lengths: Vec<Value> = self
            .lengths
            .iter()
            .map(|(length, taken)| json!({ "bytes": length, "taken": taken }))
            .collect();
        json!({
            "host": self.host,
            "port": self.port,
            "greeting": self.greeting.lines,
            "syst": lines(&self.system),
            "feat": lines(&self.features),
            "help": lines(&self.help),
            "auth_tls": lines(&self.tls),
            "tls": self.offers_tls(),
            "lengths": lengths,
            "line_bytes": self.line_bytes(),
            "configuration": self.to_toml(),
        })
    }
}
