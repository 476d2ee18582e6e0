//! The verb table: one row says everything about an FTP verb.
//!
//! Owns the names of commands, what each may carry, which group it belongs to and whether the
//! gateway can forward it at all. Must not know policy, sessions or sockets. Adding a verb is one
//! row here and one conversation under `tests/conversations/`.

use std::fmt;

pub use self::group::Group;

mod group;

#[cfg(test)]
mod tests;

/// Whether the gateway can forward a verb, before any policy is asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Forward {
    /// The gateway answers it itself; policy does not see it.
    Gateway,
    /// Allowed only by a rule or list that names it.
    Named,
    /// Refused under every policy: the gateway cannot carry it.
    Never,
    /// Forwarded when policy allows.
    Yes,
}

/// What a verb does with the data connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Data {
    /// Server to client, the bytes of a file.
    Download,
    /// Server to client, a listing.
    List,
    /// Nothing.
    None,
    /// Prepares the next data connection.
    Setup,
    /// Client to server.
    Upload,
}

/// The shape of a verb's argument.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Argument {
    /// Address and port of PORT, EPRT and their kin.
    HostPort,
    /// None is defined; one that is sent anyway is passed on.
    None,
    /// A path, or nothing.
    OptionalPath,
    /// Text, or nothing.
    OptionalText,
    /// A path, which must be there.
    Path,
    /// Text, which must be there.
    Text,
}

impl Argument {
    /// Whether a command without an argument is malformed (`501`).
    pub const fn is_mandatory(self) -> bool {
        matches!(self, Self::HostPort | Self::Path | Self::Text)
    }
}

/// Where the paths stand in a verb's argument.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Paths {
    /// `time path`, with the time of MDTM's setting form; without a time the whole is the path.
    AfterTime,
    /// `word path`: MFMT, MFF, SITE CHMOD.
    AfterWord,
    /// A path, perhaps quoted, then perhaps two offsets: XCRC.
    Checksum,
    /// Several paths between commas: MMD5.
    CommaList,
    /// The working directory, or something in it that the server names: STOU.
    Directory,
    /// `ls` options, then a path or the working directory: LIST, NLST, STAT.
    Listing,
    /// None.
    None,
    /// There are paths, and no way to tell them with certainty: COMB, THMB.
    Opaque,
    /// Two paths between blanks: SITE SYMLINK, SITE COPY.
    Pair,
    /// The directory above the working directory: CDUP.
    Parent,
    /// SITE UTIME in one of its two argument orders.
    Utime,
    /// The whole argument.
    Whole,
    /// The whole argument, or the working directory: CWD apart, whose bare form is unsure.
    WholeOrDirectory,
}

/// When a verb may come. Sequence is the server's to judge, but between two logins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BeforeLogin {
    /// After login.
    No,
    /// Before login and not after.
    Only,
    /// Any time.
    Yes,
}

/// The verb or subcommand that another one stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Alias {
    /// A subcommand: Pure-FTPd's CHMOD is SITE CHMOD.
    Subcommand(Verb, &'static str),
    /// A verb: XMKD is MKD.
    Verb(Verb),
}

/// One row of the verb table.
#[derive(Debug)]
pub struct Row {
    /// The verb in upper case.
    pub name: &'static str,
    /// The plain groups that it is a member of.
    pub groups: &'static [Group],
    /// Whether the gateway can forward it.
    pub forward: Forward,
    /// When it may come.
    pub before_login: BeforeLogin,
    /// What it does with the data connection.
    pub data: Data,
    /// The shape of its argument.
    pub argument: Argument,
    /// Where its paths stand.
    pub paths: Paths,
    /// What it stands for.
    pub alias: Option<Alias>,
    /// Whether its argument is a secret (law L4).
    pub secret: bool,
}

/// One row of the table of SITE subcommands.
#[derive(Debug)]
pub struct SiteRow {
    /// The subcommand in upper case.
    pub name: &'static str,
    /// The groups that it is a member of.
    pub groups: &'static [Group],
    /// Whether the gateway can forward it.
    pub forward: Forward,
    /// The shape of what follows the subcommand.
    pub argument: Argument,
    /// Where the paths stand in what follows the subcommand.
    pub paths: Paths,
    /// Whether what follows the subcommand is a secret (law L4).
    pub secret: bool,
}

/// Declares [`Verb`] and its table from the rows below.
macro_rules! verbs {
    ($($variant:ident = $name:literal, [$($group:ident),*], $forward:ident, $before:ident,
       $data:ident, $argument:ident, $paths:ident, $alias:expr, $secret:literal, $source:literal;)*) => {
        /// An FTP verb that the gateway knows.
        #[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
        pub enum Verb {
            $(#[doc = concat!("`", $name, "` (", $source, ").")] $variant,)*
        }

        impl Verb {
            /// Every verb, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// This verb's row.
            pub const fn row(self) -> &'static Row {
                match self {
                    $(Self::$variant => {
                        const ROW: Row = Row {
                            name: $name,
                            groups: &[$(Group::$group),*],
                            forward: Forward::$forward,
                            before_login: BeforeLogin::$before,
                            data: Data::$data,
                            argument: Argument::$argument,
                            paths: Paths::$paths,
                            alias: $alias,
                            secret: $secret,
                        };
                        &ROW
                    })*
                }
            }

            /// The verb spelled `name` in any ASCII case; no other folding.
            pub fn parse(name: &[u8]) -> Option<Self> {
                let mut folded = [0_u8; 12];
                let folded = folded.get_mut(..name.len())?;
                folded.copy_from_slice(name);
                folded.make_ascii_uppercase();
                match std::str::from_utf8(folded).ok()? {
                    $($name => Some(Self::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

// Variant, name, groups, forward, before login, data, argument, paths, alias, secret, source.
verbs! {
    User = "USER", [Login], Yes, Yes, None, Text, None, None, false, "RFC 959";
    Pass = "PASS", [Login], Yes, Yes, None, OptionalText, None, None, true, "RFC 959";
    Acct = "ACCT", [Login], Yes, Yes, None, Text, None, None, true, "RFC 959";
    Rein = "REIN", [Login], Yes, Yes, None, None, None, None, false, "RFC 959, RFC 4217 §13";
    Quit = "QUIT", [], Yes, Yes, None, None, None, None, false, "RFC 959";
    Host = "HOST", [Login], Yes, Only, None, Text, None, None, false, "RFC 7151";
    Auth = "AUTH", [], Gateway, Yes, None, Text, None, None, false, "RFC 2228, RFC 4217, RFC 2773";
    Adat = "ADAT", [], Never, Yes, None, Text, None, None, true, "RFC 2228, RFC 2773, RFC 4217";
    Pbsz = "PBSZ", [], Gateway, Yes, None, Text, None, None, false, "RFC 2228, RFC 4217";
    Prot = "PROT", [], Gateway, Yes, None, Text, None, None, false, "RFC 2228, RFC 4217";
    Ccc = "CCC", [], Gateway, No, None, None, None, None, false, "RFC 2228, RFC 4217";
    Mic = "MIC", [], Never, Yes, None, Text, None, None, true, "RFC 2228, RFC 2773, RFC 4217";
    Conf = "CONF", [], Never, Yes, None, Text, None, None, true, "RFC 2228";
    Enc = "ENC", [], Never, Yes, None, Text, None, None, true, "RFC 2228, RFC 2773, RFC 4217";
    Feat = "FEAT", [Info], Yes, Yes, None, None, None, None, false, "RFC 2389";
    Opts = "OPTS", [Info], Yes, Yes, None, Text, None, None, false, "RFC 2389";
    Help = "HELP", [Info], Yes, Yes, None, OptionalText, None, None, false, "RFC 959";
    Syst = "SYST", [Info], Yes, Yes, None, None, None, None, false, "RFC 959";
    Stat = "STAT", [Info], Yes, No, None, OptionalPath, Listing, None, false, "RFC 959, RFC 1123";
    Noop = "NOOP", [], Yes, Yes, None, None, None, None, false, "RFC 959";
    Lang = "LANG", [Info], Yes, Yes, None, OptionalText, None, None, false, "RFC 2640";
    Type = "TYPE", [Session], Yes, No, None, Text, None, None, false, "RFC 959";
    Mode = "MODE", [Session], Yes, No, None, Text, None, None, false, "RFC 959";
    Stru = "STRU", [Session], Yes, No, None, Text, None, None, false, "RFC 959";
    Allo = "ALLO", [Session], Yes, No, None, Text, None, None, false, "RFC 959";
    Rest = "REST", [Session], Yes, No, None, Text, None, None, false, "RFC 959, RFC 1123, RFC 3659";
    Port = "PORT", [Active], Yes, No, Setup, HostPort, None, None, false, "RFC 959";
    Pasv = "PASV", [Passive], Yes, No, Setup, None, None, None, false, "RFC 959, RFC 1123";
    Eprt = "EPRT", [Active], Yes, No, Setup, HostPort, None, None, false, "RFC 2428";
    Epsv = "EPSV", [Passive], Yes, No, Setup, OptionalText, None, None, false, "RFC 2428";
    Lprt = "LPRT", [Legacy], Never, No, Setup, HostPort, None, None, false, "RFC 1545, RFC 1639";
    Lpsv = "LPSV", [Legacy], Never, No, Setup, None, None, None, false, "RFC 1545, RFC 1639";
    Retr = "RETR", [Download], Yes, No, Download, Path, Whole, None, false, "RFC 959";
    Stor = "STOR", [Upload], Yes, No, Upload, Path, Whole, None, false, "RFC 959, RFC 1123";
    Stou = "STOU", [Upload], Yes, No, Upload, OptionalPath, Directory, None, false, "RFC 959, RFC 1123";
    Appe = "APPE", [Upload], Yes, No, Upload, Path, Whole, None, false, "RFC 959";
    List = "LIST", [List], Yes, No, List, OptionalPath, Listing, None, false, "RFC 959, RFC 1123";
    Nlst = "NLST", [List], Yes, No, List, OptionalPath, Listing, None, false, "RFC 959, RFC 1123";
    Mlsd = "MLSD", [List], Yes, No, List, OptionalPath, WholeOrDirectory, None, false, "RFC 3659";
    Mlst = "MLST", [List], Yes, No, None, OptionalPath, WholeOrDirectory, None, false, "RFC 3659";
    Size = "SIZE", [List], Yes, No, None, Path, Whole, None, false, "RFC 3659";
    Mdtm = "MDTM", [List], Yes, No, None, Path, AfterTime, None, false, "RFC 3659";
    Dele = "DELE", [Delete], Yes, No, None, Path, Whole, None, false, "RFC 959";
    Rnfr = "RNFR", [Rename], Yes, No, None, Path, Whole, None, false, "RFC 959";
    Rnto = "RNTO", [Rename], Yes, No, None, Path, Whole, None, false, "RFC 959";
    Cwd = "CWD", [Navigate], Yes, No, None, OptionalPath, WholeOrDirectory, None, false, "RFC 959";
    Cdup = "CDUP", [Navigate], Yes, No, None, None, Parent, None, false, "RFC 959";
    Pwd = "PWD", [Navigate], Yes, No, None, None, None, None, false, "RFC 959";
    Mkd = "MKD", [Mkdir], Yes, No, None, Path, Whole, None, false, "RFC 959";
    Rmd = "RMD", [Delete], Yes, No, None, Path, Whole, None, false, "RFC 959";
    Smnt = "SMNT", [Legacy], Named, No, None, Path, Whole, None, false, "RFC 959";
    Abor = "ABOR", [Session], Yes, No, None, None, None, None, false, "RFC 959";
    Site = "SITE", [Site], Yes, No, None, Text, None, None, false, "RFC 959, RFC 1123";
    Xcup = "XCUP", [Navigate], Yes, No, None, None, Parent, Some(Alias::Verb(Verb::Cdup)), false, "RFC 775, RFC 1123";
    Xcwd = "XCWD", [Navigate], Yes, No, None, Path, Whole, Some(Alias::Verb(Verb::Cwd)), false, "RFC 775, RFC 1123";
    Xmkd = "XMKD", [Mkdir], Yes, No, None, Path, Whole, Some(Alias::Verb(Verb::Mkd)), false, "RFC 775, RFC 1123";
    Xpwd = "XPWD", [Navigate], Yes, No, None, None, None, Some(Alias::Verb(Verb::Pwd)), false, "RFC 775, RFC 1123";
    Xrmd = "XRMD", [Delete], Yes, No, None, Path, Whole, Some(Alias::Verb(Verb::Rmd)), false, "RFC 775, RFC 1123";
    Mfmt = "MFMT", [Modify], Yes, No, None, Path, AfterWord, None, false, "draft-somers-ftp-mfxx";
    Mfct = "MFCT", [Modify], Yes, No, None, Path, AfterWord, None, false, "draft-somers-ftp-mfxx";
    Mff = "MFF", [Modify], Yes, No, None, Path, AfterWord, None, false, "draft-somers-ftp-mfxx";
    Hash = "HASH", [List], Yes, No, None, Path, Whole, None, false, "draft-bryan-ftpext-hash";
    Rang = "RANG", [Session], Yes, No, None, Text, None, None, false, "draft-bryan-ftp-range";
    Xcrc = "XCRC", [List], Yes, No, None, Path, Checksum, None, false, "de facto";
    Xmd5 = "XMD5", [List], Yes, No, None, Path, Checksum, None, false, "de facto";
    Xsha = "XSHA", [List], Yes, No, None, Path, Checksum, None, false, "de facto";
    Xsha1 = "XSHA1", [List], Yes, No, None, Path, Checksum, None, false, "de facto";
    Xsha256 = "XSHA256", [List], Yes, No, None, Path, Checksum, None, false, "de facto";
    Xsha512 = "XSHA512", [List], Yes, No, None, Path, Checksum, None, false, "de facto";
    Md5 = "MD5", [List], Yes, No, None, Path, Checksum, None, false, "de facto, draft-twine-ftpmd5";
    Mmd5 = "MMD5", [List], Yes, No, None, Path, CommaList, None, false, "draft-twine-ftpmd5";
    Avbl = "AVBL", [List], Yes, No, None, OptionalPath, WholeOrDirectory, None, false, "draft-peterson-streamlined";
    Csid = "CSID", [Info], Yes, Yes, None, Text, None, None, false, "draft-peterson-streamlined";
    Clnt = "CLNT", [Info], Yes, Yes, None, Text, None, None, false, "de facto";
    Comb = "COMB", [Upload], Yes, No, None, Path, Opaque, None, false, "de facto (GlobalSCAPE, CuteFTP)";
    Dsiz = "DSIZ", [List], Yes, No, None, OptionalPath, WholeOrDirectory, None, false, "draft-peterson-streamlined";
    Rmda = "RMDA", [Delete], Named, No, None, Path, Whole, None, false, "draft-peterson-streamlined";
    Thmb = "THMB", [Download], Yes, No, Download, Path, Opaque, None, false, "draft-peterson-streamlined";
    Chmod = "CHMOD", [Site, Modify], Yes, No, None, Path, AfterWord, Some(Alias::Subcommand(Verb::Site, "CHMOD")), false, "Pure-FTPd";
    Nop = "NOP", [], Yes, Yes, None, None, None, Some(Alias::Verb(Verb::Noop)), false, "FileZilla Server";
    Spsv = "SPSV", [Legacy], Never, No, Setup, OptionalText, None, None, false, "Pure-FTPd (older)";
    Cpsv = "CPSV", [Legacy], Never, No, Setup, None, None, None, false, "de facto FXP";
    Sscn = "SSCN", [], Never, No, None, OptionalText, None, None, false, "de facto FXP";
    Pret = "PRET", [], Never, No, None, Text, None, None, false, "DrFTPD, Pure-FTPd";
    Esta = "ESTA", [Legacy], Never, No, None, None, None, None, false, "Pure-FTPd";
    Estp = "ESTP", [Legacy], Never, No, Setup, None, None, None, false, "Pure-FTPd";
    Apsv = "APSV", [Legacy], Never, No, Setup, None, None, None, false, "RFC 1579 (proposal)";
    Algs = "ALGS", [], Never, Yes, None, Text, None, None, false, "RFC 6384 §11";
    Open = "OPEN", [Legacy], Never, Yes, None, Text, None, None, false, "proxy convention";
    Xdbg = "XDBG", [Legacy], Never, No, None, None, None, None, false, "Pure-FTPd debug builds";
    Mail = "MAIL", [Legacy], Named, No, None, Text, None, None, false, "RFC 765 (obsolete)";
    Mlfl = "MLFL", [Legacy], Named, No, Upload, Text, None, None, false, "RFC 765 (obsolete)";
    Msnd = "MSND", [Legacy], Named, No, None, Text, None, None, false, "RFC 765 (obsolete)";
    Msom = "MSOM", [Legacy], Named, No, None, Text, None, None, false, "RFC 765 (obsolete)";
    Msam = "MSAM", [Legacy], Named, No, None, Text, None, None, false, "RFC 765 (obsolete)";
    Mrsq = "MRSQ", [Legacy], Named, No, None, Text, None, None, false, "RFC 765 (obsolete)";
    Mrcp = "MRCP", [Legacy], Named, No, None, Text, None, None, false, "RFC 765 (obsolete)";
    Xsem = "XSEM", [Legacy], Named, No, None, Text, None, None, false, "RFC 737";
    Xsen = "XSEN", [Legacy], Named, No, None, Text, None, None, false, "RFC 737";
    Xmas = "XMAS", [Legacy], Named, No, None, Text, None, None, false, "RFC 737";
    Xrsq = "XRSQ", [Legacy], Named, No, None, Text, None, None, false, "RFC 743";
    Xrcp = "XRCP", [Legacy], Named, No, None, Text, None, None, false, "RFC 743";
}

impl Verb {
    /// The verb in upper case.
    pub const fn name(self) -> &'static str {
        self.row().name
    }

    /// The verb that this one counts as for policy: XMKD is MKD. Pure-FTPd's CHMOD, which stands
    /// for a subcommand, is left as it is: see [`Row::alias`].
    #[must_use]
    pub const fn canonical(self) -> Self {
        match self.row().alias {
            Some(Alias::Verb(verb)) => verb,
            Some(Alias::Subcommand(..)) | None => self,
        }
    }

    /// Whether this verb opens a data connection and moves bytes.
    pub const fn transfers(self) -> bool {
        matches!(self.row().data, Data::Download | Data::List | Data::Upload)
    }
}

/// Verbs of four letters behind which people write a password.
const PASSWORDS: [Verb; 3] = [Verb::Acct, Verb::Adat, Verb::Pass];

/// Whether a verb that the table does not have, in upper case, may be one whose argument is a secret, with
/// the argument behind it: `PASShunter2`, or with a slip of the finger in it, `PSAhunter2` (law L4).
pub fn may_hold_secret(name: &str) -> bool {
    let begins = |verb: &Verb| verb.row().secret && name.starts_with(verb.name());
    let may_begin = |verb: &Verb| {
        let mut starts = (3..=5).filter_map(|length| name.as_bytes().get(..length));
        starts.any(|start| is_slip(start, verb.name().as_bytes()))
    };
    Verb::ALL.iter().any(begins) || PASSWORDS.iter().any(may_begin)
}

/// Whether `written` is `word` with a letter too many, too few, another one, or two that changed places.
fn is_slip(written: &[u8], word: &[u8]) -> bool {
    let same = |(one, other): &(&u8, &u8)| one == other;
    let head = written.iter().zip(word).take_while(same).count();
    let written = written.get(head..).unwrap_or_default();
    let word = word.get(head..).unwrap_or_default();
    let behind = written.iter().rev().zip(word.iter().rev());
    let tail = behind.take_while(same).count();
    let written = written.get(..written.len().saturating_sub(tail));
    let word = word.get(..word.len().saturating_sub(tail));
    match (written, word) {
        (Some([] | [_]), Some([] | [_])) => true,
        (Some([one, other]), Some([first, second])) => one == second && other == first,
        _ => false,
    }
}

impl fmt::Debug for Verb {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Declares the table of SITE subcommands from the rows below.
macro_rules! subcommands {
    ($($name:literal, [$($group:ident),*], $forward:ident, $argument:ident, $paths:ident,
       $secret:literal;)*) => {
        /// The SITE subcommands that the gateway knows.
        pub const SITE: &[SiteRow] = &[
            $(SiteRow {
                name: $name,
                groups: &[$(Group::$group),*],
                forward: Forward::$forward,
                argument: Argument::$argument,
                paths: Paths::$paths,
                secret: $secret,
            },)*
        ];
    };
}

subcommands! {
    "HELP", [Site], Yes, None, None, false;
    "CHMOD", [Site, Modify], Yes, Path, AfterWord, false;
    "CHGRP", [Site, Modify], Yes, Path, AfterWord, false;
    "CHOWN", [Site, Modify], Yes, Path, AfterWord, false;
    "UMASK", [Site], Yes, Text, None, false;
    "IDLE", [Site], Yes, Text, None, false;
    "EXEC", [Site], Named, Text, None, false;
    "UTIME", [Site, Modify], Yes, Path, Utime, false;
    "SYMLINK", [Site, Upload], Named, Path, Pair, false;
    "MKDIR", [Site, Mkdir], Yes, Path, Whole, false;
    "RMDIR", [Site, Delete], Yes, Path, Whole, false;
    "CPFR", [Site, Upload], Named, Path, Whole, false;
    "CPTO", [Site, Upload], Named, Path, Whole, false;
    "COPY", [Site, Upload], Yes, Path, Pair, false;
    "ALIAS", [Site], Yes, Text, None, false;
    "QUOTA", [Site], Yes, None, None, false;
    "WHO", [Site], Yes, None, None, false;
    "GROUP", [Site], Yes, Text, None, false;
    "GPASS", [Site], Yes, Text, None, true;
    "PSWD", [Site], Yes, Text, None, true;
    "NEWER", [Site], Yes, Path, Opaque, false;
    "MINFO", [Site], Yes, Path, Opaque, false;
    "INDEX", [Site], Named, Text, None, false;
    "GROUPS", [Site], Yes, None, None, false;
    "CDPATH", [Site], Yes, None, None, false;
    "CHECKMETHOD", [Site], Yes, Text, None, false;
    "CHECKSUM", [Site], Yes, Path, Whole, false;
    "DIRSTYLE", [Site], Yes, None, None, false;
    "CKM", [Site], Yes, None, None, false;
    "STATS", [Site], Yes, None, None, false;
    "ZONE", [Site], Yes, None, None, false;
    "MSG", [Site], Yes, Text, None, false;
    "FILETYPE", [Site], Named, Text, None, false;
    "RECFM", [Site], Yes, Text, None, false;
}

/// The row of the SITE subcommand spelled `word` in any ASCII case.
pub fn site(word: &[u8]) -> Option<&'static SiteRow> {
    SITE.iter()
        .find(|row| row.name.as_bytes().eq_ignore_ascii_case(word))
}

/// The verbs whose first argument word policy may name: `SITE CHMOD`, `TYPE E`.
pub const fn takes_word(verb: Verb) -> bool {
    matches!(
        verb,
        Verb::Site | Verb::Opts | Verb::Type | Verb::Mode | Verb::Stru
    )
}
