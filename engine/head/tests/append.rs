//! What a head takes and refuses, and how its log keeps kinds of samples in order.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use tithon_chunks::{
    CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Histogram, STALE_NAN_BITS, Sample, SampleValue, Span, TimeRange,
    decode_exact,
};
use tithon_engine::SelectRequest;
use tithon_head::{Head, HeadOptions, NewSample, NewValue, Refusal};
use tithon_index::{Labels, MatchOp, Matcher};

fn open(dir: &std::path::Path) -> Head {
    Head::open(dir, i64::MIN, HeadOptions::default()).unwrap().0
}

fn samples(head: &Head, name: &str) -> Vec<Sample> {
    let matcher = Matcher::new(MatchOp::Equal, "__name__", name).unwrap();
    let mut out = Vec::new();
    for series in head.select(&SelectRequest::new(vec![matcher], TimeRange::ALL)) {
        series.chunks.iter().for_each(|chunk| decode_exact(chunk.encoding, &chunk.data, &mut out).unwrap());
    }
    out
}

fn histogram(count: u64) -> Histogram {
    Histogram {
        count,
        sum: 1.0,
        positive_spans: vec![Span { offset: 0, length: 1 }],
        positive_buckets: vec![count as i64],
        ..Histogram::default()
    }
}

fn kind(sample: &Sample) -> (i64, char) {
    let kind = match &sample.value {
        SampleValue::Float(value) if value.to_bits() == STALE_NAN_BITS => 's',
        SampleValue::Float(_) => 'f',
        SampleValue::Histogram(h) if h.is_stale() => 'S',
        SampleValue::Histogram(h) if h.schema == CUSTOM_BUCKETS_SCHEMA => 'c',
        SampleValue::Histogram(_) => 'h',
        SampleValue::FloatHistogram(_) => 'F',
    };
    (sample.t.0, kind)
}

#[test]
fn kinds_change_within_one_call_and_come_back() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    let labels = Labels::from_pairs([("__name__", "m")]);
    let custom = Histogram { schema: CUSTOM_BUCKETS_SCHEMA, custom_values: vec![1.0], ..histogram(3) };
    let float = FloatHistogram { sum: 1.0, ..histogram(2).to_float() };
    let stale = f64::from_bits(STALE_NAN_BITS);
    let (one, two) = (histogram(1), histogram(2));
    let values = [
        NewValue::Float(1.0),
        NewValue::Histogram(&one),
        NewValue::Histogram(&custom),
        NewValue::Histogram(&two),
        NewValue::Float(2.0),
        NewValue::FloatHistogram(&float),
        NewValue::Histogram(&two),
        NewValue::Float(stale),
        NewValue::Float(3.0),
        NewValue::Float(stale),
    ];
    let new =
        values.iter().enumerate().map(|(i, value)| NewSample { labels: &labels, t: i as i64, value: *value });
    assert_eq!(head.append(new).unwrap(), []);
    let expected: Vec<(i64, char)> = (0..).zip("fhchfFhSfs".chars()).collect();
    assert_eq!(samples(&head, "m").iter().map(kind).collect::<Vec<_>>(), expected);
    // Behind a histogram of an earlier call too.
    head.append([NewSample { labels: &labels, t: 10, value: NewValue::Histogram(&two) }]).unwrap();
    head.append([NewSample { labels: &labels, t: 11, value: NewValue::Float(stale) }]).unwrap();
    let before = samples(&head, "m");
    assert_eq!(before[10..].iter().map(kind).collect::<Vec<_>>(), [(10, 'h'), (11, 'S')]);
    drop(head);
    let after = samples(&open(dir.path()), "m");
    assert_eq!(after.iter().map(kind).collect::<Vec<_>>(), before.iter().map(kind).collect::<Vec<_>>());
}

#[test]
fn refusals_are_prometheus_kinds() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    let (a, b) = (Labels::from_pairs([("__name__", "a")]), Labels::from_pairs([("__name__", "b")]));
    let at = |labels, t: i64, value: f64| NewSample { labels, t, value: NewValue::Float(value) };
    let hour = 3_600_000;
    let refused = |new: &[NewSample<'_>]| {
        let refused = head.append(new.iter().copied()).unwrap();
        refused.into_iter().map(|one| (one.index, one.reason)).collect::<Vec<_>>()
    };
    assert_eq!(refused(&[at(&a, 10 * hour, 1.0)]), []);
    // Half a block behind the newest sample is taken, of a series that has nothing newer.
    assert_eq!(refused(&[at(&b, 9 * hour, 1.0), at(&b, 9 * hour - 1, 1.0)]), [(1, Refusal::OutOfBounds)]);
    assert_eq!(
        refused(&[
            at(&a, 10 * hour, 1.0),
            at(&a, 10 * hour, 2.0),
            at(&a, 9 * hour, 1.0),
            at(&a, 11 * hour, 1.0)
        ]),
        [(1, Refusal::Duplicate), (2, Refusal::OutOfOrder)]
    );
    let nan = f64::from_bits(0x7ff8_0000_0000_0001);
    assert_eq!(
        refused(&[at(&b, 10 * hour, nan), at(&b, 10 * hour, nan), at(&b, 10 * hour, f64::NAN)]).len(),
        1
    );
    assert_eq!(refused(&[at(&Labels::default(), 11 * hour, 0.0)]), [(0, Refusal::NoLabels)]);
    let wrong = Histogram { count: 7, ..histogram(3) };
    let bad = NewSample { labels: &a, t: 12 * hour, value: NewValue::Histogram(&wrong) };
    assert!(matches!(refused(&[bad])[..], [(0, Refusal::Histogram(_))]));
    let stats = head.stats();
    assert_eq!((stats.floats, stats.out_of_order, stats.out_of_bounds, stats.duplicates), (4, 1, 1, 2));
    // Series that only refused samples are of are not in the log.
    assert_eq!((stats.series, stats.max_time), (2, Some(11 * hour)));
}

#[test]
fn four_chunks_of_120_samples_fill_two_hours() {
    let dir = tempfile::tempdir().unwrap();
    let head = open(dir.path());
    let labels = Labels::from_pairs([("__name__", "m")]);
    for i in 0..480 {
        head.append([NewSample { labels: &labels, t: i * 15_000, value: NewValue::Float(i as f64) }])
            .unwrap();
    }
    let series = head.select(&SelectRequest::new(vec![], TimeRange::ALL)).next().unwrap();
    let spans: Vec<_> = series.chunks.iter().map(|chunk| (chunk.min_time.0, chunk.max_time.0)).collect();
    let expected: Vec<_> = (0..4).map(|i| (i * 1_800_000, (i + 1) * 1_800_000 - 15_000)).collect();
    assert_eq!(spans, expected);
    assert_eq!(head.stats().chunks, 4);
}
