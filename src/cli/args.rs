//! The arguments of every subcommand.
//!
//! Owns their names, their help and which exclude each other. Must not know what is done with
//! them.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

/// A transparent FTP policy gateway: every command inspected, every reply counted.
///
/// ftpwarden stands in front of FTP servers that nobody can change. The client believes that it
/// talks to the server, the server believes that the gateway is the client. What policy does not
/// allow is answered by the gateway, and not one byte of it reaches the server.
#[derive(Debug, Parser)]
#[command(name = "ftpwarden", version, about, long_about, max_term_width = 100)]
pub(super) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Run the gateway.
    ///
    /// SIGHUP reloads the file, all or nothing; without a file it does nothing. SIGTERM, SIGINT and
    /// SIGQUIT drain: nobody new is let in, transfers may finish until `drain_timeout`; a second one
    /// ends at once. SIGUSR1 reopens files, SIGUSR2 is ignored.
    Run(Run),
    /// Load and check a configuration, and bind nothing.
    ///
    /// All problems are shown at once, each with its line and what to write instead. Exits with
    /// 78 where there is an error, or with --strict a warning.
    Check(Check),
    /// Say what would happen to commands, and which rule decides.
    ///
    /// Exits with 0 when every command is allowed and with 3 when one is refused.
    Explain(Explain),
    /// Dial a server and print a configuration to start from.
    ///
    /// Asks for the greeting, SYST, FEAT, HELP and AUTH, and finds the longest line that the
    /// server takes, with harmless NOOPs on fresh connections. Logs in nowhere.
    Probe(Probe),
    /// Ask a running gateway whether it is alive, for containers.
    Healthcheck(Healthcheck),
    /// Print completions for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print the manual page, as roff.
    Man,
}

/// `run`.
#[derive(Args, Debug)]
pub(super) struct Run {
    /// The configuration.
    #[arg(long, value_name = "FILE", required_unless_present = "bind")]
    pub(super) config: Option<PathBuf>,
    /// Where to listen, without a file.
    #[arg(
        long,
        value_name = "ADDR",
        conflicts_with = "config",
        requires = "upstream"
    )]
    pub(super) bind: Option<String>,
    /// The server, without a file.
    #[arg(
        long,
        value_name = "ADDR",
        conflicts_with = "config",
        requires = "bind"
    )]
    pub(super) upstream: Option<String>,
    /// A built-in policy, without a file [default: standard]
    #[arg(
        long,
        value_name = "NAME",
        conflicts_with = "config",
        requires = "bind"
    )]
    pub(super) policy: Option<String>,
    /// A verb, `VERB WORD` or `@group` to deny beside the policy; may be given often.
    #[arg(
        long,
        value_name = "VERB",
        conflicts_with = "config",
        requires = "bind"
    )]
    pub(super) deny: Vec<String>,
    /// Where /metrics and /healthz are, without a file.
    #[arg(
        long,
        value_name = "ADDR",
        conflicts_with = "config",
        requires = "bind"
    )]
    pub(super) admin: Option<String>,
}

/// `check`.
#[derive(Args, Debug)]
pub(super) struct Check {
    /// Treat warnings as errors.
    #[arg(long)]
    pub(super) strict: bool,
    /// Write one JSON object to standard output.
    #[arg(long)]
    pub(super) json: bool,
    /// The configuration.
    #[arg(value_name = "FILE")]
    pub(super) file: PathBuf,
}

/// `explain`.
#[derive(Args, Debug)]
pub(super) struct Explain {
    /// The configuration.
    #[arg(long, value_name = "FILE", required_unless_present = "groups")]
    pub(super) config: Option<PathBuf>,
    /// The listener, where the configuration has several.
    #[arg(long, value_name = "NAME")]
    pub(super) listener: Option<String>,
    /// Who is logged in.
    #[arg(long, value_name = "NAME", default_value = "anonymous")]
    pub(super) user: String,
    /// The client's address.
    #[arg(long, value_name = "IP", default_value = "127.0.0.1")]
    pub(super) client: IpAddr,
    /// The client is under the newest TLS that the listener has, its data connections too.
    #[arg(long)]
    pub(super) tls: bool,
    /// The subject of the certificate that it shows: `CN=acme,O=Acme`.
    #[arg(long, value_name = "SUBJECT", requires = "tls")]
    pub(super) client_certificate: Option<String>,
    /// The directory that the server states after login, home and working directory in one
    /// [default: / or the user's data sets]
    #[arg(long, value_name = "DIR")]
    pub(super) cwd: Option<String>,
    /// When: `2026-11-22T10:00:00Z`, `2026-11-22T10:00[Europe/Berlin]`; without a zone UTC
    /// [default: now]
    #[arg(long, value_name = "TIME")]
    pub(super) at: Option<String>,
    /// Write one JSON object to standard output.
    #[arg(long)]
    pub(super) json: bool,
    /// Print the groups and their members instead.
    #[arg(long, conflicts_with_all = ["config", "listener", "commands"])]
    pub(super) groups: bool,
    /// The commands, one after the other in one session, each in quotes: 'SITE CHMOD 777 x'.
    #[arg(value_name = "COMMAND", required_unless_present = "groups")]
    pub(super) commands: Vec<String>,
}

/// `probe`.
#[derive(Args, Debug)]
pub(super) struct Probe {
    /// Write one JSON object to standard output.
    #[arg(long)]
    pub(super) json: bool,
    /// The server: an address or a name, and a port [default port: 21]
    #[arg(value_name = "ADDR")]
    pub(super) address: String,
}

/// `healthcheck`.
#[derive(Args, Debug)]
pub(super) struct Healthcheck {
    /// The configuration of the running gateway.
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/ftpwarden/ftpwarden.toml"
    )]
    pub(super) config: PathBuf,

    /// The admin address, whatever the configuration says by now.
    #[arg(long, value_name = "ADDR", conflicts_with = "config")]
    pub(super) address: Option<SocketAddr>,
}
