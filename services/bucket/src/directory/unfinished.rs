//! What a killed upload left in a bucket's directory.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path as FsPath;

use tithon_engine::BlockId;

use super::Directory;
use super::walk::is_upload;

impl Directory {
    /// Removes the temporary files of uploads of a block, and says how many there were. Symbolic links are left alone.
    ///
    /// Nobody else may be uploading the block.
    pub(crate) fn remove_unfinished(&self, block: BlockId) -> io::Result<usize> {
        let dir = self.root().join(block.to_string());
        Ok(remove_in(&dir)? + remove_in(&dir.join("chunks"))?)
    }
}

fn remove_in(dir: &FsPath) -> io::Result<usize> {
    match fs::symlink_metadata(dir) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => return Ok(0),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    }
    let mut removed = 0;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_type()?.is_file() && entry.file_name().to_str().is_some_and(is_upload) {
            fs::remove_file(entry.path())?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_temporary_files_of_the_block_go() {
        let dir = tempfile::tempdir().unwrap();
        let block: BlockId = "01JG0000000000000000000001".parse().unwrap();
        let other: BlockId = "01JG0000000000000000000002".parse().unwrap();
        let directory = Directory::new(dir.path().to_owned());
        assert_eq!(directory.remove_unfinished(block).unwrap(), 0);
        let names = ["chunks/000001", "chunks/000002#1", "chunks/000002#2", "index#1", "meta#x"];
        for (block, name) in [block, other].into_iter().flat_map(|block| names.map(|name| (block, name))) {
            let path = dir.path().join(block.to_string()).join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        assert_eq!(directory.remove_unfinished(block).unwrap(), 3);
        let has = |block: BlockId, name: &str| dir.path().join(block.to_string()).join(name).exists();
        assert_eq!(names.map(|name| has(block, name)), [true, false, false, false, true]);
        assert!(names.iter().all(|name| has(other, name)));
    }
}
