//! `info`: adds the labels of info series to the series that they describe. Upstream: `promql/info.go`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::ControlFlow;

use tithon_chunks::{STALE_NAN_BITS, Samples};
use tithon_index::{Labels, LabelsBuilder, Matcher};

use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Cell, Column, Frame, Row, Steps, label_bytes};
use crate::read::{Picker, Reach, Reference, Selection, for_each_series};
use crate::result::Sample;

/// The labels that say which series an info series describes.
const IDENTIFYING: [&[u8]; 2] = [b"instance", b"job"];

/// An info series: its labels and, at each step, the time of its sample.
struct InfoSeries {
    labels: Labels,
    times: Vec<Option<i64>>,
}

/// Adds the labels of info series, which `matchers` select, to the series of `base` that they describe. `select` reads the
/// info series at the times of `reference`; it is called only if any series of `base` can be described.
pub(crate) fn eval(
    ctx: &Context<'_>,
    base: &Frame,
    matchers: &[Matcher],
    reference: Reference,
    select: impl FnOnce() -> Selection,
    steps: &Steps,
) -> Result<Frame, QueryError> {
    let names: Vec<&Matcher> = matchers.iter().filter(|m| m.name() == b"__name__").collect();
    let data: Vec<&Matcher> = matchers.iter().filter(|m| m.name() != b"__name__").collect();
    let is_info: Vec<bool> = base
        .rows
        .iter()
        .map(|row| {
            let name = row.labels.metric_name().unwrap_or_default();
            names.iter().all(|m| m.matches(name))
        })
        .collect();
    let values = identifying_values(base, &is_info);
    if values.is_empty() {
        return combine(ctx, base, &is_info, &[], &data, steps);
    }
    let series = fetch(ctx, select(), &values, reference, steps)?;
    combine(ctx, base, &is_info, &series, &data, steps)
}

/// The values that identifying labels have in series that are no info series themselves.
type IdentifyingValues<'a> = BTreeMap<&'a [u8], HashSet<&'a [u8]>>;

fn identifying_values<'a>(base: &'a Frame, is_info: &[bool]) -> IdentifyingValues<'a> {
    let mut values = IdentifyingValues::new();
    for (row, _) in base.rows.iter().zip(is_info).filter(|(_, is_info)| !**is_info) {
        for name in IDENTIFYING {
            if let Some(value) = row.labels.get(name) {
                values.entry(name).or_default().insert(value);
            }
        }
    }
    values
}

/// The info series that may describe a series with these values.
fn fetch(
    ctx: &Context<'_>,
    selection: Selection,
    values: &IdentifyingValues<'_>,
    reference: Reference,
    steps: &Steps,
) -> Result<Vec<InfoSeries>, QueryError> {
    let lookback = ctx.options.lookback_delta_ms;
    let mut series = Vec::new();
    for_each_series(
        ctx,
        selection,
        &Reach::new(reference, steps, lookback, 0),
        |labels, samples, _| {
            let described = values
                .iter()
                .all(|(name, values)| labels.get(name).is_some_and(|value| values.contains(value)));
            if !described {
                return Ok(None);
            }
            ctx.held.add(0, (steps.len * size_of::<Option<i64>>()) as u64)?;
            times(samples, reference, lookback, steps).map(Some)
        },
        |labels, times| {
            let times = times.filter(|times| times.iter().any(Option::is_some));
            series.extend(times.map(|times| InfoSeries { labels, times }));
            Ok(ControlFlow::Continue(()))
        },
    )?;
    Ok(series)
}

fn times(
    samples: &Samples,
    reference: Reference,
    lookback: i64,
    steps: &Steps,
) -> Result<Vec<Option<i64>>, QueryError> {
    let mut picker = Picker::new(samples);
    (0..steps.len)
        .map(|step| match picker.pick(reference.at(steps.time(step)), lookback) {
            None => Ok(None),
            Some(picked) => match picked.sample {
                Sample::Float(v) => Ok((v.to_bits() != STALE_NAN_BITS).then_some(picked.t)),
                Sample::Histogram(_) => Err(QueryError::Execution("info sample should be float".to_owned())),
            },
        })
        .collect()
}

/// The labels by which series and info series are matched: the name of the info metric and the identifying labels.
fn signature(name: &[u8], labels: &Labels) -> Labels {
    let mut builder = LabelsBuilder::default();
    builder.set(b"__name__", name);
    for label in IDENTIFYING {
        builder.set(label, labels.get(label).unwrap_or_default());
    }
    builder.finish()
}

fn combine(
    ctx: &Context<'_>,
    base: &Frame,
    is_info: &[bool],
    series: &[InfoSeries],
    data: &[&Matcher],
    steps: &Steps,
) -> Result<Frame, QueryError> {
    let names: BTreeSet<&[u8]> = series.iter().map(|s| s.labels.metric_name().unwrap_or_default()).collect();
    let signatures: Vec<Labels> =
        series.iter().map(|s| signature(s.labels.metric_name().unwrap_or_default(), &s.labels)).collect();
    let mut wanted: Vec<Vec<Labels>> = Vec::with_capacity(base.rows.len());
    for row in &base.rows {
        ctx.check_cancelled()?;
        let own: Vec<Labels> = names.iter().map(|name| signature(name, &row.labels)).collect();
        ctx.held.add(0, own.iter().map(label_bytes).sum())?;
        wanted.push(own);
    }
    let keep_alone = data.iter().all(|m| m.matches_empty());
    let mut out = Outputs { ctx, at: HashMap::new(), rows: Vec::new(), len: steps.len };
    for step in 0..steps.len {
        if base.rows.iter().all(|row| row.column.get(step).is_none()) {
            continue;
        }
        ctx.check_cancelled()?;
        let newest = newest(series, &signatures, step)?;
        for (i, row) in base.rows.iter().enumerate() {
            ctx.check_cancelled()?;
            let Some(cell) = row.column.get(step) else { continue };
            if is_info[i] {
                out.put(step, row.labels.clone(), row.drop_name, cell)?;
                continue;
            }
            let partners: Vec<&Labels> =
                wanted[i].iter().filter_map(|sig| newest.get(sig)).map(|s| &s.labels).collect();
            if partners.is_empty() && !keep_alone {
                continue;
            }
            out.put(step, enriched(&row.labels, &partners, data)?, row.drop_name, cell)?;
        }
    }
    Ok(Frame { rows: out.rows })
}

/// The newest info series of each signature at a step.
fn newest<'a>(
    series: &'a [InfoSeries],
    signatures: &'a [Labels],
    step: usize,
) -> Result<HashMap<&'a Labels, &'a InfoSeries>, QueryError> {
    let mut newest: HashMap<&Labels, &InfoSeries> = HashMap::new();
    for (s, sig) in series.iter().zip(signatures) {
        let Some(t) = s.times[step] else { continue };
        if let Some(held) = newest.get(sig) {
            let held_t = held.times[step].unwrap_or(i64::MIN);
            if held_t == t {
                return Err(QueryError::Execution(format!(
                    "found duplicate series for info metric: existing {} @ {held_t}, new {} @ {t}",
                    held.labels, s.labels
                )));
            }
            if held_t > t {
                continue;
            }
        }
        newest.insert(sig, s);
    }
    Ok(newest)
}

/// The labels with those of the info series added.
fn enriched(labels: &Labels, partners: &[&Labels], data: &[&Matcher]) -> Result<Labels, QueryError> {
    let mut added = LabelsBuilder::default();
    for partner in partners {
        for (name, value) in partner.iter().filter(|(name, _)| *name != b"__name__") {
            if !data.is_empty() && !data.iter().any(|m| m.name() == name) {
                continue;
            }
            if added.get(name).is_some_and(|held| held != value) {
                let name = String::from_utf8_lossy(name);
                return Err(QueryError::Execution(format!("conflicting label: {name}")));
            }
            if labels.get(name).is_none() {
                added.set(name, value);
            }
        }
    }
    let mut builder = labels.to_builder();
    for (name, value) in added.finish().iter() {
        builder.set(name, value);
    }
    Ok(builder.finish())
}

/// The result: rows by their labels, since the labels of a series may change from step to step.
struct Outputs<'a> {
    ctx: &'a Context<'a>,
    at: HashMap<Labels, usize>,
    rows: Vec<Row>,
    len: usize,
}

impl Outputs<'_> {
    fn put(
        &mut self,
        step: usize,
        labels: Labels,
        drop_name: bool,
        cell: Cell<'_>,
    ) -> Result<(), QueryError> {
        let at = match self.at.get(&labels) {
            Some(at) => *at,
            None => {
                let bytes = Column::bytes_of(self.len) + label_bytes(&labels) + size_of::<Row>() as u64;
                self.ctx.held.add(0, bytes)?;
                self.at.insert(labels.clone(), self.rows.len());
                self.rows.push(Row { labels, drop_name, column: Column::new(self.len) });
                self.rows.len() - 1
            }
        };
        let column = &mut self.rows[at].column;
        if column.get(step).is_some() {
            return Err(QueryError::same_labelset());
        }
        column.copy(step, cell);
        Ok(())
    }
}
