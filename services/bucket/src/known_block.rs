//! A complete block of a bucket, as far as it is known.

use std::sync::Arc;

use tithon_engine::BlockMeta;

use crate::listing::{BlockObjects, Listed};
use crate::marks::MarkFile;
use crate::{BucketError, DeletionMark, Mark, MarkKind};

/// A complete block: one with a valid meta.json.
#[derive(Clone, Debug)]
pub struct KnownBlock {
    pub(crate) listed: Listed,
    pub(crate) meta: Arc<BlockMeta>,
    pub(crate) marks: [Option<Box<MarkFile>>; MarkKind::ALL.len()],
}

impl KnownBlock {
    /// The block's meta.json.
    pub fn meta(&self) -> &Arc<BlockMeta> {
        &self.meta
    }

    /// The block's files, if the bucket's listing includes them.
    pub fn objects(&self) -> Option<&Arc<BlockObjects>> {
        self.listed.objects.as_ref()
    }

    /// A mark of the block, as [`Bucket::mark`](crate::Bucket::mark) returns it.
    pub fn mark(&self, kind: MarkKind) -> Result<Option<Mark>, BucketError> {
        match &self.marks[kind.place()] {
            Some(file) => file.mark(self.meta.ulid, kind),
            None => Ok(None),
        }
    }

    /// The deletion mark of the block, as [`Bucket::deletion_mark`](crate::Bucket::deletion_mark) returns it.
    pub fn deletion_mark(&self) -> Result<Option<DeletionMark>, BucketError> {
        match &self.marks[MarkKind::Deletion.place()] {
            Some(file) => file.deletion_mark(self.meta.ulid).map(Some),
            None => Ok(None),
        }
    }
}
