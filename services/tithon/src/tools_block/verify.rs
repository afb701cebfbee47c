//! `tools block verify`: what is wrong with blocks.

use std::io::Write;
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, Table, presets};
use indicatif::ProgressBar;
use rayon::prelude::*;
use serde::Serialize;
use tithon_engine::Block;
use tithon_engine::verify::{Health, verify};

use super::{ToolError, inputs, pool, print_json};
use crate::cli::{JobFlags, Output};

/// What was found of one block; serialises to one JSON object.
#[derive(Serialize)]
struct Found {
    path: PathBuf,
    sound: bool,
    /// Why reading had to stop.
    error: Option<String>,
    #[serde(flatten)]
    health: Option<Health>,
}

/// Runs the tool: a block that cannot be read keeps none of the others from being read.
pub fn run(paths: &[PathBuf], job: &JobFlags, out: &mut impl Write) -> Result<(), ToolError> {
    let dirs = inputs::find(paths)?;
    // Hidden by itself where standard error is no terminal.
    let bar = ProgressBar::new(dirs.len() as u64);
    let one = |dir: &PathBuf| {
        let found = check(dir);
        bar.inc(1);
        found
    };
    let found: Vec<Found> = pool(job)?.install(|| dirs.par_iter().map(one).collect());
    bar.finish_and_clear();
    match job.output {
        Output::Json => print_json(&found, out)?,
        Output::Table => print(&found, out)?,
    }
    match found.iter().filter(|f| !f.sound).count() {
        0 => Ok(()),
        bad => Err(ToolError::Unsound { bad, all: found.len() }),
    }
}

fn check(dir: &Path) -> Found {
    let path = dir.to_owned();
    match Block::open(dir).and_then(|block| verify(&block)) {
        Ok(health) => Found { path, sound: health.is_sound(), error: None, health: Some(health) },
        Err(error) => Found { path, sound: false, error: Some(error.to_string()), health: None },
    }
}

fn print(found: &[Found], out: &mut impl Write) -> Result<(), ToolError> {
    let mut table = Table::new();
    table.load_style(presets::ASCII_HORIZONTAL_ONLY);
    table.set_header(["block", "series", "chunks", "samples", "duplicated chunks", "verdict"]);
    for one in found {
        let name = one.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let verdict = match (&one.error, &one.health) {
            (Some(error), _) => error.clone(),
            (None, Some(health)) => faults(health),
            (None, None) => String::new(),
        };
        let numbers = one.health.as_ref().map(|h| [h.series, h.chunks, h.samples, h.duplicated_chunks]);
        let [series, chunks, samples, twice] =
            numbers.map_or_else(Default::default, |n| n.map(|n| n.to_string()));
        table.add_row([name, series, chunks, samples, twice, verdict]);
    }
    for column in table.column_iter_mut().skip(1).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    Ok(writeln!(out, "{table}")?)
}

fn faults(health: &Health) -> String {
    let faults = [
        (health.series_out_of_order, "series out of order"),
        (health.empty_series, "empty series"),
        (health.labels_out_of_order, "series with labels out of order"),
        (health.chunks_out_of_order, "chunks out of order"),
        (health.outside_chunks, "chunks outside the block's time"),
        (health.chunks_with_wrong_times, "chunks whose samples are not where the index says"),
    ];
    let found: Vec<String> =
        faults.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
    if found.is_empty() { "sound".to_owned() } else { found.join(", ") }
}
