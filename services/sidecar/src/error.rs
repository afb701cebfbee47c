//! Errors of requests to a Prometheus, and of the sidecar.

use std::time::Duration;

use tithon_chunks::ErrorKind;
use tithon_runtime::HttpError;

/// Why a request to a Prometheus failed.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// The server could not be reached, or the connection broke.
    #[error("request {url}: {}", tithon_proto::with_causes(.source))]
    Request {
        /// URL of the request.
        url: String,
        /// Error of the client.
        source: HttpError,
    },
    /// The answer's status is not a success.
    #[error("{url}: expected 2xx response, got {status}. Body: {body}")]
    Status {
        /// URL of the request.
        url: String,
        /// Status of the answer.
        status: u16,
        /// Beginning of the answer's body.
        body: String,
    },
    /// The answer does not have the expected form.
    #[error("{url}: {reason}")]
    Answer {
        /// URL of the request.
        url: String,
        /// The found and the expected value.
        reason: String,
    },
    /// The answer is longer than the limit.
    #[error("{url}: the answer is longer than {max} bytes")]
    TooLong {
        /// URL of the request.
        url: String,
        /// The limit in bytes.
        max: usize,
    },
    /// The answer did not arrive in time.
    #[error("{url}: no answer in {limit:?}")]
    Late {
        /// URL of the server.
        url: String,
        /// The timeout.
        limit: Duration,
    },
}

impl PrometheusError {
    /// The kind of the error, which tells callers what to do about it; as in Thanos for calls of the JSON API.
    pub fn kind(&self) -> ErrorKind {
        match self {
            PrometheusError::Status { status: 400, .. } => ErrorKind::Invalid,
            PrometheusError::Status { status: 404, .. } => ErrorKind::NotFound,
            PrometheusError::Status { status: 503, .. } => ErrorKind::Unavailable,
            PrometheusError::Late { .. } => ErrorKind::TimedOut,
            PrometheusError::TooLong { .. } => ErrorKind::LimitExceeded,
            _ => ErrorKind::Internal,
        }
    }
}

/// Why a sidecar cannot continue.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// Prometheus has no external labels.
    #[error(
        "no external labels configured on Prometheus server, uniquely identifying external labels must be configured: \
         set global.external_labels in its configuration"
    )]
    NoExternalLabels,
    /// The flags of Prometheus do not allow uploads.
    #[error("{0}")]
    Flags(String),
    /// Prometheus did not answer for so long that uploads cannot begin.
    #[error(
        "aborting as no external labels found after waiting {0:?} (--prometheus.ready_timeout): is Prometheus reachable \
         at --prometheus.url?"
    )]
    NeverReady(Duration),
}
