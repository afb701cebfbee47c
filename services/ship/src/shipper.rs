//! Uploads the finished blocks of a TSDB's directory. Thanos `pkg/shipper/shipper.go`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tithon_bucket::{Bucket, BucketError, Catalogue, TransferOptions};
use tithon_engine::{BlockId, BlockMeta, SourceType};
use tithon_index::Labels;
use tithon_runtime::Shutdown;
use tracing::{error, info, warn};

use crate::ShipMetrics;
use crate::state::State;

/// From one look through the directory to the next.
const INTERVAL: Duration = Duration::from_secs(30);

/// How blocks are uploaded.
#[derive(Clone, Debug)]
pub struct ShipOptions {
    /// The directory of the TSDB (`--tsdb.path`).
    pub dir: PathBuf,
    /// What wrote the blocks, for their meta.json.
    pub source: SourceType,
    /// The name of the file in it that tells which blocks are uploaded (`--shipper.meta-file-name`).
    pub state_file: String,
    /// Upload blocks too that were compacted here (`--shipper.upload-compacted`).
    pub upload_compacted: bool,
    /// A block that cannot be uploaded does not hold up newer ones (`--shipper.allow-out-of-order-uploads`).
    pub allow_out_of_order: bool,
    /// A block whose meta.json cannot be read does not hold up the others (`--shipper.skip-corrupted-blocks`).
    pub skip_corrupted: bool,
    /// How the files of a block are carried.
    pub transfer: TransferOptions,
}

/// Why a look through the directory ended early.
#[derive(Debug, thiserror::Error)]
pub enum ShipError {
    /// A file or folder cannot be used.
    #[error("{path}: {source}")]
    Local {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A block's meta.json cannot be read.
    #[error("{path}: {reason}")]
    Corrupted {
        /// The block.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The bucket failed.
    #[error("block {block}: {source}")]
    Bucket {
        /// The block that was to be uploaded.
        block: BlockId,
        /// Why.
        source: Box<BucketError>,
    },
    /// The catalogue of the bucket cannot be read.
    #[error("blocks of the bucket: {0}")]
    Catalogue(BucketError),
    /// A compacted block covers time that a block of the bucket covers.
    #[error("block {block} is compacted and overlaps block {other} of the bucket: it is not uploaded")]
    Overlap {
        /// The block.
        block: BlockId,
        /// One of the bucket with the same external labels.
        other: BlockId,
    },
    /// Some blocks failed while others went on.
    #[error("failed to sync {failed}/{corrupted} blocks")]
    Some {
        /// Uploads that failed.
        failed: usize,
        /// Blocks that are corrupt.
        corrupted: usize,
    },
}

/// Uploads blocks of a directory, each once: a block that was uploaded and has left the bucket was compacted there, and does not
/// come again.
pub struct Shipper {
    bucket: Bucket,
    options: ShipOptions,
    metrics: ShipMetrics,
}

impl Shipper {
    /// A shipper from a directory to `bucket`.
    pub fn new(bucket: Bucket, options: ShipOptions, metrics: ShipMetrics) -> Shipper {
        metrics.uploads_compacted.set(0);
        Shipper { bucket, options, metrics }
    }

    /// The directory that blocks are uploaded from.
    pub fn dir(&self) -> &Path {
        &self.options.dir
    }

    /// Looks through the directory again and again until the shutdown. `external` gives the labels that blocks get.
    pub async fn keep(&self, external: impl Fn() -> Labels, shutdown: &Shutdown) {
        loop {
            let external = external();
            tokio::select! {
                done = self.sync(&external) => if let Err(error) = done {
                    warn!(%error, "not all blocks are uploaded, trying again");
                },
                () = shutdown.wait() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                () = shutdown.wait() => return,
            }
        }
    }

    /// Uploads what is finished and not uploaded yet, the oldest block first, with these external labels. Answers with how many
    /// blocks were uploaded.
    pub async fn sync(&self, external: &Labels) -> Result<usize, ShipError> {
        let done = self.sync_blocks(external).await;
        match &done {
            Ok(_) | Err(ShipError::Some { .. }) => self.metrics.dir_syncs.inc(),
            Err(_) => self.metrics.dir_sync_failures.inc(),
        };
        if done.is_ok() {
            self.metrics.uploads_compacted.set(self.options.upload_compacted.into());
        }
        done
    }

    async fn sync_blocks(&self, external: &Labels) -> Result<usize, ShipError> {
        let (metas, corrupted) = self.metas()?;
        let path = self.options.dir.join(&self.options.state_file);
        let mut done: BTreeSet<BlockId> = State::read(&path).uploaded.into_iter().collect();
        let (mut uploaded, mut failed, mut others) = (0, 0, None);
        for meta in &metas {
            let block = meta.ulid;
            let is_left_out = meta.compaction.level > 1 && !self.options.upload_compacted;
            if done.contains(&block) || meta.stats.num_samples == 0 || is_left_out {
                continue;
            }
            let has = self.bucket.has_meta(block).await;
            if has.map_err(|source| ShipError::Bucket { block, source: Box::new(source) })? {
                done.insert(block);
                continue;
            }
            if meta.compaction.level > 1 && !self.options.allow_out_of_order {
                if others.is_none() {
                    others = Some(self.same_labels(external).await?);
                }
                check_overlap(meta, others.as_deref().unwrap_or_default())?;
            }
            match self.upload(meta.clone(), external).await {
                Ok(()) => {
                    done.insert(block);
                    // Noted at once: after a kill, a block that was merged and deleted meanwhile must not come again.
                    note(&path, &metas, &done);
                    uploaded += 1;
                    self.metrics.uploads.inc();
                }
                Err(error) if self.options.allow_out_of_order => {
                    error!(%block, %error, "upload failed, newer blocks go on");
                    failed += 1;
                }
                Err(error) => return Err(error),
            }
        }
        note(&path, &metas, &done);
        if failed > 0 || corrupted > 0 {
            self.metrics.upload_failures.inc_by(failed as u64);
            self.metrics.corrupted_blocks.inc_by(corrupted as u64);
            return Err(ShipError::Some { failed, corrupted });
        }
        Ok(uploaded)
    }

    /// The metas of the directory's blocks by their first time, and how many blocks have none that can be read.
    fn metas(&self) -> Result<(Vec<BlockMeta>, usize), ShipError> {
        let dir = &self.options.dir;
        let (mut metas, mut corrupted) = (Vec::new(), 0);
        for entry in std::fs::read_dir(dir).map_err(local(dir))? {
            let entry = entry.map_err(local(dir))?;
            let name = entry.file_name();
            if name.to_str().is_none_or(|name| name.parse::<BlockId>().is_err()) || !entry.path().is_dir() {
                continue;
            }
            match read_meta(&entry.path()) {
                Ok(meta) => metas.push(meta),
                Err(error) if self.options.skip_corrupted => {
                    error!(%error, "block is left out");
                    corrupted += 1;
                }
                Err(error) => return Err(error),
            }
        }
        metas.sort_by_key(|meta| (meta.min_time, meta.ulid));
        Ok((metas, corrupted))
    }

    /// The blocks of the bucket with these external labels.
    async fn same_labels(&self, external: &Labels) -> Result<Vec<BlockMeta>, ShipError> {
        let mut catalogue = Catalogue::new(self.bucket.clone(), &[]);
        catalogue.look().await.map_err(ShipError::Catalogue)?;
        let same = |meta: &&std::sync::Arc<BlockMeta>| {
            meta.thanos.as_ref().is_some_and(|thanos| thanos.external_labels() == *external)
        };
        Ok(catalogue.metas().filter(same).map(|meta| BlockMeta::clone(meta)).collect())
    }

    async fn upload(&self, mut meta: BlockMeta, external: &Labels) -> Result<(), ShipError> {
        let block = meta.ulid;
        info!(%block, "uploading block");
        // Only this shipper uploads the blocks of its directory.
        match self.bucket.remove_unfinished(block).await {
            Ok(0) => {}
            Ok(files) => info!(%block, files, "removed what an upload left that was broken off"),
            Err(error) => warn!(%block, %error, "cannot remove what an upload left that was broken off"),
        }
        let from = self.options.dir.join(block.to_string());
        let linked = LinkedBlock::new(&self.options.dir, &from, block)?;
        let thanos = meta.thanos.get_or_insert_default();
        for (name, value) in external.iter() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            thanos.labels.insert(text(name), text(value));
        }
        thanos.source = self.options.source.clone();
        thanos.segment_files = linked.segments.clone();
        let uploaded = self.bucket.upload_block(&linked.dir, meta, self.options.transfer).await;
        uploaded.map(drop).map_err(|source| ShipError::Bucket { block, source: Box::new(source) })
    }
}

/// The files of a block, linked into a folder of their own: whoever wrote the block may delete it meanwhile. The folder goes when this
/// is dropped.
struct LinkedBlock {
    dir: PathBuf,
    /// Base names, ascending.
    segments: Vec<String>,
}

impl LinkedBlock {
    fn new(tsdb: &Path, from: &Path, block: BlockId) -> Result<LinkedBlock, ShipError> {
        let dir = tsdb.join("thanos").join("upload").join(block.to_string());
        if dir.exists() {
            std::fs::remove_dir_all(&dir).map_err(local(&dir))?;
        }
        let chunks = dir.join("chunks");
        std::fs::create_dir_all(&chunks).map_err(local(&chunks))?;
        let mut linked = LinkedBlock { dir, segments: Vec::new() };
        let own_chunks = from.join("chunks");
        for entry in std::fs::read_dir(&own_chunks).map_err(local(&own_chunks))? {
            let entry = entry.map_err(local(&own_chunks))?;
            let name = entry.file_name();
            std::fs::hard_link(entry.path(), chunks.join(&name)).map_err(local(&entry.path()))?;
            linked.segments.push(name.to_string_lossy().into_owned());
        }
        linked.segments.sort();
        let index = from.join("index");
        std::fs::hard_link(&index, linked.dir.join("index")).map_err(local(&index))?;
        Ok(linked)
    }
}

impl Drop for LinkedBlock {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.dir) {
            error!(dir = %self.dir.display(), %error, "cannot remove the folder of an upload");
        }
    }
}

/// Writes which blocks of the directory are uploaded. Where that fails the bucket is asked for each block again.
fn note(path: &Path, metas: &[BlockMeta], done: &BTreeSet<BlockId>) {
    let uploaded = metas.iter().map(|meta| meta.ulid).filter(|block| done.contains(block)).collect();
    if let Err(error) = State::of(uploaded).write(path) {
        warn!(%error, "cannot note which blocks are uploaded: the bucket is asked again");
    }
}

fn read_meta(block: &Path) -> Result<BlockMeta, ShipError> {
    let path = block.join("meta.json");
    let bytes = std::fs::read(&path);
    let corrupted = |reason: String| ShipError::Corrupted { path: path.clone(), reason };
    BlockMeta::parse(&bytes.map_err(|e| corrupted(e.to_string()))?).map_err(|e| corrupted(e.to_string()))
}

/// Fails when a block of the bucket covers time that `meta` covers.
fn check_overlap(meta: &BlockMeta, others: &[BlockMeta]) -> Result<(), ShipError> {
    let overlaps = |other: &&BlockMeta| other.min_time < meta.max_time && meta.min_time < other.max_time;
    match others.iter().find(overlaps) {
        Some(other) => Err(ShipError::Overlap { block: meta.ulid, other: other.ulid }),
        None => Ok(()),
    }
}

fn local(path: &Path) -> impl Fn(std::io::Error) -> ShipError {
    let path = path.to_owned();
    move |source| ShipError::Local { path: path.clone(), source }
}
