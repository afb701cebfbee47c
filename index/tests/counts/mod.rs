//! The health check of a whole index, for the tests that need it.

use tithon_chunks::TimeRange;
use tithon_index::{HealthCheck, IndexError, IndexHealth, IndexReader, SeriesDecoder, SeriesEntry};

/// The counts of all series; the times are those of the block's meta.json, in milliseconds.
pub(crate) fn health(index: &IndexReader, min_time: i64, max_time: i64) -> Result<IndexHealth, IndexError> {
    let (mut entry, mut decoder) = (SeriesEntry::default(), SeriesDecoder::new(index.header()));
    let mut check = HealthCheck::new(index.header().version(), min_time, max_time);
    for series in index.postings(&[], 0)?.iter() {
        index.series(series, TimeRange::ALL, &mut entry)?;
        check.add(index.header().series_offset(series), decoder.pairs(&entry)?, &entry.chunks)?;
    }
    Ok(check.finish())
}
