//! The mathematical functions against results of Go 1.26 on amd64 with FMA, to the bit.

use serde_json::Value;
use tithon_promql::math;

fn bits(value: &Value) -> f64 {
    let text = value.as_str().expect("bits are text");
    f64::from_bits(u64::from_str_radix(text, 16).expect("bits are hexadecimal"))
}

fn result(function: &str, x: f64, y: Option<f64>) -> f64 {
    match (function, y) {
        ("exp", None) => math::exp(x),
        ("exp2", None) => math::exp2(x),
        ("ln", None) => math::ln(x),
        ("log2", None) => math::log2(x),
        ("log10", None) => math::log10(x),
        ("sin", None) => math::sin(x),
        ("cos", None) => math::cos(x),
        ("tan", None) => math::tan(x),
        ("asin", None) => math::asin(x),
        ("acos", None) => math::acos(x),
        ("atan", None) => math::atan(x),
        ("sinh", None) => math::sinh(x),
        ("cosh", None) => math::cosh(x),
        ("tanh", None) => math::tanh(x),
        ("asinh", None) => math::asinh(x),
        ("acosh", None) => math::acosh(x),
        ("atanh", None) => math::atanh(x),
        ("pow", Some(y)) => math::pow(x, y),
        ("mod", Some(y)) => math::modulo(x, y),
        ("atan2", Some(y)) => math::atan2(x, y),
        other => panic!("function {other:?}"),
    }
}

#[test]
fn all_results_equal_go() {
    let (mut compared, mut wrong) = (0, Vec::new());
    for line in tithon_testdata::json_lines("testdata/vectors/math.jsonl.zst") {
        let (function, x, want) = (line["f"].as_str().expect("a name"), bits(&line["x"]), bits(&line["r"]));
        let y = line.get("y").map(bits);
        let got = result(function, x, y);
        compared += 1;
        if got.to_bits() != want.to_bits() {
            let (got_bits, want_bits) = (got.to_bits(), want.to_bits());
            wrong.push(format!(
                "{function}({x:?}, {y:?}): {got:?} {got_bits:016x}, {want:?} {want_bits:016x}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {compared} differ:\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(compared, 37_516);
}
