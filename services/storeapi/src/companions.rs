//! The APIs of Prometheus besides series and labels that servers have over gRPC: rules, targets, metadata, exemplars
//! and TSDB statistics. Thanos `pkg/{rules,targets,metadata,exemplars,status}`.

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

/// The APIs besides series and labels, of one server or of all servers behind a querier.
///
/// Each request has a field `partial_response`. If it is set, a failure becomes a warning and what came before counts;
/// otherwise the call fails.
pub trait Companions: Send + Sync + 'static {
    /// Groups of rules; a group may occur several times.
    fn rules(&self, request: RulesRequest) -> Telling<RuleGroup>;

    /// Targets; a target may occur several times.
    fn targets(&self, request: TargetsRequest) -> Telling<TargetsByState>;

    /// Metadata of metrics; a metric may occur several times.
    fn metadata(&self, request: MetadataRequest) -> Telling<MetadataByMetric>;

    /// Exemplars; a series may occur several times.
    fn exemplars(&self, request: ExemplarsRequest) -> Telling<SeriesExemplars>;

    /// Statistics of TSDBs; a tenant may occur several times.
    fn statistics(&self, request: StatisticsRequest) -> Telling<StatisticsByTenant>;
}

/// The answer of one server or several.
#[derive(Clone, Debug, PartialEq)]
pub struct Told<T> {
    /// The items, in the order they arrived.
    pub found: Vec<T>,
    /// Servers that could not be asked, or answers that could not be read.
    pub warnings: Vec<String>,
}

impl<T> Default for Told<T> {
    fn default() -> Told<T> {
        Told { found: Vec::new(), warnings: Vec::new() }
    }
}

/// The future of an answer.
pub type Telling<T> = BoxFuture<'static, Result<Told<T>, StoreApiError>>;
