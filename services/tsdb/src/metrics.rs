//! What is told of a data directory, under Prometheus's names.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use tithon_head::Db;
use tithon_runtime::Metrics;

/// What is counted outside the head.
#[derive(Clone, Default)]
pub(crate) struct TsdbMetrics {
    pub(crate) compactions: Counter,
    pub(crate) compactions_failed: Counter,
    pub(crate) head_truncations: Counter,
    pub(crate) checkpoints: Counter,
    pub(crate) corruptions: Counter,
    pub(crate) deleted: Counter,
    pub(crate) replay_seconds: Gauge<f64, std::sync::atomic::AtomicU64>,
    /// Calls that exceeded a limit, by which one.
    pub(crate) dropped: Family<[(&'static str, &'static str); 1], Counter>,
}

impl TsdbMetrics {
    /// Registers them.
    pub(crate) fn new(registry: &Metrics) -> TsdbMetrics {
        let metrics = TsdbMetrics::default();
        for reason in ["series", "samples"] {
            drop(metrics.dropped.get_or_create(&[("reason", reason)]));
        }
        let m = metrics.clone();
        registry.register(|r| {
            let p = "prometheus_tsdb";
            r.register(
                format!("{p}_compactions"),
                "Ranges of the head that were cut into blocks",
                m.compactions,
            );
            let help = "Maintenance of the directory that failed";
            r.register(format!("{p}_compactions_failed"), help, m.compactions_failed);
            r.register(format!("{p}_head_truncations"), "Truncations of the head", m.head_truncations);
            let help = "Checkpoints that replaced segments of the log";
            r.register(format!("{p}_checkpoint_creations"), help, m.checkpoints);
            let help = "Damage of the log that was found at the start and cut off";
            r.register(format!("{p}_wal_corruptions"), help, m.corruptions);
            r.register(format!("{p}_time_retentions"), "Blocks deleted because of their age", m.deleted);
            let help = "How long the log took to be read";
            r.register(format!("{p}_data_replay_duration_seconds"), help, m.replay_seconds);
            r.register("thanos_store_selects_dropped", "Calls that exceeded a limit", m.dropped);
        });
        metrics
    }
}

/// What head and blocks tell at each scrape.
#[derive(Debug)]
pub(crate) struct Scraped(pub(crate) Arc<Db>);

impl Collector for Scraped {
    fn encode(&self, mut encoder: DescriptorEncoder) -> fmt::Result {
        let (stats, range, blocks) = (self.0.head().stats(), self.0.range(), self.0.blocks());
        // As upstream, that has these before there is any sample.
        let (min, max) = (stats.min_time.unwrap_or(i64::MAX), stats.max_time.unwrap_or(i64::MIN));
        for (name, help, value) in [
            ("head_series", "Series in the head", stats.series as f64),
            ("head_chunks", "Chunks in the head", stats.chunks as f64),
            ("head_chunks_storage_size_bytes", "Bytes of chunks that are mapped: none", 0.0),
            ("head_min_time", "The first time of the head, milliseconds", min as f64),
            ("head_max_time", "The newest sample of the head, milliseconds", max as f64),
            ("head_min_time_seconds", "The first time of the head", min as f64 / 1e3),
            ("head_max_time_seconds", "The newest sample of the head", max as f64 / 1e3),
            ("lowest_timestamp", "The first time of all, milliseconds", range.min.0 as f64),
            ("lowest_timestamp_seconds", "The first time of all", range.min.0 as f64 / 1e3),
            ("blocks_loaded", "Blocks", blocks.len() as f64),
            ("wal_segment_current", "The number of the open segment of the log", stats.wal_segment as f64),
        ] {
            gauge(&mut encoder, &format!("prometheus_tsdb_{name}"), help, value)?;
        }
        let help = "Bytes that series and complete chunks of the head take, about";
        gauge(&mut encoder, "tithon_tsdb_head_bytes", help, stats.bytes as f64)?;
        for (name, help, value) in [
            ("head_series_created", "Series made in the head", stats.series_created),
            ("head_series_removed", "Series removed from the head", stats.series_removed),
            ("head_chunks_created", "Chunks begun in the head", stats.chunks_created),
            ("head_chunks_removed", "Chunks removed from the head", stats.chunks_removed),
            ("out_of_order_samples", "Samples refused because newer ones are there", stats.out_of_order),
            ("out_of_bound_samples", "Samples refused because the head has moved on", stats.out_of_bounds),
        ] {
            let name = format!("prometheus_tsdb_{name}");
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(&name, help, None, MetricType::Counter)?)?;
        }
        let (name, help) = ("prometheus_tsdb_head_samples_appended", "Samples appended to the head");
        let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (kind, value) in [("float", stats.floats), ("histogram", stats.histograms)] {
            ConstCounter::new(value).encode(family.encode_family(&[("type", kind)])?)?;
        }
        Ok(())
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: f64) -> fmt::Result {
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}
