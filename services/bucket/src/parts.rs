//! Uploads in parts: several in flight, and a bounded number in memory over all uploads of a bucket.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path as LocalPath;

use bytes::{Bytes, BytesMut};
use futures::{Stream, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{MultipartUpload, PutPayload};
use tokio::task::JoinSet;

use crate::transfer::local;
use crate::{Bucket, BucketError};

/// Smallest part that S3 accepts, and the size of parts unless the bucket's configuration sets it.
const PART_BYTES: usize = 5 << 20;
/// Largest number of parts of an object in S3; parts of larger files grow.
const PARTS_MAX: u64 = 10_000;
/// Bytes of parts that the uploads of a bucket hold together.
const HELD_BYTES: usize = 4 * PART_BYTES;
/// Number of parts that are held at least, however large they are: one is read while another is sent.
const HELD_PARTS_MIN: usize = 2;

/// How many parts a bucket's uploads may hold together, for the part size of its configuration.
pub(crate) fn parts_held(configured: Option<usize>) -> usize {
    (HELD_BYTES / configured.unwrap_or(PART_BYTES).max(1)).max(HELD_PARTS_MIN)
}

impl Bucket {
    /// The size of the parts in which an object of `size` bytes is uploaded. Objects that fit into a part are not
    /// uploaded in parts.
    pub(crate) fn part_bytes_of(&self, size: u64) -> usize {
        let least = usize::try_from(size.div_ceil(PARTS_MAX)).unwrap_or(usize::MAX);
        self.part_bytes.unwrap_or(PART_BYTES).max(least)
    }

    /// Uploads `size` bytes of the local file `source`, in parts if they do not fit into one.
    pub(crate) async fn put_file(
        &self,
        source: &LocalPath,
        size: u64,
        path: &Path,
    ) -> Result<(), BucketError> {
        let file = tokio::fs::File::open(source).await.map_err(local(source))?.into_std().await;
        let reader = PartReader { file, left: size, part_bytes: self.part_bytes_of(size), sent: Vec::new() };
        if size <= reader.part_bytes as u64 {
            let _permit = self.upload_parts.acquire().await;
            let (part, _) = reader.next_blocking().await.map_err(local(source))?;
            return self.put(path, part.unwrap_or_default()).await;
        }
        let parts = stream::try_unfold(reader, |reader| async {
            let (part, reader) = reader.next_blocking().await.map_err(local(source))?;
            Ok(part.map(|part| (part, reader)))
        });
        self.put_in_parts(path, parts).await
    }

    /// Writes an object whose parts, all but the last of one size, come from `parts`. The next part is asked for when
    /// it may be held. The object appears when it is complete.
    pub(crate) async fn put_in_parts(
        &self,
        path: &Path,
        parts: impl Stream<Item = Result<Bytes, BucketError>> + Send,
    ) -> Result<(), BucketError> {
        let (mut upload, mut sends) = (self.put_parts(path).await?, JoinSet::new());
        let sent = async {
            let size = self.send_parts(path, parts, upload.as_mut(), &mut sends).await?;
            upload.complete().await.map_err(BucketError::object(path))?;
            Ok(size)
        };
        match sent.await {
            Ok(size) => {
                self.metrics.uploaded(size);
                Ok(())
            }
            Err(error) => {
                sends.shutdown().await;
                // If this fails too, the first failure is the one to report.
                let _ = upload.abort().await;
                Err(error)
            }
        }
    }

    /// Sends all parts. Returns the sum of their sizes.
    async fn send_parts(
        &self,
        path: &Path,
        parts: impl Stream<Item = Result<Bytes, BucketError>> + Send,
        upload: &mut dyn MultipartUpload,
        sends: &mut JoinSet<object_store::Result<()>>,
    ) -> Result<u64, BucketError> {
        let (mut parts, mut size) = (std::pin::pin!(parts), 0);
        loop {
            // The semaphore is never closed.
            let permit = self.upload_parts.clone().acquire_owned().await;
            // A failed part ends the upload before the next one is read.
            while let Some(done) = sends.try_join_next() {
                finished(done).map_err(BucketError::object(path))?;
            }
            let Some(part) = parts.try_next().await? else { break };
            size += part.len() as u64;
            let send = upload.put_part(PutPayload::from(part));
            sends.spawn(async move {
                let sent = send.await;
                drop(permit);
                sent
            });
        }
        while let Some(done) = sends.join_next().await {
            finished(done).map_err(BucketError::object(path))?;
        }
        Ok(size)
    }
}

fn finished(done: Result<object_store::Result<()>, tokio::task::JoinError>) -> object_store::Result<()> {
    done?
}

/// Reads a file part by part into few buffers, which are used again once their parts are sent.
struct PartReader {
    file: File,
    /// Bytes that are still to be read.
    left: u64,
    part_bytes: usize,
    /// The parts whose buffers may be used again.
    sent: Vec<Bytes>,
}

impl PartReader {
    /// The next part, read on a blocking thread; `None` at the end.
    async fn next_blocking(mut self) -> io::Result<(Option<Bytes>, PartReader)> {
        tokio::task::spawn_blocking(move || Ok((self.next()?, self))).await?
    }

    fn next(&mut self) -> io::Result<Option<Bytes>> {
        let len = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.part_bytes);
        if len == 0 {
            return Ok(None);
        }
        let mut buffer = self.free_buffer();
        buffer.resize(len, 0);
        self.file.read_exact(&mut buffer)?;
        self.left -= len as u64;
        let part = buffer.freeze();
        self.sent.push(part.clone());
        Ok(Some(part))
    }

    /// The buffer of a part that nothing else refers to any more, or a new one.
    fn free_buffer(&mut self) -> BytesMut {
        let free = self.sent.iter().position(Bytes::is_unique).map(|i| self.sent.swap_remove(i));
        free.and_then(|part| part.try_into_mut().ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use object_store::memory::InMemory;

    use super::*;

    #[test]
    fn parts_grow_with_the_file_and_few_are_held() {
        let bucket = Bucket::from_store(Arc::new(InMemory::new()), "");
        assert_eq!(bucket.part_bytes_of(1 << 30), 5 << 20);
        let large = 1_u64 << 40;
        assert!(large.div_ceil(bucket.part_bytes_of(large) as u64) <= PARTS_MAX);
        assert_eq!(parts_held(None), 4);
        assert_eq!(parts_held(Some(8 << 20)), 2);
        assert_eq!(parts_held(Some(1 << 30)), 2);
    }

    /// A buffer is used again when its part is gone, and never before.
    #[test]
    fn buffers_are_used_again() {
        let mut file = tempfile::tempfile().unwrap();
        let bytes: Vec<u8> = (0..25).collect();
        file.write_all(&bytes).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let mut reader = PartReader { file, left: 25, part_bytes: 8, sent: Vec::new() };
        let first = reader.next().unwrap().unwrap();
        let second = reader.next().unwrap().unwrap();
        assert_eq!((&first[..], &second[..]), (&bytes[..8], &bytes[8..16]));
        let place = first.as_ptr();
        drop(first);
        let third = reader.next().unwrap().unwrap();
        assert_eq!((&third[..], third.as_ptr()), (&bytes[16..24], place));
        let last = reader.next().unwrap().unwrap();
        assert_eq!((&second[..], &third[..], &last[..]), (&bytes[8..16], &bytes[16..24], &bytes[24..]));
        assert!(reader.next().unwrap().is_none());
        reader.left = 1;
        assert_eq!(reader.next().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
