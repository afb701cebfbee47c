//! Compares an answer with a recorded one by the rules in the README of the recorded answers.

use std::collections::BTreeMap;

use serde_json::Value;

/// Whether `got` equals the recorded answer. The order of series counts only where the query sorts.
pub(crate) fn same(record: &Value, status: u16, got: &Value) -> bool {
    let want = &record["body"];
    if record["status"].as_u64() != Some(u64::from(status)) {
        return false;
    }
    if !want.is_object() {
        return want == got;
    }
    if want["status"] == "error" {
        return want["errorType"] == got["errorType"] && want["error"] == got["error"];
    }
    let path = record["path"].as_str().unwrap_or_default();
    if path.ends_with("/series") {
        return sorted(&want["data"]) == sorted(&got["data"]) && want["warnings"] == got["warnings"];
    }
    if path.ends_with("/query") || path.ends_with("/query_range") {
        let (w, g) = (&want["data"], &got["data"]);
        return w["resultType"] == g["resultType"] && same_result(record, &w["result"], &g["result"]);
    }
    want["data"] == got["data"] && want["warnings"] == got["warnings"]
}

fn same_result(record: &Value, want: &Value, got: &Value) -> bool {
    if want == got {
        return true;
    }
    let (Some(w), Some(g)) = (want.as_array(), got.as_array()) else { return false };
    if w.len() != g.len() || !w.iter().all(|item| item.get("metric").is_some()) {
        return false;
    }
    if order_counts(record) && w.iter().map(last_value).ne(g.iter().map(last_value)) {
        return false;
    }
    let by_metric = |items: &[Value]| {
        let pairs = items.iter().map(|item| (item["metric"].to_string(), item.clone()));
        pairs.collect::<BTreeMap<String, Value>>()
    };
    by_metric(w) == by_metric(g)
}

fn last_value(item: &Value) -> String {
    item["value"][1].to_string()
}

fn order_counts(record: &Value) -> bool {
    let query = param(record, "query").trim_start();
    record["path"].as_str().is_some_and(|p| p.ends_with("/query"))
        && ["sort(", "sort_desc(", "topk(", "bottomk("].iter().any(|f| query.starts_with(f))
}

/// The first value of a parameter of a record.
pub(crate) fn param<'a>(record: &'a Value, name: &str) -> &'a str {
    let params = record["params"].as_array().map_or(&[][..], Vec::as_slice);
    params.iter().find(|p| p[0] == name).and_then(|p| p[1].as_str()).unwrap_or_default()
}

fn sorted(list: &Value) -> Vec<String> {
    let mut items: Vec<String> = list.as_array().into_iter().flatten().map(Value::to_string).collect();
    items.sort();
    items
}
