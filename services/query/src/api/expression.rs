//! Endpoints that only parse an expression: its tree, its formatted text, and Prometheus's exemplars.

use std::sync::Arc;

use tithon_promql::{Charge, Expr, NodeKind, ParseErrors, QueryError, parse_within};

use super::answer::{Answer, Data};
use super::arguments::Arguments;
use super::call::Call;
use crate::QueryService;
use crate::error::ApiError;
use crate::json::push_text;
use crate::params::GoTime;

/// Longest answer of `format_query` in bytes.
const FORMATTED_BYTES_MAX: usize = 16 << 20;
/// Estimated memory of an expression's tree as JSON, as a multiple of the expression's own memory.
const TREE_COPIES: u64 = 4;

/// Exemplars in Prometheus's API. Blocks keep none, so the answer is empty, but wrong requests get the same errors.
pub(crate) async fn exemplars(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    on_expression(service, call, |arguments| {
        let start = arguments.time_or("start", GoTime::MIN)?;
        let end = arguments.time_or("end", GoTime::MAX)?;
        if end.before(start) {
            return Err(ApiError::bad_data("end timestamp must not be before start timestamp"));
        }
        let (expr, _) = expression(&arguments, |e| ApiError::bad_data(e.to_string()))?;
        if !has_selector(&expr) {
            return Ok(Answer { data: Data::Empty, warnings: Vec::new(), infos: Vec::new() });
        }
        Ok(Answer::new(b"[]".to_vec()))
    })
    .await
}

/// The tree of an expression as JSON.
pub(crate) async fn parse(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    on_expression(service, call, |arguments| {
        let (expr, mut charge) = query(&arguments)?;
        charge.grow(charge.bytes() * TREE_COPIES).map_err(|over| ApiError::of_query(&over.into()))?;
        let tree = tithon_promql::to_json(&expr)
            .ok_or_else(|| ApiError::bad_data("the expression nests too deep to be shown as a tree"))?;
        Ok(Answer::new(tree.to_string().into_bytes()))
    })
    .await
}

/// An expression, formatted for reading.
pub(crate) async fn format(service: QueryService, call: Call) -> Result<Answer, ApiError> {
    on_expression(service, call, |arguments| {
        let (expr, _held) = query(&arguments)?;
        let text = tithon_promql::prettify_within(&expr, FORMATTED_BYTES_MAX).ok_or_else(|| {
            let max = FORMATTED_BYTES_MAX;
            ApiError::bad_data(format!(
                "the expression nests so deep that its layout takes more than {max} bytes"
            ))
        })?;
        let mut data = Vec::new();
        push_text(&mut data, text.as_bytes());
        Ok(Answer::new(data))
    })
    .await
}

/// Answers from the expression alone, on the CPU pool once the call has passed the gate.
async fn on_expression(
    service: QueryService,
    call: Call,
    answer: fn(Arguments<'_>) -> Result<Answer, ApiError>,
) -> Result<Answer, ApiError> {
    let call = Arc::new(call);
    let timeout = service.timeout_of(&call);
    service.admitted(timeout, async |job| service.read(&job, &call, answer).await).await
}

/// Parses the parameter `query`. Returns the expression and the charge for its memory.
fn expression(
    arguments: &Arguments<'_>,
    refuse: impl FnOnce(ParseErrors) -> ApiError,
) -> Result<(Expr, Charge), ApiError> {
    let options = arguments.options.parse_options();
    match parse_within(arguments.params.get("query"), &options, arguments.job.watch()) {
        Err(QueryError::Parse(errors)) => Err(refuse(errors)),
        parsed => parsed.map_err(|error| ApiError::of_query(&error)),
    }
}

fn query(arguments: &Arguments<'_>) -> Result<(Expr, Charge), ApiError> {
    expression(arguments, |e| ApiError::invalid_parameter(arguments.options.dialect, "query", e))
}

fn has_selector(expr: &Expr) -> bool {
    expr.nodes().iter().any(|node| matches!(node.kind, NodeKind::Vector(_)))
}
