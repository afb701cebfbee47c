//! PromQL: bytes in, no panic out; what parses prints to something that parses.

use tithon_promql::{ParseOptions, parse, parse_metric, parse_metric_selector, parse_series_desc, prettify};

/// Parses the bytes in every way there is.
pub fn parse_bytes(data: &[u8]) {
    // An error is fine; a panic is what is looked for.
    if let Ok(expr) = parse(data, &ParseOptions::ALL) {
        let text = expr.to_string();
        // An infinite literal prints with a sign, which elsewhere is an operator of its own.
        if !text.contains("Inf") && !text.contains("NaN") {
            let again = parse(&text, &ParseOptions::ALL);
            assert!(again.is_ok_and(|again| again.to_string() == text), "{text:?} does not parse to itself");
        }
        drop(prettify(&expr));
    }
    drop(parse(data, &ParseOptions::default()));
    drop(parse_metric(data));
    drop(parse_metric_selector(data, &ParseOptions::ALL));
    drop(parse_series_desc(data));
}
