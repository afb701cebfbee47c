//! The data to generate: the settings of `tithon tools bench gen`.

use std::path::Path;

use serde::{Deserialize, Serialize};
use tithon_engine::{BlockError, BlockMeta};

use crate::profile::Profile;
use crate::series::{Replica, Scrapes};
use crate::write::{Stream, write_blocks};

/// The settings that decide every byte of a set of blocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// Kind of data.
    pub profile: Profile,
    /// Series that exist at the same time.
    pub series: usize,
    /// Interval between scrapes, milliseconds.
    pub interval_ms: i64,
    /// The first millisecond of the data.
    pub start_ms: i64,
    /// Length of the data, milliseconds.
    pub range_ms: i64,
    /// Length of a block, milliseconds.
    pub block_ms: i64,
    /// Number of servers that scrape the same targets: 1 or 2.
    pub replicas: u8,
    /// Seed of all values.
    pub seed: u64,
}

/// Counts of the written blocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    /// Number of blocks.
    pub blocks: u64,
    /// Number of series, counted in each block.
    pub series: u64,
    /// Number of samples.
    pub samples: u64,
}

impl Data {
    /// The approximate number of samples to write: a series that replaces another is not counted.
    pub fn samples(&self) -> u64 {
        let scrapes = self.range_ms / self.interval_ms.max(1);
        self.series as u64 * scrapes.max(0) as u64 * u64::from(self.replicas)
    }

    /// The approximate number of bytes on disk that the blocks will need at most.
    pub fn bytes(&self) -> u64 {
        let blocks = (self.range_ms / self.block_ms.max(1) + 1).max(1) as u64;
        let entries = self.series as u64 * blocks * u64::from(self.replicas);
        self.samples() * self.profile.bytes_per_sample() + entries * 400
    }

    /// Writes the blocks into the folder `dir`; calls `progress` with the number of series written since its last call.
    pub fn write(&self, dir: &Path, progress: &(dyn Fn(u64) + Sync)) -> Result<Written, BlockError> {
        let series = self.profile.series(self);
        let mut written = Written::default();
        for replica in [Replica::A, Replica::B].into_iter().take(self.replicas.into()) {
            let scrapes = Scrapes {
                start: self.start_ms,
                end: self.start_ms + self.range_ms,
                interval_ms: self.interval_ms,
                replica,
            };
            let stream = Stream { scrapes, block_ms: self.block_ms, cluster: "bench", seed: self.seed };
            let metas = write_blocks(dir, &series, &stream, progress)?;
            written.add(&metas);
        }
        Ok(written)
    }
}

impl Written {
    fn add(&mut self, metas: &[BlockMeta]) {
        self.blocks += metas.len() as u64;
        self.series += metas.iter().map(|meta| meta.stats.num_series).sum::<u64>();
        self.samples += metas.iter().map(|meta| meta.stats.num_samples).sum::<u64>();
    }
}
