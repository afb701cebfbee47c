//! Fan-out, deduplication, PromQL over gRPC and HTTP.
//!
//! [`QueryService`] asks stores for series, joins them, makes one series of replicas and evaluates PromQL on the CPU pool.
//! [`router`] is its HTTP API, that of Prometheus or of Thanos by [`Dialect`]. The service is a store itself
//! (`tithon_storeapi::StoreApi`), for the queriers above it.

mod active;
mod api;
mod companions;
mod discovery;
mod durations;
mod error;
mod evaluate;
mod fanout;
mod job;
mod json;
mod lookback;
mod metrics;
mod options;
mod params;
mod promql;
mod service;
mod slow;
mod store;
mod tenancy;

pub use crate::active::{ActiveQueries, ActiveQueriesError};
pub use crate::api::router;
pub use crate::discovery::{
    DiscoveryError, DnsName, EndpointAddress, EndpointConfigError, Member, MemberSources, Members,
    MembersError, parse_endpoints,
};
pub use crate::error::{ApiError, ErrorType};
pub use crate::options::{BuildInfo, ConnectionLabel, Dialect, PartialResponses, QueryOptions};
pub use crate::service::QueryService;
pub use crate::tenancy::{CertificateField, Tenancy};
