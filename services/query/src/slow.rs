//! Queries that take long, in the log.

use std::time::{Duration, Instant};

use tracing::info;

use crate::evaluate::Query;

/// A query under way. When it is dropped after more than the threshold, it is logged; so is one that was given up.
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
    /// Watches a query; a threshold of zero is none.
    pub(crate) fn watch(query: &Query, threshold: Duration) -> Option<Slow> {
        if threshold.is_zero() {
            return None;
        }
        Some(Slow {
            text: query.logged().to_owned(),
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
