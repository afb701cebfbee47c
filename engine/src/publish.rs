//! Writes files and directories so that they appear whole or not at all: temporary name, fsync, rename, fsync of the
//! parent.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use crate::{BlockError, BlockId};

/// A block directory under construction: `<id>.tmp-for-creation`, removed unless it is published.
#[derive(Debug)]
pub(crate) struct Unpublished {
    parent: PathBuf,
    id: BlockId,
    dir: PathBuf,
    published: bool,
}

impl Unpublished {
    /// Removes leftovers of an earlier attempt and creates the directory with `chunks/` inside.
    pub(crate) fn create(parent: &Path, id: BlockId) -> Result<Unpublished, BlockError> {
        let dir = parent.join(format!("{id}.tmp-for-creation"));
        remove_if_there(&dir)?;
        let chunks = dir.join("chunks");
        fs::create_dir_all(&chunks).map_err(BlockError::io(&chunks))?;
        Ok(Unpublished { parent: parent.to_owned(), id, dir, published: false })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Renames the directory to the block's id, replacing an older directory; returns the path.
    pub(crate) fn publish(mut self) -> Result<PathBuf, BlockError> {
        sync_dir(&self.dir)?;
        let target = self.parent.join(self.id.to_string());
        remove_if_there(&target)?;
        fs::rename(&self.dir, &target).map_err(BlockError::io(&target))?;
        self.published = true;
        sync_dir(&self.parent)?;
        Ok(target)
    }
}

impl Drop for Unpublished {
    fn drop(&mut self) {
        if !self.published {
            // No caller is left to take an error; the next attempt and every start-up try again.
            let _ = fs::remove_dir_all(&self.dir);
        }
    }
}

/// Writes a file so that readers see the old content or the new one, also after a crash.
pub(crate) fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), BlockError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".tmp");
    let temporary = PathBuf::from(temporary);
    let write = || {
        let mut file = File::create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(BlockError::io(&temporary))?;
    fs::rename(&temporary, path).map_err(BlockError::io(path))?;
    sync_dir(path.parent().unwrap_or(Path::new(".")))
}

/// Makes the names in a directory durable.
pub(crate) fn sync_dir(dir: &Path) -> Result<(), BlockError> {
    File::open(dir).and_then(|d| d.sync_all()).map_err(BlockError::io(dir))
}

fn remove_if_there(dir: &Path) -> Result<(), BlockError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(BlockError::io(dir)(error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_replaced_or_removed() {
        let parent = tempfile::tempdir().unwrap();
        let id = BlockId::from_parts(1, 2);
        let target = parent.path().join(id.to_string());
        fs::create_dir_all(target.join("old")).unwrap();
        let dropped = Unpublished::create(parent.path(), id).unwrap();
        fs::write(dropped.dir().join("new"), b"x").unwrap();
        drop(dropped);
        assert!(target.join("old").exists());
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);

        let unpublished = Unpublished::create(parent.path(), id).unwrap();
        write_atomically(&unpublished.dir().join("new"), b"y").unwrap();
        assert_eq!(unpublished.publish().unwrap(), target);
        assert!(!target.join("old").exists());
        assert_eq!(fs::read(target.join("new")).unwrap(), b"y");
        assert_eq!(fs::read_dir(&target).unwrap().count(), 2);
    }
}
