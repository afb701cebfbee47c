//! Writes the blocks of a set of data.

use std::path::Path;

use tithon_engine::BlockError;

use crate::data::{Data, Written};
use crate::series::{Replica, Scrapes};
use crate::write::{Stream, write_blocks};

impl Data {
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
