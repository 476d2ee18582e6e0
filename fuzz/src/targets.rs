//! What is fuzzed, and what each answer is held against.

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use ftpwarden::config;
use ftpwarden::ftp::address;
use ftpwarden::ftp::command::Command;
use ftpwarden::ftp::line::{Framed, LineReader};
use ftpwarden::ftp::reply::ReplyReader;
use ftpwarden::gateway::proxy::header::{self, BINARY_BYTES, Header, HeaderFault, Source};
use ftpwarden::policy::{Channels, Query, Verdict};
use ppp::{v1, v2};

use crate::dice::Dice;
use crate::framing::{Framing, Said};
use crate::ideal::{self, KINDS, Kind};
use crate::lenient;
use crate::replies::Replies;
use crate::run;

/// Holds for an input, or says what broke.
pub(crate) type Target = fn(&[u8]) -> Result<(), String>;

/// Every target.
pub(crate) const TARGETS: [(&str, Target); 9] = [
    ("address", address_target),
    ("command", command_target),
    ("config", config_target),
    ("lenient", lenient_target),
    ("line", line_target),
    ("path", path_target),
    ("proxy_header", proxy_header_target),
    ("reply", reply_target),
    ("session", session_target),
];

/// Fails with the text unless it holds.
fn check(holds: bool, text: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(text()) }
}

/// Addresses: whatever is read is within its bounds, and what is written is read back.
fn address_target(input: &[u8]) -> Result<(), String> {
    if let Some(read) = address::parse_port(input) {
        let line = address::render_port(read).ok_or("no PORT for an IPv4 address")?;
        let back = line
            .strip_prefix(b"PORT ")
            .and_then(|rest| rest.strip_suffix(b"\r\n"));
        check(back.and_then(address::parse_port) == Some(read), || {
            format!("PORT {read}")
        })?;
    }
    if let Ok(read) = address::parse_eprt(input) {
        let line = address::render_eprt(read);
        let back = line
            .strip_prefix(b"EPRT ")
            .and_then(|rest| rest.strip_suffix(b"\r\n"));
        let back = back.and_then(|text| address::parse_eprt(text).ok());
        check(back == Some(read), || format!("EPRT {read}"))?;
    }
    if let Some(read) = address::parse_227(input) {
        let line = address::render_227(read).ok_or("no 227 for an IPv4 address")?;
        check(address::parse_227(&line) == Some(read), || {
            format!("227 {read}")
        })?;
    }
    if let Some(port) = address::parse_229(input) {
        check(port > 0, || "229 with port 0".into())?;
        let line = address::render_229(port);
        check(address::parse_229(&line) == Some(port), || {
            format!("229 {port}")
        })?;
    }
    address::parse_epsv(input).ok();
    Ok(())
}

/// The commands in a stream, as the program reads them.
fn commands(input: &[u8], limit: usize, piece: usize) -> Vec<Option<Command>> {
    let mut reader = LineReader::new(limit);
    let mut read = Vec::new();
    for piece in input.chunks(piece.max(1)) {
        reader.push(piece);
        while let Some(framed) = reader.next_line() {
            match framed {
                Framed::Line(line) => read.push(Command::parse(&line).ok()),
                Framed::Empty => {}
                Framed::Fault(..) => read.push(None),
            }
        }
    }
    read
}

/// Lines: the same however the stream is cut, and the same as an independent reader's.
fn line_target(input: &[u8]) -> Result<(), String> {
    let Some((how, stream)) = input.split_first() else {
        return Ok(());
    };
    let limit = [510, 64, 80][usize::from(*how) % 3];
    let piece = usize::from(*how) / 3 + 1;
    let read = commands(stream, limit, piece);
    check(read == commands(stream, limit, usize::MAX), || {
        "cut otherwise it says something else".into()
    })?;
    let mut framing = Framing::new(limit);
    // Sixteen empty lines and more are a fault of the queue's, not of the reader's.
    let said: Vec<_> = framing.push(stream);
    let empty = stream.split(|byte| *byte == b'\n').count() > 16;
    for (ours, theirs) in read.iter().zip(&said) {
        let same = match (ours, &theirs.said) {
            (Some(command), Said::Command(spoken)) => {
                command.name.as_str() == spoken.verb
                    && command.argument.as_deref() == spoken.argument.as_deref()
            }
            (None, Said::Fault) => true,
            _ => false,
        };
        check(same || empty, || format!("{ours:?} for {:?}", theirs.said))?;
    }
    check(read.len() == said.len() || empty, || {
        format!("{} lines for {}", read.len(), said.len())
    })
}

/// Commands: what is parsed is encoded as an independent reader would, in one line.
fn command_target(input: &[u8]) -> Result<(), String> {
    let line = Bytes::copy_from_slice(input);
    let Ok(command) = Command::parse(&line) else {
        return Ok(());
    };
    let encoded = command.encode().ok_or("a command that cannot be encoded")?;
    let content = encoded.strip_suffix(b"\r\n").ok_or("no CR LF at the end")?;
    check(
        !content.iter().any(|byte| matches!(byte, b'\r' | b'\n' | 0)),
        || "a byte that ends lines".into(),
    )?;
    let again = commands(&encoded, encoded.len(), usize::MAX);
    let [Some(again)] = again.as_slice() else {
        return Err(format!("{} commands of one", again.len()));
    };
    check(again.encode() == Some(encoded), || {
        "encoded again it is another".into()
    })?;
    check(
        again.word().map(<[u8]>::to_ascii_uppercase)
            == command.word().map(<[u8]>::to_ascii_uppercase),
        || "another word".into(),
    )?;
    check(again.judged() == command.judged(), || "another verb".into())
}

/// What policy says of a command in the name of somebody who is logged in.
fn verdict(kind: Kind, command: &Command, directory: Option<&[u8]>) -> Verdict {
    let (_, judge) = ideal::parts(kind);
    let query = Query {
        command,
        user: Some(b"eve"),
        client: IpAddr::from([192, 0, 2, 10]),
        directory,
        home: None,
        renaming: None,
        unix_time: 1_800_000_000,
        channels: Channels::default(),
    };
    judge.decide(&query).verdict
}

/// What careless servers take from what goes on must be what policy judged, and nothing that it
/// refuses may be among it.
fn lenient_target(input: &[u8]) -> Result<(), String> {
    let mut wire = Vec::new();
    let mut judged = Vec::new();
    for command in commands(input, 510, usize::MAX).into_iter().flatten() {
        let Verdict::Forward(permit) = verdict(Kind::Open, &command, None) else {
            continue;
        };
        let line = permit.line();
        let verb = command.name.as_str();
        let content = line.strip_suffix(b"\r\n").ok_or("no CR LF at the end")?;
        let argument = content.get(verb.len() + 1..).unwrap_or_default();
        for reader in lenient::ALL {
            lenient::agrees(reader, line, (verb, argument))?;
        }
        wire.extend_from_slice(line);
        judged.push(verb.as_bytes().to_vec());
    }
    for reader in lenient::ALL {
        let taken: Vec<Vec<u8>> = reader
            .read(&wire)
            .into_iter()
            .map(|(verb, _)| verb)
            .collect();
        check(taken == judged, || {
            format!(
                "{reader:?} takes other commands from {}",
                wire.escape_ascii()
            )
        })?;
        let denied = [
            &b"SITE"[..],
            b"DELE",
            b"MKD",
            b"XMKD",
            b"OPTS",
            b"MLSD",
            b"RCMD",
            b"APPE",
            b"SMNT",
        ];
        check(
            !taken.iter().any(|verb| denied.contains(&verb.as_slice())),
            || format!("{reader:?} runs what is denied"),
        )?;
    }
    Ok(())
}

/// Where a path leads, read in the simplest way: parts between slashes, dots resolved.
fn resolve(directory: &str, path: &str) -> Vec<String> {
    let whole = if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("{directory}/{path}")
    };
    let mut parts: Vec<String> = Vec::new();
    for part in whole.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part.to_owned()),
        }
    }
    parts
}

/// Paths: what leads below a denied directory is refused, however it is written.
fn path_target(input: &[u8]) -> Result<(), String> {
    let mut pieces = input.splitn(2, |byte| *byte == b'\n');
    let (Some(directory), Some(path)) = (pieces.next(), pieces.next()) else {
        return Ok(());
    };
    let (Ok(directory), Ok(path)) = (std::str::from_utf8(directory), std::str::from_utf8(path))
    else {
        return Ok(());
    };
    let line = Bytes::from(format!("RETR {path}"));
    let Ok(command) = Command::parse(&line) else {
        return Ok(());
    };
    let verdict = verdict(
        Kind::Paths,
        &command,
        directory.starts_with('/').then_some(directory.as_bytes()),
    );
    let inside = resolve(directory, path)
        .first()
        .is_some_and(|first| first == "secret");
    let passes = matches!(verdict, Verdict::Forward(_));
    check(!(inside && passes && directory.starts_with('/')), || {
        format!("{path} in {directory} passes")
    })
}

/// The client that another reader finds.
fn other_client(input: &[u8]) -> Option<SocketAddr> {
    if input.starts_with(b"PROXY") {
        return match v1::Header::try_from(input).ok()?.addresses {
            v1::Addresses::Tcp4(four) => Some((four.source_address, four.source_port).into()),
            v1::Addresses::Tcp6(six) => Some((six.source_address, six.source_port).into()),
            v1::Addresses::Unknown => None,
        };
    }
    let header = v2::Header::try_from(input).ok()?;
    if header.command == v2::Command::Local || header.protocol != v2::Protocol::Stream {
        return None;
    }
    match header.addresses {
        v2::Addresses::IPv4(four) => Some((four.source_address, four.source_port).into()),
        v2::Addresses::IPv6(six) => Some((six.source_address, six.source_port).into()),
        v2::Addresses::Unix(_) | v2::Addresses::Unspecified => None,
    }
}

/// Headers of the PROXY protocol: the answer comes once, at the same byte however they come, within
/// their bounds, and names the client that another reader finds.
fn proxy_header_target(input: &[u8]) -> Result<(), String> {
    let mut answer: Option<Result<Header, HeaderFault>> = None;
    for end in 0..=input.len().min(2 * BINARY_BYTES) {
        let read = header::read(&input[..end]).transpose();
        if let Some(Ok(header)) = read {
            // The answer before the whole header, or after more than it.
            let early = header.length > end;
            let late = answer.is_none() && header.length != end;
            check(!early && !late, || format!("{header:?} at byte {end}"))?;
        }
        check(answer.is_none() || read == answer, || {
            format!("{answer:?} and then {read:?} at byte {end}")
        })?;
        answer = read;
        check(answer.is_some() || end < BINARY_BYTES, || {
            format!("no answer at byte {end}")
        })?;
    }
    if let Some(Ok(Header {
        source: Source::Client(client),
        length,
    })) = answer
    {
        let other = other_client(&input[..length]);
        let other = other.map(|other| SocketAddr::new(other.ip().to_canonical(), other.port()));
        check(other == Some(client), || format!("{client} for {other:?}"))?;
        check(!client.ip().is_unspecified(), || {
            "nobody is believed".into()
        })?;
    }
    Ok(())
}

/// Replies: the same however the stream is cut, and the same as an independent reader's.
fn reply_target(input: &[u8]) -> Result<(), String> {
    let Some((how, stream)) = input.split_first() else {
        return Ok(());
    };
    let bounds = [(512, 2048), (4096, 65536)][usize::from(*how) % 2];
    let read = |piece: usize| {
        let mut reader = ReplyReader::new(bounds.0, bounds.1);
        let (mut replies, mut open, mut broken) = (Vec::new(), Vec::new(), false);
        for piece in stream.chunks(piece.max(1)) {
            reader.push(piece);
            while let Some(line) = reader.next_line() {
                match line {
                    Ok(line) => {
                        open.extend_from_slice(&line.bytes);
                        if line.last {
                            replies.push((line.code.value(), std::mem::take(&mut open)));
                        }
                    }
                    Err(_) => broken = true,
                }
            }
        }
        (replies, broken)
    };
    let ours = read(usize::from(*how) / 2 + 1);
    check(ours == read(usize::MAX), || {
        "cut otherwise it says something else".into()
    })?;
    let mut reader = Replies::new(bounds);
    let theirs: Vec<_> = reader
        .push(stream, 0)
        .into_iter()
        .map(|reply| (reply.code, reply.bytes))
        .collect();
    check(ours == (theirs.clone(), reader.is_broken()), || {
        format!("{ours:?} for {theirs:?}, {}", reader.is_broken())
    })
}

/// Configurations: read or refused with a report, never a panic.
fn config_target(input: &[u8]) -> Result<(), String> {
    let Ok(source) = std::str::from_utf8(input) else {
        return Ok(());
    };
    if let Err(error) = config::parse(source, "fuzz.toml") {
        let report = error.report(config::diagnostic::Style::Plain);
        check(report.contains("error"), || {
            "a refusal without a reason".into()
        })?;
    }
    Ok(())
}

/// A session whose peers and network the input decides, held against the shadow: the laws.
fn session_target(input: &[u8]) -> Result<(), String> {
    debug_assert!(KINDS.len() == 4);
    run::run(Dice::of_bytes(input), 400, false).map(drop)
}
