//! How much a TSDB holds in its head. Thanos `pkg/status/statuspb/rpc.proto`.

use std::collections::BTreeMap;

use tithon_index::Matcher;
use tithon_proto::{ConvertError, matcher_to_wire, matchers_from_wire, thanos};

use super::rules::{aborts, strategy};

/// Which statistics are wanted.
#[derive(Clone, Debug, PartialEq)]
pub struct StatisticsRequest {
    /// Only of this tenant; empty for all.
    pub tenant: String,
    /// The length of each list.
    pub limit: i32,
    /// Only of TSDBs whose external labels satisfy these.
    pub matchers: Vec<Matcher>,
    /// A failure costs a warning only.
    pub partial_response: bool,
}

/// Statistics by tenant; a server without tenants has the empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatisticsByTenant(pub BTreeMap<String, TsdbStatistics>);

/// What the head of a TSDB holds, and what takes the most of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TsdbStatistics {
    /// Series.
    pub series: u64,
    /// Pairs of label name and value.
    pub label_pairs: i64,
    /// Chunks.
    pub chunks: i64,
    /// The time of the first sample, milliseconds since 1970.
    pub min_time_ms: i64,
    /// The time of the last sample.
    pub max_time_ms: i64,
    /// Series by metric.
    pub series_by_metric: Vec<Statistic>,
    /// Values by label.
    pub values_by_label: Vec<Statistic>,
    /// Bytes of values by label.
    pub bytes_by_label: Vec<Statistic>,
    /// Series by pair of label name and value.
    pub series_by_pair: Vec<Statistic>,
}

/// A line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistic {
    /// Of what.
    pub name: String,
    /// How many.
    pub value: u64,
}

impl StatisticsRequest {
    pub(super) fn into_wire(self) -> thanos::TsdbStatisticsRequest {
        thanos::TsdbStatisticsRequest {
            tenant: self.tenant,
            limit: self.limit,
            partial_response_strategy: strategy(!self.partial_response),
            matchers: self.matchers.iter().map(matcher_to_wire).collect(),
        }
    }

    /// Fails as [`matchers_from_wire`] does.
    pub(super) fn from_wire(wire: thanos::TsdbStatisticsRequest) -> Result<StatisticsRequest, ConvertError> {
        Ok(StatisticsRequest {
            tenant: wire.tenant,
            limit: wire.limit,
            matchers: matchers_from_wire(&wire.matchers)?,
            partial_response: !aborts(wire.partial_response_strategy),
        })
    }
}

impl StatisticsByTenant {
    pub(super) fn from_wire(wire: thanos::TsdbStatistics) -> StatisticsByTenant {
        StatisticsByTenant(
            wire.statistics
                .into_iter()
                .map(|(tenant, entry)| (tenant, TsdbStatistics::from_wire(entry)))
                .collect(),
        )
    }

    pub(super) fn into_wire(self) -> thanos::TsdbStatistics {
        thanos::TsdbStatistics {
            statistics: self.0.into_iter().map(|(tenant, one)| (tenant, one.into_wire())).collect(),
        }
    }
}

impl TsdbStatistics {
    fn from_wire(wire: thanos::TsdbStatisticsEntry) -> TsdbStatistics {
        let list = |wire: Vec<thanos::Statistic>| {
            wire.into_iter().map(|one| Statistic { name: one.name, value: one.value }).collect()
        };
        let head = wire.head_statistics.unwrap_or_default();
        TsdbStatistics {
            series: head.num_series,
            label_pairs: head.num_label_pairs,
            chunks: head.chunk_count,
            min_time_ms: head.min_time,
            max_time_ms: head.max_time,
            series_by_metric: list(wire.series_count_by_metric_name),
            values_by_label: list(wire.label_value_count_by_label_name),
            bytes_by_label: list(wire.memory_in_bytes_by_label_name),
            series_by_pair: list(wire.series_count_by_label_value_pair),
        }
    }

    fn into_wire(self) -> thanos::TsdbStatisticsEntry {
        let list = |list: Vec<Statistic>| {
            list.into_iter().map(|one| thanos::Statistic { name: one.name, value: one.value }).collect()
        };
        let head = thanos::HeadStatistics {
            num_series: self.series,
            num_label_pairs: self.label_pairs,
            chunk_count: self.chunks,
            min_time: self.min_time_ms,
            max_time: self.max_time_ms,
        };
        thanos::TsdbStatisticsEntry {
            head_statistics: Some(head),
            series_count_by_metric_name: list(self.series_by_metric),
            label_value_count_by_label_name: list(self.values_by_label),
            memory_in_bytes_by_label_name: list(self.bytes_by_label),
            series_count_by_label_value_pair: list(self.series_by_pair),
        }
    }
}
