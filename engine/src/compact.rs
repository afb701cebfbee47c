//! Several blocks become one: series in label order, chunks copied where they can be, merged where they overlap.
//!
//! Output bytes depend on the inputs and options alone, and equal upstream's. Prometheus `tsdb/compact.go`,
//! `storage/merge.go`; Thanos `pkg/dedup/chunk_iter.go`.

mod chunks;
mod encode;
mod sets;

use std::collections::BTreeSet;
use std::path::Path;

use rayon::prelude::*;
use tithon_chunks::{EncodedChunk, TimeRange};
use tithon_index::Labels;

use self::sets::{Found, SeriesSets};
use crate::{
    Block, BlockDesc, BlockError, BlockId, BlockMeta, BlockWriter, Compaction, MetaParts, ThanosMeta,
};

pub use self::encode::{ChunkBuilder, FloatEncoding, MergeError};

/// How chunks of one series that overlap in time become one sequence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// All samples, one a time.
    #[default]
    Chain,
    /// Thanos's penalty algorithm among chunks of one kind; others in the overlap are lost, as upstream.
    Penalty,
}

/// How to compact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CompactOptions {
    /// What to do where chunks overlap.
    pub overlap: Overlap,
    /// How floats are encoded where chunks are made anew.
    pub float_encoding: FloatEncoding,
}

/// Series merged in one go, so that all threads have work.
const BATCH_SERIES: usize = 1024;

/// Merges `blocks`, in this order, into the block `id` below `parent`. With `thanos`, its section goes into meta.json
/// and no tombstones file is written. `None`, and no directory, when no sample is left.
///
/// Deletions are applied. Uses the rayon pool that it is called in.
pub fn compact(
    blocks: &[Block],
    parent: &Path,
    id: BlockId,
    thanos: Option<ThanosMeta>,
    options: CompactOptions,
) -> Result<Option<BlockMeta>, BlockError> {
    let metas: Vec<&BlockMeta> = blocks.iter().map(Block::meta).collect();
    let parts = MetaParts { thanos, ..output_parts(&metas) };
    let range = TimeRange::new(parts.min_time, parts.max_time.saturating_sub(1));
    let mut writer = BlockWriter::with_symbols(parent, id, symbols(blocks))?;
    let mut sets = SeriesSets::new(blocks, range)?;
    let mut merged = next_merged(&mut sets, id, options)?;
    while !merged.is_empty() {
        let write = || merged.iter().try_for_each(|(labels, chunks)| writer.add_series(labels, chunks));
        let (written, next) = rayon::join(write, || next_merged(&mut sets, id, options));
        written?;
        merged = next?;
    }
    writer.finish(parts)
}

/// Reads and merges the next batch; empty at the end.
fn next_merged(
    sets: &mut SeriesSets<'_>,
    id: BlockId,
    options: CompactOptions,
) -> Result<Vec<(Labels, Vec<EncodedChunk>)>, BlockError> {
    let mut found = Vec::with_capacity(BATCH_SERIES);
    while found.len() < BATCH_SERIES
        && let Some(series) = sets.next()?
    {
        found.push(series);
    }
    let merge = |Found { labels, mut lists }: Found| {
        let chunks = match lists.len() {
            1 => lists.remove(0),
            _ => match chunks::merge(lists, options) {
                Ok(chunks) => chunks,
                Err(source) => return Err(BlockError::Merge { block: id, labels, source }),
            },
        };
        Ok((labels, chunks))
    };
    found.into_par_iter().with_min_len(16).map(merge).collect()
}

/// Range and history of a block made of these.
fn output_parts(metas: &[&BlockMeta]) -> MetaParts {
    let mut sources = BTreeSet::new();
    let mut hints = BTreeSet::new();
    for meta in metas {
        sources.extend(meta.compaction.sources.iter().copied());
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
            sources: sources.into_iter().collect(),
            parents: metas.iter().map(|m| m.desc()).collect::<Vec<BlockDesc>>(),
            hints: hints.into_iter().collect(),
            ..Compaction::default()
        },
        thanos: None,
    }
}

/// The strings of all blocks, ascending, each once; those that no series uses any more too, as upstream.
fn symbols(blocks: &[Block]) -> impl Iterator<Item = &[u8]> {
    let mut tables: Vec<_> = blocks.iter().map(|b| b.header().symbols().iter().peekable()).collect();
    std::iter::from_fn(move || {
        let least = tables.iter_mut().filter_map(|table| table.peek().copied()).min()?;
        for table in &mut tables {
            while table.next_if_eq(&least).is_some() {}
        }
        Some(least)
    })
}

#[cfg(test)]
mod tests;
