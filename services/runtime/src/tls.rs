//! TLS of servers and clients: files named by flags and the web configuration, read again when they change.

mod client;
mod files;
mod handshake;
mod server;
mod verifier;

use std::path::PathBuf;

use rustls::SupportedProtocolVersion;
use tithon_chunks::ErrorKind;

pub use self::client::{ClientTls, ClientTlsOptions, http_tls};
pub use self::files::Pem;
pub(crate) use self::handshake::handshake;
pub use self::server::{ClientAuth, ServerTls, ServerTlsOptions};

/// The TLS versions that can be configured. Versions before 1.2 are not supported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// TLS 1.2, RFC 5246.
    V12,
    /// TLS 1.3, RFC 8446.
    #[default]
    V13,
}

impl TlsVersion {
    /// Parses `1.2`, as in Thanos's flags, or `TLS12`, as in the web configuration. 1.0 and 1.1 mean 1.2, which is
    /// safer and which all clients since 2012 support.
    pub fn parse(text: &str) -> Result<TlsVersion, TlsError> {
        match text.strip_prefix("TLS").unwrap_or(text) {
            "1.0" | "10" | "1.1" | "11" | "1.2" | "12" => Ok(TlsVersion::V12),
            "1.3" | "13" => Ok(TlsVersion::V13),
            _ => Err(TlsError::Version(text.to_owned())),
        }
    }
}

/// The TLS versions from `min` to `max`. Fails when there is none.
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
        /// Purpose of the file.
        what: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Error of the file system.
        source: std::io::Error,
    },
    /// A text is not PEM of the expected kind.
    #[error("{what}: expected PEM with {expected}: {reason}")]
    Pem {
        /// The file's path, or the configuration's key.
        what: String,
        /// The expected content of the text.
        expected: &'static str,
        /// What is wrong with the text.
        reason: String,
    },
    /// Certificate and key do not match, or settings exclude each other.
    #[error("TLS: {0}")]
    Settings(String),
    /// Only one of two settings that belong together is given.
    #[error("{0} and {1} must be given together")]
    Together(&'static str, &'static str),
    /// The version is unknown.
    #[error("TLS version {0:?}: expected 1.2 or 1.3")]
    Version(String),
    /// The minimum version is newer than the maximum.
    #[error("TLS: the minimum version is newer than the maximum version")]
    NoVersion,
    /// A cipher suite, curve or mode of client authentication is unknown or not supported.
    #[error("TLS {what} {name:?} is not supported; there are: {known}")]
    Unknown {
        /// Kind of the setting.
        what: &'static str,
        /// The value in the configuration.
        name: String,
        /// The supported values.
        known: String,
    },
}

impl TlsError {
    /// The kind of the error, which tells callers what to do about it.
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
