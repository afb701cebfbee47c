//! Rules and alerts as JSON. Thanos `pkg/rules/rulespb/custom.go`.

use serde_json::{Map, Value, json};
use tithon_index::Labels;
use tithon_storeapi::{ActiveAlert, Rule, RuleGroup};

pub(super) fn group_json(group: &RuleGroup, excludes_alerts: bool) -> Value {
    let rules: Vec<Value> = group.rules.iter().map(|rule| rule_json(rule, excludes_alerts)).collect();
    json!({
        "name": group.name,
        "file": group.file,
        "rules": rules,
        "interval": number(group.interval),
        "evaluationTime": number(group.evaluation_seconds),
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
        "evaluationTime": number(rule.evaluation_seconds),
        "lastEvaluation": rule.last_evaluation.to_string(),
        "type": "recording",
    });
    if !rule.last_error.is_empty() {
        json["lastError"] = json!(rule.last_error);
    }
    if let Some(alerting) = &rule.alerting {
        json["type"] = json!("alerting");
        json["state"] = json!(alerting.state.as_str());
        json["duration"] = number(alerting.duration);
        json["keepFiringFor"] = number(alerting.keep_firing_for);
        json["annotations"] = labels_json(&alerting.annotations);
        if !excludes_alerts {
            json["alerts"] = alerting.alerts.iter().map(alert_json).collect();
        }
    }
    json
}

pub(super) fn alert_json(alert: &ActiveAlert) -> Value {
    json!({
        "labels": labels_json(&alert.labels),
        "annotations": labels_json(&alert.annotations),
        "state": alert.state.as_str(),
        "activeAt": alert.active_at.map(|at| at.to_string()),
        "value": alert.value,
        "partialResponseStrategy": strategy(alert.aborts),
    })
}

/// A number as Go writes it: whole ones without a point.
fn number(value: f64) -> Value {
    /// Whole numbers up to here are exact.
    const WHOLE_MAX: f64 = 9e15;
    if value.fract() == 0.0 && value.abs() < WHOLE_MAX { json!(value as i64) } else { json!(value) }
}

fn labels_json(labels: &Labels) -> Value {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let pairs = labels.iter().map(|(name, value)| (text(name), Value::String(text(value))));
    Value::Object(pairs.collect::<Map<_, _>>())
}
