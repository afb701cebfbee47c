//! Histograms of which only count, sum and reset hint are wanted: their buckets are not expanded.
//!
//! Upstream: `promql/histogram_stats_iterator.go`.

use tithon_chunks::{CounterResetHint, FloatHistogram, HistogramBatch, HistogramRow, Samples, TimeRange};

use super::reach::Reach;

/// Appends those samples of a batch that lie in windows, with their statistics only.
pub(super) fn push(batch: &HistogramBatch, reach: &Reach, out: &mut Samples) {
    let held = |row: &HistogramRow<'_>| reach.within(TimeRange { min: row.t, max: row.t }).is_some();
    let has_starts = batch.start_timestamps().iter().any(|start| *start != 0);
    let rows: Vec<HistogramRow<'_>> = batch.rows().collect();
    let hints = reset_hints(&rows, reach);
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

/// The reset hints of histograms that lose their buckets. An unknown hint is replaced by what the buckets say, compared
/// with those of the histogram that upstream's iterator read before; it has read none after it skipped samples.
fn reset_hints(rows: &[HistogramRow<'_>], reach: &Reach) -> Vec<CounterResetHint> {
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
    for (from, to) in reach.seek_and_end() {
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
