//! `tithon tools bucket upload-blocks`: the blocks of a local folder, uploaded once. Thanos `pkg/shipper/shipper.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::io::Write;
use std::path::Path;

use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use tithon_bucket::{Bucket, TransferOptions};
use tithon_engine::{Block, BlockId, BlockMeta, SourceType};
use tracing::{info, warn};

use super::look::look;
use crate::bucket::open_bucket;
use crate::cli::UploadBlocksFlags;
use crate::compact::RETRY;

/// Where the folder keeps which of its blocks were uploaded; the file of Thanos's sidecar.
const RECORD: &str = "thanos.shipper.json";

#[derive(Serialize, Deserialize)]
struct Record {
    version: i64,
    uploaded: Option<BTreeSet<BlockId>>,
}

/// Uploads what is not in the bucket yet, the oldest block first; stops at the first that fails.
pub async fn run(flags: &UploadBlocksFlags) -> Result<(), Box<dyn Error>> {
    let labels: BTreeMap<String, String> =
        flags.labels.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
    if labels.is_empty() {
        return Err("--label: a block without external labels is not uploaded".into());
    }
    let metas = metas_in(&flags.path)?;
    let bucket = open_bucket(&flags.bucket).await?.with_retry(RETRY);
    let before = read_record(&flags.path);
    let (mut record, mut n, mut remote) = (BTreeSet::new(), 0, None);
    // Hidden by itself where standard error is no terminal.
    let bar = ProgressBar::new(metas.len() as u64);
    for meta in metas {
        let id = meta.ulid;
        bar.inc(1);
        let is_merged = meta.compaction.level > 1;
        if before.contains(&id) {
            record.insert(id);
            continue;
        }
        if meta.stats.num_samples == 0 || (is_merged && !flags.upload_compacted) {
            continue;
        }
        if !bucket.has_block(id).await? {
            if is_merged {
                let known = match &mut remote {
                    Some(known) => known,
                    None => remote.insert(with_labels(&bucket, &labels).await?),
                };
                if let Some(other) = known.iter().find(|other| overlaps(other, &meta)) {
                    let other = other.ulid;
                    return Err(format!("block {id} is not uploaded: it overlaps block {other}").into());
                }
            }
            let dir = flags.path.join(id.to_string());
            let uploaded = upload(&bucket, &dir, meta, &labels, flags.upload_concurrency).await?;
            remote.iter_mut().for_each(|known: &mut Vec<BlockMeta>| known.push(uploaded.clone()));
            n += 1;
        }
        record.insert(id);
    }
    bar.finish_and_clear();
    if let Err(error) = write_record(&flags.path, record) {
        warn!(error = %error, file = RECORD, "which blocks were uploaded is not kept, the next run asks the bucket");
    }
    info!(uploaded = n, "blocks are uploaded");
    Ok(())
}

/// Metas of the blocks of a folder, by first time.
fn metas_in(path: &Path) -> Result<Vec<BlockMeta>, Box<dyn Error>> {
    let failed = |path: &Path, error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let mut metas = Vec::new();
    for entry in fs::read_dir(path).map_err(|e| format!("--path={}: {e}", path.display()))? {
        let dir = entry.map_err(|e| failed(path, &e))?.path();
        let id = dir.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse::<BlockId>().ok());
        let Some(id) = id.filter(|_| dir.is_dir()) else { continue };
        let file = dir.join("meta.json");
        let meta = BlockMeta::parse(&fs::read(&file).map_err(|e| failed(&file, &e))?);
        let meta = meta.map_err(|e| failed(&file, &e))?;
        if meta.ulid != id {
            return Err(failed(&file, &format!("found ulid {}, expected {id}", meta.ulid)).into());
        }
        metas.push(meta);
    }
    metas.sort_by_key(|meta| (meta.min_time, meta.ulid));
    Ok(metas)
}

/// The blocks of the bucket that have exactly these labels.
async fn with_labels(
    bucket: &Bucket,
    labels: &BTreeMap<String, String>,
) -> Result<Vec<BlockMeta>, Box<dyn Error>> {
    let catalogue = look(bucket, &[]).await?;
    let has_them = |meta: &&std::sync::Arc<BlockMeta>| {
        meta.thanos.as_ref().is_some_and(|thanos| thanos.labels == *labels)
    };
    Ok(catalogue.metas().filter(has_them).map(|meta| (**meta).clone()).collect())
}

fn overlaps(a: &BlockMeta, b: &BlockMeta) -> bool {
    a.min_time < b.max_time && b.min_time < a.max_time
}

async fn upload(
    bucket: &Bucket,
    dir: &Path,
    mut meta: BlockMeta,
    labels: &BTreeMap<String, String>,
    files_concurrency: usize,
) -> Result<BlockMeta, Box<dyn Error>> {
    let id = meta.ulid;
    // What cannot be opened is of no use in the bucket.
    drop(Block::open(dir)?);
    let chunks = fs::read_dir(dir.join("chunks"))?;
    let names = chunks.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut segment_files = names.collect::<std::io::Result<Vec<String>>>()?;
    segment_files.sort();
    let thanos = meta.thanos.get_or_insert_default();
    thanos.labels.extend(labels.clone());
    thanos.source = SourceType::BucketUpload;
    thanos.segment_files = segment_files;
    let options = TransferOptions { files_concurrency, ..TransferOptions::default() };
    let uploaded = bucket.upload_block(dir, meta, options).await;
    let meta = uploaded.map_err(|error| format!("block {id} is not uploaded: {error}"))?;
    info!(block = %id, samples = meta.stats.num_samples, "block is uploaded");
    Ok(meta)
}

/// The blocks that were uploaded before; none where the file cannot be used, as the bucket is asked then.
fn read_record(path: &Path) -> BTreeSet<BlockId> {
    let bytes = match fs::read(path.join(RECORD)) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return BTreeSet::new(),
        Err(error) => {
            warn!(error = %error, file = RECORD, "which blocks were uploaded cannot be read");
            return BTreeSet::new();
        }
    };
    match serde_json::from_slice::<Record>(&bytes) {
        Ok(record) if record.version == 1 => record.uploaded.unwrap_or_default(),
        Ok(Record { version, .. }) => {
            warn!(version, file = RECORD, "which blocks were uploaded is of a version that is not known");
            BTreeSet::new()
        }
        Err(error) => {
            warn!(error = %error, file = RECORD, "which blocks were uploaded cannot be read");
            BTreeSet::new()
        }
    }
}

fn write_record(path: &Path, uploaded: BTreeSet<BlockId>) -> std::io::Result<()> {
    let record = Record { version: 1, uploaded: Some(uploaded) };
    let mut text = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"\t");
    record.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
    let temporary = path.join(format!("{RECORD}.tmp"));
    let mut file = fs::File::create(&temporary)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(temporary, path.join(RECORD))
}
