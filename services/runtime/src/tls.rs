//! TLS of servers and clients: the files that Thanos's flags and web configuration name, read again when they change.

mod client;
mod files;
mod server;
mod verifier;

use std::path::PathBuf;

use rustls::SupportedProtocolVersion;
use tithon_chunks::ErrorKind;

pub use self::client::{ClientTls, ClientTlsOptions, http_tls};
pub use self::files::Pem;
pub use self::server::{ClientAuth, ServerTls, ServerTlsOptions};

/// The oldest and newest version of TLS that can be asked for. Older ones than 1.2 are not spoken at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    V12,
    /// TLS 1.3, RFC 8446.
    #[default]
    V13,
}

impl TlsVersion {
    /// Reads `1.2` as Thanos's flags and `TLS12` as the web configuration write it. 1.0 and 1.1 are taken for 1.2, which
    /// is safer and what every client since 2012 speaks.
    pub fn parse(text: &str) -> Result<TlsVersion, TlsError> {
        match text.strip_prefix("TLS").unwrap_or(text) {
            "1.0" | "10" | "1.1" | "11" | "1.2" | "12" => Ok(TlsVersion::V12),
            "1.3" | "13" => Ok(TlsVersion::V13),
            _ => Err(TlsError::Version(text.to_owned())),
        }
    }
}

/// The versions of TLS from `min` to `max`.
fn versions(min: TlsVersion, max: TlsVersion) -> Result<Vec<&'static SupportedProtocolVersion>, TlsError> {
    let all = [(TlsVersion::V12, &rustls::version::TLS12), (TlsVersion::V13, &rustls::version::TLS13)];
    let some: Vec<_> =
        all.into_iter().filter(|(v, _)| (min..=max).contains(v)).map(|(_, version)| version).collect();
    if some.is_empty() { Err(TlsError::NoVersion) } else { Ok(some) }
}

/// Why TLS cannot be set up. No variant holds a key or its text.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{what} {path}: {source}")]
    File {
        /// What the file is for.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A text is no PEM of the kind that is expected.
    #[error("{what}: expected PEM with {expected}: {reason}")]
    Pem {
        /// Which text: the file's path, or the configuration's key.
        what: String,
        /// What it should hold.
        expected: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Certificate and key do not fit, or the combination of settings is impossible.
    #[error("TLS: {0}")]
    Settings(String),
    /// Only one of a pair is given.
    #[error("{0} and {1} must be given together")]
    Together(&'static str, &'static str),
    /// A version that is none.
    #[error("TLS version {0:?}: expected 1.2 or 1.3")]
    Version(String),
    /// The least version is newer than the newest.
    #[error("TLS: the minimum version is newer than the maximum version")]
    NoVersion,
    /// A cipher suite, curve or way of client authentication that is unknown or not spoken here.
    #[error("TLS {what} {name:?} is not supported; there are: {known}")]
    Unknown {
        /// What it should be.
        what: &'static str,
        /// As given.
        name: String,
        /// What could be given.
        known: String,
    },
}

impl TlsError {
    /// What the caller should do about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            TlsError::Unknown { .. } => ErrorKind::Unsupported,
            _ => ErrorKind::Invalid,
        }
    }
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> TlsError {
        TlsError::Settings(error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_flags_and_files() {
        assert_eq!(TlsVersion::parse("1.3").unwrap(), TlsVersion::V13);
        assert_eq!(TlsVersion::parse("TLS12").unwrap(), TlsVersion::V12);
        assert_eq!(TlsVersion::parse("TLS10").unwrap(), TlsVersion::V12);
        assert!(TlsVersion::parse("SSL3").is_err());
        assert_eq!(versions(TlsVersion::V12, TlsVersion::V13).unwrap().len(), 2);
        assert!(versions(TlsVersion::V13, TlsVersion::V12).is_err());
    }
}
