//! Files mapped into memory: the engine's only unsafe code.
#![allow(unsafe_code)]

mod guard;

use std::fs::{File, Metadata};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use memmap2::{Mmap, UncheckedAdvice};

use self::guard::Guard;

/// A mapped file. Clones share the map.
///
/// Other programs can change the file. When somebody truncates it, reads behind its end return zeros, and
/// [`MappedFile::is_intact`] returns false: ask it before a result made from the bytes is used.
#[derive(Clone, Debug, Default)]
pub struct MappedFile {
    bytes: Bytes,
    mapped: Option<Arc<Mapped>>,
}

/// The guard is dropped before the map.
#[derive(Debug)]
struct Mapped {
    guard: Guard,
    map: Mmap,
    /// The last bytes of the file when it was opened: if the file is cut inside its last page, they read as zeros.
    tail: [u8; TAIL],
    was_read: AtomicBool,
}

const TAIL: usize = 8;

struct Owner(Arc<Mapped>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0.map
    }
}

/// The identity of a file: its inode, size and time of the last change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileStamp {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
}

impl FileStamp {
    /// The stamp of the file at `path`; `None` when there is none.
    pub(crate) fn of(path: &Path) -> Option<FileStamp> {
        std::fs::metadata(path).ok().map(|metadata| FileStamp::from(&metadata))
    }
}

impl From<&Metadata> for FileStamp {
    fn from(metadata: &Metadata) -> FileStamp {
        FileStamp {
            inode: (metadata.dev(), metadata.ino()),
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        }
    }
}

impl MappedFile {
    /// Maps a whole file. Fails when the file cannot be opened, and with `InvalidInput` if it is not a plain file.
    pub fn open(path: &Path) -> io::Result<MappedFile> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
        }
        if metadata.len() == 0 {
            return Ok(MappedFile::default());
        }
        // SAFETY: a published block is never written again by Prometheus, Thanos or us: it is published by renaming its
        // directory and removed by unlinking, which leaves the mapped pages be. Should somebody else truncate the file,
        // the guard keeps the process alive, and readers discard what they read (`is_intact`).
        let map = unsafe { Mmap::map(&file) }?;
        let guard = Guard::new(map.as_ptr() as usize, map.len());
        let mut mapped = Mapped { guard, map, tail: [0; TAIL], was_read: AtomicBool::new(false) };
        mapped.tail = mapped.last_bytes();
        let mapped = Arc::new(mapped);
        Ok(MappedFile { bytes: Bytes::from_owner(Owner(Arc::clone(&mapped))), mapped: Some(mapped) })
    }

    /// All bytes of the file; slices keep the map alive.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether all bytes read so far were bytes of the file as it was opened. Costs a read of the file's last bytes.
    pub fn is_intact(&self) -> bool {
        self.mapped.as_ref().is_none_or(|mapped| mapped.is_intact())
    }

    /// Whether these bytes lie in the map.
    pub(crate) fn holds(&self, bytes: &[u8]) -> bool {
        let (ours, theirs) = (self.bytes.as_ptr_range(), bytes.as_ptr_range());
        ours.start <= theirs.start && theirs.end <= ours.end && !bytes.is_empty()
    }

    /// Notes that the file was read from.
    pub(crate) fn set_read(&self) {
        if let Some(mapped) = self.mapped.as_ref().filter(|mapped| !mapped.was_read.load(Ordering::Relaxed)) {
            mapped.was_read.store(true, Ordering::Relaxed);
        }
    }

    /// Whether [`MappedFile::set_read`] was called.
    pub(crate) fn was_read(&self) -> bool {
        self.mapped.as_ref().is_some_and(|mapped| mapped.was_read.load(Ordering::Relaxed))
    }

    /// Tells the system that these bytes are not needed for now; a later read gets them from the file again.
    pub(crate) fn release(&self, range: Range<usize>) {
        let map = self.mapped.as_ref().map(|mapped| &mapped.map);
        let Some(map) = map.filter(|map| range.start < range.end && range.end <= map.len()) else {
            return;
        };
        // SAFETY: the map is read-only, of a file or of zeros: dropped pages are filled with the same bytes when they are
        // touched again.
        let advised =
            unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
        // The call is a hint: a system that ignores it keeps the pages longer.
        drop(advised);
    }
}

impl Mapped {
    fn is_intact(&self) -> bool {
        if self.guard.is_broken() {
            return false;
        }
        if self.last_bytes() != self.tail {
            self.guard.set_broken();
        }
        // Reading the last bytes may itself find the file truncated.
        !self.guard.is_broken()
    }

    fn last_bytes(&self) -> [u8; TAIL] {
        let mut tail = [0; TAIL];
        let skipped = self.map.len().saturating_sub(TAIL);
        for (i, byte) in tail.iter_mut().take(self.map.len() - skipped).enumerate() {
            // SAFETY: inside the map. Volatile, because the file may have changed since the bytes were last read.
            *byte = unsafe { self.map.as_ptr().add(skipped + i).read_volatile() };
        }
        tail
    }
}

#[cfg(test)]
mod tests;
