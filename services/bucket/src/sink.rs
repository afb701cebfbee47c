//! Writes the files of a new block directly into the bucket: to their place in a directory, or in parts over the
//! network.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use object_store::WriteMultipart;
use object_store::path::Path;
use sha2::{Digest, Sha256};
use tithon_engine::{BlockFiles, BlockId, BlockSink, File, FileHash};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::bucket::key;
use crate::directory::NewFile;
use crate::provider::PART_BYTES;
use crate::{Bucket, BucketError};

/// Number of parts of a file being uploaded at the same time; a file holds these and the one being filled in memory.
const PARTS_IN_FLIGHT: usize = 2;

/// The files of a new block. Writing blocks the calling thread, which must not be one that runs tasks. Clones are the files of
/// the same block.
#[derive(Clone, Debug)]
pub struct BucketFiles {
    bucket: Bucket,
    block: BlockId,
    runtime: Handle,
    hash: bool,
    finished: Arc<Mutex<Finished>>,
}

/// Files that can be read.
#[derive(Debug, Default)]
struct Finished {
    files: Vec<File>,
    /// Files that are still being synced to disk.
    syncs: Vec<(Path, JoinHandle<object_store::Result<()>>)>,
}

impl Bucket {
    /// Creates files for the segments and index of a new block; with `hash`, their SHA-256 is computed. `runtime` runs
    /// the requests.
    pub fn block_files(&self, block: BlockId, hash: bool, runtime: Handle) -> BucketFiles {
        BucketFiles { bucket: self.clone(), block, runtime, hash, finished: Arc::default() }
    }
}

impl BucketFiles {
    /// The size of the parts of a file, whose own size is not known yet.
    fn part_bytes(&self) -> usize {
        self.bucket.part_bytes.unwrap_or(PART_BYTES)
    }

    /// Waits until all finished files are on disk, or wherever the bucket keeps them. Returns them in the order in which they
    /// were finished, for the list in meta.json.
    pub async fn durable(&self) -> Result<Vec<File>, BucketError> {
        let syncs = std::mem::take(&mut self.finished().syncs);
        for (path, sync) in syncs {
            let synced = sync.await.map_err(object_store::Error::from).flatten();
            synced.map_err(BucketError::object(&path))?;
        }
        Ok(self.finished().files.clone())
    }

    fn finished(&self) -> MutexGuard<'_, Finished> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockFiles for BucketFiles {
    fn create(&mut self, name: &str) -> io::Result<Box<dyn BlockSink>> {
        let path = key(self.block, name);
        let out = match &self.bucket.directory {
            Some(directory) => Out::File(directory.new_file(&path, self.runtime.clone())?),
            None => Out::Parts(Box::new(Parts {
                files: self.clone(),
                path: path.clone(),
                part: Vec::new(),
                upload: None,
            })),
        };
        let hash = self.hash.then(Sha256::new);
        Ok(Box::new(Sink { files: self.clone(), name: name.to_owned(), path, bytes: 0, hash, out }))
    }
}

/// A file of the block that is being written.
struct Sink {
    files: BucketFiles,
    name: String,
    path: Path,
    bytes: u64,
    hash: Option<Sha256>,
    out: Out,
}

/// The target of the file's bytes.
enum Out {
    File(NewFile),
    Parts(Box<Parts>),
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.out {
            Out::File(file) => file.write(bytes)?,
            Out::Parts(parts) => parts.push(bytes)?,
        };
        self.bytes += written as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlockSink for Sink {
    /// The file can be read then; [`BucketFiles::durable`] waits until it is on disk.
    fn finish(self: Box<Self>) -> io::Result<()> {
        let Sink { files, name, path, bytes, hash, out } = *self;
        let sync = match out {
            Out::File(file) => {
                let sync = file.finish_later()?;
                files.bucket.metrics.uploaded(bytes);
                Some((path, sync))
            }
            Out::Parts(parts) => {
                parts.finish(bytes)?;
                None
            }
        };
        let value = |hash: Sha256| hex::encode(hash.finalize());
        let hash = hash.map(|hash| FileHash { function: "SHA256".to_owned(), value: value(hash) });
        let mut finished = files.finished();
        finished.files.push(File { rel_path: name, size_bytes: bytes, hash });
        finished.syncs.extend(sync);
        Ok(())
    }
}

/// An object that is uploaded in parts.
struct Parts {
    files: BucketFiles,
    path: Path,
    part: Vec<u8>,
    /// The upload; it begins with the first full part.
    upload: Option<WriteMultipart>,
}

impl Parts {
    fn push(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.part.extend_from_slice(bytes);
        while self.part.len() >= self.files.part_bytes() {
            let rest = self.part.split_off(self.files.part_bytes());
            let full = std::mem::replace(&mut self.part, rest);
            self.send(full)?;
        }
        Ok(bytes.len())
    }

    fn send(&mut self, part: Vec<u8>) -> io::Result<()> {
        let Parts { files, path, upload, .. } = self;
        let send = async {
            let begun = match upload {
                Some(begun) => begun,
                None => {
                    let begun = files.bucket.put_parts(path).await?;
                    upload.insert(WriteMultipart::new_with_chunk_size(begun, files.part_bytes()))
                }
            };
            begun.wait_for_capacity(PARTS_IN_FLIGHT).await.map_err(BucketError::object(path))?;
            begun.put(part.into());
            Ok(())
        };
        files.runtime.block_on(send).map_err(failed)
    }

    /// Completes the object, which must have `bytes` bytes.
    fn finish(mut self, bytes: u64) -> io::Result<()> {
        let last = std::mem::take(&mut self.part);
        if self.upload.is_none() {
            let put = self.files.bucket.put(&self.path, last.into());
            return self.files.runtime.block_on(put).map_err(failed);
        }
        if !last.is_empty() {
            self.send(last)?;
        }
        if let Some(upload) = self.upload.take() {
            let finished = self.files.runtime.block_on(upload.finish());
            finished.map_err(BucketError::object(&self.path)).map_err(failed)?;
            self.files.bucket.metrics.uploaded(bytes);
        }
        Ok(())
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            // Runs in the background; if the upload cannot be aborted, its leftovers are cleaned up later.
            drop(self.files.runtime.spawn(async move { drop(upload.abort().await) }));
        }
    }
}

fn failed(error: BucketError) -> io::Error {
    io::Error::other(error)
}
