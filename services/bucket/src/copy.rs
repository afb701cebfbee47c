//! Copies blocks from one bucket to another, object by object, meta.json last. Thanos `pkg/replicate/scheme.go`.

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectMeta;
use tithon_engine::BlockId;

use crate::bucket::key;
use crate::{Bucket, BucketError};

/// Size of a copied block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Number of objects, meta.json included.
    pub objects: u64,
    /// Bytes of the objects.
    pub bytes: u64,
}

impl Bucket {
    /// Copies a block to another bucket: segments and index, `at_once` at a time, then meta.json unchanged. Marks and
    /// other files are not copied. Returns `None` when the other bucket already has the same meta.json.
    ///
    /// An existing object of the right size is not copied again; one of another size is replaced. The block becomes
    /// visible when all objects are complete; a copy that was broken off is continued by the next call.
    pub async fn copy_block(
        &self,
        block: BlockId,
        to: &Bucket,
        at_once: usize,
    ) -> Result<Option<Copied>, BucketError> {
        let meta_key = key(block, "meta.json");
        let missing = |file: &str| {
            let file = file.to_owned();
            BucketError::Incomplete { block, file, found: None, expected: 0 }
        };
        let meta = self.get(&meta_key).await?.ok_or_else(|| missing("meta.json"))?;
        if to.get(&meta_key).await?.is_some_and(|there| there == meta) {
            return Ok(None);
        }
        let (index, chunks) = (key(block, "index"), key(block, "chunks"));
        let mut objects = self.objects(block).await?;
        objects.retain(|object| object.location == index || object.location.prefix_matches(&chunks));
        if !objects.iter().any(|object| object.location == index) {
            return Err(missing("index"));
        }
        let there = to.objects(block).await?;
        objects.retain(|object| !is_among(object, &there));
        let copies = stream::iter(&objects).map(|object| self.copy_object(object, to));
        copies.buffer_unordered(at_once.max(1)).try_collect::<()>().await?;
        let there = to.objects(block).await?;
        if let Some(lost) = objects.iter().find(|object| !is_among(object, &there)) {
            let found = there.iter().find(|object| object.location == lost.location);
            let (file, found) = (lost.location.to_string(), found.map(|object| object.size));
            return Err(BucketError::Incomplete { block, file, found, expected: lost.size });
        }
        let bytes = objects.iter().map(|object| object.size).sum::<u64>() + meta.len() as u64;
        to.put(&meta_key, meta).await?;
        Ok(Some(Copied { objects: objects.len() as u64 + 1, bytes }))
    }

    /// Whether both buckets have the same meta.json of a block.
    pub async fn has_same_meta(&self, block: BlockId, other: &Bucket) -> Result<bool, BucketError> {
        let path = key(block, "meta.json");
        let (ours, theirs) = (self.get(&path).await?, other.get(&path).await?);
        Ok(ours.is_some() && ours == theirs)
    }

    async fn copy_object(&self, object: &ObjectMeta, to: &Bucket) -> Result<(), BucketError> {
        let (path, size) = (&object.location, object.size);
        let part_bytes = to.part_bytes_of(size) as u64;
        if size <= part_bytes {
            return to.put(path, self.get_range(path, 0..size).await?).await;
        }
        let parts = stream::try_unfold(0_u64, |at| async move {
            let range = at..size.min(at.saturating_add(part_bytes));
            let end = range.end;
            if range.is_empty() { Ok(None) } else { Ok(Some((self.get_range(path, range).await?, end))) }
        });
        to.put_in_parts(path, parts).await
    }
}

/// Whether `there` has an object of this name and size.
fn is_among(object: &ObjectMeta, there: &[ObjectMeta]) -> bool {
    there.iter().any(|other| other.location == object.location && other.size == object.size)
}
