//! The files of a log's folder: segments `00000000`, ..., and checkpoints `checkpoint.00000000`, ...

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::WalError;

/// What the names of checkpoints begin with.
const CHECKPOINT: &str = "checkpoint.";

/// The segments and checkpoints of a folder, each with its number, ascending.
#[derive(Debug, Default)]
pub(crate) struct Files {
    pub(crate) segments: Vec<(u64, PathBuf)>,
    pub(crate) checkpoints: Vec<(u64, PathBuf)>,
}

impl Files {
    /// Looks through a folder.
    pub(crate) fn of(dir: &Path) -> Result<Files, WalError> {
        let mut files = Files::default();
        for entry in fs::read_dir(dir).map_err(WalError::io(dir))? {
            let path = entry.map_err(WalError::io(dir))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(number) = name.strip_prefix(CHECKPOINT).and_then(number) {
                files.checkpoints.push((number, path));
            } else if let Some(number) = number(name) {
                files.segments.push((number, path));
            }
        }
        files.segments.sort();
        files.checkpoints.sort();
        Ok(files)
    }

    /// The segments from number `from` on. Fails when one is missing between them, or in front of them where `from` is that of
    /// the segment behind a checkpoint.
    pub(crate) fn segments_from(&self, dir: &Path, from: Option<u64>) -> Result<&[(u64, PathBuf)], WalError> {
        let start = self.segments.partition_point(|(number, _)| from.is_some_and(|from| *number < from));
        let segments = self.segments.get(start..).unwrap_or_default();
        let mut next = from;
        for (found, _) in segments {
            if let Some(expected) = next.filter(|expected| expected != found) {
                return Err(WalError::Gap { dir: dir.to_owned(), expected, found: *found });
            }
            next = found.checked_add(1);
        }
        Ok(segments)
    }
}

/// The number that a name of decimal digits is.
fn number(name: &str) -> Option<u64> {
    name.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.parse().ok()).flatten()
}

pub(super) fn segment_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{number:08}"))
}

pub(super) fn checkpoint_path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("{CHECKPOINT}{number:08}"))
}

/// Removes checkpoints that were not finished.
pub(crate) fn remove_temporaries(dir: &Path) -> Result<(), WalError> {
    for entry in fs::read_dir(dir).map_err(WalError::io(dir))? {
        let path = entry.map_err(WalError::io(dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(CHECKPOINT) && name.ends_with(".tmp") {
            fs::remove_dir_all(&path).map_err(WalError::io(&path))?;
        }
    }
    Ok(())
}

/// Makes the names in a folder durable.
pub(super) fn sync_dir(dir: &Path) -> Result<(), WalError> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(WalError::io(dir))
}

/// Removes a file or folder; one that is gone already is fine.
pub(super) fn remove(path: &Path) -> Result<(), WalError> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(WalError::io(path)(error)),
        _ => Ok(()),
    }
}
