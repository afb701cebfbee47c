//! Merges several blocks into one: series in label order; chunks are copied where nothing overlaps, and merged where
//! they overlap.
//!
//! Output bytes depend on the inputs and options alone, and equal upstream's. Prometheus `tsdb/compact.go`,
//! `storage/merge.go`; Thanos `pkg/dedup/chunk_iter.go`.
//!
//! [`compact`] merges mapped directories into a directory. [`compact_into`] merges any [`InputBlock`]s, whose files are
//! read by ranges, into any [`BlockFiles`], which take files from front to back while they are made: no block has to be
//! on local disk. Memory is bounded by the number of sources, not by their sizes, except for the parts of an index that
//! are kept until its end: its strings, and about three bytes per label of a series.

mod chunks;
mod encode;
mod merged;
mod sets;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use tithon_chunks::TimeRange;

pub(crate) use self::chunks::merge_chunks;
use self::merged::Merged;
use self::sets::SeriesSets;
use crate::buffers::Buffers;
use crate::dedup::Algorithm;
use crate::pipeline::pipeline;
use crate::scan::SymbolUnion;
use crate::writer::{BlockDir, Content};
use crate::{
    Block, BlockDesc, BlockError, BlockFiles, BlockId, BlockMeta, Compaction, MetaParts, ThanosMeta,
};

pub use self::encode::{ChunkBuilder, FloatEncoding, MergeError};
pub use crate::input::InputBlock;

/// Options of a compaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CompactOptions {
    /// The rule for overlapping chunks.
    pub overlap: Algorithm,
    /// The encoding of floats in chunks that are encoded again.
    pub float_encoding: FloatEncoding,
    /// The number of shards of which the inputs are one; the hash of a series is divided by it before it chooses the
    /// output. 0 counts as 1.
    pub shards_before: u32,
}

/// Overlapping chunks are chained, as Prometheus does; floats are encoded as XOR; the inputs are no shards.
impl Default for CompactOptions {
    fn default() -> CompactOptions {
        CompactOptions {
            overlap: Algorithm::Chain,
            float_encoding: FloatEncoding::default(),
            shards_before: 0,
        }
    }
}

/// A block to write: the result of a compaction, or a shard of it.
pub struct Output<'a> {
    /// The block's id.
    pub id: BlockId,
    /// Receives the segments and the index.
    pub files: Box<dyn BlockFiles + 'a>,
}

/// Merges `sources`, in this order, and spreads the series over `outputs`: output `i` of `n` takes those for which
/// [`tithon_index::Labels::hash64`] divided by [`CompactOptions::shards_before`] is `i` modulo `n`; a single output takes
/// all.
///
/// Writes segments and index of each output and returns its meta, which the caller writes as the last file: the block
/// exists from then on. `None` where no sample is left; the caller discards its files. Each of several outputs names
/// itself as its only source, so that none looks like a duplicate of another or of an input; the caller notes what they
/// were cut from with [`crate::plan::mark_cut`].
///
/// Uses the rayon pool that it is called in; `fetch` of different sources may be called at the same time.
pub fn compact_into(
    sources: Vec<InputBlock<'_>>,
    mut outputs: Vec<Output<'_>>,
    thanos: Option<ThanosMeta>,
    options: CompactOptions,
) -> Result<Vec<Option<BlockMeta>>, BlockError> {
    let parts = MetaParts { thanos, ..output_parts(&sources) };
    let Some(id) = outputs.first().map(|o| o.id) else { return Ok(Vec::new()) };
    let headers: Vec<_> = sources.iter().map(|s| Arc::clone(&s.header)).collect();
    let (symbols, maps) = SymbolUnion::new(&headers.iter().collect::<Vec<_>>());
    let texts = || symbols.texts.iter().copied();
    let start = |output: &mut Output<'_>| Content::new(&mut *output.files, output.id, texts());
    let mut contents = outputs.iter_mut().map(start).collect::<Result<Vec<_>, _>>()?;
    let sets = SeriesSets::new(sources, maps, parts.range());
    run(sets, &symbols, id, options, |merged| match contents.as_mut_slice() {
        [content] => merged.write(content, &mut *outputs[0].files),
        contents => {
            merged.spread(&symbols, options.shards_before, contents.len(), |i, labels, chunks, samples| {
                contents[i].count(samples);
                contents[i].add_records(&mut *outputs[i].files, labels, chunks)
            })
        }
    })?;
    let n = outputs.len();
    let finish = |(content, output): (Content, &mut Output<'_>)| {
        let mut meta = content.meta(parts.clone());
        if n > 1 {
            meta.compaction.sources = vec![output.id];
        }
        content.finish(&mut *output.files, meta)
    };
    contents.into_iter().zip(&mut outputs).map(finish).collect()
}

/// Merges `blocks`, in this order, and spreads the series over new blocks `ids` below `parent` as [`compact_into`] does.
/// With `thanos`, its section goes into meta.json and no tombstones file is written. `None`, and no directory, for a block
/// in which no sample is left.
///
/// Deletions are applied. Uses the rayon pool that it is called in.
pub fn compact(
    blocks: &[Block],
    parent: &Path,
    ids: &[BlockId],
    thanos: Option<ThanosMeta>,
    options: CompactOptions,
) -> Result<Vec<Option<BlockMeta>>, BlockError> {
    let create = |id: &BlockId| BlockDir::create(parent, *id);
    let mut dirs = ids.iter().map(create).collect::<Result<Vec<_>, _>>()?;
    let output = |(id, dir): (&BlockId, _)| Output { id: *id, files: Box::new(BlockDir::files(dir)) };
    let outputs = ids.iter().zip(&mut dirs).map(output).collect();
    let metas = compact_into(blocks.iter().map(InputBlock::from).collect(), outputs, thanos, options)?;
    blocks.iter().try_for_each(Block::check)?;
    for (dir, meta) in dirs.into_iter().zip(&metas) {
        meta.as_ref().map(|meta| dir.publish(meta)).transpose()?;
    }
    Ok(metas)
}

/// Reads, merges and writes the series, some at a time.
fn run(
    mut sets: SeriesSets<'_>,
    symbols: &SymbolUnion<'_>,
    id: BlockId,
    options: CompactOptions,
    mut write: impl FnMut(&Merged) -> Result<(), BlockError> + Send,
) -> Result<(), BlockError> {
    let read = || sets.next().map(|round| (!round.is_empty()).then_some(round));
    let buffers = Buffers::default();
    let merge = |round| Merged::new(round, symbols, id, options, &buffers);
    pipeline(read, merge, |merged| write(&merged))
}

impl MetaParts {
    /// The closed time range of the samples.
    fn range(&self) -> TimeRange {
        TimeRange::new(self.min_time, self.max_time.saturating_sub(1))
    }
}

/// The time range, level and lineage of a block made of these sources.
fn output_parts(sources: &[InputBlock<'_>]) -> MetaParts {
    let metas: Vec<&BlockMeta> = sources.iter().map(|s| &s.meta).collect();
    let mut ids = BTreeSet::new();
    let mut hints = BTreeSet::new();
    for meta in &metas {
        ids.extend(meta.compaction.sources.iter().copied());
        hints.extend(meta.compaction.hints.iter().cloned());
    }
    let has = |meta: &BlockMeta, hint: &str| meta.compaction.hints.iter().any(|h| h == hint);
    hints.retain(|hint| match hint.as_str() {
        "from-out-of-order" => metas.iter().all(|meta| has(meta, hint)),
        "from-stale-series" | "from-selected-series" => true,
        _ => false,
    });
    MetaParts {
        min_time: metas.iter().map(|m| m.min_time).min().unwrap_or(0),
        max_time: metas.iter().map(|m| m.max_time).max().unwrap_or(0),
        compaction: Compaction {
            level: metas.iter().map(|m| m.compaction.level).max().unwrap_or(0) + 1,
            sources: ids.into_iter().collect(),
            parents: metas.iter().map(|m| m.desc()).collect::<Vec<BlockDesc>>(),
            hints: hints.into_iter().collect(),
            ..Compaction::default()
        },
        thanos: None,
    }
}

#[cfg(test)]
mod stream_tests;
#[cfg(test)]
mod tests;
