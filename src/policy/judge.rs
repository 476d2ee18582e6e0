//! All policies that speak on one session's commands, as one judge.
//!
//! Owns the order in which the gateway's own refusals, the listener's policy and the upstream's
//! are asked, and the reply of a refusal. At most `WILDCARDS_MAX` wildcards go to a server in
//! one listing.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::chain::{self, Decision, Policy, Ruling};
use super::forms::{self, Form};
use super::names::Key;
use super::path::Kind;
use super::rule::{Asker, Near};
use super::scene::Scene;
use super::security::Lack;
use super::verdict::{Judgement, Permit, Reply, RuleId, Text, Verdict};
use crate::ftp::command::{Command, Name};
use crate::ftp::security::TlsVersion;
use crate::ftp::verb::{Forward, Paths, Verb};

/// The most wildcards and braces in one listing: servers have spent minutes on one line of them
/// (CVE-2011-0762, CVE-2001-0249).
const WILDCARDS_MAX: usize = 16;

/// How a server reads paths and user names (`system`).
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum System {
    /// Data sets of z/OS.
    Mvs,
    /// Slashes, letter case matters.
    #[default]
    Unix,
    /// Backslashes are slashes, letter case does not matter.
    Windows,
}

impl System {
    /// Whether names that differ in letter case alone are one name.
    pub(super) const fn is_folded(self) -> bool {
        matches!(self, Self::Mvs | Self::Windows)
    }

    /// Whether paths of this kind that differ in letter case alone are one. The Unix side of z/OS
    /// tells it apart.
    pub(super) const fn is_folded_for(self, kind: Kind) -> bool {
        match (self, kind) {
            (Self::Unix, _) | (Self::Mvs, Kind::Slash) => false,
            (Self::Mvs, Kind::DataSet) | (Self::Windows, _) => true,
        }
    }
}

/// What a server makes of paths.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Dialect {
    /// How it reads them.
    pub system: System,
    /// Whether it may have symbolic links, so that a `..` is undecidable.
    pub symlinks: bool,
    /// The longest absolute path that it is sent, in bytes.
    pub path_bytes: usize,
}

impl Default for Dialect {
    /// Unix, with links, 4096 bytes.
    fn default() -> Self {
        Self {
            system: System::Unix,
            symlinks: true,
            path_bytes: 4096,
        }
    }
}

/// What a decision depends on, beside the policy.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// The command.
    pub command: &'a Command,
    /// The name being tried on USER, PASS and ACCT, afterwards the one logged in.
    pub user: Option<&'a [u8]>,
    /// Who dialled us.
    pub client: IpAddr,
    /// The working directory as the server stated it, raw.
    pub directory: Option<&'a [u8]>,
    /// The directory that the server stated right after login, raw.
    pub home: Option<&'a [u8]>,
    /// The normalised path of a pending RNFR, for RNTO; None where it was unsure.
    pub renaming: Option<&'a [u8]>,
    /// The time of day: seconds since 1970-01-01 UTC.
    pub unix_time: i64,
    /// How the client's channels are protected.
    pub channels: Channels<'a>,
}

/// How the channels of the client's leg are protected.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Channels<'a> {
    /// The version of TLS on the control connection; None in clear.
    pub control: Option<TlsVersion>,
    /// Whether PROT P is in force for data connections.
    pub data: bool,
    /// The subject of the certificate that the client proved to hold, as RFC 4514 text.
    pub certificate: Option<&'a str>,
}

/// What is certain of the channels that a session's later commands will use, for questions about
/// them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Outlook<'a> {
    /// They will be in clear: there is no TLS.
    Clear,
    /// They may come under TLS.
    #[default]
    Open,
    /// The control connection is under TLS, which stays as it is; PROT may be given at any time.
    Secured {
        /// The version.
        version: TlsVersion,
        /// The subject of the client's certificate, as RFC 4514 text.
        certificate: Option<&'a str>,
    },
}

impl<'a> Outlook<'a> {
    /// The outlook of a session with these channels, where clear ones may come under TLS.
    pub fn of(channels: Channels<'a>) -> Self {
        channels
            .control
            .map_or(Self::Open, |version| Self::Secured {
                version,
                certificate: channels.certificate,
            })
    }
}

/// All that judges the commands of a session.
#[derive(Debug)]
pub struct Judge {
    /// The listener's policy.
    listener: Arc<Policy>,
    /// The upstream's policy, which must allow as well.
    upstream: Arc<Policy>,
    /// A policy that is asked and not obeyed.
    observed: Option<Arc<Policy>>,
    /// How the server reads paths.
    dialect: Dialect,
    /// Verbs that the server lacks.
    unsupported: Vec<Name>,
}

impl Judge {
    /// A judge for sessions of one listener with servers of one upstream. The policies must be
    /// of one [`super::PolicySet`], whose ids the judgements name.
    pub const fn new(
        listener: Arc<Policy>,
        upstream: Arc<Policy>,
        observed: Option<Arc<Policy>>,
        dialect: Dialect,
        unsupported: Vec<Name>,
    ) -> Self {
        Self {
            listener,
            upstream,
            observed,
            dialect,
            unsupported,
        }
    }

    /// Judges `query`. Order: `never` and `unsupported` (502), the listener's policy, the
    /// upstream's. QUIT and NOOP are always permitted.
    pub fn decide(&self, query: &Query<'_>) -> Judgement {
        self.decide_in(query, &mut BytesMut::new())
    }

    /// The same; a line that may be forwarded is made in `lines`, whose memory serves again when
    /// the line is dropped.
    pub fn decide_in(&self, query: &Query<'_>, lines: &mut BytesMut) -> Judgement {
        let scene = Scene::new(query, self.dialect);
        let path = scene
            .path()
            .map(|path| Bytes::copy_from_slice(path.as_str().as_bytes()));
        if let Some(unjudged) = self.unjudged(&scene) {
            return Judgement {
                verdict: match unjudged {
                    Unjudged::Forward => forward(query.command, lines),
                    Unjudged::Refused(code) => Verdict::Deny(Reply::own(code)),
                },
                decided: None,
                upstream: None,
                observed: None,
                path,
                lack: None,
            };
        }
        let listener = chain::decide(&self.listener, &scene, false);
        let observed = self
            .observed
            .as_ref()
            .map(|policy| chain::decide(policy, &scene, false).id);
        let (verdict, upstream, lack) = match verdict(&self.listener, &listener, &scene) {
            Some(verdict) => (verdict, None, listener.lack()),
            None => self.beyond(&scene, lines),
        };
        Judgement {
            verdict,
            decided: Some(listener.id),
            upstream,
            observed,
            path,
            lack,
        }
    }

    /// What is decided before any policy is asked.
    fn unjudged(&self, scene: &Scene<'_>) -> Option<Unjudged> {
        let command = scene.query.command;
        if matches!(command.name.canonical(), Some(Verb::Quit | Verb::Noop)) {
            return Some(Unjudged::Forward);
        }
        if !self.can_carry(&command.name) {
            return Some(Unjudged::Refused(502));
        }
        // Copying files by SITE before any login has been a hole (CVE-2015-3306).
        if scene.subject.is_site() && scene.query.user.is_none() {
            return Some(Unjudged::Refused(502));
        }
        // RFC 959 §3.4.2, §3.4.3: the end of a file is in the data, and the connection stays open
        // for the next one, so the gateway could not tell where a transfer ends.
        let is_mode = scene.subject.key == Key::Known(Verb::Mode);
        if is_mode && matches!(scene.subject.first_letter(), Some(b'B' | b'C')) {
            return Some(Unjudged::Refused(504));
        }
        None
    }

    /// What becomes of a command that the listener's policy lets pass.
    fn beyond(
        &self,
        scene: &Scene<'_>,
        lines: &mut BytesMut,
    ) -> (Verdict, Option<RuleId>, Option<Lack>) {
        let second = chain::decide(&self.upstream, scene, true);
        if let Some(verdict) = verdict(&self.upstream, &second, scene) {
            return (verdict, Some(second.id), second.lack());
        }
        let command = scene.query.command;
        let verdict = if scene.is_too_long() || has_too_many_wildcards(scene) {
            Verdict::Deny(Reply::own(path_code(command)))
        } else {
            forward(command, lines)
        };
        (verdict, Some(second.id), None)
    }

    /// Whether the gateway and the server have `name` at all.
    fn can_carry(&self, name: &Name) -> bool {
        let forward = match name {
            Name::Known(verb) => verb.row().forward,
            Name::Other(_) => Forward::Yes,
        };
        match forward {
            // The gateway's own verbs are none of policy's business and never reach a server.
            Forward::Gateway | Forward::Never => false,
            // What the gateway can translate or answer itself, it still does.
            Forward::Named | Forward::Yes => {
                !self.is_unsupported(name)
                    || matches!(name, Name::Known(Verb::Eprt | Verb::Epsv | Verb::Feat))
            }
        }
    }

    /// The longest path, in its absolute form, that the server is sent.
    pub const fn path_bytes(&self) -> usize {
        self.dialect.path_bytes
    }

    /// Whether the decision depends on the working directory (or the home directory), which is
    /// then to be asked of the server first if `query` does not have it. Never before login.
    pub fn needs_directory(&self, query: &Query<'_>) -> bool {
        let policies = [
            Some(&self.listener),
            Some(&self.upstream),
            self.observed.as_ref(),
        ];
        let mut looking = policies
            .into_iter()
            .flatten()
            .zip([false, true, false])
            .filter(|(policy, _)| policy.looks_at_paths() || policy.uses_home)
            .peekable();
        if query.user.is_none() || looking.peek().is_none() {
            return false;
        }
        let query = Query {
            directory: None,
            ..*query
        };
        let scene = Scene::new(&query, self.dialect);
        if self.unjudged(&scene).is_some() {
            return false;
        }
        for (policy, excused) in looking {
            // RNTO will need to know where RNFR pointed, even if no rule asks at RNFR.
            if scene.subject.key == Key::Known(Verb::Rnfr) && policy.looks_at_paths() {
                scene.places();
            }
            chain::decide(policy, &scene, excused);
            if scene.needed_directory() {
                return true;
            }
        }
        false
    }

    /// Whether where a command points depends on the working directory, whatever the rules look at.
    pub fn points_from_directory(&self, query: &Query<'_>) -> bool {
        let query = Query {
            directory: None,
            ..*query
        };
        let scene = Scene::new(&query, self.dialect);
        scene.places();
        scene.needed_directory()
    }

    /// Whether any policy mentions `{home}`: it is to be learnt right after login.
    pub fn uses_home(&self) -> bool {
        self.listener.uses_home
            || self.upstream.uses_home
            || self
                .observed
                .as_ref()
                .is_some_and(|policy| policy.uses_home)
    }

    /// Whether a command could be allowed for this user and client at this time, with some path
    /// and argument, over channels of which `outlook` is certain. `word` is the subcommand or
    /// value; of STAT any word means the listing, of MDTM the form that sets the time. An answer
    /// that is no refusal counts. For FEAT and HELP.
    pub fn could_allow(
        &self,
        name: &Name,
        word: Option<&str>,
        user: Option<&[u8]>,
        client: IpAddr,
        unix_time: i64,
        outlook: Outlook<'_>,
    ) -> bool {
        if matches!(name.canonical(), Some(Verb::Quit | Verb::Noop)) {
            return true;
        }
        if !self.can_carry(name) {
            return false;
        }
        let user = user.map(String::from_utf8_lossy);
        let asker = Asker {
            user: user.as_deref(),
            client,
            unix_time,
            system: self.dialect.system,
            outlook,
        };
        let forms = match name {
            // Each policy has a say on the words that the other one names.
            Name::Known(verb) => [&self.listener, &self.upstream]
                .into_iter()
                .flat_map(|policy| forms::of_verb(*verb, word, &policy.words))
                .collect(),
            Name::Other(name) => vec![forms::of_other(name)],
        };
        forms.iter().any(|form| {
            let subject = form.subject(self.dialect.system);
            let before_login = subject.is_site() && asker.user.is_none();
            let carried = subject.key != Key::Known(Verb::Mode)
                || !matches!(subject.first_letter(), Some(b'B' | b'C'));
            !before_login
                && carried
                && chain::could(&self.listener, &subject, Some(&asker), false)
                && chain::could(&self.upstream, &subject, Some(&asker), true)
        })
    }

    /// Whether the server lacks `name` (`unsupported`).
    pub fn is_unsupported(&self, name: &Name) -> bool {
        self.unsupported.contains(name)
    }
}

/// What becomes of a command before any policy is asked.
#[derive(Clone, Copy)]
enum Unjudged {
    /// It is forwarded.
    Forward,
    /// It is refused with this code.
    Refused(u16),
}

/// The command's line, with its permit.
fn forward(command: &Command, lines: &mut BytesMut) -> Verdict {
    match command.encode_in(lines) {
        Some(line) => Verdict::Forward(Permit::new(line)),
        // It would be two lines to some server.
        None => Verdict::Deny(Reply::own(501)),
    }
}

/// What `decision` means for the client; None if it lets the command pass.
fn verdict(policy: &Policy, decision: &Decision<'_>, scene: &Scene<'_>) -> Option<Verdict> {
    match decision.ruling {
        Ruling::Allow => None,
        Ruling::Answer(reply) => Some(Verdict::Answer(reply.clone())),
        Ruling::Deny(Some(reply)) => Some(Verdict::Deny(reply.clone())),
        Ruling::Deny(None) => Some(Verdict::Deny(refusal(policy, decision.near, scene))),
        Ruling::Disconnect(reply) => Some(Verdict::Close(reply.clone())),
    }
}

/// The reply of a refusal that has none of its own.
fn refusal(policy: &Policy, near: Option<Near>, scene: &Scene<'_>) -> Reply {
    let command = scene.query.command;
    let verb = command.judged();
    if matches!(verb, Some(Verb::User | Verb::Pass | Verb::Acct)) {
        return Reply::login_incorrect();
    }
    if let Some(Near::Security(lack @ (Lack::Certificate | Lack::Tls | Lack::Version))) = near {
        return unprotected(lack);
    }
    if let Some(verb @ (Verb::Type | Verb::Mode | Verb::Stru)) = verb {
        // RFC 959 §4.2: the verb is there, this value is not.
        return Reply::own(if !allows_a_value(policy, verb, scene) {
            502
        } else if command.argument.is_some() {
            504
        } else {
            501
        });
    }
    let mandatory = command.row().is_some_and(|row| row.argument.is_mandatory());
    match near {
        None => Reply::own(502),
        // Before login a server would say no more than this.
        Some(_) if scene.query.user.is_none() => Reply::own(530),
        Some(Near::Security(lack)) => unprotected(lack),
        Some(_) if mandatory && command.argument.is_none() => Reply::own(501),
        Some(Near::Argument) => Reply::own(501),
        Some(Near::Path) => Reply::own(path_code(command)),
    }
}

/// Whether this user may set another value of `verb` at this time.
fn allows_a_value(policy: &Policy, verb: Verb, scene: &Scene<'_>) -> bool {
    let user = scene.user();
    let asker = Asker {
        user: user.as_deref(),
        client: scene.query.client,
        unix_time: scene.query.unix_time,
        system: scene.system(),
        outlook: Outlook::of(scene.query.channels),
    };
    forms::of_verb(verb, None, &policy.words)
        .iter()
        .any(|form: &Form<'_>| {
            chain::could(policy, &form.subject(System::Unix), Some(&asker), false)
        })
}

/// The reply to a command whose channels lack something.
fn unprotected(lack: Lack) -> Reply {
    let (code, text) = match lack {
        Lack::Certificate => (530, "Not allowed without a client certificate for it."),
        Lack::PrivateData => (521, "Data connections must be protected first: PROT P."),
        Lack::Tls => (530, "Please protect the connection first: AUTH TLS."),
        Lack::Version => (530, "Not allowed with this version of TLS."),
    };
    Reply {
        code,
        text: Text::Own(text),
    }
}

/// The code for a path that is refused: RFC 959 §5.4 has no 550 for these four.
fn path_code(command: &Command) -> u16 {
    match command.judged() {
        Some(Verb::Appe | Verb::Rnto | Verb::Stor | Verb::Stou) => 553,
        Some(_) | None => 550,
    }
}

/// Whether it is a listing whose wildcards would cost the server too much.
fn has_too_many_wildcards(scene: &Scene<'_>) -> bool {
    let is_wild = |byte: &&u8| matches!(byte, b'*' | b'?' | b'[' | b'{');
    scene.subject.paths == Paths::Listing
        && scene
            .query
            .command
            .argument_bytes()
            .iter()
            .filter(is_wild)
            .count()
            > WILDCARDS_MAX
}

#[cfg(test)]
mod tests;
