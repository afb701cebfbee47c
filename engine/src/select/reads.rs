//! How many bytes a selection reads, and how many of them it needs.

use std::ops::AddAssign;

/// Bytes of one kind of data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadBytes {
    /// Bytes that were handed in.
    pub fetched: u64,
    /// Bytes of the records among them that were looked for.
    pub touched: u64,
}

/// The bytes of a selection by what they hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Lists of series. All of a list is looked at.
    pub postings: ReadBytes,
    /// Series entries.
    pub series: ReadBytes,
    /// Chunks with their lengths and checksums.
    pub chunks: ReadBytes,
}

impl AddAssign for ReadBytes {
    fn add_assign(&mut self, other: ReadBytes) {
        self.fetched += other.fetched;
        self.touched += other.touched;
    }
}

impl AddAssign for Reads {
    fn add_assign(&mut self, other: Reads) {
        self.postings += other.postings;
        self.series += other.series;
        self.chunks += other.chunks;
    }
}
