//! Files of rules, sound and unsound.

use super::*;

fn parsed(text: &str) -> Result<Vec<GroupConfig>, String> {
    parse_rules(Path::new("r.yml"), text, &ParseOptions::default()).map_err(|faults| faults.to_string())
}

#[test]
fn a_file_with_everything() {
    let text = r#"
groups:
- name: g
  interval: 1m30s
  query_offset: 30s
  limit: 10
  labels: {team: db, severity: none}
  partial_response_strategy: WARN
  rules:
  - record: job:up:sum
    expr: sum by (job) (up)
    labels: {level: 1, on: true}
  - alert: Down
    expr: up == 0
    for: 5m
    keep_firing_for: 10m
    labels:
      severity: page
      instance_of: '{{ $labels.instance | stripPort }}'
    annotations: {summary: "{{ $labels.instance }} is down", empty: }
- name: empty
"#;
    let groups = parsed(text).unwrap();
    let [group, empty] = &groups[..] else { panic!("{groups:?}") };
    assert_eq!((group.name.as_str(), group.limit, group.strategy), ("g", 10, Strategy::Warn));
    assert_eq!(group.interval, Some(Duration::from_secs(90)));
    assert_eq!(group.query_offset, Some(Duration::from_secs(30)));
    let [record, alert] = &group.rules[..] else { panic!("{group:?}") };
    assert_eq!(record.expr.to_string(), "sum by (job) (up)");
    let labels = [("level", "1"), ("on", "true"), ("severity", "none"), ("team", "db")];
    assert_eq!(record.labels, Labels::from_pairs(labels));
    let config = alert.alert.as_ref().unwrap();
    assert_eq!((config.hold, config.keep_firing), (Duration::from_secs(300), Duration::from_secs(600)));
    assert_eq!(alert.labels.get("severity"), Some(&b"page"[..]));
    assert_eq!(config.annotation_templates.len(), 2);
    assert_eq!((empty.rules.len(), empty.strategy, empty.interval), (0, Strategy::Abort, None));
    assert!(parsed("").unwrap().is_empty());
    assert!(parsed("groups:").unwrap().is_empty());
}

#[test]
fn faults_tell_where() {
    let rule = |rule: &str| format!("groups:\n- name: g\n  rules:\n  - {rule}\n");
    for (text, expected) in [
        (
            "groups: [{name: a}, {name: a}]".to_owned(),
            "r.yml:1:21: groupname: \"a\" is repeated in the same file",
        ),
        ("groups: [{interval: 1m}]".to_owned(), "r.yml:1:10: Groupname must not be empty"),
        ("groups: [{name: a, intervall: 1m}]".to_owned(), "unknown field `intervall`"),
        ("groups: [{name: a, interval: 1x}]".to_owned(), "r.yml:1:30: "),
        (
            "groups:\n- name: a\n  partial_response_strategy: x".to_owned(),
            "r.yml:3:30: partial_response_strategy: expected warn or abort, found \"x\"",
        ),
        (rule("{expr: up}"), "r.yml:4:5: group \"g\", rule 1, \"\": one of 'record' or 'alert' must be set"),
        (rule("{record: a, alert: b, expr: up}"), "only one of 'record' and 'alert' must be set"),
        (rule("{record: a}"), "r.yml:4:5: group \"g\", rule 1, \"a\": field 'expr' must be set in rule"),
        (
            rule("{record: a, expr: 'sum('}"),
            "r.yml:4:23: group \"g\", rule 1, \"a\": could not parse expression: 1:5: parse error: unclosed left parenthesis",
        ),
        (rule("{record: 'a{b=\"c\"}', expr: up}"), "braces present in the recording rule name"),
        (rule("{record: a, expr: up, for: 1m}"), "invalid field 'for' in recording rule"),
        (rule("{record: a, expr: up, annotations: {a: b}}"), "invalid field 'annotations' in recording rule"),
        (rule("{record: a, expr: up, labels: {__name__: b}}"), "invalid label name: __name__"),
        (
            rule("{alert: a, expr: up, labels: {b: '{{ nope }}'}}"),
            "label \"b\": template: __alert_a:1: function \"nope\" not defined",
        ),
        (
            rule("{alert: a, expr: up, annotations: {b: '{{ $x }}'}}"),
            "annotation \"b\": template: __alert_a:1: undefined variable \"$x\"",
        ),
    ] {
        let error = parsed(&text).unwrap_err();
        assert!(error.contains(expected), "{text}\n{error}");
    }
    let two = "groups:\n- name: g\n  rules:\n  - {record: a}\n  - {alert: b}\n";
    let faults = parse_rules(Path::new("r.yml"), two, &ParseOptions::default()).unwrap_err();
    assert_eq!(faults.0.len(), 2, "all faults are told: {faults}");
}
