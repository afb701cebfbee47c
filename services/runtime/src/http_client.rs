//! Configuration of HTTP clients, as YAML. Thanos `pkg/clientconfig/http.go`.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use serde::Deserialize;

use crate::http1::{HttpClient, Limits, USER_AGENT};
use crate::{ClientTlsOptions, Pem, Secret, TlsError, TlsVersion, YamlFault, http_tls};

/// Why a client cannot be made. No variant holds a value of the configuration, since it may be a secret.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// The text is not YAML of the expected form.
    #[error("{0}")]
    Yaml(YamlFault),
    /// Settings exclude each other.
    #[error("{0}")]
    Settings(&'static str),
    /// The TLS files cannot be used.
    #[error("tls_config: {0}")]
    Tls(#[from] TlsError),
    /// A file with a password or token cannot be read.
    #[error("{key} {path}: {source}")]
    File {
        /// The key that names the file.
        key: &'static str,
        /// Path of the file.
        path: PathBuf,
        /// Error of the file system.
        source: std::io::Error,
    },
    /// The client library refused the settings.
    #[error("{0}")]
    Client(#[from] reqwest::Error),
}

/// The configuration. The default uses the system's certificates and no password.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpClientConfig {
    basic_auth: HttpBasicAuth,
    bearer_token: Secret,
    bearer_token_file: PathBuf,
    proxy_url: String,
    tls_config: HttpTls,
    transport_config: Transport,
}

/// User name and password.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpBasicAuth {
    /// User name; empty for none.
    pub username: String,
    /// The password.
    pub password: Secret,
    /// File with the password, instead of `password`.
    pub password_file: PathBuf,
}

/// TLS of a client.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpTls {
    /// File with the PEM certificates that the server's is verified with; empty for the system's.
    pub ca_file: PathBuf,
    /// File with the client's PEM certificate; empty for none.
    pub cert_file: PathBuf,
    /// File with the PEM key of the client's certificate.
    pub key_file: PathBuf,
    /// Name to verify in the server's certificate; empty for the host.
    pub server_name: String,
    /// Accepts any certificate.
    pub insecure_skip_verify: bool,
}

/// Times are nanoseconds, as Go writes them; 0 means no limit. Keys that the client library cannot apply are accepted
/// and ignored.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Transport {
    max_idle_conns: i64,
    max_idle_conns_per_host: i64,
    idle_conn_timeout: u64,
    response_header_timeout: u64,
    expect_continue_timeout: u64,
    max_conns_per_host: i64,
    disable_compression: bool,
    tls_handshake_timeout: u64,
    dialer_timeout: u64,
}

impl Default for Transport {
    fn default() -> Transport {
        Transport {
            max_idle_conns: 100,
            max_idle_conns_per_host: 2,
            idle_conn_timeout: 90_000_000_000,
            response_header_timeout: 0,
            expect_continue_timeout: 10_000_000_000,
            max_conns_per_host: 0,
            disable_compression: false,
            tls_handshake_timeout: 10_000_000_000,
            dialer_timeout: 5_000_000_000,
        }
    }
}

impl HttpClientConfig {
    /// Parses and checks the YAML. Errors have line, column and key.
    pub fn parse(yaml: &str) -> Result<HttpClientConfig, HttpClientError> {
        let config: HttpClientConfig =
            serde_saphyr::from_str(yaml).map_err(|e| HttpClientError::Yaml(YamlFault::new(yaml, &e)))?;
        config.check()?;
        Ok(config)
    }

    /// A configuration with a user name and password, such as those in a URL.
    pub fn with_password(username: String, password: Secret) -> HttpClientConfig {
        let basic_auth = HttpBasicAuth { username, password, ..HttpBasicAuth::default() };
        HttpClientConfig { basic_auth, ..HttpClientConfig::default() }
    }

    /// A configuration from its parts; transport settings have their defaults.
    pub fn of_parts(
        basic_auth: HttpBasicAuth,
        bearer_token: Secret,
        bearer_token_file: PathBuf,
        tls_config: HttpTls,
        proxy_url: String,
    ) -> HttpClientConfig {
        let transport_config = Transport::default();
        HttpClientConfig {
            basic_auth,
            bearer_token,
            bearer_token_file,
            proxy_url,
            tls_config,
            transport_config,
        }
    }

    /// Fails when settings exclude each other.
    pub fn check(&self) -> Result<(), HttpClientError> {
        let (config, basic, bearer) = (self, &self.basic_auth, self.has_bearer());
        if !basic.username.is_empty() && bearer {
            return Err(HttpClientError::Settings(
                "at most one of basic_auth, bearer_token & bearer_token_file must be configured",
            ));
        }
        if !config.bearer_token.is_empty() && !config.bearer_token_file.as_os_str().is_empty() {
            return Err(HttpClientError::Settings(
                "at most one of bearer_token & bearer_token_file must be configured",
            ));
        }
        if !basic.password.is_empty() && !basic.password_file.as_os_str().is_empty() {
            return Err(HttpClientError::Settings(
                "at most one of basic_auth password & password_file must be configured",
            ));
        }
        Ok(())
    }

    fn has_bearer(&self) -> bool {
        !self.bearer_token.is_empty() || !self.bearer_token_file.as_os_str().is_empty()
    }

    /// Makes the client. TLS files are read now, files with passwords and tokens at each request.
    ///
    /// Fails when a TLS file cannot be used.
    pub fn client(&self) -> Result<reqwest::Client, HttpClientError> {
        let transport = &self.transport_config;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(http_tls(&self.tls())?)
            .user_agent(USER_AGENT)
            .pool_idle_timeout(time_limit(transport.idle_conn_timeout))
            .pool_max_idle_per_host(usize::try_from(transport.max_idle_conns_per_host).unwrap_or(usize::MAX))
            .no_proxy();
        if let Some(timeout) = time_limit(transport.dialer_timeout) {
            builder = builder.connect_timeout(timeout);
        }
        if let Some(timeout) = time_limit(transport.response_header_timeout) {
            builder = builder.read_timeout(timeout);
        }
        if !self.proxy_url.is_empty() {
            builder = builder.proxy(reqwest::Proxy::all(&self.proxy_url)?);
        }
        Ok(builder.build()?)
    }

    /// Makes a client for answers that are long, or many. Files are read as by [`HttpClientConfig::client`].
    pub fn http_client(&self) -> Result<HttpClient, HttpClientError> {
        let transport = &self.transport_config;
        let limits = Limits {
            connect: time_limit(transport.dialer_timeout),
            silence: time_limit(transport.response_header_timeout),
            idle: time_limit(transport.idle_conn_timeout),
            idle_per_host: usize::try_from(transport.max_idle_conns_per_host).unwrap_or(usize::MAX),
        };
        Ok(HttpClient::new(self.client()?, self.proxy_url.is_empty().then_some(limits)))
    }

    fn tls(&self) -> ClientTlsOptions {
        let tls = &self.tls_config;
        let file = |path: &PathBuf| (!path.as_os_str().is_empty()).then(|| Pem::File(path.clone()));
        ClientTlsOptions {
            ca: file(&tls.ca_file),
            identity: file(&tls.cert_file).zip(file(&tls.key_file)),
            server_name: (!tls.server_name.is_empty()).then(|| tls.server_name.clone()),
            skip_verify: tls.insecure_skip_verify,
            min_version: TlsVersion::V12,
        }
    }

    /// The `Authorization` header; `None` if neither password nor token is configured. Fails when a file cannot be
    /// read.
    pub fn authorization(&self) -> Result<Option<HeaderValue>, HttpClientError> {
        let read = |key, path: &PathBuf| {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|source| HttpClientError::File { key, path: path.clone(), source })?;
            Ok::<_, HttpClientError>(text.trim().to_owned())
        };
        let value = if !self.bearer_token_file.as_os_str().is_empty() {
            format!("Bearer {}", read("bearer_token_file", &self.bearer_token_file)?)
        } else if !self.bearer_token.is_empty() {
            format!("Bearer {}", self.bearer_token.expose())
        } else if !self.basic_auth.username.is_empty() {
            let password = match self.basic_auth.password_file.as_os_str().is_empty() {
                true => self.basic_auth.password.expose().to_owned(),
                false => read("basic_auth.password_file", &self.basic_auth.password_file)?,
            };
            let pair = format!("{}:{password}", self.basic_auth.username);
            format!("Basic {}", STANDARD.encode(pair))
        } else {
            return Ok(None);
        };
        let mut value = HeaderValue::from_str(&value).map_err(|_| {
            HttpClientError::Settings("a password or token with characters no header can hold")
        })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

/// A limit of nanoseconds; `None` for 0.
fn time_limit(nanos: u64) -> Option<Duration> {
    (nanos > 0).then(|| Duration::from_nanos(nanos))
}
