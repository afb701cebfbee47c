//! The APIs of Prometheus besides series and labels, as servers have them over gRPC: rules, targets, metadata, exemplars and
//! statistics of a TSDB. Thanos `pkg/{rules,targets,metadata,exemplars,status}`.

mod client;
mod exemplars;
mod json;
mod metadata;
mod moment;
mod rules;
mod server;
mod statistics;
mod targets;

use futures::future::BoxFuture;

pub use self::exemplars::{Exemplar, ExemplarsRequest, SeriesExemplars};
pub use self::json::{alert_json, json_number, labels_json, rule_group_json};
pub use self::metadata::{Meta, MetadataByMetric, MetadataRequest};
pub use self::moment::Moment;
pub use self::rules::{ActiveAlert, AlertState, Alerting, Rule, RuleGroup, RuleKind, RulesRequest};
pub use self::server::CompanionServer;
pub use self::statistics::{Statistic, StatisticsByTenant, StatisticsRequest, TsdbStatistics};
pub use self::targets::{ActiveTarget, TargetHealth, TargetState, TargetsByState, TargetsRequest};
use crate::StoreApiError;

/// What can be asked besides series and labels: one server, or all servers of a querier together.
///
/// Each request has a field `partial_response`: with it a failure is a warning and what came before counts, without it the
/// call fails.
pub trait Companions: Send + Sync + 'static {
    /// Groups of rules; the same group may come several times.
    fn rules(&self, request: RulesRequest) -> Telling<RuleGroup>;

    /// Targets; the same target may come several times.
    fn targets(&self, request: TargetsRequest) -> Telling<TargetsByState>;

    /// Metadata of metrics; the same metric may come several times.
    fn metadata(&self, request: MetadataRequest) -> Telling<MetadataByMetric>;

    /// Exemplars; the same series may come several times.
    fn exemplars(&self, request: ExemplarsRequest) -> Telling<SeriesExemplars>;

    /// Statistics of TSDBs; the same tenant may come several times.
    fn statistics(&self, request: StatisticsRequest) -> Telling<StatisticsByTenant>;
}

/// What one server or several tell.
#[derive(Clone, Debug, PartialEq)]
pub struct Told<T> {
    /// In the order of arrival.
    pub found: Vec<T>,
    /// What could not be asked or read.
    pub warnings: Vec<String>,
}

impl<T> Default for Told<T> {
    fn default() -> Told<T> {
        Told { found: Vec::new(), warnings: Vec::new() }
    }
}

/// An answer on its way.
pub type Telling<T> = BoxFuture<'static, Result<Told<T>, StoreApiError>>;
