//! Rules about matchers.

use tithon_index::{Labels, MatchOp, escaped_pattern};

use crate::Matchers;
use crate::expect::{same_data, same_sets};
use crate::report::Rule;
use crate::requests::{self, matcher, satisfies, series};
use crate::rules::Checker;
use crate::sample::Sample;

const MATCH: Rule =
    Rule { name: "matchers", says: "the series that satisfy all matchers are found, and no others" };
const AGAIN: Rule = Rule { name: "same-answer", says: "the same request has the same answer" };
const OUTER: Rule = Rule {
    name: "external-matchers",
    says: "matchers on external labels choose among series as those on other labels do",
};

/// Number of labels that matchers are tried on.
const NAMES_MAX: usize = 4;

pub(crate) async fn check(checker: &mut Checker, sample: &Sample) {
    let again = checker.series(&series(sample.matchers.clone(), sample.range)).await;
    let same = same_data(&crate::expect::data(&again.series, sample.range), &sample.data);
    checker.rule(&AGAIN, "the sample again", same);
    let external = |name: &[u8]| checker.label_sets.iter().any(|set| set.get(name).is_some());
    let names = sample.names();
    let (outer, inner): (Vec<_>, Vec<_>) = names.iter().cloned().partition(|name| external(name));
    let mut inner = inner;
    // Labels are chosen with different numbers of values, which tests more than equal numbers would.
    inner.sort_by_key(|name| sample.values(name).len());
    let step = inner.len().div_ceil(NAMES_MAX).max(1);
    for name in inner.iter().rev().step_by(step) {
        for extra in on_label(sample, name) {
            ask(checker, sample, &MATCH, extra).await;
        }
    }
    for extra in on_absent_label() {
        ask(checker, sample, &MATCH, extra).await;
    }
    for name in outer.iter().take(2) {
        for extra in on_label(sample, name) {
            ask(checker, sample, &OUTER, extra).await;
        }
    }
}

async fn ask(checker: &mut Checker, sample: &Sample, rule: &Rule, extra: Matchers) {
    let mut request = series([sample.matchers.clone(), extra.clone()].concat(), sample.range);
    request.skip_chunks = true;
    let answer = checker.series(&request).await;
    if answer.is_ok() {
        let want: Vec<&Labels> = sample.sets.iter().filter(|labels| satisfies(labels, &extra)).collect();
        let result = same_sets(&answer.label_sets(), want);
        checker.rule(rule, &requests::request_text(&request), result);
    }
}

/// Matchers of every kind on one label, with values that occur and values that do not.
fn on_label(sample: &Sample, name: &[u8]) -> Vec<Matchers> {
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    let values = sample.values(name);
    let (Some(first), Some(last)) = (values.first(), values.last()) else { return Vec::new() };
    let either = format!("{}|{}", escaped_pattern(first), escaped_pattern(last));
    let prefix = format!("{}.*", escaped_pattern(&first[..first.len().div_ceil(2)]));
    let suffix = format!(".*{}", escaped_pattern(&last[last.len() / 2..]));
    let one = |op, value: &[u8]| vec![matcher(op, name, value)];
    vec![
        one(Equal, first),
        one(NotEqual, first),
        one(Equal, b"no-such-value"),
        one(NotEqual, b"no-such-value"),
        one(Equal, b""),
        one(NotEqual, b""),
        one(Regex, escaped_pattern(first).as_bytes()),
        one(NotRegex, escaped_pattern(first).as_bytes()),
        one(Regex, either.as_bytes()),
        one(NotRegex, either.as_bytes()),
        one(Regex, prefix.as_bytes()),
        one(Regex, suffix.as_bytes()),
        one(Regex, b".*"),
        one(NotRegex, b".*"),
        one(Regex, b".+"),
        one(NotRegex, b".+"),
        one(Regex, b""),
        one(Regex, b"(|no-such-value)"),
        one(Regex, format!("(?i:{})", escaped_pattern(&first.to_ascii_uppercase())).as_bytes()),
        vec![matcher(Equal, name, first), matcher(NotEqual, name, last)],
        vec![matcher(Equal, name, first), matcher(Equal, name, b"no-such-value")],
        vec![matcher(Regex, name, prefix), matcher(NotRegex, name, escaped_pattern(first))],
    ]
}

/// Matchers on a label that no series has.
fn on_absent_label() -> Vec<Matchers> {
    use MatchOp::{Equal, NotEqual, NotRegex, Regex};
    let name = b"no_such_label";
    let one = |op, value: &str| vec![matcher(op, name, value)];
    vec![
        one(Equal, ""),
        one(NotEqual, ""),
        one(Equal, "x"),
        one(NotEqual, "x"),
        one(Regex, ".*"),
        one(Regex, ".+"),
        one(NotRegex, ".+"),
        one(Regex, "x|"),
    ]
}
