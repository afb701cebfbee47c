//! Files mapped into memory: the engine's only unsafe code.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use memmap2::{Mmap, UncheckedAdvice};

/// A mapped file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Map {
    /// All of it; slices keep the map alive.
    pub(crate) bytes: Bytes,
    map: Option<Arc<Mmap>>,
}

struct Owner(Arc<Mmap>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Map {
    /// Maps as [`map`] does.
    pub(crate) fn open(path: &Path) -> io::Result<Map> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
        }
        if metadata.len() == 0 {
            return Ok(Map::default());
        }
        // SAFETY: files of a published block are never written again, neither by us nor by Prometheus or Thanos: a
        // block is published by renaming its directory and removed by unlinking, which leaves the mapped pages be.
        let map = Arc::new(unsafe { Mmap::map(&file) }?);
        Ok(Map { bytes: Bytes::from_owner(Owner(Arc::clone(&map))), map: Some(map) })
    }

    /// Tells the system that these bytes are not needed for now; what is read of them later comes from the file again.
    pub(crate) fn release(&self, range: Range<usize>) {
        let Some(map) = self.map.as_ref().filter(|map| range.start < range.end && range.end <= map.len())
        else {
            return;
        };
        // SAFETY: the map is shared, read-only and of a file: dropped pages are filled with the same bytes when they
        // are touched again.
        let advised =
            unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, range.start, range.len()) };
        // It is a hint: a system that does not take it keeps the pages longer.
        drop(advised);
    }
}

/// Maps a whole file of a published block, or another that is never written again; slices of the result keep the map
/// alive.
///
/// Fails as opening does, and with `InvalidInput` on something that is no plain file.
pub fn map(path: &Path) -> io::Result<Bytes> {
    Map::open(path).map(|map| map.bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_full_missing_and_directory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, b"").unwrap();
        assert_eq!(map(&path).unwrap(), Bytes::new());
        std::fs::write(&path, b"abc").unwrap();
        let mapped = Map::open(&path).unwrap();
        let bytes = mapped.bytes.slice(1..);
        mapped.release(0..3);
        mapped.release(2..9);
        drop(mapped);
        assert_eq!(bytes, b"bc".as_slice());
        assert_eq!(map(&dir.path().join("g")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(map(dir.path()).is_err());
    }
}
