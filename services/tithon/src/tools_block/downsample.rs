//! `tools block downsample`: downsamples a block.

use std::fs;
use std::io::Write;
use std::time::Instant;

use serde::Serialize;
use tithon_engine::downsample::{Target, downsample};
use tithon_engine::{Block, BlockError, BlockId, BlockMeta, Resolution};

use super::compact::{bytes, new_id, resolution};
use super::progress::Progress;
use super::{ToolError, pool, print_json};
use crate::cli::{DownsampleFlags, Output, Resolutions};

/// Result of the downsampling; serialised to one JSON object.
#[derive(Serialize)]
struct Made {
    source: BlockId,
    source_samples: u64,
    /// The meta.json of each new block; empty blocks are not written.
    blocks: Vec<BlockMeta>,
    seconds: f64,
}

/// Runs the tool.
pub fn run(flags: &DownsampleFlags, out: &mut impl Write) -> Result<(), ToolError> {
    let block = Block::open(&flags.block)?;
    let levels = levels(&block, flags.resolution)?;
    let targets: Vec<Target> = levels.iter().map(|&resolution| Target { resolution, id: new_id() }).collect();
    let ids: Vec<BlockId> = targets.iter().map(|t| t.id).collect();
    let began = Instant::now();
    let progress = Progress::watch("downsampling", &flags.out, &ids, bytes(&block) / 2);
    let metas = pool(&flags.job)?.install(|| downsample(&block, &flags.out, &targets))?;
    drop(progress);
    let mut blocks: Vec<BlockMeta> = metas.into_iter().flatten().collect();
    if flags.resolution == Resolutions::OneHour {
        drop_stepping_stone(flags, &mut blocks)?;
    }
    let made = Made {
        source: block.id(),
        source_samples: block.meta().stats.num_samples,
        blocks,
        seconds: began.elapsed().as_secs_f64(),
    };
    match flags.job.output {
        Output::Json => print_json(&made, out),
        Output::Table => print(&made, flags, out),
    }
}

/// The resolutions that have to be made for the wanted ones.
fn levels(block: &Block, wanted: Resolutions) -> Result<Vec<Resolution>, ToolError> {
    let (five, hour) = (Resolution::FiveMinutes, Resolution::OneHour);
    let from = block.meta().resolution_ms();
    let refuse =
        |wanted| ToolError::Resolution { id: block.id().to_string(), found: resolution(from), wanted };
    match (Resolution::from_ms(from), wanted) {
        (Some(Resolution::Raw), Resolutions::FiveMinutes) => Ok(vec![five]),
        (Some(Resolution::Raw), Resolutions::OneHour | Resolutions::Both) => Ok(vec![five, hour]),
        (Some(Resolution::FiveMinutes), Resolutions::OneHour) => Ok(vec![hour]),
        (_, Resolutions::OneHour) => Err(refuse("an hour is made from a raw block or one of 5 minutes")),
        (_, Resolutions::FiveMinutes | Resolutions::Both) => {
            Err(refuse("5 minutes are made from a raw block"))
        }
    }
}

/// Removes the block of 5 minutes if it was made only as a source of the one of an hour.
fn drop_stepping_stone(flags: &DownsampleFlags, blocks: &mut Vec<BlockMeta>) -> Result<(), ToolError> {
    let is_stone = |b: &BlockMeta| b.resolution_ms() == Resolution::FiveMinutes.ms();
    for stone in blocks.extract_if(.., |b| is_stone(b)) {
        let path = flags.out.join(stone.ulid.to_string());
        fs::remove_dir_all(&path).map_err(|source| BlockError::Io { path, source })?;
    }
    Ok(())
}

fn print(made: &Made, flags: &DownsampleFlags, out: &mut impl Write) -> Result<(), ToolError> {
    for block in &made.blocks {
        writeln!(out, "{}", flags.out.join(block.ulid.to_string()).display())?;
        writeln!(
            out,
            "{}: {} series, {} samples, {} chunks",
            resolution(block.resolution_ms()),
            block.stats.num_series,
            block.stats.num_samples,
            block.stats.num_chunks,
        )?;
    }
    if made.blocks.is_empty() {
        writeln!(out, "block {} holds nothing to downsample: no block was written", made.source)?;
        return Ok(());
    }
    let speed = made.source_samples as f64 / made.seconds.max(1e-9) / 1e6;
    writeln!(out, "{} samples: {:.2} s, {speed:.0} M samples/s", made.source_samples, made.seconds)?;
    Ok(())
}
