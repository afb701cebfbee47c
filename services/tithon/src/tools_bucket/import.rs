//! `tithon tools bucket import`: a block of each Parquet file (`docs/parquet.md`).

use std::error::Error;
use std::fs::{File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use comfy_table::{CellAlignment, Table, presets};
use indicatif::ProgressBar;
use serde::Serialize;
use serde_json::json;
use tithon_bucket::{Bucket, Catalogue, TransferOptions};
use tithon_engine::{Block, BlockError, BlockId, BlockMeta, BlockWriter, Compaction, SourceType};
use tithon_parquet::{ParquetBlock, ParquetError};
use tithon_runtime::{Cpu, Priority, now_ms};
use tracing::info;
use xxhash_rust::xxh3::Xxh3;

use super::look::look;
use crate::bucket::open_bucket;
use crate::cli::{ImportFlags, Output};
use crate::compact::RETRY;

/// Where the extensions of a meta.json say which file the block was made of.
const EXTENSION: &str = "tithon_import";

/// A file that was imported.
#[derive(Serialize)]
struct Line {
    file: PathBuf,
    block: BlockId,
    /// `imported`, `imported before`, or `would be imported`.
    outcome: &'static str,
    series: u64,
    chunks: u64,
    samples: u64,
}

/// Imports the files, one after the other; stops at the first that fails.
pub async fn run(flags: &ImportFlags) -> Result<(), Box<dyn Error>> {
    // Only a folder of our own is emptied: the one that the flag names may hold other files.
    let tmp = flags.tmp_dir.clone().unwrap_or_else(std::env::temp_dir).join("tithon-import");
    let bucket = open_bucket(&flags.bucket).await?.with_retry(RETRY);
    let _lock = claim(&tmp).map_err(|error| format!("--tmp.dir: {}: {error}", tmp.display()))?;
    let catalogue = look(&bucket, &[]).await?;
    let (cpu, mut lines) = (Cpu::new(0)?, Vec::with_capacity(flags.files.len()));
    for file in &flags.files {
        let import = Import { flags, file, tmp: &tmp, bucket: &bucket, catalogue: &catalogue, cpu: &cpu };
        lines.push(import.run().await.map_err(|error| format!("{}: {error}", file.display()))?);
    }
    let text = match flags.output {
        Output::Json => serde_json::to_string_pretty(&lines)? + "\n",
        Output::Table => table(&lines),
    };
    Ok(crate::output::stdout().write_all(text.as_bytes())?)
}

/// Empties a folder, which no other import can claim until what is returned is dropped.
fn claim(dir: &Path) -> io::Result<File> {
    std::fs::create_dir_all(dir)?;
    let folder = File::open(dir)?;
    folder.try_lock().map_err(|error| match error {
        TryLockError::WouldBlock => io::Error::other("another import is using it: name another folder"),
        TryLockError::Error(error) => error,
    })?;
    for entry in std::fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_type()?.is_dir() {
            true => std::fs::remove_dir_all(entry.path())?,
            false => std::fs::remove_file(entry.path())?,
        }
    }
    Ok(folder)
}

/// The work on one file.
struct Import<'f> {
    flags: &'f ImportFlags,
    file: &'f Path,
    tmp: &'f Path,
    bucket: &'f Bucket,
    catalogue: &'f Catalogue,
    cpu: &'f Cpu,
}

impl Import<'_> {
    async fn run(&self) -> Result<Line, Box<dyn Error>> {
        let path = self.file.to_owned();
        let digest = tokio::task::spawn_blocking(move || digest(&path)).await??;
        let source = ParquetBlock::open(File::open(self.file)?)?;
        let meta = self.meta_of(&source, &digest)?;
        if let Some(before) = self.catalogue.metas().find(|other| is_made_alike(other, &meta)) {
            info!(file = %self.file.display(), block = %before.ulid, "file was imported before");
            return Ok(self.line(before, "imported before"));
        }
        let (tmp, bar) = (self.tmp.to_owned(), ProgressBar::new(source.n_rows()));
        let id = meta.ulid;
        let work = move || make(&source, &tmp, meta, &bar);
        let made = self.cpu.run(Priority::Background, work).await??.ok_or("the file has no row")?;
        let dir = self.tmp.join(id.to_string());
        // What cannot be opened is of no use in the bucket.
        drop(Block::open(&dir)?);
        if self.flags.dry_run {
            std::fs::remove_dir_all(&dir)?;
            return Ok(self.line(&made, "would be imported"));
        }
        let made = self.bucket.upload_block(&dir, made, TransferOptions::default()).await?;
        self.bucket.check_files(&made).await?;
        std::fs::remove_dir_all(&dir)?;
        info!(file = %self.file.display(), block = %id, samples = made.stats.num_samples, "file is imported");
        Ok(self.line(&made, "imported"))
    }

    /// The meta.json of the new block, without its counts and, where the file does not tell, its times.
    fn meta_of(&self, source: &ParquetBlock<File>, digest: &str) -> Result<BlockMeta, Box<dyn Error>> {
        let id = BlockId::from_parts(now_ms().unsigned_abs(), rand::random());
        let mut meta = match source.meta() {
            Some(meta) => meta.clone(),
            None if source.is_downsampled() => {
                return Err("aggregates need the metadata tithon.meta, which tells their resolution".into());
            }
            None => BlockMeta {
                ulid: id,
                min_time: i64::MAX,
                max_time: i64::MIN,
                stats: Default::default(),
                compaction: Compaction { level: 1, ..Compaction::default() },
                version: 1,
                thanos: None,
            },
        };
        meta.ulid = id;
        meta.compaction =
            Compaction { level: meta.compaction.level.max(1), sources: vec![id], ..Compaction::default() };
        let thanos = meta.thanos.get_or_insert_default();
        thanos.labels.extend(self.flags.labels.iter().cloned());
        thanos.labels.retain(|_, value| !value.is_empty());
        if thanos.labels.is_empty() {
            return Err("--label: a block needs external labels, and the file has none".into());
        }
        thanos.version = 1;
        thanos.source = SourceType::Other("bucket.import".to_owned());
        thanos.files.clear();
        thanos.extensions = Some(json!({ EXTENSION: { "digest": digest } }));
        Ok(meta)
    }

    fn line(&self, meta: &BlockMeta, outcome: &'static str) -> Line {
        let stats = &meta.stats;
        let (series, chunks, samples) = (stats.num_series, stats.num_chunks, stats.num_samples);
        Line { file: self.file.to_owned(), block: meta.ulid, outcome, series, chunks, samples }
    }
}

/// Whether two blocks were made of the same file in the same way: a run may have broken off before it told so.
fn is_made_alike(a: &BlockMeta, b: &BlockMeta) -> bool {
    let origin = |meta: &BlockMeta| {
        let thanos = meta.thanos.as_ref()?;
        Some((thanos.labels.clone(), thanos.extensions.as_ref()?.get(EXTENSION)?.clone()))
    };
    origin(a).is_some() && origin(a) == origin(b)
}

/// The XXH3 of 128 bits of a file, in hex.
fn digest(path: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut part) = (File::open(path)?, Xxh3::new(), vec![0; 1 << 20]);
    loop {
        match file.read(&mut part)? {
            0 => return Ok(format!("{:032x}", hash.digest128())),
            n => hash.update(part.get(..n).unwrap_or_default()),
        }
    }
}

/// An error while a block is made of a file.
#[derive(Debug, thiserror::Error)]
enum ImportError {
    #[error(transparent)]
    Parquet(#[from] ParquetError),
    #[error(transparent)]
    Block(#[from] BlockError),
}

/// Writes the block below `tmp`; `None` if the file has no rows. The block's times are those of the file's meta.json, or wider
/// ones if there are samples outside.
fn make(
    source: &ParquetBlock<File>,
    tmp: &Path,
    mut meta: BlockMeta,
    bar: &ProgressBar,
) -> Result<Option<BlockMeta>, ImportError> {
    let mut writer = BlockWriter::create(tmp, meta.ulid)?;
    source.read(
        |labels, chunks| {
            for chunk in chunks {
                meta.min_time = meta.min_time.min(chunk.min_time.0);
                meta.max_time = meta.max_time.max(chunk.max_time.0.saturating_add(1));
            }
            writer.add_series(labels, chunks).map_err(ImportError::from)
        },
        |rows| bar.inc(rows),
    )?;
    bar.finish_and_clear();
    meta.stats = writer.stats();
    Ok(writer.finish_like(meta)?)
}

fn table(lines: &[Line]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(["block", "outcome", "series", "chunks", "samples", "file"]);
    for Line { file, block, outcome, series, chunks, samples } in lines {
        let counts = [series, chunks, samples].map(|n| n.to_string());
        let mut row = vec![block.to_string(), (*outcome).to_owned()];
        row.extend(counts);
        row.push(file.display().to_string());
        table.add_row(row);
    }
    for column in table.column_iter_mut().skip(2).take(3) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{table}\n")
}
