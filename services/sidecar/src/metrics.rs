//! Metrics of the sidecar, with Thanos's names.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use tithon_runtime::Metrics;

/// The metrics of a sidecar. Clones share them.
#[derive(Clone)]
pub struct SidecarMetrics {
    up: Gauge,
    pub(crate) frames: Histogram,
    /// Calls that exceeded a limit, by the limit.
    pub(crate) dropped: Family<[(&'static str, &'static str); 1], Counter>,
}

impl SidecarMetrics {
    /// Registers the metrics.
    pub fn new(registry: &Metrics) -> SidecarMetrics {
        let metrics = SidecarMetrics {
            up: Gauge::default(),
            frames: Histogram::new(exponential_buckets(10.0, 10.0, 5)),
            dropped: Family::default(),
        };
        for reason in ["series", "chunks"] {
            drop(metrics.dropped.get_or_create(&[("reason", reason)]));
        }
        let m = metrics.clone();
        registry.register(|r| {
            r.register("thanos_sidecar_prometheus_up", "Whether Prometheus answered when last asked", m.up);
            r.register("prometheus_store_received_frames", "Frames of a streamed remote read", m.frames);
            r.register("thanos_store_selects_dropped", "Calls that exceeded a limit", m.dropped);
        });
        metrics
    }

    pub(crate) fn set_up(&self, up: bool) {
        self.up.set(up.into());
    }
}
