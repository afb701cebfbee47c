//! Rules about replica labels, which are removed before series are sorted.

use std::collections::BTreeMap;

use crate::expect::{Data, data, same_data};
use crate::report::Rule;
use crate::requests::{self, series};
use crate::rules::Checker;
use crate::sample::Sample;

const TOGETHER: Rule = Rule {
    name: "replicas-together",
    says: "series that become equal when labels are taken away come one behind the other, with all their samples",
};

/// Number of labels that are removed one at a time.
const NAMES_MAX: usize = 6;

pub(crate) async fn check(checker: &mut Checker, sample: &Sample) {
    let names: Vec<String> =
        sample.names().into_iter().filter_map(|name| String::from_utf8(name).ok()).collect();
    let step = names.len().div_ceil(NAMES_MAX).max(1);
    let mut lists: Vec<Vec<String>> = names.iter().step_by(step).map(|name| vec![name.clone()]).collect();
    lists.push(names.iter().rev().take(2).cloned().collect());
    lists.push(vec!["no_such_label".to_owned()]);
    lists.push(names.first().into_iter().cloned().chain(["no_such_label".to_owned()]).collect());
    for list in lists {
        let mut request = series(sample.matchers.clone(), sample.range);
        request.without_replica_labels.clone_from(&list);
        let answer = checker.series(&request).await;
        if answer.is_ok() {
            let result = same_data(&data(&answer.series, sample.range), &without(&sample.data, &list));
            checker.rule(&TOGETHER, &requests::request_text(&request), result);
        }
    }
}

fn without(data: &Data, names: &[String]) -> Data {
    let mut out: Data = BTreeMap::new();
    for (labels, points) in data {
        out.entry(labels.without(names)).or_default().extend(points);
    }
    out
}
