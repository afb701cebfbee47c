//! Rules about hints of a store gateway: matchers on blocks.

use prost::Message;
use prost_types::Any;
use tithon_index::MatchOp;
use tithon_proto::hint_to_any;
use tithon_proto::hintspb::{LabelValuesRequestHints, LabelValuesResponseHints, SeriesRequestHints};
use tonic::Code;

use crate::answer::status_text;
use crate::client::with_tenant;
use crate::expect::same_sets;
use crate::report::Rule;
use crate::requests::{self, matcher, series, values};
use crate::rules::Checker;
use crate::sample::Sample;

const BLOCKS: Rule = Rule {
    name: "block-hints",
    says: "conditions on blocks choose blocks, and label calls tell which blocks they asked",
};
const BAD: Rule =
    Rule { name: "bad-hints", says: "hints of another type, or that cannot be decoded, are InvalidArgument" };

pub(crate) async fn check(checker: &mut Checker, sample: &Sample) {
    if !checker.is_gateway() {
        checker.leave_out("hints: only a store gateway reads them");
        return;
    }
    for (value, has_all) in [(".*", true), ("no-such-block", false)] {
        let block_matchers = vec![matcher(MatchOp::Regex, b"__block_id", value)];
        let hints = hint_to_any(&SeriesRequestHints { block_matchers, ..SeriesRequestHints::default() });
        let mut request = series(sample.matchers.clone(), sample.range);
        (request.hints, request.skip_chunks) = (Some(hints), true);
        let answer = checker.series(&request).await;
        let want = if has_all { &sample.sets[..] } else { &[] };
        let asked = format!("{} __block_id=~{value:?}", requests::request_text(&request));
        checker.rule(&BLOCKS, &asked, same_sets(&answer.label_sets(), want));
    }
    queried_blocks(checker, sample).await;
    for (what, hints) in bad_hints() {
        let mut request = series(sample.matchers.clone(), sample.range);
        request.hints = Some(hints);
        let answer = checker.try_series(with_tenant(&request)).await;
        let result = Checker::is_code(answer.status.as_ref(), &[Code::InvalidArgument]);
        checker.rule(&BAD, &format!("Series with {what}"), result);
    }
}

async fn queried_blocks(checker: &mut Checker, sample: &Sample) {
    for value in [".*", "no-such-block"] {
        let block_matchers = vec![matcher(MatchOp::Regex, b"__block_id", value)];
        let mut request = values(b"__name__", Vec::new(), sample.range);
        request.hints = Some(hint_to_any(&LabelValuesRequestHints { block_matchers }));
        let answer = checker.client_for_one().label_values(&request).await;
        let result = answer.map_err(|status| status_text(Some(&status))).and_then(|answer| {
            let hints = answer.hints.ok_or("no hints")?;
            let hints = LabelValuesResponseHints::decode(&*hints.value).map_err(|error| error.to_string())?;
            let (n, n_values) = (hints.queried_blocks.len(), answer.values.len());
            let is_right = if value == ".*" { n > 0 && n_values > 0 } else { n == 0 && n_values == 0 };
            if is_right { Ok(()) } else { Err(format!("{n} blocks asked, {n_values} values")) }
        });
        checker.rule(&BLOCKS, &format!("LabelValues __block_id=~{value:?}"), result);
    }
}

fn bad_hints() -> Vec<(&'static str, Any)> {
    let any = |type_url: &str, value: &[u8]| Any { type_url: type_url.to_owned(), value: value.to_vec() };
    vec![
        ("hints without a type", any("", b"")),
        ("hints of an unknown type", any("type.googleapis.com/no.such.Message", b"")),
        ("hints of another call", any("type.googleapis.com/hintspb.LabelNamesRequestHints", b"")),
        ("hints that are no message", any("type.googleapis.com/hintspb.SeriesRequestHints", b"\xff\xff")),
    ]
}
