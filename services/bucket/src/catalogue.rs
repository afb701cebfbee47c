//! The blocks of a bucket, followed from look to look: a look is one listing, and reads only what is new or changed.
//! Thanos `pkg/block/fetcher.go`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt, stream};
use tithon_engine::{BlockId, BlockMeta};
use tracing::warn;

use crate::bucket::key;
use crate::headers::HeaderCache;
use crate::listing::{BlockObjects, Listed, Listing};
use crate::marks::MarkFile;
use crate::snapshot::{self, Origin};
use crate::{Bucket, BucketError, DeletionMark, Deletions, Mark, MarkKind};

/// Blocks of a directory that are read at once: reads of local files wait for no network, and each takes a thread.
const IN_DIRECTORY: usize = 4;

/// What is known of the blocks of a bucket.
#[derive(Debug)]
pub struct Catalogue {
    bucket: Bucket,
    kinds: Vec<MarkKind>,
    concurrency: usize,
    blocks: BTreeMap<BlockId, KnownBlock>,
    /// Requests to delete series that the last look found.
    deletions: Deletions,
    /// Whether the snapshot lacks something that is known.
    is_unsaved: bool,
}

/// A complete block: one that has a meta.json which can be read.
#[derive(Clone, Debug)]
pub struct KnownBlock {
    pub(crate) listed: Listed,
    pub(crate) meta: Arc<BlockMeta>,
    pub(crate) marks: [Option<Box<MarkFile>>; MarkKind::ALL.len()],
}

/// What a look at the bucket found besides complete blocks.
#[derive(Debug, Default)]
pub struct Look {
    /// Complete blocks whose files were replaced since the last look.
    pub replaced: BTreeSet<BlockId>,
    /// Blocks without meta.json, ascending: an upload under way, or one that broke off.
    pub partial: Vec<BlockId>,
    /// Blocks whose meta.json is damaged; they are not complete.
    pub corrupt: Vec<Faulty>,
    /// Blocks that the bucket failed to answer for. What was known of them before stays; of others it is not known
    /// whether they are complete.
    pub failed: Vec<Faulty>,
}

/// A block that could not be read.
#[derive(Debug)]
pub struct Faulty {
    /// The block.
    pub block: BlockId,
    /// Why.
    pub error: BucketError,
}

impl Catalogue {
    /// A catalogue that has not looked at the bucket yet. Of marks it follows those of these kinds.
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

    /// The same catalogue, reading so many blocks at once; 32 unless this says otherwise, and no more than 4 in a
    /// directory.
    pub fn with_concurrency(self, concurrency: usize) -> Catalogue {
        Catalogue { concurrency: concurrency.max(1), ..self }
    }

    /// The same catalogue with what the snapshot beside the bucket's kept headers says; looks bring that up to date, and
    /// keep it. A snapshot that cannot be used costs a warning.
    pub async fn load(mut self) -> Catalogue {
        let origin = self.origin();
        let read = self.bucket.with_cache(move |cache| snapshot::read(&cache.snapshot(), &origin));
        match read.await {
            Some(Ok(Some(blocks))) => (self.blocks, self.is_unsaved) = (blocks, false),
            Some(Ok(None)) | None => {}
            Some(Err(error)) => warn!(error = %error, "kept list of blocks cannot be used, and is made anew"),
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
            Some(Err(error)) => warn!(error = %error, "list of blocks is not kept for the next start"),
            Some(Ok(())) | None => self.is_unsaved = false,
        }
    }

    /// The complete blocks that the last look found, by id.
    pub fn blocks(&self) -> &BTreeMap<BlockId, KnownBlock> {
        &self.blocks
    }

    /// The requests to delete series that the last look found.
    pub fn deletions(&self) -> &Deletions {
        &self.deletions
    }

    /// Metas of the complete blocks, ascending by id.
    pub fn metas(&self) -> impl Iterator<Item = &Arc<BlockMeta>> {
        self.blocks.values().map(|block| &block.meta)
    }

    /// Lists the bucket, and reads each meta.json and mark that is not the one that was read before, and new requests to delete
    /// series. Fails when the bucket cannot be listed, or a request not be asked for; then everything stays as it was.
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

    /// Looks again at these blocks alone, such as those that the caller itself changed: one request to list each of them, and
    /// what a look reads of them. What is known of all others stays; the snapshot is left to the next [`Catalogue::look`].
    pub async fn look_at(&mut self, blocks: &BTreeSet<BlockId>) -> Result<Look, BucketError> {
        let before = |id: &BlockId| Some((*id, self.blocks.get(id)?.listed.clone()));
        let before = blocks.iter().filter_map(before).collect();
        let listing = self.bucket.listing_of(blocks, before, self.concurrency).await?;
        Ok(self.follow(listing, Some(blocks)).await)
    }

    /// Reads what a listing of all blocks, or of those `among` them, shows to be new or changed. Nothing changes before all is
    /// read: a look that is broken off leaves everything as it was.
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
                // A task of its own, so that parsing takes more than one thread.
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

impl KnownBlock {
    /// The content of its meta.json.
    pub fn meta(&self) -> &Arc<BlockMeta> {
        &self.meta
    }

    /// Its files, where the bucket's listing has them.
    pub fn objects(&self) -> Option<&Arc<BlockObjects>> {
        self.listed.objects.as_ref()
    }

    /// A mark of the block, as [`Bucket::mark`] reads it.
    pub fn mark(&self, kind: MarkKind) -> Result<Option<Mark>, BucketError> {
        match &self.marks[kind.place()] {
            Some(file) => file.mark(self.meta.ulid, kind),
            None => Ok(None),
        }
    }

    /// The deletion mark of the block, as [`Bucket::deletion_mark`] reads it.
    pub fn deletion_mark(&self) -> Result<Option<DeletionMark>, BucketError> {
        match &self.marks[MarkKind::Deletion.place()] {
            Some(file) => file.deletion_mark(self.meta.ulid).map(Some),
            None => Ok(None),
        }
    }
}

/// A block that was read because it is new or changed.
enum Read {
    Partial,
    Corrupt(BucketError),
    /// What was known before stays.
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

    /// `None` when its meta.json has gone meanwhile.
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
                // It may be half written: it is read again at the next look.
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
