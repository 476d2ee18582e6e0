//! Every table and every key that a configuration may have.
//!
//! Owns the names alone: the reader refuses what is not here, and the reference and the manual
//! are held equal to it. Must not know what a key means.

/// One kind of table and its keys, in the order of the reference.
#[derive(Debug, Eq, PartialEq)]
pub struct Table {
    /// Where it stands, with `NAME` for what the operator names.
    pub path: &'static str,
    /// Its keys; empty where they are names of the operator's.
    pub keys: &'static [&'static str],
}

/// The file itself.
pub const ROOT: Table = Table {
    path: "",
    keys: &[
        "listeners",
        "upstreams",
        "policies",
        "admin",
        "log",
        "audit",
        "process",
        "limits",
    ],
};

/// `[listeners.NAME]`.
pub const LISTENER: Table = Table {
    path: "listeners.NAME",
    keys: &[
        "bind",
        "upstream",
        "policy",
        "observe",
        "greeting",
        "sessions",
        "bandwidth",
        "user_bandwidth",
        "passive_ports",
        "passive_address",
        "accept_proxy_from",
        "tls",
    ],
};

/// `[listeners.NAME.tls]`.
pub const LISTENER_TLS: Table = Table {
    path: "listeners.NAME.tls",
    keys: &[
        "mode",
        "certificate",
        "key",
        "require",
        "session_reuse",
        "versions",
        "prefer_client_ciphers",
        "client_certificates",
        "client_ca",
        "certificates",
    ],
};

/// One of `certificates`.
pub const CERTIFICATE: Table = Table {
    path: "listeners.NAME.tls.certificates",
    keys: &["certificate", "key"],
};

/// `[upstreams.NAME]`.
pub const UPSTREAM: Table = Table {
    path: "upstreams.NAME",
    keys: &[
        "address",
        "policy",
        "unsupported",
        "source_address",
        "data_addresses",
        "active_ports",
        "data_mode",
        "system",
        "symlinks",
        "line_bytes",
        "path_bytes",
        "connect_timeout",
        "tls",
    ],
};

/// `[upstreams.NAME.tls]`.
pub const UPSTREAM_TLS: Table = Table {
    path: "upstreams.NAME.tls",
    keys: &[
        "mode",
        "ca",
        "pin",
        "server_name",
        "certificate",
        "key",
        "versions",
        "session_reuse",
        "close_notify",
    ],
};

/// `[policies.NAME]`.
pub const POLICY: Table = Table {
    path: "policies.NAME",
    keys: &["extends", "default", "allow", "deny", "rules"],
};

/// One of `rules`.
pub const RULE: Table = Table {
    path: "policies.NAME.rules",
    keys: &[
        "name",
        "commands",
        "users",
        "clients",
        "hours",
        "tls",
        "tls_version",
        "client_certificate",
        "paths",
        "filename",
        "argument",
        "action",
        "policy",
        "reply",
    ],
};

/// `[admin]`.
pub const ADMIN: Table = Table {
    path: "admin",
    keys: &["bind"],
};

/// `[log]`.
pub const LOG: Table = Table {
    path: "log",
    keys: &["level", "format"],
};

/// `[audit]`.
pub const AUDIT: Table = Table {
    path: "audit",
    keys: &["path", "secret", "when_full"],
};

/// `[process]`.
pub const PROCESS: Table = Table {
    path: "process",
    keys: &["user", "group", "confinement"],
};

/// `[limits]`.
pub const LIMITS: Table = Table {
    path: "limits",
    keys: &[
        "sessions",
        "sessions_per_client",
        "connection_rate",
        "failed_logins",
        "failed_logins_window",
        "failed_login_delay",
        "ban_time",
        "greeting_timeout",
        "login_timeout",
        "command_timeout",
        "reply_timeout",
        "tls_handshake_timeout",
        "idle_timeout",
        "data_connect_timeout",
        "transfer_idle_timeout",
        "drain_timeout",
        "reply_line_bytes",
        "reply_bytes",
        "pipelined_commands",
        "violations",
        "session_bandwidth",
        "keepalive",
    ],
};

/// Every kind of table that has keys of its own, the file itself apart.
pub const TABLES: [&Table; 12] = [
    &LISTENER,
    &LISTENER_TLS,
    &CERTIFICATE,
    &UPSTREAM,
    &UPSTREAM_TLS,
    &POLICY,
    &RULE,
    &ADMIN,
    &LOG,
    &AUDIT,
    &PROCESS,
    &LIMITS,
];
