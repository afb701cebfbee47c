//! What all groups share: the options of the ruler, and the parts of the process that groups are evaluated with.

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
    /// Interval between two evaluations of a group whose file sets none.
    pub eval_interval: Duration,
    /// How far behind its slot a group is evaluated whose file sets no offset.
    pub query_offset: Duration,
    /// Number of rules of all groups that are evaluated at the same time; 0 and 1 mean one rule of each group.
    pub concurrent_evaluations: usize,
    /// Shortest time until an unchanged alert is sent again.
    pub resend_delay: Duration,
    /// How far back alerts of an earlier process are looked for.
    pub for_outage_tolerance: Duration,
    /// The shortest time that a restored alert is pending; rules that hold for less are not restored.
    pub for_grace_period: Duration,
    /// `$externalURL` of templates.
    pub external_url: String,
    /// External labels: set in the rules that APIs show, and `$externalLabels` of templates.
    pub external_labels: Labels,
    /// Which PromQL is accepted.
    pub parse: ParseOptions,
}

/// The parts of the process that groups are evaluated with.
pub(crate) struct Around {
    pub(crate) options: ManagerOptions,
    pub(crate) external_labels: Arc<BTreeMap<String, String>>,
    pub(crate) queriers: Queriers,
    pub(crate) storage: Storage,
    pub(crate) queue: AlertQueue,
    pub(crate) generator: Generator,
    pub(crate) metrics: RuleMetrics,
    /// Limits how many rules are evaluated at the same time.
    pub(crate) turns: Semaphore,
}
