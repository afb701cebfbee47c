//! The HTTP API of Prometheus and Thanos. Each family of endpoints has a file.

pub(crate) mod answer;
pub(crate) mod arguments;
mod call;
mod companions;
mod expression;
mod metadata;
mod pages;
mod query;
mod router;
mod status;

pub(crate) use self::call::Call;
pub use self::router::router;
