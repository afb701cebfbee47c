//! Chunks of one series from several blocks: copied where nothing overlaps, merged sample by sample where it does.
//!
//! Chunks come off a heap by first, then last time. Overlapping chunks form a run, which is merged and encoded again: the
//! first chunk of the result is final, the others are queued again, as later chunks may overlap them.

use std::collections::VecDeque;
use std::ops::Range;

use tithon_chunks::{
    ChunkError, CounterResetHint, EncodedChunk, Encoding, Sample, SampleBatch, SampleValue, TimeRange,
    Timestamp, decode_exact, decode_float_chunks, decode_floats_with_starts,
};

use super::CompactOptions;
use super::encode::{CHUNK_SAMPLES, ChunkBuilder, FloatEncoding, MergeError, xor_chunk};
use crate::dedup::Algorithm;
use crate::dedup::{Pick, Track, chain, interleave, penalty};
use crate::heap::Heap;
use crate::scan::ChunkSlice;

/// A chunk of one of the inputs, or one that was made of several chunks.
#[derive(Clone, Debug)]
pub(super) enum Piece<'a> {
    /// A stored chunk, with the number of its batch in the round.
    Stored(u32, ChunkSlice<'a>),
    /// An encoded chunk: encoding, times, data.
    Made(Encoding, TimeRange, Vec<u8>),
}

impl Piece<'_> {
    pub(super) fn encoding(&self) -> Encoding {
        match self {
            Piece::Stored(_, chunk) => chunk.encoding,
            Piece::Made(encoding, ..) => *encoding,
        }
    }

    pub(super) fn range(&self) -> TimeRange {
        match self {
            Piece::Stored(_, chunk) => chunk.range(),
            Piece::Made(_, range, _) => *range,
        }
    }

    pub(super) fn data(&self) -> &[u8] {
        match self {
            Piece::Stored(_, chunk) => chunk.data,
            Piece::Made(_, _, data) => data,
        }
    }
}

impl From<EncodedChunk> for Piece<'_> {
    fn from(chunk: EncodedChunk) -> Self {
        Piece::Made(chunk.encoding, chunk.range(), chunk.data.into())
    }
}

/// Merges lists of chunks, each of which ascends without overlaps, into one such list.
///
/// `decoded` is a buffer that is used again for each series.
pub(super) fn merge<'a>(
    lists: Vec<Vec<Piece<'a>>>,
    options: CompactOptions,
    decoded: &mut Decoded,
) -> Result<Vec<Piece<'a>>, MergeError> {
    let mut out = Vec::with_capacity(lists.iter().map(Vec::len).sum());
    let mut queues = Queues::new(lists);
    decoded.forget();
    while let Some(base) = queues.take() {
        let mut end = base.chunk.range().max;
        let mut run: Vec<Queued<'a>> = Vec::new();
        while queues.first().is_some_and(|first| first.range().min <= end) {
            let Some(next) = queues.take() else { break };
            let previous = &run.last().unwrap_or(&base).chunk;
            if next.chunk.range() != previous.range() || next.chunk.data() != previous.data() {
                end = end.max(next.chunk.range().max);
                run.push(next);
            }
        }
        if run.is_empty() {
            out.push(base.chunk);
            continue;
        }
        let mut merged = merge_run(base, run, &queues, decoded, options)?.into_iter();
        out.extend(merged.next());
        queues.add(merged);
    }
    Ok(out)
}

/// Like [`merge`], for chunks that are not part of a batch.
pub(crate) fn merge_chunks(
    lists: Vec<Vec<EncodedChunk>>,
    options: CompactOptions,
) -> Result<Vec<EncodedChunk>, MergeError> {
    let lists = lists.into_iter().map(|list| list.into_iter().map(Piece::from).collect()).collect();
    let encoded = |piece: Piece<'_>| {
        let (encoding, range) = (piece.encoding(), piece.range());
        let data = match piece {
            Piece::Made(_, _, data) => data.into(),
            Piece::Stored(_, chunk) => chunk.data.to_vec().into(),
        };
        EncodedChunk { encoding, min_time: range.min, max_time: range.max, data }
    };
    Ok(merge(lists, options, &mut Decoded::default())?.into_iter().map(encoded).collect())
}

/// A queued chunk with its number.
struct Queued<'a> {
    id: usize,
    chunk: Piece<'a>,
}

/// Lists of chunks, the earliest on top.
struct Queues<'a> {
    lists: Vec<VecDeque<Queued<'a>>>,
    heap: Heap<usize>,
    n_chunks: usize,
}

impl<'a> Queues<'a> {
    fn new(lists: Vec<Vec<Piece<'a>>>) -> Queues<'a> {
        let mut queues = Queues { lists: Vec::with_capacity(lists.len()), heap: Heap::new(), n_chunks: 0 };
        lists.into_iter().for_each(|list| queues.add(list));
        queues
    }

    /// Adds a list, which goes on the heap unless it is empty.
    fn add(&mut self, list: impl IntoIterator<Item = Piece<'a>>) {
        let ids = self.n_chunks..;
        let list: VecDeque<Queued<'a>> = ids.zip(list).map(|(id, chunk)| Queued { id, chunk }).collect();
        if list.is_empty() {
            return;
        }
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
    fn first(&self) -> Option<&Piece<'a>> {
        self.heap.top().and_then(|top| self.lists[*top].front()).map(|queued| &queued.chunk)
    }

    /// Takes the earliest chunk; its list goes back on the heap.
    fn take(&mut self) -> Option<Queued<'a>> {
        let list = self.heap.pop(less(&self.lists))?;
        let chunk = self.lists[list].pop_front();
        self.rest(list);
        chunk
    }

    /// The next chunks of each list: they are likely to be merged too.
    fn ahead(&self) -> impl Iterator<Item = &Queued<'a>> {
        self.lists.iter().flat_map(|list| list.iter().take(AHEAD))
    }
}

fn less(lists: &[VecDeque<Queued<'_>>]) -> impl Fn(&usize, &usize) -> bool {
    let key = |list: &usize| lists[*list].front().map(|q| (q.chunk.range().min, q.chunk.range().max));
    move |a, b| key(a) < key(b)
}

/// The number of chunks of a list that are decoded ahead: together with the chunks of other lists they fill the lanes
/// of the decoder.
const AHEAD: usize = 7;

/// Decoded XOR chunks, by number.
#[derive(Default)]
pub(super) struct Decoded {
    samples: SampleBatch,
    places: Vec<Option<Range<usize>>>,
    /// A buffer for merged samples.
    merged: SampleBatch,
}

impl Decoded {
    /// Prepares for the next series.
    fn forget(&mut self) {
        self.samples.clear();
        self.places.clear();
    }

    /// Makes sure that the chunks of `run` are decoded; those that are likely to follow are decoded with them.
    fn fill(&mut self, run: &[Queued<'_>], queues: &Queues<'_>) -> Result<(), ChunkError> {
        self.places.resize(queues.n_chunks, None);
        if run.iter().all(|q| self.places[q.id].is_some()) {
            return Ok(());
        }
        self.samples.clear();
        self.places.fill(None);
        let ahead = queues.ahead().filter(|q| q.chunk.encoding() == Encoding::Xor);
        let wanted: Vec<&Queued<'_>> = run.iter().chain(ahead).collect();
        let slices: Vec<(Encoding, &[u8])> =
            wanted.iter().map(|q| (q.chunk.encoding(), q.chunk.data())).collect();
        let (mut ends, few) = (Vec::with_capacity(wanted.len()), run.len());
        // Damage in a chunk behind this run is reported when that chunk's run is merged.
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
fn merge_run<'a>(
    base: Queued<'a>,
    run: Vec<Queued<'a>>,
    queues: &Queues<'a>,
    decoded: &mut Decoded,
    options: CompactOptions,
) -> Result<Vec<Piece<'a>>, MergeError> {
    let run: Vec<Queued<'a>> = match options.overlap {
        Algorithm::Chain => run.into_iter().chain([base]).collect(),
        Algorithm::Penalty => {
            let kind = kind_of(base.chunk.encoding());
            let others = run.into_iter().filter(|q| kind_of(q.chunk.encoding()) == kind);
            std::iter::once(base).chain(others).collect()
        }
    };
    if options.float_encoding == FloatEncoding::Xor && run.iter().all(|q| q.chunk.encoding() == Encoding::Xor)
    {
        decoded.fill(&run, queues)?;
        return Ok(merge_xor(&run, decoded, options.overlap));
    }
    if let Some(odd) = run.iter().find(|q| kind_of(q.chunk.encoding()).is_none()) {
        return Err(MergeError::Overlap { encoding: odd.chunk.encoding(), range: odd.chunk.range() });
    }
    let chunks: Vec<(Encoding, &[u8])> = run.iter().map(|q| (q.chunk.encoding(), q.chunk.data())).collect();
    let made = if chunks.iter().all(|(encoding, _)| encoding.is_float()) {
        merge_floats(&chunks, options)?
    } else {
        merge_samples(&chunks, options)?
    };
    Ok(made.into_iter().map(Piece::from).collect())
}

/// Merges XOR chunks that have been decoded.
fn merge_xor<'a>(run: &[Queued<'a>], decoded: &mut Decoded, overlap: Algorithm) -> Vec<Piece<'a>> {
    let Decoded { samples, places, merged } = decoded;
    let ranges: Vec<Range<usize>> = run.iter().filter_map(|q| places[q.id].clone()).collect();
    let track = |range: &Range<usize>| {
        Track::floats(&samples.timestamps[range.clone()], &samples.values[range.clone()])
    };
    let tracks: Vec<Track<'_>> = ranges.iter().map(track).collect();
    match overlap {
        Algorithm::Chain => {
            merged.clear();
            if interleave::merge(&tracks, merged) {
                let times = merged.timestamps.chunks(CHUNK_SAMPLES);
                return times.zip(merged.values.chunks(CHUNK_SAMPLES)).map(made).collect();
            }
            let mut out = XorColumns::default();
            chain::merge_each(&tracks, |pick| {
                let i = ranges[pick.track].start + pick.index;
                out.push(samples.timestamps[i], samples.values[i]);
            });
            out.cut();
            out.done
        }
        Algorithm::Penalty => {
            let mut out =
                XorStretches { run, ranges: &ranges, samples, open: Vec::new(), n_open: 0, done: Vec::new() };
            penalty::each(&tracks, |track, range| {
                let start = ranges[track as usize].start;
                out.extend(start + range.start..start + range.end);
            });
            out.cut();
            out.done
        }
    }
}

/// Encodes samples one by one into XOR chunks, as [`ChunkBuilder`] does for floats without start timestamps.
struct XorColumns<'a> {
    times: [i64; CHUNK_SAMPLES],
    values: [f64; CHUNK_SAMPLES],
    n: usize,
    done: Vec<Piece<'a>>,
}

impl Default for XorColumns<'_> {
    fn default() -> Self {
        XorColumns { times: [0; CHUNK_SAMPLES], values: [0.0; CHUNK_SAMPLES], n: 0, done: Vec::new() }
    }
}

impl XorColumns<'_> {
    #[inline]
    fn push(&mut self, t: i64, value: f64) {
        (self.times[self.n], self.values[self.n]) = (t, value);
        self.n += 1;
        if self.n == CHUNK_SAMPLES {
            self.cut();
        }
    }

    /// Appends samples that have room in the open chunk.
    fn extend(&mut self, times: &[i64], values: &[f64]) {
        let room = self.n..self.n + times.len();
        self.times[room.clone()].copy_from_slice(times);
        self.values[room].copy_from_slice(values);
        self.n += times.len();
    }

    fn cut(&mut self) {
        if self.n > 0 {
            self.done.push(made((&self.times[..self.n], &self.values[..self.n])));
        }
        self.n = 0;
    }
}

/// An XOR chunk of these samples, of which there is at least one.
fn made<'a>((times, values): (&[i64], &[f64])) -> Piece<'a> {
    let range = TimeRange { min: Timestamp(times[0]), max: Timestamp(times[times.len() - 1]) };
    Piece::Made(Encoding::Xor, range, xor_chunk(times, values))
}

/// Encodes stretches of samples into XOR chunks; a stretch that is a whole input chunk is copied.
struct XorStretches<'s, 'a> {
    run: &'s [Queued<'a>],
    /// The ranges of the samples of each chunk of the run.
    ranges: &'s [Range<usize>],
    samples: &'s SampleBatch,
    /// The samples of the next chunk.
    open: Vec<Range<usize>>,
    n_open: usize,
    done: Vec<Piece<'a>>,
}

impl XorStretches<'_, '_> {
    fn extend(&mut self, mut range: Range<usize>) {
        while !range.is_empty() {
            let n = range.len().min(CHUNK_SAMPLES - self.n_open);
            let part = range.start..range.start + n;
            match self.open.last_mut() {
                Some(last) if last.end == part.start => last.end = part.end,
                _ => self.open.push(part),
            }
            self.n_open += n;
            range.start += n;
            if self.n_open == CHUNK_SAMPLES {
                self.cut();
            }
        }
    }

    fn cut(&mut self) {
        let (times, values) = (&self.samples.timestamps, &self.samples.values);
        match self.open.as_slice() {
            [] => return,
            [only] => {
                let (times, values) = (&times[only.clone()], &values[only.clone()]);
                let range = TimeRange { min: Timestamp(times[0]), max: Timestamp(times[times.len() - 1]) };
                let same = |i: &usize| self.ranges[*i] == *only && self.run[*i].chunk.range() == range;
                // Encoding a whole chunk again would give the same bytes.
                self.done.push(match (0..self.run.len()).find(same) {
                    Some(i) => self.run[i].chunk.clone(),
                    None => made((times, values)),
                });
            }
            parts => {
                let mut column = XorColumns::default();
                parts.iter().for_each(|part| column.extend(&times[part.clone()], &values[part.clone()]));
                column.cut();
                self.done.append(&mut column.done);
            }
        }
        self.open.clear();
        self.n_open = 0;
    }
}

#[derive(PartialEq, Eq)]
enum SampleKind {
    Float,
    Histogram,
    FloatHistogram,
}

/// The kind of the samples of a chunk; `None` where they cannot be merged.
fn kind_of(encoding: Encoding) -> Option<SampleKind> {
    match encoding {
        Encoding::Xor | Encoding::Xor2 => Some(SampleKind::Float),
        Encoding::Histogram | Encoding::HistogramSt => Some(SampleKind::Histogram),
        Encoding::FloatHistogram | Encoding::FloatHistogramSt => Some(SampleKind::FloatHistogram),
        Encoding::Aggregate | Encoding::Unknown(_) => None,
    }
}

fn merge_tracks(tracks: &[Track<'_>], overlap: Algorithm) -> Vec<Pick> {
    match overlap {
        Algorithm::Chain => chain::merge(tracks),
        Algorithm::Penalty => penalty::merge(tracks, false),
    }
}

/// Merges floats of which some have start timestamps or are to be XOR2.
fn merge_floats(
    chunks: &[(Encoding, &[u8])],
    options: CompactOptions,
) -> Result<Vec<EncodedChunk>, MergeError> {
    let (mut batch, mut starts) = (SampleBatch::default(), Vec::new());
    let mut ranges = Vec::with_capacity(chunks.len());
    for (encoding, data) in chunks {
        let (from, mut own) = (batch.len(), Vec::new());
        decode_floats_with_starts(*encoding, data, TimeRange::ALL, &mut batch, &mut own)?;
        own.resize(batch.len() - from, 0);
        starts.extend(own);
        ranges.push(from..batch.len());
    }
    let mut builder = ChunkBuilder::new(options.float_encoding);
    let track =
        |range: &Range<usize>| Track::floats(&batch.timestamps[range.clone()], &batch.values[range.clone()]);
    let tracks: Vec<Track<'_>> = ranges.iter().map(track).collect();
    for pick in merge_tracks(&tracks, options.overlap) {
        let i = ranges[pick.track].start + pick.index;
        builder.push_float(starts[i], batch.timestamps[i], batch.values[i]);
    }
    Ok(builder.finish())
}

fn merge_samples(
    chunks: &[(Encoding, &[u8])],
    options: CompactOptions,
) -> Result<Vec<EncodedChunk>, MergeError> {
    let mut samples: Vec<Vec<Sample>> = Vec::with_capacity(chunks.len());
    for (encoding, data) in chunks {
        let mut decoded = Vec::new();
        decode_exact(*encoding, data, &mut decoded)?;
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
        let sample = &mut samples[pick.track][pick.index];
        if options.overlap == Algorithm::Chain && !pick.consecutive {
            forget_resets(&mut sample.value);
        }
        builder.push(sample)?;
    }
    Ok(builder.finish())
}

/// In the merged chunk the sample before this one may be another: only gauges keep their hint.
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
