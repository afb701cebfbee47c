//! Walks over a bucket's directory.

use std::collections::BTreeSet;
use std::fs::{self, DirEntry, Metadata};
use std::io::{self, ErrorKind};
use std::path::{Path as FsPath, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, Result};
use tithon_engine::BlockId;

use super::{Directory, failed};

/// A file or folder of the bucket; links that stay inside are followed.
struct Entry {
    key: Path,
    path: PathBuf,
    meta: Metadata,
    /// The target, if it is a link.
    target: Option<PathBuf>,
}

impl Directory {
    /// All objects below a folder, recursively.
    pub(super) fn objects_below(&self, prefix: &Path) -> Result<Vec<ObjectMeta>> {
        let mut out = Vec::new();
        let dir = self.path(prefix);
        self.walk(&dir, prefix, &mut Vec::new(), &mut out).map_err(|error| failed(&dir, error))?;
        Ok(out)
    }

    /// The objects and folders directly in a folder.
    pub(super) fn entries_of(&self, prefix: &Path) -> Result<ListResult> {
        let dir = self.path(prefix);
        let (mut common_prefixes, mut objects) = (BTreeSet::new(), Vec::new());
        for entry in self.entries(&dir, prefix).map_err(|error| failed(&dir, error))? {
            if entry.meta.is_dir() {
                common_prefixes.insert(entry.key);
            } else {
                objects.push(object(entry));
            }
        }
        let common_prefixes = common_prefixes.into_iter().collect();
        Ok(ListResult { common_prefixes, objects, extensions: Default::default() })
    }

    /// `open` are the folders that the walk is in, with links resolved: a link to one of them would be a cycle.
    fn walk(
        &self,
        dir: &FsPath,
        key: &Path,
        open: &mut Vec<PathBuf>,
        out: &mut Vec<ObjectMeta>,
    ) -> io::Result<()> {
        for entry in self.entries(dir, key)? {
            if !entry.meta.is_dir() {
                out.push(object(entry));
                continue;
            }
            let Some(target) = &entry.target else {
                self.walk(&entry.path, &entry.key, open, out)?;
                continue;
            };
            open.push(fs::canonicalize(dir)?);
            if open.iter().all(|dir| !dir.starts_with(target)) {
                self.walk(&entry.path, &entry.key, open, out)?;
            }
            open.pop();
        }
        Ok(())
    }

    /// The entries of a folder that may be objects or folders of objects; none if the folder does not exist. Temporary
    /// files of uploads, and names that no key can have, are left out.
    fn entries(&self, dir: &FsPath, key: &Path) -> io::Result<Vec<Entry>> {
        let is_out =
            || -> io::Result<bool> { Ok(self.is_behind_link(&dir.join("x")) && self.target(dir)?.is_none()) };
        let entries = match fs::read_dir(dir) {
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                return Ok(vec![]);
            }
            _ if is_out()? => return Ok(vec![]),
            entries => entries?,
        };
        let mut out = Vec::new();
        for entry in entries {
            out.extend(self.entry(&entry?, key)?);
        }
        Ok(out)
    }

    fn entry(&self, entry: &DirEntry, key: &Path) -> io::Result<Option<Entry>> {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| !is_upload(name)) else { return Ok(None) };
        let full = if key.as_ref().is_empty() { name.to_owned() } else { format!("{key}/{name}") };
        let Ok(key) = Path::parse(full) else { return Ok(None) };
        let (path, mut target) = (entry.path(), None);
        if entry.file_type()?.is_symlink() {
            target = self.target(&path)?;
            if target.is_none() {
                return Ok(None);
            }
        }
        match fs::metadata(&path) {
            Ok(meta) => Ok(Some(Entry { key, path, meta, target })),
            // The file was deleted meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

fn object(entry: Entry) -> ObjectMeta {
    let last_modified = entry.meta.modified().unwrap_or(UNIX_EPOCH).into();
    ObjectMeta { location: entry.key, last_modified, size: entry.meta.len(), e_tag: None, version: None }
}

/// Whether a name is that of a temporary file of an upload: `NAME#1` and so on.
pub(super) fn is_upload(name: &str) -> bool {
    name.rsplit_once('#').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
}

/// Time of the last change in a folder, the folder itself included, in milliseconds since 1970. Follows no links.
pub(super) fn last_change_ms(dir: &FsPath) -> io::Result<i64> {
    let meta = fs::symlink_metadata(dir)?;
    let mut last = changed_ms(&meta);
    if meta.is_dir() {
        for entry in fs::read_dir(dir)? {
            match last_change_ms(&entry?.path()) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                result => last = last.max(result.unwrap_or(last)),
            }
        }
    }
    Ok(last)
}

/// Deletes temporary files of killed uploads in the folders of blocks and leases that have not changed since
/// `before_ms`, and folders of blocks that had been empty since then, as a deletion leaves one that was killed before its
/// last step. Returns how many files.
pub(super) fn delete_leftovers(root: &FsPath, before_ms: i64) -> io::Result<u64> {
    let mut deleted = 0;
    for entry in read_if_there(root)? {
        let name = entry.file_name();
        let is_block = name.to_str().is_some_and(|name| name.parse::<BlockId>().is_ok());
        if (is_block || name == "leases") && entry.file_type()?.is_dir() {
            let is_old = is_block && is_older(&entry, before_ms);
            deleted += delete_leftovers_in(&entry.path(), before_ms)?;
            if is_old {
                remove_if_empty(&entry.path())?;
            }
        }
    }
    Ok(deleted)
}

fn delete_leftovers_in(dir: &FsPath, before_ms: i64) -> io::Result<u64> {
    let mut deleted = 0;
    for entry in read_if_there(dir)? {
        let (path, kind, is_old) = (entry.path(), entry.file_type()?, is_older(&entry, before_ms));
        if kind.is_dir() {
            deleted += delete_leftovers_in(&path, before_ms)?;
            if is_old {
                remove_if_empty(&path)?;
            }
        } else if kind.is_file() && entry.file_name().to_str().is_some_and(is_upload) {
            deleted += u64::from(is_old && fs::remove_file(path).is_ok());
        }
    }
    Ok(deleted)
}

fn is_older(entry: &DirEntry, before_ms: i64) -> bool {
    entry.metadata().is_ok_and(|meta| changed_ms(&meta) < before_ms)
}

fn remove_if_empty(dir: &FsPath) -> io::Result<()> {
    match fs::remove_dir(dir) {
        Err(error) if !matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::NotFound) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

fn read_if_there(dir: &FsPath) -> io::Result<Vec<DirEntry>> {
    match fs::read_dir(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        entries => entries?.collect(),
    }
}

fn changed_ms(meta: &Metadata) -> i64 {
    let since = |time: SystemTime| time.duration_since(UNIX_EPOCH).ok();
    let age = meta.modified().ok().and_then(since).unwrap_or_default();
    i64::try_from(age.as_millis()).unwrap_or(i64::MAX)
}
