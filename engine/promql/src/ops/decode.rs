//! From what storage hands in to decoded samples, in batches of series spread over threads.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};

use rayon::prelude::*;
use tithon_chunks::{
    ChunkError, CounterResetHint, EncodedChunk, Encoding, FloatHistogram, HistogramBatch, HistogramRow,
    STALE_NAN_BITS, Samples, TimeRange, decode_float_chunks, decode_floats, decode_histograms,
    decode_samples,
};
use tithon_index::Labels;

use super::reach::Reach;
use crate::annotations::Notes;
use crate::ast::NodeId;
use crate::budget::OverBudget;
use crate::error::{QueryError, SourceError};
use crate::eval::Evaluator;
use crate::kernel;
use crate::series::{Series, SeriesData};

/// How many series are worked on at a time: enough to keep threads busy, few enough to bound memory.
const SERIES_PER_BATCH: usize = 512;
/// No fewer than so many, however many steps there are.
const SERIES_PER_BATCH_MIN: usize = 16;
/// How many results of a step a batch holds where there are many steps.
const STEPS_PER_BATCH: usize = 1 << 19;
/// The same in the first batch, and once a series has had histograms: each takes as much as tens of floats.
const STEPS_PER_BATCH_OF_HISTOGRAMS: usize = 1 << 16;

/// Decoded series of a batch take about so many bytes at most.
const BATCH_BYTES_MAX: u64 = 64 << 20;
/// The samples of one series may take so many bytes before they are counted.
const DECODED_BYTES_FREE: u64 = 1 << 20;

/// What the samples of encoded chunks may take when they are decoded, bytes: a chunk begins with their number.
fn decoded_bytes(data: &SeriesData, range: TimeRange) -> u64 {
    /// Of a histogram with some buckets.
    const HISTOGRAM_BYTES: u64 = 512;
    let SeriesData::Chunks(chunks) = data else { return 0 };
    let of = |chunk: &EncodedChunk| {
        let n = chunk.data.first_chunk().map_or(0, |n| u16::from_be_bytes(*n));
        u64::from(n) * if chunk.encoding.is_histogram() { HISTOGRAM_BYTES } else { 16 }
    };
    chunks.iter().filter(|chunk| part(chunk.range(), range).is_some()).map(of).sum()
}

/// An error of a source; that of a budget stays one.
fn storage(error: SourceError) -> QueryError {
    match error.downcast::<OverBudget>() {
        Ok(over) => QueryError::TooManyBytes(*over),
        Err(error) => QueryError::Storage(error),
    }
}

/// How many series of so many steps a batch may hold.
fn batch_size(n_steps: usize, may_be_large: bool) -> usize {
    let n = if may_be_large { STEPS_PER_BATCH } else { STEPS_PER_BATCH_OF_HISTOGRAMS };
    (n / n_steps.max(1)).clamp(SERIES_PER_BATCH_MIN, SERIES_PER_BATCH)
}

/// Whether more series are wanted.
pub(crate) type Flow = Result<ControlFlow<()>, QueryError>;

/// What the work on one series left: its labels, the result, the annotations.
type Worked<T> = Result<(Labels, T, Notes), QueryError>;

/// Runs `work` on each series of a selection and hands the results to `sink` in the order of the input.
///
/// `work` sees the labels and the decoded samples in the range of the selection, floats that `reach` leaves out
/// perhaps missing; it runs on the pool, if there is one, while `sink` takes in the series before. Annotations are
/// merged in input order. A sink that breaks off gets no more.
pub(crate) fn for_each_series<T: Send>(
    ev: &Evaluator<'_>,
    id: NodeId,
    reach: &Reach,
    work: impl Fn(&Labels, &mut Samples, &mut Notes) -> Result<T, QueryError> + Sync,
    mut sink: impl FnMut(Labels, T) -> Flow + Send,
) -> Result<(), QueryError> {
    let (Some(mut input), range) = ev.take_input(id) else { return Ok(()) };
    let stats_only = ev.prepared.stats_only.contains(&id);
    let has_histograms = AtomicBool::new(false);
    let one = |scratch: &mut Samples, series: Series| -> Worked<T> {
        ev.check_cancelled()?;
        let mut notes = Notes::default();
        let decoded = decoded_bytes(&series.data, range);
        if decoded > DECODED_BYTES_FREE {
            ev.budget.add(0, decoded)?;
            ev.budget.release(0, decoded);
        }
        decode(series.data, range, reach, stats_only, scratch)?;
        if !scratch.histograms.timestamps.is_empty() {
            has_histograms.store(true, Ordering::Relaxed);
        }
        let result = work(&series.labels, scratch, &mut notes)?;
        Ok((series.labels, result, notes))
    };
    let mut finish = |worked: Vec<Worked<T>>| -> Flow {
        for worked in worked {
            let (labels, result, notes) = worked?;
            if !notes.is_empty() {
                ev.notes().merge(notes);
            }
            if sink(labels, result)?.is_break() {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    let mut is_first = true;
    let mut fetch = || {
        let may_be_large = !std::mem::take(&mut is_first) && !has_histograms.load(Ordering::Relaxed);
        let wanted = batch_size(reach.n_steps(), may_be_large);
        let mut charge = ev.prepared.budget.empty_charge();
        let mut batch = Vec::new();
        while batch.len() < wanted && charge.bytes() < BATCH_BYTES_MAX {
            let Some(series) = input.next() else { break };
            let series: Series = series.map_err(storage)?;
            ev.check_cancelled()?;
            match series.data.decoded_bytes() {
                0 => {}
                bytes => charge.grow(bytes)?,
            }
            batch.push(series);
        }
        ev.check_cancelled()?;
        Ok::<_, QueryError>((batch, charge))
    };
    let Some(pool) = ev.ctx.pool else {
        let mut scratch = Samples::default();
        loop {
            let (batch, _charge) = fetch()?;
            if batch.is_empty() {
                return Ok(());
            }
            if finish(batch.into_iter().map(|series| one(&mut scratch, series)).collect())?.is_break() {
                return Ok(());
            }
        }
    };
    let mut done = Vec::new();
    loop {
        let (batch, _charge) = match fetch() {
            Ok((batch, charge)) if !batch.is_empty() => (batch, charge),
            end => return finish(done).and(end.map(drop)),
        };
        let decode = || batch.into_par_iter().map_init(Samples::default, one).collect();
        let (next, finished) = pool.install(|| rayon::join(decode, || finish(std::mem::take(&mut done))));
        if finished?.is_break() {
            return Ok(());
        }
        done = next;
    }
}

/// Replaces the content of `out` by the samples of a series that lie in the range, but for floats out of reach; of
/// histograms only count, sum and reset hint when `stats_only`.
fn decode(
    data: SeriesData,
    range: TimeRange,
    reach: &Reach,
    stats_only: bool,
    out: &mut Samples,
) -> Result<(), QueryError> {
    clear(out);
    match data {
        SeriesData::Chunks(chunks) => decode_chunks(&chunks, range, reach, stats_only, out)?,
        SeriesData::Samples(samples) => {
            *out = *samples;
            trim(out, range);
            if stats_only {
                let mut batch = HistogramBatch::default();
                for (i, (t, h)) in out.histograms.timestamps.iter().zip(&out.histograms.values).enumerate() {
                    let start = out.histogram_start_timestamps.get(i).copied().unwrap_or(0);
                    batch.push(*t, start, h);
                }
                clear_histograms(out);
                push_stats(&batch, reach, out);
            }
        }
    }
    Ok(())
}

/// Decodes chunks one after the other, stretches of whole XOR chunks side by side, histograms when `stats_only` into
/// columns that no histogram is made from.
fn decode_chunks(
    chunks: &[EncodedChunk],
    range: TimeRange,
    reach: &Reach,
    stats_only: bool,
    out: &mut Samples,
) -> Result<(), ChunkError> {
    let mut whole = Whole::default();
    let mut stats = HistogramBatch::default();
    for chunk in chunks {
        if stats_only && chunk.encoding.is_histogram() {
            decode_histograms(chunk.encoding, &chunk.data, range, &mut stats)?;
            continue;
        }
        let is_float = matches!(chunk.encoding, Encoding::Xor | Encoding::Xor2);
        let (needed, is_whole) = match is_float {
            true => match part(chunk.range(), range).and_then(|part| reach.within(part)) {
                // Nothing of it is needed.
                None => continue,
                Some(part) => (TimeRange { min: range.min, max: part.max }, part == chunk.range()),
            },
            false => (range, false),
        };
        if is_whole && chunk.encoding == Encoding::Xor {
            whole.chunks.push((chunk.encoding, &chunk.data));
            whole.needed.push(needed);
            continue;
        }
        whole.decode(out)?;
        decode_samples(chunk, needed, out)?;
    }
    push_stats(&stats, reach, out);
    whole.decode(out)
}

/// Float chunks without start timestamps that are needed as a whole, if the index tells their ranges right.
#[derive(Default)]
struct Whole<'a> {
    chunks: Vec<(Encoding, &'a [u8])>,
    /// What is needed of each.
    needed: Vec<TimeRange>,
    ends: Vec<usize>,
}

impl Whole<'_> {
    /// Appends the samples of the chunks, side by side where their first and last times are where the index has
    /// them, else those in the range of each; and empties the list.
    fn decode(&mut self, out: &mut Samples) -> Result<(), ChunkError> {
        if self.chunks.is_empty() {
            return Ok(());
        }
        let start = out.floats.len();
        decode_float_chunks(&self.chunks, &mut out.floats, &mut self.ends)?;
        if !self.is_inside(start, &out.floats.timestamps) {
            out.floats.timestamps.truncate(start);
            out.floats.values.truncate(start);
            for ((encoding, data), needed) in self.chunks.iter().zip(&self.needed) {
                decode_floats(*encoding, data, *needed, &mut out.floats)?;
            }
        }
        if !out.float_start_timestamps.is_empty() {
            out.float_start_timestamps.resize(out.floats.len(), 0);
        }
        self.chunks.clear();
        self.needed.clear();
        self.ends.clear();
        Ok(())
    }

    /// Whether each chunk's first and last time, from `start` on, lie in what is needed of it.
    fn is_inside(&self, start: usize, times: &[i64]) -> bool {
        let mut from = start;
        self.ends.iter().zip(&self.needed).all(|(end, needed)| {
            let times = &times[std::mem::replace(&mut from, *end)..*end];
            let (first, last) = (times.first(), times.last());
            first.is_none_or(|t| *t >= needed.min.0) && last.is_none_or(|t| *t <= needed.max.0)
        })
    }
}

/// What two ranges share; `None` when that is nothing.
fn part(a: TimeRange, b: TimeRange) -> Option<TimeRange> {
    let (min, max) = (a.min.max(b.min), a.max.min(b.max));
    (min <= max).then_some(TimeRange { min, max })
}

/// Appends the samples of a batch that windows hold, with their statistics only.
fn push_stats(batch: &HistogramBatch, reach: &Reach, out: &mut Samples) {
    let held = |row: &HistogramRow<'_>| reach.within(TimeRange { min: row.t, max: row.t }).is_some();
    let has_starts = batch.start_timestamps().iter().any(|start| *start != 0);
    let rows: Vec<HistogramRow<'_>> = batch.rows().collect();
    let hints = stats_hints(&rows, reach);
    for (row, hint) in rows.iter().zip(hints).filter(|(row, _)| held(row)) {
        out.histograms.timestamps.push(row.t.0);
        if has_starts {
            out.histogram_start_timestamps.push(row.st.0);
        }
        out.histograms.values.push(FloatHistogram {
            counter_reset_hint: hint,
            schema: row.layout.schema,
            count: row.count,
            sum: row.sum,
            ..FloatHistogram::default()
        });
    }
}

/// The reset hints of histograms whose buckets are lost: as they follow from the buckets of the one read before, which is
/// forgotten where a window lies so far on that those in between are jumped over.
///
/// Upstream: `promql/histogram_stats_iterator.go`.
fn stats_hints(rows: &[HistogramRow<'_>], reach: &Reach) -> Vec<CounterResetHint> {
    let mut hints: Vec<CounterResetHint> = rows.iter().map(|row| row.counter_reset_hint).collect();
    let mut last: Option<&HistogramRow<'_>> = None;
    let mut n_read = 0;
    let mut read = |i: usize, last: &mut Option<_>| {
        if i < n_read || rows[i].is_stale() {
            return;
        }
        n_read = i + 1;
        if let (CounterResetHint::Unknown, Some(before)) = (hints[i], *last) {
            let reset = rows[i].detect_reset(before);
            hints[i] = if reset { CounterResetHint::Reset } else { CounterResetHint::NotReset };
        }
        *last = Some(&rows[i]);
    };
    let mut at = 0;
    for (from, to) in reach.visits() {
        if at < rows.len() && rows[at].t.0 < from {
            last = None;
            at += rows[at..].partition_point(|row| row.t.0 < from);
        }
        while at < rows.len() && rows[at].t.0 < to {
            read(at, &mut last);
            at += 1;
        }
        if at == rows.len() {
            break;
        }
        if rows[at].t.0 == to {
            read(at, &mut last);
        }
    }
    hints
}

fn clear(samples: &mut Samples) {
    samples.floats.clear();
    samples.float_start_timestamps.clear();
    clear_histograms(samples);
}

fn clear_histograms(samples: &mut Samples) {
    samples.histograms.timestamps.clear();
    samples.histograms.values.clear();
    samples.histogram_start_timestamps.clear();
}

/// Removes samples outside of the range.
fn trim(samples: &mut Samples, range: TimeRange) {
    let cut = |times: &[i64]| {
        let from = times.partition_point(|t| *t < range.min.0);
        from..times.partition_point(|t| *t <= range.max.0).max(from)
    };
    let keep = cut(&samples.floats.timestamps);
    if keep.len() < samples.floats.timestamps.len() {
        retain(&mut samples.floats.timestamps, &keep);
        retain(&mut samples.floats.values, &keep);
        retain(&mut samples.float_start_timestamps, &keep);
    }
    let keep = cut(&samples.histograms.timestamps);
    if keep.len() < samples.histograms.timestamps.len() {
        retain(&mut samples.histograms.timestamps, &keep);
        retain(&mut samples.histograms.values, &keep);
        retain(&mut samples.histogram_start_timestamps, &keep);
    }
}

fn retain<T>(column: &mut Vec<T>, keep: &std::ops::Range<usize>) {
    if !column.is_empty() {
        column.truncate(keep.end);
        column.drain(..keep.start);
    }
}

/// Removes stale markers.
pub(crate) fn remove_stale(samples: &mut Samples) {
    if kernel::has_bits(&samples.floats.values, STALE_NAN_BITS) {
        let keep: Vec<bool> = samples.floats.values.iter().map(|v| v.to_bits() != STALE_NAN_BITS).collect();
        filter(&mut samples.floats.timestamps, &keep);
        filter(&mut samples.floats.values, &keep);
        filter(&mut samples.float_start_timestamps, &keep);
    }
    if samples.histograms.values.iter().any(|h| h.sum.to_bits() == STALE_NAN_BITS) {
        let keep: Vec<bool> =
            samples.histograms.values.iter().map(|h| h.sum.to_bits() != STALE_NAN_BITS).collect();
        filter(&mut samples.histograms.timestamps, &keep);
        filter(&mut samples.histograms.values, &keep);
        filter(&mut samples.histogram_start_timestamps, &keep);
    }
}

fn filter<T>(column: &mut Vec<T>, keep: &[bool]) {
    let mut keep = keep.iter();
    column.retain(|_| keep.next().copied().unwrap_or(true));
}

#[cfg(test)]
mod tests {
    use tithon_chunks::XorEncoder;

    use super::*;
    use crate::ast::AtModifier;
    use crate::frame::Steps;
    use crate::ops::selector::Reference;

    /// A chunk of a sample at each of the times, for which the index has the given range.
    fn chunk(times: std::ops::RangeInclusive<i64>, told: TimeRange) -> EncodedChunk {
        let mut encoder = XorEncoder::new();
        times.for_each(|t| encoder.push(t, t as f64));
        EncodedChunk {
            encoding: Encoding::Xor,
            min_time: told.min,
            max_time: told.max,
            data: encoder.finish().into(),
        }
    }

    /// The index decides what a chunk has: the same whether it is decoded with others or by itself.
    #[test]
    fn samples_outside_of_the_range_told_by_the_index_are_left_out() {
        let reach = Reach::new(Reference::new(AtModifier::None, 0), &Steps::new(100, 200, 10), 100, 0);
        let range = TimeRange::new(100, 200);
        let right = chunk(110..=119, TimeRange::new(110, 119));
        for (wrong, expected) in [
            (chunk(120..=139, TimeRange::new(120, 139)), 120..=139),
            (chunk(90..=139, TimeRange::new(120, 139)), 100..=139),
            (chunk(120..=250, TimeRange::new(120, 139)), 120..=139),
        ] {
            let chunks = [right.clone(), wrong, chunk(140..=150, TimeRange::new(140, 150))];
            let expected: Vec<i64> = (110..=119).chain(expected).chain(140..=150).collect();
            let mut together = Samples::default();
            decode_chunks(&chunks, range, &reach, false, &mut together).expect("sound chunks");
            let mut apart = Samples::default();
            for chunk in chunks {
                decode_chunks(&[chunk], range, &reach, false, &mut apart).expect("sound chunks");
            }
            assert_eq!(together.floats.timestamps, expected);
            assert_eq!(apart.floats.timestamps, expected);
            assert!(together.floats.values.iter().zip(&expected).all(|(value, t)| *value == *t as f64));
        }
    }
}
