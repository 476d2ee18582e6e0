//! The values of conditions, read: globs, networks, hours, regexes.
//!
//! Owns what is said of one that cannot be read. Must not know rules. Regexes are at most
//! [`REGEX_TEXT_MAX`] bytes long and [`REGEX_SIZE_MAX`] bytes when compiled.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::RegexBuilder;
use unicode_normalization::UnicodeNormalization;

use super::super::glob::{Glob, GlobFault};
use super::super::hours::{Hours, HoursFault};
use super::super::network::unmapped;
use super::super::path::pattern::{PathGlob, PatternFault};
use super::super::rule::NamePattern;
use super::super::spec::Located;
use super::super::suggest::nearest;
use super::Problems;

/// The longest regex, in bytes.
pub(super) const REGEX_TEXT_MAX: usize = 4096;

/// The largest compiled regex, in bytes.
const REGEX_SIZE_MAX: usize = 1 << 20;

/// Reads a glob on user names.
pub(super) fn user(written: &Located<String>, problems: &mut Problems) -> Option<Glob> {
    let parsed = Glob::parse(&written.value);
    if let Err(fault) = &parsed {
        let help = matches!(fault, GlobFault::Placeholder(_))
            .then_some("write a choice as `{one,two}`, or a literal brace as `\\{`");
        problems
            .error(
                "policy/bad-glob",
                &written.span,
                format!("`{}` is not a glob on user names: {fault}", written.value),
            )
            .help_if(help);
    }
    parsed.ok()
}

/// Reads a network or an address; an IPv4-mapped network is an IPv4 network.
pub(super) fn network(written: &Located<String>, problems: &mut Problems) -> Option<IpNet> {
    let text = written.value.trim();
    let net = text
        .parse::<IpNet>()
        .or_else(|_| text.parse::<IpAddr>().map(IpNet::from))
        .ok();
    let Some(net) = net else {
        problems
            .error(
                "policy/bad-network",
                &written.span,
                format!("`{text}` is neither a network nor an address"),
            )
            .help("write `198.51.100.0/24`, `2001:db8::/32` or a single address");
        return None;
    };
    if net.addr() != net.network() {
        problems
            .warning(
                "policy/host-bits",
                &written.span,
                format!("`{text}` has bits behind its prefix, which count for nothing"),
            )
            .help(format!("write `{}`", net.trunc()));
    }
    Some(unmapped(net).trunc())
}

/// Reads day and time ranges.
pub(super) fn hours(written: &Located<String>, problems: &mut Problems) -> Option<Hours> {
    let parsed = Hours::parse(&written.value);
    if let Err(fault) = &parsed {
        let help = match fault {
            HoursFault::Zone(_, Some(near)) => format!("did you mean `{near}`?"),
            HoursFault::Zone(name, None) if name.contains([':', '-']) => {
                "end with a zone, such as `Europe/Berlin` or `UTC`".to_owned()
            }
            HoursFault::Zone(_, None) => {
                "write a zone of the tz database, such as `Europe/Berlin` or `UTC`".to_owned()
            }
            HoursFault::Day(_) => "write `Mon`, `Mon-Fri` or `Mon,Wed,Fri`".to_owned(),
            HoursFault::Time(_) => {
                "write `07:00-19:00`, or `22:00-06:00` to pass midnight".to_owned()
            }
            HoursFault::Form => "write `Mon-Fri 07:00-19:00 Europe/Berlin`".to_owned(),
        };
        problems
            .error(
                "policy/bad-hours",
                &written.span,
                format!("`{}` are no hours: {fault}", written.value),
            )
            .help(help);
    }
    parsed.ok()
}

/// Reads a glob on paths.
pub(super) fn path(written: &Located<String>, problems: &mut Problems) -> Option<PathGlob> {
    let parsed = PathGlob::parse(&written.value);
    if let Err(fault) = &parsed {
        let help = match fault {
            PatternFault::NotAbsolute => Some(format!(
                "begin it with `/`, `{{home}}/`, or with `**/` for any directory: `/{}`",
                written.value
            )),
            PatternFault::Glob(GlobFault::Placeholder(name)) => {
                Some(match nearest(name, ["user", "home"]) {
                    Some(near) => format!("did you mean `{{{near}}}`?"),
                    None => "the placeholders are `{user}` and `{home}`; a choice is `{one,two}`"
                        .to_owned(),
                })
            }
            PatternFault::Dots
            | PatternFault::Glob(_)
            | PatternFault::HomeGlued
            | PatternFault::Member
            | PatternFault::TooManyParts => None,
        };
        problems
            .error(
                "policy/bad-path",
                &written.span,
                format!("`{}` is not a glob on paths: {fault}", written.value),
            )
            .help_if(help);
    }
    parsed.ok()
}

/// Reads a regex on file names: text in NFC, which paths are in.
pub(super) fn filename(written: &Located<String>, problems: &mut Problems) -> Option<NamePattern> {
    let text: String = written.value.nfc().collect();
    let build = |folded: bool| {
        checked(&text, |pattern| {
            RegexBuilder::new(pattern)
                .case_insensitive(folded)
                .size_limit(REGEX_SIZE_MAX)
                .dfa_size_limit(REGEX_SIZE_MAX)
                .build()
        })
    };
    match build(false).and_then(|exact| Ok((exact, build(true)?))) {
        Ok((exact, folded)) => Some(NamePattern { exact, folded }),
        Err(why) => {
            bad_regex(written, &why, problems);
            None
        }
    }
}

/// Reads a regex on an argument: bytes, so `.` is any byte and classes are ASCII.
pub(super) fn argument(
    written: &Located<String>,
    problems: &mut Problems,
) -> Option<regex::bytes::Regex> {
    let built = checked(&written.value, |pattern| {
        regex::bytes::RegexBuilder::new(pattern)
            .unicode(false)
            .dot_matches_new_line(true)
            .size_limit(REGEX_SIZE_MAX)
            .dfa_size_limit(REGEX_SIZE_MAX)
            .build()
    });
    match built {
        Ok(regex) => Some(regex),
        Err(why) => {
            bad_regex(written, &why, problems);
            None
        }
    }
}

/// Builds `text` for itself, so that it cannot close the group around it, and then so that it
/// matches whole values only.
///
/// # Errors
/// What is wrong with it, in words.
fn checked<T>(text: &str, build: impl Fn(&str) -> Result<T, regex::Error>) -> Result<T, String> {
    if text.len() > REGEX_TEXT_MAX {
        return Err(format!("it is longer than {REGEX_TEXT_MAX} bytes"));
    }
    build(text)
        .and_then(|_| build(&format!(r"\A(?:{text})\z")))
        .map_err(|error| {
            if matches!(error, regex::Error::CompiledTooBig(_)) {
                return format!("it is larger than {REGEX_SIZE_MAX} bytes when compiled");
            }
            let all = error.to_string();
            let last = all.lines().last().unwrap_or_default();
            last.trim().trim_start_matches("error: ").to_owned()
        })
}

/// Notes a regex that could not be built.
fn bad_regex(written: &Located<String>, why: &str, problems: &mut Problems) {
    let help = if why.contains("look-around") || why.contains("backreference") {
        Some("matching takes linear time, so there is neither; use two rules")
    } else if why.contains("Unicode") {
        Some("`argument` is matched as bytes; write `(?u:…)` around a class with other letters")
    } else {
        None
    };
    problems
        .error(
            "policy/bad-regex",
            &written.span,
            format!("`{}` is not a regex that can be used: {why}", written.value),
        )
        .help_if(help);
}
