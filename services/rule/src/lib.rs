//! Rules over the data of queriers: recorded series and alerts. Thanos `cmd/thanos/rule.go`, Prometheus `rules`.
//!
//! [`read_rules`] reads files of rules, [`Template`] expands the texts of alerts. A [`Manager`] evaluates groups at their slots:
//! it asks [`Queriers`], hands samples to a [`Storage`] and alerts to an [`AlertQueue`], from which an [`AlertSender`] takes them.

mod at;
mod template;
mod yaml;

mod file;
mod slot;

mod error;
mod series;

mod alert;

mod metrics;
mod peers;

mod notify;
mod query;
mod remote;
mod storage;

mod around;
mod depend;
mod group;
mod manager;

mod api;

pub use crate::alert::Alert;
pub use crate::api::{RuleCompanions, rule_pages};
pub use crate::around::ManagerOptions;
pub use crate::at::At;
pub use crate::error::RuleError;
pub use crate::file::{
    AlertConfig, GroupConfig, RuleConfig, RuleFault, RuleFaults, Strategy, Templates, parse_rules, read_rules,
};
pub use crate::manager::{Manager, ManagerError};
pub use crate::metrics::RuleMetrics;
pub use crate::notify::{
    AlertLabelling, AlertQueue, AlertSender, AlertmanagerConfig, ApiVersion, Generator, Notification,
    SenderOptions, alertmanager_of, parse_alertmanagers, parse_relabelling,
};
pub use crate::peers::{PeersConfig, PeersError};
pub use crate::query::{Queriers, QueryConfig, QueryError, QueryOptions, parse_query_config, queriers_of};
pub use crate::remote::{RemoteConfig, RemoteError, RemoteWrite, parse_remote_write};
pub use crate::series::SeriesSample;
pub use crate::storage::Storage;
pub use crate::template::{Answers, Data, Expansion, Number, Sample, Surroundings, Template, TemplateError};
