//! Adding, subtracting and scaling histograms, as Prometheus's `model/histogram/float_histogram.go`.
//!
//! One difference: in a sum that was not compacted, buckets next to each other always share a span.

use super::bounds::exponential_bound;
use super::buckets::placed;
use super::contained::{clear_of_zero, runs};
use super::custom::{bounds_match, intersect_bounds, merge_into_bounds};
use super::kahan::{Compensated, kahan_add};
use super::nan;
use super::reduce::reduce;
use super::schema::{CUSTOM_BUCKETS_SCHEMA, SCHEMA_MAX, SCHEMA_MIN};
use super::zero::{pair, reconcile_zero_buckets, unpair};
use super::{CounterResetHint, FloatHistogram, HistogramError, Span};

/// What a caller may want to warn about after an addition or a subtraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Combined {
    /// One histogram's hint says reset, the other's not reset.
    pub counter_reset_collision: bool,
    /// Custom bounds differed and only the common ones are left.
    pub bounds_reconciled: bool,
}

impl FloatHistogram {
    /// Whether the bucket bounds are custom ones.
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// Multiplies all counts and the sum; a negative factor makes a gauge of it.
    pub fn mul(&mut self, factor: f64) {
        self.scale(|count| count * factor);
        if factor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    /// Divides all counts and the sum; a negative divisor makes a gauge of it, zero removes the buckets.
    pub fn div(&mut self, divisor: f64) {
        if divisor == 0.0 {
            self.positive_spans.clear();
            self.negative_spans.clear();
            self.positive_buckets.clear();
            self.negative_buckets.clear();
        }
        self.scale(|count| count / divisor);
        if divisor < 0.0 {
            self.counter_reset_hint = CounterResetHint::Gauge;
        }
    }

    fn scale(&mut self, by: impl Fn(f64) -> f64) {
        for count in [&mut self.zero_count, &mut self.count, &mut self.sum] {
            *count = by(*count);
        }
        for count in self.positive_buckets.iter_mut().chain(&mut self.negative_buckets) {
            *count = by(*count);
        }
    }

    /// Adds `other`. The coarser schema, the wider zero bucket and the common custom bounds win.
    ///
    /// Fails when one has custom buckets and the other has not, or spans and buckets disagree.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<Combined, HistogramError> {
        self.combine(other, false)
    }

    /// Subtracts `other`; like [`FloatHistogram::add`] in all else.
    pub fn sub(&mut self, other: &FloatHistogram) -> Result<Combined, HistogramError> {
        self.combine(other, true)
    }

    fn combine(&mut self, other: &FloatHistogram, negate: bool) -> Result<Combined, HistogramError> {
        let mut combined = self.start_combining(other)?;
        let combine = if negate { nan::difference } else { nan::sum as fn(f64, f64) -> f64 };
        let signed = |count: f64| if negate { nan::negated(count) } else { count };
        if self.uses_custom_buckets() {
            self.combine_totals(other, combine);
            combined.bounds_reconciled = self.combine_custom(other, signed);
            return Ok(combined);
        }
        let (zero_count, _) = reconcile_zero_buckets(self, other, None);
        self.zero_count = combine(self.zero_count, zero_count);
        self.combine_totals(other, combine);
        if self.contains(other) {
            let add = |a: &mut [f64], b: &[f64]| a.iter_mut().zip(b).for_each(|(a, b)| *a += signed(*b));
            add_runs(&self.positive_spans, &mut self.positive_buckets, other.positive_side_parts(), add);
            add_runs(&self.negative_spans, &mut self.negative_buckets, other.negative_side_parts(), add);
            return Ok(combined);
        }
        let schema = self.schema.min(other.schema);
        let threshold = self.zero_threshold;
        let side = |a: (&[Span], &[f64]), b: (&[Span], &[f64])| {
            let a = reduce_to(a, self.schema, schema)?;
            let b = reduce_to(b, other.schema, schema)?;
            let merged = merge((&a.0, &a.1), (&b.0, &b.1), schema, threshold, signed, |a, b| *a += b);
            Ok::<_, HistogramError>(merged)
        };
        let positive = side(
            (&self.positive_spans, &self.positive_buckets),
            (&other.positive_spans, &other.positive_buckets),
        )?;
        let negative = side(
            (&self.negative_spans, &self.negative_buckets),
            (&other.negative_spans, &other.negative_buckets),
        )?;
        (self.positive_spans, self.positive_buckets) = positive;
        (self.negative_spans, self.negative_buckets) = negative;
        self.schema = schema;
        Ok(combined)
    }

    fn combine_totals(&mut self, other: &FloatHistogram, combine: fn(f64, f64) -> f64) {
        self.count = combine(self.count, other.count);
        self.sum = combine(self.sum, other.sum);
    }

    fn combine_custom(&mut self, other: &FloatHistogram, signed: impl Fn(f64) -> f64) -> bool {
        let a = (&self.positive_spans[..], &self.positive_buckets[..]);
        let b = (&other.positive_spans[..], &other.positive_buckets[..]);
        if bounds_match(&self.custom_values, &other.custom_values) {
            let merged = merge(a, b, self.schema, self.zero_threshold, signed, |a, b| *a += b);
            (self.positive_spans, self.positive_buckets) = merged;
            return false;
        }
        let bounds = intersect_bounds(&self.custom_values, &other.custom_values);
        let (spans, merged) = merge_into_bounds(
            &bounds,
            placed(a.0, a.1).map(|(i, count)| (i, [count, 0.0])),
            &self.custom_values,
            placed(b.0, b.1).map(|(i, count)| (i, signed(count))),
            &other.custom_values,
        );
        self.positive_spans = spans;
        self.positive_buckets = unpair(&merged).0;
        self.custom_values = bounds;
        true
    }

    /// Adds `other` with compensation for rounding, which is kept in `lost`, a histogram of the same layout made at
    /// the first call. Add it to the sum at the end.
    pub fn kahan_add(
        &mut self,
        other: &FloatHistogram,
        lost: &mut Option<FloatHistogram>,
    ) -> Result<Combined, HistogramError> {
        let mut combined = self.start_combining(other)?;
        let c = lost.get_or_insert_with(|| self.new_compensation());
        let inc = |sum: &mut f64, c: &mut f64, by: f64| (*sum, *c) = kahan_add(by, *sum, *c);
        if self.uses_custom_buckets() {
            inc(&mut self.count, &mut c.count, other.count);
            inc(&mut self.sum, &mut c.sum, other.sum);
            combined.bounds_reconciled = self.kahan_add_custom(other, c);
            return Ok(combined);
        }
        let (zero_count, zero_lost) = reconcile_zero_buckets(self, other, Some(c));
        inc(&mut self.zero_count, &mut c.zero_count, zero_count);
        inc(&mut self.zero_count, &mut c.zero_count, zero_lost);
        inc(&mut self.count, &mut c.count, other.count);
        inc(&mut self.sum, &mut c.sum, other.sum);
        let compensates = c.positive_buckets.len() == self.positive_buckets.len()
            && c.negative_buckets.len() == self.negative_buckets.len();
        if compensates && self.contains(other) {
            let add = |sums: &mut [f64], lost: &mut [f64], (spans, by): (&[Span], &[f64]), own: &[Span]| {
                runs((own, sums.len()), (spans, by.len()), |a, b, n| {
                    let sums = sums[a..a + n].iter_mut().zip(&mut lost[a..a + n]);
                    sums.zip(&by[b..b + n]).for_each(|((sum, c), by)| inc(sum, c, *by));
                });
            };
            let (positive, negative) = (other.positive_side_parts(), other.negative_side_parts());
            add(&mut self.positive_buckets, &mut c.positive_buckets, positive, &self.positive_spans);
            add(&mut self.negative_buckets, &mut c.negative_buckets, negative, &self.negative_spans);
            c.positive_spans.clone_from(&self.positive_spans);
            c.negative_spans.clone_from(&self.negative_spans);
            (c.schema, c.zero_threshold) = (self.schema, self.zero_threshold);
            return Ok(combined);
        }
        let schema = self.schema.min(other.schema);
        let threshold = self.zero_threshold;
        let side = |a: (&[Span], &[f64]), lost: &[f64], b: (&[Span], &[f64])| {
            let (a_spans, a) = reduce_to((a.0, &pair(a.1, lost)), self.schema, schema)?;
            let none = vec![0.0; b.1.len()];
            let (b_spans, b) = reduce_to((b.0, &pair(b.1, &none)), other.schema, schema)?;
            Ok::<_, HistogramError>(merge((&a_spans, &a), (&b_spans, &b), schema, threshold, |b| b, add_pair))
        };
        let (positive_spans, positive) = side(
            (&self.positive_spans, &self.positive_buckets),
            &c.positive_buckets,
            (&other.positive_spans, &other.positive_buckets),
        )?;
        let (negative_spans, negative) = side(
            (&self.negative_spans, &self.negative_buckets),
            &c.negative_buckets,
            (&other.negative_spans, &other.negative_buckets),
        )?;
        (self.positive_buckets, c.positive_buckets) = unpair(&positive);
        (self.negative_buckets, c.negative_buckets) = unpair(&negative);
        (self.positive_spans, self.negative_spans, self.schema) = (positive_spans, negative_spans, schema);
        c.positive_spans.clone_from(&self.positive_spans);
        c.negative_spans.clone_from(&self.negative_spans);
        (c.schema, c.zero_threshold) = (schema, self.zero_threshold);
        Ok(combined)
    }

    fn kahan_add_custom(&mut self, other: &FloatHistogram, c: &mut FloatHistogram) -> bool {
        let pairs = pair(&self.positive_buckets, &c.positive_buckets);
        let reconciled = !bounds_match(&self.custom_values, &other.custom_values);
        let (spans, merged) = if reconciled {
            let bounds = intersect_bounds(&self.custom_values, &other.custom_values);
            let out = merge_into_bounds(
                &bounds,
                placed(&self.positive_spans, &pairs).map(|(i, pair)| (i, [pair.sum, pair.lost])),
                &self.custom_values,
                placed(&other.positive_spans, &other.positive_buckets),
                &other.custom_values,
            );
            c.custom_values.clone_from(&bounds);
            self.custom_values = bounds;
            out
        } else {
            let b: Vec<_> =
                other.positive_buckets.iter().map(|sum| Compensated { sum: *sum, lost: 0.0 }).collect();
            let b = (&other.positive_spans[..], &b[..]);
            merge((&self.positive_spans, &pairs), b, self.schema, self.zero_threshold, |b| b, add_pair)
        };
        (self.positive_buckets, c.positive_buckets) = unpair(&merged);
        c.positive_spans.clone_from(&spans);
        self.positive_spans = spans;
        reconciled
    }

    /// Whether each bucket of `other` has its place here, with the same bounds, outside of the zero bucket.
    fn contains(&self, other: &FloatHistogram) -> bool {
        let threshold = self.zero_threshold;
        self.schema == other.schema
            && clear_of_zero(&other.positive_spans, other.schema, threshold)
            && clear_of_zero(&other.negative_spans, other.schema, threshold)
            && runs(
                (&self.positive_spans, self.positive_buckets.len()),
                (&other.positive_spans, other.positive_buckets.len()),
                |_, _, _| {},
            )
            && runs(
                (&self.negative_spans, self.negative_buckets.len()),
                (&other.negative_spans, other.negative_buckets.len()),
                |_, _, _| {},
            )
    }

    fn positive_side_parts(&self) -> (&[Span], &[f64]) {
        (&self.positive_spans, &self.positive_buckets)
    }

    fn negative_side_parts(&self) -> (&[Span], &[f64]) {
        (&self.negative_spans, &self.negative_buckets)
    }

    fn new_compensation(&self) -> FloatHistogram {
        FloatHistogram {
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive_buckets: vec![0.0; self.positive_buckets.len()],
            negative_buckets: vec![0.0; self.negative_buckets.len()],
            ..self.clone()
        }
    }

    /// Checks that the two may be combined, and sets the hint of the result.
    fn start_combining(&mut self, other: &FloatHistogram) -> Result<Combined, HistogramError> {
        if self.uses_custom_buckets() != other.uses_custom_buckets() {
            return Err(HistogramError::IncompatibleSchema);
        }
        use CounterResetHint::{Gauge, NotReset, Reset, Unknown};
        let pair = (self.counter_reset_hint, other.counter_reset_hint);
        let counter_reset_collision = matches!(pair, (Reset, NotReset) | (NotReset, Reset));
        self.counter_reset_hint = match pair {
            (a, b) if a == b => a,
            (Gauge, _) | (_, Gauge) => Gauge,
            _ => Unknown,
        };
        Ok(Combined { counter_reset_collision, bounds_reconciled: false })
    }

    /// Becomes equal to `other`, in the memory that it has.
    pub fn assign(&mut self, other: &FloatHistogram) {
        let FloatHistogram {
            counter_reset_hint,
            schema,
            zero_threshold,
            zero_count,
            count,
            sum,
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            custom_values,
        } = self;
        (*counter_reset_hint, *schema) = (other.counter_reset_hint, other.schema);
        (*zero_threshold, *zero_count) = (other.zero_threshold, other.zero_count);
        (*count, *sum) = (other.count, other.sum);
        positive_spans.clone_from(&other.positive_spans);
        negative_spans.clone_from(&other.negative_spans);
        positive_buckets.clone_from(&other.positive_buckets);
        negative_buckets.clone_from(&other.negative_buckets);
        custom_values.clone_from(&other.custom_values);
    }

    /// A copy with the coarser (or same) schema `to`. The reset hint of a reduced copy is unknown.
    pub fn copy_to_schema(&self, to: i32) -> Result<FloatHistogram, HistogramError> {
        let mut copy = self.clone();
        if to != self.schema {
            copy.reduce_resolution(to)?;
            copy.counter_reset_hint = CounterResetHint::Unknown;
        }
        Ok(copy)
    }

    /// Whether a count, the sum or a bound is infinite.
    pub fn has_overflow(&self) -> bool {
        let fields = [self.zero_count, self.count, self.sum];
        let buckets = self.positive_buckets.iter().chain(&self.negative_buckets);
        fields.iter().chain(buckets).chain(&self.custom_values).any(|value| value.is_infinite())
    }

    /// Size in memory as Prometheus counts it for its sample limits, in bytes.
    pub fn size_bytes(&self) -> usize {
        let lists = self.positive_spans.len() + self.negative_spans.len() + self.positive_buckets.len();
        168 + 8 * (lists + self.negative_buckets.len() + self.custom_values.len())
    }
}

/// Adds buckets to those of spans that contain theirs.
fn add_runs(
    spans: &[Span],
    buckets: &mut [f64],
    (other_spans, others): (&[Span], &[f64]),
    add: impl Fn(&mut [f64], &[f64]),
) {
    runs((spans, buckets.len()), (other_spans, others.len()), |a, b, n| {
        add(&mut buckets[a..a + n], &others[b..b + n]);
    });
}

fn add_pair(a: &mut Compensated, b: Compensated) {
    a.add(b.sum);
    if b.lost != 0.0 {
        a.add(b.lost);
    }
}

fn reduce_to<T: Copy + std::ops::AddAssign>(
    (spans, buckets): (&[Span], &[T]),
    from: i32,
    to: i32,
) -> Result<(Vec<Span>, Vec<T>), HistogramError> {
    if from == to {
        return Ok((spans.to_vec(), buckets.to_vec()));
    }
    reduce(spans, buckets, from, to)
}

/// Merges the buckets of `b`, each through `signed`, into those of `a`. Leading buckets of `b` inside the zero
/// threshold are left out: they are in its zero count.
fn merge<T: Copy>(
    a: (&[Span], &[T]),
    b: (&[Span], &[T]),
    schema: i32,
    threshold: f64,
    signed: impl Fn(T) -> T,
    add: impl Fn(&mut T, T),
) -> (Vec<Span>, Vec<T>) {
    let exponential = (SCHEMA_MIN..=SCHEMA_MAX).contains(&schema);
    let mut b = placed(b.0, b.1)
        .skip_while(|(index, _)| exponential && exponential_bound(*index, schema) <= threshold)
        .peekable();
    let mut added = Vec::new();
    let mut buckets = Vec::with_capacity(a.1.len());
    for (index, mut count) in placed(a.0, a.1) {
        while let Some((new_index, new)) = b.next_if(|(new_index, _)| *new_index < index) {
            added.push(new_index);
            buckets.push(signed(new));
        }
        if let Some((_, other)) = b.next_if(|(other_index, _)| *other_index == index) {
            add(&mut count, signed(other));
        }
        buckets.push(count);
    }
    for (index, count) in b {
        added.push(index);
        buckets.push(signed(count));
    }
    (extend_spans(a.0, &added), buckets)
}

/// The spans with further buckets, given ascending. As upstream, a bucket extends the span before it, else the one
/// behind it, and spans that come to touch stay two: chunks tell the layout.
fn extend_spans(spans: &[Span], added: &[i64]) -> Vec<Span> {
    let mut end = 0;
    let mut places: Vec<(i64, i64)> = Vec::with_capacity(spans.len() + added.len());
    for span in spans {
        let start = end + i64::from(span.offset);
        end = start + i64::from(span.length);
        places.push((start, end));
    }
    let mut behind = 0;
    for &index in added {
        behind += places[behind..].iter().take_while(|(start, _)| *start <= index).count();
        if behind > 0 && places[behind - 1].1 == index {
            places[behind - 1].1 += 1;
        } else if places.get(behind).is_some_and(|(start, _)| *start == index + 1) {
            places[behind].0 -= 1;
        } else {
            places.insert(behind, (index, index + 1));
        }
    }
    let mut last = 0;
    let relative = |(start, end): (i64, i64)| {
        let span = Span { offset: (start - last) as i32, length: (end - start) as u32 };
        last = end;
        span
    };
    places.into_iter().map(relative).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::histogram_chunk::spans_of;

    /// A histogram with the buckets whose places are set.
    fn histogram(places: &[bool], counts: &[f64]) -> FloatHistogram {
        let set: Vec<usize> = (0..places.len()).filter(|i| places[*i]).collect();
        let indexes: Vec<i64> = set.iter().map(|i| *i as i64 - 5).collect();
        let buckets: Vec<f64> = set.iter().map(|i| counts[*i]).collect();
        FloatHistogram {
            schema: 1,
            count: buckets.iter().sum(),
            positive_spans: spans_of(&indexes),
            positive_buckets: buckets,
            ..FloatHistogram::default()
        }
    }

    proptest! {
        /// Buckets added in place are those that merging gives.
        #[test]
        fn adding_in_place_is_merging(
            a in proptest::collection::vec(any::<bool>(), 12),
            b in proptest::collection::vec(any::<bool>(), 12),
            counts in proptest::collection::vec(0.0..9.0f64, 24),
            contained in any::<bool>(),
            negate in any::<bool>(),
        ) {
            let b: Vec<bool> = b.iter().zip(&a).map(|(b, a)| *b && (*a || !contained)).collect();
            let (x, y) = (histogram(&a, &counts[..12]), histogram(&b, &counts[12..]));
            let signed = |count: f64| if negate { -count } else { count };
            let parts = |h: &FloatHistogram| (h.positive_spans.clone(), h.positive_buckets.clone());
            let ((xs, xb), (ys, yb)) = (parts(&x), parts(&y));
            let expected = merge((&xs, &xb), (&ys, &yb), 1, 0.0, signed, |a, b| *a += b);
            prop_assert!(!contained || x.contains(&y));
            let mut sum = x.clone();
            prop_assert!(sum.combine(&y, negate).is_ok());
            prop_assert_eq!(parts(&sum), expected);
            let mut twice = (x.clone(), None);
            let pairs = |h: &FloatHistogram, lost: &[f64]| pair(&h.positive_buckets, lost);
            let none = |h: &FloatHistogram| vec![0.0; h.positive_buckets.len()];
            let (spans, merged) =
                merge((&xs, &pairs(&x, &none(&x))), (&ys, &pairs(&y, &none(&y))), 1, 0.0, |b| b, add_pair);
            prop_assert!(twice.0.kahan_add(&y, &mut twice.1).is_ok());
            let lost = twice.1.unwrap_or_default();
            prop_assert_eq!((parts(&twice.0), &lost.positive_spans), ((spans, unpair(&merged).0), &twice.0.positive_spans));
            prop_assert_eq!(lost.positive_buckets, unpair(&merged).1);
        }
    }
}
