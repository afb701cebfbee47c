//! Writes native histograms as JSON: count, sum and the non-empty buckets in ascending order.

use tithon_chunks::FloatHistogram;

use super::push_value;

/// Writes `{"count":"..","sum":"..","buckets":[[rule,"lower","upper","count"],..]}`. The rule tells which bounds are
/// inclusive: 0 the upper, 1 the lower, 2 none, 3 both.
pub(crate) fn push_histogram(out: &mut Vec<u8>, h: &FloatHistogram) {
    out.extend_from_slice(br#"{"count":"#);
    push_quoted(out, h.count);
    out.extend_from_slice(br#","sum":"#);
    push_quoted(out, h.sum);
    let mut any = false;
    for bucket in h.all_buckets().filter(|b| b.count != 0.0) {
        out.extend_from_slice(if any { b"," } else { br#","buckets":["# });
        any = true;
        out.push(b'[');
        out.push(match (bucket.lower_inclusive, bucket.upper_inclusive) {
            (false, true) => b'0',
            (true, false) => b'1',
            (false, false) => b'2',
            (true, true) => b'3',
        });
        for v in [bucket.lower, bucket.upper, bucket.count] {
            out.push(b',');
            push_quoted(out, v);
        }
        out.push(b']');
    }
    if any {
        out.push(b']');
    }
    out.push(b'}');
}

fn push_quoted(out: &mut Vec<u8>, v: f64) {
    out.push(b'"');
    push_value(out, v);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use tithon_chunks::Span;

    use super::*;

    #[test]
    fn empty_buckets_are_left_out() {
        let mut h = FloatHistogram {
            count: 5.0,
            sum: -0.5,
            zero_threshold: 0.001,
            zero_count: 1.0,
            positive_spans: vec![Span { offset: 0, length: 3 }],
            positive_buckets: vec![2.0, 0.0, 1.0],
            negative_spans: vec![Span { offset: 0, length: 1 }],
            negative_buckets: vec![1.0],
            ..FloatHistogram::default()
        };
        let text = |h: &FloatHistogram| {
            let mut out = Vec::new();
            push_histogram(&mut out, h);
            String::from_utf8(out).expect("ASCII")
        };
        let expected = concat!(
            r#"{"count":"5","sum":"-0.5","buckets":[[1,"-1","-0.5","1"],[3,"-0.001","0.001","1"],"#,
            r#"[0,"0.5","1","2"],[0,"2","4","1"]]}"#
        );
        assert_eq!(text(&h), expected);
        h = FloatHistogram { count: f64::NAN, ..FloatHistogram::default() };
        assert_eq!(text(&h), r#"{"count":"NaN","sum":"0"}"#);
    }
}
