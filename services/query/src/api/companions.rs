//! Rules, alerts, targets, metadata, exemplars and statistics of the servers behind a querier, as JSON of Thanos's HTTP
//! API. Thanos `pkg/api/query/v1.go`.

use serde_json::{Map, Value, json};
use tithon_chunks::ErrorKind;
use tithon_index::Matcher;
use tithon_storeapi::{
    ActiveTarget, Companions, ExemplarsRequest, MetadataRequest, RuleGroup, RuleKind, RulesRequest,
    SeriesExemplars, Statistic, StatisticsRequest, StoreApiError, TargetState, TargetsRequest,
    TsdbStatistics, alert_json, json_number, labels_json, rule_group_json,
};

use super::answer::Answer;
use super::call::Call;
use crate::QueryService;
use crate::companions::{exemplars, metadata, rules, statistics, targets};
use crate::error::ApiError;
use crate::json::push_value;
use crate::options::Dialect;
use crate::params::{GoTime, parse_int, parse_time, quote};

pub(crate) async fn rules(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    let params = &call.params;
    let kind = match params.get("type").to_ascii_lowercase().as_str() {
        "" | "all" => None,
        "alert" => Some(RuleKind::Alerting),
        "record" => Some(RuleKind::Recording),
        _ => {
            let text = format!("invalid rules parameter type='{}'", params.get("type"));
            return Err(ApiError::bad_data(text));
        }
    };
    let list = |name: &str| params.all(name).map(str::to_owned).collect();
    let matchers = selectors(&service, &call, |e| {
        ApiError::internal(format!("error retrieving rules: parser ParseMetricSelector: {e}"))
    })?;
    let (names, groups, files) = (list("rule_name[]"), list("rule_group[]"), list("file[]"));
    let filter = rules::Filter { matchers, names, groups, files };
    let (groups, warnings) = merged_rules(&service, kind, filter).await?;
    let groups: Vec<Value> = groups.iter().map(|group| rule_group_json(group, false)).collect();
    Ok(answer(&json!({ "groups": groups }), warnings))
}

pub(crate) async fn alerts(service: QueryService, _: Call) -> Result<Answer, ApiError> {
    let (groups, warnings) =
        merged_rules(&service, Some(RuleKind::Alerting), rules::Filter::default()).await?;
    let rules = groups.iter().flat_map(|group| &group.rules);
    let alerts = rules.filter_map(|rule| rule.alerting.as_ref()).flat_map(|alerting| &alerting.alerts);
    let alerts: Vec<Value> = alerts.map(alert_json).collect();
    let alerts = if alerts.is_empty() { Value::Null } else { Value::Array(alerts) };
    Ok(answer(&json!({ "alerts": alerts }), warnings))
}

async fn merged_rules(
    service: &QueryService,
    kind: Option<RuleKind>,
    filter: rules::Filter,
) -> Result<(Vec<RuleGroup>, Vec<String>), ApiError> {
    let options = service.options();
    let request = RulesRequest { kind, partial_response: options.partial_responses.rules };
    let collected = service.rules(request).await.map_err(failed("error retrieving rules: proxy Rules"))?;
    let replica_labels = options.replica_labels.clone();
    let merge = move || Ok(rules::merge(collected.found, &filter, &replica_labels));
    Ok((service.on_pool(merge).await?, collected.warnings))
}

pub(crate) async fn targets(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    let state = match call.params.get("state").to_ascii_lowercase().as_str() {
        "" | "any" => None,
        "active" => Some(TargetState::Active),
        "dropped" => Some(TargetState::Dropped),
        _ => {
            let text = format!("invalid targets parameter state='{}'", call.params.get("state"));
            return Err(ApiError::bad_data(text));
        }
    };
    let options = service.options();
    let request = TargetsRequest { state, partial_response: options.partial_responses.targets };
    let collected = service.targets(request).await.map_err(failed("retrieving targets: proxy Targets"))?;
    let replica_labels = options.replica_labels.clone();
    let data = move || {
        let merged = targets::merge(collected.found, &replica_labels);
        let active: Vec<Value> = merged.active.iter().map(target_json).collect();
        let dropped = merged.dropped.iter().map(|labels| json!({ "discoveredLabels": labels_json(labels) }));
        Ok(json!({"activeTargets": active, "droppedTargets": dropped.collect::<Vec<_>>()}))
    };
    Ok(answer(&service.on_pool(data).await?, collected.warnings))
}

pub(crate) async fn metadata(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    let limit = match call.params.get("limit") {
        "" => -1,
        text => {
            let number = parse_int(text, "ParseInt").ok().and_then(|n| i32::try_from(n).ok());
            number.ok_or_else(|| ApiError::bad_data(format!("invalid metric metadata limit='{text}'")))?
        }
    };
    let (metric, partial_response) =
        (call.params.get("metric").to_owned(), service.options().partial_responses.metadata);
    let request = MetadataRequest { metric, limit, partial_response };
    let collected =
        service.metadata(request).await.map_err(failed("retrieving metadata: proxy MetricMetadata"))?;
    let mut data = Map::new();
    for (name, metas) in metadata::merge(collected.found, limit) {
        let metas = metas.into_iter().map(|m| json!({"type": m.kind, "help": m.help, "unit": m.unit}));
        data.insert(name, metas.collect());
    }
    Ok(answer(&Value::Object(data), collected.warnings))
}

pub(crate) async fn exemplars(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    let time = |name: &str, default: GoTime| match call.params.get(name) {
        "" => Ok(default),
        text => parse_time(text, Dialect::Thanos)
            .map_err(|e| ApiError::bad_data(format!("Invalid time value for '{name}': {e}"))),
    };
    let (start, end) = (time("start", GoTime::MIN)?, time("end", GoTime::MAX)?);
    let options = service.options();
    let request = ExemplarsRequest {
        query: call.params.get("query").to_owned(),
        start_ms: start.storage_millis(),
        end_ms: end.storage_millis(),
        partial_response: options.partial_responses.exemplars,
    };
    let collected = service.exemplars(request).await;
    let collected = collected.map_err(failed("retrieving exemplars: proxy Exemplars"))?;
    let replica_labels = options.replica_labels.clone();
    let data = move || {
        Ok(exemplars::merge(collected.found, &replica_labels).iter().map(exemplars_json).collect::<Value>())
    };
    Ok(answer(&service.on_pool(data).await?, collected.warnings))
}

pub(crate) async fn tsdb(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    /// Entries of each list when the request sets no limit.
    const DEFAULT_LIMIT: i32 = 10;
    call.params.check_form(Dialect::Thanos)?;
    let wrong = |text: &str| ApiError::bad_data(format!("cannot parse {} to a valid limit", quote(text)));
    let limit = match call.params.get("limit") {
        "" => 0,
        text => parse_int(text, "Atoi").ok().filter(|n| *n >= 0).ok_or_else(|| wrong(text))?,
    };
    let limit = i32::try_from(limit)
        .map_err(|_| ApiError::bad_data(format!("limit {limit} overflows int32")))
        .map(|limit| if limit < 1 { DEFAULT_LIMIT } else { limit })?;
    let mut matchers = selectors(&service, &call, ApiError::bad_data)?;
    let (partial_response, tenancy) =
        (service.options().partial_responses.status, &service.options().tenancy);
    // With enforced tenancy only the statistics of the request's tenant are answered.
    let tenant = match tenancy.enforced_label {
        Some(_) => Some(call.tenant.name().map_err(ApiError::bad_data)?),
        None => None,
    };
    matchers.extend(tenant.and_then(|tenant| tenancy.enforced(tenant)));
    let request = StatisticsRequest { tenant: String::new(), limit, matchers, partial_response };
    let collected = service.statistics(request).await;
    let collected = collected.map_err(failed("retrieving tsdb statistics: proxy TSDBStatistics"))?;
    let lines = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut collected = collected;
    if let Some(tenant) = tenant {
        collected.found.iter_mut().for_each(|one| one.0.retain(|of, _| of == tenant));
        if collected.found.iter().all(|one| one.0.is_empty()) {
            let text = format!("retrieving tsdb statistics: {tenant} tenant not found");
            return Err(ApiError::internal(text));
        }
    }
    Ok(answer(&statistics_json(&statistics::merge(collected.found), lines), collected.warnings))
}

/// The matchers of all `match[]` selectors, concatenated.
fn selectors(
    service: &QueryService,
    call: &Call,
    refuse: impl Fn(String) -> ApiError,
) -> Result<Vec<Matcher>, ApiError> {
    let mut matchers = Vec::new();
    for text in call.params.all("match[]") {
        let options = service.options().parse_options();
        let parsed = tithon_promql::parse_metric_selector(text, &options);
        matchers.append(&mut parsed.map_err(|e| refuse(e.to_string()))?);
    }
    Ok(matchers)
}

/// Makes the API's error of a server's error, or of an error in the request to all servers.
fn failed(doing: &'static str) -> impl Fn(StoreApiError) -> ApiError {
    move |error| match error.kind() {
        ErrorKind::Invalid => {
            ApiError::internal(format!("{doing}: rpc error: code = InvalidArgument desc = {error}"))
        }
        _ => ApiError::internal(format!("{doing}: {error}")),
    }
}

fn answer(data: &Value, warnings: Vec<String>) -> Answer {
    Answer { warnings, ..Answer::new(data.to_string().into_bytes()) }
}

fn target_json(target: &ActiveTarget) -> Value {
    json!({
        "discoveredLabels": labels_json(&target.discovered_labels),
        "labels": labels_json(&target.labels),
        "scrapePool": target.scrape_pool,
        "scrapeUrl": target.scrape_url,
        "globalUrl": target.global_url,
        "lastError": target.last_error,
        "lastScrape": target.last_scrape.to_string(),
        "lastScrapeDuration": json_number(target.last_scrape_seconds),
        "health": target.health.as_str(),
    })
}

fn exemplars_json(series: &SeriesExemplars) -> Value {
    let exemplars = series.exemplars.iter().map(|one| {
        json!({
            "labels": labels_json(&one.labels),
            "value": float_text(one.value),
            "timestamp": json_number(one.time_ms as f64 / 1000.0),
        })
    });
    json!({"seriesLabels": labels_json(&series.labels), "exemplars": exemplars.collect::<Vec<_>>()})
}

fn statistics_json(all: &TsdbStatistics, lines: usize) -> Value {
    let list = |list: &[Statistic]| -> Value {
        list.iter().take(lines).map(|one| json!({"name": one.name, "value": one.value})).collect()
    };
    json!({
        "headStats": {
            "numSeries": all.series,
            "numLabelPairs": all.label_pairs,
            "chunkCount": all.chunks,
            "minTime": all.min_time_ms,
            "maxTime": all.max_time_ms,
        },
        "seriesCountByMetricName": list(&all.series_by_metric),
        "labelValueCountByLabelName": list(&all.values_by_label),
        "memoryInBytesByLabelName": list(&all.bytes_by_label),
        "seriesCountByLabelValuePair": list(&all.series_by_pair),
    })
}

/// A sample's value as PromQL's API prints it.
fn float_text(value: f64) -> String {
    let mut text = Vec::new();
    push_value(&mut text, value);
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn infinity_as_in_go() {
        assert_eq!(float_text(f64::INFINITY), "+Inf");
    }
}
