//! Metrics under the names of `thanos store`.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tithon_runtime::Metrics;

/// Counters of one store; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct StoreMetrics {
    pub(crate) block_loads: Counter,
    pub(crate) block_load_failures: Counter,
    pub(crate) block_drops: Counter,
    pub(crate) blocks_loaded: Gauge,
    pub(crate) last_loaded_seconds: Gauge<f64, AtomicU64>,
    pub(crate) metas_synced: Family<[(&'static str, &'static str); 1], Gauge>,
    pub(crate) syncs: Counter,
    pub(crate) sync_failures: Counter,
    pub(crate) queries_dropped: Family<[(&'static str, &'static str); 1], Counter>,
    pub(crate) blocks_queried: Counter,
    pub(crate) result_series: Counter,
}

impl StoreMetrics {
    pub(crate) fn register(&self, metrics: &Metrics) {
        metrics.register(|r| {
            let mut counter =
                |name: &str, help: &str, counter: &Counter| r.register(name, help, counter.clone());
            counter(
                "thanos_bucket_store_block_loads",
                "Blocks that were opened or tried to",
                &self.block_loads,
            );
            let help = "Blocks that could not be opened";
            counter("thanos_bucket_store_block_load_failures", help, &self.block_load_failures);
            counter("thanos_bucket_store_block_drops", "Blocks that are no longer served", &self.block_drops);
            counter("thanos_blocks_meta_syncs", "Looks at the bucket", &self.syncs);
            counter(
                "thanos_blocks_meta_sync_failures",
                "Looks at the bucket that failed",
                &self.sync_failures,
            );
            let help = "Blocks read to answer Series calls";
            counter("thanos_bucket_store_series_blocks_queried", help, &self.blocks_queried);
            let help = "Series sent to answer Series calls";
            counter("thanos_bucket_store_series_result_series", help, &self.result_series);
            r.register(
                "thanos_bucket_store_blocks_loaded",
                "Blocks that are served",
                self.blocks_loaded.clone(),
            );
            let help = "When a block was last opened";
            let gauge = self.last_loaded_seconds.clone();
            r.register("thanos_bucket_store_blocks_last_loaded_timestamp_seconds", help, gauge);
            r.register("thanos_blocks_meta_synced", "Blocks by state", self.metas_synced.clone());
            let help = "Requests that went over a limit";
            r.register("thanos_bucket_store_queries_dropped", help, self.queries_dropped.clone());
        });
    }
}
