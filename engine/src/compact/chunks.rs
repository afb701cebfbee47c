//! Chunks of one series from several blocks: copied where nothing overlaps, merged sample by sample where it does.
//!
//! Chunks come off a heap by first, then last time. A run of chunks each of which begins before all before it have
//! ended is decoded and encoded anew; what comes of it goes back on the heap but for its first chunk.

use std::collections::VecDeque;

use tithon_chunks::{
    CounterResetHint, EncodedChunk, Encoding, Sample, SampleBatch, SampleValue, TimeRange, decode_exact,
    decode_float_chunks, decode_floats_with_starts,
};

use super::encode::{ChunkBuilder, FloatEncoding, MergeError, xor_chunks};
use super::{CompactOptions, Overlap};
use crate::dedup::{Pick, Track, chain, penalty};
use crate::heap::Heap;

/// One list that ascends and does not overlap, out of several that each do.
pub(super) fn merge(
    lists: Vec<Vec<EncodedChunk>>,
    options: CompactOptions,
) -> Result<Vec<EncodedChunk>, MergeError> {
    let mut out = Vec::with_capacity(lists.iter().map(Vec::len).sum());
    let mut lists: Vec<VecDeque<EncodedChunk>> = lists.into_iter().map(VecDeque::from).collect();
    let mut heap = Heap::new();
    for i in 0..lists.len() {
        rest(&mut heap, i, &lists);
    }
    while let Some(base) = take(&mut heap, &mut lists) {
        let mut end = base.max_time;
        let mut run: Vec<EncodedChunk> = Vec::new();
        while heap.top().is_some_and(|top| lists[*top][0].min_time <= end) {
            let Some(next) = take(&mut heap, &mut lists) else { break };
            let previous = run.last().unwrap_or(&base);
            if next.range() != previous.range() || next.data != previous.data {
                end = end.max(next.max_time);
                run.push(next);
            }
        }
        if run.is_empty() {
            out.push(base);
            continue;
        }
        let mut merged = VecDeque::from(merge_run(base, run, options)?);
        out.extend(merged.pop_front());
        lists.push(merged);
        rest(&mut heap, lists.len() - 1, &lists);
    }
    Ok(out)
}

/// Puts a list on the heap, unless it has ended.
fn rest(heap: &mut Heap<usize>, list: usize, lists: &[VecDeque<EncodedChunk>]) {
    if !lists[list].is_empty() {
        heap.push(list, less(lists));
    }
}

/// The earliest chunk; its list goes back on the heap.
fn take(heap: &mut Heap<usize>, lists: &mut [VecDeque<EncodedChunk>]) -> Option<EncodedChunk> {
    let list = heap.pop(less(lists))?;
    let chunk = lists[list].pop_front();
    rest(heap, list, lists);
    chunk
}

fn less(lists: &[VecDeque<EncodedChunk>]) -> impl Fn(&usize, &usize) -> bool {
    let key = |list: &usize| lists[*list].front().map(|c| (c.min_time, c.max_time));
    move |a, b| key(a) < key(b)
}

/// Merges a run of overlapping chunks.
fn merge_run(
    base: EncodedChunk,
    run: Vec<EncodedChunk>,
    options: CompactOptions,
) -> Result<Vec<EncodedChunk>, MergeError> {
    let chunks: Vec<EncodedChunk> = match options.overlap {
        Overlap::Chain => run.into_iter().chain([base]).collect(),
        Overlap::Penalty => {
            let kind = kind_of(base.encoding);
            std::iter::once(base).chain(run.into_iter().filter(|c| kind_of(c.encoding) == kind)).collect()
        }
    };
    if let Some(odd) = chunks.iter().find(|c| kind_of(c.encoding).is_none()) {
        return Err(MergeError::Overlap { encoding: odd.encoding, range: odd.range() });
    }
    if chunks.iter().all(|c| c.encoding.is_float()) {
        merge_floats(&chunks, options)
    } else {
        merge_samples(&chunks, options)
    }
}

#[derive(PartialEq, Eq)]
enum SampleKind {
    Float,
    Histogram,
    FloatHistogram,
}

/// What the samples of a chunk are; `None` where they cannot be merged.
fn kind_of(encoding: Encoding) -> Option<SampleKind> {
    match encoding {
        Encoding::Xor | Encoding::Xor2 => Some(SampleKind::Float),
        Encoding::Histogram | Encoding::HistogramSt => Some(SampleKind::Histogram),
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => Some(SampleKind::FloatHistogram),
        Encoding::Aggregate | Encoding::Unknown(_) => None,
    }
}

fn merge_tracks(tracks: &[Track<'_>], overlap: Overlap) -> Vec<Pick> {
    match overlap {
        Overlap::Chain => chain::merge(tracks),
        Overlap::Penalty => penalty::merge(tracks, false),
    }
}

fn merge_floats(chunks: &[EncodedChunk], options: CompactOptions) -> Result<Vec<EncodedChunk>, MergeError> {
    let (mut batch, mut starts, mut ends) =
        (SampleBatch::default(), Vec::new(), Vec::with_capacity(chunks.len()));
    if chunks.iter().all(|c| c.encoding == Encoding::Xor) {
        let data: Vec<(Encoding, &[u8])> = chunks.iter().map(|c| (c.encoding, c.data.as_ref())).collect();
        decode_float_chunks(&data, &mut batch, &mut ends)?;
    } else {
        for chunk in chunks {
            let mut own = Vec::new();
            decode_floats_with_starts(chunk.encoding, &chunk.data, TimeRange::ALL, &mut batch, &mut own)?;
            if !own.is_empty() {
                starts.resize(batch.len() - own.len(), 0);
                starts.extend(own);
            }
            ends.push(batch.len());
        }
        if !starts.is_empty() {
            starts.resize(batch.len(), 0);
        }
    }
    let begins = || std::iter::once(0).chain(ends.iter().copied());
    let part = |(start, end): (usize, &usize)| {
        Track::floats(&batch.timestamps[start..*end], &batch.values[start..*end])
    };
    let tracks: Vec<Track<'_>> = begins().zip(&ends).map(part).collect();
    let begins: Vec<usize> = begins().collect();
    let mut picked: Vec<usize> = Vec::with_capacity(batch.len());
    match options.overlap {
        Overlap::Chain => chain::merge_each(&tracks, |pick| picked.push(begins[pick.track] + pick.index)),
        Overlap::Penalty => picked.extend(
            penalty::places(&tracks).iter().map(|place| begins[place.track as usize] + place.index as usize),
        ),
    }
    if starts.is_empty() && options.float_encoding == FloatEncoding::Xor {
        return Ok(xor_chunks(&picked, &batch));
    }
    let mut builder = ChunkBuilder::new(options.float_encoding);
    for i in picked {
        let start = starts.get(i).copied().unwrap_or(0);
        builder.push_float(start, batch.timestamps[i], batch.values[i]);
    }
    Ok(builder.finish())
}

fn merge_samples(chunks: &[EncodedChunk], options: CompactOptions) -> Result<Vec<EncodedChunk>, MergeError> {
    let mut samples: Vec<Vec<Sample>> = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let mut decoded = Vec::new();
        decode_exact(chunk.encoding, &chunk.data, &mut decoded)?;
        samples.push(decoded);
    }
    let float = |sample: &Sample| match sample.value {
        SampleValue::Float(value) => Some(value),
        _ => None,
    };
    let columns: Vec<(Vec<i64>, Vec<Option<f64>>)> =
        samples.iter().map(|s| s.iter().map(|sample| (sample.t.0, float(sample))).unzip()).collect();
    let tracks: Vec<_> = columns.iter().map(|(times, floats)| Track::mixed(times, floats)).collect();
    let mut builder = ChunkBuilder::new(options.float_encoding);
    for pick in merge_tracks(&tracks, options.overlap) {
        let mut sample = samples[pick.track][pick.index].clone();
        if options.overlap == Overlap::Chain && !pick.consecutive {
            forget_resets(&mut sample.value);
        }
        builder.push(&sample)?;
    }
    Ok(builder.finish())
}

/// What came before the sample is not what its chunk says: only a gauge keeps its hint.
fn forget_resets(value: &mut SampleValue) {
    let hint = match value {
        SampleValue::Float(_) => return,
        SampleValue::Histogram(h) => &mut h.counter_reset_hint,
        SampleValue::FloatHistogram(h) => &mut h.counter_reset_hint,
    };
    if *hint != CounterResetHint::Gauge {
        *hint = CounterResetHint::Unknown;
    }
}
