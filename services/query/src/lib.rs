//! The querier: fan-out to stores, deduplication, PromQL over HTTP and gRPC; [`PartEvaluator`] is what stores have of it.
//!
//! [`QueryService`] selects series from stores, merges and deduplicates them, and evaluates PromQL on the CPU pool.
//! [`router`] is its HTTP API, Prometheus's or Thanos's as [`Dialect`] says. The service is also a store
//! (`tithon_storeapi::StoreApi`) for queriers above it.

mod active;
mod annotations;
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
mod part;
mod promql;
mod pushdown;
mod query;
mod remote;
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
pub use crate::options::{ConnectionLabel, Dialect, PartialResponses, QueryOptions};
pub use crate::part::{PartEvaluator, PartLimits};
pub use crate::service::QueryService;
pub use crate::tenancy::{CertificateField, Tenancy};
