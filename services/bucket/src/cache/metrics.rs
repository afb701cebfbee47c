//! Metrics of caches, with the names of Thanos's caching bucket.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;

/// Metrics of one cache.
#[derive(Clone, Debug, Default)]
pub(super) struct CacheMetrics {
    /// Pieces looked up.
    requests: Counter,
    /// Pieces found.
    hits: Counter,
    /// Bytes that readers asked for.
    requested: Counter,
    /// Bytes read from the bucket.
    pub(super) fetched: Counter,
}

impl CacheMetrics {
    pub(super) fn count(&self, pieces: usize, found: usize, requested: u64) {
        self.requests.inc_by(pieces as u64);
        self.hits.inc_by(found as u64);
        self.requested.inc_by(requested);
    }

    pub(super) fn register(&self, what: &'static str, registry: &mut Registry) {
        let labels = [("config".into(), what.into()), ("operation".into(), "get_range".into())];
        let registry = registry.sub_registry_with_labels(labels.into_iter());
        let mut add = |name: &str, help: &str, counter: &Counter| {
            registry.register(format!("thanos_store_bucket_cache_{name}"), help, counter.clone());
        };
        add("operation_requests", "Pieces of objects that were looked for in the cache", &self.requests);
        add("operation_hits", "Pieces of objects that were in the cache", &self.hits);
        add("getrange_requested_bytes", "Bytes of objects that were asked for", &self.requested);
        add("getrange_fetched_bytes", "Bytes that were read from the bucket", &self.fetched);
    }
}
