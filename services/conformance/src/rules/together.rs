//! Rules about concurrent and cancelled calls.

use futures::future::join_all;
use tonic::Request;

use crate::answer::status_text;
use crate::client::with_tenant;
use crate::expect::{data, same_data};
use crate::report::Rule;
use crate::requests::series;
use crate::rules::Checker;
use crate::sample::Sample;

const TOGETHER: Rule =
    Rule { name: "at-once", says: "calls at the same time have the answers of single calls" };
const LEFT: Rule =
    Rule { name: "left-calls", says: "calls that a client leaves do not hold up those behind them" };
const METADATA: Rule =
    Rule { name: "metadata", says: "a call without a tenant, and one with unknown metadata, is answered" };

/// Number of concurrent calls.
const AT_ONCE: usize = 16;
/// Number of cancelled calls, more than a store answers at the same time by default.
const LEFT_CALLS: usize = 40;

pub(crate) async fn check(checker: &mut Checker, sample: &Sample) {
    let request = series(sample.matchers.clone(), sample.range);
    let calls = (0..AT_ONCE).map(|_| {
        let (client, request) = (checker.client_for_one(), with_tenant(&request));
        async move { client.series(request).await }
    });
    for answer in join_all(calls.collect::<Vec<_>>()).await {
        let result = match &answer.status {
            Some(status) => Err(status_text(Some(status))),
            None => same_data(&data(&answer.series, sample.range), &sample.data),
        };
        checker.rule(&TOGETHER, "the sample", result);
    }
    let whole = series(sample.matchers.clone(), sample.whole);
    let mut open = Vec::new();
    for _ in 0..LEFT_CALLS {
        let (client, request) = (checker.client_for_one(), with_tenant(&whole));
        // A call that waits at the store's gate is cancelled while it waits.
        let call = async move { client.open_series(request).await };
        open.push(tokio::time::timeout(std::time::Duration::from_millis(50), call).await);
    }
    drop(open);
    let answer = checker.series(&request).await;
    let result = same_data(&data(&answer.series, sample.range), &sample.data);
    checker.rule(&LEFT, "the sample after calls that were left", result);
    let bare = with_tenant(&request).into_inner();
    let mut odd = Request::new(bare.clone());
    odd.metadata_mut().insert("x-unknown", "1".parse().expect("plain text"));
    odd.metadata_mut().insert("thanos-tenant", "someone-else".parse().expect("plain text"));
    for (what, request) in [("no metadata", Request::new(bare)), ("other metadata", odd)] {
        let answer = checker.try_series(request).await;
        let result = match &answer.status {
            Some(status) => Err(status_text(Some(status))),
            None => same_data(&data(&answer.series, sample.range), &sample.data),
        };
        checker.rule(&METADATA, what, result);
    }
}
