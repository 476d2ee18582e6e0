//! `[listeners.NAME.tls]` and `[upstreams.NAME.tls]`.
//!
//! Owns their keys and defaults, and what is odd about one such table alone. Must not look at the
//! files that they name: see [`TlsPlaces`].

use std::path::PathBuf;
use std::sync::Arc;

use toml::de::DeValue;

use super::schema;
use super::section::{Problems, Section};
use super::tables::{Mentions, or_default};
use super::value::{self, Misfit};
use crate::ftp::security::TlsVersion;
use crate::policy::spec::{Located, Span};
use crate::session::{ClientTls, Require, ServerTls, TlsOffer};
use crate::settings::{ListenerTls, UpstreamTls};
use crate::tls::load::Content;
use crate::tls::options::{
    ClientCertificates, ClientOptions, Identity, ServerOptions, SessionReuse, Trust,
};

/// Where TLS is written of, for those who look at the files: of a configuration that cannot be
/// taken, too.
#[derive(Debug, Default)]
pub struct TlsPlaces {
    /// The table of each listener that has one.
    pub listeners: Vec<TlsTable<ServerOptions>>,
    /// The table of each upstream whose TLS is not off.
    pub upstreams: Vec<TlsTable<ClientOptions>>,
    /// Each file of certificates or keys.
    pub files: Vec<TlsFile>,
}

/// A table of TLS.
#[derive(Debug)]
pub struct TlsTable<O> {
    /// The name of the listener or upstream that it belongs to.
    pub owner: String,
    /// Where it stands.
    pub span: Span,
    /// What it says; None where it cannot be taken.
    pub options: Option<O>,
}

/// A file that is named.
#[derive(Debug)]
pub struct TlsFile {
    /// Its path.
    pub path: PathBuf,
    /// Where it is named.
    pub span: Span,
    /// What it is to hold.
    pub content: Content,
}

/// The words of `listeners.NAME.tls.mode`.
const OFFERS: [(&str, TlsOffer); 2] = [
    ("explicit", TlsOffer::Explicit),
    ("implicit", TlsOffer::Implicit),
];

/// The words of `require`.
const REQUIRES: [(&str, Require); 3] = [
    ("data", Require::Data),
    ("login", Require::Login),
    ("no", Require::No),
];

/// The words of `session_reuse`.
const REUSES: [(&str, SessionReuse); 3] = [
    ("allowed", SessionReuse::Allowed),
    ("required", SessionReuse::Required),
    ("off", SessionReuse::Off),
];

/// The words of `upstreams.NAME.tls.mode`.
const MODES: [(&str, ServerTls); 4] = [
    ("off", ServerTls::Off),
    ("explicit", ServerTls::Explicit),
    ("implicit", ServerTls::Implicit),
    ("match", ServerTls::Match),
];

/// The words of `versions`.
const VERSIONS: [(&str, TlsVersion); 2] = [("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)];

/// Whether clients show certificates, before it is known whom these must come from.
#[derive(Clone, Copy, Default, Eq, PartialEq)]
enum Asked {
    /// Not asked for.
    #[default]
    Off,
    /// Asked for.
    Optional,
    /// Insisted on.
    Required,
}

/// The words of `client_certificates`.
const ASKED: [(&str, Asked); 3] = [
    ("off", Asked::Off),
    ("optional", Asked::Optional),
    ("required", Asked::Required),
];

/// The words of `close_notify`, and whether its lack is tolerated.
const CLOSE_NOTIFY: [(&str, bool); 2] = [("required", false), ("optional", true)];

/// `[listeners.NAME.tls]` of the listener in `parent`; None where there is none, or none that can
/// be taken.
pub(super) fn listener(
    parent: &Section<'_>,
    name: &str,
    places: &mut TlsPlaces,
    problems: &mut Problems,
) -> Option<ListenerTls> {
    let (place, table) = parent.table("tls", problems)?;
    let before = problems.errors();
    let section = Section::open(table, &schema::LISTENER_TLS, place.clone(), problems);
    let offer = section.one("mode", problems, value::word(&OFFERS));
    let require = section.one("require", problems, value::word(&REQUIRES));
    let own = identity(&section, places, problems);
    let further = further_identities(&section, places, problems);
    let has_none = ["certificate", "key", "certificates"]
        .iter()
        .all(|key| section.value(key).is_none());
    if has_none {
        section.lacks("certificate", "\"/etc/ftpwarden/cert.pem\"", problems);
        section.lacks("key", "\"/etc/ftpwarden/key.pem\"", problems);
    }
    let options = ServerOptions {
        identities: own.into_iter().chain(further).collect(),
        versions: versions(&section, problems),
        prefer_client_ciphers: or_default(section.one(
            "prefer_client_ciphers",
            problems,
            value::boolean,
        )),
        session_reuse: or_default(section.one("session_reuse", problems, value::word(&REUSES))),
        clients: client_certificates(&section, places, problems),
    };
    let is_sound = problems.errors() == before;
    places.listeners.push(TlsTable {
        owner: name.to_owned(),
        span: place,
        options: is_sound.then(|| options.clone()),
    });
    (!options.identities.is_empty()).then_some(ListenerTls {
        offer: ClientTls {
            offer: offer.map_or(TlsOffer::Explicit, |found| found.value),
            require: require.map_or(Require::Data, |found| found.value),
        },
        options,
    })
}

/// `[upstreams.NAME.tls]` of the upstream in `parent`, which is at `host`; None where it is off,
/// there is none, or none that can be taken.
pub(super) fn upstream(
    parent: &Section<'_>,
    name: &str,
    host: &Arc<str>,
    mentions: &mut Mentions,
    problems: &mut Problems,
) -> Option<UpstreamTls> {
    let (place, table) = parent.table("tls", problems)?;
    let places = &mut mentions.tls;
    let before = problems.errors();
    let section = Section::open(table, &schema::UPSTREAM_TLS, place.clone(), problems);
    let written = section.one("mode", problems, value::word(&MODES));
    let misfits = written.is_none() && section.value("mode").is_some();
    let mode: ServerTls = or_default(written);
    let own_places = &mut TlsPlaces::default();
    let ca = file(&section, "ca", Content::Authorities, own_places, problems);
    let pin = section.one("pin", problems, value::pin);
    if let (Some(ca), Some(pin)) = (&ca, &pin) {
        problems.warning(
            "config/no-effect",
            &ca.span,
            "`ca` has no say beside `pin`",
            "drop one of the two: what is pinned is the one certificate that is trusted",
        );
        problems.also(&pin.span, "pinned here");
    }
    let trust = match (pin, ca) {
        (Some(pin), _) => Trust::Pin(pin.value),
        (None, Some(ca)) => Trust::File(ca.value),
        (None, None) => Trust::System,
    };
    let server_name = section.one("server_name", problems, server_name);
    let options = ClientOptions {
        trust,
        server_name: server_name.map_or_else(|| Arc::clone(host), |found| found.value),
        identity: identity(&section, own_places, problems),
        versions: versions(&section, problems),
        session_reuse: or_default(section.one("session_reuse", problems, value::word(&REUSES))),
    };
    let tolerates_truncation =
        or_default(section.one("close_notify", problems, value::word(&CLOSE_NOTIFY)));
    if mode == ServerTls::Off {
        if !misfits && table.keys().any(|key| key.get_ref() != "mode") {
            problems.warning(
                "config/no-effect",
                &place,
                "nothing in this table has an effect: `mode` is `\"off\"`",
                "write `mode = \"explicit\"`, `\"implicit\"` or `\"match\"`, or drop the table",
            );
        }
        return None;
    }
    let is_sound = problems.errors() == before && !options.server_name.is_empty();
    places.upstreams.push(TlsTable {
        owner: name.to_owned(),
        span: place,
        options: is_sound.then(|| options.clone()),
    });
    places.files.append(&mut own_places.files);
    Some(UpstreamTls {
        mode,
        options,
        tolerates_truncation,
    })
}

/// A host name or an address, whose form is checked with the files.
fn server_name(value: &DeValue<'_>) -> value::Read<Arc<str>> {
    let written = value::text(value, "a host name", "ftp.example.com")?;
    if written.is_empty() {
        return Err(Misfit::new(
            "config/bad-name",
            "the name is empty",
            "write the name that the server's certificate has",
        ));
    }
    Ok(written.into())
}

/// The file at `key`.
fn file(
    section: &Section<'_>,
    key: &str,
    content: Content,
    places: &mut TlsPlaces,
    problems: &mut Problems,
) -> Option<Located<PathBuf>> {
    let found = section.one(key, problems, value::file)?;
    places.files.push(TlsFile {
        path: found.value.clone(),
        span: found.span.clone(),
        content,
    });
    Some(found)
}

/// `certificate` and `key`, both or neither.
fn identity(
    section: &Section<'_>,
    places: &mut TlsPlaces,
    problems: &mut Problems,
) -> Option<Identity> {
    let certificate = file(
        section,
        "certificate",
        Content::Certificate,
        places,
        problems,
    );
    let key = file(section, "key", Content::Key, places, problems);
    for (here, there, example) in [
        ("certificate", "key", "\"/etc/ftpwarden/key.pem\""),
        ("key", "certificate", "\"/etc/ftpwarden/cert.pem\""),
    ] {
        if section.value(here).is_some() && section.value(there).is_none() {
            section.lacks(there, example, problems);
        }
    }
    Some(Identity {
        certificate: certificate?.value,
        key: key?.value,
    })
}

/// `certificates`.
fn further_identities(
    section: &Section<'_>,
    places: &mut TlsPlaces,
    problems: &mut Problems,
) -> Vec<Identity> {
    let Some(written) = section.value("certificates") else {
        return Vec::new();
    };
    let span = problems.span(written.span());
    let entries: Vec<_> = match written.get_ref() {
        DeValue::Array(list) => list.iter().collect(),
        _ => vec![written],
    };
    if entries.is_empty() {
        problems.error(
            "config/empty-list",
            &span,
            "an empty list has no certificate",
            "write `{ certificate = \"…\", key = \"…\" }` into it, or drop the key",
        );
    }
    let mut identities = Vec::new();
    for entry in entries {
        let place = problems.span(entry.span());
        let Some(table) = entry.get_ref().as_table() else {
            let misfit = Misfit::wrong_type(
                "a table",
                entry.get_ref(),
                "write `{ certificate = \"…\", key = \"…\" }`",
            );
            problems.misfit(&place, misfit);
            continue;
        };
        let section = Section::open(table, &schema::CERTIFICATE, place, problems);
        let found = identity(&section, places, problems);
        if found.is_none() && table.is_empty() {
            section.lacks("certificate", "\"/etc/ftpwarden/cert.pem\"", problems);
        }
        identities.extend(found);
    }
    identities
}

/// `versions`, in the order in which they are written.
fn versions(section: &Section<'_>, problems: &mut Problems) -> Vec<TlsVersion> {
    let found = section.list("versions", problems, value::word(&VERSIONS));
    let mut versions: Vec<TlsVersion> = Vec::new();
    for version in &found {
        if versions.contains(&version.value) {
            problems.error(
                "config/duplicate-version",
                &version.span,
                format!("`{}` is written twice", version.value.name()),
                "keep one of the two",
            );
        }
        versions.push(version.value);
    }
    let written = section.value("versions");
    if let Some(written) = written
        && written
            .get_ref()
            .as_array()
            .is_some_and(|list| list.is_empty())
    {
        problems.error(
            "config/empty-list",
            &problems.span(written.span()),
            "without a version there is no TLS",
            "write `[\"1.2\", \"1.3\"]`, or drop the key",
        );
    }
    if written.is_none() {
        return TlsVersion::ALL.to_vec();
    }
    versions
}

/// `client_certificates` with `client_ca`.
fn client_certificates(
    section: &Section<'_>,
    places: &mut TlsPlaces,
    problems: &mut Problems,
) -> ClientCertificates {
    let asked: Asked =
        or_default(section.one("client_certificates", problems, value::word(&ASKED)));
    if asked == Asked::Off {
        if let Some(ca) = section.one("client_ca", problems, value::file) {
            problems.warning(
                "config/no-effect",
                &ca.span,
                "`client_ca` has no effect: clients are not asked for certificates",
                "write `client_certificates = \"required\"` or `\"optional\"`",
            );
        }
        return ClientCertificates::Off;
    }
    if section.value("client_ca").is_none() {
        section.lacks("client_ca", "\"/etc/ftpwarden/clients-ca.pem\"", problems);
    }
    // Where the file does not fit an error says so, and nothing is built of this.
    let ca = file(section, "client_ca", Content::Authorities, places, problems);
    match (asked, ca) {
        (Asked::Required, Some(ca)) => ClientCertificates::Required(ca.value),
        (Asked::Optional, Some(ca)) => ClientCertificates::Optional(ca.value),
        _ => ClientCertificates::Off,
    }
}
