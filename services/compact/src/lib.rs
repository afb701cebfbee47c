//! Compaction, downsampling, retention and cleaning of the blocks of a bucket, as `thanos compact` does it.
//!
//! A block at fault is marked, reported and left out; everything else goes on.

mod error;
mod metrics;
mod options;

mod compactor;
mod fault;
mod inventory;
mod lease;
mod state;
mod view;

mod readback;
mod source;
mod succession;

mod clean;
mod deletions;
mod groups;
mod merge;
mod publish;
mod repair;
mod rewrite;

mod downsample;
mod forecast;
mod iteration;
mod jobs;
mod progress;
mod retention;

mod api;
mod run;

pub use crate::api::router;
pub use crate::compactor::{Compactor, Watched};
pub use crate::error::CompactError;
pub use crate::fault::{Fault, Report};
pub use crate::forecast::{Forecast, Freed};
pub use crate::lease::Leases;
pub use crate::options::{CompactorOptions, Verify};
pub use crate::run::{RunOptions, run};
