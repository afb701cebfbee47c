//! A data directory: a head and the blocks that were cut from it. Prometheus `tsdb/db.go`.

mod files;
mod select;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tithon_chunks::{TimeRange, Timestamp};
use tithon_engine::{Block, BlockError, BlockId, BlockMeta, LabelRequest};
use tithon_index::Texts;

use self::files::{lock_dir, open_blocks, remove_block, remove_temporaries};
pub use self::select::DbSelect;
use crate::options::HeadOptions;
use crate::{Head, HeadError, Replayed};

/// How a data directory is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DbOptions {
    /// How the head is kept.
    pub head: HeadOptions,
    /// A block goes when it ends so much before the newest one, milliseconds; 0 is never.
    pub retention_ms: i64,
    /// Keep other processes away by a lock on the file `lock`.
    pub has_lock: bool,
}

/// A data directory that is in use.
#[derive(Debug)]
pub struct Db {
    dir: PathBuf,
    head: Head,
    options: DbOptions,
    view: Mutex<Arc<View>>,
    upkeep: Mutex<Upkeep>,
    /// Locked until the end.
    _lock: Option<File>,
}

/// What readers see: they keep a view while they read, and nothing that it has goes before them.
#[derive(Debug)]
struct View {
    /// Ascending by time.
    blocks: Vec<Arc<Block>>,
    /// What the head has before it is in blocks.
    head_from: i64,
}

/// What one maintenance leaves to the next.
#[derive(Debug, Default)]
struct Upkeep {
    /// Views that were replaced, each with the first time that it reads from the head.
    old_views: Vec<(i64, Weak<View>)>,
    /// The head is to be truncated here when nobody reads what is before.
    truncate_at: Option<i64>,
}

/// What was found in a directory.
#[derive(Debug, Default)]
pub struct Opened {
    /// What the log had.
    pub replayed: Replayed,
    /// Blocks that cannot be read; they are left where they are.
    pub faulty: Vec<BlockError>,
}

/// What maintenance did.
#[derive(Debug, Default)]
pub struct Maintained {
    /// Blocks that were cut.
    pub cut: Vec<BlockMeta>,
    /// Times that the head was truncated.
    pub head_truncations: usize,
    /// Times that a checkpoint replaced old segments.
    pub checkpoints: usize,
    /// Blocks that were too old.
    pub deleted: Vec<BlockId>,
}

impl Db {
    /// Opens a directory, or begins one: removes what a killed process left half done, opens the blocks and reads the log.
    pub fn open(dir: &Path, options: DbOptions) -> Result<(Db, Opened), HeadError> {
        std::fs::create_dir_all(dir).map_err(HeadError::io(dir))?;
        let lock = if options.has_lock { Some(lock_dir(dir)?) } else { None };
        remove_temporaries(dir)?;
        let found = open_blocks(dir)?;
        let (head, replayed) = Head::open(&dir.join("wal"), found.head_from, options.head)?;
        let view = View { blocks: found.blocks, head_from: found.head_from };
        let db = Db {
            dir: dir.to_owned(),
            head,
            options,
            view: Mutex::new(Arc::new(view)),
            upkeep: Mutex::default(),
            _lock: lock,
        };
        Ok((db, Opened { replayed, faulty: found.faulty }))
    }

    /// The head, to which samples are appended.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn view(&self) -> Arc<View> {
        Arc::clone(&self.lock_view())
    }

    fn lock_view(&self) -> MutexGuard<'_, Arc<View>> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The metas of the blocks, ascending by time.
    pub fn blocks(&self) -> Vec<BlockMeta> {
        self.view().blocks.iter().map(|block| block.meta().clone()).collect()
    }

    /// From the first to the last millisecond that may have a sample; empty without any.
    pub fn range(&self) -> TimeRange {
        let (view, stats) = (self.view(), self.head.stats());
        let blocks = view.blocks.iter().map(|block| block.meta());
        let min = blocks.clone().map(|meta| meta.min_time).chain(stats.min_time).min();
        let max = blocks.map(|meta| meta.max_time - 1).chain(stats.max_time).max();
        TimeRange { min: Timestamp(min.unwrap_or(i64::MAX)), max: Timestamp(max.unwrap_or(i64::MIN)) }
    }

    /// Cuts ranges that are full into blocks, which get the names that `new_id` gives, truncates the head and its log, and deletes
    /// blocks that are too old. To be called again and again: the head is truncated only when nobody reads that part.
    ///
    /// A kill at any step is fine: a block counts from its rename on, and samples that blocks have are left out when the log is
    /// read.
    pub fn maintain(&self, mut new_id: impl FnMut() -> BlockId) -> Result<Maintained, HeadError> {
        let mut upkeep = self.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        let mut done = Maintained::default();
        while self.truncate(&mut upkeep, &mut done)? {
            let Some((min, max)) = self.head.full_range() else { break };
            self.cut(&mut upkeep, new_id(), (min, max), &mut done)?;
        }
        self.delete_old(&mut upkeep, &mut done)?;
        Ok(done)
    }

    /// Truncates the head where that is due; `false` while somebody reads what is to go.
    fn truncate(&self, upkeep: &mut Upkeep, done: &mut Maintained) -> Result<bool, HeadError> {
        upkeep.old_views.retain(|(_, view)| view.strong_count() > 0);
        let Some(t) = upkeep.truncate_at else { return Ok(true) };
        if upkeep.old_views.iter().any(|(from, _)| *from < t) {
            return Ok(false);
        }
        self.head.truncate(t);
        upkeep.truncate_at = None;
        done.head_truncations += 1;
        if self.head.truncate_wal(t)? {
            done.checkpoints += 1;
        }
        Ok(true)
    }

    fn cut(
        &self,
        upkeep: &mut Upkeep,
        id: BlockId,
        (min, max): (i64, i64),
        done: &mut Maintained,
    ) -> Result<(), HeadError> {
        let mut blocks = self.view().blocks.clone();
        if let Some(meta) = self.head.write_block(&self.dir, id, min, max)? {
            match Block::open(self.dir.join(id.to_string())) {
                Ok(block) => blocks.push(Arc::new(block)),
                Err(error) => {
                    // It will be cut again: it must not be there twice.
                    remove_block(&self.dir, id)?;
                    return Err(error.into());
                }
            }
            done.cut.push(meta);
        }
        self.replace_view(upkeep, View { blocks, head_from: max });
        upkeep.truncate_at = Some(max);
        Ok(())
    }

    fn replace_view(&self, upkeep: &mut Upkeep, mut view: View) {
        view.blocks.sort_by_key(|block| (block.meta().min_time, block.id()));
        let old = std::mem::replace(&mut *self.lock_view(), Arc::new(view));
        upkeep.old_views.push((old.head_from, Arc::downgrade(&old)));
    }

    /// Deletes blocks that end too long before the newest one. Prometheus `BeyondTimeRetention`.
    fn delete_old(&self, upkeep: &mut Upkeep, done: &mut Maintained) -> Result<(), HeadError> {
        let view = self.view();
        let newest = view.blocks.iter().map(|block| block.meta().max_time).max();
        let Some(newest) = newest.filter(|_| self.options.retention_ms > 0) else { return Ok(()) };
        let is_old = |block: &Arc<Block>| newest - block.meta().max_time >= self.options.retention_ms;
        let (old, blocks): (Vec<_>, Vec<_>) = view.blocks.iter().cloned().partition(is_old);
        if old.is_empty() {
            return Ok(());
        }
        self.replace_view(upkeep, View { blocks, head_from: view.head_from });
        for block in old {
            // Those who read it have it mapped.
            remove_block(&self.dir, block.id())?;
            done.deleted.push(block.id());
        }
        Ok(())
    }

    /// Label names or values of head and blocks, ascending.
    pub fn labels(&self, request: &LabelRequest) -> Result<Texts, BlockError> {
        let view = self.view();
        let mut found = Texts::default();
        for block in view.blocks.iter().filter(|block| block.meta().range().overlaps(request.range)) {
            found = found.union(block.labels(LabelRequest { limit: 0, ..request.clone() })?);
        }
        let range = view.of_head(request.range);
        let stats = self.head.stats();
        let has_samples = stats.max_time.is_some_and(|max| range.min.0 <= max) && !range.is_empty();
        if has_samples && stats.min_time.is_some_and(|min| min <= range.max.0) {
            found = found.union(self.head.labels(&LabelRequest { range, ..request.clone() }));
        }
        if request.limit > 0 {
            found.truncate(request.limit);
        }
        Ok(found)
    }
}

impl View {
    /// The part of a range that is read from the head.
    fn of_head(&self, range: TimeRange) -> TimeRange {
        TimeRange { min: range.min.max(Timestamp(self.head_from)), max: range.max }
    }
}
