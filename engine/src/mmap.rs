//! Files mapped into memory: the engine's only unsafe code.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::path::Path;

use bytes::Bytes;

/// Maps a whole file of a published block, or another that is never written again; slices of the result keep the map
/// alive.
///
/// Fails as opening does, and with `InvalidInput` on something that is no plain file.
pub fn map(path: &Path) -> io::Result<Bytes> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a plain file"));
    }
    if metadata.len() == 0 {
        return Ok(Bytes::new());
    }
    // SAFETY: files of a published block are never written again, neither by us nor by Prometheus or Thanos: a
    // block is published by renaming its directory and removed by unlinking, which leaves the mapped pages be. Other
    // files that are mapped, cached headers, are published by renaming them.
    let map = unsafe { memmap2::Mmap::map(&file) }?;
    Ok(Bytes::from_owner(map))
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
        let bytes = map(&path).unwrap().slice(1..);
        assert_eq!(bytes, b"bc".as_slice());
        assert_eq!(map(&dir.path().join("g")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(map(dir.path()).is_err());
    }
}
