//! The samples of one row of chunks, by aggregate where they are downsampled.

use bytes::Bytes;
use tithon_chunks::{
    Aggregate, AggregateChunk, ChunkError, EncodedChunk, Encoding, Samples, TimeRange, decode_samples,
};

use super::track::Sequence;
use super::{ReadError, Wanted, average, counter, gather};

/// Decodes the chunks in turn. Of each chunk, only samples inside `range` and after all samples before it are taken.
pub(super) fn row(chunks: &[&EncodedChunk], wanted: Wanted, range: TimeRange) -> Result<Samples, ReadError> {
    if wanted == Wanted::Counter {
        return counters(chunks, range);
    }
    let mut out = Samples::default();
    let mut behind = range;
    for chunk in chunks {
        chunk_samples(chunk, wanted, behind, &mut out)?;
        let last = out.floats.timestamps.last().max(out.histograms.timestamps.last());
        if let Some(last) = last {
            behind.min.0 = last.saturating_add(1);
        }
    }
    Ok(out)
}

/// Counters are summed up from the first chunk on, whatever the range.
fn counters(chunks: &[&EncodedChunk], range: TimeRange) -> Result<Samples, ReadError> {
    let mut parts = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let mut samples = Samples::default();
        chunk_samples(chunk, Wanted::Counter, TimeRange::ALL, &mut samples)?;
        parts.push(samples);
    }
    let sequences: Vec<Sequence<'_>> = parts.iter().map(Sequence::new).collect();
    let tracks: Vec<_> = sequences.iter().map(Sequence::track).collect();
    let mut picks = counter::apply_resets(&tracks);
    picks.retain(|pick| {
        let time = tracks[pick.track].times()[pick.index];
        range.min.0 <= time && time <= range.max.0
    });
    Ok(gather(&sequences, &picks, false))
}

fn chunk_samples(
    chunk: &EncodedChunk,
    wanted: Wanted,
    range: TimeRange,
    out: &mut Samples,
) -> Result<(), ReadError> {
    if chunk.encoding != Encoding::Aggregate {
        return Ok(decode_samples(chunk, range, out)?);
    }
    let aggregates = AggregateChunk::parse(&chunk.data)?;
    let part = |aggregate: Aggregate, name: &'static str| -> Result<EncodedChunk, ChunkError> {
        let (encoding, data) = aggregates.get(aggregate).ok_or(ChunkError::NoAggregate(name))?;
        Ok(EncodedChunk { encoding, data: data_of(&chunk.data, data), ..chunk.clone() })
    };
    let single = match wanted {
        Wanted::Count => part(Aggregate::Count, "count"),
        Wanted::Sum => part(Aggregate::Sum, "sum"),
        Wanted::Min => part(Aggregate::Min, "min"),
        Wanted::Max => part(Aggregate::Max, "max"),
        Wanted::Counter => part(Aggregate::Counter, "counter"),
        Wanted::Average => {
            let (mut counts, mut sums) = (Samples::default(), Samples::default());
            decode_samples(&part(Aggregate::Count, "count")?, range, &mut counts)?;
            decode_samples(&part(Aggregate::Sum, "sum")?, range, &mut sums)?;
            return average::divide(&counts, &sums, out);
        }
    };
    Ok(decode_samples(&single?, range, out)?)
}

fn data_of(chunk: &Bytes, part: &[u8]) -> Bytes {
    chunk.slice_ref(part)
}
