//! `completions` and `man`: what packagers install beside the program.
//!
//! Owns the order of the manual page. Must not know any argument: it asks the parser.

use std::io::{self, Write};

use clap::CommandFactory as _;
use clap_complete::Shell;
use clap_mangen::Man;

use super::args::Arguments;
use super::{Answer, Outcome};

/// Prints completions for `shell`.
pub(super) fn completions(shell: Shell) -> Answer {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "ftpwarden", &mut script);
    Answer::fine(String::from_utf8_lossy(&script).into_owned())
}

/// Sections that no parser knows.
const CLOSING: &str = r#".SH SIGNALS
.TP
\fBSIGHUP\fR
Reload the configuration, all or nothing; a file that does not pass leaves the running one in force.
Without a file there is nothing to reload, and the gateway stays: also when its terminal is closed, which sends this signal too.
.TP
\fBSIGTERM\fR, \fBSIGINT\fR, \fBSIGQUIT\fR
Drain: accept nobody new, let transfers finish until \fBdrain_timeout\fR; a second one ends at once.
.TP
\fBSIGUSR1\fR
Reopen files.
.TP
\fBSIGUSR2\fR
Nothing: it is logged and ignored.
.SH "EXIT STATUS"
.TP
0
Fine.
.TP
1
Something failed at run time.
.TP
2
The arguments make no sense.
.TP
3
\fBexplain\fR found a command that is refused.
.TP
78
The configuration cannot be taken.
.SH ENVIRONMENT
.TP
\fBNO_COLOR\fR
Where set and not empty, nothing is coloured.
.TP
\fBSSL_CERT_FILE\fR, \fBSSL_CERT_DIR\fR
The system's authorities, by which servers are checked where \fB[upstreams.NAME.tls]\fR has neither \fBca\fR nor \fBpin\fR.
.TP
\fBNOTIFY_SOCKET\fR, \fBWATCHDOG_USEC\fR, \fBWATCHDOG_PID\fR
Where the service manager is told how things are, and how often; see \fBsd_notify\fR(3).
.PP
No value of the configuration comes from the environment.
.SH FILES
.TP
\fI/etc/ftpwarden/ftpwarden.toml\fR
The configuration.
.SH STANDARDS
RFC 959, RFC 1123, RFC 2228, RFC 2389, RFC 2428, RFC 3659, RFC 4217.
"#;

/// Prints the manual page.
pub(super) fn man() -> Answer {
    match page() {
        Ok(page) => Answer::fine(page),
        Err(error) => Answer::wrong(Outcome::Failed, &error.to_string()),
    }
}

/// When the arguments last changed.
const DATE: &str = "2026-11-25";

/// One page for the program and all its subcommands.
///
/// # Errors
/// None: a vector takes all that is written.
fn page() -> io::Result<String> {
    let command = Arguments::command();
    let man = Man::new(command.clone())
        .section("8")
        .title("FTPWARDEN")
        .date(DATE)
        .source(concat!("ftpwarden ", env!("CARGO_PKG_VERSION")))
        .manual("System Manager's Manual");
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    writeln!(page, ".SH COMMANDS")?;
    for subcommand in command.get_subcommands() {
        write_subcommand(&mut page, subcommand)?;
    }
    page.write_all(CLOSING.as_bytes())?;
    Ok(tidy(&String::from_utf8_lossy(&page)))
}

/// One subcommand: the sections of a page of its own, one level down.
///
/// # Errors
/// None: a vector takes all that is written.
fn write_subcommand(page: &mut Vec<u8>, subcommand: &clap::Command) -> io::Result<()> {
    let name = format!("ftpwarden {}", subcommand.get_name());
    let man = Man::new(subcommand.clone().display_name(&name).bin_name(&name));
    let mut own = Vec::new();
    man.render_synopsis_section(&mut own)?;
    man.render_description_section(&mut own)?;
    if subcommand.get_arguments().next().is_some() {
        man.render_options_section(&mut own)?;
    }
    writeln!(page, ".SS \"{name}\"")?;
    for line in String::from_utf8_lossy(&own).lines() {
        let line = if line.starts_with(".SH ") {
            ".PP"
        } else {
            line
        };
        writeln!(page, "{line}")?;
    }
    Ok(())
}

/// The page without what `mandoc` warns of: repeated heads, empty paragraphs and lines, breaks
/// beside breaks.
fn tidy(page: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in page.lines().map(str::trim_end) {
        let last = lines.last().copied().unwrap_or_default();
        let is_repeated = line.starts_with(".ie ") || line.starts_with(".el ");
        let is_break = line == ".br" && last == ".br";
        let is_empty = line == ".PP" && (last == ".PP" || last.starts_with(".SS "));
        if line.is_empty() || is_break || is_empty || (is_repeated && lines.contains(&line)) {
            continue;
        }
        if line == ".TP" && last == ".PP" {
            lines.pop();
        }
        lines.push(line);
    }
    lines.join("\n") + "\n"
}
