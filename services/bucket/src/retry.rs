//! Requests to the store: measured, and repeated with growing pauses after transient errors.

use std::time::{Duration, Instant};

use backon::{ExponentialBuilder, Retryable};
use object_store::Error;

use crate::Bucket;

/// The retries of failed requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Number of attempts in all, at least 1.
    pub attempts: u32,
    /// Pause before the second attempt. Each further pause is twice as long, up to [`Retry::PAUSE_MAX`]. A random time
    /// of up to the same length is added, so that many clients do not retry at once.
    pub first_pause: Duration,
}

impl Retry {
    /// Longest pause, without the random part.
    pub const PAUSE_MAX: Duration = Duration::from_secs(10);

    /// One attempt, without retries.
    pub const NEVER: Retry = Retry { attempts: 1, first_pause: Duration::ZERO };

    pub(crate) fn pauses(self) -> ExponentialBuilder {
        ExponentialBuilder::default()
            .with_min_delay(self.first_pause)
            .with_max_delay(Retry::PAUSE_MAX)
            .with_max_times(self.attempts.saturating_sub(1) as usize)
            .with_jitter()
    }
}

/// The kind of a request, with the name in the metrics of Thanos's object store client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Iter,
    Get,
    GetRange,
    Exists,
    Upload,
    Delete,
}

impl Operation {
    pub(crate) const ALL: [Operation; 6] = [
        Operation::Iter,
        Operation::Get,
        Operation::GetRange,
        Operation::Exists,
        Operation::Upload,
        Operation::Delete,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Operation::Iter => "iter",
            Operation::Get => "get",
            Operation::GetRange => "get_range",
            Operation::Exists => "exists",
            Operation::Upload => "upload",
            Operation::Delete => "delete",
        }
    }
}

impl Bucket {
    /// Sends a request until it succeeds, fails with a permanent error, or the attempts are used up.
    pub(crate) async fn retrying<T, F: Future<Output = object_store::Result<T>>>(
        &self,
        operation: Operation,
        request: impl Fn() -> F,
    ) -> object_store::Result<T> {
        let attempt = || async {
            let begin = Instant::now();
            let result = request().await;
            let failed = matches!(&result, Err(error) if !matches!(error, Error::NotFound { .. }));
            self.metrics.observe(operation, begin.elapsed(), failed);
            result
        };
        attempt
            .retry(self.retry.pauses())
            .when(is_transient)
            .notify(|error, pause| {
                tracing::warn!(operation = operation.name(), ?pause, error = %error, "request is repeated");
            })
            .await
    }
}

/// Whether another attempt may succeed: after network errors and busy servers, but not after errors that the store
/// decided.
fn is_transient(error: &Error) -> bool {
    matches!(error, Error::Generic { .. } | Error::JoinError { .. })
}
