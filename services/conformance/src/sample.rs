//! A sample of the server's data: a selector with few series, a range in which they have data, and that data. Later
//! requests are about parts of the sample, so that their answers are known.

use std::collections::BTreeSet;

use tithon_index::{Labels, MatchOp, escaped_pattern};
use tithon_proto::thanos::{AggrChunk, Series};

use crate::Matchers;
use crate::expect::{Data, data};
use crate::requests::{matcher, names, selector, series, values};
use crate::rules::Checker;

/// Largest number of series in a sample.
const SERIES_MAX: usize = 200;
/// Number of metrics that are tried for a sample.
const LOOKS: usize = 12;
/// Largest number of metrics in a sample.
const METRICS_MAX: usize = 3;
/// Half the length of a sample's range, in milliseconds.
const HALF_MS: i64 = 2 * 3_600_000;

/// A sample of the server's data.
pub(crate) struct Sample {
    /// Matchers that select exactly the series of the sample.
    pub(crate) matchers: Matchers,
    /// Range of the sample in milliseconds, both ends inclusive.
    pub(crate) range: (i64, i64),
    /// The range in the server's `Info`, limited to plausible times.
    pub(crate) whole: (i64, i64),
    /// The series as the server sent them.
    pub(crate) series: Vec<Series>,
    /// Their label sets, ascending.
    pub(crate) sets: Vec<Labels>,
    /// Their samples.
    pub(crate) data: Data,
}

impl Sample {
    /// The matchers of the sample and one more.
    pub(crate) fn and(&self, op: MatchOp, name: &[u8], value: impl AsRef<[u8]>) -> Matchers {
        let mut matchers = self.matchers.clone();
        matchers.push(matcher(op, name, value));
        matchers
    }

    /// Label names in the sample, ascending.
    pub(crate) fn names(&self) -> Vec<Vec<u8>> {
        let names: BTreeSet<&[u8]> = self.sets.iter().flat_map(Labels::iter).map(|(name, _)| name).collect();
        names.into_iter().map(<[u8]>::to_vec).collect()
    }

    /// Values of a label in the sample, ascending.
    pub(crate) fn values(&self, name: &[u8]) -> Vec<Vec<u8>> {
        let values: BTreeSet<&[u8]> = self.sets.iter().filter_map(|labels| labels.get(name)).collect();
        values.into_iter().map(<[u8]>::to_vec).collect()
    }

    /// All chunks of the sample.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = &AggrChunk> {
        self.series.iter().flat_map(|one| &one.chunks)
    }
}

/// Takes the sample; `None`, with a remark in the report, if the server has no data.
pub(crate) async fn take(checker: &mut Checker, metrics: &[String]) -> Option<Sample> {
    let whole = whole_range(checker)?;
    checker.names(&names(Vec::new(), whole)).await;
    let Some(matchers) = choose(checker, metrics, whole).await else {
        checker.leave_out("all rules about series: the server has none that a sample could be taken of");
        return None;
    };
    let range = around_the_middle(checker, &matchers, whole).await?;
    let request = series(matchers.clone(), range);
    let answer = checker.series(&request).await;
    if answer.series.is_empty() || answer.is_cut || !answer.is_ok() {
        let selector = selector(&matchers);
        checker.leave_out(format!("all rules about series: no usable answer to {selector} in {range:?}"));
        return None;
    }
    let (sets, data) = (answer.label_sets(), data(&answer.series, range));
    Some(Sample { matchers, range, whole, series: answer.series, sets, data })
}

/// The range in the server's `Info`, up to now if it has no end.
fn whole_range(checker: &mut Checker) -> Option<(i64, i64)> {
    let store = checker.info.store.clone().unwrap_or_default();
    let max = if store.max_time == i64::MAX { tithon_runtime::now_ms() } else { store.max_time };
    let min = if store.min_time == i64::MIN { 0 } else { store.min_time };
    if min > max {
        checker.leave_out("all rules about series: the server says that it has no data");
        return None;
    }
    Some((min, max))
}

/// Chooses a selector of few series of up to three metrics, so that later requests can select a part of them.
async fn choose(checker: &mut Checker, metrics: &[String], whole: (i64, i64)) -> Option<Matchers> {
    let name = b"__name__";
    let mut metrics: Vec<Vec<u8>> = metrics.iter().map(|metric| metric.clone().into_bytes()).collect();
    if metrics.is_empty() {
        let all = checker.values(&values(name, Vec::new(), whole)).await;
        let step = all.len().div_ceil(LOOKS).max(1);
        metrics = all.iter().step_by(step).map(|value| value.to_vec()).collect();
    }
    let (mut small, mut first_large) = (Vec::new(), None);
    for metric in metrics {
        let only = vec![matcher(MatchOp::Equal, name, &metric)];
        let sets = count(checker, &only, whole).await;
        match sets.len() {
            0 => {}
            n if n <= SERIES_MAX => small.push((n, metric)),
            _ => first_large = first_large.or_else(|| sets.into_iter().next()),
        }
    }
    small.sort_by_key(|(n, _)| std::cmp::Reverse(*n));
    let (mut chosen, mut n_chosen) = (Vec::new(), 0);
    for (n, metric) in small {
        if chosen.len() < METRICS_MAX && n_chosen + n <= SERIES_MAX {
            n_chosen += n;
            chosen.push(metric);
        }
    }
    match (chosen.as_slice(), first_large) {
        ([], None) => None,
        ([], Some(labels)) => narrow(checker, &labels, whole).await,
        ([one], _) => Some(vec![matcher(MatchOp::Equal, name, one)]),
        (several, _) => {
            let pattern: Vec<String> = several.iter().map(|metric| escaped_pattern(metric)).collect();
            Some(vec![matcher(MatchOp::Regex, name, pattern.join("|"))])
        }
    }
}

/// For a metric with many series, selects those that share labels with one of them, with as many labels as needed.
async fn narrow(checker: &mut Checker, labels: &Labels, whole: (i64, i64)) -> Option<Matchers> {
    let mut matchers = Vec::new();
    for (name, value) in labels.iter() {
        matchers.push(matcher(MatchOp::Equal, name, value));
        let n = count(checker, &matchers, whole).await.len();
        if (1..=SERIES_MAX).contains(&n) {
            return Some(matchers);
        }
    }
    None
}

/// The label sets of a selection, up to one more than a sample may have.
async fn count(checker: &mut Checker, matchers: &Matchers, whole: (i64, i64)) -> Vec<Labels> {
    let mut request = series(matchers.clone(), whole);
    (request.skip_chunks, request.limit) = (true, SERIES_MAX as i64 + 1);
    checker.series(&request).await.label_sets()
}

/// A range of four hours around the middle of the first series' data.
async fn around_the_middle(
    checker: &mut Checker,
    matchers: &Matchers,
    whole: (i64, i64),
) -> Option<(i64, i64)> {
    let mut request = series(matchers.clone(), whole);
    request.limit = 1;
    let answer = checker.series(&request).await;
    let mut times: Vec<i64> =
        answer.series.iter().flat_map(|one| &one.chunks).map(|chunk| chunk.min_time).collect();
    times.sort_unstable();
    let Some(&middle) = times.get(times.len() / 2) else {
        let selector = selector(matchers);
        checker.leave_out(format!("all rules about series: {selector} has no raw chunks in {whole:?}"));
        return None;
    };
    Some((middle.saturating_sub(HALF_MS).max(whole.0), middle.saturating_add(HALF_MS).min(whole.1)))
}
