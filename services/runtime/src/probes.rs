//! Health and readiness of the process, for HTTP probes, gRPC health and the `thanos_status` gauge.

use std::fmt::Error;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;

use crate::Metrics;

/// Health and readiness; both begin as false, as in Thanos's `pkg/prober`. Clones share them.
#[derive(Clone, Debug)]
pub struct Probes(watch::Sender<State>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) healthy: bool,
    pub(crate) ready: bool,
}

impl Default for Probes {
    fn default() -> Probes {
        Probes(watch::Sender::new(State::default()))
    }
}

impl Probes {
    /// Registers the gauge `thanos_status{component,check}`.
    pub fn register(&self, metrics: &Metrics, component: &'static str) {
        let collector = StatusGauge { probes: self.clone(), component };
        metrics.register(|registry| registry.register_collector(Box::new(collector)));
    }

    /// Sets whether the process is healthy.
    pub fn set_healthy(&self, healthy: bool) {
        self.0.send_modify(|state| state.healthy = healthy);
    }

    /// Sets whether the process is ready to answer requests.
    pub fn set_ready(&self, ready: bool) {
        self.0.send_modify(|state| state.ready = ready);
    }

    /// Whether the process is healthy.
    pub fn is_healthy(&self) -> bool {
        self.0.borrow().healthy
    }

    /// Whether the process is ready to answer requests.
    pub fn is_ready(&self) -> bool {
        self.0.borrow().ready
    }

    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.0.subscribe()
    }
}

#[derive(Debug)]
struct StatusGauge {
    probes: Probes,
    component: &'static str,
}

impl Collector for StatusGauge {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        let family = Family::<[(&'static str, &'static str); 2], Gauge>::default();
        for (check, value) in [("healthy", self.probes.is_healthy()), ("ready", self.probes.is_ready())] {
            let labels = [("component", self.component), ("check", check)];
            family.get_or_create(&labels).set(value.into());
        }
        let help = "Represents status (0 indicates failure, 1 indicates success) of the component.";
        family.encode(encoder.encode_descriptor("thanos_status", help, None, MetricType::Gauge)?)
    }
}
