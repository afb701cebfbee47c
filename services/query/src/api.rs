//! The HTTP API of Prometheus and Thanos: parameters in, JSON out. One file an endpoint family.

pub(crate) mod answer;
pub(crate) mod arguments;
mod companions;
mod expression;
mod metadata;
mod page;
mod query;
mod router;
mod status;

pub(crate) use self::router::Call;
pub use self::router::router;
