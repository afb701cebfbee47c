//! Uploads and downloads whole blocks: chunks, index, and meta.json last, with which the block begins to exist. Thanos
//! `pkg/block/block.go`.

use std::path::{Path as LocalPath, PathBuf};
use std::time::SystemTime;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use object_store::path::Path;
use sha2::{Digest, Sha256};
use tithon_engine::{BlockId, BlockMeta, File, FileHash, UploadTime};
use tokio::io::AsyncWriteExt;
use tokio::runtime::Handle;

use crate::bucket::key;
use crate::directory::Directory;
use crate::provider::PART_BYTES;
use crate::retry::Operation;
use crate::{Bucket, BucketError};

/// Options of uploads and downloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransferOptions {
    /// Number of files of a block transferred at the same time, at least 1.
    pub files_concurrency: usize,
    /// Whether meta.json lists a SHA-256 for each file, and local files with the right one are not downloaded.
    pub hash: bool,
    /// Whether blocks without external labels are uploaded; Prometheus can use them, Thanos cannot.
    pub unlabelled: bool,
}

impl Default for TransferOptions {
    fn default() -> TransferOptions {
        TransferOptions { files_concurrency: 1, hash: false, unlabelled: false }
    }
}

impl Bucket {
    /// The directory of a block if the bucket is on local disk, so that no transfer is needed.
    pub fn block_dir(&self, block: BlockId) -> Option<PathBuf> {
        self.local_dir(block)
    }

    /// Downloads all objects of a block into the directory `to`, whose name should be the block's id. Existing files
    /// are overwritten.
    ///
    /// Fails when the size of a file differs from the listing or the meta.
    pub async fn download_block(
        &self,
        meta: &BlockMeta,
        to: &LocalPath,
        options: TransferOptions,
    ) -> Result<(), BucketError> {
        let block = meta.ulid;
        let chunks = to.join("chunks");
        tokio::fs::create_dir_all(&chunks).await.map_err(local(&chunks))?;
        let objects = self.objects(block).await?;
        let files = meta.thanos.as_ref().map(|thanos| thanos.files.as_slice()).unwrap_or_default();
        let fetch = |object: ObjectMeta| async move {
            let root = Path::from(block.to_string());
            let Some(parts) = object.location.prefix_match(&root) else { return Ok(()) };
            let rel: Vec<String> = parts.map(|part| part.as_ref().to_owned()).collect();
            let known = files.iter().find(|file| file.rel_path == rel.join("/"));
            let expected = known.map(|file| file.size_bytes).filter(|size| *size > 0);
            if expected.is_some_and(|size| size != object.size) {
                let (file, expected) = (rel.join("/"), expected.unwrap_or_default());
                return Err(BucketError::Incomplete { block, file, found: Some(object.size), expected });
            }
            let target = rel.iter().fold(to.to_owned(), |dir, part| dir.join(part));
            if let Some(hash) = known.and_then(|file| file.hash.as_ref()).filter(|_| options.hash)
                && hash.function == "SHA256"
                && sha256(&target).await.is_ok_and(|found| found == hash.value)
            {
                return Ok(());
            }
            self.download_file(&object.location, object.size, &target).await
        };
        let transfers = stream::iter(objects).map(fetch);
        transfers.buffer_unordered(options.files_concurrency.max(1)).try_collect::<()>().await
    }

    async fn download_file(&self, path: &Path, size: u64, target: &LocalPath) -> Result<(), BucketError> {
        if let Some(parent) = target.parent() {
            tokio::fs::create_dir_all(parent).await.map_err(local(parent))?;
        }
        let mut file = tokio::fs::File::create(target).await.map_err(local(target))?;
        let mut at = 0;
        while at < size {
            let range = at..size.min(at + PART_BYTES as u64);
            let part = self.get_range(path, range.clone()).await?;
            file.write_all(&part).await.map_err(local(target))?;
            at = range.end;
        }
        file.flush().await.map_err(local(target))
    }

    /// Uploads the block in the directory `from`: segments, index, meta.json. The list of files and the time are added
    /// to the `thanos` section. Returns the meta as written.
    ///
    /// Fails for a block without external labels, as Thanos does, unless the options allow it. Objects uploaded before
    /// a failure are left for the cleanup; without meta.json no reader sees them.
    pub async fn upload_block(
        &self,
        from: &LocalPath,
        meta: BlockMeta,
        options: TransferOptions,
    ) -> Result<BlockMeta, BucketError> {
        let files = self.upload_files(from, &meta, options).await?;
        let meta = with_files(meta, files);
        self.put_meta(&meta).await?;
        Ok(meta)
    }

    /// The first part of [`Bucket::upload_block`], without meta.json, which [`Bucket::seal_block`] writes. Returns the
    /// files.
    pub async fn upload_files(
        &self,
        from: &LocalPath,
        meta: &BlockMeta,
        options: TransferOptions,
    ) -> Result<Vec<File>, BucketError> {
        let block = meta.ulid;
        if !options.unlabelled && is_unlabelled(meta) {
            return Err(BucketError::NoLabels { block });
        }
        let segments = segment_names(&from.join("chunks")).await?;
        let upload = |name: String| async move { self.upload_file(block, from, &name, options.hash).await };
        let uploads = stream::iter(segments).map(upload).buffered(options.files_concurrency.max(1));
        let mut files: Vec<File> = uploads.try_collect().await?;
        files.push(self.upload_file(block, from, "index", options.hash).await?);
        Ok(files)
    }

    /// Writes the meta.json of a block whose other `files` are in the bucket, with which the block begins to exist.
    /// Returns the meta as written. Fails for a block without external labels.
    pub async fn seal_block(&self, meta: BlockMeta, files: Vec<File>) -> Result<BlockMeta, BucketError> {
        let meta = self.whole_meta(meta, files)?;
        self.put_meta(&meta).await?;
        Ok(meta)
    }

    /// The meta.json that [`Bucket::seal_block`] writes. Fails for a block without external labels.
    pub fn whole_meta(&self, meta: BlockMeta, files: Vec<File>) -> Result<BlockMeta, BucketError> {
        if is_unlabelled(&meta) {
            return Err(BucketError::NoLabels { block: meta.ulid });
        }
        Ok(with_files(meta, files))
    }

    /// Writes a block's meta.json unchanged.
    pub async fn put_meta(&self, meta: &BlockMeta) -> Result<(), BucketError> {
        self.put(&key(meta.ulid, "meta.json"), meta.to_json().into()).await
    }

    /// Removes what killed uploads of a block left in a bucket that is a directory: files under temporary names, which no reader sees.
    ///
    /// Nobody else may be uploading the block. Object storage shows nothing of an unfinished upload.
    pub async fn remove_unfinished(&self, block: BlockId) -> std::io::Result<usize> {
        let Some(directory) = self.directory.clone() else { return Ok(0) };
        tokio::task::spawn_blocking(move || directory.remove_unfinished(block)).await?
    }

    async fn upload_file(
        &self,
        block: BlockId,
        from: &LocalPath,
        name: &str,
        hash: bool,
    ) -> Result<File, BucketError> {
        let source = name.split('/').fold(from.to_owned(), |dir, part| dir.join(part));
        let path = key(block, name);
        let size = tokio::fs::metadata(&source).await.map_err(local(&source))?.len();
        match &self.directory {
            Some(directory) => self.copy_file(directory, &source, size, &path).await?,
            None => self.put_file(&source, size, &path).await?,
        }
        let hash = if hash {
            let value = sha256(&source).await.map_err(local(&source))?;
            Some(FileHash { function: "SHA256".to_owned(), value })
        } else {
            None
        };
        Ok(File { rel_path: name.to_owned(), size_bytes: size, hash })
    }

    /// Copies a local file into a bucket in a directory. The system copies it, so nothing of it is held in memory.
    async fn copy_file(
        &self,
        directory: &Directory,
        source: &LocalPath,
        size: u64,
        path: &Path,
    ) -> Result<(), BucketError> {
        let copy = || async {
            let (directory, source, path) = (directory.clone(), source.to_owned(), path.clone());
            let runtime = Handle::current();
            tokio::task::spawn_blocking(move || directory.copy_in(&source, &path, runtime)).await?
        };
        self.retrying(Operation::Upload, copy).await.map_err(BucketError::object(path))?;
        self.metrics.uploaded(size);
        Ok(())
    }
}

/// Adds the list of files and the time of the upload to a meta.
fn with_files(mut meta: BlockMeta, mut files: Vec<File>) -> BlockMeta {
    files.push(File { rel_path: "meta.json".to_owned(), size_bytes: 0, hash: None });
    files.sort_by(|a, b| a.rel_path.cmp(&b.rel_path));
    let thanos = meta.thanos.get_or_insert_default();
    thanos.files = files;
    thanos.upload_time = now();
    meta
}

fn is_unlabelled(meta: &BlockMeta) -> bool {
    meta.thanos.as_ref().is_none_or(|thanos| thanos.labels.is_empty())
}

/// Paths of the segments in the block, ascending; empty when the folder `chunks/` is missing.
async fn segment_names(chunks: &LocalPath) -> Result<Vec<String>, BucketError> {
    let mut entries = match tokio::fs::read_dir(chunks).await {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(local(chunks))?,
    };
    let mut names = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(local(chunks))? {
        names.push(format!("chunks/{}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    Ok(names)
}

async fn sha256(path: &LocalPath) -> std::io::Result<String> {
    let path = path.to_owned();
    let hash = move || -> std::io::Result<String> {
        let (mut file, mut hash) = (std::fs::File::open(path)?, Sha256::new());
        let mut part = vec![0; 1 << 20];
        loop {
            match std::io::Read::read(&mut file, &mut part)? {
                0 => return Ok(hex::encode(hash.finalize())),
                n => hash.update(&part[..n]),
            }
        }
    };
    tokio::task::spawn_blocking(hash).await?
}

/// The current time in the format of meta.json.
fn now() -> UploadTime {
    UploadTime(humantime::format_rfc3339_nanos(SystemTime::now()).to_string())
}

/// An error of reading or writing the local file `path`.
pub(crate) fn local(path: &LocalPath) -> impl FnOnce(std::io::Error) -> BucketError {
    let path = path.to_owned();
    move |source| BucketError::Local { path, source }
}
