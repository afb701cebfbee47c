//! PEM texts from files or configurations, and detection of changed files.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tracing::warn;

use super::TlsError;

/// A PEM text, in a file or a configuration.
#[derive(Clone, PartialEq, Eq)]
pub enum Pem {
    /// Path of a file with the text.
    File(PathBuf),
    /// The text itself; it may be secret.
    Text(String),
}

impl std::fmt::Debug for Pem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Pem::File(path) => write!(f, "{}", path.display()),
            Pem::Text(_) => write!(f, "<secret>"),
        }
    }
}

impl Pem {
    fn read(&self, what: &'static str) -> Result<Vec<u8>, TlsError> {
        match self {
            Pem::File(path) => {
                std::fs::read(path).map_err(|source| TlsError::File { what, path: path.clone(), source })
            }
            Pem::Text(text) => Ok(text.clone().into_bytes()),
        }
    }

    fn name(&self, what: &'static str) -> String {
        match self {
            Pem::File(path) => format!("{what} {}", path.display()),
            Pem::Text(_) => what.to_owned(),
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Pem::File(path) => Some(path),
            Pem::Text(_) => None,
        }
    }
}

/// Reads a certificate chain of at least one certificate.
pub(super) fn certificates(pem: &Pem, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = pem.read(what)?;
    let wrong = |reason: String| TlsError::Pem { what: pem.name(what), expected: "certificates", reason };
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|e| wrong(e.to_string()))?;
    if found.is_empty() { Err(wrong("found none".to_owned())) } else { Ok(found) }
}

/// Reads a private key.
pub(super) fn private_key(pem: &Pem, what: &'static str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let bytes = pem.read(what)?;
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|e| TlsError::Pem {
        what: pem.name(what),
        expected: "a private key",
        reason: e.to_string(),
    })
}

/// Reads CA certificates.
pub(super) fn roots(pem: &Pem, what: &'static str) -> Result<Arc<RootCertStore>, TlsError> {
    let mut store = RootCertStore::empty();
    for certificate in certificates(pem, what)? {
        store.add(certificate)?;
    }
    Ok(Arc::new(store))
}

/// Modification times of files; `None` for a file that cannot be read.
pub(super) type Stamp = Vec<Option<SystemTime>>;

/// The modification times of those texts that are files.
pub(super) fn stamp<'a>(pems: impl IntoIterator<Item = &'a Pem>) -> Stamp {
    let files = pems.into_iter().filter_map(Pem::path);
    files.map(|path| std::fs::metadata(path).and_then(|m| m.modified()).ok()).collect()
}

/// A value made of files, made again when one of them changes.
pub(super) struct Reloaded<C>(Mutex<(Stamp, Arc<C>)>);

impl<C> Reloaded<C> {
    /// The value made of files with these modification times.
    pub(super) fn new(stamp: Stamp, made: C) -> Reloaded<C> {
        Reloaded(Mutex::new((stamp, Arc::new(made))))
    }

    /// The value for the files with these modification times. If the changed files are invalid, the last value stays,
    /// with a warning.
    pub(super) fn get(&self, stamp: Stamp, make: impl FnOnce() -> Result<C, TlsError>) -> Arc<C> {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if current.0 != stamp {
            match make() {
                Ok(made) => current.1 = Arc::new(made),
                Err(error) => warn!(error = %error, "changed TLS files cannot be used, the old ones stay"),
            }
            current.0 = stamp;
        }
        Arc::clone(&current.1)
    }
}
