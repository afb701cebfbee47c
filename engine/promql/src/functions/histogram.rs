//! `histogram_quantile`, `histogram_quantiles` and `histogram_fraction`, over native and classic histograms.
//!
//! Upstream: `promql/functions.go`. Which series make up a classic histogram is found once, not at every step.

use std::collections::{BTreeMap, HashMap};

use tithon_index::{Labels, LabelsBuilder};

use super::classic::{self, Bucket};
use super::le::bound;
use super::native::{self, NanNote};
use crate::annotations::{Monotonicity, Notes, for_metric, quoted};
use crate::ast::PosRange;
use crate::context::Context;
use crate::error::QueryError;
use crate::format::general;
use crate::frame::{Column, Frame, Row, Steps, label_bytes, merge, without_metadata};

/// A classic histogram: its labels without `le`, and its buckets as bounds and rows.
struct Group {
    labels: Labels,
    buckets: Vec<(f64, usize)>,
}

/// A value to compute for each histogram, with its arguments at each step.
pub(crate) enum Measure {
    /// The φ-quantile.
    Quantile {
        /// φ at each step.
        q: Vec<f64>,
        /// The label of `histogram_quantiles` whose value is φ.
        label: Option<Box<[u8]>>,
        /// The place of φ.
        pos: PosRange,
    },
    /// The share of observations between two values.
    Fraction {
        /// The lower value at each step.
        lower: Vec<f64>,
        /// The upper value at each step.
        upper: Vec<f64>,
    },
}

/// Computes each measure of each histogram of a vector, which stands at `pos`.
pub(crate) fn eval(
    ctx: &Context<'_>,
    frame: &Frame,
    measures: &[Measure],
    pos: PosRange,
    steps: &Steps,
) -> Result<Frame, QueryError> {
    let mut notes = Notes::default();
    let work = Work {
        ctx,
        groups: groups(ctx, frame, pos, &mut notes)?,
        frame,
        delayed: ctx.options.delayed_name_removal,
        pos,
        steps,
    };
    let conflicts = work.conflicts(&mut notes);
    let mut rows = Vec::new();
    for measure in measures {
        work.native(measure, &conflicts, &mut rows, &mut notes)?;
    }
    work.classic(measures, &conflicts, &mut rows, &mut notes)?;
    ctx.notes().merge(notes);
    rows.retain(|row| !row.column.is_empty());
    merge::equal_labels(Frame { rows })
}

/// Groups float rows into classic histograms, in order of appearance.
fn groups(
    ctx: &Context<'_>,
    frame: &Frame,
    pos: PosRange,
    notes: &mut Notes,
) -> Result<Vec<Group>, QueryError> {
    let mut groups: Vec<Group> = Vec::new();
    let mut at: HashMap<Labels, usize> = HashMap::new();
    for (i, row) in frame.rows.iter().enumerate().filter(|(_, row)| row.column.has_floats()) {
        let le = row.labels.get("le").unwrap_or_default();
        let Some(upper) = bound(le) else {
            let name = row.labels.metric_name().filter(|_| ctx.options.delayed_name_removal);
            notes.warn(
                format!(
                    "bucket label \"le\" is missing or has a malformed value of {}{}",
                    quoted(le),
                    for_metric(name.unwrap_or_default())
                ),
                pos,
            );
            continue;
        };
        let labels = Labels::from_sorted(row.labels.iter().filter(|(name, _)| *name != b"le"));
        ctx.check_cancelled()?;
        let bytes = label_bytes(&labels) + size_of::<Group>() as u64;
        let next = groups.len();
        let group = *at.entry(labels.clone()).or_insert(next);
        if group == next {
            ctx.held.add(0, bytes)?;
            groups.push(Group { labels, buckets: Vec::new() });
        }
        groups[group].buckets.push((upper, i));
    }
    Ok(groups)
}

struct Work<'a> {
    ctx: &'a Context<'a>,
    groups: Vec<Group>,
    frame: &'a Frame,
    delayed: bool,
    pos: PosRange,
    steps: &'a Steps,
}

impl Work<'_> {
    /// By row of native histograms: the classic histogram with the same labels, if there is one.
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

    /// Computes one measure of all native histograms.
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
            self.ctx.check_cancelled()?;
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
                out.set(self.ctx, step, value)?;
            }
            out.into_rows(&kept, rows);
        }
        Ok(())
    }

    /// Computes all measures of all classic histograms. The measures of a step share the buckets, which each leaves sorted
    /// and corrected for the next.
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
            self.ctx.check_cancelled()?;
            let mut outs: Vec<Outputs<'_>> =
                measures.iter().map(|measure| Outputs::new(measure, self.steps)).collect();
            for step in 0..self.steps.len {
                self.ctx.check_cancelled()?;
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
                    out.set(self.ctx, step, value)?;
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

/// By metric name: how far buckets had to be made monotonic, and of how many histograms at each step.
type Forcings = BTreeMap<Box<[u8]>, (Monotonicity, Vec<u64>)>;

/// The number of samples as upstream reports it: from the second step on, upstream merges the accumulated annotation with
/// itself at each step, which doubles the count.
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

    fn set(&mut self, ctx: &Context<'_>, step: usize, value: f64) -> Result<(), QueryError> {
        let key = match self.measure {
            Measure::Quantile { q, label: Some(_), .. } => open_metrics(q[step]),
            _ => String::new(),
        };
        let at = match self.columns.iter().position(|(k, _)| *k == key) {
            Some(at) => at,
            None => {
                ctx.held.add(0, Column::bytes_of(self.len) + size_of::<Row>() as u64)?;
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

/// A number as OpenMetrics writes it: whole numbers end with `.0`.
fn open_metrics(v: f64) -> String {
    let text = general(v);
    if !v.is_finite() || text.contains(['.', 'e']) { text } else { format!("{text}.0") }
}
