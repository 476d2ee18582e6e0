//! Every metric: name, type, unit, labels, help. Adding one is one constant here and one line in
//! `docs/metrics.md`.
//!
//! Must not know who counts. Label values come from closed sets and from names in the
//! configuration, never from a peer.

use metrics::Unit;

/// What a metric is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Observations in buckets.
    Histogram,
}

impl Kind {
    /// The word of the exposition format.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub struct Definition {
    /// Its whole name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it measures.
    pub unit: Unit,
    /// Its labels, in the order in which values are given.
    pub labels: &'static [&'static str],
    /// One sentence.
    pub help: &'static str,
    /// The upper bounds of a histogram's buckets.
    pub buckets: &'static [f64],
}

/// Declares the metrics and the list of all of them.
macro_rules! metrics {
    ($($constant:ident = $name:literal, $kind:ident, $unit:ident, [$($label:literal),*],
       $help:literal $(, [$($bucket:literal),*])?;)*) => {
        $(
            #[doc = $help]
            pub(in crate::telemetry) const $constant: &Definition = &Definition {
                name: concat!("ftpwarden_", $name),
                kind: Kind::$kind,
                unit: Unit::$unit,
                labels: &[$($label),*],
                help: $help,
                buckets: &[$($($bucket),*)?],
            };
        )*

        /// Every metric of the gateway's own; those of the process come from the crate
        /// `metrics-process`.
        pub const CATALOGUE: &[&Definition] = &[$($constant),*];
    };
}

metrics! {
    REPLIES = "replies_total", Counter, Count, ["listener", "code", "origin"],
        "Replies sent to clients, by exact code and by who made them.";
    SERVER_REPLIES = "server_replies_total", Counter, Count, ["upstream", "code"],
        "Replies that servers sent, also those that were rewritten or kept back.";
    COMMANDS = "commands_total", Counter, Count, ["listener", "command", "outcome"],
        "Commands that have had their final reply, by verb and by what became of them.";
    POLICY_DECISIONS = "policy_decisions_total", Counter, Count,
        ["policy", "rule", "action", "mode"],
        "Decisions of policies, by the rule, list or default that decided.";
    COMMAND_DURATION = "command_duration_seconds", Histogram, Seconds, ["listener"],
        "Time from a command read to its final reply written, transfers left out.",
        [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
    SESSIONS = "sessions", Gauge, Count, ["listener"],
        "Sessions at this moment.";
    SESSIONS_TOTAL = "sessions_total", Counter, Count, ["listener"],
        "Sessions begun.";
    SESSIONS_REJECTED = "sessions_rejected_total", Counter, Count, ["listener", "reason"],
        "Connections turned away before they became sessions.";
    BANS = "bans", Gauge, Count, [],
        "Client addresses that are banned at this moment.";
    BANS_TOTAL = "bans_total", Counter, Count, ["listener"],
        "Client addresses banned for failed logins.";
    SESSION_DURATION = "session_duration_seconds", Histogram, Seconds, ["listener"],
        "Time from a session's begin to its end.",
        [1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 43200.0, 86400.0];
    LOGINS = "logins_total", Counter, Count, ["listener", "result"],
        "Logins that ended: accepted or refused by the server, or denied by policy.";
    TRANSFERS = "transfers_total", Counter, Count, ["listener", "direction", "result"],
        "Transfers that ended.";
    TRANSFER_BYTES = "transfer_bytes_total", Counter, Bytes, ["listener", "direction"],
        "Bytes that transfers moved, those of running transfers included.";
    TRANSFER_DURATION = "transfer_duration_seconds", Histogram, Seconds,
        ["listener", "direction"],
        "Time from a transfer's verb forwarded to the transfer settled.",
        [0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0];
    DATA_CONNECTIONS = "data_connections_total", Counter, Count, ["leg", "mode", "result"],
        "Data connections that came to be, or did not.";
    TLS_HANDSHAKES = "tls_handshakes_total", Counter, Count,
        ["leg", "channel", "version", "resumed", "result"],
        "TLS handshakes that ended.";
    TLS_CERTIFICATE_EXPIRY = "tls_certificate_expiry_timestamp_seconds", Gauge, Seconds,
        ["listener", "certificate"],
        "When a certificate that is shown to clients expires, in seconds since 1970-01-01 UTC.";
    TLS_DATA_NOT_RESUMED = "tls_data_not_resumed_total", Counter, Count, ["listener"],
        "TLS handshakes of clients' data connections that could have resumed the session of their \
         control connection, and did not.";
    PASSIVE_PORTS = "passive_ports", Gauge, Count, ["listener"],
        "Ports that a listener has for data connections; 0 where any free port will do.";
    PASSIVE_PORTS_IN_USE = "passive_ports_in_use", Gauge, Count, ["listener"],
        "Ports for data connections that are taken at this moment.";
    UPSTREAM_CONNECTS = "upstream_connects_total", Counter, Count, ["upstream", "result"],
        "Dials of servers that ended.";
    UPSTREAM_CONNECT_DURATION = "upstream_connect_duration_seconds", Histogram, Seconds,
        ["upstream"],
        "Time from the dial of a server to the end of its greeting.",
        [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
    UPSTREAM_UP = "upstream_up", Gauge, Count, ["upstream", "address"],
        "Whether the last dial of a server succeeded (1) or failed (0); 1 before the first dial.";
    PROTOCOL_VIOLATIONS = "protocol_violations_total", Counter, Count, ["leg", "kind"],
        "Ways in which clients and servers broke the protocol.";
    AUDIT_EVENTS_DROPPED = "audit_events_dropped_total", Counter, Count, [],
        "Audit events that were lost because they could not be written in time.";
    AUDIT_REFUSING = "audit_refusing", Gauge, Count, [],
        "Whether commands are refused (1) because the audit cannot be written.";
    RELOAD_SUCCESSFUL = "config_last_reload_successful", Gauge, Count, [],
        "Whether the last attempt to load the configuration succeeded.";
    RELOAD_TIMESTAMP = "config_last_reload_success_timestamp_seconds", Gauge, Seconds, [],
        "When the configuration in force was loaded, in seconds since 1970-01-01 UTC.";
    BUILD_INFO = "build_info", Gauge, Count, ["version"],
        "Always 1; the label is the version of the program.";
}
