//! What is around the groups: the options of the ruler, and what groups need to be evaluated.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tithon_index::Labels;
use tithon_promql::ParseOptions;
use tokio::sync::Semaphore;

use crate::metrics::RuleMetrics;
use crate::{AlertQueue, Generator, Queriers, Storage};

/// How rules are evaluated.
#[derive(Clone, Debug)]
pub struct ManagerOptions {
    /// Patterns of paths of rule files.
    pub rule_files: Vec<String>,
    /// The ruler's folder; slots are made of it, as Thanos makes them.
    pub data_dir: String,
    /// Of groups that say nothing.
    pub eval_interval: Duration,
    /// Of groups that say nothing.
    pub query_offset: Duration,
    /// Rules that are evaluated at the same time, of all groups together, where this is above 1.
    pub concurrent_evaluations: usize,
    /// How long an alert is not sent again.
    pub resend_delay: Duration,
    /// How far back alerts of an earlier process are looked for.
    pub for_outage_tolerance: Duration,
    /// The shortest time that a restored alert is pending; rules that hold for less are not restored.
    pub for_grace_period: Duration,
    /// `$externalURL` of templates.
    pub external_url: String,
    /// Set in what APIs tell of rules; `$externalLabels` of templates.
    pub external_labels: Labels,
    /// Which PromQL is accepted.
    pub parse: ParseOptions,
}

/// What groups need to be evaluated.
pub(crate) struct Around {
    pub(crate) options: ManagerOptions,
    pub(crate) external_labels: Arc<BTreeMap<String, String>>,
    pub(crate) queriers: Queriers,
    pub(crate) storage: Storage,
    pub(crate) queue: AlertQueue,
    pub(crate) generator: Generator,
    pub(crate) metrics: RuleMetrics,
    pub(crate) turns: Semaphore,
}
