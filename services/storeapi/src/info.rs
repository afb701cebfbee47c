//! The info of a store, as our type and as the wire message of `Info`.

use tithon_chunks::TimeRange;
use tithon_index::Labels;
use tithon_proto::thanos::info::{self, InfoResponse, TsdbInfo};
use tithon_proto::{label_set, labels_from_wire};

/// The data that a store holds, and the features that it has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreInfo {
    /// Its component: `store`, `sidecar`, `query`, `rule` or `receive`.
    pub component: String,
    /// The distinct sets of external labels of its data. An empty list means that it may hold any series, so that no
    /// querier skips it because of labels.
    pub label_sets: Vec<Labels>,
    /// Time range of its data; empty if it has none.
    pub range: TimeRange,
    /// For each label set, the time ranges that its data cover without gaps.
    pub stretches: Vec<Stretch>,
    /// Whether it applies the shard of a request itself.
    pub supports_sharding: bool,
    /// Whether it removes `without_labels` from series before it sorts them.
    pub supports_without_labels: bool,
    /// The services that it has.
    pub apis: Apis,
    /// The version by which it evaluates parts of queries ([`crate::PARTS_VERSION`]); `None` if it does not. Thanos has nothing
    /// like that, and does not see it.
    pub parts: Option<u32>,
}

/// The gRPC services of a server besides `Info`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Apis {
    /// `thanos.Store`.
    pub store: bool,
    /// `thanos.Rules`.
    pub rules: bool,
    /// `thanos.Targets`.
    pub targets: bool,
    /// `thanos.Metadata`.
    pub metadata: bool,
    /// `thanos.Exemplars`.
    pub exemplars: bool,
    /// `thanos.Status`.
    pub status: bool,
    /// `thanos.Query`.
    pub query: bool,
}

/// A time range that the data of one label set cover.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// External labels of the data.
    pub labels: Labels,
    /// Start in milliseconds since 1970, inclusive.
    pub min_time: i64,
    /// End in milliseconds since 1970, exclusive.
    pub max_time: i64,
}

impl StoreInfo {
    /// The info of a store that may hold any series in `range` and supports everything.
    pub fn new(component: &str, range: TimeRange) -> StoreInfo {
        StoreInfo {
            component: component.to_owned(),
            label_sets: Vec::new(),
            range,
            stretches: Vec::new(),
            supports_sharding: true,
            supports_without_labels: true,
            apis: Apis { store: true, ..Apis::default() },
            parts: None,
        }
    }

    pub(crate) fn to_wire(&self) -> InfoResponse {
        let stretch = |stretch: &Stretch| TsdbInfo {
            labels: Some(label_set(&stretch.labels)),
            min_time: stretch.min_time,
            max_time: stretch.max_time,
        };
        let store = info::StoreInfo {
            min_time: self.range.min.0,
            max_time: self.range.max.0,
            supports_sharding: self.supports_sharding,
            supports_without_replica_labels: self.supports_without_labels,
            tsdb_infos: self.stretches.iter().map(stretch).collect(),
            supports_projections: false,
        };
        InfoResponse {
            label_sets: self.label_sets.iter().map(label_set).collect(),
            component_type: self.component.clone(),
            store: self.apis.store.then_some(store),
            rules: self.apis.rules.then(info::RulesInfo::default),
            metric_metadata: self.apis.metadata.then(info::MetricMetadataInfo::default),
            targets: self.apis.targets.then(info::TargetsInfo::default),
            exemplars: self.apis.exemplars.then(info::ExemplarsInfo::default),
            query: self.apis.query.then(info::QueryApiInfo::default),
            status: self.apis.status.then(info::StatusInfo::default),
            parts: self.parts.map(|version| info::PartsInfo { version }),
        }
    }

    /// The info in a server's answer. A server that announces no store covers all time and supports nothing. Empty
    /// label sets are dropped.
    pub(crate) fn from_wire(wire: InfoResponse) -> StoreInfo {
        let apis = Apis {
            store: wire.store.is_some(),
            rules: wire.rules.is_some(),
            targets: wire.targets.is_some(),
            metadata: wire.metric_metadata.is_some(),
            exemplars: wire.exemplars.is_some(),
            status: wire.status.is_some(),
            query: wire.query.is_some(),
        };
        let without =
            info::StoreInfo { min_time: i64::MIN, max_time: i64::MAX, ..info::StoreInfo::default() };
        let store = wire.store.unwrap_or(without);
        let stretch = |info: TsdbInfo| Stretch {
            labels: labels_from_wire(&info.labels.unwrap_or_default().labels),
            min_time: info.min_time,
            max_time: info.max_time,
        };
        StoreInfo {
            component: wire.component_type,
            label_sets: wire
                .label_sets
                .iter()
                .map(|set| labels_from_wire(&set.labels))
                .filter(|set| !set.is_empty())
                .collect(),
            range: TimeRange::new(store.min_time, store.max_time),
            stretches: store.tsdb_infos.into_iter().map(stretch).collect(),
            supports_sharding: store.supports_sharding,
            supports_without_labels: store.supports_without_replica_labels,
            apis,
            parts: wire.parts.map(|parts| parts.version),
        }
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;

    #[test]
    fn parts_are_told_in_a_field_that_thanos_skips() {
        let info = StoreInfo::new("store", TimeRange::new(1, 2));
        let evaluating = StoreInfo { parts: Some(7), ..info.clone() };
        assert_eq!(StoreInfo::from_wire(evaluating.to_wire()), evaluating);
        assert_eq!(StoreInfo::from_wire(info.to_wire()), info);
        // The field's number is unknown to Thanos, and all other bytes are the same.
        let (plain, more) = (info.to_wire().encode_to_vec(), evaluating.to_wire().encode_to_vec());
        assert_eq!(more, [&plain[..], &[0xca, 0x3e, 2, 8, 7]].concat());
    }
}
