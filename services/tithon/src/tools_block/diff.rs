//! `tools block diff`: whether two sets of blocks hold the same.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;
use tithon_engine::Block;
use tithon_engine::diff::{Difference, diff};
use tithon_index::Labels;

use super::compact::resolution;
use super::{ToolError, inputs, pool, print_json};
use crate::cli::{DiffFlags, Output};

/// Blocks of one resolution with the same external labels: first set, second set.
#[derive(Default)]
struct Stream {
    first: Vec<Block>,
    second: Vec<Block>,
}

/// What was found of one stream; serialises to one JSON object.
#[derive(Serialize)]
struct Found {
    resolution: &'static str,
    external_labels: String,
    first_blocks: usize,
    second_blocks: usize,
    differences: Vec<Difference>,
}

/// Runs the tool.
pub fn run(flags: &DiffFlags, out: &mut impl Write) -> Result<(), ToolError> {
    let open = |one: &Path, more: &[PathBuf]| {
        inputs::open(&std::iter::once(one.to_owned()).chain(more.iter().cloned()).collect::<Vec<_>>())
    };
    let mut streams: BTreeMap<(i64, Labels), Stream> = BTreeMap::new();
    for block in open(&flags.first, &flags.more_first)? {
        streams.entry(stream_of(&block, flags)).or_default().first.push(block);
    }
    for block in open(&flags.second, &flags.more_second)? {
        streams.entry(stream_of(&block, flags)).or_default().second.push(block);
    }
    let compare = |((resolution_ms, labels), stream): (&(i64, Labels), &Stream)| {
        Ok(Found {
            resolution: resolution(*resolution_ms),
            external_labels: labels.to_string(),
            first_blocks: stream.first.len(),
            second_blocks: stream.second.len(),
            differences: diff(&stream.first, &stream.second, flags.most)?,
        })
    };
    let found: Vec<Found> =
        pool(&flags.job)?.install(|| streams.par_iter().map(compare).collect::<Result<_, ToolError>>())?;
    match flags.job.output {
        Output::Json => print_json(&found, out)?,
        Output::Table => print(&found, out)?,
    }
    match found.iter().map(|f| f.differences.len()).sum() {
        0 => Ok(()),
        n => Err(ToolError::Differ(n)),
    }
}

fn stream_of(block: &Block, flags: &DiffFlags) -> (i64, Labels) {
    let labels = block.meta().thanos.as_ref().map(|t| t.labels.clone()).unwrap_or_default();
    let kept = labels.into_iter().filter(|(name, _)| !flags.replica_label.contains(name));
    (block.meta().resolution_ms(), Labels::from_pairs(kept))
}

fn print(found: &[Found], out: &mut impl Write) -> Result<(), ToolError> {
    for stream in found {
        let Found { resolution, external_labels, first_blocks, second_blocks, differences } = stream;
        let verdict = if differences.is_empty() { "equal" } else { "DIFFERENT" };
        writeln!(
            out,
            "{resolution} {external_labels}: {first_blocks} and {second_blocks} blocks: {verdict}"
        )?;
        for difference in differences {
            writeln!(out, "  {}", told(difference))?;
        }
    }
    Ok(())
}

fn told(difference: &Difference) -> String {
    match difference {
        Difference::OnlyInFirst { labels } => format!("{labels}: only in the first set"),
        Difference::OnlyInSecond { labels } => format!("{labels}: only in the second set"),
        Difference::Samples { labels, aggregate, first, second, time } => {
            let aggregate = aggregate.map(|a| format!(" ({a})")).unwrap_or_default();
            let time = time.map(|t| format!(", differing first at {t} ms")).unwrap_or_default();
            format!("{labels}{aggregate}: {first} and {second} samples{time}")
        }
    }
}
