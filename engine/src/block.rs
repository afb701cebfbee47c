//! A block in a local directory: `meta.json`, `index`, `chunks/NNNNNN` and perhaps `tombstones`, mapped into memory.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tithon_chunks::SegmentReader;
use tithon_index::{IndexHeader, Labels, Texts};

use crate::{
    BlockError, BlockFile, BlockId, BlockMeta, FileRange, LabelRequest, LabelSelect, LabelStep, Select,
    SelectRequest, SeriesBatch, Step, Tombstones,
    mmap::{FileStamp, MappedFile},
};

/// A block on local disk, ready to be read. Its files are mapped, not read.
#[derive(Debug)]
pub struct Block {
    dir: PathBuf,
    meta: BlockMeta,
    index: MappedFile,
    header: Arc<IndexHeader>,
    segments: Vec<Bytes>,
    segment_maps: Vec<MappedFile>,
    tombstones: Arc<Tombstones>,
    /// The stamps of its files when it was opened.
    files: Stamps,
}

/// Stamps of files by name; `None` for a file that was missing.
type Stamps = Vec<(Box<str>, Option<FileStamp>)>;

impl Block {
    /// Opens a block: reads meta.json and tombstones, checks the index's table of contents, symbols and postings
    /// offsets, and the header of every segment. Lists, entries and chunks are checked when they are read.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Block, BlockError> {
        let dir = dir.into();
        // The stamps are taken first: a file that is replaced meanwhile counts as replaced.
        let files = stamps(&dir);
        let meta_path = dir.join("meta.json");
        let bytes = std::fs::read(&meta_path).map_err(BlockError::io(&meta_path))?;
        let meta = BlockMeta::parse(&bytes).map_err(|source| BlockError::Meta { path: meta_path, source })?;
        let name = dir.file_name().and_then(|n| n.to_str()).and_then(|n| n.parse::<BlockId>().ok());
        if let Some(expected) = name.filter(|id| *id != meta.ulid) {
            return Err(BlockError::WrongId { path: dir, found: meta.ulid, expected });
        }
        Block::map(dir, meta, files)
    }

    /// Opens the files of a block whose meta.json may not be written yet; `meta` is its future content.
    pub fn open_files(dir: impl Into<PathBuf>, meta: BlockMeta) -> Result<Block, BlockError> {
        let dir = dir.into();
        let files = stamps(&dir);
        Block::map(dir, meta, files)
    }

    fn map(dir: PathBuf, meta: BlockMeta, files: Stamps) -> Result<Block, BlockError> {
        let index_path = dir.join("index");
        let index = MappedFile::open(&index_path).map_err(BlockError::io(&index_path))?;
        let header = IndexHeader::from_index(index.bytes()).map_err(BlockError::index(meta.ulid))?;
        let segment_maps = open_segments(&dir.join("chunks"), meta.ulid)?;
        let tombstones = read_tombstones(&dir.join("tombstones"), meta.ulid)?;
        let segments = segment_maps.iter().map(|map| map.bytes().clone()).collect();
        let (header, tombstones) = (Arc::new(header), Arc::new(tombstones));
        let block = Block { dir, meta, index, header, segments, segment_maps, tombstones, files };
        block.check()?;
        Ok(block)
    }

    /// The block's id.
    pub fn id(&self) -> BlockId {
        self.meta.ulid
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The content of meta.json.
    pub fn meta(&self) -> &BlockMeta {
        &self.meta
    }

    /// Symbols and postings offsets of the index.
    pub fn header(&self) -> &Arc<IndexHeader> {
        &self.header
    }

    /// The whole index file.
    pub fn index(&self) -> &Bytes {
        self.index.bytes()
    }

    /// The segments, in the order that chunk references count them.
    pub fn segments(&self) -> &[Bytes] {
        &self.segments
    }

    /// The deletions since the block was written.
    pub fn tombstones(&self) -> &Arc<Tombstones> {
        &self.tombstones
    }

    /// The labels that hold for every series; empty for a block that Prometheus wrote.
    pub fn external_labels(&self) -> Labels {
        self.meta.thanos.as_ref().map(|t| t.external_labels()).unwrap_or_default()
    }

    /// Fails when a file that was read from has been cut since it was mapped: then no result made from its bytes is
    /// valid. Call this after each piece of work on the bytes. It costs a read of the end of each file.
    pub fn check(&self) -> Result<(), BlockError> {
        let block = self.id();
        if !self.index.is_intact() {
            return Err(BlockError::Truncated { block, file: BlockFile::Index });
        }
        match self.segment_maps.iter().position(|map| map.was_read() && !map.is_intact()) {
            Some(i) => Err(BlockError::Truncated { block, file: BlockFile::Segment(i as u32) }),
            None => Ok(()),
        }
    }

    /// Whether the directory still has the files that were opened: their inodes, sizes and times are compared.
    pub fn is_current(&self) -> bool {
        self.files.iter().all(|(name, stamp)| FileStamp::of(&self.dir.join(&**name)) == *stamp)
    }

    /// Whether these bytes, such as those of a chunk, are a slice of one of the block's files.
    pub fn holds(&self, bytes: &[u8]) -> bool {
        self.segment_maps.iter().chain([&self.index]).any(|map| map.holds(bytes))
    }

    /// Slices of the mapped files. For a range that reaches behind the end of its file, the slice ends with the file.
    pub fn read(&self, ranges: &[FileRange]) -> Result<Vec<Bytes>, BlockError> {
        ranges.iter().map(|range| self.read_one(range)).collect()
    }

    fn read_one(&self, range: &FileRange) -> Result<Bytes, BlockError> {
        let map = match range.file {
            BlockFile::Index => &self.index,
            BlockFile::Segment(segment) => self
                .segment_maps
                .get(segment as usize)
                .ok_or(BlockError::NoSegment { block: self.id(), segment, segments: self.segments.len() })?,
        };
        map.set_read();
        let file = map.bytes();
        let clamp = |at: u64| usize::try_from(at).map_or(file.len(), |at| at.min(file.len()));
        Ok(file.slice(clamp(range.start)..clamp(range.end())))
    }

    /// Tells the system that the pages of this range need not stay in memory.
    pub fn release(&self, range: &FileRange) {
        let map = match range.file {
            BlockFile::Index => Some(&self.index),
            BlockFile::Segment(segment) => self.segment_maps.get(segment as usize),
        };
        let Some(map) = map else { return };
        let clamp = |at: u64| usize::try_from(at).map_or(map.bytes().len(), |at| at.min(map.bytes().len()));
        // Whole pages at the start only: a part of the last page may still be needed.
        let start = clamp(range.start) / PAGE * PAGE;
        map.release(start..clamp(range.end()));
    }

    /// Like [`Block::release`], for the bytes at these addresses, as far as they belong to the block's segments.
    pub fn release_at(&self, addresses: &Range<usize>) {
        for map in &self.segment_maps {
            let bytes = map.bytes().as_ptr_range();
            let (start, end) = (bytes.start.addr(), bytes.end.addr());
            if start <= addresses.start && addresses.end <= end {
                map.release((addresses.start - start) / PAGE * PAGE..addresses.end - start);
            }
        }
    }

    /// Selects series in label order, batch by batch; deletions are applied.
    pub fn select(&self, request: SelectRequest) -> BlockSelect<'_> {
        let select = Select::new(&self.meta, Arc::clone(&self.header), Arc::clone(&self.tombstones), request);
        BlockSelect { block: self, select, done: false }
    }

    /// Label names or values, ascending.
    pub fn labels(&self, request: LabelRequest) -> Result<Texts, BlockError> {
        let mut select = LabelSelect::new(&self.meta, Arc::clone(&self.header), request);
        let mut fetched = Vec::new();
        loop {
            let step = select.step(std::mem::take(&mut fetched));
            self.check()?;
            match step? {
                LabelStep::Fetch(ranges) => fetched = self.read(&ranges)?,
                LabelStep::Done(found) => return Ok(found),
            }
        }
    }
}

/// The unit of memory that is released: the system's page, or a multiple of it, bytes.
const PAGE: usize = 65_536;

/// Batches of a selection from a mapped block; made by [`Block::select`]. Ends after an error.
pub struct BlockSelect<'b> {
    block: &'b Block,
    select: Select,
    done: bool,
}

impl BlockSelect<'_> {
    fn next_batch(&mut self) -> Result<Option<SeriesBatch>, BlockError> {
        let mut fetched = Vec::new();
        loop {
            let step = self.select.step(std::mem::take(&mut fetched));
            self.block.check()?;
            match step? {
                Step::Fetch(ranges) => fetched = self.block.read(&ranges)?,
                Step::Batch(batch) => return Ok(Some(batch)),
                Step::Done => return Ok(None),
            }
        }
    }
}

impl Iterator for BlockSelect<'_> {
    type Item = Result<SeriesBatch, BlockError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.next_batch().transpose();
        self.done = !matches!(next, Some(Ok(_)));
        next
    }
}

/// Maps the files of `chunks/` whose names are numbers, sorted by name. A block without the folder has no chunks: object
/// storage keeps no empty folders, and Thanos uploads blocks in which no sample is left.
fn open_segments(dir: &Path, block: BlockId) -> Result<Vec<MappedFile>, BlockError> {
    let mut names = Vec::new();
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(BlockError::io(dir))?,
    };
    for entry in entries {
        let name = entry.map_err(BlockError::io(dir))?.file_name();
        let is_number = name.to_str().is_some_and(|n| n.parse::<u64>().is_ok());
        if is_number {
            names.push(name);
        }
    }
    names.sort();
    let mut segments = Vec::with_capacity(names.len());
    for name in names {
        let path = dir.join(name);
        let segment = MappedFile::open(&path).map_err(BlockError::io(&path))?;
        SegmentReader::open(segment.bytes().clone()).map_err(|source| {
            let file = BlockFile::Segment(segments.len() as u32);
            BlockError::Chunk { block, file, offset: 0, source }
        })?;
        segments.push(segment);
    }
    Ok(segments)
}

/// The files of a block under their names: those that are read whole, the index, and the segments.
fn stamps(dir: &Path) -> Stamps {
    let chunks = std::fs::read_dir(dir.join("chunks")).into_iter().flatten().flatten();
    let segments = chunks.filter_map(|entry| Some(format!("chunks/{}", entry.file_name().to_str()?)));
    let names = ["meta.json", "index", "tombstones"].map(str::to_owned).into_iter().chain(segments);
    names.map(|name| (name.as_str().into(), FileStamp::of(&dir.join(&name)))).collect()
}

fn read_tombstones(path: &Path, block: BlockId) -> Result<Tombstones, BlockError> {
    match std::fs::read(path) {
        Ok(bytes) => Tombstones::parse(&bytes).map_err(|source| BlockError::Tombstones { block, source }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Tombstones::default()),
        Err(error) => Err(BlockError::io(path)(error)),
    }
}
