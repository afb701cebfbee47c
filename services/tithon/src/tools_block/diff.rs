//! `tools block diff`: compares two sets of blocks.

use std::collections::BTreeMap;
use std::fmt;
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

/// The blocks of one resolution and set of external labels, in the first and the second set.
#[derive(Default)]
struct Stream {
    first: Vec<Block>,
    second: Vec<Block>,
}

/// Differences in one stream; serialised to one JSON object.
#[derive(Serialize)]
pub struct StreamDiff {
    resolution: &'static str,
    external_labels: String,
    first_blocks: usize,
    second_blocks: usize,
    differences: Vec<Difference>,
}

impl StreamDiff {
    /// The differences between the blocks of a resolution with these external labels.
    pub fn new(
        resolution_ms: i64,
        labels: &Labels,
        first_blocks: usize,
        second_blocks: usize,
        differences: Vec<Difference>,
    ) -> StreamDiff {
        let (resolution, external_labels) = (resolution(resolution_ms), labels.to_string());
        StreamDiff { resolution, external_labels, first_blocks, second_blocks, differences }
    }

    /// Number of differences.
    pub fn n_differences(&self) -> usize {
        self.differences.len()
    }
}

/// Prints a line for the stream, and one for each difference.
impl fmt::Display for StreamDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let StreamDiff { resolution, external_labels, first_blocks, second_blocks, differences } = self;
        let verdict = if differences.is_empty() { "equal" } else { "DIFFERENT" };
        writeln!(f, "{resolution} {external_labels}: {first_blocks} and {second_blocks} blocks: {verdict}")?;
        differences.iter().try_for_each(|difference| writeln!(f, "  {}", described(difference)))
    }
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
        let differences = diff(&stream.first, &stream.second, flags.most)?;
        Ok(StreamDiff::new(*resolution_ms, labels, stream.first.len(), stream.second.len(), differences))
    };
    let found: Vec<StreamDiff> =
        pool(&flags.job)?.install(|| streams.par_iter().map(compare).collect::<Result<_, ToolError>>())?;
    match flags.job.output {
        Output::Json => print_json(&found, out)?,
        Output::Table => found.iter().try_for_each(|stream| write!(out, "{stream}"))?,
    }
    match found.iter().map(StreamDiff::n_differences).sum() {
        0 => Ok(()),
        n => Err(ToolError::Differ(n)),
    }
}

fn stream_of(block: &Block, flags: &DiffFlags) -> (i64, Labels) {
    let labels = block.meta().thanos.as_ref().map(|t| t.labels.clone()).unwrap_or_default();
    let kept = labels.into_iter().filter(|(name, _)| !flags.replica_label.contains(name));
    (block.meta().resolution_ms(), Labels::from_pairs(kept))
}

fn described(difference: &Difference) -> String {
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
