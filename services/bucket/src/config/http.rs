//! `http_config`: timeouts, connections and TLS of requests to a provider. thanos-io/objstore `exthttp/transport.go`.

use serde::Deserialize;
use tithon_runtime::{ClientTlsOptions, Pem, TlsVersion};

use super::{ConfigError, Span};

/// Timeouts, connections and TLS of the requests to a provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// How long an unused connection is kept.
    pub idle_conn_timeout: Span,
    /// Longest time without data, from the request to the answer and between parts of the answer.
    pub response_header_timeout: Span,
    /// Accepts any server certificate; overrides the setting in `tls_config`.
    pub insecure_skip_verify: bool,
    /// Timeout of the TLS handshake.
    pub tls_handshake_timeout: Span,
    /// Without effect: bodies are sent at once.
    pub expect_continue_timeout: Span,
    /// Without effect, since a bucket has one host.
    pub max_idle_conns: i64,
    /// Number of unused connections kept for one host; 0 means 2, as in Go.
    pub max_idle_conns_per_host: i64,
    /// Without effect: concurrent requests are limited elsewhere.
    pub max_conns_per_host: i64,
    /// TLS certificates.
    pub tls_config: TlsConfig,
    /// Without effect, as in Thanos: compressed answers are never requested.
    pub disable_compression: bool,
}

/// `tls_config`: certificates of the server's issuers and of the client.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// File with the PEM certificates that the server's is verified with; empty for the system's.
    pub ca_file: String,
    /// File with the client's PEM certificate; empty for none.
    pub cert_file: String,
    /// File with the PEM key of the client's certificate.
    pub key_file: String,
    /// Name to verify in the server's certificate; empty for the endpoint's host.
    pub server_name: String,
    /// Accepts any server certificate.
    pub insecure_skip_verify: bool,
}

impl Default for HttpConfig {
    fn default() -> HttpConfig {
        HttpConfig {
            idle_conn_timeout: Span::secs(90),
            response_header_timeout: Span::secs(120),
            insecure_skip_verify: false,
            tls_handshake_timeout: Span::secs(10),
            expect_continue_timeout: Span::secs(1),
            max_idle_conns: 100,
            max_idle_conns_per_host: 100,
            max_conns_per_host: 0,
            tls_config: TlsConfig::default(),
            disable_compression: false,
        }
    }
}

impl HttpConfig {
    pub(crate) fn check(&self, provider: &'static str) -> Result<(), ConfigError> {
        let TlsConfig { cert_file, key_file, .. } = &self.tls_config;
        if cert_file.is_empty() != key_file.is_empty() {
            let reason = "cert_file and key_file must be given together".to_owned();
            return Err(ConfigError::Invalid { provider, key: "http_config.tls_config", reason });
        }
        if self.max_conns_per_host > 0 {
            let key = "http_config.max_conns_per_host";
            tracing::warn!(provider, key, "this setting has no effect");
        }
        Ok(())
    }

    pub(crate) fn tls(&self) -> ClientTlsOptions {
        let TlsConfig { ca_file, cert_file, key_file, server_name, insecure_skip_verify } = &self.tls_config;
        let file = |path: &String| (!path.is_empty()).then(|| Pem::File(path.into()));
        ClientTlsOptions {
            ca: file(ca_file),
            identity: file(cert_file).zip(file(key_file)),
            server_name: (!server_name.is_empty()).then(|| server_name.clone()),
            skip_verify: self.insecure_skip_verify || *insecure_skip_verify,
            min_version: TlsVersion::V12,
        }
    }
}
