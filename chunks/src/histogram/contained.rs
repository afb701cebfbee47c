//! Buckets of one histogram that all have their place in another: nothing needs to be merged.

use super::Span;
use super::bounds::exponential_bound;
use super::schema::{SCHEMA_MAX, SCHEMA_MIN};

/// Spans and the number of buckets in them.
pub(super) type Layout<'a> = (&'a [Span], usize);

/// Calls `each` with runs of buckets that the two sides share: where the run begins in the buckets of `a`, where in
/// those of `b`, and how long it is. Answers whether all buckets of `b` are in some run; else there may be runs
/// missing. Spans that do not fit their buckets are never contained.
#[inline]
pub(super) fn runs(a: Layout<'_>, b: Layout<'_>, mut each: impl FnMut(usize, usize, usize)) -> bool {
    let n_buckets = |spans: &[Span]| spans.iter().map(|span| u64::from(span.length)).sum::<u64>();
    if n_buckets(a.0) != a.1 as u64 || n_buckets(b.0) != b.1 as u64 {
        return false;
    }
    let Some(first) = a.0.first() else { return b.1 == 0 };
    let mut places = a.0[1..].iter();
    let mut place_start = i64::from(first.offset);
    let mut place_end = place_start + i64::from(first.length);
    let (mut place_at, mut at, mut end) = (0, 0, 0i64);
    for span in b.0 {
        let mut start = end + i64::from(span.offset);
        end = start + i64::from(span.length);
        while start < end {
            if start >= place_end {
                let Some(place) = places.next() else { return false };
                place_at += (place_end - place_start) as usize;
                place_start = place_end + i64::from(place.offset);
                place_end = place_start + i64::from(place.length);
                continue;
            }
            if start < place_start {
                return false;
            }
            let n = (end.min(place_end) - start) as usize;
            each(place_at + (start - place_start) as usize, at, n);
            at += n;
            start += n as i64;
        }
    }
    true
}

/// Whether no bucket lies inside a zero bucket of this width: the first one does not.
pub(super) fn clear_of_zero(spans: &[Span], schema: i32, threshold: f64) -> bool {
    let Some(first) = spans.first() else { return true };
    !(SCHEMA_MIN..=SCHEMA_MAX).contains(&schema)
        || exponential_bound(i64::from(first.offset), schema) > threshold
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(of: &[(i32, u32)]) -> Vec<Span> {
        of.iter().map(|(offset, length)| Span { offset: *offset, length: *length }).collect()
    }

    fn all(a: &[(i32, u32)], b: &[(i32, u32)]) -> Option<Vec<(usize, usize, usize)>> {
        let (a, b) = (spans(a), spans(b));
        let n = |spans: &[Span]| spans.iter().map(|span| span.length as usize).sum();
        let mut out = Vec::new();
        runs((&a, n(&a)), (&b, n(&b)), |a, b, n| out.push((a, b, n))).then_some(out)
    }

    #[test]
    fn runs_cover_what_is_contained() {
        assert_eq!(all(&[(2, 3)], &[(2, 3)]), Some(vec![(0, 0, 3)]));
        assert_eq!(all(&[(2, 5), (1, 2)], &[(3, 2), (3, 1)]), Some(vec![(1, 0, 2), (5, 2, 1)]));
        // Spans that touch may hold one span of the other.
        assert_eq!(all(&[(0, 2), (0, 2)], &[(1, 2)]), Some(vec![(1, 0, 1), (2, 1, 1)]));
        assert_eq!(all(&[(-4, 3)], &[(-3, 1)]), Some(vec![(1, 0, 1)]));
        assert_eq!(all(&[(-4, 2)], &[]), Some(vec![]));
        assert_eq!(all(&[], &[(0, 1)]), None);
        assert_eq!(all(&[(2, 3)], &[(1, 2)]), None);
        assert_eq!(all(&[(2, 3)], &[(4, 2)]), None);
        assert_eq!(all(&[(2, 1), (3, 1)], &[(2, 2)]), None);
        assert!(!runs((&spans(&[(0, 2)]), 1), (&spans(&[(0, 1)]), 1), |_, _, _| {}));
    }
}
