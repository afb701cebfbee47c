//! A file of a bucket's directory while it is written.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::PathBuf;

use object_store::Result;
use object_store::path::Path;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::{Directory, failed, make_durably, sync_dir};

/// Bytes after which the system is told to begin writing to disk, so that little is left to wait for at the end.
const SYNC_BYTES: u64 = 32 << 20;

/// Has the name of an upload under way until it is whole and on disk.
pub(crate) struct NewFile {
    file: File,
    unfinished: PathBuf,
    path: PathBuf,
    runtime: Handle,
    bytes: u64,
    synced: u64,
    /// Puts on disk what was written so far.
    sync: Option<JoinHandle<io::Result<()>>>,
}

impl Directory {
    /// Begins the file of an object that is not there yet; it is put on disk in the background by `runtime`.
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
    /// Makes the file whole: on disk, and under its name.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.join_sync()?;
        self.file.sync_all()?;
        fs::rename(&self.unfinished, &self.path)?;
        self.path.parent().map_or(Ok(()), sync_dir)
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

    /// Waits for what is under way. The system tells an open file of a failed write once, so that each answer counts.
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
        // A file that was finished has another name by now. What cannot be removed goes with other leftovers later.
        let _ = fs::remove_file(&self.unfinished);
    }
}
