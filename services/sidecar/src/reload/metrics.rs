//! Metrics of reloading, with Thanos's names.

use std::sync::atomic::AtomicU64;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tithon_runtime::{Metrics, since_1970};

#[derive(Clone, Default)]
pub(super) struct ReloadMetrics {
    pub(super) reloads: Counter,
    failed: Counter,
    last_successful: Gauge,
    last_success: Gauge<f64, AtomicU64>,
    pub(super) applies: Counter,
    pub(super) failed_applies: Counter,
    pub(super) variable_errors: Gauge,
    pub(super) watches: Gauge,
    pub(super) watch_events: Counter,
}

impl ReloadMetrics {
    pub(super) fn new(registry: &Metrics, method: &'static str) -> ReloadMetrics {
        let metrics = ReloadMetrics::default();
        let info = Family::<[(&'static str, &'static str); 1], Gauge>::default();
        info.get_or_create(&[("method", method)]).set(1);
        let m = metrics.clone();
        registry.register(|r| {
            let r = r.sub_registry_with_prefix("thanos_sidecar_reloader");
            r.register("reloads", "Times that Prometheus was told to read its files", m.reloads);
            r.register("reloads_failed", "Times that it did not", m.failed);
            r.register("last_reload_successful", "Whether it did at the last time", m.last_successful);
            let help = "When it last did, in seconds since 1970";
            r.register("last_reload_success_timestamp_seconds", help, m.last_success);
            r.register("config_apply_operations", "Times that the files were read", m.applies);
            r.register(
                "config_apply_operations_failed",
                "Times that they could not be read",
                m.failed_applies,
            );
            let help = "Variables of the configuration that are not set";
            r.register("config_environment_variable_expansion_errors", help, m.variable_errors);
            r.register("info", "How Prometheus is told", info);
            r.register("watches", "Files and folders that are watched", m.watches);
            r.register("watch_events", "Changes that were seen", m.watch_events);
            r.register("watch_errors", "Failures of the watch", Counter::<u64>::default());
        });
        metrics
    }

    pub(super) fn succeeded(&self) {
        self.last_successful.set(1);
        self.last_success.set(since_1970().as_secs_f64());
    }

    pub(super) fn failed(&self) {
        self.failed.inc();
        self.last_successful.set(0);
    }
}
