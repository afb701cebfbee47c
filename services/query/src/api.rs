//! The HTTP API of Prometheus and Thanos: parameters in, JSON out. One file an endpoint family.

pub(crate) mod answer;
mod arguments;
mod expression;
mod metadata;
mod page;
mod query;
mod router;
mod status;

pub use self::router::router;
