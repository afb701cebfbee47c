//! Chunks of one series from several blocks: copied where nothing overlaps, merged sample by sample where it does.
//!
//! Chunks come off a heap by first, then last time. A run of chunks each of which begins before all before it have
//! ended is decoded and encoded anew; what comes of it goes back on the heap but for its first chunk.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;
use tithon_chunks::{
    ChunkError, CounterResetHint, EncodedChunk, Encoding, Sample, SampleBatch, SampleValue, TimeRange,
    decode_exact, decode_float_chunks, decode_floats_with_starts,
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
    let mut queues = Queues::new(lists);
    let mut decoded = Decoded::default();
    while let Some(base) = queues.take() {
        let mut end = base.chunk.max_time;
        let mut run: Vec<Queued> = Vec::new();
        while queues.first().is_some_and(|first| first.min_time <= end) {
            let Some(next) = queues.take() else { break };
            let previous = &run.last().unwrap_or(&base).chunk;
            if next.chunk.range() != previous.range() || next.chunk.data != previous.data {
                end = end.max(next.chunk.max_time);
                run.push(next);
            }
        }
        if run.is_empty() {
            out.push(base.chunk);
            continue;
        }
        let mut merged = merge_run(base, run, &queues, &mut decoded, options)?.into_iter();
        out.extend(merged.next());
        queues.add(merged);
    }
    Ok(out)
}

/// A chunk that waits, known by a number.
struct Queued {
    id: usize,
    chunk: EncodedChunk,
}

/// Lists of chunks, the earliest on top.
struct Queues {
    lists: Vec<VecDeque<Queued>>,
    heap: Heap<usize>,
    n_chunks: usize,
}

impl Queues {
    fn new(lists: Vec<Vec<EncodedChunk>>) -> Queues {
        let mut queues = Queues { lists: Vec::with_capacity(lists.len()), heap: Heap::new(), n_chunks: 0 };
        lists.into_iter().for_each(|list| queues.add(list));
        queues
    }

    /// Adds a list, which goes on the heap unless it is empty.
    fn add(&mut self, list: impl IntoIterator<Item = EncodedChunk>) {
        let ids = self.n_chunks..;
        let list: VecDeque<Queued> = ids.zip(list).map(|(id, chunk)| Queued { id, chunk }).collect();
        self.n_chunks += list.len();
        self.lists.push(list);
        self.rest(self.lists.len() - 1);
    }

    fn rest(&mut self, list: usize) {
        if !self.lists[list].is_empty() {
            self.heap.push(list, less(&self.lists));
        }
    }

    /// The earliest chunk.
    fn first(&self) -> Option<&EncodedChunk> {
        self.heap.top().and_then(|top| self.lists[*top].front()).map(|queued| &queued.chunk)
    }

    /// Takes the earliest chunk; its list goes back on the heap.
    fn take(&mut self) -> Option<Queued> {
        let list = self.heap.pop(less(&self.lists))?;
        let chunk = self.lists[list].pop_front();
        self.rest(list);
        chunk
    }

    /// The next chunks of each list, which are likely to be merged too.
    fn ahead(&self) -> impl Iterator<Item = &Queued> {
        self.lists.iter().flat_map(|list| list.iter().take(AHEAD))
    }
}

fn less(lists: &[VecDeque<Queued>]) -> impl Fn(&usize, &usize) -> bool {
    let key = |list: &usize| lists[*list].front().map(|q| (q.chunk.min_time, q.chunk.max_time));
    move |a, b| key(a) < key(b)
}

/// Chunks of a list that are decoded before they are asked for: with those of others they fill the lanes of a kernel.
const AHEAD: usize = 7;

/// XOR chunks decoded, by number.
#[derive(Default)]
struct Decoded {
    samples: SampleBatch,
    places: Vec<Option<Range<usize>>>,
}

impl Decoded {
    /// Makes sure that the chunks of `run` are decoded; those that are likely to follow are decoded with them.
    fn fill(&mut self, run: &[Queued], queues: &Queues) -> Result<(), ChunkError> {
        self.places.resize(queues.n_chunks, None);
        if run.iter().all(|q| self.places[q.id].is_some()) {
            return Ok(());
        }
        self.samples.clear();
        self.places.fill(None);
        let ahead = queues.ahead().filter(|q| q.chunk.encoding == Encoding::Xor);
        let wanted: Vec<&Queued> = run.iter().chain(ahead).collect();
        let data = |queued: &[&Queued]| -> Vec<(Encoding, Bytes)> {
            queued.iter().map(|q| (q.chunk.encoding, q.chunk.data.clone())).collect()
        };
        let mut ends = Vec::with_capacity(wanted.len());
        let (all, few) = (data(&wanted), run.len());
        let slices: Vec<(Encoding, &[u8])> = all.iter().map(|(e, data)| (*e, data.as_ref())).collect();
        // A damaged chunk ahead is none of this run's business.
        if decode_float_chunks(&slices, &mut self.samples, &mut ends).is_err() && ends.len() < few {
            self.samples.clear();
            ends.clear();
            decode_float_chunks(&slices[..few], &mut self.samples, &mut ends)?;
        }
        let mut start = 0;
        for (queued, end) in wanted.iter().zip(ends) {
            self.places[queued.id] = Some(start..end);
            start = end;
        }
        Ok(())
    }
}

/// Merges a run of overlapping chunks.
fn merge_run(
    base: Queued,
    run: Vec<Queued>,
    queues: &Queues,
    decoded: &mut Decoded,
    options: CompactOptions,
) -> Result<Vec<EncodedChunk>, MergeError> {
    let run: Vec<Queued> = match options.overlap {
        Overlap::Chain => run.into_iter().chain([base]).collect(),
        Overlap::Penalty => {
            let kind = kind_of(base.chunk.encoding);
            let others = run.into_iter().filter(|q| kind_of(q.chunk.encoding) == kind);
            std::iter::once(base).chain(others).collect()
        }
    };
    if options.float_encoding == FloatEncoding::Xor && run.iter().all(|q| q.chunk.encoding == Encoding::Xor) {
        decoded.fill(&run, queues)?;
        let ranges: Vec<Range<usize>> =
            run.iter().filter_map(|queued| decoded.places[queued.id].clone()).collect();
        return Ok(xor_chunks(&pick_floats(&ranges, &decoded.samples, options.overlap), &decoded.samples));
    }
    let chunks: Vec<EncodedChunk> = run.into_iter().map(|queued| queued.chunk).collect();
    if let Some(odd) = chunks.iter().find(|c| kind_of(c.encoding).is_none()) {
        return Err(MergeError::Overlap { encoding: odd.encoding, range: odd.range() });
    }
    if chunks.iter().all(|c| c.encoding.is_float()) {
        merge_floats(&chunks, options)
    } else {
        merge_samples(&chunks, options)
    }
}

/// The places of the samples that stay, given those of each chunk.
fn pick_floats(chunks: &[Range<usize>], samples: &SampleBatch, overlap: Overlap) -> Vec<usize> {
    let track = |range: &Range<usize>| {
        Track::floats(&samples.timestamps[range.clone()], &samples.values[range.clone()])
    };
    let tracks: Vec<Track<'_>> = chunks.iter().map(track).collect();
    let mut picked = Vec::with_capacity(chunks.iter().map(Range::len).sum());
    match overlap {
        Overlap::Chain => {
            chain::merge_each(&tracks, |pick| picked.push(chunks[pick.track].start + pick.index))
        }
        Overlap::Penalty => penalty::each(&tracks, |place| {
            picked.push(chunks[place.track as usize].start + place.index as usize)
        }),
    }
    picked
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

/// Merges floats of which some have start timestamps or are to be XOR2.
fn merge_floats(chunks: &[EncodedChunk], options: CompactOptions) -> Result<Vec<EncodedChunk>, MergeError> {
    let (mut batch, mut starts) = (SampleBatch::default(), Vec::new());
    let mut ranges = Vec::with_capacity(chunks.len());
    for chunk in chunks {
        let (from, mut own) = (batch.len(), Vec::new());
        decode_floats_with_starts(chunk.encoding, &chunk.data, TimeRange::ALL, &mut batch, &mut own)?;
        own.resize(batch.len() - from, 0);
        starts.extend(own);
        ranges.push(from..batch.len());
    }
    let mut builder = ChunkBuilder::new(options.float_encoding);
    for i in pick_floats(&ranges, &batch, options.overlap) {
        builder.push_float(starts[i], batch.timestamps[i], batch.values[i]);
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
