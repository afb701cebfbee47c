//! Follows the blocks of a bucket: each look lists the bucket and reads only the metas and marks that are new or
//! changed. Thanos `pkg/block/fetcher.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use tithon_engine::{BlockId, BlockMeta};
use tracing::warn;

use crate::bucket::key;
use crate::headers::HeaderCache;
use crate::listing::{Listed, Listing};
use crate::snapshot::{self, Origin};
use crate::{Bucket, BucketError, Deletions, KnownBlock, MarkKind};

/// Number of blocks in a directory that are read at the same time: local reads do not wait for a network, and each
/// takes a thread.
const IN_DIRECTORY: usize = 4;

/// The known blocks of a bucket: their metas, marks and files.
#[derive(Debug)]
pub struct Catalogue {
    bucket: Bucket,
    kinds: Vec<MarkKind>,
    concurrency: usize,
    blocks: BTreeMap<BlockId, KnownBlock>,
    /// Requests to delete series that the last look found.
    deletions: Deletions,
    /// Whether the snapshot on disk is out of date.
    is_unsaved: bool,
}

/// The result of a look besides the complete blocks.
#[derive(Debug, Default)]
pub struct Look {
    /// Complete blocks whose files were replaced since the last look.
    pub replaced: BTreeSet<BlockId>,
    /// Blocks without meta.json, ascending: uploads under way or broken off.
    pub partial: Vec<BlockId>,
    /// Blocks whose meta.json is damaged; they are not complete.
    pub corrupt: Vec<Faulty>,
    /// Blocks that the bucket failed to answer for. What was known of them stays; whether an unknown one is complete is
    /// not known.
    pub failed: Vec<Faulty>,
}

/// A block that could not be read.
#[derive(Debug)]
pub struct Faulty {
    /// The block's id.
    pub block: BlockId,
    /// Why it could not be read.
    pub error: BucketError,
}

impl Catalogue {
    /// A catalogue that has not looked at the bucket yet. It follows marks of these kinds.
    pub fn new(bucket: Bucket, kinds: &[MarkKind]) -> Catalogue {
        Catalogue {
            bucket,
            kinds: kinds.to_vec(),
            concurrency: 32,
            blocks: BTreeMap::new(),
            deletions: Deletions::default(),
            is_unsaved: true,
        }
    }

    /// Sets how many blocks are read at the same time; the default is 32, and in a directory it is at most 4.
    pub fn with_concurrency(self, concurrency: usize) -> Catalogue {
        Catalogue { concurrency: concurrency.max(1), ..self }
    }

    /// Loads the snapshot beside the bucket's cached headers; looks bring it up to date and save it. A snapshot that
    /// cannot be used costs a warning.
    pub async fn load(mut self) -> Catalogue {
        let origin = self.origin();
        let read = self.bucket.with_cache(move |cache| snapshot::read(&cache.snapshot(), &origin));
        match read.await {
            Some(Ok(Some(blocks))) => (self.blocks, self.is_unsaved) = (blocks, false),
            Some(Ok(None)) | None => {}
            Some(Err(error)) => {
                warn!(error = %error, "snapshot of the catalogue cannot be used, all blocks are read again")
            }
        }
        self
    }

    fn origin(&self) -> Origin {
        Origin::new(self.bucket.name(), &self.kinds)
    }

    async fn save(&mut self) {
        let (origin, blocks) = (self.origin(), self.blocks.clone());
        let write = move |cache: &HeaderCache| snapshot::write(&cache.snapshot(), &origin, &blocks);
        match self.bucket.with_cache(write).await {
            Some(Err(error)) => {
                warn!(error = %error, "snapshot of the catalogue cannot be written, the next start reads all blocks again")
            }
            Some(Ok(())) | None => self.is_unsaved = false,
        }
    }

    /// The complete blocks as of the last look, by id.
    pub fn blocks(&self) -> &BTreeMap<BlockId, KnownBlock> {
        &self.blocks
    }

    /// The requests to delete series that the last look found.
    pub fn deletions(&self) -> &Deletions {
        &self.deletions
    }

    /// The metas of the complete blocks, ascending by id.
    pub fn metas(&self) -> impl Iterator<Item = &Arc<BlockMeta>> {
        self.blocks.values().map(|block| &block.meta)
    }

    /// Lists the bucket, and reads each meta.json and mark that is new or changed, and new requests to delete series.
    ///
    /// Fails when the bucket cannot be listed or a request cannot be read; then the catalogue stays as it was.
    pub async fn look(&mut self) -> Result<Look, BucketError> {
        let before = self.blocks.iter().map(|(id, block)| (*id, block.listed.clone())).collect();
        let listing = self.bucket.listing(Arc::new(before)).await?;
        self.deletions.update(&self.bucket, &listing.deletions).await?;
        let look = self.follow(listing, None).await;
        if self.is_unsaved {
            self.save().await;
        }
        Ok(look)
    }

    /// Looks at these blocks only, such as those that the caller changed: lists each with one request and reads what
    /// changed. What is known of other blocks stays; the snapshot is saved by the next [`Catalogue::look`].
    pub async fn look_at(&mut self, blocks: &BTreeSet<BlockId>) -> Result<Look, BucketError> {
        let before = |id: &BlockId| Some((*id, self.blocks.get(id)?.listed.clone()));
        let before = blocks.iter().filter_map(before).collect();
        let listing = self.bucket.listing_of(blocks, before, self.concurrency).await?;
        Ok(self.follow(listing, Some(blocks)).await)
    }

    /// Reads what a listing, of all blocks or of those in `among`, shows to be new or changed. The catalogue changes
    /// only after everything was read, so a cancelled look leaves it as it was.
    async fn follow(&mut self, listing: Listing, among: Option<&BTreeSet<BlockId>>) -> Look {
        let mut look = Look { failed: listing.failed, ..Look::default() };
        let mut kept: BTreeSet<BlockId> = look.failed.iter().map(|faulty| faulty.block).collect();
        let mut reads = Vec::new();
        for (id, listed) in listing.blocks {
            match self.blocks.get(&id) {
                _ if listed.meta.is_none() => look.partial.push(id),
                Some(known) if known.listed == listed => drop(kept.insert(id)),
                known => reads.push((id, listed, known.cloned())),
            }
        }
        let has_read = !reads.is_empty();
        let at_once = match self.bucket.directory {
            Some(_) => self.concurrency.min(IN_DIRECTORY),
            None => self.concurrency,
        };
        let mut read = stream::iter(reads)
            .map(|(id, listed, known)| {
                let (bucket, kinds) = (self.bucket.clone(), self.kinds.clone());
                // Each block is read in its own task, so that several threads parse metas.
                let read = tokio::spawn(async move { bucket.read_block(id, listed, &kinds, known).await });
                async move { (id, read.await) }
            })
            .buffer_unordered(at_once);
        let mut blocks = BTreeMap::new();
        while let Some((block, result)) = read.next().await {
            let path = object_store::path::Path::from(block.to_string());
            let read = result.map_err(|error| BucketError::object(&path)(error.into()));
            match read.unwrap_or_else(Read::Failed) {
                Read::Partial => look.partial.push(block),
                Read::Corrupt(error) => look.corrupt.push(Faulty { block, error }),
                Read::Failed(error) => {
                    kept.insert(block);
                    look.failed.push(Faulty { block, error });
                }
                Read::Block { known, replaced } => {
                    blocks.insert(block, *known);
                    look.replaced.extend(replaced.then_some(block));
                }
            }
        }
        drop(read);
        look.partial.sort_unstable();
        let known = self.blocks.len();
        let is_elsewhere = |id: &BlockId| among.is_some_and(|among| !among.contains(id));
        self.blocks.retain(|id, _| kept.contains(id) || is_elsewhere(id));
        self.is_unsaved |= has_read || self.blocks.len() < known;
        self.blocks.extend(blocks);
        look
    }
}

/// The result of reading a new or changed block.
enum Read {
    Partial,
    Corrupt(BucketError),
    /// The read failed; what was known before stays.
    Failed(BucketError),
    Block {
        known: Box<KnownBlock>,
        replaced: bool,
    },
}

impl Bucket {
    async fn read_block(
        &self,
        block: BlockId,
        listed: Listed,
        kinds: &[MarkKind],
        before: Option<KnownBlock>,
    ) -> Read {
        match self.try_read_block(block, listed, kinds, before.as_ref()).await {
            Ok(Some((known, replaced))) => Read::Block { known: Box::new(known), replaced },
            Ok(None) => Read::Partial,
            Err(error @ (BucketError::Meta { .. } | BucketError::WrongId { .. })) => Read::Corrupt(error),
            Err(error) => Read::Failed(error),
        }
    }

    /// Returns `None` when the meta.json was deleted meanwhile.
    async fn try_read_block(
        &self,
        block: BlockId,
        listed: Listed,
        kinds: &[MarkKind],
        before: Option<&KnownBlock>,
    ) -> Result<Option<(KnownBlock, bool)>, BucketError> {
        let same = before.filter(|before| before.listed.meta == listed.meta);
        let meta = match same {
            Some(before) => Some(Arc::clone(&before.meta)),
            None => self.read_meta(block).await?.map(Arc::new),
        };
        let Some(meta) = meta else { return Ok(None) };
        let replaced = before.is_some_and(|before| same.is_none() || before.listed.objects != listed.objects);
        let mut known = KnownBlock { listed, meta, marks: Default::default() };
        for kind in kinds {
            let place = kind.place();
            let Some(stamp) = known.listed.marks[place] else { continue };
            let read_before = before.filter(|before| before.listed.marks[place] == Some(stamp));
            known.marks[place] = match read_before {
                Some(before) => before.marks[place].clone(),
                None => self.mark_file(block, *kind).await?.map(Box::new),
            };
            if known.marks[place].is_none() {
                // The mark may be half written, so the next look reads it again.
                known.listed.marks[place] = None;
                known.listed.folder = None;
            }
        }
        Ok(Some((known, replaced)))
    }

    async fn read_meta(&self, block: BlockId) -> Result<Option<BlockMeta>, BucketError> {
        let Some(bytes) = self.get(&key(block, "meta.json")).await? else { return Ok(None) };
        let meta = BlockMeta::parse(&bytes).map_err(|source| BucketError::Meta { block, source })?;
        if meta.ulid != block {
            return Err(BucketError::WrongId { block, found: meta.ulid });
        }
        Ok(Some(meta))
    }
}
