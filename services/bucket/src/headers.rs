//! The header cache: on local disk it keeps the index headers of blocks that are read by ranges, and the label filters
//! of blocks. Both are mapped, so they are not held in memory.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use bytes::Bytes;
use tithon_engine::{BlockId, MappedFile};
use tithon_index::{IndexError, IndexHeader, LabelFilter, Matcher};
use tracing::warn;

/// A directory with a folder for each block.
#[derive(Clone, Debug)]
pub(crate) struct HeaderCache {
    dir: PathBuf,
}

/// A value read from a mapped file of the cache, and the file: the value is valid only while the file is intact.
pub(crate) struct Kept<T> {
    pub(crate) value: T,
    pub(crate) file: MappedFile,
}

/// The label filter of a block, kept on local disk so that it can be used while the block is closed.
#[derive(Debug)]
pub struct KeptFilter {
    filter: LabelFilter,
    file: MappedFile,
}

impl KeptFilter {
    /// Returns false when the filter excludes that any series of the block satisfies all matchers.
    pub fn may_match(&self, matchers: &[Matcher]) -> bool {
        self.filter.may_match(matchers) || !self.is_intact()
    }

    /// Whether the mapped file is still whole.
    pub(crate) fn is_intact(&self) -> bool {
        self.file.is_intact()
    }
}

const HEADER: &str = "index-header.sparse";
const FILTER: &str = "label-filter";

/// Why a file of the cache cannot be used; the block is then opened without it.
#[derive(Debug, thiserror::Error)]
enum CacheError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl HeaderCache {
    /// Opens the cache in a directory, which is created.
    pub(crate) fn open(dir: PathBuf) -> io::Result<HeaderCache> {
        fs::create_dir_all(&dir)?;
        Ok(HeaderCache { dir })
    }

    /// The file of the catalogue's snapshot.
    pub(crate) fn snapshot(&self) -> PathBuf {
        self.dir.join("catalogue.jsonl")
    }

    /// The cached header of a block.
    pub(crate) fn header(&self, block: BlockId) -> Option<Kept<IndexHeader>> {
        self.kept(block, HEADER, |bytes| IndexHeader::from_sparse(&bytes))
    }

    /// Caches a header and returns the mapped one, which takes no memory. Returns the given header when that fails, or
    /// when the version of its index has no cached form.
    pub(crate) fn keep_header(&self, block: BlockId, header: IndexHeader) -> Kept<IndexHeader> {
        let in_memory = |header| Kept { value: header, file: MappedFile::default() };
        if header.version() == 1 {
            return in_memory(header);
        }
        let written = self.write(block, HEADER, |file| {
            header.write_sparse(&mut *file)?;
            file.flush()?;
            // Opening a header checks only its first bytes, so the rest must be on disk before the file gets its name.
            Ok(file.get_ref().sync_all()?)
        });
        if let Err(error) = written {
            warn!(block = %block, error = %error, "index-header is not cached");
            return in_memory(header);
        }
        self.header(block).unwrap_or_else(|| in_memory(header))
    }

    /// The label filter of a block: the cached one, or a new one, which is cached.
    pub(crate) fn filter(&self, block: BlockId, header: &IndexHeader) -> Option<KeptFilter> {
        if let Some(filter) = self.kept_filter(block) {
            return Some(filter);
        }
        let made = || -> Result<LabelFilter, CacheError> {
            let filter = LabelFilter::build(header)?;
            self.write(block, FILTER, |file| Ok(file.write_all(filter.as_bytes())?))?;
            Ok(filter)
        };
        made().inspect_err(|error| warn!(block = %block, error = %error, "label filter cannot be cached, the block is searched without it")).ok()?;
        self.kept_filter(block)
    }

    /// The cached label filter of a block.
    pub(crate) fn kept_filter(&self, block: BlockId) -> Option<KeptFilter> {
        let Kept { value: filter, file } = self.kept(block, FILTER, LabelFilter::open)?;
        Some(KeptFilter { filter, file })
    }

    /// Deletes the files of all blocks but these.
    pub(crate) fn retain(&self, blocks: &BTreeSet<BlockId>) -> io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            let id = entry.file_name().to_str().and_then(|name| name.parse::<BlockId>().ok());
            if id.is_some_and(|id| !blocks.contains(&id)) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    /// Opens a file of the cache; a damaged file counts as absent.
    fn kept<T>(
        &self,
        block: BlockId,
        name: &str,
        open: impl Fn(Bytes) -> Result<T, IndexError>,
    ) -> Option<Kept<T>> {
        let mapped = || -> Result<Kept<T>, CacheError> {
            let file = MappedFile::open(&self.dir.join(block.to_string()).join(name))?;
            Ok(Kept { value: open(file.bytes().clone())?, file })
        };
        match mapped() {
            Ok(kept) => Some(kept),
            Err(CacheError::Io(error)) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                warn!(block = %block, file = name, error = %error, "cached file cannot be used, it is made again");
                None
            }
        }
    }

    /// Writes a temporary file and renames it, so that a file is never seen in part nor changed while it is mapped.
    fn write(
        &self,
        block: BlockId,
        name: &str,
        write: impl FnOnce(&mut BufWriter<File>) -> Result<(), CacheError>,
    ) -> Result<(), CacheError> {
        let dir = self.dir.join(block.to_string());
        fs::create_dir_all(&dir)?;
        let beside = dir.join(format!("{name}.tmp"));
        let mut file = BufWriter::with_capacity(1 << 18, File::create(&beside)?);
        write(&mut file)?;
        file.flush()?;
        fs::rename(&beside, dir.join(name))?;
        Ok(())
    }
}
