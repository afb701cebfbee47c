//! What lies in a data directory: blocks, folders that were half made or half deleted, and the lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;

use tithon_engine::{Block, BlockError, BlockId};

use crate::HeadError;

/// What the names of folders end with that are no blocks yet or any more.
const TEMPORARY: [&str; 3] = [".tmp-for-creation", ".tmp-for-deletion", ".tmp"];

/// The blocks of a directory.
pub(super) struct Blocks {
    /// Ascending by time.
    pub(super) blocks: Vec<Arc<Block>>,
    /// Where the last of them ends; those with hints do not count, which have samples that came late.
    pub(super) head_from: i64,
    pub(super) faulty: Vec<BlockError>,
}

/// Locks a directory for this process, as long as the file is open.
pub(super) fn lock_dir(dir: &Path) -> Result<File, HeadError> {
    let path = dir.join("lock");
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(HeadError::io(&path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(HeadError::Locked { path }),
        Err(TryLockError::Error(source)) => Err(HeadError::Io { path, source }),
    }
}

/// Removes folders that an earlier process left half done.
pub(super) fn remove_temporaries(dir: &Path) -> Result<(), HeadError> {
    for entry in fs::read_dir(dir).map_err(HeadError::io(dir))? {
        let path = entry.map_err(HeadError::io(dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let stem = TEMPORARY.iter().find_map(|end| name.strip_suffix(end));
        if stem.is_some_and(|stem| stem.parse::<BlockId>().is_ok()) {
            fs::remove_dir_all(&path).map_err(HeadError::io(&path))?;
        }
    }
    Ok(())
}

/// Opens all blocks. What a block without a readable meta.json covers is not known: the log has it still, if it is new.
pub(super) fn open_blocks(dir: &Path) -> Result<Blocks, HeadError> {
    let mut found = Blocks { blocks: Vec::new(), head_from: i64::MIN, faulty: Vec::new() };
    for entry in fs::read_dir(dir).map_err(HeadError::io(dir))? {
        let path = entry.map_err(HeadError::io(dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.parse::<BlockId>().is_err() || !path.is_dir() {
            continue;
        }
        match Block::open(&path) {
            Ok(block) => {
                if block.meta().compaction.hints.is_empty() {
                    found.head_from = found.head_from.max(block.meta().max_time);
                }
                found.blocks.push(Arc::new(block));
            }
            Err(error) => found.faulty.push(error),
        }
    }
    found.blocks.sort_by_key(|block| (block.meta().min_time, block.id()));
    Ok(found)
}

/// Deletes a block: it has another name before its files go.
pub(super) fn remove_block(dir: &Path, id: BlockId) -> Result<(), HeadError> {
    let path = dir.join(id.to_string());
    let gone = dir.join(format!("{id}{}", TEMPORARY[1]));
    match fs::remove_dir_all(&gone) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(HeadError::io(&gone)(error)),
        _ => {}
    }
    fs::rename(&path, &gone).map_err(HeadError::io(&path))?;
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(HeadError::io(dir))?;
    fs::remove_dir_all(&gone).map_err(HeadError::io(&gone))
}
