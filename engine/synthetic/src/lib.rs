//! Blocks of made-up series, the same each time for the same seed, however many threads write them.
//!
//! One generator serves the demo, `tithon tools bench` and the benchmarks: a [`Profile`] lists series, each series makes
//! its samples scrape by scrape, and [`write_blocks`] cuts them into blocks.

mod cut;
mod data;
mod demo;
mod profile;
mod random;
mod series;
mod write;

pub use crate::data::{Data, Written};
pub use crate::demo::{DEMO_INTERVAL_MS, demo_series};
pub use crate::profile::Profile;
pub use crate::series::{Replica, Scrapes, Series};
pub use crate::write::{Stream, write_blocks};
