//! Series of a round, merged and ready to be written.

use std::borrow::Cow;

use rayon::prelude::*;
use tithon_chunks::ChunkMeta;

use super::CompactOptions;
use super::chunks::{self, Decoded, Piece};
use super::sets::Round;
use crate::buffers::Buffers;
use crate::scan::{Pair, ReadyChunks, SymbolUnion};
use crate::writer::{Content, WrittenChunk};
use crate::{BlockError, BlockFiles, BlockId, BlockStats};

/// The number of series that one task merges.
const TASK: usize = 32;

/// Merged series, with the batches that hold the copied chunks.
pub(super) struct Merged {
    round: Round,
    /// The chunks of [`TASK`] series each.
    tasks: Vec<ReadyChunks>,
}

impl Merged {
    /// Merges all series of the round, on all threads; `id` is the output's, for errors.
    pub(super) fn new(
        round: Round,
        symbols: &SymbolUnion<'_>,
        id: BlockId,
        options: CompactOptions,
        buffers: &Buffers<Decoded>,
    ) -> Result<Merged, BlockError> {
        let merge = |task: usize, decoded: &mut Decoded| {
            let mut pieces = ReadyChunks::default();
            for series in task * TASK..round.len().min((task + 1) * TASK) {
                merge_series(&round, series, symbols, id, options, decoded, &mut pieces)?;
                pieces.end_series();
            }
            Ok(pieces)
        };
        let tasks = (0..round.len().div_ceil(TASK)).into_par_iter();
        // Histograms make some tasks long: they must not wait behind one another.
        let tasks = tasks.with_max_len(1).map(|task| buffers.lend(|decoded| merge(task, decoded)));
        let tasks = tasks.collect::<Result<_, _>>()?;
        Ok(Merged { round, tasks })
    }

    /// Writes all series into one block.
    pub(super) fn write(&self, content: &mut Content, files: &mut dyn BlockFiles) -> Result<(), BlockError> {
        for task in &self.tasks {
            content.count(task.stats());
        }
        self.each(|_, labels, chunks| content.add_records(files, labels, chunks))
    }

    /// Spreads the series over `n` blocks by their hash divided by `before`; `add` gets the number of the block, and the series.
    pub(super) fn spread(
        &self,
        symbols: &SymbolUnion<'_>,
        before: u32,
        n: usize,
        mut add: impl FnMut(usize, &[Pair], &[WrittenChunk<'_>], &BlockStats) -> Result<(), BlockError>,
    ) -> Result<(), BlockError> {
        self.each(|_, labels, chunks| {
            let shard = symbols.labels(labels).hash64() / u64::from(before.max(1)) % n as u64;
            let mut samples = BlockStats::default();
            for chunk in chunks {
                samples.count(chunk.encoding(), chunk.data()).expect("counted before");
            }
            add(shard as usize, labels, chunks, &samples)
        })
    }

    fn each<'a>(
        &'a self,
        mut add: impl FnMut(usize, &[Pair], &[WrittenChunk<'a>]) -> Result<(), BlockError>,
    ) -> Result<(), BlockError> {
        let mut chunks = Vec::new();
        for (number, task) in self.tasks.iter().enumerate() {
            for i in 0..task.len() {
                let series = number * TASK + i;
                task.written(i, &self.round.batches, &mut chunks);
                add(series, self.round.labels(series), &chunks)?;
            }
        }
        Ok(())
    }
}

/// Appends the chunks of one series. They are copied if none overlap.
fn merge_series(
    round: &Round,
    series: usize,
    symbols: &SymbolUnion<'_>,
    id: BlockId,
    options: CompactOptions,
    decoded: &mut Decoded,
    out: &mut ReadyChunks,
) -> Result<(), BlockError> {
    let members = round.members(series);
    let metas = |(batch, place): (u32, u32)| round.batches[batch as usize].metas(place as usize);
    let first = |member: &(u32, u32)| metas(*member).first().map(|c| c.min_time);
    let mut order: Cow<'_, [(u32, u32)]> = members.into();
    if !order.is_sorted_by_key(first) {
        order.to_mut().sort_by_key(first);
    }
    if members.len() == 1 || apart(order.iter().flat_map(|member| metas(*member))) {
        for (number, place) in order.iter() {
            let batch = &round.batches[*number as usize];
            for (meta, record) in batch.chunks(*place as usize) {
                out.copy(*number, batch, meta, record)?;
            }
        }
        return Ok(());
    }
    let list = |(number, place): &(u32, u32)| -> Result<Vec<Piece<'_>>, BlockError> {
        let chunks = round.batches[*number as usize].slices(*place as usize)?;
        Ok(chunks.into_iter().map(|chunk| Piece::Stored(*number, chunk)).collect())
    };
    let lists = members.iter().map(list).collect::<Result<Vec<_>, _>>()?;
    let labels = || symbols.labels(round.labels(series));
    let merged = chunks::merge(lists, options, decoded).map_err(|source| BlockError::Merge {
        block: id,
        labels: labels(),
        source,
    })?;
    for piece in &merged {
        let put = match piece {
            Piece::Stored(number, chunk) => out.keep(*number, chunk),
            Piece::Made(encoding, range, data) => out.make(*encoding, *range, data),
        };
        put.map_err(|source| BlockError::Written { block: id, source })?;
    }
    Ok(())
}

/// Whether each chunk ends before the next begins.
fn apart<'a>(chunks: impl Iterator<Item = &'a ChunkMeta>) -> bool {
    let mut last = None;
    for chunk in chunks {
        if last.is_some_and(|last| chunk.min_time <= last) {
            return false;
        }
        last = Some(chunk.max_time);
    }
    true
}
