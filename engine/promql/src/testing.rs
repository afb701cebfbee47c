//! Frames from texts and back, for the unit tests of operators and functions: `{a="1"} 1 _ 3` is a series with samples
//! at the first and third step.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tithon_chunks::{Samples, TimeRange, Timestamp};

use crate::ast::{Aggregate, Binary, Expr, NodeKind};
use crate::budget::Budget;
use crate::context::{Context, Held};
use crate::error::QueryError;
use crate::format::general;
use crate::frame::{Cell, Column, Frame, Row, Steps, without_name};
use crate::options::{EvalContext, Options};
use crate::parse::{ParseOptions, SequenceValue, parse, parse_series_desc};
use crate::read::Selection;
use crate::series::{Series, SeriesData};

/// Steps of a minute, the first at 0.
pub(crate) fn steps(n: usize) -> Steps {
    Steps::new(0, (n as i64 - 1) * 60_000, 60_000)
}

/// A frame of series in the language of upstream's tests.
pub(crate) fn frame(series: &[&str]) -> Frame {
    let row = |text: &&str| {
        let (labels, values) = parse_series_desc(text).expect("a series");
        let mut column = Column::new(values.len());
        for (step, value) in values.into_iter().enumerate() {
            match value {
                SequenceValue::Omitted => {}
                SequenceValue::Float(v) => column.set_float(step, v),
                SequenceValue::Histogram { histogram, .. } => {
                    column.set_histogram(step, Arc::new(*histogram));
                }
            }
        }
        Row { labels, drop_name: false, column }
    };
    Frame { rows: series.iter().map(row).collect() }
}

/// Samples a minute apart, the first at 0, as a selection of them all.
pub(crate) fn selection(series: &[&str]) -> Selection {
    let series = frame(series).rows.into_iter().map(|row| {
        let mut samples = Samples::default();
        for step in 0..row.column.len() {
            let t = step as i64 * 60_000;
            match row.column.get(step) {
                None => {}
                Some(Cell::Float(v)) => samples.floats.push(Timestamp(t), v),
                Some(Cell::Histogram(h)) => {
                    samples.histograms.timestamps.push(t);
                    samples.histograms.values.push(h.as_ref().clone());
                }
            }
        }
        Ok(Series { labels: row.labels, data: SeriesData::Samples(Box::new(samples)) })
    });
    Selection { input: Some(Box::new(series)), range: TimeRange::ALL, stats_only: false }
}

/// The rows as texts. Histograms are written as they print.
pub(crate) fn show(frame: &Frame) -> Vec<String> {
    let cell = |cell: Option<Cell<'_>>| match cell {
        None => "_".to_owned(),
        Some(Cell::Float(v)) => general(v),
        Some(Cell::Histogram(h)) => h.to_string(),
    };
    let row = |row: &Row| {
        let cells: Vec<String> = (0..row.column.len()).map(|step| cell(row.column.get(step))).collect();
        let name = String::from_utf8_lossy(row.labels.metric_name().unwrap_or_default()).into_owned();
        let labels = without_name(&row.labels).to_string();
        let labels = if !name.is_empty() && labels == "{}" { String::new() } else { labels };
        format!("{name}{labels} {}", cells.join(" "))
    };
    frame.rows.iter().map(row).collect()
}

/// The result of `work` with a context with default options, and its annotations.
pub(crate) fn in_context<T>(
    work: impl FnOnce(&Context<'_>) -> Result<T, QueryError>,
) -> (Result<T, String>, Vec<String>) {
    let (options, cancelled) = (Options::default(), AtomicBool::new(false));
    let budget = Budget::new(u64::MAX, "");
    let run = EvalContext { pool: None, cancelled: &cancelled };
    let ctx = Context::new(&options, run, Held::new(u64::MAX, &budget));
    let result = work(&ctx).map_err(|error| error.to_string());
    let (mut notes, infos) = ctx.notes().texts(b"");
    notes.extend(infos);
    (result, notes)
}

fn parsed(query: &str) -> Expr {
    parse(query, &ParseOptions::ALL).expect("an expression")
}

/// The aggregation that a query is.
pub(crate) fn aggregate(query: &str) -> Aggregate {
    let expr = parsed(query);
    match &expr[expr.root()].kind {
        NodeKind::Aggregate(a) => (**a).clone(),
        other => panic!("no aggregation: {other:?}"),
    }
}

/// The binary operation that a query is.
pub(crate) fn binary(query: &str) -> Binary {
    let expr = parsed(query);
    match &expr[expr.root()].kind {
        NodeKind::Binary(b) => (**b).clone(),
        other => panic!("no binary operation: {other:?}"),
    }
}
