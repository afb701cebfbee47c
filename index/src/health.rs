//! Everything that can be wrong with the series of an index, counted in one pass.
//!
//! Source: thanos `pkg/block/index.go`, which decides on these counts what may be compacted.

use tithon_chunks::ChunkMeta;

use crate::IndexError;

/// Counts of an index's series, its faults, and estimates of sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IndexHealth {
    /// Series.
    pub series: u64,
    /// Chunks.
    pub chunks: u64,
    /// Chunks not wholly inside the block's range.
    pub outside_chunks: u64,
    /// Chunks wholly outside of it.
    pub complete_outside_chunks: u64,
    /// Chunks that begin where the block ends: Prometheus made them once (tsdb issue 347).
    pub issue_347_outside_chunks: u64,
    /// Chunks with the range of the chunk before them.
    pub duplicated_chunks: u64,
    /// Other chunks that begin before the chunk before them ends.
    pub out_of_order_chunks: u64,
    /// Series with such chunks.
    pub out_of_order_series: u64,
    /// Series whose label names do not ascend.
    pub out_of_order_labels: u64,
    /// Largest distance between two entries, in bytes; the last entry is not measured. `None` when
    /// there was nothing to measure, and for version 1.
    pub series_max_size: Option<u64>,
    /// Largest distance between two chunks of a series in one segment, in bytes, but for its last two;
    /// `None` when there was nothing to measure.
    pub chunk_max_size: Option<u64>,
}

/// Counts the series of an index, handed over one after the other in the order of the index. Labels are pairs of strings, or of
/// anything that is ordered as the strings are.
#[derive(Debug)]
pub struct HealthCheck<L> {
    health: IndexHealth,
    range: (i64, i64),
    version: u8,
    /// Labels of the series before.
    last: Vec<(L, L)>,
    /// Where its entry begins.
    last_offset: Option<u64>,
}

impl<L: Copy + Ord> HealthCheck<L> {
    /// A check of an index of this version. `min_time` and `max_time` are those of the block's meta.json, in
    /// milliseconds.
    pub fn new(version: u8, min_time: i64, max_time: i64) -> HealthCheck<L> {
        let (health, range) = (IndexHealth::default(), (min_time, max_time));
        HealthCheck { health, range, version, last: Vec::new(), last_offset: None }
    }

    /// Counts the series whose entry begins at `offset` of the index.
    ///
    /// Fails on an empty label set, on labels that do not come after those of the series before, and on a series
    /// without chunks: such an index cannot be walked any further by upstream.
    pub fn add(&mut self, offset: u64, labels: &[(L, L)], chunks: &[ChunkMeta]) -> Result<(), IndexError> {
        let invalid = |what, found, expected| IndexError::Invalid { what, offset, found, expected };
        if labels.is_empty() {
            return Err(invalid("label count", 0, "at least one label"));
        }
        let last_offset = self.last_offset.replace(offset);
        if last_offset.is_some() && self.last.as_slice() >= labels {
            return Err(invalid("order of series", self.health.series, "label sets that ascend"));
        }
        if chunks.is_empty() {
            return Err(invalid("chunk count", 0, "at least one chunk"));
        }
        self.health.series += 1;
        self.health.out_of_order_labels += u64::from(!labels.is_sorted_by(|a, b| a.0 < b.0));
        self.health.count_chunks(chunks, self.range.0, self.range.1);
        if let Some(last_offset) = last_offset.filter(|_| self.version > 1) {
            let size = offset.saturating_sub(last_offset);
            self.health.series_max_size = self.health.series_max_size.max(Some(size));
        }
        self.last.clear();
        self.last.extend_from_slice(labels);
        Ok(())
    }

    /// What was counted.
    pub fn finish(self) -> IndexHealth {
        self.health
    }
}

impl IndexHealth {
    /// Counts the chunks of one series; the times are those of the block's meta.json.
    pub fn count_chunks(&mut self, chunks: &[ChunkMeta], min_time: i64, max_time: i64) {
        self.chunks += chunks.len() as u64;
        let mut out_of_order = 0;
        for (i, chunk) in chunks.iter().enumerate() {
            let (min, max) = (chunk.min_time.0, chunk.max_time.0);
            if min < min_time || max > max_time {
                self.outside_chunks += 1;
                if min > max_time || max < min_time {
                    self.complete_outside_chunks += 1;
                } else if min == max_time {
                    self.issue_347_outside_chunks += 1;
                }
            }
            let Some(before) = i.checked_sub(1).and_then(|i| chunks.get(i)) else { continue };
            if chunk.min_time <= before.max_time {
                if chunk.range() == before.range() {
                    self.duplicated_chunks += 1;
                } else {
                    out_of_order += 1;
                }
            }
        }
        self.out_of_order_chunks += out_of_order;
        self.out_of_order_series += u64::from(out_of_order > 0);
        for pair in chunks[..chunks.len().saturating_sub(1)].windows(2) {
            if pair[0].chunk_ref.segment() == pair[1].chunk_ref.segment() {
                let size = pair[1].chunk_ref.offset().saturating_sub(pair[0].chunk_ref.offset());
                self.chunk_max_size = self.chunk_max_size.max(Some(u64::from(size)));
            }
        }
    }

    /// Whether chunks lie outside the block in a way that no known fault of a writer explains: nothing may be made from
    /// such a block.
    pub fn is_critical(&self) -> bool {
        let explained = self.complete_outside_chunks + self.issue_347_outside_chunks;
        self.outside_chunks > explained || self.complete_outside_chunks > 0
    }

    /// What is wrong, but for duplicated chunks, which do no harm; `None` where nothing is.
    pub fn faults(&self) -> Option<String> {
        let explained = self.complete_outside_chunks + self.issue_347_outside_chunks;
        let faults = [
            (
                self.outside_chunks - explained.min(self.outside_chunks),
                "chunks reach out of the block's time",
            ),
            (self.complete_outside_chunks, "chunks lie wholly outside the block's time"),
            (self.issue_347_outside_chunks, "chunks begin where the block ends (Prometheus tsdb issue 347)"),
            (self.out_of_order_labels, "series have labels out of order"),
            (self.out_of_order_chunks, "chunks begin before the one before them ends"),
        ];
        let found: Vec<String> =
            faults.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        (!found.is_empty()).then(|| found.join(", "))
    }

    /// Whether anything is wrong but duplicated chunks.
    pub fn is_faulty(&self) -> bool {
        self.is_critical()
            || self.issue_347_outside_chunks > 0
            || self.out_of_order_labels > 0
            || self.out_of_order_chunks > 0
    }
}
