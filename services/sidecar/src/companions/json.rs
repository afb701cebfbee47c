//! Types of answers of Prometheus's JSON API. Prometheus `web/api/v1/api.go`.

use std::collections::BTreeMap;

use serde::Deserialize;
use tithon_chunks::calendar::parse_rfc3339;
use tithon_index::Labels;
use tithon_storeapi::{self as api, ActiveAlert, AlertState, Alerting, Moment, Statistic};

type Pairs = BTreeMap<String, String>;

/// `/api/v1/rules`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct RuleGroups {
    groups: Vec<RuleGroup>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct RuleGroup {
    name: String,
    file: String,
    rules: Vec<Rule>,
    interval: f64,
    evaluation_time: f64,
    last_evaluation: String,
    limit: i64,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Rule {
    r#type: String,
    name: String,
    query: String,
    labels: Pairs,
    health: String,
    last_error: String,
    evaluation_time: f64,
    last_evaluation: String,
    state: String,
    duration: f64,
    keep_firing_for: f64,
    annotations: Pairs,
    alerts: Vec<Alert>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Alert {
    labels: Pairs,
    annotations: Pairs,
    state: String,
    active_at: Option<String>,
    value: String,
}

impl RuleGroups {
    /// Prometheus has no partial responses, so every group aborts on errors.
    pub(super) fn into_groups(self) -> Vec<api::RuleGroup> {
        let group = |group: RuleGroup| api::RuleGroup {
            name: group.name,
            file: group.file,
            rules: group.rules.into_iter().map(Rule::into_rule).collect(),
            interval: group.interval,
            evaluation_seconds: group.evaluation_time,
            last_evaluation: moment(&group.last_evaluation),
            limit: group.limit,
            aborts: true,
        };
        self.groups.into_iter().map(group).collect()
    }
}

impl Rule {
    fn into_rule(self) -> api::Rule {
        let alerting = (self.r#type == "alerting").then(|| Alerting {
            state: alert_state(&self.state),
            duration: self.duration,
            keep_firing_for: self.keep_firing_for,
            annotations: Labels::from_pairs(&self.annotations),
            alerts: self.alerts.into_iter().map(Alert::into_alert).collect(),
        });
        api::Rule {
            name: self.name,
            query: self.query,
            labels: Labels::from_pairs(&self.labels),
            health: self.health,
            last_error: self.last_error,
            evaluation_seconds: self.evaluation_time,
            last_evaluation: moment(&self.last_evaluation),
            alerting,
        }
    }
}

impl Alert {
    fn into_alert(self) -> ActiveAlert {
        ActiveAlert {
            labels: Labels::from_pairs(&self.labels),
            annotations: Labels::from_pairs(&self.annotations),
            state: alert_state(&self.state),
            active_at: self.active_at.as_deref().map(moment),
            value: self.value,
            aborts: false,
        }
    }
}

fn alert_state(word: &str) -> AlertState {
    let states = [AlertState::Inactive, AlertState::Pending, AlertState::Firing];
    states.into_iter().find(|state| state.as_str() == word).unwrap_or_default()
}

/// `/api/v1/targets`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Targets {
    active_targets: Vec<ActiveTarget>,
    dropped_targets: Vec<DroppedTarget>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ActiveTarget {
    discovered_labels: Pairs,
    labels: Pairs,
    scrape_pool: String,
    scrape_url: String,
    global_url: String,
    last_error: String,
    last_scrape: String,
    last_scrape_duration: f64,
    health: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct DroppedTarget {
    discovered_labels: Pairs,
}

impl Targets {
    pub(super) fn into_targets(self) -> api::TargetsByState {
        let dropped = self.dropped_targets.iter().map(|target| Labels::from_pairs(&target.discovered_labels));
        api::TargetsByState {
            active: self.active_targets.into_iter().map(ActiveTarget::into_target).collect(),
            dropped: dropped.collect(),
        }
    }
}

impl ActiveTarget {
    fn into_target(self) -> api::ActiveTarget {
        use api::TargetHealth::{Down, Unknown, Up};
        api::ActiveTarget {
            discovered_labels: Labels::from_pairs(&self.discovered_labels),
            labels: Labels::from_pairs(&self.labels),
            scrape_pool: self.scrape_pool,
            scrape_url: self.scrape_url,
            global_url: self.global_url,
            last_error: self.last_error,
            last_scrape: moment(&self.last_scrape),
            last_scrape_seconds: self.last_scrape_duration,
            health: [Down, Up].into_iter().find(|health| health.as_str() == self.health).unwrap_or(Unknown),
        }
    }
}

/// An entry of `/api/v1/metadata`.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Meta {
    r#type: String,
    help: String,
    unit: String,
}

impl Meta {
    pub(super) fn into_meta(self) -> api::Meta {
        api::Meta { kind: self.r#type, help: self.help, unit: self.unit }
    }
}

/// An entry of `/api/v1/query_exemplars`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct SeriesExemplars {
    series_labels: Pairs,
    exemplars: Vec<Exemplar>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Exemplar {
    labels: Pairs,
    value: String,
    timestamp: f64,
}

impl SeriesExemplars {
    pub(super) fn into_exemplars(self) -> api::SeriesExemplars {
        let exemplar = |one: Exemplar| api::Exemplar {
            labels: Labels::from_pairs(&one.labels),
            value: one.value.parse().unwrap_or(f64::NAN),
            time_ms: (one.timestamp * 1000.0).round() as i64,
        };
        api::SeriesExemplars {
            labels: Labels::from_pairs(&self.series_labels),
            exemplars: self.exemplars.into_iter().map(exemplar).collect(),
        }
    }
}

/// `/api/v1/status/tsdb`.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct TsdbStatus {
    head_stats: HeadStats,
    series_count_by_metric_name: Vec<Entry>,
    label_value_count_by_label_name: Vec<Entry>,
    memory_in_bytes_by_label_name: Vec<Entry>,
    series_count_by_label_value_pair: Vec<Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct HeadStats {
    num_series: u64,
    num_label_pairs: i64,
    chunk_count: i64,
    min_time: i64,
    max_time: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    name: String,
    value: u64,
}

impl TsdbStatus {
    pub(super) fn into_statistics(self) -> api::TsdbStatistics {
        let list = |entries: Vec<Entry>| -> Vec<Statistic> {
            entries.into_iter().map(|entry| Statistic { name: entry.name, value: entry.value }).collect()
        };
        api::TsdbStatistics {
            series: self.head_stats.num_series,
            label_pairs: self.head_stats.num_label_pairs,
            chunks: self.head_stats.chunk_count,
            min_time_ms: self.head_stats.min_time,
            max_time_ms: self.head_stats.max_time,
            series_by_metric: list(self.series_count_by_metric_name),
            values_by_label: list(self.label_value_count_by_label_name),
            bytes_by_label: list(self.memory_in_bytes_by_label_name),
            series_by_pair: list(self.series_count_by_label_value_pair),
        }
    }
}

/// Parses RFC 3339; an invalid time becomes Go's zero time.
fn moment(text: &str) -> Moment {
    let read = |(seconds, nanos): (i64, i64)| Some(Moment { seconds, nanos: u32::try_from(nanos).ok()? });
    parse_rfc3339(text).and_then(read).unwrap_or_default()
}
