//! Rules about shards, which are shares of all series by a hash of their labels.

use std::collections::BTreeSet;

use tithon_engine::SeriesShard;
use tithon_index::Labels;
use tithon_proto::thanos::ShardInfo;

use crate::expect::same_sets;
use crate::report::Rule;
use crate::requests::{self, series};
use crate::rules::Checker;
use crate::sample::Sample;

const SHARD: Rule = Rule {
    name: "shards",
    says: "a shard has the series whose hash over the labels, as they are sent, falls into it",
};

pub(crate) async fn check(checker: &mut Checker, sample: &Sample) {
    if !checker.info.store.as_ref().is_some_and(|store| store.supports_sharding) {
        checker.leave_out("shards: the server says that it has none");
        return;
    }
    let names: Vec<String> =
        sample.names().into_iter().filter_map(|name| String::from_utf8(name).ok()).collect();
    let last = names.last().cloned().into_iter().collect::<Vec<_>>();
    for (by, labels) in [(false, Vec::new()), (true, Vec::new()), (true, last.clone()), (false, last)] {
        for total in [1, 2, 3] {
            for index in 0..total {
                let shard = ShardInfo { shard_index: index, total_shards: total, by, labels: labels.clone() };
                ask(checker, sample, shard, &[]).await;
            }
        }
    }
    let replica = names.first().cloned().into_iter().collect::<Vec<_>>();
    for index in 0..2 {
        let shard = ShardInfo { shard_index: index, total_shards: 2, by: false, labels: Vec::new() };
        ask(checker, sample, shard, &replica).await;
    }
    let none = ShardInfo { shard_index: 0, total_shards: 0, by: true, labels: Vec::new() };
    ask(checker, sample, none, &[]).await;
}

async fn ask(checker: &mut Checker, sample: &Sample, info: ShardInfo, without: &[String]) {
    let ShardInfo { shard_index, total_shards, by, labels } = info.clone();
    let shard = SeriesShard::from_signed(shard_index, total_shards, by, labels);
    let mut request = series(sample.matchers.clone(), sample.range);
    (request.shard_info, request.skip_chunks) = (Some(info), true);
    request.without_replica_labels = without.to_vec();
    let answer = checker.series(&request).await;
    if !answer.is_ok() || (answer.series.is_empty() && !checker.is_gateway()) {
        return;
    }
    let keep = |name: &[u8]| !without.iter().any(|gone| gone.as_bytes() == name);
    let sets = sample.sets.iter().map(|labels| labels.to_builder().retain(keep).finish());
    let holds = |labels: &Labels| shard.as_ref().is_none_or(|s| s.holds(labels, &mut Vec::new()));
    let want: BTreeSet<Labels> = sets.filter(holds).collect();
    let result = same_sets(&answer.label_sets(), &want);
    checker.rule(&SHARD, &requests::request_text(&request), result);
}
