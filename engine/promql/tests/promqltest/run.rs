//! Running one evaluation in all the ways in which upstream does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::AtomicBool;

use tithon_chunks::Timestamp;
use tithon_promql::ast::AtModifier;
use tithon_promql::{
    EvalContext, Expr, MatrixSeries, NodeId, NodeKind, Options, ParseOptions, Prepared, QueryError,
    QueryResult, Rules, Sample, TimeParams, Value, VectorSample, parse,
};

use crate::check;
use crate::script::Eval;
use crate::storage::Storage;

/// Functions whose result depends on the time of evaluation though their arguments do not.
const UNSAFE: [&str; 15] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
    "start",
    "end",
    "range",
    "step",
];

/// Evaluates and compares; fails with the reason.
pub(crate) fn eval(storage: &Storage, eval: &Eval, rules: Rules) -> Result<(), String> {
    if eval.is_range {
        let params = TimeParams {
            start: Timestamp(eval.start_ms),
            end: Timestamp(eval.end_ms),
            step_ms: eval.step_ms,
        };
        return match run(storage, &eval.expr, params, rules) {
            Err(e) => check::failure(eval, &e),
            Ok(_) if eval.fail => Err("succeeded".to_owned()),
            Ok(result) => check::annotations(eval, &result).and_then(|()| check::value(eval, &result.value)),
        };
    }
    let at = if eval.instant_only { eval.end_ms } else { eval.start_ms };
    instant(storage, eval, &eval.expr, at, rules)?;
    for (expr, at) in fixed_in_time(&eval.expr, at) {
        instant(storage, eval, &expr, at, rules).map_err(|why| format!("as {expr} at {at}: {why}"))?;
    }
    Ok(())
}

fn instant(storage: &Storage, eval: &Eval, expr: &str, at: i64, rules: Rules) -> Result<(), String> {
    let result = match run(storage, expr, TimeParams::instant(Timestamp(at)), rules) {
        Err(e) => return check::failure(eval, &e),
        Ok(_) if eval.fail => return Err("succeeded".to_owned()),
        Ok(result) => result,
    };
    check::annotations(eval, &result)?;
    check::value(eval, &result.value)?;
    let asks_for_times = ["start()", "end()", "range()", "step()"].iter().any(|call| expr.contains(call));
    if eval.instant_only || asks_for_times {
        return Ok(());
    }
    let params = TimeParams { start: Timestamp(at - 60_000), end: Timestamp(at + 60_000), step_ms: 60_000 };
    let range = run(storage, expr, params, rules).map_err(|e| format!("as a range query: {e}"))?;
    if eval.ordered {
        return Ok(());
    }
    let Value::Matrix(series) = range.value else { return Err("a range query gave no matrix".to_owned()) };
    check::sorted(&series)?;
    let middle = at_time(&series, at);
    let value = match (&result.value, middle.first()) {
        (Value::Scalar { .. }, Some(VectorSample { sample: Sample::Float(v), .. })) => {
            Value::Scalar { t: Timestamp(at), v: *v }
        }
        _ => Value::Vector(middle),
    };
    check::value(eval, &value).map_err(|why| format!("as a range query: {why}"))
}

fn run(storage: &Storage, expr: &str, params: TimeParams, rules: Rules) -> Result<QueryResult, QueryError> {
    let options = Options {
        max_samples: 10_000,
        parse: ParseOptions::ALL,
        delayed_name_removal: true,
        use_start_timestamps: true,
        rules,
        ..Options::default()
    };
    let query = || {
        let prepared = Prepared::new(expr, params, &options)?;
        let inputs = prepared.selects().iter().map(|spec| storage.select(spec)).collect();
        prepared.eval(inputs, &EvalContext { pool: None, cancelled: &AtomicBool::new(false) })
    };
    catch_unwind(AssertUnwindSafe(query))
        .unwrap_or_else(|_| Err(QueryError::Execution("panicked".to_owned())))
}

/// The elements of a matrix at one time.
fn at_time(series: &[MatrixSeries], t: i64) -> Vec<VectorSample> {
    let mut out = Vec::new();
    for MatrixSeries { labels, samples } in series {
        let element = |sample| VectorSample { labels: labels.clone(), t: Timestamp(t), sample };
        if let Ok(i) = samples.floats.timestamps.binary_search(&t) {
            out.push(element(Sample::Float(samples.floats.values[i])));
        }
        if let Ok(i) = samples.histograms.timestamps.binary_search(&t) {
            out.push(element(Sample::Histogram(samples.histograms.values[i].clone().into())));
        }
    }
    out
}

/// The query with all its selectors fixed to `at`, to be evaluated at other times. None for queries with functions
/// whose result depends on the time of evaluation.
fn fixed_in_time(query: &str, at: i64) -> Vec<(String, i64)> {
    let Ok(mut expr) = parse(query, &ParseOptions::ALL) else { return Vec::new() };
    let is_unsafe =
        |id: &NodeId| matches!(&expr[*id].kind, NodeKind::Call(c) if UNSAFE.contains(&c.func.name()));
    if expr.preorder().iter().any(is_unsafe) {
        return Vec::new();
    }
    let root = expr.root();
    fix(&mut expr, root, at);
    let times = if at == 0 { vec![-1000, 0, 1000] } else { vec![-10 * at, 0, at / 5, at, 10 * at] };
    times.into_iter().map(|t| (expr.to_string(), t)).collect()
}

/// Fixes the selectors below a node, except those below a subquery that is fixed already.
fn fix(expr: &mut Expr, id: NodeId, at: i64) {
    match &mut expr[id].kind {
        NodeKind::Vector(v) => fix_at(&mut v.at, at),
        NodeKind::Subquery(s) => return fix_at(&mut s.at, at),
        _ => {}
    }
    for child in expr.children(id) {
        fix(expr, child, at);
    }
}

/// Upstream replaces `@ start()` and `@ end()` too.
fn fix_at(modifier: &mut AtModifier, at: i64) {
    if !matches!(modifier, AtModifier::At(_)) {
        *modifier = AtModifier::At(at);
    }
}
