//! Metrics of the querier, with Thanos's names.

use std::borrow::Cow;
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use tithon_runtime::{ClientCalls, GateMetrics, InFlight, Metrics};
use tithon_storeapi::{StoreInfo, client_calls};

use crate::durations::{Durations, Stage};
use crate::options::{ConnectionLabel, QueryOptions};

type Pairs = Vec<(&'static str, String)>;

/// Metrics of the gate, of queries and of endpoints.
pub(crate) struct QueryMetrics {
    gate: GateMetrics,
    durations: Durations,
    samples: Counter,
    connections: Family<Pairs, Gauge>,
    dropped: Family<[(&'static str, &'static str); 1], Counter>,
    parts: Counter,
    parts_failed: Counter,
    lookups: Counter,
    lookup_failures: Counter,
    /// Counts calls to endpoints.
    pub(crate) calls: ClientCalls,
}

/// The name of the engine in labels that tell Thanos's engines apart; there is one engine here.
const ENGINE: &str = "prometheus";

impl QueryMetrics {
    pub(crate) fn new(registry: &Metrics, options: &QueryOptions) -> QueryMetrics {
        let metrics = QueryMetrics {
            gate: GateMetrics::new(options.max_concurrent),
            durations: Durations::new(),
            samples: Counter::default(),
            connections: Family::default(),
            dropped: Family::default(),
            parts: Counter::default(),
            parts_failed: Counter::default(),
            lookups: Counter::default(),
            lookup_failures: Counter::default(),
            calls: client_calls(registry),
        };
        registry.register(|r| {
            let help = "Endpoints that are asked";
            r.register("thanos_store_nodes_grpc_connections", help, metrics.connections.clone());
            let help = "Selections that exceeded a limit";
            r.register("thanos_store_selects_dropped", help, metrics.dropped.clone());
            let help = "Parts of queries that stores were asked to evaluate";
            r.register("tithon_query_parts", help, metrics.parts.clone());
            let help =
                "Parts of queries that stores did not evaluate, so that the queries were evaluated here";
            r.register("tithon_query_parts_failed", help, metrics.parts_failed.clone());
            // The first prefix is Thanos's current one, the second is used by its dashboards.
            for prefix in ["thanos_query_endpoints_dns", "thanos_query_store_apis_dns"] {
                r.register(format!("{prefix}_lookups"), "Look-ups of names", metrics.lookups.clone());
                let help = "Look-ups of names that failed";
                r.register(format!("{prefix}_failures"), help, metrics.lookup_failures.clone());
            }
        });
        metrics
            .register_engine(registry, if options.distributed.is_some() { "distributed" } else { "local" });
        metrics
    }

    fn register_engine(&self, registry: &Metrics, mode: &'static str) {
        self.gate.register(registry, "thanos_query_concurrent_gate_queries");
        registry.register(|r| {
            let labels = [("engine", ENGINE), ("mode", mode)];
            let labels = labels.map(|(name, value)| (Cow::Borrowed(name), Cow::Borrowed(value)));
            let r = r.sub_registry_with_labels(labels.into_iter());
            r.register("prometheus_engine_queries", "Queries evaluated now", self.gate.in_flight.clone());
            let help = "Queries that may be evaluated at the same time";
            r.register("prometheus_engine_queries_concurrent_max", help, self.gate.max.clone());
            let help = "Samples that queries have read";
            r.register("prometheus_engine_query_samples", help, self.samples.clone());
            r.register_collector(Box::new(self.durations.clone()));
        });
    }

    /// Replaces the connection metric by the numbers of these endpoints, given as address and info.
    pub(crate) fn connected<'a>(
        &self,
        endpoints: impl Iterator<Item = (&'a str, StoreInfo)>,
        labels: &[ConnectionLabel],
    ) {
        self.connections.clear();
        for (address, info) in endpoints {
            let pair = |label: &ConnectionLabel| match label {
                ConnectionLabel::ExternalLabels => ("external_labels", external_labels(&info)),
                ConnectionLabel::StoreType => ("store_type", info.component.clone()),
                ConnectionLabel::IpPort => ("ip_port", address.to_owned()),
            };
            self.connections.get_or_create(&labels.iter().map(pair).collect::<Pairs>()).inc();
        }
    }

    /// The counter of selections that exceeded the limit named by `reason`.
    pub(crate) fn selects_dropped(&self, reason: &'static str) -> Counter {
        self.dropped.get_or_create(&[("reason", reason)]).clone()
    }

    /// Counts DNS look-ups, and those that failed.
    pub(crate) fn looked_up(&self, names: usize, failed: usize) {
        self.lookups.inc_by(names as u64);
        self.lookup_failures.inc_by(failed as u64);
    }

    /// Counts a query's wait at the gate.
    pub(crate) fn waited(&self, waited: Duration) {
        self.gate.observe_wait(waited);
        self.durations.observe(Stage::Queue, waited);
    }

    /// Observes the duration of a stage.
    pub(crate) fn took(&self, stage: Stage, took: Duration) {
        self.durations.observe(stage, took);
    }

    /// Counts the samples that a query has read.
    pub(crate) fn read_samples(&self, samples: u64) {
        self.samples.inc_by(samples);
    }

    /// Counts a part that a store was asked to evaluate.
    pub(crate) fn pushed(&self, succeeded: bool) {
        self.parts.inc();
        if !succeeded {
            self.parts_failed.inc();
        }
    }

    /// Counts a query as being evaluated until the guard is dropped.
    pub(crate) fn evaluating(&self) -> InFlight {
        self.gate.pass()
    }
}

/// The label sets of an endpoint as one text, cut when long. Thanos `pkg/query/endpointset.go`.
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
