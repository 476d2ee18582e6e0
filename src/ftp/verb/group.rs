//! The sets of verbs that a policy may name: `@list`, `@write`.
//!
//! Owns their names and what the umbrellas span. Must not know which verbs are in them: that is
//! in each verb's row.

/// A set of verbs that policy may name as `@group`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Group {
    /// `@active`: PORT and EPRT.
    Active,
    /// `@delete`: DELE, RMD and what does the same.
    Delete,
    /// `@download`: RETR and what does the same.
    Download,
    /// `@info`: SYST, FEAT, HELP, OPTS and other questions about the server.
    Info,
    /// `@legacy`: SMNT, the mail verbs of RFC 765 and the like.
    Legacy,
    /// `@list`: listings, facts and checksums.
    List,
    /// `@login`: USER, PASS, ACCT, REIN, HOST.
    Login,
    /// `@mkdir`: MKD and what does the same.
    Mkdir,
    /// `@modify`: facts of an existing file.
    Modify,
    /// `@navigate`: CWD, CDUP, PWD.
    Navigate,
    /// `@passive`: PASV and EPSV.
    Passive,
    /// `@rename`: RNFR and RNTO.
    Rename,
    /// `@session`: umbrella for all that moves and changes no file.
    Session,
    /// `@site`: SITE with every subcommand.
    Site,
    /// `@upload`: STOR, STOU, APPE.
    Upload,
    /// `@write`: umbrella for all that changes the server's files.
    Write,
}

impl Group {
    /// Every group, in the order in which `explain --groups` prints them.
    pub const ALL: [Self; 16] = [
        Self::Login,
        Self::Info,
        Self::Navigate,
        Self::Session,
        Self::Active,
        Self::Passive,
        Self::List,
        Self::Download,
        Self::Upload,
        Self::Modify,
        Self::Rename,
        Self::Delete,
        Self::Mkdir,
        Self::Write,
        Self::Site,
        Self::Legacy,
    ];

    /// The name that follows `@` in a policy.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Delete => "delete",
            Self::Download => "download",
            Self::Info => "info",
            Self::Legacy => "legacy",
            Self::List => "list",
            Self::Login => "login",
            Self::Mkdir => "mkdir",
            Self::Modify => "modify",
            Self::Navigate => "navigate",
            Self::Passive => "passive",
            Self::Rename => "rename",
            Self::Session => "session",
            Self::Site => "site",
            Self::Upload => "upload",
            Self::Write => "write",
        }
    }

    /// The group called `name`, without its `@`.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|group| group.name() == name)
    }

    /// The groups that an umbrella spans beside its own members; empty for a plain group.
    pub const fn spans(self) -> &'static [Self] {
        match self {
            Self::Session => &[
                Self::Login,
                Self::Info,
                Self::Navigate,
                Self::Active,
                Self::Passive,
            ],
            Self::Write => &[
                Self::Upload,
                Self::Modify,
                Self::Rename,
                Self::Delete,
                Self::Mkdir,
            ],
            Self::Active
            | Self::Delete
            | Self::Download
            | Self::Info
            | Self::Legacy
            | Self::List
            | Self::Login
            | Self::Mkdir
            | Self::Modify
            | Self::Navigate
            | Self::Passive
            | Self::Rename
            | Self::Site
            | Self::Upload => &[],
        }
    }

    /// Whether `member` is this group or one that it spans.
    pub fn takes_in(self, member: Self) -> bool {
        self == member || self.spans().contains(&member)
    }
}
