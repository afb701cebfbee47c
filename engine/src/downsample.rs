//! A block told more coarsely: for every window of 5 minutes or an hour, how many samples there were, their sum, least
//! and greatest, and how far a counter had come.
//!
//! Output bytes equal upstream's. Thanos `pkg/compact/downsample/downsample.go`.

mod floats;
mod histograms;
mod series;
mod window;

use std::path::Path;

use rayon::prelude::*;
use tithon_chunks::{EncodedChunk, TimeRange};
use tithon_index::Labels;

use crate::{
    Block, BlockError, BlockId, BlockMeta, BlockWriter, Downsample, Resolution, SelectRequest,
    SelectedSeries, Source, ThanosMeta,
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
/// to an hour, or both. Each target's meta.json is answered with; `None`, and no directory, where nothing is left.
///
/// The block's own `thanos` section is carried over. Uses the rayon pool that it is called in.
pub fn downsample(
    block: &Block,
    parent: &Path,
    targets: &[Target],
) -> Result<Vec<Option<BlockMeta>>, BlockError> {
    let symbols = || block.header().symbols().iter();
    let mut writers = targets
        .iter()
        .map(|target| BlockWriter::with_symbols(parent, target.id, symbols()))
        .collect::<Result<Vec<_>, _>>()?;
    let from = block.meta().resolution_ms();
    let mut batches = block.select(SelectRequest::new(Vec::new(), TimeRange::ALL));
    let mut made = next_made(&mut batches, block.id(), from, targets)?;
    while let Some(levels) = made {
        let write = || {
            for (labels, chunks) in &levels {
                for (writer, chunks) in writers.iter_mut().zip(chunks) {
                    writer.add_series(labels, chunks)?;
                }
            }
            Ok::<_, BlockError>(())
        };
        let (written, next) = rayon::join(write, || next_made(&mut batches, block.id(), from, targets));
        written?;
        made = next?;
    }
    let finish =
        |(writer, target): (BlockWriter, &Target)| writer.finish_like(output_meta(block.meta(), target));
    writers.into_iter().zip(targets).map(finish).collect()
}

/// Of each series, the chunks of each target.
type Made = Vec<(Labels, Vec<Vec<EncodedChunk>>)>;

fn next_made(
    batches: &mut impl Iterator<Item = Result<crate::SeriesBatch, BlockError>>,
    block: BlockId,
    from: i64,
    targets: &[Target],
) -> Result<Option<Made>, BlockError> {
    let Some(batch) = batches.next().transpose()? else { return Ok(None) };
    let make =
        |SelectedSeries { labels, chunks }: SelectedSeries| match series::levels(&chunks, from, targets) {
            Ok(levels) => Ok((labels, levels)),
            Err(source) => Err(BlockError::Downsample { block, labels, source }),
        };
    batch.series.into_par_iter().with_min_len(16).map(make).collect::<Result<_, _>>().map(Some)
}

/// The source's meta under another id and resolution.
fn output_meta(source: &BlockMeta, target: &Target) -> BlockMeta {
    let thanos = ThanosMeta {
        version: source.thanos.as_ref().map_or(0, |t| t.version),
        downsample: Downsample { resolution: target.resolution.ms() },
        source: Source::Compactor,
        ..source.thanos.clone().unwrap_or_default()
    };
    BlockMeta { ulid: target.id, version: 1, thanos: Some(thanos), ..source.clone() }
}

#[cfg(test)]
mod tests;
