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
use std::sync::Arc;

use rayon::prelude::*;
use tithon_chunks::TimeRange;

use self::series::Rooms;
use crate::buffers::Buffers;
use crate::input::InputBlock;
use crate::pipeline::pipeline;
use crate::plan::Shard;
use crate::scan::{Batch, ReadyChunks, Scan, SymbolUnion};
use crate::writer::{BlockDir, Content};
use crate::{
    Block, BlockError, BlockFiles, BlockId, BlockMeta, Downsample, Resolution, SourceType, ThanosMeta,
};

pub use self::series::DownsampleError;

/// A block to make by downsampling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// The resolution: finer targets come first, and each but the first is made from the one before it.
    pub resolution: Resolution,
    /// Its id.
    pub id: BlockId,
}

/// Makes blocks of coarser resolution from `source` in one pass: from raw to 5 minutes, from 5 minutes to an hour, or both.
/// Writes segments and index of each target into its `files` and returns its meta, which the caller writes as the last
/// file. `None` where nothing is left; the caller discards its files.
///
/// The source's own `thanos` section is carried over. Uses the rayon pool that it is called in.
pub fn downsample_into(
    source: InputBlock<'_>,
    targets: &[Target],
    files: &mut [Box<dyn BlockFiles + '_>],
) -> Result<Vec<Option<BlockMeta>>, BlockError> {
    let (meta, header) = (source.meta.clone(), Arc::clone(&source.header));
    let (symbols, mut maps) = SymbolUnion::new(&[&header]);
    let texts = || symbols.texts.iter().copied();
    let start = |(target, files): (&Target, &mut Box<dyn BlockFiles + '_>)| {
        Content::new(&mut **files, target.id, texts())
    };
    let mut contents = targets.iter().zip(&mut *files).map(start).collect::<Result<Vec<_>, _>>()?;
    let (block, from) = (meta.ulid, meta.resolution_ms());
    let map = maps.pop().expect("one map a header");
    let mut scan = Scan::new(source, map, TimeRange::ALL);
    let buffers = Buffers::default();
    let make = |batch| Made::new(batch, &symbols, block, from, targets, &buffers);
    pipeline(|| scan.next_batch(), make, |made| made.write(&mut contents, files))?;
    let finish = |((content, files), target): ((Content, &mut Box<dyn BlockFiles + '_>), &Target)| {
        content.finish_like(&mut **files, output_meta(&meta, target))
    };
    contents.into_iter().zip(files).zip(targets).map(finish).collect()
}

/// Like [`downsample_into`], into published directories below `parent`; an empty block gets no directory.
pub fn downsample(
    block: &Block,
    parent: &Path,
    targets: &[Target],
) -> Result<Vec<Option<BlockMeta>>, BlockError> {
    let create = |target: &Target| BlockDir::create(parent, target.id);
    let mut dirs = targets.iter().map(create).collect::<Result<Vec<_>, _>>()?;
    let mut files: Vec<Box<dyn BlockFiles + '_>> =
        dirs.iter_mut().map(|dir| Box::new(dir.files()) as Box<dyn BlockFiles + '_>).collect();
    let metas = downsample_into(block.into(), targets, &mut files)?;
    drop(files);
    block.check()?;
    for (dir, meta) in dirs.into_iter().zip(&metas) {
        meta.as_ref().map(|meta| dir.publish(meta)).transpose()?;
    }
    Ok(metas)
}

/// The number of series that one task downsamples.
const TASK: usize = 16;

/// Series of a batch and the chunks made from them.
struct Made {
    batch: Batch,
    /// The chunks of every target, for [`TASK`] series each.
    tasks: Vec<Vec<ReadyChunks>>,
}

impl Made {
    /// Makes the chunks of all series of the batch, on all threads.
    fn new(
        batch: Batch,
        symbols: &SymbolUnion<'_>,
        block: BlockId,
        from: i64,
        targets: &[Target],
        buffers: &Buffers<Rooms>,
    ) -> Result<Made, BlockError> {
        let make = |task: usize, rooms: &mut Rooms| {
            let mut out: Vec<ReadyChunks> = targets.iter().map(|_| ReadyChunks::default()).collect();
            for i in task * TASK..batch.len().min((task + 1) * TASK) {
                let at_fault = |source| BlockError::Downsample {
                    block,
                    labels: symbols.labels(batch.labels(i)),
                    source,
                };
                let made = series::levels(&batch.slices(i)?, from, targets, rooms).map_err(at_fault)?;
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
        let tasks = (0..batch.len().div_ceil(TASK)).into_par_iter();
        // Histograms make some tasks long: they must not wait behind one another.
        let tasks = tasks.with_max_len(1).map(|task| buffers.lend(|rooms| make(task, rooms)));
        let tasks = tasks.collect::<Result<_, BlockError>>()?;
        Ok(Made { batch, tasks })
    }

    fn write(
        &self,
        contents: &mut [Content],
        files: &mut [Box<dyn BlockFiles + '_>],
    ) -> Result<(), BlockError> {
        for (level, (content, files)) in contents.iter_mut().zip(files).enumerate() {
            let mut chunks = Vec::new();
            for (number, task) in self.tasks.iter().enumerate() {
                let made = &task[level];
                content.count(made.stats());
                for i in 0..made.len() {
                    made.written(i, &[], &mut chunks);
                    content.add_records(&mut **files, self.batch.labels(number * TASK + i), &chunks)?;
                }
            }
        }
        Ok(())
    }
}

/// The source's meta with another id and resolution.
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
