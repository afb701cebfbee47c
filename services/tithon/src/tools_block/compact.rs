//! `tools block compact`: merges blocks into one.

use std::io::Write;
use std::time::Instant;

use serde::Serialize;
use tithon_engine::compact::{CompactOptions, FloatEncoding, compact};
use tithon_engine::dedup::Algorithm;
use tithon_engine::plan::{Group, group};
use tithon_engine::{Block, BlockId, BlockMeta};
use tithon_index::Labels;

use super::progress::Progress;
use super::{ToolError, inputs, pool, print_json};
use crate::cli::{CompactFlags, Dedup, Floats, Output};

/// Result of the merge; serialised to one JSON object.
#[derive(Serialize)]
pub struct Made {
    /// Ids of the source blocks.
    pub sources: Vec<BlockId>,
    /// Number of samples in the sources.
    pub source_samples: u64,
    /// The new block's meta.json; null when no samples are left, so that no block was written.
    pub block: Option<BlockMeta>,
    /// Duration of the merge in seconds.
    pub seconds: f64,
}

/// Runs the tool.
pub fn run(flags: &CompactFlags, out: &mut impl Write) -> Result<(), ToolError> {
    match (flags.dedup, flags.replica_label.is_empty()) {
        (Dedup::None, false) => {
            return Err(ToolError::Flags(
                "--replica-label says which label to drop: --dedup=one-to-one or --dedup=penalty must say how",
            ));
        }
        (Dedup::None, true) | (_, false) => {}
        (_, true) => {
            tracing::warn!("no --replica-label is given: only blocks with equal external labels are merged")
        }
    }
    let blocks = inputs::open(&flags.blocks)?;
    let group = one_group(&blocks, flags)?;
    let thanos = blocks.iter().any(|b| b.meta().thanos.is_some()).then(|| group.thanos_meta());
    let options = CompactOptions {
        overlap: if flags.dedup == Dedup::Penalty { Algorithm::Penalty } else { Algorithm::Chain },
        float_encoding: match flags.float_encoding {
            Floats::Xor => FloatEncoding::Xor,
            Floats::Xor2 => FloatEncoding::Xor2,
        },
        ..CompactOptions::default()
    };
    let (id, began) = (new_id(), Instant::now());
    let expected = blocks.iter().map(bytes).sum();
    let progress = Progress::watch("compacting", &flags.out, &[id], expected);
    let made = pool(&flags.job)?.install(|| compact(&blocks, &flags.out, &[id], thanos, options))?;
    drop(progress);
    let made = Made {
        sources: blocks.iter().map(Block::id).collect(),
        source_samples: blocks.iter().map(|b| b.meta().stats.num_samples).sum(),
        block: made.into_iter().next().flatten(),
        seconds: began.elapsed().as_secs_f64(),
    };
    match flags.job.output {
        Output::Json => print_json(&made, out),
        Output::Table => print(&made, &flags.out, out),
    }
}

/// An id for a new block.
pub fn new_id() -> BlockId {
    BlockId::from_parts(tithon_runtime::now_ms().unsigned_abs(), rand::random())
}

/// Bytes of the index and the segments.
pub fn bytes(block: &Block) -> u64 {
    (block.index().len() + block.segments().iter().map(|s| s.len()).sum::<usize>()) as u64
}

fn one_group(blocks: &[Block], flags: &CompactFlags) -> Result<Group, ToolError> {
    let mut groups = group(blocks.iter().map(|b| b.meta().clone()), &flags.replica_label);
    // Shards of one stream are merged into one block.
    groups.dedup_by(|next, first| {
        let same = (first.resolution_ms, &first.labels) == (next.resolution_ms, &next.labels);
        if same {
            first.blocks.append(&mut next.blocks);
        }
        same
    });
    if let [first, second, ..] = groups.as_slice() {
        let stream = |g: &Group| format!("{}@{}", resolution(g.resolution_ms), Labels::from_pairs(&g.labels));
        let (a, b) = (&first.blocks[0], &second.blocks[0]);
        return Err(ToolError::Streams {
            first: a.ulid.to_string(),
            found_first: stream(first),
            second: b.ulid.to_string(),
            found_second: stream(second),
            advice: match first.resolution_ms == second.resolution_ms {
                true => "; replicas need --dedup and --replica-label",
                false => "",
            },
        });
    }
    Ok(groups.remove(0))
}

/// The name of a resolution.
pub fn resolution(ms: i64) -> &'static str {
    match ms {
        0 => "raw",
        300_000 => "5m",
        3_600_000 => "1h",
        _ => "unknown",
    }
}

fn print(made: &Made, dir: &std::path::Path, out: &mut impl Write) -> Result<(), ToolError> {
    let n = made.sources.len();
    let Some(block) = &made.block else {
        writeln!(out, "{n} blocks hold no sample any more: no block was written")?;
        return Ok(());
    };
    let speed = made.source_samples as f64 / made.seconds.max(1e-9) / 1e6;
    writeln!(out, "{}", dir.join(block.ulid.to_string()).display())?;
    writeln!(
        out,
        "{n} blocks with {} samples became one with {} samples in {} series, {} chunks: {:.2} s, {speed:.0} M samples/s",
        made.source_samples,
        block.stats.num_samples,
        block.stats.num_series,
        block.stats.num_chunks,
        made.seconds,
    )?;
    Ok(())
}
