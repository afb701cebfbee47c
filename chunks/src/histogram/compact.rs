//! Leaving out empty buckets.

use super::buckets::placed;
use super::{FloatHistogram, Span};
use crate::histogram_chunk::spans_of;

/// Keeps buckets that are not empty, and empty ones between two of them when at most `max_empty` lie in a row.
pub(crate) fn compact<T: Copy + Default>(
    spans: &mut Vec<Span>,
    buckets: &mut Vec<T>,
    max_empty: usize,
    is_empty: impl Fn(T) -> bool,
) {
    if max_empty == 0 {
        return compact_all(spans, buckets, is_empty);
    }
    let mut indexes: Vec<i64> = Vec::with_capacity(buckets.len());
    let mut kept: Vec<T> = Vec::with_capacity(buckets.len());
    let mut skipped: Vec<(i64, T)> = Vec::new();
    for (index, count) in placed(spans, buckets) {
        if is_empty(count) {
            skipped.push((index, count));
            continue;
        }
        if let Some(last) = indexes.last().copied()
            && index - last - 1 <= i64::try_from(max_empty).unwrap_or(i64::MAX)
        {
            let mut seen = skipped.iter().peekable();
            for between in last + 1..index {
                let stored = seen.next_if(|(at, _)| *at == between);
                indexes.push(between);
                kept.push(stored.map_or(T::default(), |(_, count)| *count));
            }
        }
        skipped.clear();
        indexes.push(index);
        kept.push(count);
    }
    *spans = spans_of(&indexes);
    *buckets = kept;
}

/// Keeps no empty bucket; without memory for lists of places.
fn compact_all<T: Copy>(spans: &mut Vec<Span>, buckets: &mut Vec<T>, is_empty: impl Fn(T) -> bool) {
    let mut kept_spans: Vec<Span> = Vec::with_capacity(spans.len());
    // Behind the last bucket kept: the index, and the place.
    let (mut next, mut n_kept) = (0i64, 0);
    let (mut at, mut end) = (0, 0i64);
    for span in spans.iter() {
        let start = end + i64::from(span.offset);
        end = start + i64::from(span.length);
        for index in start..end {
            let Some(count) = buckets.get(at).copied() else { break };
            at += 1;
            if is_empty(count) {
                continue;
            }
            match kept_spans.last_mut() {
                Some(span) if index == next => span.length += 1,
                _ => kept_spans.push(Span { offset: (index - next) as i32, length: 1 }),
            }
            next = index + 1;
            buckets[n_kept] = count;
            n_kept += 1;
        }
    }
    buckets.truncate(n_kept);
    *spans = kept_spans;
}

impl FloatHistogram {
    /// Removes empty buckets at the ends of spans and runs of more than `max_empty` of them inside, and joins spans
    /// with at most `max_empty` buckets between them.
    pub fn compact(&mut self, max_empty: usize) {
        compact(&mut self.positive_spans, &mut self.positive_buckets, max_empty, |count| count == 0.0);
        compact(&mut self.negative_spans, &mut self.negative_buckets, max_empty, |count| count == 0.0);
    }
}
