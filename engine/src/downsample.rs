//! Downsampling: for every window of 5 minutes or an hour of each series, the count of its samples, their sum, minimum and
//! maximum, and the value of the counter without resets.
//!
//! Output bytes equal upstream's. Thanos `pkg/compact/downsample/downsample.go`.

mod columns;
mod floats;
mod histograms;
mod series;
mod window;

use std::path::Path;

use rayon::prelude::*;
use tithon_chunks::TimeRange;

use crate::pipeline::pipeline;
use crate::plan::Shard;
use crate::scan::{Batch, Pieces, Scan, SymbolUnion};
use crate::{
    Block, BlockError, BlockId, BlockMeta, BlockWriter, Downsample, Resolution, SourceType, ThanosMeta,
};

pub use self::series::DownsampleError;

/// A block to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its resolution: finer targets come first, and each but the first is made from the one before it.
    pub resolution: Resolution,
    /// Its id.
    pub id: BlockId,
}

/// Makes blocks of coarser resolution from `block`, below `parent`, in one pass: from raw to 5 minutes, from 5 minutes
/// to an hour, or both. Returns the meta of each target; `None`, and no directory, where nothing is left.
///
/// The block's own `thanos` section is carried over. Uses the rayon pool that it is called in.
pub fn downsample(
    block: &Block,
    parent: &Path,
    targets: &[Target],
) -> Result<Vec<Option<BlockMeta>>, BlockError> {
    let (symbols, mut maps) = SymbolUnion::new(&[block.header()]);
    let texts = || symbols.texts.iter().copied();
    let mut writers = targets
        .iter()
        .map(|target| BlockWriter::with_symbols(parent, target.id, texts()))
        .collect::<Result<Vec<_>, _>>()?;
    let from = block.meta().resolution_ms();
    let map = maps.pop().expect("one map a header");
    let mut scan = Scan::new(block.into(), map, TimeRange::ALL);
    let make = |batch| Made::new(batch, &symbols, block.id(), from, targets);
    pipeline(|| scan.next_batch(), make, |made| made.write(&mut writers))?;
    block.check()?;
    let finish =
        |(writer, target): (BlockWriter, &Target)| writer.finish_like(output_meta(block.meta(), target));
    writers.into_iter().zip(targets).map(finish).collect()
}

/// Series made by one task.
const TASK: usize = 16;

/// Series of a batch and the chunks made of them.
struct Made {
    batch: Batch,
    /// For [`TASK`] series each, the chunks of every target.
    tasks: Vec<Vec<Pieces>>,
}

impl Made {
    /// Makes the chunks of all series of the batch, on all threads.
    fn new(
        batch: Batch,
        symbols: &SymbolUnion<'_>,
        block: BlockId,
        from: i64,
        targets: &[Target],
    ) -> Result<Made, BlockError> {
        let make = |task: usize| {
            let mut out: Vec<Pieces> = targets.iter().map(|_| Pieces::default()).collect();
            for i in task * TASK..batch.len().min((task + 1) * TASK) {
                let at_fault = |source| BlockError::Downsample {
                    block,
                    labels: symbols.labels(batch.labels(i)),
                    source,
                };
                let made = series::levels(&batch.slices(i)?, from, targets).map_err(at_fault)?;
                for (chunks, out) in made.iter().zip(&mut out) {
                    for chunk in chunks {
                        let put = out.make(chunk.encoding, chunk.range(), &chunk.data);
                        put.map_err(|source| BlockError::Written { block, source })?;
                    }
                    out.end_series();
                }
            }
            Ok(out)
        };
        let tasks =
            (0..batch.len().div_ceil(TASK)).into_par_iter().map(make).collect::<Result<_, BlockError>>()?;
        Ok(Made { batch, tasks })
    }

    fn write(&self, writers: &mut [BlockWriter]) -> Result<(), BlockError> {
        for (level, writer) in writers.iter_mut().enumerate() {
            let mut chunks = Vec::new();
            for (number, task) in self.tasks.iter().enumerate() {
                let made = &task[level];
                writer.write(|content, files| {
                    content.count(made.stats());
                    (0..made.len()).try_for_each(|i| {
                        made.written(i, &[], &mut chunks);
                        content.add_records(files, self.batch.labels(number * TASK + i), &chunks)
                    })
                })?;
            }
        }
        Ok(())
    }
}

/// The source's meta under another id and resolution.
fn output_meta(source: &BlockMeta, target: &Target) -> BlockMeta {
    let thanos = ThanosMeta {
        version: source.thanos.as_ref().map_or(0, |t| t.version),
        downsample: Downsample { resolution: target.resolution.ms() },
        source: SourceType::Compactor,
        ..source.thanos.clone().unwrap_or_default()
    };
    let mut meta = BlockMeta { ulid: target.id, version: 1, thanos: Some(thanos), ..source.clone() };
    if let Some(shard) = Shard::of(source) {
        shard.attach(&mut meta);
    }
    meta
}

#[cfg(test)]
mod naive_tests;
#[cfg(test)]
mod tests;
