//! Merges the rules of several servers into one list. Thanos `pkg/rules/rules.go`.

use std::cmp::{Ordering, Reverse};

use tithon_index::Matcher;
use tithon_storeapi::{Rule, RuleGroup};

/// The filters of the rules endpoint; an empty list filters nothing.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    /// Every matcher must accept the labels of the rule.
    pub(crate) matchers: Vec<Matcher>,
    /// Names of rules.
    pub(crate) names: Vec<String>,
    /// Names of groups.
    pub(crate) groups: Vec<String>,
    /// Files of groups.
    pub(crate) files: Vec<String>,
}

impl Filter {
    /// The groups and rules that pass the filter, without groups that it empties.
    fn apply(&self, mut groups: Vec<RuleGroup>) -> Vec<RuleGroup> {
        if !self.matchers.is_empty() {
            groups.iter_mut().for_each(|group| group.rules.retain(|rule| rule.is_selected(&self.matchers)));
            groups.retain(|group| !group.rules.is_empty());
        }
        if self.names.is_empty() && self.groups.is_empty() && self.files.is_empty() {
            return groups;
        }
        let has = |list: &[String], name: &String| list.is_empty() || list.contains(name);
        groups.retain(|group| has(&self.groups, &group.name) && has(&self.files, &group.file));
        groups.iter_mut().for_each(|group| group.rules.retain(|rule| has(&self.names, &rule.name)));
        groups.retain(|group| !group.rules.is_empty());
        groups
    }
}

/// Filters the groups, joins groups of equal name and file, and keeps one of the rules that differ only in replica
/// labels.
pub(crate) fn merge(groups: Vec<RuleGroup>, filter: &Filter, replica_labels: &[String]) -> Vec<RuleGroup> {
    let mut groups = filter.apply(groups);
    groups.sort_by(|a, b| (&a.file, &a.name).cmp(&(&b.file, &b.name)));
    groups.dedup_by(|group, kept| {
        let is_same = group.file == kept.file && group.name == kept.name;
        if is_same {
            kept.rules.append(&mut group.rules);
        }
        is_same
    });
    for group in &mut groups {
        for rule in &mut group.rules {
            rule.labels = rule.labels.without(replica_labels);
        }
        group.rules.sort_by(|a, b| identity(a, b).then_with(|| preference(a, b)));
        group.rules.dedup_by(|rule, kept| identity(rule, kept).is_eq());
    }
    groups
}

/// The order of rules in a group; rules that compare equal are replicas of the same rule.
fn identity(a: &Rule, b: &Rule) -> Ordering {
    let duration = |rule: &Rule| rule.alerting.as_ref().map_or(0.0, |alerting| alerting.duration);
    (a.kind(), &a.name, &a.labels, &a.query)
        .cmp(&(b.kind(), &b.name, &b.labels, &b.query))
        .then_with(|| duration(a).total_cmp(&duration(b)))
}

/// Of replicas of a rule, the one with the more advanced alert state comes first, then the one evaluated last.
fn preference(a: &Rule, b: &Rule) -> Ordering {
    let state = |rule: &Rule| rule.alerting.as_ref().map(|alerting| alerting.state);
    Reverse((state(a), a.last_evaluation)).cmp(&Reverse((state(b), b.last_evaluation)))
}

#[cfg(test)]
mod tests {
    use tithon_index::{Labels, MatchOp};
    use tithon_storeapi::{AlertState, Alerting, Moment};

    use super::*;

    fn rule(name: &str, labels: &[(&str, &str)], state: Option<AlertState>, evaluated: i64) -> Rule {
        Rule {
            name: name.to_owned(),
            query: "up == 0".to_owned(),
            labels: Labels::from_pairs(labels.iter().copied()),
            health: "ok".to_owned(),
            last_error: String::new(),
            evaluation_seconds: 0.0,
            last_evaluation: Moment { seconds: evaluated, nanos: 0 },
            alerting: state.map(|state| Alerting { state, ..Alerting::default() }),
        }
    }

    fn group(name: &str, file: &str, rules: Vec<Rule>) -> RuleGroup {
        RuleGroup { name: name.to_owned(), file: file.to_owned(), rules, ..RuleGroup::default() }
    }

    fn names(groups: &[RuleGroup]) -> Vec<(&str, Vec<&str>)> {
        let mut names = Vec::new();
        for group in groups {
            names.push((group.name.as_str(), group.rules.iter().map(|rule| rule.name.as_str()).collect()));
        }
        names
    }

    #[test]
    fn replicas_of_a_rule_are_one() {
        let of = |replica, state, at| rule("Down", &[("job", "a"), ("replica", replica)], Some(state), at);
        let recording = |at| rule("a:b", &[], None, at);
        let groups = vec![
            group("g", "f", vec![recording(5), of("0", AlertState::Pending, 9)]),
            group("e", "f", vec![recording(1)]),
            group(
                "g",
                "f",
                vec![of("1", AlertState::Firing, 3), recording(7), of("2", AlertState::Firing, 2)],
            ),
        ];
        let merged = merge(groups, &Filter::default(), &["replica".to_owned()]);
        assert_eq!(names(&merged), [("e", vec!["a:b"]), ("g", vec!["Down", "a:b"])]);
        let [down, recorded] = &merged[1].rules[..] else { panic!("{merged:?}") };
        assert_eq!(down.alerting.as_ref().map(|alerting| alerting.state), Some(AlertState::Firing));
        assert_eq!((down.last_evaluation.seconds, recorded.last_evaluation.seconds), (3, 7));
        assert_eq!(down.labels, Labels::from_pairs([("job", "a")]));
    }

    #[test]
    fn filters_drop_what_they_empty() {
        let groups = || {
            vec![
                group("a", "f1", vec![rule("x", &[("team", "db")], None, 0), rule("y", &[], None, 0)]),
                group("b", "f2", vec![rule("x", &[("team", "{{ $labels.team }}")], None, 0)]),
                group("c", "f2", Vec::new()),
            ]
        };
        let check = |filter: Filter, expected: &[(&str, Vec<&str>)]| {
            assert_eq!(names(&merge(groups(), &filter, &[])), expected, "{filter:?}");
        };
        check(Filter::default(), &[("a", vec!["x", "y"]), ("b", vec!["x"]), ("c", vec![])]);
        let list = |text: &str| vec![text.to_owned()];
        check(Filter { names: list("x"), ..Filter::default() }, &[("a", vec!["x"]), ("b", vec!["x"])]);
        check(Filter { files: list("f2"), ..Filter::default() }, &[("b", vec!["x"])]);
        check(Filter { groups: list("a"), names: list("y"), ..Filter::default() }, &[("a", vec!["y"])]);
        let matcher = |op, value: &str| vec![Matcher::new(op, "team", value).expect("a matcher")];
        check(Filter { matchers: matcher(MatchOp::Equal, "db"), ..Filter::default() }, &[("a", vec!["x"])]);
        check(
            Filter { matchers: matcher(MatchOp::Equal, ""), ..Filter::default() },
            &[("a", vec!["y"]), ("b", vec!["x"])],
        );
    }
}
