//! Requests to the store: counted, timed, and repeated with growing pauses where a failure may pass.

use std::time::{Duration, Instant};

use object_store::Error;

use crate::Bucket;

/// How often a failed request is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Attempts in all, at least 1.
    pub attempts: u32,
    /// The pause before the second attempt; each further one is twice as long, at most [`Retry::PAUSE_MAX`].
    pub first_pause: Duration,
}

impl Retry {
    /// No pause is longer.
    pub const PAUSE_MAX: Duration = Duration::from_secs(10);

    /// One attempt only.
    pub const NEVER: Retry = Retry { attempts: 1, first_pause: Duration::ZERO };
}

/// What a request does, as the metrics of Thanos's object store client name it.
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
    /// Makes a request until it succeeds, fails for good, or the attempts are used up.
    pub(crate) async fn retrying<T, F: Future<Output = object_store::Result<T>>>(
        &self,
        operation: Operation,
        request: impl Fn() -> F,
    ) -> object_store::Result<T> {
        let mut pause = self.retry.first_pause;
        for attempt in 1.. {
            let begin = Instant::now();
            let result = request().await;
            let failed = matches!(&result, Err(error) if !matches!(error, Error::NotFound { .. }));
            self.metrics.observe(operation, begin.elapsed(), failed);
            match result {
                Err(error) if is_transient(&error) && attempt < self.retry.attempts => {
                    tracing::warn!(operation = operation.name(), attempt, error = %error, "request is repeated");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Retry::PAUSE_MAX);
                }
                result => return result,
            }
        }
        unreachable!("the range has no end")
    }
}

/// Whether another attempt may succeed: the network, a busy server; but not what the store decided.
fn is_transient(error: &Error) -> bool {
    matches!(error, Error::Generic { .. } | Error::JoinError { .. })
}
