//! Histogram appends in, the same histograms out: across cut chunks, new buckets and stale markers.

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use tithon_chunks::{
    CounterResetHint, Encoder, FloatHistogram, FloatHistogramEncoder, Histogram, HistogramEncoder,
    HistogramKind, STALE_NAN_BITS, SampleValue, Span, decode_exact,
};

/// One histogram to append: what is added to the one before, or to none.
#[derive(Arbitrary, Clone, Debug)]
pub struct Append {
    /// Time since the sample before, in milliseconds.
    pub delta: i64,
    /// Start timestamp, 0 for none.
    pub start: i64,
    /// Bits 0 and 1, if bit 5 is set: what it is told about resets. Bits 2 and 3 both set: it begins anew, with another schema. Bit 4: it
    /// leaves empty buckets out. Bits 5 to 7 all set: a stale marker.
    pub flags: u8,
    /// Bits of the sum.
    pub sum: u64,
    /// Observations more, in all and in the zero bucket.
    pub counts: (u16, u16),
    /// Index and observations more of positive buckets.
    pub positive: Vec<(i8, u8)>,
    /// Likewise, negative.
    pub negative: Vec<(i8, u8)>,
}

/// Most samples, and buckets of an append, that are looked at.
const SAMPLES_MAX: usize = 150;
const BUCKETS_MAX: usize = 20;

/// What is written and read back must be the same but for buckets without observations, in all four encodings.
pub fn round_trip(appends: &[Append]) {
    let mut t = 0i64;
    let mut state = State::default();
    let mut ints = Vec::new();
    for append in appends.iter().take(SAMPLES_MAX) {
        t = t.wrapping_add(append.delta);
        ints.push((t, append.start, state.next(append)));
    }
    let floats: Vec<_> = ints.iter().map(|(t, start, h)| (*t, *start, h.to_float())).collect();
    let expected: Vec<Seen> = floats.iter().map(|(t, start, h)| seen(*t, *start, h)).collect();
    for with_starts in [false, true] {
        let mut expected = expected.clone();
        if !with_starts {
            expected.iter_mut().for_each(|sample| sample.1 = 0);
        }
        assert_eq!(written_and_read(HistogramEncoder::new(with_starts), &ints), expected);
        assert_eq!(written_and_read(FloatHistogramEncoder::new(with_starts), &floats), expected);
    }
}

/// A histogram that grows.
#[derive(Default)]
struct State {
    schema: i32,
    count: u64,
    zero_count: u64,
    positive: BTreeMap<i32, i64>,
    negative: BTreeMap<i32, i64>,
}

impl State {
    fn next(&mut self, append: &Append) -> Histogram {
        let has = |bits: u8| append.flags & bits == bits;
        if has(0b1100) {
            *self = State { schema: i32::from(append.flags % 13) - 4, ..State::default() };
        }
        self.count += u64::from(append.counts.0);
        self.zero_count += u64::from(append.counts.1);
        for (side, more) in [(&mut self.positive, &append.positive), (&mut self.negative, &append.negative)] {
            for (index, n) in more.iter().take(BUCKETS_MAX) {
                *side.entry(i32::from(*index)).or_default() += i64::from(*n);
            }
        }
        let hints = [
            CounterResetHint::Unknown,
            CounterResetHint::Reset,
            CounterResetHint::NotReset,
            CounterResetHint::Gauge,
        ];
        let keep_empty = !has(0b1_0000);
        let (positive_spans, positive_buckets) = side(&self.positive, keep_empty);
        let (negative_spans, negative_buckets) = side(&self.negative, keep_empty);
        Histogram {
            counter_reset_hint: hints[if has(0b10_0000) { usize::from(append.flags & 3) } else { 0 }],
            schema: self.schema,
            zero_threshold: 0.0,
            zero_count: self.zero_count,
            count: self.count,
            sum: f64::from_bits(if has(0b1110_0000) { STALE_NAN_BITS } else { append.sum }),
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            custom_values: Vec::new(),
        }
    }
}

/// A span a bucket, and the buckets as differences.
fn side(buckets: &BTreeMap<i32, i64>, keep_empty: bool) -> (Vec<Span>, Vec<i64>) {
    let (mut next, mut last) = (0, 0);
    let each = buckets.iter().filter(|bucket| keep_empty || *bucket.1 != 0).map(|(index, count)| {
        let offset = index - std::mem::replace(&mut next, index + 1);
        (Span { offset, length: 1 }, count - std::mem::replace(&mut last, *count))
    });
    each.unzip()
}

/// Time, start, bits of sum, count and zero count, and the buckets with observations: what a round trip keeps.
type Seen = (i64, i64, [u64; 3], i32, Vec<(i64, u64)>);

fn seen(t: i64, start: i64, h: &FloatHistogram) -> Seen {
    let bits = h.sum.to_bits();
    if bits == STALE_NAN_BITS {
        return (t, start, [bits, 0, 0], 0, Vec::new());
    }
    let buckets =
        h.negative_side().map(|b| (b.index, b.count)).chain(h.positive_side().map(|b| (b.index, b.count)));
    let buckets = buckets.filter(|b| b.1 != 0.0).map(|b| (b.0, b.1.to_bits())).collect();
    (t, start, [bits, h.count.to_bits(), h.zero_count.to_bits()], h.schema, buckets)
}

fn written_and_read<K: HistogramKind>(first: Encoder<K>, samples: &[(i64, i64, K::Histogram)]) -> Vec<Seen> {
    let mut chunks = Vec::new();
    let mut now = first;
    for (t, start, h) in samples {
        let previous = chunks.last();
        let next = now.push(previous, *start, *t, h).expect("spans and buckets agree");
        if let Some(next) = next {
            chunks.push(std::mem::replace(&mut now, next));
        }
    }
    chunks.push(now);
    let mut out = Vec::new();
    for chunk in chunks {
        let mut decoded = Vec::new();
        decode_exact(chunk.encoding(), &chunk.finish(), &mut decoded).expect("what was written is read");
        out.extend(decoded.iter().map(|sample| match &sample.value {
            SampleValue::Histogram(h) => seen(sample.t.0, sample.st.0, &h.to_float()),
            SampleValue::FloatHistogram(h) => seen(sample.t.0, sample.st.0, h),
            SampleValue::Float(value) => unreachable!("a histogram chunk holds {value}"),
        }));
    }
    out
}
