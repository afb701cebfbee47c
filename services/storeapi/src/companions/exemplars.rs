//! Exemplars of series. Thanos `pkg/exemplars/exemplarspb/rpc.proto`.

use tithon_index::Labels;
use tithon_proto::label_set;
use tithon_proto::thanos;

use super::rules::{aborts, labels, strategy};

/// A request for exemplars.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExemplarsRequest {
    /// A PromQL expression; only its selectors count.
    pub query: String,
    /// Start of the time range in milliseconds since 1970, inclusive.
    pub start_ms: i64,
    /// End of the time range in milliseconds since 1970, inclusive.
    pub end_ms: i64,
    /// Whether a failure costs only a warning.
    pub partial_response: bool,
}

/// The exemplars of a series.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesExemplars {
    /// Labels of the series.
    pub labels: Labels,
    /// The exemplars of the series.
    pub exemplars: Vec<Exemplar>,
}

/// An exemplar.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Labels of the exemplar, such as a trace ID.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// Time of the observation in milliseconds since 1970.
    pub time_ms: i64,
}

impl ExemplarsRequest {
    pub(super) fn into_wire(self) -> thanos::ExemplarsRequest {
        thanos::ExemplarsRequest {
            query: self.query,
            start: self.start_ms,
            end: self.end_ms,
            partial_response_strategy: strategy(!self.partial_response),
        }
    }

    pub(super) fn from_wire(wire: thanos::ExemplarsRequest) -> ExemplarsRequest {
        ExemplarsRequest {
            start_ms: wire.start,
            end_ms: wire.end,
            partial_response: !aborts(wire.partial_response_strategy),
            query: wire.query,
        }
    }
}

impl SeriesExemplars {
    pub(super) fn from_wire(wire: thanos::ExemplarData) -> SeriesExemplars {
        let exemplar = |one: thanos::Exemplar| Exemplar {
            labels: labels(one.labels),
            value: one.value,
            time_ms: one.ts,
        };
        SeriesExemplars {
            labels: labels(wire.series_labels),
            exemplars: wire.exemplars.into_iter().map(exemplar).collect(),
        }
    }

    pub(super) fn into_wire(self) -> thanos::ExemplarData {
        let exemplar = |one: Exemplar| thanos::Exemplar {
            labels: Some(label_set(&one.labels)),
            value: one.value,
            ts: one.time_ms,
        };
        thanos::ExemplarData {
            series_labels: Some(label_set(&self.labels)),
            exemplars: self.exemplars.into_iter().map(exemplar).collect(),
        }
    }
}
