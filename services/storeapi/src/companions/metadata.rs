//! Type, help and unit of metrics. Thanos `pkg/metadata/metadatapb/rpc.proto`.

use std::collections::BTreeMap;

use tithon_proto::thanos;

use super::rules::{aborts, strategy};

/// Which metadata are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataRequest {
    /// Only of this metric; empty for all.
    pub metric: String,
    /// Of how many metrics at most; negative is no limit, 0 is none.
    pub limit: i32,
    /// A failure costs a warning only.
    pub partial_response: bool,
}

/// What targets tell of metrics, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataByMetric(pub BTreeMap<String, Vec<Meta>>);

/// What a target tells of a metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// `counter`, `gauge`, `histogram` and so on.
    pub kind: String,
    /// A text for people.
    pub help: String,
    /// A unit, where there is one.
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
