//! The counts of an index by which Thanos decides whether a block may be processed.

use std::sync::Arc;

use tithon_index::{HealthCheck, IndexHealth, SeriesDecoder, SeriesEntry};

use crate::entries::walk;
use crate::input::InputBlock;
use crate::{BlockError, BlockId};

/// Walks the index of a block and counts its series and their faults; calls `each` with every entry.
///
/// Fails at the first entry that cannot be read, and as [`HealthCheck::add`] does.
pub fn index_health(
    source: InputBlock<'_>,
    mut each: impl FnMut(&SeriesEntry),
) -> Result<IndexHealth, BlockError> {
    let (block, header): (BlockId, _) = (source.meta.ulid, Arc::clone(&source.header));
    let mut decoder = SeriesDecoder::new(&header);
    let mut check = HealthCheck::new(header.version(), source.meta.min_time, source.meta.max_time);
    walk(source, |id, entry| {
        let entry = entry?;
        let labels = decoder.pairs(entry).map_err(BlockError::index(block))?;
        check.add(header.series_offset(id), labels, &entry.chunks).map_err(BlockError::index(block))?;
        each(entry);
        Ok::<_, BlockError>(())
    })?;
    Ok(check.finish())
}
