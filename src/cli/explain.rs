//! `explain`: what would happen, which rule decides, where it is written.
//!
//! Owns the choice of the listener, the reading of times, and both prints. Must not know how a
//! command is decided: see [`super::rehearsal`].

use jiff::Timestamp;
use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::args::Explain;
use super::rehearsal::{Explanation, Situation, rehearse};
use super::terminal::{self, printable};
use super::{Answer, Outcome, groups, json};
use crate::config::diagnostic::{Sources, Style};
use crate::config::{self, Loaded};
use crate::policy::{Lack, RuleInfo, System, suggest};
use crate::settings::Listener;
use crate::tls::options::ClientCertificates;

/// Explains the commands.
pub(super) fn explain(arguments: &Explain) -> Answer {
    let Some(path) = arguments.config.as_deref().filter(|_| !arguments.groups) else {
        return groups::groups(arguments.json);
    };
    if let Some(several) = arguments
        .commands
        .iter()
        .find(|one| one.contains(['\r', '\n']))
    {
        let several = printable(several);
        let sentence = format!("{several:?} is more than one line; write each command by itself");
        return Answer::wrong(Outcome::Usage, &sentence);
    }
    if arguments.commands.iter().any(|one| one.trim().is_empty()) {
        let sentence = "a command is empty; write one such as 'RETR file'";
        return Answer::wrong(Outcome::Usage, sentence);
    }
    let loaded = match config::load(path) {
        Ok(loaded) => loaded,
        Err(error) => return Answer::refused(&error),
    };
    let chosen = choose(&loaded, arguments.listener.as_deref()).and_then(|listener| {
        check_directory(&loaded, listener, arguments.cwd.as_deref())?;
        check_channels(listener, arguments)?;
        Ok((listener, moment(arguments.at.as_deref())?))
    });
    let (listener, unix_time) = match chosen {
        Ok(chosen) => chosen,
        Err(sentence) => return Answer::wrong(Outcome::Usage, &sentence),
    };
    let situation = Situation {
        user: arguments.user.clone(),
        client: arguments.client,
        tls: arguments.tls.then(|| arguments.client_certificate.clone()),
        directory: arguments.cwd.clone(),
        unix_time,
    };
    let rehearsal = rehearse(&loaded, listener, &situation, &arguments.commands);
    let sources = &loaded.sources;
    let out = if arguments.json {
        let one = |one: &Explanation| to_json(one, sources);
        let object = json!({
            "listener": *listener.name,
            "login": rehearsal.login.as_ref().map(one),
            "commands": rehearsal.commands.iter().map(one).collect::<Vec<_>>(),
        });
        format!("{object:#}\n")
    } else {
        let style = terminal::stdout_style();
        let all = rehearsal.login.iter().chain(&rehearsal.commands);
        all.map(|one| to_text(one, sources, style)).collect()
    };
    let outcome = if rehearsal.is_allowed() {
        Outcome::Fine
    } else {
        Outcome::Refused
    };
    let mut answer = Answer::fine(out);
    answer.outcome = outcome;
    if rehearsal.login.is_some() {
        let user = printable(&arguments.user);
        let clear = listener.tls.is_some() && !arguments.tls;
        let hint = if clear { ", or say --tls" } else { "" };
        answer.err = format!(
            "ftpwarden: the login of {user} is refused, so what follows has no user; \
             name another one with --user{hint}\n"
        );
    }
    answer
}

/// The listener that is asked about: the one that is named, else the only one.
///
/// # Errors
/// A sentence that says which there are.
fn choose<'a>(loaded: &'a Loaded, wanted: Option<&str>) -> Result<&'a Listener, String> {
    let listeners = &loaded.settings.listeners;
    let names: Vec<&str> = listeners.keys().map(AsRef::as_ref).collect();
    let Some(wanted) = wanted else {
        return match listeners.values().next() {
            Some(only) if listeners.len() == 1 => Ok(only),
            _ => {
                let all = names.join(", ");
                Err(format!(
                    "which listener? write --listener with one of {all}"
                ))
            }
        };
    };
    let found = listeners.get(wanted);
    found.map(AsRef::as_ref).ok_or_else(|| {
        let help = match suggest::nearest(wanted, names.iter().copied()) {
            Some(near) => format!("did you mean {near}?"),
            None => format!("there are {}", names.join(", ")),
        };
        format!("there is no listener {wanted}; {help}")
    })
}

/// Whether `directory` is written in full, as a server states one.
///
/// # Errors
/// A sentence that says how it is written.
fn check_directory(
    loaded: &Loaded,
    listener: &Listener,
    directory: Option<&str>,
) -> Result<(), String> {
    let upstream = loaded.settings.upstreams.get(&listener.upstream);
    let (Some(directory), Some(upstream)) = (directory, upstream) else {
        return Ok(());
    };
    let has_drive = || {
        let mut letters = directory.chars();
        letters.next().is_some_and(|one| one.is_ascii_alphabetic()) && letters.next() == Some(':')
    };
    let (is_full, example) = match upstream.system {
        System::Unix => (directory.starts_with('/'), "/home/anna"),
        System::Windows => (
            directory.starts_with(['/', '\\']) || has_drive(),
            "/home/anna",
        ),
        System::Mvs => (directory.starts_with(['/', '\'']), "\"'ANNA.'\" or /u/anna"),
    };
    if is_full {
        return Ok(());
    }
    Err(format!(
        "--cwd {:?} is not written in full, as a server states a directory; write one such as \
         {example}",
        printable(directory)
    ))
}

/// Whether a client of `listener` can have the channels that are asked about.
///
/// # Errors
/// A sentence that says what the listener lacks.
fn check_channels(listener: &Listener, arguments: &Explain) -> Result<(), String> {
    let name = &listener.name;
    match &listener.tls {
        None if arguments.tls => Err(format!(
            "no client of the listener {name} is under TLS: there is no [listeners.{name}.tls]; leave \
             --tls out, or write that table"
        )),
        Some(tls)
            if arguments.client_certificate.is_some()
                && tls.options.clients == ClientCertificates::Off =>
        {
            Err(format!(
                "the listener {name} asks no client for a certificate; leave --client-certificate out, or \
                 write `client_certificates` into [listeners.{name}.tls]"
            ))
        }
        _ => Ok(()),
    }
}

/// The time that was asked for, in seconds since 1970, or the present one.
///
/// # Errors
/// A sentence that says how a time is written.
fn moment(written: Option<&str>) -> Result<i64, String> {
    let Some(written) = written else {
        return Ok(super::unix_time());
    };
    let timestamp = written.parse::<Timestamp>().ok();
    let zoned = || written.parse::<Zoned>().ok().map(|zoned| zoned.timestamp());
    let civil = || {
        let civil = written.parse::<DateTime>().ok()?;
        civil
            .to_zoned(TimeZone::UTC)
            .ok()
            .map(|zoned| zoned.timestamp())
    };
    timestamp
        .or_else(zoned)
        .or_else(civil)
        .map(Timestamp::as_second)
        .ok_or_else(|| {
            format!(
                "{written:?} is not a time; write 2026-11-22T10:00:00Z or \
             2026-11-22T10:00[Europe/Berlin]"
            )
        })
}

/// One command for people.
fn to_text(one: &Explanation, sources: &Sources, style: Style) -> String {
    let (on, off) = match style {
        Style::Plain => ("", ""),
        Style::Coloured if one.fate.is_allowed() => ("\u{1b}[1;32m", "\u{1b}[0m"),
        Style::Coloured => ("\u{1b}[1;31m", "\u{1b}[0m"),
    };
    let mut lines = vec![format!(
        "{on}{}{off}: {}",
        one.fate.name(),
        printable(&one.command)
    )];
    lines.extend(
        one.reply
            .iter()
            .map(|(code, said)| format!("  reply: {code} {said}")),
    );
    lines.push(match one.decider() {
        Some(rule) => format!("  rule: {}", rule_to_text(rule, sources)),
        None => "  rule: none, the gateway itself".to_owned(),
    });
    lines.extend(
        one.lack
            .iter()
            .map(|lack| format!("  lacks: `{}`, {}", lack.condition(), lack.describe())),
    );
    lines.extend(
        one.path
            .iter()
            .map(|path| format!("  path: {}", printable(path))),
    );
    lines.extend(one.observed.iter().map(|rule| {
        format!(
            "  observed: {} by {}",
            rule.action.name(),
            rule_to_text(rule, sources)
        )
    }));
    lines.join("\n") + "\n"
}

/// A rule, its place and the line that it stands on.
fn rule_to_text(rule: &RuleInfo, sources: &Sources) -> String {
    let named = format!("`{}` of policy `{}`", rule.rule, rule.policy);
    match (sources.locate(&rule.span), sources.excerpt(&rule.span)) {
        (Some(place), Some(line)) => format!("{named} at {place}\n      | {}", printable(line)),
        _ => named,
    }
}

/// One command for scripts.
fn to_json(one: &Explanation, sources: &Sources) -> Value {
    let rule = |rule: &RuleInfo| {
        json!({
            "policy": *rule.policy,
            "rule": *rule.rule,
            "action": rule.action.name(),
            "place": json::place(&rule.span, sources),
        })
    };
    json!({
        "command": one.command,
        "verdict": one.fate.name(),
        "allowed": one.fate.is_allowed(),
        "code": one.reply.as_ref().map(|(code, _)| code),
        "reply": one.reply.as_ref().map(|(_, text)| text),
        "decided": one.decided.as_ref().map(rule),
        "upstream": one.upstream.as_ref().map(rule),
        "observed": one.observed.as_ref().map(rule),
        "path": one.path,
        "lacks": one.lack.map(Lack::condition),
    })
}
