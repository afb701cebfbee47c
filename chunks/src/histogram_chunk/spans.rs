//! Bringing the bucket layouts of a chunk and of a new sample together.

use crate::Span;

/// How two layouts of one side (positive or negative) relate.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Reconciled {
    /// The sample has buckets that the chunk lacks: the chunk must be written anew.
    pub(crate) chunk_grows: bool,
    /// The chunk has buckets that the sample lacks: the sample is filled up with empty ones.
    pub(crate) sample_grows: bool,
    /// Indexes of all buckets of both, ascending.
    pub(crate) merged: Vec<i64>,
}

/// Index of each bucket in `spans`.
pub(crate) fn indexes(spans: &[Span]) -> Vec<i64> {
    let mut out = Vec::new();
    let mut next = 0i64;
    for span in spans {
        next += i64::from(span.offset);
        out.extend(next..next + i64::from(span.length));
        next += i64::from(span.length);
    }
    out
}

/// The spans of ascending bucket indexes; adjacent buckets share one.
pub(crate) fn spans_of(indexes: &[i64]) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    let mut next = 0i64;
    for index in indexes {
        match out.last_mut() {
            Some(span) if *index == next => span.length += 1,
            _ => out.push(Span { offset: (index - next) as i32, length: 1 }),
        }
        next = index + 1;
    }
    out
}

/// Compares the layouts bucket by bucket; `None` when `is_reset` says so of the counts of one bucket. A bucket that
/// the sample lacks is given as `None`.
pub(crate) fn reconcile<T: Copy>(
    chunk: (&[Span], &[T]),
    sample: (&[Span], &[T]),
    is_reset: impl Fn(T, Option<T>) -> bool,
) -> Option<Reconciled> {
    if chunk.0 == sample.0 {
        let reset = chunk.1.iter().zip(sample.1).any(|(a, b)| is_reset(*a, Some(*b)));
        return (!reset).then(Reconciled::default);
    }
    let (chunk_at, sample_at) = (indexes(chunk.0), indexes(sample.0));
    let mut out = Reconciled::default();
    let (mut i, mut j) = (0, 0);
    while i < chunk_at.len() || j < sample_at.len() {
        let a = chunk_at.get(i).copied().unwrap_or(i64::MAX);
        let b = sample_at.get(j).copied().unwrap_or(i64::MAX);
        if a <= b && is_reset(chunk.1[i], (a == b).then(|| sample.1[j])) {
            return None;
        }
        out.merged.push(a.min(b));
        out.sample_grows |= a < b;
        out.chunk_grows |= b < a;
        i += usize::from(a <= b);
        j += usize::from(b <= a);
    }
    Some(out)
}

/// The counts of `buckets` laid out by `from`, laid out by `to`, which has all of their buckets; others are `empty`.
pub(crate) fn spread<T: Copy>(buckets: &[T], from: &[Span], to: &[Span], empty: T) -> Vec<T> {
    if from == to {
        return buckets.to_vec();
    }
    let from = indexes(from);
    let mut taken = 0;
    indexes(to)
        .into_iter()
        .map(|index| {
            if from.get(taken) == Some(&index) {
                taken += 1;
                buckets[taken - 1]
            } else {
                empty
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(list: &[(i32, u32)]) -> Vec<Span> {
        list.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
    }

    #[test]
    fn layouts_with_gaps_merge() {
        let (a, b) = (spans(&[(0, 2), (2, 1)]), spans(&[(1, 1), (0, 0), (1, 2)]));
        assert_eq!(indexes(&a), [0, 1, 4]);
        assert_eq!(indexes(&b), [1, 3, 4]);
        let merged = reconcile((&a, &[0, 5, 6]), (&b, &[5, 1, 9]), |a, b| a > b.unwrap_or(0)).unwrap();
        assert_eq!(merged, Reconciled { chunk_grows: true, sample_grows: true, merged: vec![0, 1, 3, 4] });
        let all = spans_of(&merged.merged);
        assert_eq!(all, spans(&[(0, 2), (1, 2)]));
        assert_eq!(spread(&[0, 5, 6], &a, &all, 0), [0, 5, 0, 6]);
        assert_eq!(spread(&[5, 1, 9], &b, &all, 0), [0, 5, 1, 9]);
        assert!(reconcile((&a, &[1, 5, 6]), (&b, &[5, 1, 9]), |a, b| a > b.unwrap_or(0)).is_none());
    }
}
