//! Generates blocks of synthetic series: the same blocks for the same seed, however many threads write them.
//!
//! One generator serves the demo, `tithon tools bench` and the benchmarks: a [`Profile`] lists series, each series
//! generates its samples scrape by scrape, and [`write_blocks`] distributes them over blocks.

mod cut;
mod data;
mod demo;
mod generate;
mod profile;
mod random;
mod series;
mod write;

pub use crate::data::{Data, Profile, Written};
pub use crate::demo::{DEMO_INTERVAL_MS, demo_series};
pub use crate::series::{Replica, Scrapes, Series};
pub use crate::write::{Stream, write_blocks};
