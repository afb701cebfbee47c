//! Which rules of a group may be evaluated at the same time. Prometheus `rules/group.go`, `buildDependencyMap`.

use tithon_index::{METRIC_NAME, MatchOp, Matcher};
use tithon_promql::NodeKind;

use crate::RuleConfig;

/// Sets of rules to be evaluated one after the other; those of a set may run at the same time: first all that need no other, then
/// those between one by one, then all that no other needs. Where a rule may read any series, all run one by one.
pub(crate) fn batches(rules: &[RuleConfig]) -> Vec<Vec<usize>> {
    let one_by_one = || (0..rules.len()).map(|rule| vec![rule]).collect();
    let Some(needs) = needs(rules) else { return one_by_one() };
    let is_needed = |rule: usize| needs.iter().any(|needs| needs.contains(&rule));
    let (mut first, mut between, mut last) = (Vec::new(), Vec::new(), Vec::new());
    for (rule, needed) in needs.iter().enumerate() {
        match (needed.is_empty(), is_needed(rule)) {
            (true, _) => first.push(rule),
            (false, true) => between.push(vec![rule]),
            (false, false) => last.push(rule),
        }
    }
    [vec![first], between, vec![last]].concat().into_iter().filter(|batch| !batch.is_empty()).collect()
}

/// For each rule those before it whose series it reads; `None` when one may read any series.
fn needs(rules: &[RuleConfig]) -> Option<Vec<Vec<usize>>> {
    let mut all = Vec::new();
    for (i, rule) in rules.iter().enumerate() {
        let mut needs = Vec::new();
        for node in rule.expr.nodes() {
            let NodeKind::Vector(selector) = &node.kind else { continue };
            let by_name = Matcher::new(MatchOp::Equal, METRIC_NAME, &*selector.name).ok()?;
            let name = match selector.name.is_empty() {
                false => &by_name,
                true => selector.matchers.iter().find(|matcher| matcher.name() == METRIC_NAME)?,
            };
            let reads_alerts = name.matches(b"ALERTS") || name.matches(b"ALERTS_FOR_STATE");
            let alert = selector.matchers.iter().find(|matcher| matcher.name() == b"alertname");
            for (j, other) in rules.iter().enumerate().take(i) {
                let other_name = other.name.as_bytes();
                let is_read = name.matches(other_name)
                    || reads_alerts && other.alert.is_some() && alert.is_none_or(|m| m.matches(other_name));
                if is_read && !needs.contains(&j) {
                    needs.push(j);
                }
            }
        }
        all.push(needs);
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn of(exprs: &[(&str, &str)]) -> Vec<Vec<usize>> {
        let mut text = "groups: [{name: g, rules: [".to_owned();
        for (name, expr) in exprs {
            let kind = if name.starts_with(char::is_uppercase) { "alert" } else { "record" };
            text += &format!("{{{kind}: {name}, expr: '{expr}'}}, ");
        }
        let groups = crate::parse_rules(Path::new("r.yml"), &(text + "]}]"), &Default::default()).unwrap();
        batches(&groups[0].rules)
    }

    #[test]
    fn rules_wait_for_those_they_read() {
        assert_eq!(of(&[("a", "x"), ("b", "y"), ("C", "z")]), [vec![0, 1, 2]]);
        assert_eq!(
            of(&[("a", "x"), ("b", "a"), ("c", "b"), ("D", "c > 1")]),
            [vec![0], vec![1], vec![2], vec![3]]
        );
        assert_eq!(of(&[("a", "x"), ("b", "sum(a)"), ("c", "a"), ("d", "y")]), [vec![0, 3], vec![1, 2]]);
        assert_eq!(of(&[("A", "x"), ("b", "ALERTS{alertname=\"A\"}"), ("c", "y")]), [vec![0, 2], vec![1]]);
        assert_eq!(of(&[("A", "x"), ("b", "ALERTS{alertname=\"B\"}")]), [vec![0, 1]]);
        assert_eq!(of(&[("a", "x"), ("b", "{job=\"j\"}")]), [vec![0], vec![1]]);
        // What is read before it is made is the last evaluation's.
        assert_eq!(of(&[("a", "b"), ("b", "x")]), [vec![0, 1]]);
    }
}
