//! Files of a block written straight into the bucket, part by part, while they are made: nothing lies on local disk.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use object_store::WriteMultipart;
use object_store::path::Path;
use sha2::{Digest, Sha256};
use tithon_engine::{BlockFiles, BlockId, BlockSink, File, FileHash};
use tokio::runtime::Handle;

use crate::bucket::key;
use crate::{Bucket, BucketError};

/// Parts of one file under way at once: these and the one being filled are what a file takes in memory.
const PARTS_IN_FLIGHT: usize = 2;

/// The files of one block in a bucket. Writing blocks the calling thread, which must not be one that drives tasks.
#[derive(Clone, Debug)]
pub struct BucketFiles {
    bucket: Bucket,
    block: BlockId,
    runtime: Handle,
    hash: bool,
    written: Arc<Mutex<Vec<File>>>,
}

impl Bucket {
    /// Where a block's segments and index can be written to; with `hash`, their SHA-256 is taken. To be called inside a
    /// tokio runtime.
    pub fn block_files(&self, block: BlockId, hash: bool) -> BucketFiles {
        let runtime = Handle::current();
        BucketFiles { bucket: self.clone(), block, runtime, hash, written: Arc::default() }
    }
}

impl BucketFiles {
    /// The files that are whole, in the order they were finished, as meta.json lists them.
    pub fn written(&self) -> Vec<File> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl BlockFiles for BucketFiles {
    fn create(&mut self, name: &str) -> io::Result<Box<dyn BlockSink>> {
        Ok(Box::new(Sink {
            files: self.clone(),
            name: name.to_owned(),
            path: key(self.block, name),
            part: Vec::new(),
            bytes: 0,
            hash: self.hash.then(Sha256::new),
            upload: None,
        }))
    }
}

struct Sink {
    files: BucketFiles,
    name: String,
    path: Path,
    part: Vec<u8>,
    bytes: u64,
    hash: Option<Sha256>,
    /// Begun with the first full part.
    upload: Option<WriteMultipart>,
}

impl Sink {
    fn send(&mut self, part: Vec<u8>) -> io::Result<()> {
        let Sink { files, path, upload, .. } = self;
        let send = async {
            let begun = match upload {
                Some(begun) => begun,
                None => {
                    let begun = files.bucket.put_parts(path).await?;
                    upload.insert(WriteMultipart::new_with_chunk_size(begun, files.bucket.part_bytes))
                }
            };
            begun.wait_for_capacity(PARTS_IN_FLIGHT).await.map_err(BucketError::object(path))?;
            begun.put(part.into());
            Ok(())
        };
        files.runtime.block_on(send).map_err(failed)
    }
}

fn failed(error: BucketError) -> io::Error {
    io::Error::other(error)
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.part.extend_from_slice(bytes);
        self.bytes += bytes.len() as u64;
        if let Some(hash) = &mut self.hash {
            hash.update(bytes);
        }
        while self.part.len() >= self.files.bucket.part_bytes {
            let rest = self.part.split_off(self.files.bucket.part_bytes);
            let full = std::mem::replace(&mut self.part, rest);
            self.send(full)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlockSink for Sink {
    fn finish(mut self: Box<Self>) -> io::Result<()> {
        let last = std::mem::take(&mut self.part);
        if self.upload.is_some() && !last.is_empty() {
            self.send(last)?;
        } else if self.upload.is_none() {
            let put = self.files.bucket.put(&self.path, last.into());
            self.files.runtime.block_on(put).map_err(failed)?;
        }
        if let Some(upload) = self.upload.take() {
            let finished = self.files.runtime.block_on(upload.finish());
            finished.map_err(BucketError::object(&self.path)).map_err(failed)?;
            self.files.bucket.metrics.uploaded(self.bytes);
        }
        let value = |hash: Sha256| hex::encode(hash.finalize());
        let hash =
            self.hash.take().map(|hash| FileHash { function: "SHA256".to_owned(), value: value(hash) });
        let file = File { rel_path: self.name.clone(), size_bytes: self.bytes, hash };
        self.files.written.lock().unwrap_or_else(PoisonError::into_inner).push(file);
        Ok(())
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        if let Some(upload) = self.upload.take() {
            // Nobody waits for it: what cannot be taken back is cleaned as half an upload.
            drop(self.files.runtime.spawn(async move { drop(upload.abort().await) }));
        }
    }
}
