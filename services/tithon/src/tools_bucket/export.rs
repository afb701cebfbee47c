//! `tithon tools bucket export`: a Parquet file of each block (`docs/parquet.md`).

use std::error::Error;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use comfy_table::{CellAlignment, Table, presets};
use indicatif::{HumanBytes, ProgressBar};
use serde::Serialize;
use tithon_bucket::{Bucket, BucketBlock, KnownBlock};
use tithon_chunks::TimeRange;
use tithon_engine::{BlockId, BlockMeta, SelectRequest};
use tithon_index::Matcher;
use tithon_parquet::{Exported, Exporter};
use tokio::runtime::Handle;

use super::look::{in_scope, look};
use crate::bucket::open_bucket;
use crate::cli::{ExportFlags, Output};
use crate::compact::RETRY;
use crate::output::stdout;

/// A block that is exported.
#[derive(Serialize)]
struct Line {
    block: BlockId,
    file: PathBuf,
    /// Of the block in a dry run, else what the file holds.
    series: u64,
    chunks: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
}

/// Exports the blocks that the flags choose, the oldest first; stops at the first that fails.
pub async fn run(flags: &ExportFlags) -> Result<(), Box<dyn Error>> {
    let scope = flags.scope.read(&[], Duration::ZERO)?;
    let bucket = open_bucket(&flags.bucket).await?.with_retry(RETRY);
    let catalogue = look(&bucket, &[]).await?;
    let mut chosen = in_scope(&catalogue, &scope);
    chosen.retain(|block| has_labels(block.meta(), &flags.matchers));
    if let Some(id) = flags.ids.iter().find(|id| !chosen.iter().any(|block| block.meta().ulid == **id)) {
        return Err(format!("--id={id}: the bucket has no such block that the other flags choose").into());
    }
    chosen.retain(|block| flags.ids.is_empty() || flags.ids.contains(&block.meta().ulid));
    chosen.sort_by_key(|block| (block.meta().min_time, block.meta().ulid));
    // Hidden by itself where standard error is no terminal.
    let bar = ProgressBar::new(chosen.iter().map(|block| block.meta().stats.num_series).sum());
    if !flags.dry_run {
        fs::create_dir_all(&flags.to).map_err(|error| format!("--to={}: {error}", flags.to.display()))?;
    }
    let mut lines = Vec::with_capacity(chosen.len());
    for known in chosen {
        let (block, stats) = (known.meta().ulid, known.meta().stats);
        let file = flags.to.join(format!("{block}.parquet"));
        if flags.dry_run {
            let (series, chunks) = (stats.num_series, stats.num_chunks);
            lines.push(Line { block, file, series, chunks, rows: None, bytes: None });
            continue;
        }
        let made = export(&bucket, known, flags, &file, &bar).await;
        let (Exported { series, chunks, rows, .. }, bytes) =
            made.map_err(|error| format!("block {block} is not exported: {error}"))?;
        lines.push(Line { block, file, series, chunks, rows: Some(rows), bytes: Some(bytes) });
    }
    bar.finish_and_clear();
    let text = match flags.output {
        Output::Json => serde_json::to_string_pretty(&lines)? + "\n",
        Output::Table => table(&lines),
    };
    Ok(stdout().write_all(text.as_bytes())?)
}

/// Whether the external labels of a block match.
fn has_labels(meta: &BlockMeta, matchers: &[Matcher]) -> bool {
    let labels = meta.thanos.as_ref().map(|thanos| &thanos.labels);
    let value = |matcher: &Matcher| {
        let name = std::str::from_utf8(matcher.name()).unwrap_or_default();
        labels.and_then(|labels| labels.get(name)).map_or(&[][..], |value| value.as_bytes())
    };
    matchers.iter().all(|matcher| matcher.matches(value(matcher)))
}

/// Writes the file of a block; returns what it holds and its size.
async fn export(
    bucket: &Bucket,
    known: &KnownBlock,
    flags: &ExportFlags,
    file: &Path,
    bar: &ProgressBar,
) -> Result<(Exported, u64), Box<dyn Error>> {
    let objects = known.objects().map(|objects| &**objects);
    let block = bucket.open_block(Arc::clone(known.meta()), objects).await?;
    let (matchers, rows, bar, runtime) =
        (flags.series.to_vec(), flags.rows.into(), bar.clone(), Handle::current());
    let file = file.to_owned();
    let work = move || -> Result<(Exported, u64), Box<dyn Error + Send + Sync>> {
        let temporary = Temporary(file.with_extension("parquet.tmp"));
        let out = BufWriter::new(File::create(&temporary.0)?);
        let exporter = Exporter::new(out, block.meta(), &block.header().label_names()?, rows)?;
        let (exported, out) = write(&block, exporter, matchers, &runtime, &bar)?;
        let out = out.into_inner().map_err(|error| error.into_error())?;
        out.sync_all()?;
        block.check()?;
        let bytes = out.metadata()?.len();
        fs::rename(&temporary.0, &file)?;
        let dir = file.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(dir)?.sync_all()?;
        Ok((exported, bytes))
    };
    tokio::task::spawn_blocking(work).await?.map_err(|error| error as Box<dyn Error>)
}

fn write<W: Write + Send>(
    block: &BucketBlock,
    mut exporter: Exporter<W>,
    matchers: Vec<Matcher>,
    runtime: &Handle,
    bar: &ProgressBar,
) -> Result<(Exported, W), Box<dyn Error + Send + Sync>> {
    for batch in block.batches(SelectRequest::new(matchers, TimeRange::ALL), runtime) {
        let batch = batch?;
        for series in &batch.series {
            exporter.add(series)?;
        }
        bar.inc(batch.series.len() as u64);
    }
    Ok(exporter.finish()?)
}

/// A file that is removed unless it was renamed.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        // Nobody is left to take an error; the next export overwrites the file.
        let _ = fs::remove_file(&self.0);
    }
}

fn table(lines: &[Line]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["block", "series", "chunks", "rows", "size", "file"]);
    for Line { block, file, series, chunks, rows, bytes } in lines {
        let rows = rows.map_or_else(|| "-".to_owned(), |rows| rows.to_string());
        let bytes = bytes.map_or_else(|| "-".to_owned(), |bytes| HumanBytes(bytes).to_string());
        table.add_row([
            block.to_string(),
            series.to_string(),
            chunks.to_string(),
            rows,
            bytes,
            file.display().to_string(),
        ]);
    }
    for column in table.column_iter_mut().skip(1).take(4) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}
