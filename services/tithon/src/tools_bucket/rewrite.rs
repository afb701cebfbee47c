//! `tithon tools bucket rewrite`: blocks without some of their series or samples, or with other labels. Thanos
//! `cmd/thanos/tools_bucket.go`, `pkg/compactv2`.

use std::error::Error;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use indicatif::ProgressBar;
use tithon_bucket::{Bucket, Catalogue, Mark, MarkKind, TransferOptions};
use tithon_engine::rewrite::{Change, Rules, changes, rewrite};
use tithon_engine::{Block, BlockError, BlockId, BlockMeta, Rewrite, SourceType};
use tithon_runtime::{Cpu, Priority, now_ms};
use tracing::{error, info};

use super::look::look;
use super::rewrite_config::{deletions, relabels};
use crate::bucket::open_bucket;
use crate::cli::RewriteFlags;
use crate::compact::RETRY;
use crate::flags::path_or_content;
use crate::tools_block::new_id;

/// What is done with each block.
struct Job<'f> {
    flags: &'f RewriteFlags,
    bucket: Bucket,
    catalogue: Catalogue,
    tmp: PathBuf,
    rules: Rules,
    /// What meta.json is to say; without sources.
    record: Rewrite,
    cpu: Cpu,
}

/// Rewrites the blocks that the flags name, one after the other; stops at the first that fails.
pub async fn run(flags: &RewriteFlags) -> Result<(), Box<dyn Error>> {
    let content = |name: &str, file: &str, inline: &str| {
        path_or_content(name, file, inline, true).map(Option::unwrap_or_default)
    };
    let name = "rewrite.to-relabel-config";
    let yaml = content(name, &flags.to_relabel_config_file, &flags.to_relabel_config)?;
    let (relabels, relabels_applied) = relabels(&yaml).map_err(|e| format!("--{name}: {e}"))?;
    let name = "rewrite.to-delete-config";
    let yaml = content(name, &flags.to_delete_config_file, &flags.to_delete_config)?;
    let (deletions, deletions_applied) = deletions(&yaml).map_err(|e| format!("--{name}: {e}"))?;
    if relabels.is_empty() && deletions.is_empty() {
        return Err("nothing to do: give --rewrite.to-delete-config or --rewrite.to-relabel-config".into());
    }
    let tmp = flags.tmp_dir.clone().unwrap_or_else(|| std::env::temp_dir().join("thanos-rewrite"));
    let bucket = open_bucket(&flags.bucket).await?.with_retry(RETRY);
    empty(&tmp).map_err(|error| format!("--tmp.dir={}: {error}", tmp.display()))?;
    let catalogue = look(&bucket, &[]).await?;
    let job = Job {
        flags,
        bucket,
        catalogue,
        tmp,
        rules: Rules { relabels, deletions, repair: false },
        record: Rewrite { sources: Vec::new(), deletions_applied, relabels_applied },
        cpu: Cpu::new(0)?,
    };
    for id in &flags.ids {
        job.rewrite(*id).await.map_err(|error| format!("block {id}: {error}"))?;
    }
    info!("rewrite done");
    Ok(())
}

/// Makes a folder that has nothing in it.
fn empty(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(dir)
}

impl Job<'_> {
    async fn rewrite(&self, id: BlockId) -> Result<(), Box<dyn Error>> {
        let known = self.catalogue.blocks().get(&id).ok_or("the bucket has no such block")?;
        let meta = Arc::clone(known.meta());
        let record = Rewrite { sources: meta.compaction.sources.clone(), ..self.record.clone() };
        if self.flags.dry_run {
            self.make(&meta, None).await?;
            info!(block = %id, "dry run done: --no-dry-run changes the bucket");
            return Ok(());
        }
        let made_before = self.catalogue.metas().find(|other| is_made_of(other, &meta, &record));
        match made_before {
            Some(made) => info!(block = %id, new = %made.ulid, "block was rewritten so before"),
            None => self.make(&meta, Some(record)).await?,
        }
        if self.flags.delete_blocks
            && let Err(error) = self.mark(id).await
        {
            error!(block = %id, error, "block is not marked for deletion");
        }
        Ok(())
    }

    /// Writes the new block and uploads it; without a record, only tells what would be changed.
    async fn make(&self, meta: &BlockMeta, record: Option<Rewrite>) -> Result<(), Box<dyn Error>> {
        let from = match self.bucket.block_dir(meta.ulid) {
            Some(dir) => dir,
            None => {
                let to = self.tmp.join(meta.ulid.to_string());
                self.bucket.download_block(meta, &to, TransferOptions::default()).await?;
                to
            }
        };
        let new = new_id();
        let log_path = self.tmp.join(format!("{new}.change.log"));
        let log = self.flags.add_change_log.then(|| ChangeLog::create(log_path.clone())).transpose()?;
        let (rules, tmp, is_dry) = (self.rules.clone(), self.tmp.clone(), record.is_none());
        // Hidden by itself where standard error is no terminal.
        let bar = ProgressBar::new(meta.stats.num_series);
        let work = move || -> Result<(Option<BlockMeta>, io::Result<u64>), BlockError> {
            let (mut log, mut n) = (log, 0);
            let each = |series: usize, changes: Vec<Change>| {
                bar.inc(series as u64);
                n += changes.len() as u64;
                log.iter_mut().for_each(|log| log.add(&changes));
            };
            let block = Block::open(from)?;
            let made = match is_dry {
                true => changes(&block, &rules, each).map(|()| None)?,
                false => rewrite(&block, &tmp, new, &rules, each)?,
            };
            bar.finish_and_clear();
            Ok((made, log.map_or(Ok(()), ChangeLog::finish).map(|()| n)))
        };
        let (made, logged) = self.cpu.run(Priority::Background, work).await??;
        info!(block = %meta.ulid, changes = logged?, "series are looked through");
        let dir = self.tmp.join(new.to_string());
        match (record, made) {
            (Some(record), Some(made)) => self.upload(&dir, meta, made, record).await?,
            (Some(_), None) => info!(block = %meta.ulid, "no sample is left: no block is uploaded"),
            (None, _) => {}
        }
        empty(&dir)?;
        if self.flags.add_change_log {
            let path = dir.join("change.log");
            std::fs::rename(log_path, &path)?;
            info!(block = %meta.ulid, file = %path.display(), "changes are written down");
        }
        Ok(())
    }

    async fn upload(
        &self,
        dir: &Path,
        meta: &BlockMeta,
        mut made: BlockMeta,
        record: Rewrite,
    ) -> Result<(), Box<dyn Error>> {
        let new = made.ulid;
        made.compaction.sources = vec![new];
        let thanos = made.thanos.get_or_insert_default();
        thanos.source = SourceType::BucketRewrite;
        thanos.rewrites.push(record);
        let options = TransferOptions {
            hash: self.flags.hash_func == "SHA256",
            unlabelled: self.flags.prom_blocks,
            ..TransferOptions::default()
        };
        let made = self.bucket.upload_block(dir, made, options).await?;
        self.bucket.check_files(&made).await?;
        info!(block = %meta.ulid, new = %new, samples = made.stats.num_samples, "rewritten block is uploaded");
        Ok(())
    }

    async fn mark(&self, block: BlockId) -> Result<(), Box<dyn Error>> {
        let mark = Mark {
            kind: MarkKind::Deletion,
            block,
            details: "block rewritten".to_owned(),
            time_s: now_ms() / 1000,
            reason: String::new(),
            replaced_by: Vec::new(),
        };
        self.bucket.put_mark(&mark).await?;
        info!(block = %block, "block is marked for deletion");
        Ok(())
    }
}

/// Whether a block is what the same rewrite has made of another: a run may have broken off before it marked that.
fn is_made_of(made: &BlockMeta, source: &BlockMeta, record: &Rewrite) -> bool {
    let (Some(of_made), of_source) = (&made.thanos, source.thanos.clone().unwrap_or_default()) else {
        return false;
    };
    of_made.source == SourceType::BucketRewrite
        && of_made.rewrites.split_last() == Some((record, of_source.rewrites.as_slice()))
        && of_made.labels == of_source.labels
        && of_made.downsample == of_source.downsample
        && (made.min_time, made.max_time) == (source.min_time, source.max_time)
}

/// The file of changes. It keeps the first failure to the end.
struct ChangeLog {
    file: BufWriter<File>,
    path: PathBuf,
    failed: Option<io::Error>,
}

impl ChangeLog {
    fn create(path: PathBuf) -> io::Result<ChangeLog> {
        Ok(ChangeLog { file: BufWriter::new(File::create(&path)?), path, failed: None })
    }

    fn add(&mut self, changes: &[Change]) {
        for change in changes {
            if self.failed.is_none() {
                self.failed = writeln!(self.file, "{change}").err();
            }
        }
    }

    fn finish(mut self) -> io::Result<()> {
        let failed = self.failed.take().map_or_else(|| self.file.flush(), Err);
        failed.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", self.path.display())))
    }
}
