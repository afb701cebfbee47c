//! Writes plans and their costs as Thanos's API does: fields that are zero or empty are left out.

use tithon_chunks::calendar::go_duration;
use tithon_promql::{Analysis, PlanNode};

use super::{push_list, push_text};

/// Writes `{"name":"..","children":[..]}`.
pub(crate) fn push_plan(out: &mut Vec<u8>, node: &PlanNode) {
    out.extend_from_slice(br#"{"name":"#);
    push_text(out, node.name.as_bytes());
    push_children(out, &node.children, push_plan);
    out.push(b'}');
}

/// Writes `{"name":"..","executionTime":"1.5ms","peakSamples":1,"totalSamples":1,"children":[..]}` and, which Thanos
/// does not have, `peakBytes`.
pub(crate) fn push_analysis(out: &mut Vec<u8>, node: &Analysis) {
    out.extend_from_slice(br#"{"name":"#);
    push_text(out, node.name.as_bytes());
    if !node.execution_time.is_zero() {
        out.extend_from_slice(br#","executionTime":"#);
        let nanoseconds = i64::try_from(node.execution_time.as_nanos()).unwrap_or(i64::MAX);
        push_text(out, go_duration(nanoseconds).as_bytes());
    }
    for (name, n) in [
        ("peakSamples", node.peak_samples),
        ("totalSamples", node.total_samples),
        ("peakBytes", node.peak_bytes),
    ] {
        if n > 0 {
            out.extend_from_slice(format!(",\"{name}\":{n}").as_bytes());
        }
    }
    push_children(out, &node.children, push_analysis);
    out.push(b'}');
}

fn push_children<T>(out: &mut Vec<u8>, children: &[T], push: fn(&mut Vec<u8>, &T)) {
    if !children.is_empty() {
        out.extend_from_slice(br#","children":"#);
        push_list(out, children, push);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn zero_fields_are_left_out() {
        let leaf = Analysis {
            name: "[vectorSelector] a<b".into(),
            execution_time: Duration::ZERO,
            peak_samples: 0,
            peak_bytes: 0,
            total_samples: 7,
            children: Vec::new(),
        };
        let root = Analysis {
            execution_time: Duration::from_micros(17),
            peak_samples: 2,
            peak_bytes: 16,
            children: vec![leaf.clone()],
            ..leaf
        };
        let mut out = Vec::new();
        push_analysis(&mut out, &root);
        let text = String::from_utf8(out).expect("UTF-8");
        let leaf = r#"{"name":"[vectorSelector] a\u003cb","totalSamples":7}"#;
        let expected = format!(
            "{},{}}}",
            r#"{"name":"[vectorSelector] a\u003cb","executionTime":"17µs","peakSamples":2,"totalSamples":7"#,
            format_args!(r#""peakBytes":16,"children":[{leaf}]"#)
        );
        assert_eq!(text, expected);
    }
}
