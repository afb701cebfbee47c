//! A bucket in a directory. A finished write is on disk, and listing and deleting never follow symbolic links out of
//! the directory.

mod folders;
mod new_file;
mod unfinished;
mod walk;

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt, PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tithon_engine::BlockId;

pub(crate) use self::new_file::NewFile;

/// The store of a FILESYSTEM bucket. [`LocalFileSystem`] reads and writes files, and syncs each file and folder that it
/// changes. Listing and deleting are implemented here, since there they follow every link.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    files: OnceLock<LocalFileSystem>,
    /// Links that were already warned of.
    warned: Mutex<HashSet<PathBuf>>,
}

impl Directory {
    /// The store below `root`. The directory need not exist; until the first write the store is empty.
    pub(crate) fn new(root: PathBuf) -> Directory {
        Directory { inner: Arc::new(Inner { root, files: OnceLock::new(), warned: Mutex::default() }) }
    }

    fn root(&self) -> &FsPath {
        &self.inner.root
    }

    /// The store of files; fails with not found while the directory does not exist.
    fn files(&self) -> Result<&LocalFileSystem> {
        if let Some(files) = self.inner.files.get() {
            return Ok(files);
        }
        let root = self.root();
        fs::metadata(root).map_err(|error| failed(root, error))?;
        let files = LocalFileSystem::new_with_prefix(root)?.with_fsync(true);
        Ok(self.inner.files.get_or_init(|| files))
    }

    /// The store of files; creates the directory if needed.
    fn files_to_write(&self) -> Result<&LocalFileSystem> {
        if self.inner.files.get().is_none() {
            make_durably(self.root()).map_err(|error| failed(self.root(), error))?;
        }
        self.files()
    }

    fn path(&self, key: &Path) -> PathBuf {
        key.parts().fold(self.inner.root.clone(), |dir, part| dir.join(part.as_ref()))
    }

    /// Whether a folder on the way to `path` is a symbolic link.
    fn is_behind_link(&self, path: &FsPath) -> bool {
        let folders = path.ancestors().skip(1).take_while(|folder| *folder != self.root());
        folders.into_iter().any(|folder| fs::symlink_metadata(folder).is_ok_and(|meta| meta.is_symlink()))
    }

    /// Deletes a file, or a link of that name, and folders that become empty. A file behind a link counts as not found.
    fn delete_file(&self, key: &Path) -> Result<()> {
        let path = self.path(key);
        if self.is_behind_link(&path) {
            return Err(failed(
                &path,
                io::Error::new(ErrorKind::NotFound, "a folder on the way is a symbolic link"),
            ));
        }
        fs::remove_file(&path).map_err(|error| failed(&path, error))?;
        // The order of deletions tells readers which blocks are whole, so a deleted file must not come back after a
        // crash.
        path.parent().map_or(Ok(()), sync_dir).map_err(|error| failed(&path, error))?;
        let mut folder = path.parent();
        while let Some(empty) = folder.filter(|dir| *dir != self.root() && fs::remove_dir(dir).is_ok()) {
            folder = empty.parent();
        }
        Ok(())
    }

    /// Deletes what is left in a block's folder after its objects, except the file `kept`: links, temporary files of
    /// killed uploads, folders. If the folder itself is a link, the link is removed.
    pub(crate) async fn delete_rest(&self, block: BlockId, kept: &'static str) -> Result<()> {
        let dir = self.root().join(block.to_string());
        blocking(move || {
            let removed = match fs::symlink_metadata(&dir) {
                Ok(meta) if meta.is_symlink() => fs::remove_file(&dir),
                Ok(_) => remove_all_but(&dir, kept),
                Err(error) => Err(error),
            };
            match removed {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&dir, error)),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Time of the last change in a block's folder, including temporary files of uploads, in milliseconds since 1970.
    pub(crate) async fn last_change_ms(&self, block: BlockId) -> Result<Option<i64>> {
        let dir = self.root().join(block.to_string());
        blocking(move || match walk::last_change_ms(&dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            result => result.map(Some).map_err(|error| failed(&dir, error)),
        })
        .await
    }

    /// Deletes temporary files of killed uploads in the folders of blocks that have not changed since `before_ms`.
    /// Returns how many.
    pub(crate) async fn delete_leftovers(&self, before_ms: i64) -> Result<u64> {
        let root = self.root().to_owned();
        blocking(move || walk::delete_leftovers(&root, before_ms).map_err(|error| failed(&root, error))).await
    }

    /// Replaces a file if it has this tag. Processes that replace files in a folder take turns by a lock on the folder,
    /// which ends with its process.
    async fn replace(&self, key: &Path, payload: PutPayload, e_tag: Option<String>) -> Result<PutResult> {
        let files = self.files_to_write()?;
        let path = self.path(key);
        let folder = path.parent().unwrap_or(self.root()).to_owned();
        let lock = blocking(move || {
            let lock = File::open(&folder).and_then(|folder| folder.lock().map(|()| folder));
            lock.map_err(|error| failed(&folder, error))
        });
        let _lock = lock.await?;
        let found = files.head(key).await?.e_tag;
        if found != e_tag {
            let what = format!("found tag {found:?}, expected {e_tag:?}");
            return Err(Error::Precondition { path: key.to_string(), source: what.into() });
        }
        files.put_opts(key, payload, PutOptions::default()).await
    }

    /// The target of a link; `None` if it is missing or outside the bucket.
    fn target(&self, link: &FsPath) -> io::Result<Option<PathBuf>> {
        let target = match fs::canonicalize(link) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            result => result?,
        };
        if target.starts_with(fs::canonicalize(self.root())?) {
            return Ok(Some(target));
        }
        let mut warned = self.inner.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.insert(link.to_owned()) {
            let (link, target) = (link.display(), target.display());
            tracing::warn!(%link, %target, "a symbolic link leads out of the bucket and is ignored");
        }
        Ok(None)
    }
}

impl fmt::Display for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "directory {}", self.root().display())
    }
}

#[async_trait]
impl ObjectStore for Directory {
    async fn put_opts(&self, key: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        match &options.mode {
            PutMode::Update(version) => self.replace(key, payload, version.e_tag.clone()).await,
            _ => self.files_to_write()?.put_opts(key, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        key: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.files_to_write()?.put_multipart_opts(key, options).await
    }

    async fn get_opts(&self, key: &Path, options: GetOptions) -> Result<GetResult> {
        self.files()?.get_opts(key, options).await
    }

    async fn get_ranges(&self, key: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.files()?.get_ranges(key, ranges).await
    }

    fn delete_stream(&self, keys: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let directory = self.clone();
        let delete = move |key: Path| {
            let directory = directory.clone();
            blocking(move || directory.delete_file(&key).map(|()| key))
        };
        keys.and_then(delete).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (directory, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        let listed = blocking(move || directory.objects_below(&prefix));
        stream::once(listed).map_ok(|objects| stream::iter(objects).map(Ok)).try_flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let (directory, prefix) = (self.clone(), prefix.cloned().unwrap_or_default());
        blocking(move || directory.entries_of(&prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.files()?.copy_opts(from, to, options).await
    }
}

/// Runs file operations on a blocking thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await?
}

fn failed(path: &FsPath, error: io::Error) -> Error {
    let path = path.display().to_string();
    match error.kind() {
        ErrorKind::NotFound => Error::NotFound { path, source: error.into() },
        _ => Error::Generic { store: "directory", source: format!("{path}: {error}").into() },
    }
}

/// Creates a directory and its missing ancestors, and syncs them to disk.
fn make_durably(dir: &FsPath) -> io::Result<()> {
    let missing: Vec<&FsPath> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    fs::create_dir_all(dir)?;
    missing.iter().filter_map(|dir| dir.parent()).try_for_each(sync_dir)
}

/// Syncs the entries of a directory to disk.
fn sync_dir(dir: &FsPath) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Removes all entries of a directory but one, and the directory itself if it becomes empty. Follows no links.
fn remove_all_but(dir: &FsPath, kept: &str) -> io::Result<()> {
    let mut is_empty = true;
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name() == kept && !entry.file_type()?.is_dir() {
            is_empty = false;
        } else if entry.file_type()?.is_dir() {
            fs::remove_dir_all(entry.path())?;
        } else {
            fs::remove_file(entry.path())?;
        }
    }
    if is_empty { fs::remove_dir(dir) } else { sync_dir(dir) }
}
