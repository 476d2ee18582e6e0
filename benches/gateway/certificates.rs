//! An authority for one run and the certificate that it issues, for whoever speaks FTPS.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The name that the certificate has.
pub(crate) const NAME: &str = "localhost";

/// Writes `ca.pem`, `cert.pem` and `key.pem`.
pub(crate) fn make(folder: &Path) -> io::Result<()> {
    let issued = || -> Result<_, rcgen::Error> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let leaf = CertificateParams::new(vec![NAME.to_owned()])?.signed_by(&key, &issuer)?;
        Ok((issuer.pem(), leaf.pem(), key.serialize_pem()))
    };
    let (ca, leaf, key) = issued().map_err(io::Error::other)?;
    fs::write(folder.join("ca.pem"), ca)?;
    fs::write(folder.join("cert.pem"), leaf)?;
    fs::write(folder.join("key.pem"), key)
}

/// What a server shows.
pub(crate) fn load(
    folder: &Path,
) -> io::Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    let certificate =
        CertificateDer::from_pem_file(folder.join("cert.pem")).map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(folder.join("key.pem")).map_err(io::Error::other)?;
    Ok((vec![certificate], key))
}

/// A client that resumes its sessions, or never does.
pub(crate) fn client(folder: &Path, resumes: bool) -> io::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(folder.join("ca.pem")).map_err(io::Error::other)?;
    roots.add(ca).map_err(io::Error::other)?;
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    if !resumes {
        config.resumption = Resumption::disabled();
    }
    Ok(Arc::new(config))
}
