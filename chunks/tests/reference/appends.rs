//! Random histograms, one after the other, as a changing target gives them.

use std::collections::BTreeMap;

use proptest::prelude::*;
use tithon_chunks::{CounterResetHint, FloatHistogram, Histogram, STALE_NAN_BITS, Sample, SampleValue, Span};

/// What happens to a target between two samples.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// Observations: on which side (negative?), in which bucket, how many.
    Observe(Vec<(bool, i32, u64)>),
    /// The zero bucket gets some.
    ObserveZero(u64),
    /// All counts fall to 0, the buckets stay.
    Fall,
    /// Empty buckets go.
    DropEmpty,
    /// All buckets go.
    Restart,
    /// Another schema or other bounds.
    Relayout(u8),
    /// Another zero threshold.
    Threshold(u8),
    /// Any sum.
    Sum(u64),
    /// The next sample is the stale marker.
    Stale,
    /// What the next samples say about resets.
    Hint(CounterResetHint),
    /// The chunk is complete; the next one knows it.
    Cut,
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    let count = prop_oneof![6 => 0u64..9, 3 => 0u64..100_000, 1 => 0u64..1 << 45];
    let observed = (any::<bool>(), -12i32..12, count.clone());
    prop_oneof![
        30 => prop::collection::vec(observed, 0..4).prop_map(Event::Observe),
        6 => count.prop_map(Event::ObserveZero),
        1 => Just(Event::Fall),
        1 => Just(Event::DropEmpty),
        1 => Just(Event::Restart),
        1 => any::<u8>().prop_map(Event::Relayout),
        1 => any::<u8>().prop_map(Event::Threshold),
        2 => any::<u64>().prop_map(Event::Sum),
        1 => Just(Event::Stale),
        1 => prop_oneof![
            Just(CounterResetHint::Unknown),
            Just(CounterResetHint::Reset),
            Just(CounterResetHint::NotReset),
            Just(CounterResetHint::Gauge),
        ]
        .prop_map(Event::Hint),
        1 => Just(Event::Cut),
    ]
}

/// The state of a target.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    schema: i32,
    zero_threshold: f64,
    zero_count: u64,
    sum: f64,
    positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
    bounds: Vec<f64>,
    hint: CounterResetHint,
}

const SCHEMAS: [i32; 5] = [0, 3, 8, -4, 1];
const THRESHOLDS: [f64; 4] = [0.0, 2.938735877055719e-39, 0.001, 1024.0];
const BOUNDS: [&[f64]; 4] =
    [&[0.005, 0.25, 1.0, 2.5, 33_554.43], &[-1.0, 0.1, 0.123456789], &[], &[0.25, 1e9]];

impl Target {
    pub(crate) fn new(custom: bool) -> Target {
        let mut target = Target { schema: if custom { -53 } else { 0 }, ..Target::default() };
        target.apply(&Event::Relayout(0));
        target
    }

    pub(crate) fn apply(&mut self, event: &Event) {
        let custom = self.schema == -53;
        match event {
            Event::Observe(observed) => {
                for (negative, index, n) in observed {
                    let index = if custom { index.rem_euclid(self.bounds.len() as i32 + 1) } else { *index };
                    let side = if *negative && !custom { &mut self.negative } else { &mut self.positive };
                    *side.entry(index).or_default() += n;
                    self.sum += f64::from(index) * *n as f64;
                }
            }
            Event::ObserveZero(n) if !custom => self.zero_count += n,
            Event::Fall => {
                self.positive.values_mut().chain(self.negative.values_mut()).for_each(|n| *n = 0);
                (self.zero_count, self.sum) = (0, 0.0);
            }
            Event::DropEmpty => {
                self.positive.retain(|_, n| *n != 0);
                self.negative.retain(|_, n| *n != 0);
            }
            Event::Restart => {
                self.positive.clear();
                self.negative.clear();
            }
            Event::Relayout(k) => {
                if custom {
                    self.bounds = BOUNDS[usize::from(*k) % BOUNDS.len()].to_vec();
                } else {
                    self.schema = SCHEMAS[usize::from(*k) % SCHEMAS.len()];
                }
                self.apply(&Event::Restart);
            }
            Event::Threshold(k) if !custom => {
                self.zero_threshold = THRESHOLDS[usize::from(*k) % THRESHOLDS.len()];
            }
            Event::Sum(bits) => self.sum = f64::from_bits(*bits),
            Event::Hint(hint) => self.hint = *hint,
            Event::ObserveZero(_) | Event::Threshold(_) | Event::Stale | Event::Cut => {}
        }
    }

    fn count(&self) -> u64 {
        self.zero_count + self.positive.values().sum::<u64>() + self.negative.values().sum::<u64>()
    }

    /// The sample's histogram, with spans of at most `piece` buckets.
    pub(crate) fn histogram(&self, piece: u32, stale: bool) -> Histogram {
        let deltas = |side: &BTreeMap<i32, u64>| {
            let mut last = 0;
            side.values().map(|n| *n as i64 - std::mem::replace(&mut last, *n as i64)).collect()
        };
        Histogram {
            counter_reset_hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count,
            count: self.count(),
            sum: self.sum_or_stale(stale),
            positive_spans: spans(&self.positive, piece),
            negative_spans: spans(&self.negative, piece),
            positive_buckets: deltas(&self.positive),
            negative_buckets: deltas(&self.negative),
            custom_values: self.bounds.clone(),
        }
    }

    /// The same with float counts, a quarter of the integer ones.
    pub(crate) fn float_histogram(&self, piece: u32, stale: bool) -> FloatHistogram {
        let quarter = |n: u64| n as f64 / 4.0;
        FloatHistogram {
            counter_reset_hint: self.hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: quarter(self.zero_count),
            count: quarter(self.count()),
            sum: self.sum_or_stale(stale),
            positive_spans: spans(&self.positive, piece),
            negative_spans: spans(&self.negative, piece),
            positive_buckets: self.positive.values().copied().map(quarter).collect(),
            negative_buckets: self.negative.values().copied().map(quarter).collect(),
            custom_values: self.bounds.clone(),
        }
    }

    fn sum_or_stale(&self, stale: bool) -> f64 {
        if stale { f64::from_bits(STALE_NAN_BITS) } else { self.sum }
    }
}

fn spans(side: &BTreeMap<i32, u64>, piece: u32) -> Vec<Span> {
    let mut out: Vec<Span> = Vec::new();
    let mut next = 0;
    for index in side.keys() {
        match out.last_mut() {
            Some(last) if next == *index && last.length < piece => last.length += 1,
            Some(_) => out.push(Span { offset: index - next, length: 1 }),
            None => out.push(Span { offset: *index, length: 1 }),
        }
        next = index + 1;
    }
    out
}

/// What a sample says, however its buckets are laid out: its numbers, and its buckets that are not empty.
#[derive(Debug, PartialEq)]
pub(crate) struct Said {
    t: i64,
    st: i64,
    numbers: [u64; 5],
    buckets: [BTreeMap<i32, u64>; 2],
    bounds: Vec<u64>,
}

pub(crate) fn said(sample: &Sample) -> Said {
    let (t, st) = (sample.t.0, sample.st.0);
    match &sample.value {
        SampleValue::Float(_) => panic!("not a histogram"),
        SampleValue::Histogram(h) if h.sum.to_bits() == STALE_NAN_BITS => stale(t, st),
        SampleValue::FloatHistogram(h) if h.sum.to_bits() == STALE_NAN_BITS => stale(t, st),
        SampleValue::Histogram(h) => {
            let counts = |deltas: &[i64]| {
                deltas
                    .iter()
                    .scan(0i64, |n, delta| {
                        *n += delta;
                        Some(*n as u64)
                    })
                    .collect::<Vec<_>>()
            };
            Said {
                t,
                st,
                numbers: [
                    h.schema as u64,
                    h.zero_threshold.to_bits(),
                    h.zero_count,
                    h.count,
                    h.sum.to_bits(),
                ],
                buckets: [
                    buckets(&h.positive_spans, counts(&h.positive_buckets)),
                    buckets(&h.negative_spans, counts(&h.negative_buckets)),
                ],
                bounds: h.custom_values.iter().map(|bound| bound.to_bits()).collect(),
            }
        }
        SampleValue::FloatHistogram(h) => {
            let numbers = [h.zero_threshold, h.zero_count, h.count, h.sum].map(f64::to_bits);
            let bits = |values: &[f64]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            Said {
                t,
                st,
                numbers: [h.schema as u64, numbers[0], numbers[1], numbers[2], numbers[3]],
                buckets: [
                    buckets(&h.positive_spans, bits(&h.positive_buckets)),
                    buckets(&h.negative_spans, bits(&h.negative_buckets)),
                ],
                bounds: bits(&h.custom_values),
            }
        }
    }
}

fn stale(t: i64, st: i64) -> Said {
    Said { t, st, numbers: [0, 0, 0, 0, STALE_NAN_BITS], buckets: Default::default(), bounds: Vec::new() }
}

fn buckets(spans: &[Span], counts: Vec<u64>) -> BTreeMap<i32, u64> {
    let mut next = 0;
    let indexes = spans.iter().flat_map(|span| {
        let first = next + span.offset;
        next = first + span.length as i32;
        first..next
    });
    indexes.zip(counts).filter(|(_, n)| *n != 0).collect()
}
