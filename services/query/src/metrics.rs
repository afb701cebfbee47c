//! What a querier counts, under Thanos's names.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tithon_runtime::Metrics;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    code: u16,
    handler: String,
    method: String,
}

/// Counters of HTTP requests and of the gate in front of evaluation.
pub(crate) struct QueryMetrics {
    requests: Family<Request, Counter>,
    durations: Family<Request, Histogram, fn() -> Histogram>,
    in_flight: Gauge<i64, AtomicI64>,
    queries: Counter,
}

impl QueryMetrics {
    pub(crate) fn new(registry: &Metrics, max_concurrent: usize) -> QueryMetrics {
        let metrics = QueryMetrics {
            requests: Family::default(),
            durations: Family::new_with_constructor(duration_histogram as fn() -> Histogram),
            in_flight: Gauge::default(),
            queries: Counter::default(),
        };
        let gate_max: Gauge = Gauge::default();
        gate_max.set(i64::try_from(max_concurrent).unwrap_or(i64::MAX));
        registry.register(|r| {
            r.register(
                "http_requests",
                "HTTP requests by handler, method and status",
                metrics.requests.clone(),
            );
            r.register(
                "http_request_duration_seconds",
                "How long HTTP requests took",
                metrics.durations.clone(),
            );
            let prefix = "thanos_query_concurrent_gate_queries";
            r.register(prefix, "Queries that have passed the gate", metrics.queries.clone());
            r.register(format!("{prefix}_in_flight"), "Queries evaluated now", metrics.in_flight.clone());
            r.register(format!("{prefix}_max"), "Queries that may be evaluated at the same time", gate_max);
        });
        metrics
    }

    pub(crate) fn request(&self, handler: &str, method: &str, code: u16, took: Duration) {
        let labels = Request { code, handler: handler.to_owned(), method: method.to_ascii_lowercase() };
        self.requests.get_or_create(&labels).inc();
        self.durations.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts a query as evaluated until the guard is dropped.
    pub(crate) fn evaluating(&self) -> Evaluating {
        self.queries.inc();
        self.in_flight.inc();
        Evaluating(self.in_flight.clone())
    }
}

/// A query under evaluation.
pub(crate) struct Evaluating(Gauge<i64, AtomicI64>);

impl Drop for Evaluating {
    fn drop(&mut self) {
        self.0.dec();
    }
}

fn duration_histogram() -> Histogram {
    Histogram::new([
        0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0,
    ])
}
