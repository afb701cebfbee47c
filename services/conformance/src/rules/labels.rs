//! Rules about label names and values.

use std::collections::BTreeSet;

use tithon_index::{Labels, MatchOp};

use crate::expect::same_texts;
use crate::report::Rule;
use crate::requests::{names, values};
use crate::rules::Checker;
use crate::sample::Sample;

const NAMES: Rule = Rule {
    name: "label-names",
    says: "names of matching series are found, and no others; without matchers none of them is missing",
};
const VALUES: Rule = Rule {
    name: "label-values",
    says: "values of matching series are found, and no others; without matchers none of them is missing",
};
const GONE: Rule = Rule {
    name: "labels-without",
    says: "a label that is taken away has no values, and is no name of matching series",
};
const LIMIT: Rule = Rule { name: "labels-limit", says: "no more names or values come than were asked for" };
const OUTSIDE: Rule = Rule {
    name: "labels-outside",
    says: "a range without data has no names and no values, as have matchers that nothing satisfies",
};

/// Number of labels whose values are requested.
const NAMES_MAX: usize = 5;

pub(crate) async fn check(checker: &mut Checker, sample: &Sample) {
    check_names(checker, sample).await;
    let all = sample.names();
    let step = all.len().div_ceil(NAMES_MAX).max(1);
    for name in all.iter().step_by(step) {
        check_values(checker, sample, name).await;
    }
    let (_, last) = sample.whole;
    let outside = (last.saturating_add(86_400_000), last.saturating_add(86_400_001));
    let nothing = sample.and(MatchOp::Equal, b"no_such_label", "x");
    for (what, matchers, range) in
        [("outside", Vec::new(), outside), ("nothing matches", nothing, sample.range)]
    {
        let found = checker.names(&names(matchers.clone(), range)).await;
        checker.rule(&OUTSIDE, &format!("LabelNames, {what}"), empty(&found));
        let found = checker.values(&values(b"__name__", matchers, range)).await;
        checker.rule(&OUTSIDE, &format!("LabelValues, {what}"), empty(&found));
    }
    let found = checker.values(&values(b"no_such_label", Vec::new(), sample.range)).await;
    checker.rule(&VALUES, "LabelValues no_such_label", empty(&found));
}

async fn check_names(checker: &mut Checker, sample: &Sample) {
    let want: BTreeSet<Vec<u8>> = sample.names().into_iter().collect();
    let request = names(sample.matchers.clone(), sample.range);
    let found = checker.names(&request).await;
    checker.rule(&NAMES, "LabelNames of the sample", same_texts(&found, &want));
    let found = checker.names(&names(Vec::new(), sample.range)).await;
    checker.rule(&NAMES, "LabelNames without matchers", holds_all(&found, &want));
    for name in want.iter().take(2) {
        let Ok(gone) = String::from_utf8(name.clone()) else { continue };
        let mut request = request.clone();
        request.without_replica_labels = vec![gone.clone()];
        let found = checker.names(&request).await;
        let is_gone = !found.iter().any(|found| found[..] == name[..]);
        let asked = format!("LabelNames without {gone}");
        checker.rule(&GONE, &asked, if is_gone { Ok(()) } else { Err("it is still there".to_owned()) });
    }
    // A querier applies limits after it has asked its stores, so only a gateway is checked.
    for limit in [1, 2] {
        let mut request = request.clone();
        request.limit = limit;
        let n = checker.names(&request).await.len();
        let result = if n <= limit as usize { Ok(()) } else { Err(format!("found {n}")) };
        checker.rule(&LIMIT, &format!("LabelNames of the sample, limit {limit}"), result);
    }
}

async fn check_values(checker: &mut Checker, sample: &Sample, name: &[u8]) {
    let label = String::from_utf8_lossy(name).into_owned();
    let want: BTreeSet<Vec<u8>> = sample.values(name).into_iter().collect();
    let request = values(name, sample.matchers.clone(), sample.range);
    let found = checker.values(&request).await;
    checker.rule(&VALUES, &format!("LabelValues {label} of the sample"), same_texts(&found, &want));
    let found = checker.values(&values(name, Vec::new(), sample.range)).await;
    let asked = format!("LabelValues {label} without matchers");
    checker.rule(&VALUES, &asked, holds_all(&found, &want));
    if let Some(value) = want.first() {
        let narrower = values(name, sample.and(MatchOp::NotEqual, name, value), sample.range);
        let found = checker.values(&narrower).await;
        let others = |labels: &&Labels| labels.get(name) != Some(value);
        let others = sample.sets.iter().filter(others).filter_map(|labels| labels.get(name));
        let want: BTreeSet<Vec<u8>> = others.map(<[u8]>::to_vec).collect();
        checker.rule(&VALUES, &format!("LabelValues {label} but one"), same_texts(&found, &want));
    }
    let mut limited = request.clone();
    limited.limit = 1;
    let n = checker.values(&limited).await.len();
    let result = if n <= 1 { Ok(()) } else { Err(format!("found {n}")) };
    checker.rule(&LIMIT, &format!("LabelValues {label} of the sample, limit 1"), result);
    if let Ok(gone) = String::from_utf8(name.to_vec()) {
        let mut request = request;
        request.without_replica_labels = vec![gone];
        let found = checker.values(&request).await;
        checker.rule(&GONE, &format!("LabelValues {label} without {label}"), empty(&found));
    }
}

fn empty(found: &[impl AsRef<[u8]>]) -> Result<(), String> {
    match found.first() {
        None => Ok(()),
        Some(first) => {
            Err(format!("found {}, the first is {:?}", found.len(), String::from_utf8_lossy(first.as_ref())))
        }
    }
}

fn holds_all(found: &[impl AsRef<[u8]>], want: &BTreeSet<Vec<u8>>) -> Result<(), String> {
    let found: BTreeSet<&[u8]> = found.iter().map(AsRef::as_ref).collect();
    match want.iter().find(|text| !found.contains(&text[..])) {
        None => Ok(()),
        Some(text) => Err(format!("{:?} is missing", String::from_utf8_lossy(text))),
    }
}
