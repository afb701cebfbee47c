//! Rules and alerts for people, as plain pages.

use std::fmt::Write;

use tithon_storeapi::{Rule, RuleGroup};

const STYLE: &str = "body{font:14px sans-serif;margin:1em 2em}table{border-collapse:collapse;width:100%}\
td,th{border:1px solid #ccc;padding:3px 8px;text-align:left;vertical-align:top}pre{margin:0;white-space:pre-wrap}\
.err,.firing{background:#fdd}.pending{background:#ffd}.ok,.inactive{background:#efe}";

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

fn page(title: &str, body: &str) -> String {
    format!(
        "<!doctype html><html><head><meta charset=\"utf-8\"><title>{title}</title><style>{STYLE}</style></head><body>\
         <p><a href=\"rules\">Rules</a> <a href=\"alerts\">Alerts</a></p><h1>{title}</h1>{body}</body></html>"
    )
}

/// All groups with their rules.
pub(super) fn rules(groups: &[RuleGroup]) -> String {
    let mut body = String::new();
    for group in groups {
        // Writing to a string cannot fail.
        let _ = write!(
            body,
            "<h2>{}</h2><p>{}, every {} s, last at {} in {:.3} s</p><table><tr><th>Rule</th><th>Health</th><th>Error</th>\
             <th>Last evaluation</th><th>Took</th></tr>",
            escaped(&group.name),
            escaped(&group.file),
            group.interval,
            group.last_evaluation,
            group.evaluation_seconds,
        );
        for rule in &group.rules {
            let _ = write!(
                body,
                "<tr><td>{}</td><td class=\"{}\">{}</td><td>{}</td><td>{}</td><td>{:.3} s</td></tr>",
                described(rule),
                escaped(&rule.health),
                escaped(&rule.health),
                escaped(&rule.last_error),
                rule.last_evaluation,
                rule.evaluation_seconds,
            );
        }
        body.push_str("</table>");
    }
    page("Rules", &body)
}

fn described(rule: &Rule) -> String {
    let word = if rule.alerting.is_some() { "alert" } else { "record" };
    let mut text = format!("{word}: {}\nexpr: {}", rule.name, rule.query);
    if let Some(alerting) = rule.alerting.as_ref().filter(|alerting| alerting.duration > 0.0) {
        let _ = write!(text, "\nfor: {}s", alerting.duration);
    }
    if !rule.labels.is_empty() {
        let _ = write!(text, "\nlabels: {}", rule.labels);
    }
    format!("<pre>{}</pre>", escaped(&text))
}

/// All alerting rules with their alerts.
pub(super) fn alerts(groups: &[RuleGroup]) -> String {
    let mut body = String::new();
    for rule in groups.iter().flat_map(|group| &group.rules) {
        let Some(alerting) = &rule.alerting else { continue };
        let state = alerting.state.as_str();
        let _ = write!(
            body,
            "<h3 class=\"{state}\">{} ({})</h3>{}",
            escaped(&rule.name),
            alerting.alerts.len(),
            described(rule)
        );
        if alerting.alerts.is_empty() {
            continue;
        }
        body.push_str(
            "<table><tr><th>Labels</th><th>State</th><th>Since</th><th>Value</th><th>Annotations</th></tr>",
        );
        for alert in &alerting.alerts {
            let state = alert.state.as_str();
            let _ = write!(
                body,
                "<tr><td>{}</td><td class=\"{state}\">{state}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
                escaped(&alert.labels.to_string()),
                alert.active_at.map(|at| at.to_string()).unwrap_or_default(),
                escaped(&alert.value),
                escaped(&alert.annotations.to_string()),
            );
        }
        body.push_str("</table>");
    }
    page("Alerts", &body)
}
