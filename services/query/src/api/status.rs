//! Endpoints about the querier itself, and endpoints of Prometheus whose answer is empty for a querier over blocks
//! alone.

use serde_json::{Map, Value, json};
use tithon_runtime::RuntimeInfo;
use tithon_storeapi::Moment;

use super::answer::Answer;
use super::call::Call;
use crate::QueryService;
use crate::error::ApiError;
use crate::fanout::StoreStatus;
use crate::options::Dialect;
use crate::params::{Params, parse_bool, parse_int, quote};

pub(crate) async fn stores(service: QueryService, _: Call) -> Result<Answer, ApiError> {
    let mut by_component: Map<String, Value> = Map::new();
    let mut stores = service.stores();
    stores.sort_by(|a, b| a.name.cmp(&b.name));
    for StoreStatus { name, info, health } in stores {
        let label_sets: Vec<Value> = info
            .label_sets
            .iter()
            .map(|set| {
                let pairs = set.iter().map(|(n, v)| (text(n), Value::String(text(v))));
                Value::Object(pairs.collect())
            })
            .collect();
        let entry = json!({
            "name": name,
            "lastCheck": last_check(health.last_check_ms).to_string(),
            "lastError": health.last_error,
            "labelSets": label_sets,
            "minTime": info.range.min.0,
            "maxTime": info.range.max.0,
        });
        let list = by_component.entry(component(info.component)).or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(list) = list {
            list.push(entry);
        }
    }
    Ok(data(&Value::Object(by_component)))
}

/// The group that `/api/v1/stores` lists a store under: its component, or `unknown-store-api` for an unknown component.
fn component(component: String) -> String {
    const KNOWN: [&str; 6] = ["sidecar", "store", "rule", "receive", "query", "debug"];
    if KNOWN.contains(&component.as_str()) { component } else { "unknown-store-api".to_owned() }
}

/// When an endpoint last answered; Go's zero time when it never has.
fn last_check(millis: i64) -> Moment {
    if millis == 0 { Moment::default() } else { Moment::from_millis(millis) }
}

pub(crate) async fn rules(_: QueryService, call: Call) -> Result<Answer, ApiError> {
    call.params.check_form(Dialect::Prometheus)?;
    let kind = call.params.get("type");
    if !matches!(kind.to_ascii_lowercase().as_str(), "" | "alert" | "record") {
        let message = format!("not supported value {}", quote(kind));
        return Err(ApiError::invalid_parameter(Dialect::Prometheus, "type", message));
    }
    check_rule_paging(&call.params)?;
    Ok(data(&json!({"groups": []})))
}

fn check_rule_paging(params: &Params) -> Result<(), ApiError> {
    let invalid = |name, message| ApiError::invalid_parameter(Dialect::Prometheus, name, message);
    let exclude = params.get("exclude_alerts");
    if !exclude.is_empty() {
        parse_bool(exclude)
            .map_err(|e| invalid("exclude_alerts", format!("error converting exclude_alerts: {e}")))?;
    }
    let limit = params.get("group_limit");
    if !limit.is_empty() {
        let n = parse_int(limit, "ParseInt")
            .map_err(|e| invalid("group_limit", format!("group_limit needs to be a valid number: {e}")))?;
        if n <= 0 {
            return Err(invalid("group_limit", "group_limit needs to be greater than 0".into()));
        }
    } else if !params.get("group_next_token").is_empty() {
        let message = "group_limit needs to be present in order to paginate over the groups";
        return Err(invalid("group_next_token", message.into()));
    }
    Ok(())
}

pub(crate) async fn alerts(_: QueryService, _: Call) -> Result<Answer, ApiError> {
    Ok(data(&json!({"alerts": []})))
}

pub(crate) async fn targets(_: QueryService, call: Call) -> Result<Answer, ApiError> {
    let state = call.params.get("state").to_ascii_lowercase();
    let counts = if matches!(state.as_str(), "" | "any" | "dropped") { json!({}) } else { Value::Null };
    Ok(data(&json!({"activeTargets": [], "droppedTargets": [], "droppedTargetCounts": counts})))
}

pub(crate) async fn targets_metadata(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    check_number(&call.params, "limit")?;
    let selector = call.params.get("match_target");
    if !selector.is_empty() {
        let options = service.options();
        tithon_promql::parse_metric_selector(selector, &options.parse_options())
            .map_err(|e| ApiError::invalid_parameter(options.dialect, "match_target", e))?;
    }
    Ok(data(&json!([])))
}

pub(crate) async fn alertmanagers(_: QueryService, _: Call) -> Result<Answer, ApiError> {
    Ok(data(&json!({"activeAlertmanagers": [], "droppedAlertmanagers": []})))
}

pub(crate) async fn metadata(_: QueryService, call: Call) -> Result<Answer, ApiError> {
    check_number(&call.params, "limit")?;
    check_number(&call.params, "limit_per_metric")?;
    Ok(data(&json!({})))
}

fn check_number(params: &Params, name: &str) -> Result<(), ApiError> {
    match params.get(name) {
        "" => Ok(()),
        value => match parse_int(value, "Atoi") {
            Ok(_) => Ok(()),
            Err(_) => Err(ApiError::bad_data(format!("{name} must be a number"))),
        },
    }
}

pub(crate) async fn build_info(service: QueryService, _: Call) -> Result<Answer, ApiError> {
    Ok(data(&json!(service.options().build)))
}

pub(crate) async fn flags(service: QueryService, _: Call) -> Result<Answer, ApiError> {
    Ok(data(&json!(service.options().flags)))
}

pub(crate) async fn runtime_info(service: QueryService, _: Call) -> Result<Answer, ApiError> {
    let started = service.inner.started.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let start_time = Moment::from_millis(i64::try_from(started.as_millis()).unwrap_or(i64::MAX)).to_string();
    Ok(data(&json!(RuntimeInfo::new(start_time, service.inner.cpu.threads()))))
}

pub(crate) async fn tsdb(_: QueryService, _: Call) -> Result<Answer, ApiError> {
    Ok(data(&json!({
        "headStats": {"numSeries": 0, "numLabelPairs": 0, "chunkCount": 0, "minTime": 0, "maxTime": 0},
        "seriesCountByMetricName": [],
        "labelValueCountByLabelName": [],
        "memoryInBytesByLabelName": [],
        "seriesCountByLabelValuePair": [],
    })))
}

fn data(value: &Value) -> Answer {
    Answer::new(value.to_string().into_bytes())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
