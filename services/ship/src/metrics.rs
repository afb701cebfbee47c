//! What a shipper counts, under Thanos's names.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use tithon_runtime::Metrics;

/// The metrics of a shipper. Clones count together.
#[derive(Clone, Default)]
pub struct ShipMetrics {
    pub(crate) dir_syncs: Counter,
    pub(crate) dir_sync_failures: Counter,
    pub(crate) uploads: Counter,
    pub(crate) upload_failures: Counter,
    pub(crate) corrupted_blocks: Counter,
    pub(crate) uploads_compacted: Gauge,
}

impl ShipMetrics {
    /// Registers them.
    pub fn new(registry: &Metrics) -> ShipMetrics {
        let metrics = ShipMetrics::default();
        let m = metrics.clone();
        registry.register(|r| {
            r.register(
                "thanos_shipper_dir_syncs",
                "Looks through the directory of blocks that went well",
                m.dir_syncs,
            );
            let help = "Looks through the directory of blocks that failed";
            r.register("thanos_shipper_dir_sync_failures", help, m.dir_sync_failures);
            r.register("thanos_shipper_uploads", "Blocks uploaded", m.uploads);
            r.register("thanos_shipper_upload_failures", "Uploads that failed", m.upload_failures);
            r.register("thanos_shipper_corrupted_blocks", "Blocks found corrupt", m.corrupted_blocks);
            let help = "Whether compacted blocks are uploaded too and all of them are";
            r.register("thanos_shipper_upload_compacted_done", help, m.uploads_compacted);
        });
        metrics
    }
}
