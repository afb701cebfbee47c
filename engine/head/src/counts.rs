//! What is counted in a head.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use crate::series::MemSeries;

/// What is counted, since the head was opened.
#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) min_time: AtomicI64,
    pub(crate) max_time: AtomicI64,
    pub(crate) chunks: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) floats: AtomicU64,
    pub(crate) histograms: AtomicU64,
    pub(crate) out_of_order: AtomicU64,
    pub(crate) out_of_bounds: AtomicU64,
    pub(crate) duplicates: AtomicU64,
    pub(crate) series_created: AtomicU64,
    pub(crate) series_removed: AtomicU64,
    pub(crate) chunks_created: AtomicU64,
    pub(crate) chunks_removed: AtomicU64,
}

/// What a head tells of itself; counts are since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeadStats {
    /// Series in memory.
    pub series: u64,
    /// Chunks in memory.
    pub chunks: u64,
    /// About how many bytes series and complete chunks take.
    pub bytes: u64,
    /// The first time that samples may have; `None` before the first sample.
    pub min_time: Option<i64>,
    /// The time of the newest sample; `None` before the first sample.
    pub max_time: Option<i64>,
    /// Floats appended.
    pub floats: u64,
    /// Histograms appended.
    pub histograms: u64,
    /// Samples refused because they are not newer than one of their series.
    pub out_of_order: u64,
    /// Samples refused because the head has moved on.
    pub out_of_bounds: u64,
    /// Samples refused because their series has another value at that time.
    pub duplicates: u64,
    /// Series made.
    pub series_created: u64,
    /// Series removed, as none of their samples is left.
    pub series_removed: u64,
    /// Chunks begun.
    pub chunks_created: u64,
    /// Chunks removed.
    pub chunks_removed: u64,
    /// The number of the log's open segment.
    pub wal_segment: u64,
}

/// Bytes that a series takes beside its labels, about: its state, its places in lists, an open chunk.
const SERIES_BYTES: usize = 700;
/// Bytes that a complete chunk takes beside its data.
pub(crate) const CHUNK_BYTES: usize = 72;

pub(crate) fn series_bytes(series: &MemSeries) -> u64 {
    (SERIES_BYTES + 2 * series.labels.bytes()) as u64
}

impl Default for Counts {
    fn default() -> Counts {
        Counts {
            min_time: AtomicI64::new(i64::MAX),
            max_time: AtomicI64::new(i64::MIN),
            chunks: AtomicU64::default(),
            bytes: AtomicU64::default(),
            floats: AtomicU64::default(),
            histograms: AtomicU64::default(),
            out_of_order: AtomicU64::default(),
            out_of_bounds: AtomicU64::default(),
            duplicates: AtomicU64::default(),
            series_created: AtomicU64::default(),
            series_removed: AtomicU64::default(),
            chunks_created: AtomicU64::default(),
            chunks_removed: AtomicU64::default(),
        }
    }
}

impl Counts {
    /// Counts a series.
    pub(crate) fn add_series(&self, series: &MemSeries) {
        self.bytes.fetch_add(series_bytes(series), Ordering::Relaxed);
    }

    /// Counts a sample that went into a series, whose chunks were `before` and are `after`; `completed` are the bytes of the chunk
    /// that it completed.
    pub(crate) fn add_sample(&self, t: i64, before: usize, after: usize, completed: usize) {
        self.min_time.fetch_min(t, Ordering::Relaxed);
        self.max_time.fetch_max(t, Ordering::Relaxed);
        if after > before {
            self.chunks.fetch_add((after - before) as u64, Ordering::Relaxed);
            self.chunks_created.fetch_add((after - before) as u64, Ordering::Relaxed);
        }
        if completed > 0 {
            self.bytes.fetch_add((completed + CHUNK_BYTES) as u64, Ordering::Relaxed);
        }
    }
}
