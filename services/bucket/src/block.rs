//! An open block of a bucket: mapped if the bucket is a directory, else read by ranges.

use std::any::Any;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use futures::future::try_join_all;
use object_store::path::Path;
use tithon_engine::compact::InputBlock;
use tithon_engine::{
    Block, BlockError, BlockFile, BlockId, BlockMeta, FileRange, LabelRequest, LabelSelect, MappedFile,
    Select, SelectRequest, SeriesBatch, Step, Tombstones,
};
use tithon_index::{IndexHeader, Matcher, Toc, index_version};
use tokio::runtime::Handle;
use tracing::field::Empty;
use tracing::{Instrument, info_span};

use crate::bucket::key;
use crate::headers::{Kept, KeptFilter};
use crate::listing::{BlockObjects, segment_name};
use crate::metrics::MappedReads;
use crate::ranges::gap_bytes;
use crate::retry::Operation;
use crate::{Bucket, BucketError};

/// An open block. Its index header is held in memory, or mapped from a cache file on local disk.
#[derive(Debug)]
pub struct BucketBlock {
    meta: Arc<BlockMeta>,
    header: Arc<IndexHeader>,
    filter: Option<KeptFilter>,
    tombstones: Arc<Tombstones>,
    /// What requests delete of it.
    deleted: Arc<Tombstones>,
    /// The cache file that the header is read from.
    header_file: MappedFile,
    files: Files,
    /// Where reads of a mapped block of a bucket are counted.
    reads: Option<MappedReads>,
    /// What the opener wants to live as long as the block.
    _kept: Option<Arc<dyn Any + Send + Sync>>,
}

#[derive(Debug)]
enum Files {
    Mapped(Box<Block>),
    Remote { bucket: Box<Bucket>, index: Object, segments: Vec<Object> },
}

#[derive(Debug)]
struct Object {
    path: Path,
    size: u64,
}

impl Object {
    /// Clips ranges to the object's size.
    fn cut(&self, ranges: &[Range<u64>]) -> Vec<Range<u64>> {
        ranges.iter().map(|range| range.start.min(self.size)..range.end.min(self.size)).collect()
    }
}

impl Bucket {
    /// Opens a block: maps its files, or reads its index header. `objects` are the block's files as a listing found
    /// them; without them the bucket is asked.
    pub async fn open_block(
        &self,
        meta: Arc<BlockMeta>,
        objects: Option<&BlockObjects>,
    ) -> Result<BucketBlock, BucketError> {
        let mut block = match self.local_dir(meta.ulid) {
            Some(dir) => self.open_mapped(meta, move || Block::open(dir)).await?,
            None => self.open_remote(meta, objects).await?,
        };
        let (id, header) = (block.id(), Arc::clone(&block.header));
        block.filter = self.with_cache(move |cache| cache.filter(id, &header)).await.flatten();
        block.check()?;
        Ok(block)
    }

    /// Opens the files of a block that may have no meta.json yet; `meta` is used in its place.
    pub async fn open_files(&self, meta: Arc<BlockMeta>) -> Result<BucketBlock, BucketError> {
        match self.local_dir(meta.ulid) {
            Some(dir) => {
                let own = BlockMeta::clone(&meta);
                self.open_mapped(meta, move || Block::open_files(dir, own)).await
            }
            None => self.open_remote(meta, None).await,
        }
    }

    async fn open_mapped(
        &self,
        meta: Arc<BlockMeta>,
        open: impl FnOnce() -> Result<Block, BlockError> + Send + 'static,
    ) -> Result<BucketBlock, BucketError> {
        let opened = tokio::task::spawn_blocking(open).await;
        let block = opened
            .map_err(|e| BucketError::Object { path: meta.ulid.to_string(), source: Arc::new(e.into()) })??;
        Ok(BucketBlock { meta, reads: Some(self.metrics.mapped.clone()), ..BucketBlock::from(block) })
    }

    async fn open_remote(
        &self,
        meta: Arc<BlockMeta>,
        objects: Option<&BlockObjects>,
    ) -> Result<BucketBlock, BucketError> {
        let block = meta.ulid;
        let path = key(block, "index");
        let size = match objects.map(|objects| objects.index) {
            Some(size) if size > 0 => size,
            _ => self.index_bytes(block).await?,
        };
        let index = Object { path, size };
        let header = match self.with_cache(move |cache| cache.header(block)).await.flatten() {
            Some(kept) => kept,
            None => {
                let header = self.fetch_header(block, &index).await?;
                let given = header.clone();
                let kept = self.with_cache(move |cache| cache.keep_header(block, given)).await;
                kept.unwrap_or_else(|| Kept { value: header, file: MappedFile::default() })
            }
        };
        let tombstones = match objects.is_none_or(|objects| objects.has_tombstones) {
            true => self.get(&key(block, "tombstones")).await?,
            false => None,
        };
        let tombstones = match tombstones {
            Some(bytes) => {
                Tombstones::parse(&bytes).map_err(|source| BucketError::Tombstones { block, source })?
            }
            None => Tombstones::default(),
        };
        let segments = match objects.and_then(|objects| objects.segments.as_deref()) {
            Some(sizes) => listed_segments(block, sizes),
            None => self.segments(block).await?,
        };
        let files = Files::Remote { bucket: Box::new(self.clone()), index, segments };
        let (header, header_file) = (Arc::new(header.value), header.file);
        let tombstones = Arc::new(tombstones);
        let deleted = Arc::default();
        Ok(BucketBlock {
            meta,
            header,
            filter: None,
            tombstones,
            deleted,
            header_file,
            files,
            reads: None,
            _kept: None,
        })
    }

    /// Fetches the parts of an index that its header is made of. The header is cached in a file of its own, so these
    /// reads bypass the range cache.
    async fn fetch_header(&self, block: BlockId, index: &Object) -> Result<IndexHeader, BucketError> {
        let (size, failed) = (index.size, |source| BucketError::Index { block, source });
        let ends = [0..5, size.saturating_sub(Toc::SIZE as u64)..size];
        let ends = self.read_ranges(&index.path, &index.cut(&ends)).await?;
        let version = index_version(&ends[0]).map_err(failed)?;
        let toc = Toc::parse(&ends[1], size).map_err(failed)?;
        let parts = index.cut(&[toc.symbols_range(), toc.offsets_range(size)]);
        let parts = self.read_ranges(&index.path, &parts).await?;
        let [symbols, offsets] = <[Bytes; 2]>::try_from(parts).expect("as many parts as ranges");
        IndexHeader::from_sections(version, toc, symbols, offsets).map_err(failed)
    }

    /// Lists the objects in `chunks/` whose names are numbers, by name.
    async fn segments(&self, block: BlockId) -> Result<Vec<Object>, BucketError> {
        let dir = key(block, "chunks");
        let list = || self.store().list(Some(&dir)).try_collect::<Vec<_>>();
        let mut listed = self.retrying(Operation::Iter, list).await.map_err(BucketError::object(&dir))?;
        listed.retain(|object| object.location.filename().is_some_and(|name| name.parse::<u64>().is_ok()));
        listed.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(listed.into_iter().map(|object| Object { path: object.location, size: object.size }).collect())
    }

    /// Reads ranges of an object, clipped to its size, through the cache if there is one.
    async fn ranges(&self, object: &Object, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, BucketError> {
        let ranges = object.cut(ranges);
        let is_index = object.path.filename() == Some("index");
        let Some(cache) = (if is_index { &self.index_cache } else { &self.chunk_cache }) else {
            return self.read_ranges(&object.path, &ranges).await;
        };
        let asked: Vec<Range<u64>> = ranges.iter().filter(|range| !range.is_empty()).cloned().collect();
        let read = |missing: Vec<Range<u64>>| async move { self.read_ranges(&object.path, &missing).await };
        let found = cache.ranges(object.path.as_ref(), object.size, &asked, read).await?;
        let mut found = found.into_iter();
        let of = |range: &Range<u64>| match range.is_empty() {
            true => Bytes::new(),
            false => found.next().unwrap_or_default(),
        };
        Ok(ranges.iter().map(of).collect())
    }
}

/// The segments whose sizes a listing found.
fn listed_segments(block: BlockId, sizes: &[u64]) -> Vec<Object> {
    let object = |(number, size): (u64, &u64)| Object {
        path: key(block, &format!("chunks/{}", segment_name(number))),
        size: *size,
    };
    (1..).zip(sizes).map(object).collect()
}

/// A block on local disk, opened by any means.
impl From<Block> for BucketBlock {
    fn from(block: Block) -> BucketBlock {
        let meta = Arc::new(block.meta().clone());
        let (header, tombstones) = (Arc::clone(block.header()), Arc::clone(block.tombstones()));
        let (files, header_file) = (Files::Mapped(Box::new(block)), MappedFile::default());
        let deleted = Arc::default();
        BucketBlock {
            meta,
            header,
            filter: None,
            tombstones,
            deleted,
            header_file,
            files,
            reads: None,
            _kept: None,
        }
    }
}

impl BucketBlock {
    /// The same block as if these samples were not in it.
    #[must_use]
    pub fn without(self, deleted: Tombstones) -> BucketBlock {
        let tombstones = Arc::new(self.tombstones.union(&deleted));
        BucketBlock { tombstones, deleted: Arc::new(deleted), ..self }
    }

    /// The same block, which keeps a value, such as what its memory is charged to, until it is dropped.
    #[must_use]
    pub fn keeping(self, value: impl Any + Send + Sync) -> BucketBlock {
        BucketBlock { _kept: Some(Arc::new(value)), ..self }
    }

    /// The block's id.
    pub fn id(&self) -> BlockId {
        self.meta.ulid
    }

    /// The block's meta.json.
    pub fn meta(&self) -> &Arc<BlockMeta> {
        &self.meta
    }

    /// The block's index header.
    pub fn header(&self) -> &Arc<IndexHeader> {
        &self.header
    }

    /// Returns false when the block's label filter excludes that any series satisfies all matchers. Does not read the
    /// index.
    pub fn may_match(&self, matchers: &[Matcher]) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.may_match(matchers))
    }

    /// Fails when a mapped file of the block was cut: then results read from it must be thrown away. To be called after
    /// each step of a selection, and again after the bytes of chunks were used.
    pub fn check(&self) -> Result<(), BucketError> {
        let is_filter_intact = self.filter.as_ref().is_none_or(KeptFilter::is_intact);
        let cached = [
            ("cached index-header", self.header_file.is_intact()),
            ("cached label filter", is_filter_intact),
        ];
        if let Some((file, _)) = cached.into_iter().find(|(_, is_intact)| !is_intact) {
            return Err(BucketError::CacheTruncated { block: self.id(), file });
        }
        self.mapped().map_or(Ok(()), |block| Ok(block.check()?))
    }

    /// Whether the files of a mapped block are still those that were opened. Reads the directory.
    pub fn is_current(&self) -> bool {
        self.mapped().is_none_or(Block::is_current)
    }

    /// Whether bytes of a chunk lie in the mapped files of the block.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        self.mapped().is_some_and(|block| block.holds(bytes))
    }

    /// What was deleted since the block was written, by requests or by its own tombstones.
    pub fn tombstones(&self) -> &Arc<Tombstones> {
        &self.tombstones
    }

    /// The mapped block, if its files are mapped: then its reads need not be awaited.
    pub fn mapped(&self) -> Option<&Block> {
        match &self.files {
            Files::Mapped(block) => Some(block),
            Files::Remote { .. } => None,
        }
    }

    /// Sizes of the segments in bytes, in the order of their numbers.
    pub fn segment_sizes(&self) -> Vec<u64> {
        match &self.files {
            Files::Mapped(block) => block.segments().iter().map(|bytes| bytes.len() as u64).collect(),
            Files::Remote { segments, .. } => segments.iter().map(|object| object.size).collect(),
        }
    }

    /// A selection of series. Whoever runs it passes it what [`BucketBlock::fetch`] returns.
    pub fn select(&self, request: SelectRequest) -> Select {
        let select = Select::new(&self.meta, Arc::clone(&self.header), Arc::clone(&self.tombstones), request);
        if self.mapped().is_some() { select } else { select.reading_ahead() }
    }

    /// All series of a selection, read through `runtime` while the calling thread blocks; that thread must not be one
    /// that runs tasks. Ends after an error.
    pub fn batches(
        &self,
        request: SelectRequest,
        runtime: &Handle,
    ) -> impl Iterator<Item = Result<SeriesBatch, BlockError>> {
        let (mut select, runtime, mut done) = (self.select(request), runtime.clone(), false);
        let mut next = move || {
            let mut fetched = Vec::new();
            loop {
                let step = select.step(std::mem::take(&mut fetched))?;
                self.check().map_err(|error| self.as_block_error(error))?;
                match step {
                    Step::Fetch(ranges) => {
                        let read = runtime.block_on(self.fetch(&ranges));
                        fetched = read.map_err(|error| self.as_block_error(error))?;
                    }
                    Step::Batch(batch) => return Ok(Some(batch)),
                    Step::Done => return Ok(None),
                }
            }
        };
        std::iter::from_fn(move || {
            let batch = if done { None } else { next().transpose() };
            done = !matches!(batch, Some(Ok(_)));
            batch
        })
    }

    /// Makes the engine's error of a bucket's error.
    fn as_block_error(&self, error: BucketError) -> BlockError {
        match error {
            BucketError::Block(error) => error,
            error => {
                let (kind, source) = (error.kind(), Box::new(error));
                BlockError::Fetch { block: self.id(), kind, source }
            }
        }
    }

    /// A query of label names or values, run in the same way.
    pub fn select_labels(&self, request: LabelRequest) -> LabelSelect {
        LabelSelect::new(&self.meta, Arc::clone(&self.header), request).without(Arc::clone(&self.deleted))
    }

    /// The block as an input of a merge. Ranges that are not mapped are fetched through `runtime` while the calling
    /// thread blocks; that thread must not be one that runs tasks.
    pub fn input(&self, runtime: &Handle) -> InputBlock<'_> {
        if let Some(mapped) = self.mapped() {
            return InputBlock::from(mapped).without(&self.deleted);
        }
        let (header, tombstones, runtime) =
            (Arc::clone(&self.header), Arc::clone(&self.tombstones), runtime.clone());
        let fetch = move |ranges: &[FileRange]| {
            runtime.block_on(self.fetch(ranges)).map_err(|error| self.as_block_error(error))
        };
        InputBlock::new(BlockMeta::clone(&self.meta), header, tombstones, fetch)
    }

    /// The bytes of ranges, in their order, at once; `None` unless the block is mapped.
    pub fn read(&self, ranges: &[FileRange]) -> Option<Result<Vec<Bytes>, BlockError>> {
        Some(self.read_mapped(self.mapped()?, ranges))
    }

    fn read_mapped(&self, block: &Block, ranges: &[FileRange]) -> Result<Vec<Bytes>, BlockError> {
        let found = block.read(ranges)?;
        if let Some(reads) = &self.reads {
            reads.observe(ranges.len(), found.iter().map(Bytes::len).sum());
        }
        Ok(found)
    }

    /// The number of bytes that [`BucketBlock::fetch`] reads between these ranges to save requests; 0 if the block is
    /// mapped.
    pub fn gap_bytes(&self, ranges: &[FileRange]) -> u64 {
        if self.mapped().is_some() {
            return 0;
        }
        let mut sorted: Vec<&FileRange> = ranges.iter().collect();
        sorted.sort_by_key(|range| range.file);
        let of_file = |group: &[&FileRange]| {
            gap_bytes(&group.iter().map(|range| range.start..range.end()).collect::<Vec<_>>())
        };
        sorted.chunk_by(|a, b| a.file == b.file).map(of_file).sum()
    }

    /// Reads ranges of the block's files, in the order given. A range beyond the end of its file is clipped.
    pub async fn fetch(&self, ranges: &[FileRange]) -> Result<Vec<Bytes>, BucketError> {
        let (bucket, index, segments) = match &self.files {
            Files::Mapped(block) => return Ok(self.read_mapped(block, ranges)?),
            Files::Remote { bucket, index, segments } => (bucket, index, segments),
        };
        let mut out = vec![Bytes::new(); ranges.len()];
        let mut order: Vec<usize> = (0..ranges.len()).collect();
        order.sort_by_key(|i| ranges[*i].file);
        let groups = order.chunk_by(|a, b| ranges[*a].file == ranges[*b].file);
        let read = |group: &[usize]| {
            let asked: Vec<Range<u64>> = group.iter().map(|i| ranges[*i].start..ranges[*i].end()).collect();
            let object = match ranges[group[0]].file {
                BlockFile::Index => Ok(index),
                BlockFile::Segment(segment) => segments.get(segment as usize).ok_or(BucketError::NoSegment {
                    block: self.id(),
                    segment,
                    segments: segments.len(),
                }),
            };
            async move { bucket.ranges(object?, &asked).await }
        };
        // All files are read at the same time.
        let span = info_span!("bucket_get_ranges", block = %self.id(), ranges = ranges.len(), bytes = Empty);
        let fetched = try_join_all(groups.clone().map(read)).instrument(span.clone()).await?;
        span.record("bytes", fetched.iter().flatten().map(Bytes::len).sum::<usize>());
        for (group, fetched) in groups.zip(fetched) {
            for (slot, bytes) in group.iter().zip(fetched) {
                out[*slot] = bytes;
            }
        }
        Ok(out)
    }
}
