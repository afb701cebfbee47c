//! Writes blocks: all threads of the pool generate and encode samples, series by series, and each block is written in
//! label order while the next series are generated.

use std::path::Path;

use rayon::prelude::*;
use tithon_engine::{
    BlockError, BlockId, BlockMeta, BlockWriter, Compaction, MetaParts, SourceType, ThanosMeta,
};

use crate::cut::{BlockChunks, Cutter};
use crate::random::join;
use crate::series::{Replica, Scrapes, Series};

/// The number of series generated at a time: enough for the pool, and little memory.
const SERIES_PER_BATCH: usize = 1024;
/// The number of samples generated at a time, for few series with many samples.
const SAMPLES_PER_BATCH: i64 = 4 << 20;

/// The blocks that one Prometheus server would have uploaded.
#[derive(Clone, Copy, Debug)]
pub struct Stream {
    /// The times of the scrapes.
    pub scrapes: Scrapes,
    /// Length of a block, milliseconds.
    pub block_ms: i64,
    /// The external label `cluster`; the replica is the other external label.
    pub cluster: &'static str,
    /// Seed of the block ids: distinguishes blocks with the same times.
    pub seed: u64,
}

/// Writes the blocks of `stream` into the folder `dir`; `series` ascend by labels. Calls `progress` with the number of
/// series written since its last call. Returns the metas of the blocks, ascending by time.
pub fn write_blocks(
    dir: &Path,
    series: &[Series],
    stream: &Stream,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Vec<BlockMeta>, BlockError> {
    let scrapes = &stream.scrapes;
    let list: Vec<&Series> = series
        .iter()
        .filter(|s| scrapes.replica == Replica::A || s.replicated)
        .filter(|s| s.begin < scrapes.end && s.end > scrapes.start)
        .collect();
    let n_scrapes = (scrapes.end - scrapes.start) / scrapes.interval_ms + 1;
    let per_batch = ((SAMPLES_PER_BATCH / n_scrapes) as usize).clamp(1, SERIES_PER_BATCH);
    let mut blocks = open_blocks(dir, stream)?;
    let mut waiting: (&[&Series], Vec<Vec<BlockChunks>>) = (&[], Vec::new());
    for batch in list.chunks(per_batch).chain([&[][..]]) {
        let (written, made) = rayon::join(
            || blocks.par_iter_mut().enumerate().try_for_each(|(i, b)| b.add(i, waiting.0, &waiting.1)),
            || batch.par_iter().map(|series| make(series, stream)).collect::<Vec<_>>(),
        );
        written?;
        progress(waiting.0.len() as u64);
        waiting = (batch, made);
    }
    let metas = blocks.into_par_iter().map(|block| block.finish(stream)).collect::<Result<Vec<_>, _>>()?;
    Ok(metas.into_iter().flatten().collect())
}

/// The chunks of one series.
fn make(series: &Series, stream: &Stream) -> Vec<BlockChunks> {
    let mut cutter = Cutter::new(stream.scrapes.start, stream.block_ms);
    series.make(&stream.scrapes, &mut cutter).expect("made-up histograms fit their spans");
    cutter.finish()
}

/// A block under construction.
struct OpenBlock {
    id: BlockId,
    min_time: i64,
    max_time: i64,
    writer: BlockWriter,
}

fn open_blocks(dir: &Path, stream: &Stream) -> Result<Vec<OpenBlock>, BlockError> {
    let scrapes = &stream.scrapes;
    let mut blocks = Vec::new();
    for min_time in (scrapes.start..scrapes.end).step_by(stream.block_ms as usize) {
        let max_time = (min_time + stream.block_ms).min(scrapes.end);
        // Ids have the time at which a Prometheus would have written the block.
        let random = join(stream.seed, join(min_time as u64, scrapes.replica as u64));
        let id = BlockId::from_parts(max_time.max(0) as u64, random.into());
        blocks.push(OpenBlock { id, min_time, max_time, writer: BlockWriter::create(dir, id)? });
    }
    Ok(blocks)
}

impl OpenBlock {
    /// Adds the chunks that series have in block number `number`.
    fn add(
        &mut self,
        number: usize,
        series: &[&Series],
        made: &[Vec<BlockChunks>],
    ) -> Result<(), BlockError> {
        for (series, made) in series.iter().zip(made) {
            // For a series that exists all the time, the index of a block's chunks is the block's number.
            let near = made.get(number).filter(|part| part.block == number);
            if let Some(part) = near.or_else(|| made.iter().find(|part| part.block == number)) {
                self.writer.add_series(&series.labels, &part.chunks)?;
            }
        }
        Ok(())
    }

    fn finish(self, stream: &Stream) -> Result<Option<BlockMeta>, BlockError> {
        let labels = [("cluster", stream.cluster), ("replica", stream.scrapes.replica.name())];
        let thanos = ThanosMeta {
            labels: labels.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
            source: SourceType::Sidecar,
            ..ThanosMeta::default()
        };
        let compaction = Compaction { level: 1, sources: vec![self.id], ..Compaction::default() };
        self.writer.finish(MetaParts {
            min_time: self.min_time,
            max_time: self.max_time,
            compaction,
            thanos: Some(thanos),
        })
    }
}
