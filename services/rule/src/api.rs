//! The web API of a ruler, its page, and its rules over gRPC. Thanos `pkg/api/rule/v1.go`, Prometheus `web/api/v1/api.go`.

mod filter;
mod page;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use futures::FutureExt;
use serde_json::{Value, json};
use tithon_chunks::ErrorKind;
use tithon_runtime::{About, is_same_origin};
use tithon_storeapi::{
    Companions, ExemplarsRequest, MetadataByMetric, MetadataRequest, RuleGroup, RuleKind, RulesRequest,
    SeriesExemplars, StatisticsByTenant, StatisticsRequest, StoreApiError, TargetsByState, TargetsRequest,
    Telling, Told, alert_json, rule_group_json,
};

use self::filter::RulesQuery;
use crate::{Manager, Storage};

#[derive(Clone)]
struct Api {
    manager: Manager,
    allows_origins: bool,
    about: Arc<About>,
}

/// The pages: `/api/v1/rules`, `/api/v1/alerts`, `/api/v1/status/*`, `/-/reload`, and rules and alerts for people at `/`, `/rules` and
/// `/alerts`. Pages of other origins may read the answers if `allows_origins`.
pub fn rule_pages(manager: Manager, allows_origins: bool, about: About) -> Router {
    Router::new()
        .route("/", get(rules_page))
        .route("/rules", get(rules_page))
        .route("/alerts", get(alerts_page))
        .route("/-/reload", post(reload))
        .route("/api/v1/rules", get(rules))
        .route("/api/v1/alerts", get(alerts))
        .route("/api/v1/status/buildinfo", get(async |State(api): State<Api>| api.data(&api.about.build)))
        .route("/api/v1/status/flags", get(async |State(api): State<Api>| api.data(&api.about.flags)))
        .route("/api/v1/status/runtimeinfo", get(async |State(api): State<Api>| api.data(&api.about.runtime)))
        .with_state(Api { manager, allows_origins, about: about.into() })
}

impl Api {
    fn data(&self, data: impl serde::Serialize) -> Response {
        self.answer(StatusCode::OK, &json!({"status": "success", "data": data}))
    }

    fn answer(&self, status: StatusCode, body: &Value) -> Response {
        let mut response = (status, axum::Json(body)).into_response();
        if self.allows_origins {
            let headers = response.headers_mut();
            let mut set = |name, value| headers.insert(name, HeaderValue::from_static(value));
            set(header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
            set(header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, OPTIONS");
            set(
                header::ACCESS_CONTROL_ALLOW_HEADERS,
                "Accept, Accept-Encoding, Authorization, Content-Type, Origin",
            );
            set(header::ACCESS_CONTROL_EXPOSE_HEADERS, "Date");
        }
        response
    }
}

async fn rules(State(api): State<Api>, uri: Uri) -> Response {
    match RulesQuery::parse(uri.query().unwrap_or_default()) {
        Err(reason) => {
            let body = json!({"status": "error", "errorType": "bad_data", "error": reason});
            api.answer(StatusCode::BAD_REQUEST, &body)
        }
        Ok(query) => {
            let (groups, next) = query.apply(api.manager.told());
            let groups: Vec<Value> =
                groups.iter().map(|group| rule_group_json(group, query.excludes_alerts)).collect();
            let mut data = json!({"groups": groups});
            if let Some(next) = next {
                data["groupNextToken"] = json!(next);
            }
            api.data(data)
        }
    }
}

async fn alerts(State(api): State<Api>) -> Response {
    let groups = api.manager.told();
    let rules = groups.iter().flat_map(|group| &group.rules);
    let alerts = rules.filter_map(|rule| rule.alerting.as_ref()).flat_map(|alerting| &alerting.alerts);
    let alerts: Vec<Value> = alerts.map(alert_json).collect();
    let alerts = if alerts.is_empty() { Value::Null } else { Value::Array(alerts) };
    api.data(json!({"Alerts": alerts}))
}

async fn reload(State(api): State<Api>, headers: HeaderMap) -> Response {
    if !is_same_origin(&headers) {
        return (StatusCode::FORBIDDEN, "a page of another origin may not reload the rules\n")
            .into_response();
    }
    match api.manager.reload().await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(error) => {
            tracing::error!(%error, "rules cannot be reloaded");
            (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response()
        }
    }
}

async fn rules_page(State(api): State<Api>) -> Html<String> {
    Html(page::rules(&api.manager.told()))
}

async fn alerts_page(State(api): State<Api>) -> Html<String> {
    Html(page::alerts(&api.manager.told()))
}

/// Rules as companions tell them, and statistics of local storage.
#[derive(Clone)]
pub struct RuleCompanions(Manager);

impl RuleCompanions {
    /// The rules of a manager.
    pub fn new(manager: Manager) -> RuleCompanions {
        RuleCompanions(manager)
    }
}

fn nothing<T: Send + 'static>() -> Telling<T> {
    let error = std::io::Error::other("a ruler does not tell that");
    async { Err(StoreApiError::new(ErrorKind::Unsupported, error)) }.boxed()
}

impl Companions for RuleCompanions {
    fn rules(&self, request: RulesRequest) -> Telling<RuleGroup> {
        let mut groups = self.0.told();
        if let Some(kind) = request.kind {
            groups.iter_mut().for_each(|group| group.rules.retain(|rule| rule.kind() == kind));
        }
        async { Ok(Told { found: groups, warnings: Vec::new() }) }.boxed()
    }

    fn targets(&self, _: TargetsRequest) -> Telling<TargetsByState> {
        nothing()
    }

    fn metadata(&self, _: MetadataRequest) -> Telling<MetadataByMetric> {
        nothing()
    }

    fn exemplars(&self, _: ExemplarsRequest) -> Telling<SeriesExemplars> {
        nothing()
    }

    fn statistics(&self, request: StatisticsRequest) -> Telling<StatisticsByTenant> {
        let Storage::Local(tsdb) = self.0.storage() else { return nothing() };
        let (tsdb, external) = (tsdb.clone(), self.0.external_labels());
        let value = |name: &[u8]| external.get(name).unwrap_or_default();
        let is_other = request.matchers.iter().any(|matcher| !matcher.matches(value(matcher.name())));
        let is_asked = request.tenant.is_empty() && !is_other;
        let limit = usize::try_from(request.limit).unwrap_or(0);
        async move {
            let mut found = StatisticsByTenant::default();
            if is_asked {
                let failed = |error| StoreApiError::new(ErrorKind::Unknown, error);
                found.0.insert(String::new(), tsdb.statistics(limit).await.map_err(failed)?);
            }
            Ok(Told { found: vec![found], warnings: Vec::new() })
        }
        .boxed()
    }
}

/// The kind of rules that a parameter `type` names.
fn kind_named(word: &str) -> Result<Option<RuleKind>, String> {
    match word.to_ascii_lowercase().as_str() {
        "" | "all" => Ok(None),
        "alert" => Ok(Some(RuleKind::Alerting)),
        "record" => Ok(Some(RuleKind::Recording)),
        _ => Err(format!("invalid rules parameter type='{word}'")),
    }
}
