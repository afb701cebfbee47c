//! A block that is read from front to back by ranges, from a map or from other storage.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tithon_index::{IndexHeader, IndexHealth};

use crate::{Block, BlockError, BlockMeta, FileRange, Tombstones};

/// Reads ranges of a block's files, in the order given. For a range that reaches behind the end of its file, the answer
/// ends with the file. The call may block.
type Fetch<'a> = Box<dyn FnMut(&[FileRange]) -> Result<Vec<Bytes>, BlockError> + Send + 'a>;

/// A block to be read once, from front to back.
pub struct InputBlock<'a> {
    pub(crate) meta: BlockMeta,
    pub(crate) header: Arc<IndexHeader>,
    pub(crate) tombstones: Arc<Tombstones>,
    fetch: Fetch<'a>,
    /// The number of bytes of chunks that are fetched at once, unless one series alone has more.
    pub(crate) chunk_bytes: u64,
    /// Decides by the counts of the index whether results made from the block may be kept.
    pub(crate) accept: Option<Accept<'a>>,
}

type Accept<'a> = Box<dyn Fn(&IndexHealth) -> bool + Send + 'a>;

impl<'a> InputBlock<'a> {
    /// The block that `meta`, `header` and `tombstones` describe; `fetch` reads its index entries and chunks. Errors of
    /// `fetch` that are not about the block come as [`BlockError::Fetch`].
    pub fn new(
        meta: BlockMeta,
        header: Arc<IndexHeader>,
        tombstones: Arc<Tombstones>,
        fetch: impl FnMut(&[FileRange]) -> Result<Vec<Bytes>, BlockError> + Send + 'a,
    ) -> InputBlock<'a> {
        let fetch = Box::new(fetch);
        InputBlock { meta, header, tombstones, fetch, chunk_bytes: FETCHED_BYTES, accept: None }
    }

    /// Has the index checked while it is read. The work fails at its end with [`BlockError::Unhealthy`] unless `accept`
    /// returns true for the counts, and earlier at a series that [`tithon_index::HealthCheck::add`] refuses.
    #[must_use]
    pub fn checked(self, accept: impl Fn(&IndexHealth) -> bool + Send + 'a) -> InputBlock<'a> {
        InputBlock { accept: Some(Box::new(accept)), ..self }
    }

    /// The same block; this is deleted too.
    #[must_use]
    pub fn without(self, deleted: &Tombstones) -> InputBlock<'a> {
        if deleted.is_empty() {
            return self;
        }
        InputBlock { tombstones: Arc::new(self.tombstones.union(deleted)), ..self }
    }

    /// The bytes of these ranges, in their order.
    pub(crate) fn fetch(&mut self, ranges: &[FileRange]) -> Result<Vec<Bytes>, BlockError> {
        if ranges.is_empty() { Ok(Vec::new()) } else { (self.fetch)(ranges) }
    }
}

/// The number of bytes fetched at once: large reads save requests to a remote block, small ones save memory.
const FETCHED_BYTES: u64 = 3 << 20;
const MAPPED_BYTES: u64 = 1 << 20;

/// The pages of a read of a mapped block are released this many reads later.
const READS_KEPT: usize = 8;

impl<'a> From<&'a Block> for InputBlock<'a> {
    fn from(block: &'a Block) -> InputBlock<'a> {
        let (header, tombstones) = (Arc::clone(block.header()), Arc::clone(block.tombstones()));
        let mut reads: VecDeque<Vec<FileRange>> = VecDeque::new();
        let fetch = move |ranges: &[FileRange]| {
            // The bytes of earlier reads are no longer in use.
            block.check()?;
            reads.push_back(ranges.to_vec());
            if reads.len() > READS_KEPT {
                reads.pop_front().iter().flatten().for_each(|range| block.release(range));
            }
            block.read(ranges)
        };
        InputBlock {
            chunk_bytes: MAPPED_BYTES,
            ..InputBlock::new(block.meta().clone(), header, tombstones, fetch)
        }
    }
}
