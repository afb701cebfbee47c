//! The files of a block and ranges in them.

use std::fmt;

/// A file whose bytes a selection may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum BlockFile {
    /// `index`
    Index,
    /// A file of `chunks/`, by its place in the sorted listing, from 0.
    Segment(u32),
}

/// The path inside the block; a segment by the name that every writer gives it.
impl fmt::Display for BlockFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BlockFile::Index => f.write_str("index"),
            BlockFile::Segment(i) => write!(f, "chunks/{:06}", u64::from(*i) + 1),
        }
    }
}

/// A range of bytes that a selection asks for.
///
/// The answer to a range is its bytes, or fewer when the file ends before the range does: lengths are not stored with
/// references, so some ranges are estimates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileRange {
    /// The file.
    pub file: BlockFile,
    /// Offset of the first byte.
    pub start: u64,
    /// Number of bytes.
    pub len: u64,
}

impl FileRange {
    /// Offset of the first byte after the range.
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.len)
    }
}
