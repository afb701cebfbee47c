//! `http_config`: how a provider is reached. thanos-io/objstore `exthttp/transport.go`.

use serde::Deserialize;
use tithon_runtime::{ClientTlsOptions, Pem, TlsVersion};

use super::{ConfigError, Span};

/// Timeouts, connections and TLS of the requests to a provider.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpConfig {
    /// How long an unused connection is kept.
    pub idle_conn_timeout: Span,
    /// How long an answer may keep silent, from the request on and between its parts.
    pub response_header_timeout: Span,
    /// Any certificate of the server will do; prevails over the one in `tls_config`.
    pub insecure_skip_verify: bool,
    /// How long the TLS handshake of a new connection may take.
    pub tls_handshake_timeout: Span,
    /// Without effect: bodies are sent at once.
    pub expect_continue_timeout: Span,
    /// Without effect: a bucket has one host.
    pub max_idle_conns: i64,
    /// Unused connections kept for one host; 0 stands for 2, as in Go.
    pub max_idle_conns_per_host: i64,
    /// Without effect: how many requests run at once is bounded where they are made.
    pub max_conns_per_host: i64,
    /// Certificates.
    pub tls_config: TlsConfig,
    /// Without effect, as in Thanos: answers are never asked for compressed.
    pub disable_compression: bool,
}

/// `tls_config`: the server's signers and the client's certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TlsConfig {
    /// PEM of those who sign the server's certificate; empty for the system's.
    pub ca_file: String,
    /// PEM of the client's certificate; empty for none.
    pub cert_file: String,
    /// PEM of its key.
    pub key_file: String,
    /// The name that the server's certificate must have; empty for the endpoint's.
    pub server_name: String,
    /// Any certificate of the server will do.
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
