//! Rules about limits, batches and skipped chunks, which change the form of an answer.

use tithon_proto::thanos::PartialResponseStrategy;

use crate::expect::{data, same_data, same_sets};
use crate::report::Rule;
use crate::requests::{self, series};
use crate::rules::Checker;
use crate::sample::Sample;

const PREFIX: Rule =
    Rule { name: "limit-prefix", says: "under a limit the first series in order come, as many as fit" };
const SAME: Rule = Rule {
    name: "same-series",
    says: "batches, skipped chunks, strategies and tenants change the shape of an answer, not its series",
};

pub(crate) async fn check(checker: &mut Checker, sample: &Sample) {
    let n = sample.sets.len() as i64;
    for limit in [1, 2, 5, n - 1, n, n + 1, i64::MAX] {
        for skip_chunks in [true, false] {
            if limit > 0 {
                under_limit(checker, sample, limit, skip_chunks).await;
            }
        }
    }
    for response_batch_size in [0, 1, 2, 3, 64, 1_000] {
        let request = tithon_proto::thanos::SeriesRequest {
            response_batch_size,
            ..series(sample.matchers.clone(), sample.range)
        };
        let answer = checker.series(&request).await;
        if answer.is_ok() {
            let result = same_data(&data(&answer.series, sample.range), &sample.data);
            checker.rule(&SAME, &requests::request_text(&request), result);
        }
    }
    for strategy in [PartialResponseStrategy::Warn, PartialResponseStrategy::Abort] {
        let mut request = series(sample.matchers.clone(), sample.range);
        request.partial_response_strategy = strategy.into();
        request.partial_response_disabled = strategy == PartialResponseStrategy::Abort;
        request.skip_chunks = true;
        let answer = checker.series(&request).await;
        if answer.is_ok() {
            let result = same_sets(&answer.label_sets(), &sample.sets);
            checker.rule(&SAME, &format!("{} {strategy:?}", requests::request_text(&request)), result);
        }
    }
}

async fn under_limit(checker: &mut Checker, sample: &Sample, limit: i64, skip_chunks: bool) {
    let mut request = series(sample.matchers.clone(), sample.range);
    (request.limit, request.skip_chunks) = (limit, skip_chunks);
    let answer = checker.series(&request).await;
    // Stores other than gateways may leave out any series.
    if !answer.is_ok() || !checker.is_gateway() {
        return;
    }
    let n = sample.sets.len().min(usize::try_from(limit).unwrap_or(usize::MAX));
    let result = same_sets(&answer.label_sets(), &sample.sets[..n]);
    checker.rule(&PREFIX, &requests::request_text(&request), result);
}
