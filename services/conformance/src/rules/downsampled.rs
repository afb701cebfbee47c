//! Rules about downsampled data: resolutions and aggregates.

use std::collections::BTreeSet;

use tithon_index::Labels;
use tithon_proto::thanos::{Aggr, SeriesRequest};

use crate::expect::same_sets;
use crate::report::Rule;
use crate::requests::{self, series};
use crate::rules::Checker;
use crate::sample::Sample;

const COARSE: Rule = Rule {
    name: "resolutions",
    says: "where coarser data is allowed the same series are found, whichever aggregates are wanted",
};
const RAW: Rule = Rule { name: "raw-only", says: "where no coarser data is allowed all chunks are raw" };

pub(crate) async fn check(checker: &mut Checker, sample: &Sample) {
    let n = sample.chunks().filter(|chunk| chunk.raw.is_none()).count();
    checker.rule(&RAW, "the sample", if n == 0 { Ok(()) } else { Err(format!("{n} chunks are not raw")) });
    let aggregates = [
        vec![Aggr::Count, Aggr::Sum, Aggr::Min, Aggr::Max, Aggr::Counter],
        vec![Aggr::Count, Aggr::Sum],
        vec![Aggr::Counter],
        vec![Aggr::Max],
        vec![Aggr::Raw, Aggr::Min],
    ];
    for max_resolution_window in [1, 300_000, 3_600_000, i64::MAX] {
        let mut first: Option<BTreeSet<Labels>> = None;
        for wanted in &aggregates {
            let request = SeriesRequest {
                max_resolution_window,
                aggregates: wanted.iter().map(|one| i32::from(*one)).collect(),
                ..series(sample.matchers.clone(), sample.range)
            };
            let answer = checker.series(&request).await;
            if !answer.is_ok() {
                continue;
            }
            let found: BTreeSet<Labels> = answer.label_sets().into_iter().collect();
            let want = first.get_or_insert_with(|| found.clone());
            checker.rule(&COARSE, &requests::request_text(&request), same_sets(&found, &*want));
        }
    }
}
