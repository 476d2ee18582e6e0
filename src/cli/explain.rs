//! `explain`: what would happen, which rule decides, where it is written.
//!
//! Owns the choice of the listener, the reading of times, and both prints. Must not know how a
//! command is decided: see [`super::rehearsal`].

use std::io::{self, Write};
use std::sync::Arc;

use jiff::Timestamp;
use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::args::Explain;
use super::rehearsal::{Explanation, Situation, rehearse};
use super::{Outcome, check, groups, json, terminal};
use crate::config::diagnostic::{Sources, Style};
use crate::config::{self, Loaded, suggest};
use crate::policy::RuleInfo;
use crate::policy::verdict::Action;
use crate::settings::Listener;

/// Explains the commands.
pub(super) fn explain(arguments: &Explain) -> io::Result<Outcome> {
    let Some(path) = arguments.config.as_deref().filter(|_| !arguments.groups) else {
        return groups::groups(arguments.json);
    };
    let loaded = match config::load(path) {
        Ok(loaded) => loaded,
        Err(error) => {
            terminal::report(&error.report(terminal::stderr_style()));
            terminal::complain(&check::refusal(&error));
            return Ok(Outcome::Configuration);
        }
    };
    let chosen = choose(&loaded, arguments.listener.as_deref())
        .and_then(|listener| Ok((listener, moment(arguments.at.as_deref())?)));
    let (listener, unix_time) = match chosen {
        Ok(chosen) => chosen,
        Err(sentence) => {
            terminal::complain(&sentence);
            return Ok(Outcome::Usage);
        }
    };
    let situation = Situation {
        user: arguments.user.clone(),
        client: arguments.client,
        directory: arguments.cwd.clone(),
        unix_time,
    };
    let explanations = rehearse(&loaded, &listener, &situation, &arguments.commands);
    let mut out = io::stdout().lock();
    if arguments.json {
        let all: Vec<Value> = explanations
            .iter()
            .map(|one| to_json(one, &loaded.sources))
            .collect();
        writeln!(
            out,
            "{:#}",
            json!({ "listener": *listener.name, "commands": all })
        )?;
    } else {
        let style = terminal::stdout_style();
        for one in &explanations {
            write_one(&mut out, one, &loaded.sources, style)?;
        }
    }
    let allowed = explanations.iter().all(Explanation::is_allowed);
    Ok(if allowed {
        Outcome::Fine
    } else {
        Outcome::Refused
    })
}

/// The listener that is asked about: the one that is named, else the only one.
fn choose(loaded: &Loaded, named: Option<&str>) -> Result<Arc<Listener>, String> {
    let listeners = &loaded.settings.listeners;
    let names = || listeners.keys().map(AsRef::as_ref);
    let all = || names().collect::<Vec<_>>().join(", ");
    match named {
        Some(name) => listeners.get(name).map(Arc::clone).ok_or_else(|| {
            let near = suggest::nearest(name, names()).map_or_else(
                || format!("there are {}", all()),
                |near| format!("did you mean {near}?"),
            );
            format!("there is no listener {name}; {near}")
        }),
        None if listeners.len() == 1 => listeners
            .values()
            .next()
            .map(Arc::clone)
            .ok_or_else(String::new),
        None => Err(format!(
            "which listener? write --listener with one of {}",
            all()
        )),
    }
}

/// The time that was asked for, in seconds since 1970, or the present one.
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

/// The word for what happens.
const fn verdict(explanation: &Explanation) -> &'static str {
    match explanation.action {
        Some(action) => action.name(),
        None => "invalid",
    }
}

/// One command for people.
fn write_one(
    out: &mut impl Write,
    one: &Explanation,
    sources: &Sources,
    style: Style,
) -> io::Result<()> {
    let (on, off) = match (style, one.action) {
        (Style::Plain, _) => ("", ""),
        (Style::Coloured, Some(Action::Allow | Action::Answer)) => ("\u{1b}[1;32m", "\u{1b}[0m"),
        (Style::Coloured, _) => ("\u{1b}[1;31m", "\u{1b}[0m"),
    };
    writeln!(
        out,
        "{on}{}{off}: {}",
        verdict(one),
        printable(&one.command)
    )?;
    if let Some((code, text)) = &one.reply {
        writeln!(out, "  reply: {code} {text}")?;
    }
    match &one.decided {
        Some(rule) => write_rule(out, "rule", rule, sources)?,
        None => writeln!(out, "  rule: none, the gateway itself")?,
    }
    if let Some(path) = &one.path {
        writeln!(out, "  path: {}", printable(path))?;
    }
    if let Some(rule) = &one.observed {
        write_rule(
            out,
            &format!("observed {}", rule.action.name()),
            rule,
            sources,
        )?;
    }
    Ok(())
}

/// A rule, its place and the line that it stands on.
fn write_rule(
    out: &mut impl Write,
    title: &str,
    rule: &RuleInfo,
    sources: &Sources,
) -> io::Result<()> {
    write!(
        out,
        "  {title}: `{}` of policy `{}`",
        rule.rule, rule.policy
    )?;
    match (sources.locate(&rule.span), sources.line(&rule.span)) {
        (Some(place), Some(line)) => writeln!(out, " at {place}\n      | {}", line.trim()),
        _ => writeln!(out),
    }
}

/// `text` without what would move a terminal's cursor.
fn printable(text: &str) -> String {
    text.chars()
        .map(|one| if one.is_control() { '\u{fffd}' } else { one })
        .collect()
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
        "verdict": verdict(one),
        "allowed": one.is_allowed(),
        "code": one.reply.as_ref().map(|(code, _)| code),
        "reply": one.reply.as_ref().map(|(_, text)| text),
        "decided": one.decided.as_ref().map(rule),
        "observed": one.observed.as_ref().map(rule),
        "path": one.path,
    })
}
