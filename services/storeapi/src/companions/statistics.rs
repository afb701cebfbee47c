//! Statistics of a TSDB's head. Thanos `pkg/status/statuspb/rpc.proto`.

use std::collections::BTreeMap;

use tithon_index::Matcher;
use tithon_proto::{ConvertError, matcher_to_wire, matchers_from_wire, thanos};

use super::rules::{aborts, strategy};

/// A request for statistics.
#[derive(Clone, Debug, PartialEq)]
pub struct StatisticsRequest {
    /// Name of the tenant; empty for all tenants.
    pub tenant: String,
    /// Length of each list.
    pub limit: i32,
    /// Matchers that the external labels of a TSDB must satisfy.
    pub matchers: Vec<Matcher>,
    /// Whether a failure costs only a warning.
    pub partial_response: bool,
}

/// Statistics by tenant; a server without tenants uses the empty name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatisticsByTenant(pub BTreeMap<String, TsdbStatistics>);

/// Sizes of a TSDB's head, and the metrics and labels with the greatest numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TsdbStatistics {
    /// Number of series.
    pub series: u64,
    /// Number of label pairs.
    pub label_pairs: i64,
    /// Number of chunks.
    pub chunks: i64,
    /// Time of the first sample in milliseconds since 1970.
    pub min_time_ms: i64,
    /// Time of the last sample in milliseconds since 1970.
    pub max_time_ms: i64,
    /// Number of series by metric name.
    pub series_by_metric: Vec<Statistic>,
    /// Number of values by label name.
    pub values_by_label: Vec<Statistic>,
    /// Bytes of values by label name.
    pub bytes_by_label: Vec<Statistic>,
    /// Number of series by label pair.
    pub series_by_pair: Vec<Statistic>,
}

/// An entry of a list of statistics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statistic {
    /// Name of the metric, label or label pair.
    pub name: String,
    /// The number.
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
