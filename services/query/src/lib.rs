//! Fan-out, deduplication, PromQL over gRPC and HTTP.
//!
//! [`QueryService`] asks its [`Source`]s for series, joins them, makes one series of replicas and evaluates PromQL on
//! the CPU pool; [`router`] is its HTTP API, that of Prometheus or of Thanos by [`Dialect`], [`grpc_routes`] its StoreAPI.

mod api;
mod discovery;
mod error;
mod evaluate;
mod fanout;
mod grpc;
mod job;
mod json;
mod lookback;
mod metrics;
mod options;
mod params;
mod service;

pub use crate::api::router;
pub use crate::discovery::{Discovery, DnsName, EndpointAddress};
pub use crate::error::{ApiError, ErrorType};
pub use crate::fanout::{
    Aggregate, Endpoint, EndpointError, LabelsRequest, Lease, LocalPart, LocalSource, SeriesRequest, Source,
    SourceError, SourceInfo, SourceLabels,
};
pub use crate::grpc::grpc_routes;
pub use crate::options::{BuildInfo, Dialect, QueryOptions};
pub use crate::service::QueryService;
