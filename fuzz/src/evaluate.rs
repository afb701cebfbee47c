//! PromQL evaluation: a query out of the grammar over made-up series, evaluated three ways, which must agree.

use std::sync::LazyLock;
use std::sync::atomic::AtomicBool;

use arbitrary::{Result, Unstructured};
use rayon::{ThreadPool, ThreadPoolBuilder};
use tithon_chunks::{ErrorKind, FloatHistogram, STALE_NAN_BITS, Samples, Span, TimeRange, Timestamp};
use tithon_index::{Labels, Matcher};
use tithon_promql::{
    EvalContext, Func, Options, ParseOptions, Prepared, QueryError, QueryResult, Rule, Rules, SelectInput,
    Series, SeriesData, TimeParams, Value, ValueType,
};

/// The most that an evaluation may hold.
const MAX_SAMPLES: u64 = 100_000;
const MAX_BYTES: u64 = 64 << 20;
const STEPS_MAX: i64 = 40;

/// What is evaluated once shows in answers, as it does upstream: in the parameter of an aggregation, in what sorts say.
const REWRITING_NOTHING: Rules = Rules::NONE.with(Rule::StepInvariants);

static POOL: LazyLock<ThreadPool> =
    LazyLock::new(|| ThreadPoolBuilder::new().num_threads(3).build().expect("three threads"));

/// Makes a query and series of the bytes, and evaluates: by default, on three threads, and without any rewriting. Says
/// whether the answer has any samples.
pub fn evaluate(data: &[u8]) -> bool {
    let mut bytes = Unstructured::new(data);
    Case::new(&mut bytes).is_ok_and(|case| case.check())
}

struct Case {
    query: String,
    params: TimeParams,
    series: Vec<Series>,
    /// Labels that the source takes away once it has matched them.
    dropped_labels: Vec<Box<[u8]>>,
}

impl Case {
    fn new(u: &mut Unstructured<'_>) -> Result<Case> {
        let kinds: [ValueType; 3] = [ValueType::Vector, ValueType::Scalar, ValueType::Matrix];
        let kind = kinds[usize::from(u.int_in_range(0..=9u8)? / 8) % 3];
        let start = u.int_in_range(0..=3_000_000i64)?;
        let step_ms = if kind == ValueType::Matrix { 0 } else { u.int_in_range(0..=200_000i64)? };
        let end = start + step_ms * u.int_in_range(0..=STEPS_MAX)?;
        let params = TimeParams { start: Timestamp(start), end: Timestamp(end), step_ms };
        let mut query = String::new();
        write_expr(u, kind, 4, &mut query)?;
        let n = u.int_in_range(0..=8usize)?;
        let mut series = (0..n).map(|_| made_series(u)).collect::<Result<Vec<_>>>()?;
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        series.dedup_by(|a, b| a.labels == b.labels);
        let dropped_labels = if u.ratio(1, 4)? { vec![b"y".as_slice().into()] } else { Vec::new() };
        Ok(Case { query, params, series, dropped_labels })
    }

    fn check(&self) -> bool {
        let usual = self.run(None, Rules::default());
        for (how, other) in [
            ("on three threads", self.run(Some(&*POOL), Rules::default())),
            ("without rewriting", self.run(None, REWRITING_NOTHING)),
        ] {
            let limited = |answer: &std::result::Result<QueryResult, QueryError>| matches!(answer, Err(error) if error.kind() == ErrorKind::LimitExceeded);
            if limited(&usual) || limited(&other) {
                continue;
            }
            let (a, b) = (told(&usual), told(&other));
            assert!(
                a == b,
                "{how}: {} at {:?} over {:?}\nusually {a}\notherwise {b}",
                self.query,
                self.params,
                self.series
            );
        }
        match usual.map(|result| result.value) {
            Ok(Value::Matrix(series)) => !series.is_empty(),
            Ok(Value::Vector(samples)) => !samples.is_empty(),
            _ => false,
        }
    }

    fn run(&self, pool: Option<&ThreadPool>, rules: Rules) -> std::result::Result<QueryResult, QueryError> {
        let options = Options {
            max_samples: MAX_SAMPLES,
            max_bytes: MAX_BYTES,
            parse: ParseOptions::ALL,
            dropped_labels: self.dropped_labels.clone(),
            rules,
            ..Options::default()
        };
        let prepared = Prepared::new(&self.query, self.params, &options)?;
        let inputs = prepared.selects().iter().map(|spec| self.selected(&spec.matchers, spec.range));
        let cancelled = AtomicBool::new(false);
        prepared.eval(inputs.collect(), &EvalContext { pool, cancelled: &cancelled })
    }

    fn selected(&self, matchers: &[Matcher], range: TimeRange) -> SelectInput {
        let fits = |series: &&Series| {
            matchers.iter().all(|m| m.matches(series.labels.get(m.name()).unwrap_or_default()))
        };
        let _ = range; // series may reach beyond it
        let is_kept = |name: &[u8]| !self.dropped_labels.iter().any(|dropped| **dropped == *name);
        let bare = |mut series: Series| {
            series.labels = series.labels.to_builder().retain(is_kept).finish();
            series
        };
        let mut series: Vec<Series> = self.series.iter().filter(fits).cloned().map(bare).collect();
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
        series.dedup_by(|a, b| a.labels == b.labels);
        Box::new(series.into_iter().map(Ok))
    }
}

/// All of an answer that somebody sees; of an error only that it is one.
fn told(answer: &std::result::Result<QueryResult, QueryError>) -> String {
    match answer {
        Ok(result) => format!("{:?} {:?} {:?}", result.value, result.warnings, result.infos),
        Err(_) => "an error".to_owned(),
    }
}

const VALUES: [f64; 14] =
    [0.0, -0.0, 1.0, -1.0, 2.0, 0.5, 3.0, 1e3, 1e-9, 1e300, f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 7.25];

fn made_series(u: &mut Unstructured<'_>) -> Result<Series> {
    let name = *u.choose(&["a_total", "b", "h", "c_bucket"])?;
    let mut labels = vec![("__name__", name), ("x", *u.choose(&["1", "2", "3"])?)];
    if u.ratio(1, 2)? {
        labels.push(("y", *u.choose(&["p", "q"])?));
    }
    if name == "c_bucket" {
        labels.push(("le", *u.choose(&["0.5", "1", "2", "+Inf"])?));
    }
    let mut samples = Samples::default();
    let (mut t, mut total) = (u.int_in_range(0..=600_000i64)?, 0.0);
    let n = u.int_in_range(0..=120usize)?;
    let is_regular = u.ratio(2, 3)?;
    for _ in 0..n {
        t += if is_regular { 30_000 } else { u.int_in_range(1..=90_000i64)? };
        if name == "h" && u.ratio(9, 10)? {
            samples.histograms.timestamps.push(t);
            samples.histograms.values.push(made_histogram(u)?);
            continue;
        }
        let value = match u.int_in_range(0..=15u8)? {
            0 => f64::from_bits(STALE_NAN_BITS),
            1..4 => *u.choose(&VALUES)?,
            4 => {
                total = 0.0;
                total
            }
            more => {
                total += f64::from(more);
                total
            }
        };
        samples.floats.push(Timestamp(t), value);
    }
    Ok(Series { labels: Labels::from_pairs(labels), data: SeriesData::Samples(Box::new(samples)) })
}

fn made_histogram(u: &mut Unstructured<'_>) -> Result<FloatHistogram> {
    if u.ratio(1, 12)? {
        return Ok(FloatHistogram { sum: f64::from_bits(STALE_NAN_BITS), ..FloatHistogram::default() });
    }
    let n = u.int_in_range(1..=5u32)?;
    let buckets: Vec<f64> = (0..n).map(|_| u.int_in_range(0..=9u8).map(f64::from)).collect::<Result<_>>()?;
    let mut histogram = FloatHistogram {
        count: buckets.iter().sum(),
        sum: f64::from(u.int_in_range(0..=100u8)?),
        positive_spans: vec![Span { offset: u.int_in_range(0..=4i32)?, length: n }],
        positive_buckets: buckets,
        ..FloatHistogram::default()
    };
    if u.ratio(1, 4)? {
        histogram.schema = -53;
        histogram.positive_spans[0].offset = 0;
        histogram.custom_values = (1..n).map(f64::from).collect();
    } else {
        histogram.schema = u.int_in_range(-1..=2i32)?;
    }
    Ok(histogram)
}

/// Writes an expression of a type, at most so many levels deep.
fn write_expr(u: &mut Unstructured<'_>, kind: ValueType, depth: u8, out: &mut String) -> Result<()> {
    match kind {
        ValueType::String => out.push_str(u.choose(&["\"x\"", "\"y\"", "\"$1\"", "\"(.*)\"", "\"\""])?),
        ValueType::Scalar if depth == 0 || u.ratio(2, 3)? => {
            out.push_str(u.choose(&["0", "1", "-1", "0.9", "3", "NaN", "Inf", "1e3", "time()"])?);
        }
        ValueType::Scalar => {
            out.push_str("scalar(");
            write_expr(u, ValueType::Vector, depth - 1, out)?;
            out.push(')');
        }
        ValueType::Matrix if depth == 0 || u.ratio(3, 4)? => {
            write_selector(u, out)?;
            out.push_str(u.choose(&["[5m]", "[1m]", "[31s]", "[20m]", "[1ms]"])?);
            write_modifiers(u, out)?;
        }
        ValueType::Matrix => {
            out.push('(');
            write_expr(u, ValueType::Vector, depth - 1, out)?;
            out.push(')');
            out.push_str(u.choose(&["[5m:1m]", "[10m:]", "[2m:17s]"])?);
            write_modifiers(u, out)?;
        }
        ValueType::Vector if depth == 0 || u.ratio(1, 5)? => {
            write_selector(u, out)?;
            write_modifiers(u, out)?;
        }
        ValueType::Vector => match u.int_in_range(0..=9u8)? {
            0..5 => write_call(u, depth - 1, out)?,
            5..8 => write_aggregate(u, depth - 1, out)?,
            _ => write_binary(u, depth - 1, out)?,
        },
    }
    Ok(())
}

fn write_selector(u: &mut Unstructured<'_>, out: &mut String) -> Result<()> {
    out.push_str(u.choose(&["a_total", "b", "h", "c_bucket", "{__name__=~\".+\"}"])?);
    if !out.ends_with('}') {
        out.push_str(u.choose(&["", "", "{x=\"1\"}", "{x!=\"1\"}", "{y=~\"p|q\"}", "{y=\"\"}"])?);
    }
    Ok(())
}

fn write_modifiers(u: &mut Unstructured<'_>, out: &mut String) -> Result<()> {
    out.push_str(u.choose(&[
        "",
        "",
        "",
        "",
        " offset 1m",
        " offset -2m",
        " @ 1000",
        " @ start()",
        " @ end()",
    ])?);
    Ok(())
}

fn write_call(u: &mut Unstructured<'_>, depth: u8, out: &mut String) -> Result<()> {
    let signatures = Func::ALL.iter().map(|func| func.signature());
    let list: Vec<_> = signatures.filter(|f| f.return_type == ValueType::Vector).collect();
    let function = u.choose(&list)?;
    out.push_str(function.name);
    out.push('(');
    for (i, kind) in function.arg_types.iter().enumerate() {
        if i > 0 {
            out.push_str(", ");
        }
        write_expr(u, *kind, depth, out)?;
    }
    out.push(')');
    Ok(())
}

fn write_aggregate(u: &mut Unstructured<'_>, depth: u8, out: &mut String) -> Result<()> {
    let with_number = ["topk", "bottomk", "quantile", "limitk", "limit_ratio"];
    let alone = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"];
    let takes_number = u.ratio(1, 3)?;
    out.push_str(if takes_number { u.choose(&with_number)? } else { u.choose(&alone)? });
    out.push_str(u.choose(&["", " by (x)", " by (y, le)", " without (x)", " without (y)"])?);
    out.push('(');
    if takes_number {
        write_expr(u, ValueType::Scalar, depth, out)?;
        out.push_str(", ");
    }
    write_expr(u, ValueType::Vector, depth, out)?;
    out.push(')');
    Ok(())
}

fn write_binary(u: &mut Unstructured<'_>, depth: u8, out: &mut String) -> Result<()> {
    let arithmetic = ["+", "-", "*", "/", "%", "^", "atan2", "==", "> bool", "<=", "!="];
    let sets = ["and", "or", "unless"];
    let (is_set, with_scalar) = (u.ratio(1, 4)?, u.ratio(1, 3)?);
    out.push('(');
    write_expr(u, ValueType::Vector, depth, out)?;
    out.push_str(") ");
    out.push_str(if is_set { u.choose(&sets)? } else { u.choose(&arithmetic)? });
    if !is_set && with_scalar {
        out.push(' ');
        return write_expr(u, ValueType::Scalar, depth, out);
    }
    out.push_str(u.choose(&["", " on (x)", " ignoring (y)", " on ()"])?);
    if !is_set && (out.ends_with("(x)") || out.ends_with("(y)")) {
        out.push_str(u.choose(&["", " group_left", " group_right (y)"])?);
    }
    out.push_str(" (");
    write_expr(u, ValueType::Vector, depth, out)?;
    out.push(')');
    Ok(())
}
