//! Why a Prometheus gave no answer.

use std::time::Duration;

use tithon_chunks::ErrorKind;

/// Why a request to a Prometheus failed.
#[derive(Debug, thiserror::Error)]
pub enum PrometheusError {
    /// It could not be reached, or the connection broke.
    #[error("request {url}: {}", tithon_proto::with_causes(.source))]
    Request {
        /// What was asked.
        url: String,
        /// What the client says.
        source: reqwest::Error,
    },
    /// It answered with another status than one of success.
    #[error("{url}: expected 2xx response, got {status}. Body: {body}")]
    Status {
        /// What was asked.
        url: String,
        /// The status.
        status: u16,
        /// The beginning of the answer.
        body: String,
    },
    /// Its answer is not what the API promises.
    #[error("{url}: {reason}")]
    Answer {
        /// What was asked.
        url: String,
        /// What was expected and found.
        reason: String,
    },
    /// Its answer is longer than any that is read.
    #[error("{url}: the answer is longer than {max} bytes")]
    TooLong {
        /// What was asked.
        url: String,
        /// The limit.
        max: usize,
    },
    /// It did not answer in time.
    #[error("{url}: no answer in {limit:?}")]
    Late {
        /// What was asked.
        url: String,
        /// How long was waited.
        limit: Duration,
    },
}

impl PrometheusError {
    /// What the caller should do about it, as Thanos has it for calls that are answered in JSON.
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

/// Why a sidecar cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SidecarError {
    /// Prometheus has no external labels.
    #[error(
        "no external labels configured on Prometheus server, uniquely identifying external labels must be configured: \
         set global.external_labels in its configuration"
    )]
    NoExternalLabels,
    /// Prometheus runs with flags that uploads cannot stand.
    #[error("{0}")]
    Flags(String),
    /// Nothing was learnt of Prometheus for too long to begin with uploads.
    #[error(
        "aborting as no external labels found after waiting {0:?} (--prometheus.ready_timeout): is Prometheus reachable \
         at --prometheus.url?"
    )]
    NeverReady(Duration),
}
