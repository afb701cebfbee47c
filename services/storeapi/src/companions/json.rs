//! Rules and alerts as the HTTP APIs show them. Thanos `pkg/rules/rulespb/custom.go`.

use serde_json::{Map, Value, json};
use tithon_index::Labels;

use super::{ActiveAlert, Rule, RuleGroup};

/// A group with its rules; alerts are left out of them if `excludes_alerts`.
pub fn rule_group_json(group: &RuleGroup, excludes_alerts: bool) -> Value {
    let rules: Vec<Value> = group.rules.iter().map(|rule| rule_json(rule, excludes_alerts)).collect();
    json!({
        "name": group.name,
        "file": group.file,
        "rules": rules,
        "interval": json_number(group.interval),
        "evaluationTime": json_number(group.evaluation_seconds),
        "lastEvaluation": group.last_evaluation.to_string(),
        "limit": group.limit,
        "partialResponseStrategy": strategy(group.aborts),
    })
}

fn strategy(aborts: bool) -> &'static str {
    if aborts { "ABORT" } else { "WARN" }
}

fn rule_json(rule: &Rule, excludes_alerts: bool) -> Value {
    let mut json = json!({
        "name": rule.name,
        "query": rule.query,
        "labels": labels_json(&rule.labels),
        "health": rule.health,
        "evaluationTime": json_number(rule.evaluation_seconds),
        "lastEvaluation": rule.last_evaluation.to_string(),
        "type": "recording",
    });
    if !rule.last_error.is_empty() {
        json["lastError"] = json!(rule.last_error);
    }
    if let Some(alerting) = &rule.alerting {
        json["type"] = json!("alerting");
        json["state"] = json!(alerting.state.as_str());
        json["duration"] = json_number(alerting.duration);
        json["keepFiringFor"] = json_number(alerting.keep_firing_for);
        json["annotations"] = labels_json(&alerting.annotations);
        if !excludes_alerts {
            json["alerts"] = alerting.alerts.iter().map(alert_json).collect();
        }
    }
    json
}

/// An alert that is active.
pub fn alert_json(alert: &ActiveAlert) -> Value {
    let mut json = json!({
        "labels": labels_json(&alert.labels),
        "annotations": labels_json(&alert.annotations),
        "state": alert.state.as_str(),
        "value": alert.value,
        "partialResponseStrategy": strategy(alert.aborts),
    });
    if let Some(at) = alert.active_at {
        json["activeAt"] = json!(at.to_string());
    }
    json
}

/// A number as Go writes it: without a point where it is whole.
pub fn json_number(value: f64) -> Value {
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    if value.fract() == 0.0 && value.abs() <= EXACT_MAX { json!(value as i64) } else { json!(value) }
}

/// Labels as an object; bytes that are not UTF-8 are replaced.
pub fn labels_json(labels: &Labels) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = labels.iter().map(|(name, value)| (text(name), Value::String(text(value))));
    Value::Object(pairs.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_in_go() {
        for (value, text) in [(60.0, "60"), (0.000123, "0.000123"), (-1.5, "-1.5"), (1e300, "1e+300")] {
            assert_eq!(json_number(value).to_string(), text);
        }
    }
}
