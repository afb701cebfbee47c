//! `tools block verify`: checks blocks.

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

/// Result for a block; serialised to one JSON object.
#[derive(Serialize)]
struct Found {
    path: PathBuf,
    sound: bool,
    /// Why the block cannot be opened, or its first damage.
    error: Option<String>,
    #[serde(flatten)]
    health: Option<Health>,
}

/// Runs the tool; an unreadable block does not keep others from being checked.
pub fn run(paths: &[PathBuf], job: &JobFlags, out: &mut impl Write) -> Result<(), ToolError> {
    let dirs = inputs::find(paths)?;
    // The bar is hidden if standard error is no terminal.
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
    match Block::open(dir).map(|block| verify(&block)) {
        Ok(health) => {
            let error = health.damage.first().cloned();
            Found { path, sound: health.is_sound(), error, health: Some(health) }
        }
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
            (_, Some(health)) => health.to_string(),
            (Some(error), None) => error.clone(),
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
    writeln!(out, "{table}")?;
    for one in found {
        let name = one.path.file_name().unwrap_or_default().to_string_lossy();
        let Some(health) = &one.health else { continue };
        for what in &health.damage {
            writeln!(out, "{name}: {what}")?;
        }
        let untold = health.damaged - health.damage.len() as u64;
        if untold > 0 {
            writeln!(out, "{name}: {untold} more damaged places are not listed")?;
        }
    }
    Ok(())
}
