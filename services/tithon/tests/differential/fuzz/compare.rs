//! Compares two answers.

use serde_json::Value;

use super::queries::Dialect;

pub enum Verdict {
    Equal,
    /// Prometheus itself gives different answers to the same query.
    Unstable,
    Different(String),
}

/// Answers must equal those of 3.14 exactly, including annotations and errors; those of 2.42 may differ in the last
/// digits and in texts.
pub fn compare(ours: &Value, theirs: &Value, dialect: Dialect) -> Verdict {
    let told = |answer: &Value, key: &str| {
        let list = answer[key].as_array().cloned().unwrap_or_default();
        let mut list: Vec<String> = list.iter().map(Value::to_string).collect();
        list.sort();
        list.join(" ")
    };
    let differs = |what: &str, a: String, b: String| {
        let at = a.bytes().zip(b.bytes()).position(|(x, y)| x != y).unwrap_or(a.len().min(b.len()));
        let from = at.saturating_sub(120);
        let cut = |text: &str| text.chars().skip(from).take(300).collect::<String>();
        Verdict::Different(format!("{what}: ours {} theirs {}", cut(&a), cut(&b)))
    };
    if ours["status"] != theirs["status"] {
        return differs("status", ours.to_string(), theirs.to_string());
    }
    if ours["status"] != "success" {
        let text = |answer: &Value| format!("{} {}", answer["errorType"], answer["error"]);
        return match dialect == Dialect::Common || text(ours) == text(theirs) {
            true => Verdict::Equal,
            false => differs("error", text(ours), text(theirs)),
        };
    }
    let (a, b) = (&ours["data"], &theirs["data"]);
    if a["resultType"] != b["resultType"] {
        return differs("type", a["resultType"].to_string(), b["resultType"].to_string());
    }
    if dialect == Dialect::Modern {
        for key in ["warnings", "infos"] {
            if told(ours, key) != told(theirs, key) {
                return differs(key, told(ours, key), told(theirs, key));
            }
        }
    }
    let (a, b) = (series(a), series(b));
    if a.len() != b.len() {
        return differs(&format!("{} and {} series", a.len(), b.len()), text(&a), text(&b));
    }
    match a.iter().zip(&b).find(|(x, y)| !same(x, y, dialect)) {
        None => Verdict::Equal,
        Some((x, y)) => differs("series", x.to_string(), y.to_string()),
    }
}

fn text(list: &[Value]) -> String {
    list.iter().map(Value::to_string).collect::<Vec<_>>().join(" ")
}

/// The result as a set.
fn series(data: &Value) -> Vec<Value> {
    if !matches!(data["resultType"].as_str(), Some("vector" | "matrix")) {
        return vec![data["result"].clone()];
    }
    let mut list = data["result"].as_array().cloned().unwrap_or_default();
    list.sort_by_cached_key(|one| one["metric"].to_string());
    list
}

fn same(a: &Value, b: &Value, dialect: Dialect) -> bool {
    match (a, b) {
        _ if a == b => true,
        _ if dialect == Dialect::Modern => false,
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, dialect))
        }
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, v)| b.get(key).is_some_and(|w| same(v, w, dialect)))
        }
        (Value::String(a), Value::String(b)) => match (a.parse::<f64>(), b.parse::<f64>()) {
            (Ok(x), Ok(y)) => (x - y).abs() <= 1e-9 * x.abs().max(y.abs()),
            _ => false,
        },
        _ => false,
    }
}
