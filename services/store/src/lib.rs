//! The StoreAPI over a bucket: keeps up with its blocks, and answers with series, label names and label values from
//! them.
//!
//! [`Store`] implements [`tithon_storeapi::StoreApi`], which is called in this process or, behind a `StoreApiServer`,
//! over gRPC.

mod error;
mod options;

mod cardinality;
mod chunk_sizes;

mod api;
mod blocks;
mod deletions;
mod metrics;
mod served;
mod store;
mod succession;
mod sync;

mod advertise;
mod drive;
mod external;
mod faults;
mod labels;
mod matchers;
mod memory;
mod merging;
mod outlet;
mod page;
mod postings_cache;
mod select;
mod stalls;

pub use crate::cardinality::{Cardinality, Counted};
pub use crate::error::StoreError;
pub use crate::options::StoreOptions;
pub use crate::store::Store;
pub use crate::sync::SyncReport;
