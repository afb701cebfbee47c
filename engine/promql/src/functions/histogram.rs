//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction`, over native and classic histograms.
//!
//! Upstream: `promql/functions.go`. Which series make up a classic histogram is found once, not at every step.

use std::collections::{BTreeMap, HashMap};

use tithon_index::{Labels, LabelsBuilder};

use super::classic::{self, Bucket};
use super::native::{self, NanNote};
use crate::annotations::{Monotonicity, Notes, for_metric, quoted};
use crate::ast::{Call, NodeId, PosRange};
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::format::general;
use crate::frame::{Column, Frame, Row, Steps, label_bytes, without_metadata};
use crate::ops::merge;

/// A classic histogram: its labels without `le`, and its buckets as bounds and rows.
struct Group {
    labels: Labels,
    buckets: Vec<(f64, usize)>,
}

/// What is computed of each histogram.
enum Measure {
    Quantile { q: Vec<f64>, label: Option<Box<[u8]>>, pos: PosRange },
    Fraction { lower: Vec<f64>, upper: Vec<f64> },
}

/// Evaluates one of the three functions.
pub(super) fn eval(ev: &Evaluator<'_>, call: &Call, steps: &Steps) -> Result<Frame, QueryError> {
    let args: Vec<NodeId> = call.args.iter().map(|arg| ev.unparen(*arg)).collect();
    let quantile = |id: NodeId, label: Option<Box<[u8]>>| -> Result<Measure, QueryError> {
        Ok(Measure::Quantile { q: ev.scalar(id, steps)?, label, pos: ev.pos(id) })
    };
    let (vector, frame, measures) = match call.func.name {
        "histogram_quantile" => {
            let measure = quantile(args[0], None)?;
            (args[1], ev.frame(args[1], steps)?, vec![measure])
        }
        "histogram_fraction" => {
            let (lower, upper) = (ev.scalar(args[0], steps)?, ev.scalar(args[1], steps)?);
            (args[2], ev.frame(args[2], steps)?, vec![Measure::Fraction { lower, upper }])
        }
        _ => {
            let frame = ev.frame(args[0], steps)?;
            let label: Box<[u8]> = ev.text(args[1]).into();
            let measures: Result<Vec<_>, _> =
                args[2..].iter().map(|id| quantile(*id, Some(label.clone()))).collect();
            (args[0], frame, measures?)
        }
    };
    let mut notes = Notes::default();
    let work = Work {
        ev,
        groups: groups(&frame, ev, vector, &mut notes)?,
        frame: &frame,
        delayed: ev.options().delayed_name_removal,
        pos: ev.pos(vector),
        steps,
    };
    let conflicts = work.conflicts(&mut notes);
    let mut rows = Vec::new();
    for measure in &measures {
        work.native(measure, &conflicts, &mut rows, &mut notes)?;
    }
    work.classic(&measures, &conflicts, &mut rows, &mut notes)?;
    ev.notes().merge(notes);
    rows.retain(|row| !row.column.is_empty());
    merge::equal_labels(Frame { rows })
}

/// Sorts float rows into classic histograms, in order of appearance.
fn groups(
    frame: &Frame,
    ev: &Evaluator<'_>,
    vector: NodeId,
    notes: &mut Notes,
) -> Result<Vec<Group>, QueryError> {
    let mut groups: Vec<Group> = Vec::new();
    let mut at: HashMap<Labels, usize> = HashMap::new();
    for (i, row) in frame.rows.iter().enumerate().filter(|(_, row)| row.column.has_floats()) {
        let le = row.labels.get("le").unwrap_or_default();
        let Some(upper) = bound(le) else {
            let name = row.labels.metric_name().filter(|_| ev.options().delayed_name_removal);
            notes.warn(
                format!(
                    "bucket label \"le\" is missing or has a malformed value of {}{}",
                    quoted(le),
                    for_metric(name.unwrap_or_default())
                ),
                ev.pos(vector),
            );
            continue;
        };
        let labels = Labels::from_sorted(row.labels.iter().filter(|(name, _)| *name != b"le"));
        ev.check_cancelled()?;
        let bytes = label_bytes(&labels) + size_of::<Group>() as u64;
        let next = groups.len();
        let group = *at.entry(labels.clone()).or_insert(next);
        if group == next {
            ev.budget.add(0, bytes)?;
            groups.push(Group { labels, buckets: Vec::new() });
        }
        groups[group].buckets.push((upper, i));
    }
    Ok(groups)
}

/// A bound as Go's `strconv.ParseFloat` reads it.
fn bound(text: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(text).ok()?;
    let plain = text.strip_prefix(['+', '-']).unwrap_or(text);
    if plain.starts_with("0x") || plain.starts_with("0X") {
        return hex(plain).map(|v| if text.starts_with('-') { -v } else { v });
    }
    let value: f64 = text.parse().ok()?;
    // Go refuses what overflows; Rust makes it infinite.
    let infinite = plain.eq_ignore_ascii_case("inf") || plain.eq_ignore_ascii_case("infinity");
    (!value.is_infinite() || infinite).then_some(value)
}

/// A hexadecimal float with its mandatory binary exponent.
fn hex(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text[2..].split_once(['p', 'P'])?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    if whole.is_empty() && part.is_empty() {
        return None;
    }
    let mut value = 0.0f64;
    for c in whole.chars().chain(part.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let shift = exponent.checked_sub(i32::try_from(part.len()).ok()?.checked_mul(4)?)?;
    Some(crate::math::ldexp(value, shift))
}

struct Work<'a> {
    ev: &'a Evaluator<'a>,
    groups: Vec<Group>,
    frame: &'a Frame,
    delayed: bool,
    pos: PosRange,
    steps: &'a Steps,
}

impl Work<'_> {
    /// For each native row the classic group with the same labels, if there is one.
    fn conflicts(&self, notes: &mut Notes) -> HashMap<usize, usize> {
        let at: HashMap<&Labels, usize> =
            self.groups.iter().enumerate().map(|(i, g)| (&g.labels, i)).collect();
        let mut conflicts = HashMap::new();
        for (i, row) in self.frame.rows.iter().enumerate().filter(|(_, row)| row.column.has_histograms()) {
            let Some(group) = at.get(&row.labels) else { continue };
            conflicts.insert(i, *group);
            if row.column.histograms().iter().any(|(step, _)| self.has_buckets(*group, *step as usize)) {
                let name = row.labels.metric_name().filter(|_| self.delayed).unwrap_or_default();
                notes.warn(
                    format!("vector contains a mix of classic and native histograms{}", for_metric(name)),
                    self.pos,
                );
            }
        }
        conflicts
    }

    fn has_buckets(&self, group: usize, step: usize) -> bool {
        self.groups[group].buckets.iter().any(|(_, row)| self.frame.rows[*row].column.float(step).is_some())
    }

    /// One measure of all native histograms.
    fn native(
        &self,
        measure: &Measure,
        conflicts: &HashMap<usize, usize>,
        rows: &mut Vec<Row>,
        notes: &mut Notes,
    ) -> Result<(), QueryError> {
        if let Measure::Quantile { q, pos, .. } = measure {
            for q in q.iter().filter(|q| !(0.0..=1.0).contains(*q)) {
                notes.invalid_quantile(*q, *pos);
            }
        }
        for (i, row) in self.frame.rows.iter().enumerate().filter(|(_, row)| row.column.has_histograms()) {
            self.ev.check_cancelled()?;
            let mut out = Outputs::new(measure, self.steps);
            let kept = self.kept_labels(&row.labels);
            for (step, h) in row.column.histograms() {
                let step = *step as usize;
                if conflicts.get(&i).is_some_and(|group| self.has_buckets(*group, step)) {
                    continue;
                }
                let (value, note) = match measure {
                    Measure::Quantile { q, .. } => native::quantile(q[step], h),
                    Measure::Fraction { lower, upper } => native::fraction(lower[step], upper[step], h),
                };
                self.note(note, kept.metric_name().unwrap_or_default(), notes);
                out.set(self.ev, step, value)?;
            }
            out.into_rows(&kept, rows);
        }
        Ok(())
    }

    /// All measures of all classic histograms; at each step the measures share the buckets.
    fn classic(
        &self,
        measures: &[Measure],
        conflicts: &HashMap<usize, usize>,
        rows: &mut Vec<Row>,
        notes: &mut Notes,
    ) -> Result<(), QueryError> {
        let mut clashing: Vec<Vec<usize>> = vec![Vec::new(); self.groups.len()];
        conflicts.iter().for_each(|(row, group)| clashing[*group].push(*row));
        let mut buckets = Vec::new();
        let mut forced = Forcings::new();
        for (group, clashing) in self.groups.iter().zip(&clashing) {
            self.ev.check_cancelled()?;
            let mut outs: Vec<Outputs<'_>> =
                measures.iter().map(|measure| Outputs::new(measure, self.steps)).collect();
            for step in 0..self.steps.len {
                self.ev.check_cancelled()?;
                buckets.clear();
                buckets.extend(group.buckets.iter().filter_map(|(upper, row)| {
                    let count = self.frame.rows[*row].column.float(step)?;
                    Some(Bucket { upper: *upper, count })
                }));
                let clashes = |row: &usize| self.frame.rows[*row].column.histogram(step).is_some();
                if buckets.is_empty() || clashing.iter().any(clashes) {
                    continue;
                }
                for (measure, out) in measures.iter().zip(&mut outs) {
                    let value = self.classic_value(measure, group, &mut buckets, step, &mut forced);
                    out.set(self.ev, step, value)?;
                }
            }
            let kept = self.kept_labels(&group.labels);
            outs.into_iter().for_each(|out| out.into_rows(&kept, rows));
        }
        for (name, (detail, counts)) in forced {
            let count = merged_count(&counts);
            notes.monotonicity(&name, Monotonicity { count, ..detail }, self.pos);
        }
        Ok(())
    }

    fn classic_value(
        &self,
        measure: &Measure,
        group: &Group,
        buckets: &mut [Bucket],
        step: usize,
        forcings: &mut Forcings,
    ) -> f64 {
        let q = match measure {
            Measure::Fraction { lower, upper } => {
                return classic::fraction(lower[step], upper[step], buckets);
            }
            Measure::Quantile { q, .. } => q[step],
        };
        let (value, forced) = classic::quantile(q, buckets);
        if let Some(f) = forced {
            let name = group.labels.metric_name().filter(|_| self.delayed).unwrap_or_default();
            let t = self.steps.time(step);
            let (detail, counts) = forcings.entry(name.into()).or_insert_with(|| {
                let bounds = (f.min_bound, f.max_bound);
                let detail = Monotonicity { times: (t, t), bounds, max_diff: f.max_diff, count: 0 };
                (detail, vec![0; self.steps.len])
            });
            counts[step] += 1;
            detail.times = (detail.times.0.min(t), detail.times.1.max(t));
            detail.bounds = (detail.bounds.0.min(f.min_bound), detail.bounds.1.max(f.max_bound));
            detail.max_diff = detail.max_diff.max(f.max_diff);
        }
        value
    }

    fn kept_labels(&self, labels: &Labels) -> Labels {
        if self.delayed { labels.clone() } else { without_metadata(labels) }
    }

    fn note(&self, note: NanNote, name: &[u8], notes: &mut Notes) {
        let text = match note {
            NanNote::None => return,
            NanNote::Result => "input to histogram_quantile has NaN observations, result is NaN",
            NanNote::Skew => "input to histogram_quantile has NaN observations, result is skewed higher",
            NanNote::Excluded => {
                "input to histogram_fraction has NaN observations, which are excluded from all fractions"
            }
        };
        notes.info(format!("{text}{}", for_metric(name)), self.pos);
    }
}

/// By metric name: what was forced to be monotonic, and how many histograms at each step.
type Forcings = BTreeMap<Box<[u8]>, (Monotonicity, Vec<u64>)>;

/// The number of samples as upstream tells it: from the second step on it merges what it has gathered with itself at
/// each step, which doubles the count.
fn merged_count(counts: &[u64]) -> u64 {
    let mut merged = 0u64;
    for count in counts {
        merged = if merged == 0 { *count } else { merged.wrapping_add(*count).wrapping_mul(2) };
    }
    merged
}

/// The results of one measure of one histogram: one column, or one for each value of the quantile label.
struct Outputs<'a> {
    measure: &'a Measure,
    columns: Vec<(String, Column)>,
    len: usize,
}

impl<'a> Outputs<'a> {
    fn new(measure: &'a Measure, steps: &Steps) -> Outputs<'a> {
        Outputs { measure, columns: Vec::new(), len: steps.len }
    }

    fn set(&mut self, ev: &Evaluator<'_>, step: usize, value: f64) -> Result<(), QueryError> {
        let key = match self.measure {
            Measure::Quantile { q, label: Some(_), .. } => open_metrics(q[step]),
            _ => String::new(),
        };
        let at = match self.columns.iter().position(|(k, _)| *k == key) {
            Some(at) => at,
            None => {
                ev.budget.add(0, Column::bytes_of(self.len) + size_of::<Row>() as u64)?;
                self.columns.push((key, Column::new(self.len)));
                self.columns.len() - 1
            }
        };
        self.columns[at].1.set_float(step, value);
        Ok(())
    }

    fn into_rows(self, labels: &Labels, rows: &mut Vec<Row>) {
        for (key, column) in self.columns {
            let labels = match self.measure {
                Measure::Quantile { label: Some(label), .. } => {
                    let mut builder: LabelsBuilder = labels.to_builder();
                    builder.set(label, key.as_bytes()).finish()
                }
                _ => labels.clone(),
            };
            rows.push(Row { labels, drop_name: true, column });
        }
    }
}

/// A number as OpenMetrics writes it: whole ones with `.0`.
fn open_metrics(v: f64) -> String {
    let text = general(v);
    if !v.is_finite() || text.contains(['.', 'e']) { text } else { format!("{text}.0") }
}
