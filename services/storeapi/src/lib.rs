//! The StoreAPI: series, label names and label values from any kind of store.
//!
//! [`StoreApi`] is the trait that every store implements: the blocks of a bucket, a querier over other stores, data of
//! your own (`examples/in_memory.rs`). [`StoreApiServer`] serves any of them as the gRPC services `thanos.Store` and
//! `thanos.info.Info`; [`Endpoint`] is such a server at another address, and a [`StoreApi`] itself. In one process stores
//! are called through the trait, without gRPC between them.
//!
//! [`Companions`] are the other APIs that servers of Thanos have over gRPC: rules, targets, metadata, exemplars and
//! statistics. [`CompanionServer`] serves them, and an [`Endpoint`] has them too. [`PromqlServer`] serves PromQL over gRPC,
//! [`PartsServer`] parts of queries that a store evaluates.

mod api;
mod companions;
mod error;
mod info;
mod lease;

mod codec;
mod endpoint;
mod frames;
mod parts;
mod promql;
mod promql_client;
mod rpc;
mod server;
mod status;

pub use crate::api::{LabelsAnswer, LabelsFuture, SeriesPart, SeriesStream, StoreApi};
pub use crate::companions::{
    ActiveAlert, ActiveTarget, AlertState, Alerting, CompanionServer, Companions, Exemplar, ExemplarsRequest,
    Meta, MetadataByMetric, MetadataRequest, Moment, Rule, RuleGroup, RuleKind, RulesRequest,
    SeriesExemplars, Statistic, StatisticsByTenant, StatisticsRequest, TargetHealth, TargetState,
    TargetsByState, TargetsRequest, Telling, Told, TsdbStatistics, alert_json, json_number, labels_json,
    rule_group_json,
};
pub use crate::endpoint::{
    Endpoint, EndpointError, EndpointOptions, Health, PartPieces, PromqlPiece, PromqlPieces, client_calls,
};
pub use crate::error::StoreApiError;
pub use crate::info::{Apis, StoreInfo, Stretch};
pub use crate::lease::{Lease, Mapped};
pub use crate::parts::{
    PARTS_VERSION, PartAnswer, PartFuture, PartPiece, PartRequest, PartRows, PartSummary, PartsServer,
    RowUnreadable,
};
pub use crate::promql::{
    PromqlAnswer, PromqlFuture, PromqlPoints, PromqlRequest, PromqlSeries, PromqlServer, PromqlTimes,
};
pub use crate::promql_client::PromqlClient;
pub use crate::server::{StoreApiServer, info_services};
