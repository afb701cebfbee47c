//! What can be said of an expression without evaluating it: its tree, its layout, and that it has no exemplars.

use tithon_promql::{Expr, NodeKind};

use super::answer::{Answer, Data};
use super::arguments::Arguments;
use super::router::Call;
use crate::QueryService;
use crate::error::ApiError;
use crate::json::push_text;
use crate::options::Dialect;
use crate::params::GoTime;

/// Exemplars are not kept in blocks: the answer is empty, but wrong requests are told so.
pub(crate) async fn exemplars(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    let options = service.options();
    let arguments = Arguments { params: &call.params, options };
    let parse = || tithon_promql::parse(call.params.get("query"), &options.parse_options());
    if options.dialect == Dialect::Thanos {
        let prefix = "retrieving exemplars: proxy Exemplars";
        parse().map_err(|e| ApiError::internal(format!("{prefix}: {e}")))?;
        return Ok(Answer::new(b"[]".to_vec()));
    }
    let start = arguments.time_or("start", GoTime::MIN)?;
    let end = arguments.time_or("end", GoTime::MAX)?;
    if end.before(start) {
        return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
    }
    let expr = parse().map_err(|e| ApiError::bad_data(e.to_string()))?;
    if !has_selector(&expr) {
        return Ok(Answer { data: Data::Empty, warnings: Vec::new(), infos: Vec::new() });
    }
    Ok(Answer::new(b"[]".to_vec()))
}

/// The tree of an expression.
pub(crate) async fn parse(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    let expr = parsed(&service, &call)?;
    let tree = tithon_promql::to_json(&expr)
        .ok_or_else(|| ApiError::bad_data("the expression nests too deep to be shown as a tree"))?;
    Ok(Answer::new(tree.to_string().into_bytes()))
}

/// An expression, laid out for reading.
pub(crate) async fn format(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    let expr = parsed(&service, &call)?;
    let mut data = Vec::new();
    push_text(&mut data, tithon_promql::prettify(&expr).as_bytes());
    Ok(Answer::new(data))
}

fn parsed(service: &QueryService, call: &Call) -> Result<Expr, ApiError> {
    let options = service.options();
    tithon_promql::parse(call.params.get("query"), &options.parse_options())
        .map_err(|e| ApiError::invalid_parameter(options.dialect, "query", e))
}

fn has_selector(expr: &Expr) -> bool {
    expr.nodes().iter().any(|node| matches!(node.kind, NodeKind::Vector(_)))
}
