//! StoreAPI over a bucket: which blocks there are, and series, label names and label values out of them.
//!
//! [`Store`] answers in our own types and serves one process as well as many; [`StoreService`] puts it on the wire.

mod error;
mod options;
mod request;

mod blocks;
mod metrics;
mod store;
mod sync;

mod advertise;
mod drive;
mod external;
mod labels;
mod matchers;
mod merging;
mod outlet;
mod select;
mod shape;
mod stalls;

mod frames;
mod rpc;
mod service;

pub use crate::advertise::{Advertised, Stretch};
pub use crate::error::StoreError;
pub use crate::labels::LabelAnswer;
pub use crate::options::StoreOptions;
pub use crate::outlet::{Lease, SelectStream, Selected};
pub use crate::request::{LabelsRequest, SelectRequest};
pub use crate::service::StoreService;
pub use crate::store::Store;
pub use crate::sync::SyncReport;
