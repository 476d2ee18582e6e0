//! Every bound of a session, with its default.

use std::time::Duration;

/// The bounds that the session itself keeps (`[limits]`); none of them can be switched off.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Limits {
    /// From the dial to the end of the server's greeting.
    pub greeting_timeout: Duration,
    /// From the greeting to a successful login, in all.
    pub login_timeout: Duration,
    /// From a line's first byte to its last.
    pub command_timeout: Duration,
    /// From a command sent to the end of its final reply; not while data moves.
    pub reply_timeout: Duration,
    /// A TLS handshake of a control connection, and a balancer's PROXY header.
    pub tls_handshake_timeout: Duration,
    /// Between commands; never while data moves.
    pub idle_timeout: Duration,
    /// From the transfer verb to both data connections; also from 227, or from PORT where the
    /// server is to dial, to the verb.
    pub data_connect_timeout: Duration,
    /// Without a byte moved in a running transfer.
    pub transfer_idle_timeout: Duration,
    /// The longest line of a reply, in bytes.
    pub reply_line_bytes: usize,
    /// The longest reply, in bytes.
    pub reply_bytes: usize,
    /// Commands read and not yet answered.
    pub pipelined_commands: usize,
    /// Malformed or refused unknown lines in a session, a fifth of it before login; also replies in
    /// a row that nothing asked for.
    pub violations: u32,
    /// How long the first refusal of a login takes; each further one takes as much longer, up to
    /// five times as long.
    pub failed_login_delay: Duration,
}

/// After this many failed logins the delay of a refusal stops growing.
const REFUSALS: u32 = 5;

impl Limits {
    /// How long the refusal takes that is the client's `failures`th.
    pub(super) fn refusal_delay(&self, failures: u32) -> Duration {
        self.failed_login_delay
            .saturating_mul(failures.clamp(1, REFUSALS))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            greeting_timeout: Duration::from_secs(30),
            login_timeout: Duration::from_mins(1),
            command_timeout: Duration::from_secs(30),
            reply_timeout: Duration::from_mins(5),
            tls_handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_mins(15),
            data_connect_timeout: Duration::from_mins(1),
            transfer_idle_timeout: Duration::from_mins(5),
            reply_line_bytes: 64 * 1024,
            reply_bytes: 16 * 1024 * 1024,
            pipelined_commands: 32,
            violations: 50,
            failed_login_delay: Duration::from_secs(1),
        }
    }
}
