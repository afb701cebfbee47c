//! Metrics of a gate, which limits how many calls are answered at the same time. Thanos `pkg/gate`.

use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;

use crate::Metrics;

const SECONDS: [f64; 14] = [0.01, 0.1, 0.3, 0.6, 1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 30.0, 60.0, 90.0, 120.0];

/// Metrics of one gate. Clones share them.
#[derive(Clone, Debug)]
pub struct GateMetrics {
    /// Calls that may be answered at the same time; 0 means no limit.
    pub max: Gauge,
    /// Calls that are being answered.
    pub in_flight: Gauge,
    /// Calls that have passed the gate.
    pub passed: Counter,
    /// Seconds that calls waited at the gate.
    pub waited: Histogram,
}

impl GateMetrics {
    /// Metrics of a gate for `max` calls at the same time; 0 means no limit.
    pub fn new(max: usize) -> GateMetrics {
        let metrics = GateMetrics {
            max: Gauge::default(),
            in_flight: Gauge::default(),
            passed: Counter::default(),
            waited: Histogram::new(SECONDS),
        };
        metrics.max.set(i64::try_from(max).unwrap_or(i64::MAX));
        metrics
    }

    /// Registers the metrics; their names begin with `prefix`.
    pub fn register(&self, registry: &Metrics, prefix: &str) {
        registry.register(|r| {
            r.register(prefix, "Calls that have passed the gate", self.passed.clone());
            let help = "Calls that are being answered";
            r.register(format!("{prefix}_in_flight"), help, self.in_flight.clone());
            let help = "Calls that may be answered at the same time; 0 means no limit";
            r.register(format!("{prefix}_max"), help, self.max.clone());
            let help = "How long calls waited at the gate";
            r.register(format!("{prefix}_duration_seconds"), help, self.waited.clone());
        });
    }

    /// Counts the time that a call waited.
    pub fn observe_wait(&self, waited: Duration) {
        self.waited.observe(waited.as_secs_f64());
    }

    /// Counts a call that passes the gate, as being answered until the guard is dropped.
    pub fn pass(&self) -> InFlight {
        self.passed.inc();
        InFlight::new(&self.in_flight)
    }
}

/// Counts something in a gauge until it is dropped.
#[derive(Debug)]
pub struct InFlight(Gauge);

impl InFlight {
    /// Adds one to the gauge.
    pub fn new(gauge: &Gauge) -> InFlight {
        gauge.inc();
        InFlight(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
