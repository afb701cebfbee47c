//! The web configuration, the file of `--http.config`: TLS, passwords, headers and rate limit of an HTTP server.
//! Prometheus exporter-toolkit `docs/web-configuration.md`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::tls::{ClientAuth, Pem, ServerTlsOptions, TlsError, TlsVersion};
use crate::{Secret, YamlFault};

/// Why a web configuration is invalid. No variant holds a value of the file, since it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum WebConfigError {
    /// The file cannot be read.
    #[error("--http.config {path}: {source}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Error of the file system.
        source: std::io::Error,
    },
    /// The text is not YAML of the expected form.
    #[error("--http.config {path}: {source}")]
    Yaml {
        /// Path of the file.
        path: PathBuf,
        /// The mistake and its place.
        source: YamlFault,
    },
    /// A key has an invalid value.
    #[error("--http.config {path}: {key}: {reason}")]
    Value {
        /// Path of the file.
        path: PathBuf,
        /// The key.
        key: String,
        /// What is wrong with the value.
        reason: String,
    },
    /// The TLS settings are invalid.
    #[error("--http.config {path}: tls_server_config: {source}")]
    Tls {
        /// Path of the file.
        path: PathBuf,
        /// What is wrong with the settings.
        source: TlsError,
    },
}

/// Content of the file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct WebConfig {
    tls_server_config: TlsConfig,
    http_server_config: HttpConfig,
    rate_limit: RateLimit,
    /// Bcrypt hashes of passwords, by user.
    basic_auth_users: BTreeMap<String, Secret>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsConfig {
    cert: Secret,
    key: Secret,
    client_ca: Secret,
    cert_file: String,
    key_file: String,
    client_ca_file: String,
    client_auth_type: String,
    client_allowed_sans: Vec<String>,
    cipher_suites: Vec<String>,
    curve_preferences: Vec<String>,
    min_version: Option<String>,
    max_version: Option<String>,
    /// Has no effect: the library always uses the server's order of suites.
    #[allow(dead_code, reason = "accepted, as upstream has it without effect too")]
    prefer_server_cipher_suites: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct HttpConfig {
    http2: bool,
    headers: BTreeMap<String, String>,
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig { http2: true, headers: BTreeMap::new() }
    }
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RateLimit {
    burst: u32,
    interval: String,
}

/// Headers that may be configured, with their allowed values; an empty list allows any.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

impl WebConfig {
    /// Reads and checks the file.
    pub(super) fn read(path: &Path) -> Result<WebConfig, WebConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| WebConfigError::File { path: path.to_owned(), source })?;
        let config: Option<WebConfig> = serde_saphyr::from_str(&text).map_err(|error| {
            let source = YamlFault::new(&text, &error);
            WebConfigError::Yaml { path: path.to_owned(), source }
        })?;
        let config = config.unwrap_or_default();
        config.check(path)?;
        Ok(config)
    }

    fn check(&self, path: &Path) -> Result<(), WebConfigError> {
        let wrong =
            |key: String, reason: String| Err(WebConfigError::Value { path: path.to_owned(), key, reason });
        for (name, value) in &self.http_server_config.headers {
            match HEADERS.iter().find(|(known, _)| known == name) {
                None => return wrong(format!("headers.{name}"), "this header cannot be configured".into()),
                Some((_, [])) => {}
                Some((_, allowed)) if allowed.contains(&value.as_str()) => {}
                Some((_, allowed)) => {
                    return wrong(format!("headers.{name}"), format!("expected one of {allowed:?}"));
                }
            }
        }
        for (user, hash) in &self.basic_auth_users {
            if hash.expose().parse::<bcrypt::HashParts>().is_err() {
                return wrong(format!("basic_auth_users.{user}"), "the value is no bcrypt hash".into());
            }
        }
        if self.interval().is_err() {
            return wrong("rate_limit.interval".into(), "expected a duration such as 100ms".into());
        }
        Ok(())
    }

    /// The TLS options; `None` if no TLS key is set.
    pub(super) fn tls(&self, path: &Path) -> Result<Option<ServerTlsOptions>, WebConfigError> {
        self.tls_options(path).map_err(|source| WebConfigError::Tls { path: path.to_owned(), source })
    }

    fn tls_options(&self, path: &Path) -> Result<Option<ServerTlsOptions>, TlsError> {
        let tls = &self.tls_server_config;
        // Relative paths are relative to the folder of the file.
        let folder = path.parent().unwrap_or(Path::new(""));
        let pem = |file: &str, text: &Secret| match (file, text.expose()) {
            ("", "") => None,
            ("", text) => Some(Pem::Text(text.to_owned())),
            (file, _) => Some(Pem::File(folder.join(file))),
        };
        let cert = pem(&tls.cert_file, &tls.cert);
        let key = pem(&tls.key_file, &tls.key);
        let client_ca = pem(&tls.client_ca_file, &tls.client_ca);
        let (cert, key) = match (cert, key) {
            (Some(cert), Some(key)) => (cert, key),
            (None, None) if client_ca.is_none() && tls.client_auth_type.is_empty() => return Ok(None),
            _ => return Err(TlsError::Together("cert_file (or cert)", "key_file (or key)")),
        };
        let version = |text: &Option<String>, default| match text {
            Some(text) => TlsVersion::parse(text),
            None => Ok(default),
        };
        Ok(Some(ServerTlsOptions {
            cert,
            key,
            client_ca,
            client_auth: ClientAuth::parse(&tls.client_auth_type)?,
            client_allowed_sans: tls.client_allowed_sans.clone(),
            min_version: version(&tls.min_version, TlsVersion::V12)?,
            max_version: version(&tls.max_version, TlsVersion::V13)?,
            cipher_suites: tls.cipher_suites.clone(),
            curves: tls.curve_preferences.clone(),
            alpn: if self.http_server_config.http2 { vec!["h2", "http/1.1"] } else { vec!["http/1.1"] },
        }))
    }

    /// Headers that are added to every answer.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.http_server_config.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a password is required.
    pub(super) fn has_users(&self) -> bool {
        !self.basic_auth_users.is_empty()
    }

    /// The bcrypt hash of a user's password.
    pub(super) fn hash_of(&self, user: &str) -> Option<&str> {
        self.basic_auth_users.get(user).map(Secret::expose)
    }

    /// The rate limit: one request per interval, with bursts of up to the given number; `None` for no limit.
    pub(super) fn rate_limit(&self) -> Option<(Duration, u32)> {
        let interval = self.interval().ok().filter(|interval| !interval.is_zero())?;
        Some((interval, self.rate_limit.burst))
    }

    fn interval(&self) -> Result<Duration, humantime::DurationError> {
        match self.rate_limit.interval.as_str() {
            "" | "0" => Ok(Duration::ZERO),
            text => humantime::parse_duration(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<WebConfig, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("web.yml");
        std::fs::write(&path, text).unwrap();
        let read = WebConfig::read(&path).and_then(|config| config.tls(&path).map(|_| config));
        read.map_err(|e| e.to_string().replace(dir.path().to_str().unwrap(), "DIR"))
    }

    const HASH: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";

    #[test]
    fn all_keys_are_read() {
        assert!(!read("").unwrap().has_users());
        let text = format!(
            "tls_server_config:\n  cert_file: c.pem\n  key_file: k.pem\n  client_auth_type: NoClientCert\n  min_version: TLS13\n\
             http_server_config:\n  http2: false\n  headers:\n    X-Frame-Options: deny\n\
             rate_limit:\n  interval: 100ms\n  burst: 3\nbasic_auth_users:\n  ann: {HASH}\n"
        );
        let config = read(&text).unwrap();
        assert_eq!(config.hash_of("ann"), Some(HASH));
        assert_eq!(config.rate_limit(), Some((Duration::from_millis(100), 3)));
        assert_eq!(config.headers().collect::<Vec<_>>(), [("X-Frame-Options", "deny")]);
        let tls = config.tls(Path::new("/etc/web.yml")).unwrap().unwrap();
        assert_eq!(tls.cert, Pem::File("/etc/c.pem".into()));
        assert_eq!(tls.alpn, ["http/1.1"]);
        assert!(!format!("{config:?}").contains("QOau"), "secrets are not shown");
    }

    #[test]
    fn mistakes_are_named_without_their_values() {
        for (text, expected) in [
            (
                "tls_server_confg: {}",
                r#"DIR/web.yml: line 1, column 1, key "tls_server_confg": unknown field"#,
            ),
            (
                "basic_auth_users: geheim",
                r#"DIR/web.yml: line 1, column 19, key "basic_auth_users": this is not what is expected here"#,
            ),
            ("basic_auth_users: {ann: geheim}", "basic_auth_users.ann: the value is no bcrypt hash"),
            (
                "tls_server_config: {cert_file: x}",
                "tls_server_config: cert_file (or cert) and key_file (or key)",
            ),
            ("tls_server_config: {cert_file: x, key_file: y, min_version: SSL3}", "TLS version \"SSL3\""),
            ("http_server_config: {headers: {X-Geheim: geheim}}", "headers.X-Geheim: this header cannot be"),
            ("http_server_config: {headers: {X-Frame-Options: geheim}}", "expected one of"),
            ("rate_limit: {interval: geheim}", "rate_limit.interval: expected a duration"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
            assert!(!error.contains("geheim"), "{error}");
        }
    }
}
