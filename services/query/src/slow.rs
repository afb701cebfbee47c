//! Logs slow queries.

use std::time::{Duration, Instant};

use tracing::info;

use crate::query::Query;

/// Longest query text in the log, in bytes; longer ones are cut.
const TEXT_BYTES_MAX: usize = 4 << 10;

/// The text of a query, cut for the log.
pub(crate) fn for_log(text: &str) -> &str {
    &text[..text.floor_char_boundary(TEXT_BYTES_MAX)]
}

/// A query under way. It is logged when it is dropped after more than the threshold, also when it was given up.
pub(crate) struct Slow {
    text: String,
    tenant: String,
    start_ms: i64,
    end_ms: i64,
    step_ms: i64,
    begun: Instant,
    threshold: Duration,
}

impl Slow {
    /// Watches a query; `None` when the threshold is zero, which turns the log off.
    pub(crate) fn watch(query: &Query, threshold: Duration) -> Option<Slow> {
        if threshold.is_zero() {
            return None;
        }
        Some(Slow {
            text: for_log(&query.text).to_owned(),
            tenant: query.scope.tenant.clone(),
            start_ms: query.times.start.0,
            end_ms: query.times.end.0,
            step_ms: query.times.step_ms,
            begun: Instant::now(),
            threshold,
        })
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        if took > self.threshold {
            let Slow { text, tenant, start_ms, end_ms, step_ms, .. } = self;
            info!(query = text, tenant, start_ms, end_ms, step_ms, took = ?took, "slow query");
        }
    }
}
