//! Plans and what they cost, as Thanos's API gives them: fields that are zero or empty are left out.

use std::time::Duration;

use tithon_promql::{Analysis, PlanNode};

use super::{push_list, push_text};

/// `{"name":"..","children":[..]}`
pub(crate) fn push_plan(out: &mut Vec<u8>, node: &PlanNode) {
    out.extend_from_slice(br#"{"name":"#);
    push_text(out, node.name.as_bytes());
    push_children(out, &node.children, push_plan);
    out.push(b'}');
}

/// `{"name":"..","executionTime":"1.5ms","peakSamples":1,"totalSamples":1,"children":[..]}`, and `peakBytes` besides.
pub(crate) fn push_analysis(out: &mut Vec<u8>, node: &Analysis) {
    out.extend_from_slice(br#"{"name":"#);
    push_text(out, node.name.as_bytes());
    if !node.execution_time.is_zero() {
        out.extend_from_slice(br#","executionTime":"#);
        push_text(out, go_duration(node.execution_time).as_bytes());
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

/// A duration as Go prints it: `1h2m3.5s`, `1.5ms`, `17µs`, `9ns`.
fn go_duration(d: Duration) -> String {
    let nanos = d.as_nanos();
    let fraction = |whole: u128, unit: u128| {
        let digits = format!("{:0width$}", whole % unit, width = unit.ilog10() as usize);
        let digits = digits.trim_end_matches('0');
        let dot = if digits.is_empty() { "" } else { "." };
        format!("{}{dot}{digits}", whole / unit)
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => format!("{}µs", fraction(nanos, 1_000)),
        1_000_000..1_000_000_000 => format!("{}ms", fraction(nanos, 1_000_000)),
        _ => {
            let seconds = d.as_secs();
            let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
            let rest = fraction(nanos % 60_000_000_000, 1_000_000_000);
            match (hours, minutes) {
                (0, 0) => format!("{rest}s"),
                (0, _) => format!("{minutes}m{rest}s"),
                _ => format!("{hours}h{minutes}m{rest}s"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (nanos, text) in [
            (0, "0s"),
            (999, "999ns"),
            (1_100, "1.1µs"),
            (2_200_000, "2.2ms"),
            (1_000_000_000, "1s"),
            (3_300_000_001, "3.300000001s"),
            (61_500_000_000, "1m1.5s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanos)), text);
        }
    }

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
