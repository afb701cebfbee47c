//! Deletes blocks: meta.json first, so that no reader sees an incomplete block, and the deletion mark last, so that
//! leftovers stay marked for deletion. Thanos `pkg/block/block.go`.

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt};
use tithon_engine::{BlockId, BlockMeta};

use crate::bucket::key;
use crate::retry::Operation;
use crate::{Bucket, BucketError, MarkKind};

/// Number of objects of a block deleted at the same time.
const CONCURRENCY: usize = 8;

impl Bucket {
    /// Deletes all objects of a block, including unexpected ones. A missing object is no error.
    pub async fn delete_block(&self, block: BlockId) -> Result<(), BucketError> {
        let (meta, mark) = (key(block, "meta.json"), key(block, MarkKind::Deletion.file()));
        self.delete(&meta).await?;
        let others: Vec<Path> = self
            .objects(block)
            .await?
            .into_iter()
            .map(|object| object.location)
            .filter(|path| *path != meta && *path != mark)
            .collect();
        let deletions = stream::iter(others).map(|path| async move { self.delete(&path).await });
        deletions.buffer_unordered(CONCURRENCY).try_collect::<()>().await?;
        if let Some(directory) = &self.directory {
            let rest = || directory.delete_rest(block, MarkKind::Deletion.file());
            let rest = self.retrying(Operation::Delete, rest).await;
            rest.map_err(BucketError::object(&Path::from(block.to_string())))?;
        }
        self.delete(&mark).await
    }

    /// Deletes temporary files of killed uploads in the folders of blocks, if they have not changed since `before_ms`.
    /// Returns how many. Only buckets in directories have such files.
    pub async fn delete_leftovers(&self, before_ms: i64) -> Result<u64, BucketError> {
        let Some(directory) = &self.directory else { return Ok(0) };
        let leftovers = || directory.delete_leftovers(before_ms);
        let deleted = self.retrying(Operation::Delete, leftovers).await;
        deleted.map_err(BucketError::object(&Path::default()))
    }

    /// Time of the last write to an object of the block, in milliseconds since 1970; `None` if it has no object. In a
    /// directory, uploads under way count.
    pub async fn last_change_ms(&self, block: BlockId) -> Result<Option<i64>, BucketError> {
        if let Some(directory) = &self.directory {
            let change = self.retrying(Operation::Iter, || directory.last_change_ms(block)).await;
            return change.map_err(BucketError::object(&Path::from(block.to_string())));
        }
        let objects = self.objects(block).await?;
        Ok(objects.iter().map(|object| object.last_modified.timestamp_millis()).max())
    }

    /// Whether a block has a meta.json.
    pub async fn has_meta(&self, block: BlockId) -> Result<bool, BucketError> {
        self.exists(&key(block, "meta.json")).await
    }

    /// Checks that every file in the meta's list exists with its size, and that meta.json exists.
    ///
    /// Fails with [`BucketError::Incomplete`] for the first that does not.
    pub async fn check_files(&self, meta: &BlockMeta) -> Result<(), BucketError> {
        self.check_listed(meta, &["index", "meta.json"]).await
    }

    /// Like [`Bucket::check_files`], for a block that may have no meta.json.
    pub async fn check_objects(&self, meta: &BlockMeta) -> Result<(), BucketError> {
        self.check_listed(meta, &["index"]).await
    }

    /// Checks the files in the meta's list, and that the files `needed` exist even if they are not in it.
    async fn check_listed(&self, meta: &BlockMeta, needed: &[&str]) -> Result<(), BucketError> {
        let block = meta.ulid;
        let objects = self.objects(block).await?;
        let files = meta.thanos.as_ref().map(|thanos| thanos.files.as_slice()).unwrap_or_default();
        let wanted = files.iter().filter(|file| file.rel_path != "meta.json");
        let wanted = wanted.map(|file| (file.rel_path.as_str(), Some(file.size_bytes)));
        for (file, expected) in wanted.chain(needed.iter().map(|file| (*file, None))) {
            let path = key(block, file);
            let found = objects.iter().find(|object| object.location == path).map(|object| object.size);
            if found.is_none() || expected.is_some_and(|size| size > 0 && found != Some(size)) {
                let (file, expected) = (file.to_owned(), expected.unwrap_or_default());
                return Err(BucketError::Incomplete { block, file, found, expected });
            }
        }
        Ok(())
    }

    /// Size of a block's index in bytes.
    pub async fn index_bytes(&self, block: BlockId) -> Result<u64, BucketError> {
        let path = key(block, "index");
        let head = self.retrying(Operation::Exists, || self.store().head(&path));
        Ok(head.await.map_err(BucketError::object(&path))?.size)
    }

    /// Size of all objects of a block in bytes.
    pub async fn block_bytes(&self, block: BlockId) -> Result<u64, BucketError> {
        Ok(self.objects(block).await?.iter().map(|object| object.size).sum())
    }

    /// All objects below a block's prefix.
    pub(crate) async fn objects(&self, block: BlockId) -> Result<Vec<ObjectMeta>, BucketError> {
        let prefix = Path::from(block.to_string());
        let list = || async {
            match self.store().list(Some(&prefix)).try_collect::<Vec<_>>().await {
                Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
                result => result,
            }
        };
        self.retrying(Operation::Iter, list).await.map_err(BucketError::object(&prefix))
    }

    pub(crate) async fn delete(&self, path: &Path) -> Result<(), BucketError> {
        match self.retrying(Operation::Delete, || self.store().delete(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(BucketError::object(path)(error)),
        }
    }
}
