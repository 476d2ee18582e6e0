//! What the conversations must show between them, and which of them shows it.

/// A topic and the conversations that show it.
pub(crate) type Topic = (&'static str, &'static [&'static str]);

/// Replies: which code, which shape, whose.
const REPLIES: &[Topic] = &[
    (
        "502 for what policy denies, and never for USER PASS QUIT NOOP",
        &[
            "policy/denied-verb",
            "login/password-refused-by-policy",
            "quirks/what-may-be-refused",
        ],
    ),
    ("no echo of the client's bytes", &["replies/no-echo"]),
    (
        "no half-done pair behind a refusal",
        &[
            "transfer/offset-of-a-refused-transfer",
            "transfer/offset-of-a-transfer-without-endpoint",
            "transfer/offset-of-an-upload-that-is-not-trusted",
            "transfer/range-of-a-refused-transfer",
            "policy/rename-needs-both",
        ],
    ),
    (
        "the data endpoint survives a refused verb",
        &[
            "transfer/refused",
            "active/keeps-its-endpoint",
            "transfer/refused-for-now",
        ],
    ),
    (
        "single-line replies",
        &[
            "replies/single-lines",
            "replies/code-out-of-range",
            "replies/not-a-reply",
            "replies/not-a-reply-behind-an-endpoint",
        ],
    ),
    (
        "multi-line replies and look-alikes within",
        &["replies/look-alike-lines"],
    ),
    (
        "the same code with a hyphen does not end a reply",
        &[
            "login/greeting",
            "login/wrong-password",
            "login/refusals-that-guess-nothing",
            "replies/look-alike-lines",
        ],
    ),
    (
        "another code never ends a reply",
        &["replies/another-code-never-ends"],
    ),
    (
        "texts byte for byte, CR and NUL apart",
        &["replies/bytes-as-they-are", "login/greeting"],
    ),
    (
        "Telnet in replies",
        &[
            "replies/telnet-before-the-code",
            "security/no-telnet-answers",
        ],
    ),
    (
        "replies split anywhere",
        &[
            "login/greeting",
            "replies/unsolicited-half",
            "security/drip-fed-reply",
        ],
    ),
    (
        "bounds of replies",
        &[
            "security/endless-reply",
            "security/endless-reply-line",
            "limits/held-replies",
        ],
    ),
    (
        "preliminary replies",
        &[
            "replies/preliminary-without-end",
            "replies/preliminaries-to-a-hidden-command",
            "transfer/replies-of-servers",
            "pipelining/one-in-flight",
        ],
    ),
    ("one count for each reply", &["replies/look-alike-lines"]),
    (
        "greetings of all kinds",
        &[
            "login/greeting",
            "login/greeting-preliminary",
            "login/greeting-refusal",
            "login/greeting-refusal-permanent",
            "login/greeting-preauthenticated",
            "login/greeting-never",
            "login/greeting-of-ssh",
            "login/greeting-of-http",
            "login/greeting-of-tls",
            "login/early-commands-wait",
        ],
    ),
    ("a server that is not there", &["login/server-unreachable"]),
    (
        "unsolicited replies",
        &[
            "replies/unsolicited",
            "replies/unsolicited-half",
            "replies/unsolicited-goodbye",
            "replies/unsolicited-without-end",
        ],
    ),
    (
        "two replies to one command",
        &[
            "replies/two-to-one-command",
            "replies/two-to-a-hidden-command",
        ],
    ),
    ("no reply at all", &["replies/none", "evasion/empty-lines"]),
    (
        "directories in 257",
        &[
            "replies/directory-with-quotes",
            "policy/uncertain-paths-are-not-allowed",
        ],
    ),
];

/// What single verbs do.
const VERBS: &[Topic] = &[
    (
        "who is logged in",
        &[
            "login/account",
            "login/superfluous-password",
            "login/superfluous-password-logs-in",
            "login/only-its-own-reply-logs-in",
        ],
    ),
    (
        "a second USER",
        &[
            "login/identity-ends-with-a-new-user",
            "login/identity-lasts-through-a-refused-user",
            "login/login-that-the-server-keeps",
            "login/home-of-the-first-login",
        ],
    ),
    (
        "bytes of passwords",
        &["login/password-bytes", "login/password-with-iac"],
    ),
    (
        "final codes as they come",
        &["replies/answers-with-their-odd-codes"],
    ),
    (
        "EPSV ALL",
        &["passive/epsv-all", "passive/epsv-all-lasts", "quirks/java"],
    ),
    (
        "REIN",
        &["login/reinitialize", "login/reinitialize-refused"],
    ),
    (
        "MLST and STAT with a path are listings",
        &[
            "policy/listing-over-the-control-connection",
            "policy/path-codes",
        ],
    ),
    ("the minimum of RFC 1123", &["policy/minimal"]),
    ("SIZE and the type", &["quirks/sizes-in-ascii"]),
    (
        "MDTM that sets a time",
        &["policy/setting-a-time", "policy/read-only"],
    ),
    ("STOU", &["transfer/unique-name", "policy/path-codes"]),
    (
        "RNFR and RNTO",
        &[
            "policy/rename-needs-both",
            "policy/rename-without-a-first-name",
        ],
    ),
    (
        "offsets",
        &[
            "transfer/offset",
            "transfer/offset-out-of-range",
            "transfer/large-offsets",
        ],
    ),
    (
        "APPE behind REST",
        &["policy/read-only", "policy/append-behind-an-offset"],
    ),
    ("facts that MFF sets", &["policy/facts-that-are-modes"]),
    (
        "values of TYPE",
        &["evasion/types-in-canonical-form", "quirks/mvs-client"],
    ),
    (
        "MODE and STRU",
        &["evasion/block-mode", "quirks/mvs-client"],
    ),
    (
        "ALLO and what is obsolete",
        &[
            "policy/denied-verb",
            "transfer/large-offsets",
            "replies/answers-with-their-odd-codes",
        ],
    ),
    (
        "what may come before login",
        &["login/what-may-come-before", "quirks/lftp"],
    ),
    (
        "HOST",
        &["login/what-may-come-before", "replies/greeting-like-codes"],
    ),
    (
        "HELP about one verb",
        &[
            "replies/help-that-lists-all",
            "replies/help-about-what-is-refused",
        ],
    ),
];

/// FEAT, OPTS and HELP.
const TRUTH: &[Topic] = &[
    (
        "the shape of FEAT",
        &[
            "replies/features-filtered",
            "replies/features-of-a-denying-policy",
            "replies/features-of-nothing",
            "replies/features-behind-another-code",
        ],
    ),
    (
        "FEAT that fails",
        &[
            "replies/features-of-an-old-server",
            "replies/features-with-an-argument",
            "replies/features-of-an-unsupported-feat",
        ],
    ),
    (
        "labels and verbs",
        &[
            "replies/features-filtered",
            "replies/features-of-a-denying-policy",
        ],
    ),
    (
        "labels in any case, facts as they are",
        &["replies/features-filtered"],
    ),
    ("features by state", &["replies/features-differ-by-state"]),
    ("OPTS by its target", &["policy/options-by-target"]),
    (
        "OPTS before login",
        &["login/options-before-login", "quirks/windows-ftp-exe"],
    ),
    (
        "formats of HELP",
        &[
            "replies/help-in-columns",
            "replies/help-about-site",
            "replies/help-formats",
        ],
    ),
    (
        "names in HELP",
        &[
            "replies/help-in-columns",
            "replies/help-about-site",
            "replies/help-that-lists-all",
        ],
    ),
    ("what is listed is not refused", &["policy/help-follows"]),
    (
        "STAT as the server writes it",
        &["replies/status-is-relayed"],
    ),
];

/// Data connections.
const DATA: &[Topic] = &[
    ("227 of the gateway's own", &["passive/pasv"]),
    (
        "227 of servers",
        &[
            "passive/texts-of-227",
            "passive/bad-227",
            "passive/address-behind-another-code",
            "passive/foreign-address-of-the-server",
        ],
    ),
    ("229 of servers", &["passive/texts-of-229", "passive/epsv"]),
    (
        "PORT",
        &[
            "active/port",
            "active/numbers-of-port",
            "active/low-ports",
            "active/foreign-addresses",
        ],
    ),
    (
        "EPRT",
        &[
            "active/eprt",
            "active/forms-of-eprt",
            "active/eprt-over-ipv6",
        ],
    ),
    (
        "families of EPSV",
        &["passive/epsv-families", "passive/over-ipv6"],
    ),
    (
        "translation between forms and families",
        &[
            "passive/ipv6-client-of-an-old-server",
            "passive/ipv6-server",
            "passive/server-is-asked-actively",
            "passive/server-is-asked-extended",
            "active/server-is-asked-passively",
        ],
    ),
    (
        "fallbacks, once found out",
        &[
            "passive/epsv-falls-back",
            "passive/epsv-fallback-fails",
            "active/eprt-falls-back",
            "passive/unsupported-at-the-server",
            "passive/unsupported-in-one-form",
        ],
    ),
    (
        "ALGS and IPv6 translation",
        &[
            "policy/never-forwarded",
            "passive/ipv6-client-of-an-old-server",
        ],
    ),
    (
        "the server is asked at once",
        &[
            "passive/refused-by-the-server",
            "active/refused-by-the-server",
        ],
    ),
    (
        "the last endpoint counts",
        &[
            "passive/the-last-one-counts",
            "passive/ended-by-user",
            "login/reinitialize",
        ],
    ),
    (
        "a verb without an endpoint",
        &["passive/without-an-endpoint"],
    ),
    (
        "when the server is dialled",
        &[
            "passive/pasv",
            "passive/dialled-late",
            "passive/early-data-reset-by-the-server",
            "transfer/server-cannot-be-dialled",
            "abort/upload",
        ],
    ),
    (
        "when the client dials",
        &[
            "passive/pasv",
            "passive/epsv",
            "passive/dialled-late",
            "transfer/refused-with-both-connections-there",
        ],
    ),
    (
        "one connection, and no stranger",
        &[
            "passive/one-connection",
            "passive/stranger",
            "active/stranger-at-the-servers-side",
        ],
    ),
    (
        "when the client is dialled",
        &[
            "active/port",
            "active/server-dials-before-it-answers",
            "active/client-cannot-be-dialled",
            "active/client-cannot-be-dialled-and-226",
            "active/server-takes-its-time",
            "active/server-takes-its-time-passively",
            "passive/server-in-active-mode-takes-its-time",
        ],
    ),
    (
        "a client that never dials",
        &[
            "transfer/client-never-dials",
            "transfer/client-never-dials-behind-150",
            "passive/offer-ends",
        ],
    ),
];

/// Transfers, ABOR, STAT, NOOP, QUIT.
const TRANSFERS: &[Topic] = &[
    (
        "the end of data",
        &[
            "transfer/server-closes-then-reports",
            "transfer/download",
            "transfer/error-behind-the-end",
        ],
    ),
    (
        "final replies wait for their data",
        &[
            "transfer/download",
            "transfer/preliminary-and-final-at-once",
            "active/final-before-the-server-dials",
        ],
    ),
    (
        "success never covers a loss",
        &[
            "transfer/download-cut-by-the-server",
            "transfer/download-cut-by-the-client-and-226",
            "transfer/upload-cut-by-the-client",
            "transfer/upload-cut-by-the-server",
            "active/upload-that-nobody-took",
        ],
    ),
    (
        "half-closed data connections",
        &["quirks/data-kept-open", "transfer/upload"],
    ),
    (
        "empty files and listings",
        &[
            "transfer/empty-file",
            "transfer/empty-upload",
            "active/listing-without-a-connection",
            "active/listing-without-a-connection-and-150",
        ],
    ),
    (
        "125, 250 and several lines",
        &["transfer/replies-of-servers"],
    ),
    ("150 without a final reply", &["transfer/never-reported"]),
    (
        "commands during a transfer wait",
        &["transfer/commands-wait"],
    ),
    (
        "NOOPs during a transfer",
        &["transfer/commands-wait", "quirks/keep-alives"],
    ),
    ("QUIT during a transfer", &["transfer/quit-waits"]),
    (
        "ABOR and its two replies",
        &[
            "abort/download",
            "abort/upload",
            "abort/idle",
            "abort/server-was-done",
            "abort/half-a-reply-before-it",
            "abort/waits-for-its-turn",
            "abort/answered-too-late",
            "abort/answered-too-late-behind-another",
            "abort/answered-once",
            "abort/behind-its-transfer",
        ],
    ),
    (
        "forms of the Synch",
        &["abort/synch-forms", "abort/synch-in-a-transfer"],
    ),
    (
        "STAT during a transfer",
        &[
            "transfer/status",
            "transfer/status-waits-behind-others",
            "transfer/status-between-the-lines",
            "transfer/status-refused",
            "transfer/status-again-and-again",
            "transfer/status-owed-at-the-end",
        ],
    ),
    (
        "a transfer is not idle",
        &["limits/idle-time-in-a-transfer"],
    ),
    (
        "peers that vanish",
        &[
            "transfer/client-vanishes",
            "transfer/server-vanishes",
            "transfer/download-outlives-the-control-connection",
            "transfer/upload-does-not-outlive-the-control-connection",
            "transfer/offset-taken-back-behind-the-end",
            "transfer/upload-ends-before-the-control-connection",
        ],
    ),
    ("large offsets", &["transfer/large-offsets"]),
];

/// Pipelining.
const PIPELINING: &[Topic] = &[
    ("replies in order", &["pipelining/in-order"]),
    (
        "one command in flight, a bounded queue",
        &[
            "pipelining/one-in-flight",
            "pipelining/full-queue",
            "pipelining/run-of-noops",
            "abort/behind-a-full-queue",
        ],
    ),
    (
        "slow servers, many commands, refusals alone",
        &[
            "pipelining/slow-server",
            "limits/many-commands-at-once",
            "pipelining/refusals-alone",
        ],
    ),
    (
        "the end of the client",
        &[
            "pipelining/end-with-commands-queued",
            "pipelining/unterminated-last-line",
        ],
    ),
    (
        "judged in turn",
        &["pipelining/judged-in-turn", "pipelining/policy-changes"],
    ),
    (
        "RNTO behind a refused RNFR",
        &["pipelining/rename-behind-a-refusal"],
    ),
];

/// Evasion of a command filter.
const EVASION: &[Topic] = &[
    (
        "empty lines and leading blanks",
        &["evasion/empty-lines", "evasion/blanks-before-the-verb"],
    ),
    ("the grammar of verbs", &["evasion/bytes-in-the-verb"]),
    ("letter case", &["evasion/letter-case"]),
    ("other blanks", &["evasion/other-blanks"]),
    ("two blanks", &["evasion/two-blanks"]),
    ("trailing blanks", &["evasion/trailing-blanks"]),
    ("aliases", &["evasion/aliases"]),
    ("Telnet within a line", &["evasion/telnet-in-the-verb"]),
    (
        "doubled FF",
        &[
            "evasion/doubled-ff",
            "policy/uncertain-paths-are-not-allowed",
        ],
    ),
    (
        "FF before an ordinary byte",
        &["evasion/telnet-in-the-verb"],
    ),
    (
        "option negotiation",
        &[
            "evasion/telnet-before-the-verb",
            "security/no-telnet-answers",
        ],
    ),
    ("bare LF", &["evasion/bare-lf"]),
    ("bare CR", &["evasion/bare-cr"]),
    ("CR NUL", &["evasion/nvt-bare-cr"]),
    ("NUL", &["evasion/nul"]),
    (
        "control bytes",
        &["evasion/control-bytes", "login/password-bytes"],
    ),
    (
        "lines that are too long",
        &[
            "evasion/too-long",
            "evasion/too-long-again",
            "evasion/line-limit-of-the-server",
        ],
    ),
    ("lines without end", &["evasion/never-ending-line"]),
    (
        "any segments",
        &[
            "evasion/lines-out-of-a-url",
            "pipelining/in-order",
            "limits/many-commands-at-once",
        ],
    ),
    (
        "commands within arguments",
        &["evasion/commands-within-arguments"],
    ),
    (
        "subcommands",
        &["evasion/subcommands", "evasion/subcommand-allowed-by-name"],
    ),
    ("lines out of a URL", &["evasion/lines-out-of-a-url"]),
    (
        "one path in other words",
        &["policy/same-path-in-other-words"],
    ),
    (
        "`..` and symbolic links",
        &[
            "policy/uncertain-paths-are-not-allowed",
            "policy/symbolic-links",
        ],
    ),
    (
        "the working directory",
        &[
            "policy/directory-is-asked-once",
            "policy/directory-that-cannot-be-asked",
            "policy/names-for-the-audit",
            "policy/names-that-the-server-keeps",
            "policy/directory-is-stated-by-257-alone",
            "policy/home",
            "policy/home-of-the-clients-own-question",
            "policy/home-that-is-too-late",
        ],
    ),
    (
        "`~`",
        &[
            "policy/uncertain-paths-are-not-allowed",
            "policy/same-path-in-other-words",
        ],
    ),
    (
        "trailing slashes and Windows",
        &["policy/same-path-in-other-words", "policy/of-windows"],
    ),
    ("globs", &["policy/globs"]),
    ("options of listings", &["policy/options-of-listings"]),
    (
        "verbs with odd paths",
        &["policy/paths-of-odd-verbs", "policy/rename-needs-both"],
    ),
    ("encodings", &["policy/uncertain-paths-are-not-allowed"]),
    (
        "data sets",
        &["policy/of-mvs", "policy/data-sets-and-paths"],
    ),
    (
        "bypass by state",
        &[
            "policy/read-only",
            "policy/upload-only",
            "policy/rename-needs-both",
        ],
    ),
];

/// Attacks.
const SECURITY: &[Topic] = &[
    ("bounce", &["active/foreign-addresses", "active/low-ports"]),
    (
        "a server that names another host",
        &[
            "security/hostile-227",
            "passive/foreign-address-of-the-server",
            "passive/low-port-of-the-server",
        ],
    ),
    (
        "who may connect",
        &["passive/stranger", "active/stranger-at-the-servers-side"],
    ),
    (
        "when somebody listens",
        &[
            "active/before-login",
            "passive/refused-by-the-server",
            "passive/offer-ends",
        ],
    ),
    (
        "early connections",
        &["passive/stranger", "transfer/empty-upload"],
    ),
    ("server to server", &["security/server-to-server-copy"]),
    (
        "what firewalls read",
        &["passive/pasv", "replies/no-echo", "evasion/cross-protocol"],
    ),
    (
        "other protocols",
        &[
            "evasion/cross-protocol",
            "evasion/tls-record",
            "evasion/other-protocols",
            "evasion/proxy-header",
            "evasion/smtp",
            "evasion/http-in-a-file-name",
        ],
    ),
    (
        "too many bad lines",
        &[
            "limits/violations-before-login",
            "limits/violations",
            "limits/violations-of-the-operator",
        ],
    ),
    ("secrets", &["security/secret-arguments"]),
    (
        "names cannot be probed",
        &[
            "login/user-refused-by-policy",
            "login/user-refused-then-another",
        ],
    ),
    (
        "hostile replies",
        &[
            "security/hostile-replies",
            "security/endless-reply",
            "security/endless-reply-line",
            "security/drip-fed-reply",
            "security/data-out-of-turn",
        ],
    ),
    (
        "login state",
        &["security/login-state", "login/only-its-own-reply-logs-in"],
    ),
    ("opaque data", &["security/opaque-bytes"]),
    (
        "timers",
        &[
            "login/greeting-never",
            "limits/login-time",
            "limits/command-time",
            "limits/command-time-of-the-next-line",
            "limits/idle-time",
            "limits/reply-time-of-the-operator",
            "limits/data-connect-time",
            "limits/transfer-idle-time",
        ],
    ),
    (
        "floods of offers",
        &[
            "security/flood-of-offers",
            "passive/no-port-free",
            "active/no-port-free",
        ],
    ),
    (
        "failed logins",
        &["login/wrong-password", "limits/login-time"],
    ),
    ("copies without login", &["policy/site-before-login"]),
];

/// What real clients do.
const CLIENTS: &[Topic] = &[
    ("curl", &["quirks/curl", "quirks/curl-active"]),
    ("wget, aria2c", &["quirks/wget"]),
    ("lftp", &["quirks/lftp"]),
    (
        "ncftp, tnftp, inetutils",
        &["quirks/ncftp", "login/what-may-come-before"],
    ),
    ("Python", &["quirks/python"]),
    (
        "Perl, Java, Commons Net",
        &["quirks/java", "quirks/keep-alives"],
    ),
    ("PHP, rclone, wput", &["quirks/php"]),
    ("Windows", &["quirks/windows-ftp-exe", "quirks/explorer"]),
    ("FileZilla, WinSCP", &["quirks/filezilla"]),
    (
        "browsers",
        &["quirks/browsers", "abort/end-of-the-client-behind-it"],
    ),
    ("z/OS", &["quirks/mvs-client"]),
    ("devices", &["quirks/devices"]),
    (
        "clients that parse texts",
        &["quirks/texts-that-clients-parse"],
    ),
    ("what may be refused", &["quirks/what-may-be-refused"]),
    (
        "MLSD and EPSV refused",
        &[
            "replies/features-of-a-denying-policy",
            "quirks/falls-back-to-pasv",
        ],
    ),
    (
        "half-closed control connections",
        &["pipelining/end-behind-quit"],
    ),
    (
        "data connections opened and closed at any time",
        &[
            "passive/pasv",
            "passive/dialled-late",
            "transfer/empty-upload",
            "passive/early-data-reset",
            "quirks/data-kept-open",
        ],
    ),
    (
        "downloads that stop early",
        &["transfer/download-cut-by-the-client", "quirks/curl"],
    ),
    (
        "PASV and then PORT, PASV before login",
        &["quirks/pasv-then-port", "passive/refused-by-the-server"],
    ),
    ("proxy-style names", &["login/proxy-style-name"]),
];

/// Every topic.
pub(crate) fn all() -> impl Iterator<Item = &'static Topic> {
    [
        REPLIES, VERBS, TRUTH, DATA, TRANSFERS, PIPELINING, EVASION, SECURITY, CLIENTS,
    ]
    .into_iter()
    .flatten()
}
