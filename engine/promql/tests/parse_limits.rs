//! The parser with arbitrary inputs: any bytes, any order of tokens, any depth.

use proptest::prelude::*;
use tithon_promql::{
    ParseOptions, parse, parse_metric, parse_metric_selector, parse_series_desc, prettify, to_json,
};

/// The stack of a thread that parses; a worker has four times as much.
const STACK_BYTES: usize = 512 * 1024;

fn on_small_stack(check: impl FnOnce() + Send + 'static) {
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(check).expect("a thread");
    thread.join().expect("no panic and no overflow");
}

#[test]
fn long_chains_need_no_stack() {
    on_small_stack(|| {
        let query = format!("a{}", " + b".repeat(14_000));
        assert!(query.len() > 55_000);
        let expr = parse(&query, &ParseOptions::ALL).expect("a valid query");
        assert_eq!(expr.to_string(), query);
        assert!(prettify(&expr).len() > query.len());
        assert_eq!(to_json(&expr), None);
        drop(expr.clone());
    });
}

#[test]
fn deep_nesting_is_refused() {
    on_small_stack(|| {
        for (open, close) in [("(", ")"), ("-", ""), ("2 ^ ", ""), ("abs(", ")"), ("a[", "]"), ("a[(", ")]")]
        {
            let query = format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
            let error = parse(&query, &ParseOptions::ALL).expect_err("too deep").to_string();
            let expected = error.ends_with("expression nests deeper than 5000 levels") || open.contains('[');
            assert!(expected, "{open}: {error}");
        }
        let query = format!("a[{}1{}]", "(".repeat(20_000), ")".repeat(20_000));
        let error = parse(&query, &ParseOptions::ALL).expect_err("too deep").to_string();
        assert!(error.ends_with("expression nests deeper than 5000 levels"), "{error}");
    });
}

#[test]
fn nesting_within_the_limit_is_accepted() {
    on_small_stack(|| {
        let query = format!("{}1{}", "(".repeat(4_900), ")".repeat(4_900));
        let expr = parse(&query, &ParseOptions::ALL).expect("a valid query");
        assert_eq!(expr.to_string(), query);
        assert_eq!(to_json(&expr), None);
    });
}

fn parse_all(input: &[u8]) {
    drop(parse(input, &ParseOptions::ALL).map(|expr| (expr.to_string(), prettify(&expr), to_json(&expr))));
    drop(parse(input, &ParseOptions::default()));
    drop(parse_metric(input));
    drop(parse_metric_selector(input, &ParseOptions::ALL));
    drop(parse_series_desc(input));
}

/// Tokens of the language, to be joined at random.
const WORDS: [&str; 44] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "{{",
    "}}",
    ",",
    ":",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "==",
    "=~",
    "!",
    "@",
    "offset",
    "and",
    "sum",
    "topk",
    "by",
    "on",
    "group_left",
    "fill",
    "bool",
    "start",
    "step()",
    "max_of",
    "anchored",
    "1",
    "5m",
    "0x",
    "inf",
    "foo",
    "rate",
    "\"s\"",
    "'\\x",
    "`",
    "#",
    "buckets:[",
];

proptest! {
    #[test]
    fn any_bytes(input in prop::collection::vec(any::<u8>(), 0..200)) {
        parse_all(&input);
    }

    #[test]
    fn any_words(words in prop::collection::vec(prop::sample::select(&WORDS[..]), 0..24), glue in "[ _x]?") {
        parse_all(words.join(&glue).as_bytes());
    }
}
