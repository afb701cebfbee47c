//! Metadata of metrics: type, help and unit. Thanos `pkg/metadata/metadatapb/rpc.proto`.

use std::collections::BTreeMap;

use tithon_proto::thanos;

use super::rules::{aborts, strategy};

/// A request for metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataRequest {
    /// Name of the metric; empty for all metrics.
    pub metric: String,
    /// Largest number of metrics; negative means no limit.
    pub limit: i32,
    /// Whether a failure costs only a warning.
    pub partial_response: bool,
}

/// The metadata of each metric, by name; targets may differ in what they report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataByMetric(pub BTreeMap<String, Vec<Meta>>);

/// The metadata that a target reports for a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Type of the metric: `counter`, `gauge`, `histogram` and so on.
    pub kind: String,
    /// Description of the metric.
    pub help: String,
    /// Unit of the metric; may be empty.
    pub unit: String,
}

impl MetadataRequest {
    pub(super) fn into_wire(self) -> thanos::MetricMetadataRequest {
        let partial_response_strategy = strategy(!self.partial_response);
        thanos::MetricMetadataRequest { metric: self.metric, limit: self.limit, partial_response_strategy }
    }

    pub(super) fn from_wire(wire: thanos::MetricMetadataRequest) -> MetadataRequest {
        let partial_response = !aborts(wire.partial_response_strategy);
        MetadataRequest { metric: wire.metric, limit: wire.limit, partial_response }
    }
}

impl MetadataByMetric {
    pub(super) fn from_wire(wire: thanos::MetricMetadata) -> MetadataByMetric {
        let meta = |meta: thanos::Meta| Meta { kind: meta.r#type, help: meta.help, unit: meta.unit };
        let of_metric = |(name, entry): (String, thanos::MetricMetadataEntry)| {
            (name, entry.metas.into_iter().map(meta).collect())
        };
        MetadataByMetric(wire.metadata.into_iter().map(of_metric).collect())
    }

    pub(super) fn into_wire(self) -> thanos::MetricMetadata {
        let meta = |meta: Meta| thanos::Meta { r#type: meta.kind, help: meta.help, unit: meta.unit };
        let of_metric = |(name, metas): (String, Vec<Meta>)| {
            (name, thanos::MetricMetadataEntry { metas: metas.into_iter().map(meta).collect() })
        };
        thanos::MetricMetadata { metadata: self.0.into_iter().map(of_metric).collect() }
    }
}
