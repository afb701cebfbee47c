//! The StoreAPI: series, label names and label values out of anything that has them.
//!
//! [`StoreApi`] is the trait that every store implements: the blocks of a bucket, a querier over other stores, data of
//! your own (`examples/in_memory.rs`). [`StoreApiServer`] serves any of them as the gRPC services `thanos.Store` and
//! `thanos.info.Info`; [`Endpoint`] is such a server at another address, and a [`StoreApi`] itself. In one process stores
//! are called through the trait, without gRPC between them.

mod api;
mod error;
mod info;
mod lease;

mod codec;
mod endpoint;
mod frames;
mod rpc;
mod server;

pub use crate::api::{LabelsAnswer, LabelsFuture, SeriesPart, SeriesStream, StoreApi};
pub use crate::endpoint::{Endpoint, EndpointError, EndpointOptions, Health};
pub use crate::error::StoreApiError;
pub use crate::info::{Apis, StoreInfo, Stretch};
pub use crate::lease::{Lease, Mapped};
pub use crate::server::StoreApiServer;
