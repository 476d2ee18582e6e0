//! Certificates, keys and authorities from PEM files.
//!
//! Owns how they are read and what is wrong with them. Must not know who shows or checks them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::options::Identity;
use super::provider;

/// The largest file that is read, in bytes: the whole store of a system has a quarter of it.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a TLS configuration cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum LoadFault {
    /// A certificate or an authority's certificate cannot be understood.
    #[error("{}: certificate {number} is not a certificate that can be used", path.display())]
    BadCertificate {
        /// The file.
        path: PathBuf,
        /// Which one of it, from 1.
        number: usize,
    },
    /// A key cannot be used.
    #[error("{}: the key cannot be used", path.display())]
    BadKey {
        /// The file.
        path: PathBuf,
    },
    /// A key is protected by a passphrase.
    #[error("{}: the key is protected by a passphrase", path.display())]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// A key does not belong to its certificate.
    #[error("{}: the key does not belong to the certificate {}", key.display(), certificate.display())]
    KeyMismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// The system has no authorities.
    #[error("the system has no trusted authorities")]
    NoAuthorities,
    /// There is no certificate in a file.
    #[error("{}: there is no certificate in PEM in it", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// There is no certificate file.
    #[error("there is no certificate")]
    NoIdentity,
    /// There is no key in a file.
    #[error("{}: there is no private key in PEM in it", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The name of the server is neither a host name nor an address.
    #[error("`{name}` is no name that a certificate can have")]
    ServerName {
        /// The name.
        name: String,
    },
    /// rustls does not take the options.
    #[error("TLS cannot be configured so: {reason}")]
    Unsupported {
        /// Why.
        reason: String,
    },
    /// A file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl LoadFault {
    /// The file that is to blame; None where none is.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::BadCertificate { path, .. }
            | Self::BadKey { path }
            | Self::EncryptedKey { path }
            | Self::KeyMismatch { key: path, .. }
            | Self::NoCertificate { path }
            | Self::NoKey { path }
            | Self::Unreadable { path, .. } => Some(path),
            Self::NoAuthorities
            | Self::NoIdentity
            | Self::ServerName { .. }
            | Self::Unsupported { .. } => None,
        }
    }

    /// What to do about it, for an operator.
    pub fn advice(&self) -> &'static str {
        match self {
            Self::BadCertificate { .. } => {
                "write the certificates of the chain in PEM, the own one first"
            }
            Self::BadKey { .. } => "write an ECDSA, Ed25519 or RSA key (2048 bits or more) in PEM",
            Self::EncryptedKey { .. } => {
                "write the key without a passphrase, readable by the gateway alone: \
                 `openssl pkey -in KEY -out PLAIN`"
            }
            Self::KeyMismatch { .. } => {
                "name the key that the certificate was made with; the own certificate is the \
                 first in its file"
            }
            Self::NoAuthorities => {
                "install the system's authorities (ca-certificates), or write `ca` or `pin`"
            }
            Self::NoCertificate { .. } => {
                "the file must hold `-----BEGIN CERTIFICATE-----`; convert DER with \
                 `openssl x509 -inform der`"
            }
            Self::NoIdentity => "name a certificate and its key",
            Self::NoKey { .. } => {
                "the file must hold `-----BEGIN PRIVATE KEY-----`, or that of an EC or RSA key"
            }
            Self::ServerName { .. } => "write `server_name` as a host name or an address",
            Self::Unsupported { .. } => "write other versions",
            Self::Unreadable { source, .. } => match source.kind() {
                io::ErrorKind::NotFound => "write the path of a file that is there",
                io::ErrorKind::PermissionDenied => "let the gateway's user read it",
                _ => "write the path of a regular file of at most 1 MiB",
            },
        }
    }
}

/// A certificate that the gateway shows.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CertificateInfo {
    /// Its file.
    pub path: PathBuf,
    /// The host names that it has (`subjectAltName`), in lower case.
    pub names: Vec<String>,
    /// When it ends to be valid, in seconds since 1970, UTC.
    pub not_after_unix: i64,
}

/// A certificate with its key, ready to be shown.
pub(super) struct Loaded {
    /// Chain and key.
    pub(super) certified: CertifiedKey,
    /// What is known of it.
    pub(super) info: CertificateInfo,
}

impl fmt::Debug for Loaded {
    /// Without the key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info.fmt(formatter)
    }
}

/// The content of a regular file of at most 1 MiB.
///
/// # Errors
/// [`LoadFault::Unreadable`].
fn read(path: &Path) -> Result<Vec<u8>, LoadFault> {
    let read = || {
        // A pipe or a device would never end: it is not even opened.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        let mut bytes = Vec::new();
        File::open(path)?
            .take(FILE_BYTES_MAX.saturating_add(1))
            .read_to_end(&mut bytes)?;
        if u64::try_from(bytes.len()).is_ok_and(|length| length > FILE_BYTES_MAX) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "it is larger than 1 MiB",
            ));
        }
        Ok(bytes)
    };
    read().map_err(|source| LoadFault::Unreadable {
        path: path.to_path_buf(),
        source,
    })
}

/// What a file is to hold.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Content {
    /// Certificates of authorities.
    Authorities,
    /// A certificate, and its chain.
    Certificate,
    /// A key.
    Key,
}

/// What is wrong with the file at `path` by itself; None where it holds what it is to.
pub fn fault(path: &Path, content: Content) -> Option<LoadFault> {
    match content {
        Content::Authorities => authorities(path).err(),
        Content::Certificate => chain(path).err(),
        Content::Key => {
            let sound = key(path).and_then(|key| {
                let key = provider().key_provider.load_private_key(key);
                key.map_err(|_| LoadFault::BadKey {
                    path: path.to_path_buf(),
                })
            });
            sound.err()
        }
    }
}

/// Why a certificate and its key cannot be used together; None where they can.
pub fn pair_fault(pair: &Identity) -> Option<LoadFault> {
    identity(pair).err()
}

/// The certificates in a file; at least one.
///
/// # Errors
/// [`LoadFault::Unreadable`], [`LoadFault::NoCertificate`]; [`LoadFault::BadCertificate`] where
/// the PEM breaks off.
fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, LoadFault> {
    let bytes = read(path)?;
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let number = found.len().saturating_add(1);
        found.push(certificate.map_err(|_| LoadFault::BadCertificate {
            path: path.to_path_buf(),
            number,
        })?);
    }
    if found.is_empty() {
        return Err(LoadFault::NoCertificate {
            path: path.to_path_buf(),
        });
    }
    Ok(found)
}

/// The key in a file.
///
/// # Errors
/// [`LoadFault::Unreadable`], [`LoadFault::NoKey`], [`LoadFault::EncryptedKey`].
fn key(path: &Path) -> Result<PrivateKeyDer<'static>, LoadFault> {
    let bytes = read(path)?;
    let is_encrypted = || {
        let text = String::from_utf8_lossy(&bytes);
        text.contains("BEGIN ENCRYPTED PRIVATE KEY") || text.contains("Proc-Type: 4,ENCRYPTED")
    };
    if is_encrypted() {
        return Err(LoadFault::EncryptedKey {
            path: path.to_path_buf(),
        });
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|_| LoadFault::NoKey {
        path: path.to_path_buf(),
    })
}

/// A certificate with its chain, and what it says.
///
/// # Errors
/// As of [`certificates`]; [`LoadFault::BadCertificate`] where the first cannot be read.
fn chain(path: &Path) -> Result<(Vec<CertificateDer<'static>>, CertificateInfo), LoadFault> {
    let chain = certificates(path)?;
    let own = chain.first().and_then(|own| info(path, own));
    let info = own.ok_or_else(|| LoadFault::BadCertificate {
        path: path.to_path_buf(),
        number: 1,
    })?;
    Ok((chain, info))
}

/// A certificate with its key.
///
/// # Errors
/// All of [`LoadFault`] that concern certificates and keys.
pub(super) fn identity(identity: &Identity) -> Result<Loaded, LoadFault> {
    let (chain, info) = chain(&identity.certificate)?;
    let key = key(&identity.key)?;
    let certified =
        CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => LoadFault::KeyMismatch {
                certificate: identity.certificate.clone(),
                key: identity.key.clone(),
            },
            rustls::Error::InvalidCertificate(_) => LoadFault::BadCertificate {
                path: identity.certificate.clone(),
                number: 1,
            },
            _ => LoadFault::BadKey {
                path: identity.key.clone(),
            },
        })?;
    Ok(Loaded { certified, info })
}

/// What the certificate says; None where it is none.
fn info(path: &Path, certificate: &CertificateDer<'_>) -> Option<CertificateInfo> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let alternatives = parsed.subject_alternative_name().ok()?;
    let names = alternatives
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some(name.to_ascii_lowercase()),
            _ => None,
        })
        .collect();
    Some(CertificateInfo {
        path: path.to_path_buf(),
        names,
        not_after_unix: parsed.validity().not_after.timestamp(),
    })
}

/// The authorities in a file.
///
/// # Errors
/// [`LoadFault::Unreadable`], [`LoadFault::NoCertificate`], [`LoadFault::BadCertificate`]: one
/// that cannot be used is not passed over in silence.
pub(super) fn authorities(path: &Path) -> Result<RootCertStore, LoadFault> {
    let mut store = RootCertStore::empty();
    for (number, certificate) in (1_usize..).zip(certificates(path)?) {
        store
            .add(certificate)
            .map_err(|_| LoadFault::BadCertificate {
                path: path.to_path_buf(),
                number,
            })?;
    }
    Ok(store)
}

/// The system's authorities; those that cannot be used are passed over, as nobody here can mend
/// them.
///
/// # Errors
/// [`LoadFault::NoAuthorities`].
pub(super) fn system_authorities() -> Result<RootCertStore, LoadFault> {
    let mut store = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (added, _) = store.add_parsable_certificates(found.certs);
    if added == 0 {
        return Err(LoadFault::NoAuthorities);
    }
    Ok(store)
}

/// Those of the keys that every user of the system may read.
pub(super) fn exposed<'a>(keys: impl IntoIterator<Item = &'a Path>) -> Vec<PathBuf> {
    let is_exposed = |path: &&Path| {
        fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
    };
    keys.into_iter()
        .filter(is_exposed)
        .map(Path::to_path_buf)
        .collect()
}
