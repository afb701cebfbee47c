//! A file in a bucket's directory that is being written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path as FsPath, PathBuf};

use object_store::Result;
use object_store::path::Path;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{Directory, failed, make_durably, sync_dir};

/// Number of bytes after which a sync to disk begins in the background, so that little is left to sync at the end.
const SYNC_BYTES: u64 = 32 << 20;

/// Has a temporary name until it is complete.
pub(crate) struct NewFile {
    file: File,
    unfinished: PathBuf,
    path: PathBuf,
    runtime: Handle,
    bytes: u64,
    synced: u64,
    /// The background sync of what was written so far.
    sync: Option<JoinHandle<io::Result<()>>>,
}

impl Directory {
    /// Begins the file of a new object; `runtime` runs its syncs in the background.
    pub(crate) fn new_file(&self, key: &Path, runtime: Handle) -> Result<NewFile> {
        let path = self.path(key);
        let begin = || {
            path.parent().map_or(Ok(()), make_durably)?;
            let mut unfinished = path.clone().into_os_string();
            unfinished.push("#1");
            let unfinished = PathBuf::from(unfinished);
            Ok((File::create_new(&unfinished)?, unfinished))
        };
        let (file, unfinished) = begin().map_err(|error: io::Error| failed(&path, error))?;
        Ok(NewFile { file, unfinished, path, runtime, bytes: 0, synced: 0, sync: None })
    }
}

impl NewFile {
    /// Gives the file its name. The task that it returns ends when file and name are on disk.
    pub(crate) fn finish(mut self) -> io::Result<JoinHandle<Result<()>>> {
        fs::rename(&self.unfinished, &self.path)?;
        let (begun, file, path) = (self.sync.take(), self.file.try_clone()?, self.path.clone());
        let folder = path.parent().map(FsPath::to_owned);
        let sync = async move {
            if let Some(begun) = begun {
                begun.await??;
            }
            let rest = move || {
                file.sync_all()?;
                folder.as_deref().map_or(Ok(()), sync_dir)
            };
            tokio::task::spawn_blocking(rest).await?
        };
        Ok(self.runtime.spawn(async move { sync.await.map_err(|error: io::Error| failed(&path, error)) }))
    }

    fn sync_in_background(&mut self) -> io::Result<()> {
        let is_under_way = self.sync.as_ref().is_some_and(|sync| !sync.is_finished());
        if is_under_way || self.bytes - self.synced < SYNC_BYTES {
            return Ok(());
        }
        self.join_sync()?;
        let file = self.file.try_clone()?;
        self.synced = self.bytes;
        self.sync = Some(self.runtime.spawn_blocking(move || file.sync_data()));
        Ok(())
    }

    /// Waits for the background sync. The system reports a failed write to an open file only once, so no result may be
    /// lost.
    fn join_sync(&mut self) -> io::Result<()> {
        self.sync.take().map_or(Ok(()), |sync| self.runtime.block_on(sync).map_err(io::Error::other)?)
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        self.sync_in_background()?;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // A finished file has another name by now. If removing fails, the leftover is deleted later.
        let _ = fs::remove_file(&self.unfinished);
    }
}
