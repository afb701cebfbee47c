//! Errors of tracing.

use tithon_runtime::{TlsError, YamlFault};

/// Why tracing cannot start, or spans were lost.
#[derive(Debug, thiserror::Error)]
pub enum TraceError {
    /// The text is not YAML of the expected form.
    #[error("{0}")]
    Yaml(YamlFault),
    /// The type is none of Thanos's.
    #[error("type {0:?}: expected OTLP, JAEGER, GOOGLE_CLOUD, STACKDRIVER, ELASTIC_APM or LIGHTSTEP")]
    Type(String),
    /// A setting has an invalid value.
    #[error("config.{key}: {reason}")]
    Setting {
        /// The key.
        key: &'static str,
        /// What is wrong with the value.
        reason: String,
    },
    /// The TLS files cannot be used.
    #[error("config.tls_config: {0}")]
    Tls(#[from] TlsError),
    /// The collector's client cannot be made.
    #[error("client of the collector: {0}")]
    Client(String),
    /// The thread that sends spans cannot be started.
    #[error("thread that sends spans: {0}")]
    Runtime(std::io::Error),
    /// The last spans could not be sent.
    #[error("the last spans were not sent: {0}")]
    Unsent(String),
}
