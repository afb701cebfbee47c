//! Metrics of the store, with the names of `thanos store`.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{
    DEFAULT_NATIVE_HISTOGRAM_BUCKET_FACTOR, Histogram, NativeHistogramConfig, exponential_buckets,
};
use prometheus_client::registry::Metric;
use tithon_engine::Reads;
use tithon_runtime::{GateMetrics, Metrics};

use crate::chunk_sizes::ChunkSizes;

/// A histogram for each tenant.
type ByTenant = Family<[(&'static str, String); 1], Histogram, fn() -> Histogram>;

/// A histogram for each type of data and each tenant.
type ByTypeAndTenant = Family<[(&'static str, String); 2], Histogram, fn() -> Histogram>;

/// A histogram with classic buckets, and native ones for scrapers that support them.
fn histogram(buckets: impl Iterator<Item = f64>) -> Histogram {
    const BUCKETS_MAX: usize = 256;
    let native = NativeHistogramConfig::new(DEFAULT_NATIVE_HISTOGRAM_BUCKET_FACTOR).max_buckets(BUCKETS_MAX);
    Histogram::new_classic_and_native(buckets, native)
}

fn data_histogram() -> Histogram {
    histogram(exponential_buckets(200.0, 2.0, 15))
}

fn size_histogram() -> Histogram {
    histogram(exponential_buckets(1024.0, 2.0, 15))
}

/// Why the data of a block is missing from answers.
#[derive(Clone, Copy)]
pub(crate) enum LeftOut {
    /// The block is damaged or cannot be opened.
    Damaged,
    /// Its meta.json cannot be read.
    CorruptMeta,
}

/// The metrics of one store; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct StoreMetrics {
    pub(crate) block_loads: Counter,
    pub(crate) block_load_failures: Counter,
    pub(crate) block_drops: Counter,
    pub(crate) blocks_loaded: Gauge,
    /// Blocks that are open because requests needed them lately.
    pub(crate) blocks_open: Gauge,
    /// Blocks that were closed because no request needed them.
    pub(crate) blocks_closed: Counter,
    pub(crate) last_loaded_seconds: Gauge<f64, AtomicU64>,
    pub(crate) metas_synced: Family<[(&'static str, &'static str); 1], Gauge>,
    pub(crate) syncs: Counter,
    pub(crate) sync_failures: Counter,
    pub(crate) queries_dropped: Family<[(&'static str, String); 2], Counter>,
    pub(crate) blocks_queried: ByTenant,
    /// Blocks not read because their label filters exclude the matchers.
    pub(crate) blocks_filtered: Counter,
    pub(crate) result_series: ByTenant,
    pub(crate) sent_chunks: ChunkSizes,
    pub(crate) gate: GateMetrics,
    pub(crate) data_touched: ByTypeAndTenant,
    pub(crate) data_fetched: ByTypeAndTenant,
    data_size_touched: ByTypeAndTenant,
    data_size_fetched: ByTypeAndTenant,
    pub(crate) get_all_seconds: ByTenant,
    pub(crate) merge_seconds: ByTenant,
    /// Blocks that should be served but cannot be opened.
    pub(crate) blocks_faulty: Gauge,
    /// Blocks whose data is missing from all answers, by reason.
    left_out: Family<[(&'static str, &'static str); 1], Gauge>,
    /// Requests to delete series: in force, and not readable.
    pub(crate) deletions: Gauge,
    pub(crate) deletions_unreadable: Gauge,
    /// Blocks of which these requests delete something, as far as their metas tell.
    pub(crate) deletion_blocks: Gauge,
    /// Bytes of answers that wait for their readers.
    pub(crate) waiting_bytes: Gauge,
    /// Bytes of blocks and answers that calls hold, and of what is deleted of open blocks.
    pub(crate) held_bytes: Gauge,
    /// Calls whose readers are stalled, and calls that were ended because of that.
    pub(crate) stalled: Gauge,
    pub(crate) stalled_ended: Counter,
}

const CALL_SECONDS: [f64; 14] =
    [0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0];

/// States of blocks that are not served, with the names of Thanos's fetcher.
const EXCLUDED: [&str; 5] =
    ["time-excluded", "label-excluded", "too-fresh", "marked-for-deletion", "duplicate"];

impl StoreMetrics {
    /// Metrics of a store that answers so many `Series` calls at the same time; 0 means no limit.
    pub(crate) fn new(series_max_concurrency: usize) -> StoreMetrics {
        StoreMetrics {
            block_loads: Counter::default(),
            block_load_failures: Counter::default(),
            block_drops: Counter::default(),
            blocks_loaded: Gauge::default(),
            blocks_open: Gauge::default(),
            blocks_closed: Counter::default(),
            last_loaded_seconds: Gauge::default(),
            metas_synced: Family::default(),
            syncs: Counter::default(),
            sync_failures: Counter::default(),
            queries_dropped: Family::default(),
            blocks_queried: Family::new_with_constructor(|| histogram(exponential_buckets(1.0, 2.0, 10))),
            blocks_filtered: Counter::default(),
            result_series: Family::new_with_constructor(|| histogram(exponential_buckets(1.0, 2.0, 15))),
            sent_chunks: ChunkSizes::default(),
            gate: GateMetrics::new(series_max_concurrency),
            data_touched: Family::new_with_constructor(data_histogram),
            data_fetched: Family::new_with_constructor(data_histogram),
            data_size_touched: Family::new_with_constructor(size_histogram),
            data_size_fetched: Family::new_with_constructor(size_histogram),
            get_all_seconds: Family::new_with_constructor(|| Histogram::new(CALL_SECONDS)),
            merge_seconds: Family::new_with_constructor(|| Histogram::new(CALL_SECONDS)),
            blocks_faulty: Gauge::default(),
            left_out: Family::default(),
            deletions: Gauge::default(),
            deletions_unreadable: Gauge::default(),
            deletion_blocks: Gauge::default(),
            waiting_bytes: Gauge::default(),
            held_bytes: Gauge::default(),
            stalled: Gauge::default(),
            stalled_ended: Counter::default(),
        }
    }

    /// Sets the number of blocks in each state; states that are not given have none.
    pub(crate) fn set_excluded(&self, states: &BTreeMap<&'static str, i64>) {
        for state in EXCLUDED {
            let count = states.get(state).copied().unwrap_or_default();
            self.metas_synced.get_or_create(&[("state", state)]).set(count);
        }
    }

    /// Counts the series and chunks that a call selected, and the bytes that were read for them. All series and chunks count
    /// as fetched too, since none are kept in memory.
    pub(crate) fn touched(&self, tenant: &str, (series, chunks): (u64, u64), reads: &Reads) {
        let labels = |data_type: &str| [("data_type", data_type.to_owned()), ("tenant", tenant.to_owned())];
        for (data_type, count) in [("series", series), ("chunks", chunks)] {
            for family in [&self.data_touched, &self.data_fetched] {
                family.get_or_create(&labels(data_type)).observe(count as f64);
            }
        }
        let sizes = [("postings", reads.postings), ("series", reads.series), ("chunks", reads.chunks)];
        for (data_type, bytes) in sizes {
            let labels = labels(data_type);
            self.data_size_touched.get_or_create(&labels).observe(bytes.touched as f64);
            self.data_size_fetched.get_or_create(&labels).observe(bytes.fetched as f64);
        }
    }

    /// Sets the number of blocks whose data is missing from answers for a reason.
    pub(crate) fn set_left_out(&self, reason: LeftOut, count: usize) {
        let reason = match reason {
            LeftOut::Damaged => "damaged",
            LeftOut::CorruptMeta => "corrupted-meta-json",
        };
        self.left_out.get_or_create(&[("reason", reason)]).set(count as i64);
    }

    pub(crate) fn register(&self, metrics: &Metrics) {
        self.set_left_out(LeftOut::Damaged, 0);
        self.set_left_out(LeftOut::CorruptMeta, 0);
        self.register_blocks(metrics);
        self.register_series(metrics);
    }

    fn register_blocks(&self, metrics: &Metrics) {
        add(metrics, "bucket_store_block_loads", "Blocks that were opened or tried to", &self.block_loads);
        let help = "Blocks that could not be opened";
        add(metrics, "bucket_store_block_load_failures", help, &self.block_load_failures);
        add(metrics, "bucket_store_block_drops", "Blocks that are no longer served", &self.block_drops);
        let help = "Blocks that could not be dropped; nothing can go wrong with that here";
        add(metrics, "bucket_store_block_drop_failures", help, &Counter::<u64>::default());
        // Thanos's name; there only index-headers are opened lazily, here whole blocks.
        let (name, help) =
            ("bucket_store_indexheader_lazy_unload", "Blocks closed because nothing used them");
        add(metrics, name, help, &self.blocks_closed);
        metrics.register(|registry| {
            let help = "Blocks that are open because requests needed them lately";
            registry.register("tithon_store_blocks_open", help, self.blocks_open.clone());
        });
        add(metrics, "bucket_store_blocks_loaded", "Blocks that are served", &self.blocks_loaded);
        let help = "When a block was last opened";
        add(metrics, "bucket_store_blocks_last_loaded_timestamp_seconds", help, &self.last_loaded_seconds);
        add(metrics, "blocks_meta_syncs", "Synchronisations with the bucket", &self.syncs);
        add(
            metrics,
            "blocks_meta_sync_failures",
            "Synchronisations with the bucket that failed",
            &self.sync_failures,
        );
        add(metrics, "blocks_meta_synced", "Blocks by state", &self.metas_synced);
    }

    fn register_series(&self, metrics: &Metrics) {
        let help = "Requests that went over a limit";
        add(metrics, "bucket_store_queries_dropped", help, &self.queries_dropped);
        let help = "Blocks read to answer a Series call";
        add(metrics, "bucket_store_series_blocks_queried", help, &self.blocks_queried);
        metrics.register(|registry| {
            let help =
                "Blocks left out of an answer because the filters of their labels exclude what was asked for";
            registry.register("tithon_store_label_filter_skipped_blocks", help, self.blocks_filtered.clone());
            let help = "Blocks that should be served and cannot be opened";
            registry.register("tithon_store_blocks_faulty", help, self.blocks_faulty.clone());
            let help = "Blocks whose data no answer has, by reason";
            registry.register("tithon_store_blocks_left_out", help, self.left_out.clone());
            let help = "Requests to delete series that are in force";
            registry.register("tithon_store_deletions", help, self.deletions.clone());
            let help = "Requests to delete series that cannot be read and are not applied";
            registry.register("tithon_store_deletions_unreadable", help, self.deletions_unreadable.clone());
            let help = "Blocks that requests to delete series may concern";
            registry.register("tithon_store_deletion_blocks", help, self.deletion_blocks.clone());
            let help = "Bytes of answers that wait for their readers";
            registry.register("tithon_store_waiting_bytes", help, self.waiting_bytes.clone());
            let help =
                "Bytes that calls and deletions of open blocks hold, as --store.memory-limit counts them";
            registry.register("tithon_store_held_bytes", help, self.held_bytes.clone());
            let help = "Series calls whose readers take nothing at the moment";
            registry.register("tithon_store_stalled_readers", help, self.stalled.clone());
            let help = "Series calls that were ended because their readers took nothing";
            registry.register("tithon_store_stalled_readers_ended", help, self.stalled_ended.clone());
        });
        let help = "Bytes of the chunks that were sent";
        add(metrics, "bucket_store_sent_chunk_size_bytes", help, &self.sent_chunks);
        let help = "Series sent to answer a Series call";
        add(metrics, "bucket_store_series_result_series", help, &self.result_series);
        self.gate.register(metrics, "thanos_bucket_store_series_gate_queries");
        // The name in Thanos's dashboards and alerts.
        let help = "How long calls waited at the gate";
        add(metrics, "bucket_store_series_gate_duration_seconds", help, &self.gate.waited);
        let help = "Series and chunks that a Series call selected";
        add(metrics, "bucket_store_series_data_touched", help, &self.data_touched);
        let help = "Series and chunks that a Series call read";
        add(metrics, "bucket_store_series_data_fetched", help, &self.data_fetched);
        let help = "Bytes of postings, series and chunks that a Series call needed";
        add(metrics, "bucket_store_series_data_size_touched_bytes", help, &self.data_size_touched);
        let help =
            "Bytes of postings, series and chunks that a Series call read, those between them not counted";
        add(metrics, "bucket_store_series_data_size_fetched_bytes", help, &self.data_size_fetched);
        let help = "How long it took to choose the blocks of a Series call and to open them";
        add(metrics, "bucket_store_series_get_all_duration_seconds", help, &self.get_all_seconds);
        let help = "How long it took to read, merge and send the series of a Series call";
        add(metrics, "bucket_store_series_merge_duration_seconds", help, &self.merge_seconds);
    }
}

fn add(metrics: &Metrics, name: &str, help: &str, metric: &(impl Metric + Clone)) {
    metrics.register(|registry| registry.register(format!("thanos_{name}"), help, metric.clone()));
}
