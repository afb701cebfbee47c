//! Rules about time ranges.

use std::collections::BTreeSet;

use tithon_index::Labels;
use tithon_proto::labels_from_wire;

use crate::expect::{Data, data, same_data, same_sets};
use crate::report::Rule;
use crate::requests::{self, series};
use crate::rules::Checker;
use crate::sample::Sample;

const RANGE: Rule = Rule {
    name: "time-selection",
    says: "a narrower range has the samples of the wider one that lie in it, none less",
};
const NOTHING: Rule = Rule { name: "time-outside", says: "a range without data has an empty answer" };

pub(crate) async fn check(checker: &mut Checker, sample: &Sample) {
    let (min, max) = sample.range;
    let starts: BTreeSet<i64> = sample.chunks().map(|chunk| chunk.min_time).collect();
    let ends: BTreeSet<i64> = sample.chunks().map(|chunk| chunk.max_time).collect();
    let middle = min + (max - min) / 2;
    let mut ranges = vec![(min, max), (min, middle), (middle, max), (middle - 60_000, middle + 60_000)];
    for edge in [starts.first(), starts.last(), ends.first(), ends.last()].into_iter().flatten() {
        ranges.extend([(*edge, *edge), (edge - 1, edge + 1)]);
    }
    ranges.dedup();
    for range in ranges.into_iter().filter(|range| range.0 >= min && range.1 <= max) {
        with_chunks(checker, sample, range).await;
        without_chunks(checker, sample, range).await;
    }
    let (first, last) = sample.whole;
    for range in [
        (first.saturating_sub(7_200_001), first.saturating_sub(7_200_000)),
        (last.saturating_add(86_400_000), last.saturating_add(86_400_001)),
        (i64::MIN, i64::MIN),
        (i64::MAX, i64::MAX),
        (max, min - 1),
    ] {
        let request = series(sample.matchers.clone(), range);
        let answer = checker.series(&request).await;
        if answer.is_ok() {
            let n = answer.series.len();
            let result = if n == 0 { Ok(()) } else { Err(format!("found {n} series")) };
            checker.rule(&NOTHING, &requests::request_text(&request), result);
        }
    }
}

/// A store may send a chunk that overlaps the range without a sample in it, so series without samples in the range are
/// ignored on both sides.
async fn with_chunks(checker: &mut Checker, sample: &Sample, range: (i64, i64)) {
    let request = series(sample.matchers.clone(), range);
    let answer = checker.series(&request).await;
    if answer.is_ok() {
        let found = with_samples(data(&answer.series, range));
        let want = with_samples(data(&sample.series, range));
        checker.rule(&RANGE, &requests::request_text(&request), same_data(&found, &want));
    }
}

/// A series belongs to a range when one of its chunks overlaps it.
async fn without_chunks(checker: &mut Checker, sample: &Sample, range: (i64, i64)) {
    let mut request = series(sample.matchers.clone(), range);
    request.skip_chunks = true;
    let answer = checker.series(&request).await;
    if !answer.is_ok() || !checker.is_gateway() {
        return;
    }
    let overlaps = sample
        .series
        .iter()
        .filter(|one| one.chunks.iter().any(|chunk| chunk.max_time >= range.0 && chunk.min_time <= range.1));
    let want: Vec<Labels> = overlaps.map(|one| labels_from_wire(&one.labels)).collect();
    let result = same_sets(&answer.label_sets(), &want);
    checker.rule(&RANGE, &requests::request_text(&request), result);
}

fn with_samples(mut data: Data) -> Data {
    data.retain(|_, points| !points.is_empty());
    data
}
