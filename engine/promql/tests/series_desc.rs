//! Series descriptions of the test language: those of upstream's tests, and invalid ones.

use tithon_chunks::{CounterResetHint, FloatHistogram, STALE_NAN_BITS, Span};
use tithon_promql::{SequenceValue, parse_metric, parse_series_desc};

fn floats(input: &str) -> Vec<Option<f64>> {
    let (_, values) = parse_series_desc(input).unwrap_or_else(|e| panic!("{input}: {e}"));
    let float = |value| match value {
        SequenceValue::Omitted => None,
        SequenceValue::Float(v) => Some(v),
        SequenceValue::Histogram { .. } => panic!("{input}: a histogram"),
    };
    values.into_iter().map(float).collect()
}

#[test]
fn numbers() {
    let cases: [(&str, &[Option<f64>]); 11] = [
        ("{} 1x0", &[Some(1.0)]),
        ("{} 1+1x0 ", &[Some(1.0)]),
        ("m 1 +1 -6", &[Some(1.0), Some(1.0), Some(-6.0)]),
        ("my_metric _ 1 _", &[None, Some(1.0), None]),
        (r#"my_metric{a="b"} -3-3x1"#, &[Some(-3.0), Some(-6.0)]),
        ("m _x3 .5x1", &[None, None, None, Some(0.5), Some(0.5)]),
        ("m 1+1x2", &[Some(1.0), Some(2.0), Some(3.0)]),
        ("m -2", &[Some(-2.0)]),
        ("m 0x2", &[Some(0.0), Some(0.0), Some(0.0)]),
        ("m", &[]),
        ("m Inf -Inf", &[Some(f64::INFINITY), Some(f64::NEG_INFINITY)]),
    ];
    for (input, want) in &cases {
        assert_eq!(floats(input), *want, "{input}");
    }
    let stale = floats("m stale")[0].expect("a value");
    assert_eq!(stale.to_bits(), STALE_NAN_BITS);
}

#[test]
fn labels() {
    let (labels, _) = parse_series_desc(r#"m{a="b", "c d"="e",} 1"#).unwrap();
    assert_eq!(labels.to_string(), r#"{__name__="m", a="b", "c d"="e"}"#);
    assert_eq!(parse_metric(r#"{"m x", a="b"}"#).unwrap().to_string(), r#"{__name__="m x", a="b"}"#);
    assert_eq!(parse_metric("").unwrap().to_string(), "{}");
}

#[test]
fn histograms() {
    let input = "m {{schema:1 sum:-0.3 count:3.1 z_bucket:7.1 z_bucket_w:0.05 buckets:[5.1 10 7] offset:-3 \
                 n_buckets:[4.1 5] n_offset:-5 counter_reset_hint:gauge}} {{}} {{sum:1}}+{{sum:2 count:1}}x2";
    let (_, values) = parse_series_desc(input).unwrap();
    let first = FloatHistogram {
        schema: 1,
        sum: -0.3,
        count: 3.1,
        zero_count: 7.1,
        zero_threshold: 0.05,
        positive_buckets: vec![5.1, 10.0, 7.0],
        positive_spans: vec![Span { offset: -3, length: 3 }],
        negative_buckets: vec![4.1, 5.0],
        negative_spans: vec![Span { offset: -5, length: 2 }],
        counter_reset_hint: CounterResetHint::Gauge,
        ..FloatHistogram::default()
    };
    assert_eq!(values[0], SequenceValue::Histogram { histogram: Box::new(first), hint_set: true });
    let sums: Vec<f64> = values[1..]
        .iter()
        .map(|value| match value {
            SequenceValue::Histogram { histogram, hint_set: false } => histogram.sum,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(sums, [0.0, 1.0, 3.0, 5.0]);
}

#[test]
fn malformed() {
    for input in ["{} 1+1", "m 1 _a4", "m -3 -3-3", "m -3 _-2", "m -3 3+3x4-4", "m {{}}+{{}}", "m {{"] {
        assert!(parse_series_desc(input).is_err(), "{input}");
    }
}

#[test]
fn refused() {
    let cases = [
        (r#"m{a="b"} -3-3 -3"#, "1:14: parse error: unexpected \" \" in series values"),
        (
            "m 1 2 blub",
            "1:7: parse error: unexpected identifier \"blub\" in series values, expected number or \"stale\"",
        ),
        ("m {{schema:1 schema:2}}", "1:1: parse error: duplicate key \"schema\" in histogram"),
        ("m {{ssum:1}}", "1:5: parse error: bad histogram descriptor found: \"ssum\""),
        (
            "m _x99999999999",
            "1:5: parse error: invalid repetition in series values: more than 1000000 values",
        ),
        (
            "m 1x1.5",
            "1:5: parse error: invalid repetition in series values: strconv.ParseUint: parsing \"1.5\": invalid syntax",
        ),
        (r#"m{a=1} 1"#, "1:5: parse error: unexpected character inside braces: '1'"),
    ];
    for (input, want) in cases {
        let got = parse_series_desc(input).map(|(_, values)| values).unwrap_err().to_string();
        assert_eq!(got, want, "{input}");
    }
}
