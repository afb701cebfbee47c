//! Rules about invalid requests: each is refused with the right code, and the server keeps working.

use bytes::Bytes;
use prost::Message;
use tithon_index::MatchOp;
use tithon_proto::thanos::{LabelMatcher, SeriesRequest};
use tonic::{Code, Request, Status};

use crate::answer::status_text;
use crate::client::{LABEL_NAMES, LABEL_VALUES, with_tenant};
use crate::report::Rule;
use crate::requests::{matcher, names, series, values};
use crate::rules::Checker;

const REFUSED: Rule =
    Rule { name: "malformed-matchers", says: "matchers that cannot be read are InvalidArgument" };
const BYTES: Rule =
    Rule { name: "malformed-bytes", says: "bytes that are no message are an error of that call only" };
const METHOD: Rule = Rule { name: "unknown-method", says: "a method that is not there is Unimplemented" };
const ODD: Rule = Rule {
    name: "odd-requests",
    says: "odd values are taken or refused as what they are: no panic, no endless call",
};
const ALIVE: Rule = Rule { name: "alive", says: "after all of these the server still answers" };

pub(crate) async fn check(checker: &mut Checker) {
    let range = (0, i64::MAX / 2);
    for (what, wrong) in wrong_matchers() {
        let request = series(vec![matcher(MatchOp::Equal, b"__name__", "up"), wrong.clone()], range);
        let answer = checker.try_series(with_tenant(&request)).await;
        let result = Checker::is_code(answer.status.as_ref(), &[Code::InvalidArgument]);
        checker.rule(&REFUSED, &format!("Series with {what}"), result);
        let status = checker.client_for_one().label_names(&names(vec![wrong.clone()], range)).await.err();
        let result = Checker::is_code(status.as_ref(), &[Code::InvalidArgument]);
        checker.rule(&REFUSED, &format!("LabelNames with {what}"), result);
        let request = values(b"__name__", vec![wrong], range);
        let status = checker.client_for_one().label_values(&request).await.err();
        let result = Checker::is_code(status.as_ref(), &[Code::InvalidArgument]);
        checker.rule(&REFUSED, &format!("LabelValues with {what}"), result);
    }
    bytes(checker).await;
    odd(checker).await;
    let status = checker.client_for_one().raw("/thanos.Store/NoSuchMethod", Bytes::new()).await.err();
    checker.rule(&METHOD, "NoSuchMethod", Checker::is_code(status.as_ref(), &[Code::Unimplemented]));
    let alive = checker.client_for_one().info().await;
    checker.rule(&ALIVE, "Info", alive.map(drop).map_err(|status| status_text(Some(&status))));
}

fn wrong_matchers() -> Vec<(&'static str, LabelMatcher)> {
    let mut unknown = matcher(MatchOp::Equal, b"job", "x");
    unknown.r#type = 17;
    vec![
        ("an unclosed group", matcher(MatchOp::Regex, b"job", "(")),
        ("a repetition of nothing", matcher(MatchOp::Regex, b"job", "*")),
        ("an unclosed class", matcher(MatchOp::NotRegex, b"job", "[a-")),
        ("a look behind", matcher(MatchOp::Regex, b"job", "(?<=a)b")),
        ("a reference backwards", matcher(MatchOp::Regex, b"job", r"(a)\1")),
        ("too many repetitions", matcher(MatchOp::Regex, b"job", "((a{1000}){1000}){1000}")),
        ("an unknown type", unknown),
    ]
}

async fn bytes(checker: &mut Checker) {
    let whole = series(vec![matcher(MatchOp::Equal, b"__name__", "up")], (0, 1)).encode_to_vec();
    let cut = Bytes::copy_from_slice(&whole[..whole.len() - 1]);
    let endless = Bytes::from_static(b"\x1a\xff\xff\xff\xff\x7fx");
    let group = Bytes::from_static(b"\x0b\x0b\x0b");
    let kinds = [
        ("noise", Bytes::from_static(b"\xff\xff\xff\xff")),
        ("a message cut short", cut),
        ("a length beyond the end", endless),
        ("groups that never end", group),
    ];
    let errors = [Code::Internal, Code::InvalidArgument, Code::Unknown];
    for (what, message) in kinds {
        let answer = checker.try_series(Request::new(message.clone())).await;
        checker.rule(
            &BYTES,
            &format!("Series with {what}"),
            Checker::is_code(answer.status.as_ref(), &errors),
        );
        for path in [LABEL_NAMES, LABEL_VALUES] {
            let status = checker.client_for_one().raw(path, message.clone()).await.err();
            checker.rule(&BYTES, &format!("{path} with {what}"), Checker::is_code(status.as_ref(), &errors));
        }
    }
}

/// Requests that some servers accept and others refuse. Thanos's store panics at some of them and reports that in a
/// warning of a call that succeeds, so only the status is checked.
async fn odd(checker: &mut Checker) {
    let up = || vec![matcher(MatchOp::Equal, b"__name__", "up")];
    let many = (0..500).map(|i| matcher(MatchOp::NotEqual, b"job", format!("x{i}"))).collect::<Vec<_>>();
    let long = "x".repeat(1 << 20);
    let base = || series(up(), (0, 1));
    let requests: Vec<(&str, SeriesRequest)> = vec![
        ("no matchers", series(Vec::new(), (0, 1))),
        ("a matcher without a name", series(vec![matcher(MatchOp::Equal, b"", "x")], (0, 1))),
        ("a value of 1 MiB", series(vec![matcher(MatchOp::Equal, b"job", &long)], (0, 1))),
        ("bytes that are no UTF-8", series(vec![matcher(MatchOp::Equal, b"job", b"\xff\xfe")], (0, 1))),
        ("500 matchers", series([up(), many].concat(), (0, 1))),
        ("a negative limit", SeriesRequest { limit: -1, ..base() }),
        ("a negative batch", SeriesRequest { response_batch_size: -1, ..base() }),
        ("an endless batch", SeriesRequest { response_batch_size: i64::MAX, ..base() }),
        ("a negative resolution", SeriesRequest { max_resolution_window: -1, ..base() }),
        ("an unknown aggregate", SeriesRequest { aggregates: vec![99], ..base() }),
        ("an unknown strategy", SeriesRequest { partial_response_strategy: 9, ..base() }),
        (
            "an empty label to take away",
            SeriesRequest { without_replica_labels: vec![String::new()], ..base() },
        ),
    ];
    for (what, request) in requests {
        let answer = checker.try_series(with_tenant(&request)).await;
        checker.rule(&ODD, &format!("Series with {what}"), is_civil(answer.status.as_ref()));
    }
    for label in ["", "no-such-label", "\n"] {
        let status =
            checker.client_for_one().label_values(&values(label.as_bytes(), Vec::new(), (0, 1))).await;
        checker.rule(&ODD, &format!("LabelValues {label:?}"), is_civil(status.err().as_ref()));
    }
}

/// Fails for a panic, and for a call that did not end.
fn is_civil(status: Option<&Status>) -> Result<(), String> {
    let Some(status) = status else { return Ok(()) };
    let is_bad = matches!(status.code(), Code::DeadlineExceeded | Code::Unavailable | Code::Internal)
        || status.message().contains("panic")
        || status.message().contains("runtime error");
    if is_bad { Err(status_text(Some(status))) } else { Ok(()) }
}
