//! Conversation files: what each side sends and what each must receive, line by line.
//!
//! ```text
//! about: RFC 959 §5.4: a refused command never reaches the server
//! policy: standard
//! after: login
//!
//! C> SITE CHMOD 777 x
//! c< 502 Command not implemented.
//! ```
//!
//! The header ends at the first empty line. Each step is one line; `#` begins a comment.
//!
//! | step | what happens or must have happened |
//! |---|---|
//! | `C> text` · `S> text` | the client, the server sends a line on its control connection |
//! | `C+ text` · `S+ text` | the same, held back and sent with the next `>` in one segment |
//! | `C^ text` · `S^ text` | the same as `>`, the last byte as TCP urgent data |
//! | `c< text` · `s< text` | the client, the server has received this, and nothing before it |
//! | `C fin` `C rst` · `c fin` `c rst` | ends its control connection · sees its end |
//! | `CD open` · `CD refused` | the client dials the gateway's offer · and nobody listens |
//! | `CD stranger` | somebody else dials it and is reset, the offer stays |
//! | `CD refuse` · `CD ignore` | the side's own data listener takes no connections · does not answer |
//! | `CD> bytes` `CD fin` `CD rst` | sends on, ends its data connection |
//! | `cd open` · `cd< bytes` · `cd fin` · `cd rst` | was dialled · has received · sees the end |
//! | `c tls` · `C tls` · `C tls failed` | its control connection turns to TLS · and has · or not |
//! | `S tls version` | it refuses the version that it was offered, and another one is left |
//! | `cd tls` · `CD tls` · `CD tls failed` | the same of its data connection; `cd tls upload` says |
//! | | that it was told which way bytes go |
//! | `CD stall` · `CD read` | takes no more data bytes · takes them again |
//! | `! fact` · `!! fact` | the session noted a fact that begins so · and none did so since |
//! | `@ 30s` | time passes |
//! | `~ drain` · `~ stop` · `~ policy TOML` | the gateway is to stop · must stop · has another policy |
//!
//! `S`, `s`, `SD`, `sd` are the same for the server. On control lines CR LF is added unless the
//! text ends in one backslash; data lines are as they stand. `\r \n \t \0 \\ \{ \xNN` are bytes,
//! `{3*text}` is `text` three times, and other braces are slots: see [`Slot`].

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use ftpwarden::ftp::address;
use ftpwarden::session::{Direction, End, Leg};

/// A value that is known only when the conversation runs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Slot {
    /// `{offer}`: where the gateway waits for the client, as six numbers.
    Offer,
    /// `{offer port}`: its port.
    OfferPort,
    /// `{active}`: where the gateway waits for the server, as six numbers.
    Active,
    /// `{active eprt}`: the same as EPRT has it.
    ActiveEprt,
    /// `{target}`: where the client listens from now on, as six numbers.
    Target,
    /// `{target eprt}`: the same as EPRT has it.
    TargetEprt,
    /// `{target port}`: its port alone.
    TargetPort,
    /// `{pasv}`: where the server listens from now on, as six numbers.
    Pasv,
    /// `{pasv ports}`: the last two of them.
    PasvPorts,
    /// `{epsv}`: its port alone.
    Epsv,
}

impl Slot {
    /// The slot of this name.
    fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "offer" => Self::Offer,
            "offer port" => Self::OfferPort,
            "active" => Self::Active,
            "active eprt" => Self::ActiveEprt,
            "target" => Self::Target,
            "target eprt" => Self::TargetEprt,
            "target port" => Self::TargetPort,
            "pasv" => Self::Pasv,
            "pasv ports" => Self::PasvPorts,
            "epsv" => Self::Epsv,
            _ => return None,
        })
    }
}

/// A part of a text.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Piece {
    /// These bytes.
    Bytes(Vec<u8>),
    /// What is known later.
    Slot(Slot),
}

/// Bytes with slots in them.
pub(crate) type Text = Vec<Piece>;

/// What is done with, or seen of, a data connection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum DataStep {
    /// The side dials the gateway's offer.
    Open,
    /// It dials, and nobody listens.
    Refused,
    /// Somebody else dials and is reset.
    Stranger,
    /// Its own listener takes no connections from now on.
    Refuse,
    /// Its own listener does not answer from now on.
    Ignore,
    /// It takes no more bytes.
    Stall,
    /// It takes bytes again.
    Read,
    /// It sends.
    Send(Text),
    /// It ends.
    End(End),
    /// It was dialled.
    WasOpened,
    /// It has received.
    Received(Text),
    /// It has seen the end.
    Ended(End),
    /// It is to be under TLS; the way of its bytes, where that was known.
    Turning(Option<Direction>),
    /// Its handshake succeeds, or does not.
    Turned(bool),
}

/// What happens to the gateway as a whole.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum ShellStep {
    /// It is stopping.
    Drain,
    /// It stops now.
    Stop,
    /// It has another policy: the lines of `[policies.case]`.
    Policy(String),
}

/// One line of a conversation.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Step {
    /// A side sends on its control connection.
    Send {
        /// Who.
        leg: Leg,
        /// What.
        text: Text,
        /// The last byte is urgent.
        urgent: bool,
    },
    /// A side has received on its control connection.
    Receive {
        /// Who.
        leg: Leg,
        /// What.
        text: Text,
    },
    /// A side ends its control connection.
    End(Leg, End),
    /// A side has seen the end of its control connection.
    Ended(Leg, End),
    /// A side's control connection is to be under TLS.
    Turning(Leg),
    /// Its handshake succeeds, or does not.
    Turned(Leg, bool),
    /// The server refused the version of TLS, and another one is left to be tried.
    VersionRefused,
    /// Something of a data connection.
    Data(Leg, DataStep),
    /// A fact was noted, or none was.
    Fact {
        /// What it begins with.
        text: String,
        /// None such was noted.
        absent: bool,
    },
    /// Time passes.
    Wait(Duration),
    /// Something of the gateway.
    Shell(ShellStep),
}

/// A step and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    /// Its line in the file, from 1.
    pub(crate) number: usize,
    /// What it says.
    pub(crate) step: Step,
}

/// How far the dialogue has come when the file begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum After {
    /// The client has just connected.
    Nothing,
    /// The server's greeting was read.
    Greeting,
    /// `ann` is logged in.
    Login,
    /// The same, and PASV was answered.
    Pasv,
    /// The same, and PORT was answered.
    Port,
}

/// A whole conversation.
#[derive(Clone, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "what a header may say, each on its own"
)]
pub(crate) struct Script {
    /// The file, for messages.
    pub(crate) name: String,
    /// What it shows.
    pub(crate) about: String,
    /// The steps before the file's own.
    pub(crate) after: After,
    /// Lines of TOML by table: `policy`, `listener`, `upstream`, `limits`, `audit`, `toml`.
    pub(crate) tables: Vec<(String, String)>,
    /// Both sides speak IPv6, or one of them.
    pub client_v6: bool,
    /// The server does.
    pub server_v6: bool,
    /// The server cannot be reached.
    pub(crate) unreachable: bool,
    /// No port is free for a data connection.
    pub(crate) exhausted: bool,
    /// Why its sends cannot arrive byte by byte.
    pub(crate) whole_only: Option<String>,
    /// Why it cannot run over sockets.
    pub(crate) pure_only: Option<String>,
    /// The steps.
    pub(crate) lines: Vec<Line>,
}

/// What is wrong with a file.
#[derive(Clone, Debug)]
pub(crate) struct ScriptFault {
    /// Where.
    pub(crate) line: usize,
    /// What.
    pub(crate) message: String,
}

impl fmt::Display for ScriptFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "line {}: {}", self.line, self.message)
    }
}

impl Script {
    /// Reads a conversation.
    ///
    /// # Errors
    /// The first line that makes no sense.
    pub(crate) fn parse(name: &str, source: &str) -> Result<Self, ScriptFault> {
        let mut script = Self {
            name: name.to_owned(),
            about: String::new(),
            after: After::Nothing,
            tables: Vec::new(),
            client_v6: false,
            server_v6: false,
            unreachable: false,
            exhausted: false,
            whole_only: None,
            pure_only: None,
            lines: Vec::new(),
        };
        let mut in_header = true;
        let mut held: [Text; 2] = [Vec::new(), Vec::new()];
        for (index, line) in source.lines().enumerate() {
            let number = index + 1;
            let fault = |message: String| ScriptFault {
                line: number,
                message,
            };
            if in_header {
                in_header = !line.is_empty();
                if in_header {
                    script.header(line).map_err(fault)?;
                }
                continue;
            }
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(step) = step(line, &mut held).map_err(fault)? {
                script.lines.push(Line { number, step });
            }
        }
        if script.about.is_empty() {
            return Err(ScriptFault {
                line: 1,
                message: "there is no `about:`".into(),
            });
        }
        Ok(script)
    }

    /// Takes a line of the header.
    fn header(&mut self, line: &str) -> Result<(), String> {
        let (key, value) = line
            .split_once(':')
            .ok_or_else(|| format!("no header: {line}"))?;
        let value = value.strip_prefix(' ').unwrap_or(value);
        match (key, value) {
            ("about", _) => {
                if !self.about.is_empty() {
                    self.about.push(' ');
                }
                self.about.push_str(value);
            }
            ("after", "greeting") => self.after = After::Greeting,
            ("after", "login") => self.after = After::Login,
            ("after", "pasv") => self.after = After::Pasv,
            ("after", "port") => self.after = After::Port,
            ("client", "v6") => self.client_v6 = true,
            ("server", "v6") => self.server_v6 = true,
            ("server", "unreachable") => self.unreachable = true,
            ("ports", "exhausted") => self.exhausted = true,
            ("segments", _) => {
                let reason = reason(value, "whole (").ok_or("write `segments: whole (reason)`")?;
                self.whole_only = Some(reason);
            }
            ("sockets", _) => {
                let reason = reason(value, "no (").ok_or("write `sockets: no (reason)`")?;
                self.pure_only = Some(reason);
            }
            ("policy" | "listener" | "upstream" | "limits" | "audit" | "toml", _) => {
                self.tables.push((key.to_owned(), value.to_owned()));
            }
            _ => return Err(format!("no such header: {line}")),
        }
        Ok(())
    }

    /// The lines of one table, and for `policy` the name that stands alone.
    pub(crate) fn table(&self, name: &str) -> Vec<&str> {
        self.tables
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, line)| line.as_str())
            .collect()
    }
}

/// The reason in `value`, between `open` and a closing parenthesis.
fn reason(value: &str, open: &str) -> Option<String> {
    let reason = value.strip_prefix(open)?.strip_suffix(')')?;
    (!reason.is_empty()).then(|| reason.to_owned())
}

/// An address as `slot` has it.
///
/// # Errors
/// There are no six numbers for an IPv6 address.
pub(crate) fn write_address(slot: Slot, address: SocketAddr) -> Result<Vec<u8>, String> {
    // The argument of a rendered command.
    let cut = |line: &[u8]| line.get(5..line.len() - 2).unwrap_or_default().to_vec();
    Ok(match slot {
        Slot::OfferPort | Slot::TargetPort | Slot::Epsv => address.port().to_string().into_bytes(),
        Slot::PasvPorts => {
            let [high, low] = address.port().to_be_bytes();
            format!("{high},{low}").into_bytes()
        }
        Slot::ActiveEprt | Slot::TargetEprt => cut(&address::render_eprt(address)),
        Slot::Active | Slot::Offer | Slot::Pasv | Slot::Target => {
            cut(&address::render_port(address).ok_or("no six numbers for IPv6")?)
        }
    })
}

/// The step that `line` says; None where it is held back for the next one.
fn step(line: &str, held: &mut [Text; 2]) -> Result<Option<Step>, String> {
    let (mark, rest) = line.split_once(' ').unwrap_or((line, ""));
    let leg = match mark.as_bytes().first() {
        Some(b'C' | b'c') => Leg::Client,
        _ => Leg::Server,
    };
    let kept = &mut held[usize::from(leg == Leg::Server)];
    Ok(Some(match mark {
        "C+" | "S+" => {
            kept.extend(text(rest, true)?);
            return Ok(None);
        }
        "C>" | "S>" | "C^" | "S^" => {
            let mut all = std::mem::take(kept);
            all.extend(text(rest, true)?);
            Step::Send {
                leg,
                text: all,
                urgent: mark.ends_with('^'),
            }
        }
        "c<" | "s<" => Step::Receive {
            leg,
            text: text(rest, true)?,
        },
        "C" | "S" if rest == "tls" => Step::Turned(leg, true),
        "C" | "S" if rest == "tls failed" => Step::Turned(leg, false),
        "S" if rest == "tls version" => Step::VersionRefused,
        "C" | "S" => Step::End(leg, end(rest)?),
        "c" | "s" if rest == "tls" => Step::Turning(leg),
        "c" | "s" => Step::Ended(leg, end(rest)?),
        "CD>" | "SD>" => Step::Data(leg, DataStep::Send(text(rest, false)?)),
        "cd<" | "sd<" => Step::Data(leg, DataStep::Received(text(rest, false)?)),
        "CD" | "SD" => Step::Data(
            leg,
            match rest {
                "open" => DataStep::Open,
                "refused" => DataStep::Refused,
                "stranger" => DataStep::Stranger,
                "refuse" => DataStep::Refuse,
                "ignore" => DataStep::Ignore,
                "stall" => DataStep::Stall,
                "read" => DataStep::Read,
                "tls" => DataStep::Turned(true),
                "tls failed" => DataStep::Turned(false),
                _ => DataStep::End(end(rest)?),
            },
        ),
        "cd" | "sd" if rest.starts_with("tls") => Step::Data(
            leg,
            DataStep::Turning(match rest {
                "tls" => None,
                "tls upload" => Some(Direction::Upload),
                "tls download" => Some(Direction::Download),
                "tls list" => Some(Direction::List),
                _ => return Err(format!("no such step: {line}")),
            }),
        ),
        "cd" | "sd" if rest == "open" => Step::Data(leg, DataStep::WasOpened),
        "cd" | "sd" => Step::Data(leg, DataStep::Ended(end(rest)?)),
        "!" | "!!" => Step::Fact {
            text: rest.to_owned(),
            absent: mark == "!!",
        },
        "@" => Step::Wait(duration(rest)?),
        "~" => Step::Shell(match rest.split_once(' ').unwrap_or((rest, "")) {
            ("drain", _) => ShellStep::Drain,
            ("stop", _) => ShellStep::Stop,
            ("policy", lines) => ShellStep::Policy(lines.replace("; ", "\n")),
            _ => return Err(format!("no such step: {line}")),
        }),
        _ => return Err(format!("no such step: {line}")),
    }))
}

/// `fin` or `rst`.
fn end(word: &str) -> Result<End, String> {
    match word {
        "fin" => Ok(End::Fin),
        "rst" => Ok(End::Reset),
        _ => Err(format!("neither `fin` nor `rst`: {word}")),
    }
}

/// `250ms`, `30s`, `5m`.
fn duration(word: &str) -> Result<Duration, String> {
    let bad = || format!("no duration: {word}");
    let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| bad())?;
    match word.get(digits.len()..) {
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s") => Ok(Duration::from_secs(number)),
        Some("m") => Ok(Duration::from_secs(number * 60)),
        _ => Err(bad()),
    }
}

/// A text with its escapes and slots resolved.
fn text(source: &str, is_line: bool) -> Result<Text, String> {
    let (source, ended) = match source.strip_suffix('\\') {
        Some(rest) if is_line && !rest.ends_with('\\') => (rest, false),
        _ => (source, is_line),
    };
    let mut pieces = pieces(source)?;
    if ended {
        push_bytes(&mut pieces, b"\r\n");
    }
    Ok(pieces)
}

/// The pieces of `source`.
fn pieces(source: &str) -> Result<Text, String> {
    let mut found = Text::new();
    let mut rest = source;
    while let Some(at) = rest.find(['\\', '{']) {
        let (plain, from) = rest.split_at(at);
        push_bytes(&mut found, plain.as_bytes());
        if let Some(inner) = from.strip_prefix('{') {
            let close = closing(inner).ok_or("a brace is not closed")?;
            let (body, behind) = inner.split_at(close);
            brace(&mut found, body)?;
            rest = &behind[1..];
        } else {
            let (byte, length) = escape(from)?;
            push_bytes(&mut found, &[byte]);
            rest = &from[length..];
        }
    }
    push_bytes(&mut found, rest.as_bytes());
    Ok(found)
}

/// Where the brace that was opened before `text` closes.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_u32;
    for (at, character) in text.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Appends a repetition or a slot.
fn brace(found: &mut Text, body: &str) -> Result<(), String> {
    if let Some((times, repeated)) = body.split_once('*')
        && let Ok(times) = times.parse::<usize>()
    {
        let inner = pieces(repeated)?;
        let [Piece::Bytes(bytes)] = inner.as_slice() else {
            return Err(format!("only bytes can be repeated: {body}"));
        };
        push_bytes(found, &bytes.repeat(times));
        return Ok(());
    }
    let slot = Slot::parse(body).ok_or_else(|| format!("no such slot: {body}"))?;
    found.push(Piece::Slot(slot));
    Ok(())
}

/// The byte that the escape at the start of `text` stands for, and the escape's length.
fn escape(text: &str) -> Result<(u8, usize), String> {
    let bytes = text.as_bytes();
    let bad = || format!("no such escape: {text}");
    Ok(match bytes.get(1).ok_or_else(bad)? {
        b'r' => (b'\r', 2),
        b'n' => (b'\n', 2),
        b't' => (b'\t', 2),
        b'0' => (0, 2),
        b'\\' => (b'\\', 2),
        b'{' => (b'{', 2),
        b'x' => {
            let digits = text.get(2..4).ok_or_else(bad)?;
            (u8::from_str_radix(digits, 16).map_err(|_| bad())?, 4)
        }
        _ => return Err(bad()),
    })
}

/// Appends bytes.
fn push_bytes(pieces: &mut Text, bytes: &[u8]) {
    if let Some(Piece::Bytes(last)) = pieces.last_mut() {
        last.extend_from_slice(bytes);
    } else if !bytes.is_empty() {
        pieces.push(Piece::Bytes(bytes.to_vec()));
    }
}

/// The steps before a file's own.
pub(crate) fn prologue(after: After) -> Vec<&'static str> {
    const GREETING: &[&str] = &["S> 220 Ready.", "c< 220 Ready."];
    const LOGIN: &[&str] = &[
        "C> USER ann",
        "s< USER ann",
        "S> 331 Password required.",
        "c< 331 Password required.",
        "C> PASS secret",
        "s< PASS secret",
        "S> 230 Logged in.",
        "c< 230 Logged in.",
    ];
    const PASSIVE: &[&str] = &[
        "C> PASV",
        "s< PASV",
        "S> 227 Entering Passive Mode ({pasv}).",
        "c< 227 Entering Passive Mode ({offer}).",
    ];
    const ACTIVE: &[&str] = &[
        "C> PORT {target}",
        "s< PORT {active}",
        "S> 200 Done.",
        "c< 200 PORT command successful.",
    ];
    match after {
        After::Nothing => Vec::new(),
        After::Greeting => GREETING.to_vec(),
        After::Login => [GREETING, LOGIN].concat(),
        After::Pasv => [GREETING, LOGIN, PASSIVE].concat(),
        After::Port => [GREETING, LOGIN, ACTIVE].concat(),
    }
}

/// A step that is known to be well formed.
///
/// # Panics
/// It is not.
pub(crate) fn known_step(line: &str) -> Step {
    let mut held = [Vec::new(), Vec::new()];
    step(line, &mut held).unwrap().unwrap()
}
