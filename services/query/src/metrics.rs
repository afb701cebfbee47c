//! What a querier counts, under Thanos's names.

use std::sync::atomic::AtomicI64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use tithon_runtime::Metrics;
use tithon_storeapi::StoreInfo;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    code: u16,
    handler: String,
    method: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Connection {
    external_labels: String,
    store_type: String,
}

/// Counters of HTTP requests and of the gate in front of evaluation.
pub(crate) struct QueryMetrics {
    requests: Family<Request, Counter>,
    durations: Family<Request, Histogram, fn() -> Histogram>,
    in_flight: Gauge<i64, AtomicI64>,
    queries: Counter,
    connections: Family<Connection, Gauge>,
}

impl QueryMetrics {
    pub(crate) fn new(registry: &Metrics, max_concurrent: usize) -> QueryMetrics {
        let metrics = QueryMetrics {
            requests: Family::default(),
            durations: Family::new_with_constructor(duration_histogram as fn() -> Histogram),
            in_flight: Gauge::default(),
            queries: Counter::default(),
            connections: Family::default(),
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
            r.register(
                "thanos_store_nodes_grpc_connections",
                "Endpoints that are asked",
                metrics.connections.clone(),
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

    /// From now on these endpoints are asked.
    pub(crate) fn connected(&self, endpoints: &[StoreInfo]) {
        self.connections.clear();
        for info in endpoints {
            let labels =
                Connection { external_labels: external_labels(info), store_type: info.component.clone() };
            self.connections.get_or_create(&labels).inc();
        }
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

/// The label sets of an endpoint as one text, cut where it is long. Thanos `pkg/query/endpointset.go`.
fn external_labels(info: &StoreInfo) -> String {
    const BYTES_MAX: usize = 1000;
    if info.label_sets.is_empty() {
        return "no_external_labels".to_owned();
    }
    let mut sets: Vec<String> = info.label_sets.iter().map(ToString::to_string).collect();
    sets.sort();
    let mut text = sets.join(",");
    if text.len() > BYTES_MAX {
        text.truncate(text.floor_char_boundary(BYTES_MAX));
        text.push('}');
    }
    text
}

fn duration_histogram() -> Histogram {
    Histogram::new([
        0.001, 0.01, 0.1, 0.3, 0.6, 1.0, 3.0, 6.0, 9.0, 20.0, 30.0, 60.0, 90.0, 120.0, 240.0, 360.0, 720.0,
    ])
}

#[cfg(test)]
mod tests {
    use tithon_chunks::TimeRange;
    use tithon_index::Labels;

    use super::*;

    #[test]
    fn label_sets_as_one_text() {
        let info = |label_sets| StoreInfo { label_sets, ..StoreInfo::new("store", TimeRange::ALL) };
        let set = |replica: &str| Labels::from_pairs([("replica", replica)]);
        assert_eq!(external_labels(&info(Vec::new())), "no_external_labels");
        assert_eq!(external_labels(&info(vec![set("b"), set("a")])), r#"{replica="a"},{replica="b"}"#);
        let long = external_labels(&info(vec![set(&"é".repeat(900))]));
        assert!(long.ends_with("é}") && long.len() <= 1001, "{long}");
    }
}
