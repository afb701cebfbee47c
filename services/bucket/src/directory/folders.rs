//! Listing of blocks in a directory: a block's folder is read again only if something in it changed.
//!
//! Creating, deleting or renaming a file changes the times of its folder. Writing to an existing file does not, so
//! meta.json and existing marks are checked each time. Two changes within one tick of the file system's clock leave the
//! same time, so a folder that changed recently is read again at the next look.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path as FsPath;
use std::sync::Arc;
use std::time::Duration;

use object_store::Result;
use object_store::path::Path;
use tithon_engine::BlockId;

use super::{Directory, blocking, failed};
use crate::deletions;
use crate::listing::{Listed, Listing, Stamp};
use crate::{BucketError, Faulty, MarkKind};

/// Only a folder that has not changed for this long will show its next change by its times: the coarsest clocks of file
/// systems tick every two seconds.
const SETTLED_AFTER: Duration = Duration::from_secs(3);

impl Directory {
    /// Lists all blocks. For folders that have not changed since `before`, only times are read.
    pub(crate) async fn look_at_blocks(&self, before: Arc<BTreeMap<BlockId, Listed>>) -> Result<Listing> {
        let directory = self.clone();
        let look = move || directory.folders(&before).map_err(|error| failed(directory.root(), error));
        blocking(look).await
    }

    /// Lists these blocks only; missing ones are left out.
    pub(crate) async fn look_at_some(
        &self,
        blocks: BTreeSet<BlockId>,
        before: Arc<BTreeMap<BlockId, Listed>>,
    ) -> Result<Listing> {
        let directory = self.clone();
        let look = move || -> io::Result<Listing> {
            let mut listing = Listing::default();
            for block in blocks {
                let path = directory.root().join(block.to_string());
                match fs::symlink_metadata(&path) {
                    Ok(meta) => {
                        directory.add_folder(block, &path, meta.is_symlink(), &before, &mut listing)?
                    }
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(error),
                }
            }
            Ok(listing)
        };
        let root = self.root().to_owned();
        blocking(move || look().map_err(|error| failed(&root, error))).await
    }

    fn folders(&self, before: &BTreeMap<BlockId, Listed>) -> io::Result<Listing> {
        let mut listing = Listing::default();
        let entries = match fs::read_dir(self.root()) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(listing),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name() == deletions::FOLDER {
                listing.deletions = self.deletions(&entry.path())?;
                continue;
            }
            let Some(block) = entry.file_name().to_str().and_then(|name| name.parse::<BlockId>().ok()) else {
                continue;
            };
            let is_link = entry.file_type()?.is_symlink();
            self.add_folder(block, &entry.path(), is_link, before, &mut listing)?;
        }
        Ok(listing)
    }

    /// The requests to delete series in their folder.
    fn deletions(&self, folder: &FsPath) -> io::Result<BTreeSet<BlockId>> {
        let entries = match fs::read_dir(folder) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(BTreeSet::new());
            }
            entries => entries?,
        };
        let names: Vec<_> = entries.map(|entry| Ok(entry?.file_name())).collect::<io::Result<_>>()?;
        Ok(names.iter().filter_map(|name| deletions::id_of(name.to_str()?)).collect())
    }

    /// Adds a block to a listing, unless its folder is a link that leads out of the bucket.
    fn add_folder(
        &self,
        block: BlockId,
        path: &FsPath,
        is_link: bool,
        before: &BTreeMap<BlockId, Listed>,
        listing: &mut Listing,
    ) -> io::Result<()> {
        if is_link && self.target(path)?.is_none() {
            return Ok(());
        }
        match self.folder(path, before.get(&block)) {
            Ok(Some(listed)) => drop(listing.blocks.insert(block, listed)),
            Ok(None) => {}
            // The folder was deleted meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => {
                let error = BucketError::object(&Path::from(block.to_string()))(failed(path, error));
                listing.failed.push(Faulty { block, error });
            }
        }
        Ok(())
    }

    /// The files of a block's folder; `None` when the path is no folder.
    fn folder(&self, path: &FsPath, before: Option<&Listed>) -> io::Result<Option<Listed>> {
        let folder = fs::metadata(path)?;
        if !folder.is_dir() {
            return Ok(None);
        }
        let stamp = Some(folder_stamp(&folder)).filter(|_| is_settled(&folder));
        let same = before.filter(|before| stamp.is_some() && before.folder == stamp);
        let listed = match same {
            Some(before) => self.same_names(path, before),
            None => self.names(path),
        };
        Ok(Some(Listed { folder: stamp, ..listed? }))
    }

    /// Checks the files that were there before.
    fn same_names(&self, path: &FsPath, before: &Listed) -> io::Result<Listed> {
        let mut listed = Listed { meta: None, ..before.clone() };
        if before.meta.is_some() {
            listed.meta = self.file(&path.join("meta.json"))?;
        }
        for (kind, mark) in MarkKind::ALL.into_iter().zip(&mut listed.marks) {
            if mark.is_some() {
                *mark = self.file(&path.join(kind.file()))?;
            }
        }
        Ok(listed)
    }

    /// Reads the names in a folder, and checks meta.json and the marks.
    fn names(&self, path: &FsPath) -> io::Result<Listed> {
        let mut listed = Listed::default();
        for entry in fs::read_dir(path)? {
            let name = entry?.file_name();
            if name == "meta.json" {
                listed.meta = self.file(&path.join(name))?;
            } else if let Some(kind) = MarkKind::ALL.iter().position(|kind| name == kind.file()) {
                listed.marks[kind] = self.file(&path.join(name))?;
            }
        }
        Ok(listed)
    }

    /// The stamp of a file; `None` when it is missing or a link out of the bucket.
    fn file(&self, path: &FsPath) -> io::Result<Option<Stamp>> {
        let found = fs::symlink_metadata(path).and_then(|meta| match meta.is_symlink() {
            true => self.target(path)?.map(fs::metadata).transpose(),
            false => Ok(Some(meta)),
        });
        match found {
            Ok(meta) => Ok(meta.filter(Metadata::is_file).map(|meta| file_stamp(&meta))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn stamp_of(numbers: &[i64]) -> Stamp {
    Stamp::of(&numbers.iter().flat_map(|n| n.to_le_bytes()).collect::<Vec<u8>>())
}

/// Includes the inode's change time, which cannot be set back.
fn folder_stamp(meta: &Metadata) -> Stamp {
    let (dev, inode) = (meta.dev().cast_signed(), meta.ino().cast_signed());
    stamp_of(&[dev, inode, meta.mtime(), meta.mtime_nsec(), meta.ctime(), meta.ctime_nsec()])
}

/// Excludes the inode's change time: hard links and permission changes do not change the content.
fn file_stamp(meta: &Metadata) -> Stamp {
    let (dev, inode) = (meta.dev().cast_signed(), meta.ino().cast_signed());
    stamp_of(&[dev, inode, meta.size().cast_signed(), meta.mtime(), meta.mtime_nsec()])
}

fn is_settled(folder: &Metadata) -> bool {
    let now = tithon_runtime::since_1970();
    let changed = folder.mtime().max(folder.ctime());
    let settled = changed.saturating_add(SETTLED_AFTER.as_secs().cast_signed());
    settled < now.as_secs().cast_signed()
}
