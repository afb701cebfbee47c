//! Whole series on the wire.

use std::cmp::Ordering;

use tithon_chunks::{Aggregate, EncodedChunk};
use tithon_engine::SelectedSeries;
use tithon_index::Labels;

use super::{aggr_chunk, aggr_chunk_from_wire, labels_from_wire, labels_to_wire};
use crate::ConvertError;
use crate::thanos::{AggrChunk, Chunk, Series};

/// A series as a message, its chunks in Thanos's order. Fails as [`aggr_chunk`] does.
pub fn series_to_wire(
    labels: &Labels,
    chunks: &[EncodedChunk],
    aggregates: &[Aggregate],
) -> Result<Series, ConvertError> {
    let chunks = chunks.iter().map(|chunk| aggr_chunk(chunk, aggregates));
    let mut chunks = chunks.collect::<Result<Vec<_>, _>>()?;
    chunks.sort_by(compare);
    Ok(Series { labels: labels_to_wire(labels), chunks })
}

/// The series of a message, its chunks by first, then last time. Fails on a chunk encoding that is not known.
pub fn series_from_wire(wire: &Series) -> Result<SelectedSeries, ConvertError> {
    let mut chunks = wire.chunks.iter().map(aggr_chunk_from_wire).collect::<Result<Vec<_>, _>>()?;
    chunks.sort_by_key(|c| (c.min_time, c.max_time));
    Ok(SelectedSeries { labels: labels_from_wire(&wire.labels), chunks })
}

/// Thanos's order of chunks: by time, then part by part: present before absent, the smaller type, the greater bytes.
/// Source: thanos `pkg/store/storepb/custom.go`.
fn compare(a: &AggrChunk, b: &AggrChunk) -> Ordering {
    let part = |x: &Option<Chunk>, y: &Option<Chunk>| match (x, y) {
        (Some(x), Some(y)) => x.r#type.cmp(&y.r#type).then_with(|| y.data.cmp(&x.data)),
        (x, y) => y.is_some().cmp(&x.is_some()),
    };
    (a.min_time, a.max_time)
        .cmp(&(b.min_time, b.max_time))
        .then_with(|| part(&a.raw, &b.raw))
        .then_with(|| part(&a.count, &b.count))
        .then_with(|| part(&a.sum, &b.sum))
        .then_with(|| part(&a.min, &b.min))
        .then_with(|| part(&a.max, &b.max))
        .then_with(|| part(&a.counter, &b.counter))
}
