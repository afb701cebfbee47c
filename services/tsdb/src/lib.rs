//! A data directory of this process's own: samples are appended to its head, its blocks are cut and deleted in time, and all of it
//! is a StoreAPI. Thanos `pkg/store/tsdb.go`, Prometheus `tsdb/db.go`.

mod error;
mod metrics;
mod readers;
mod statistics;
mod store;
mod tsdb;

pub use crate::error::TsdbError;
pub use crate::store::TsdbStore;
pub use crate::tsdb::{Tsdb, TsdbOptions};
pub use tithon_head::{HeadError, NewSample, NewValue, Refusal, Refused};
