//! A file in a bucket's directory that is being written.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
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
            create_unfinished(&path)
        };
        let (file, unfinished) = begin().map_err(|error: io::Error| failed(&path, error))?;
        Ok(NewFile { file, unfinished, path, runtime, bytes: 0, synced: 0, sync: None })
    }

    /// Copies a file from outside of the bucket into it. The copy appears when it is complete and on disk.
    ///
    /// Must run on a blocking thread.
    pub(crate) fn copy_in(&self, source: &FsPath, key: &Path, runtime: Handle) -> Result<()> {
        let from = File::open(source).map_err(|error| failed(source, error))?;
        let mut new = self.new_file(key, runtime)?;
        let path = new.path.clone();
        new.append(&from).and_then(|()| new.finish()).map_err(|error| failed(&path, error))
    }
}

/// Creates the file of the first free temporary name: `NAME#1`, `NAME#2` and so on.
fn create_unfinished(path: &FsPath) -> io::Result<(File, PathBuf)> {
    let mut n = 1_u64;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("#{n}"));
        let unfinished = PathBuf::from(name);
        match File::create_new(&unfinished) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => n += 1,
            created => return Ok((created?, unfinished)),
        }
    }
}

impl NewFile {
    /// Appends what is left to read of another file. The system copies the bytes where it can.
    fn append(&mut self, from: &File) -> io::Result<()> {
        loop {
            let copied = io::copy(&mut from.take(SYNC_BYTES), &mut &self.file)?;
            if copied == 0 {
                return Ok(());
            }
            self.bytes += copied;
            self.sync_in_background()?;
        }
    }

    /// Syncs the file to disk and gives it its name.
    fn finish(mut self) -> io::Result<()> {
        self.join_sync()?;
        self.file.sync_all()?;
        fs::rename(&self.unfinished, &self.path)?;
        self.path.parent().map_or(Ok(()), sync_dir)
    }

    /// Gives the file its name before it is on disk. The task that it returns ends when file and name are.
    pub(crate) fn finish_later(mut self) -> io::Result<JoinHandle<Result<()>>> {
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
