//! One group of `sum`, `avg`, `min`, `max`, `count`, `group`, `stddev`, `stdvar` or `quantile`: its state at all steps.

use tithon_chunks::kahan_add;

use super::histogram_fold::HistogramFold;
use crate::annotations::Notes;
use crate::ast::{AggregateOp, PosRange};
use crate::frame::{Column, Row};
use crate::kernel;
use crate::stats::{Mean, quantile};

/// A group: one state per step, whatever the number of rows. (`quantile` alone keeps all values.)
#[derive(Debug)]
pub(super) struct Group {
    op: AggregateOp,
    states: States,
    histograms: Vec<Option<Box<HistogramFold>>>,
    seen: Vec<u64>,
    drop_name: bool,
}

/// The state of floats at each step; meaningless at steps without a sample so far.
#[derive(Debug)]
enum States {
    /// Sums and compensations.
    Sum(Vec<f64>, Vec<f64>),
    Avg(Vec<Mean>),
    /// One number: minimum, maximum, count or 1.
    One(Vec<f64>),
    Variance(Vec<Variance>),
    Values(Vec<Vec<f64>>),
}

/// Welford's running variance.
#[derive(Clone, Copy, Debug, Default)]
struct Variance {
    n: f64,
    mean: f64,
    m2: f64,
}

impl Group {
    /// A group without a sample.
    pub(crate) fn new(op: AggregateOp, len: usize) -> Group {
        let states = match op {
            AggregateOp::Sum => States::Sum(vec![0.0; len], vec![0.0; len]),
            AggregateOp::Avg => States::Avg(vec![Mean::of(0.0); len]),
            AggregateOp::Stddev | AggregateOp::Stdvar => States::Variance(vec![Variance::default(); len]),
            AggregateOp::Quantile => States::Values(vec![Vec::new(); len]),
            _ => States::One(vec![0.0; len]),
        };
        Group { op, states, histograms: Vec::new(), seen: vec![0; len.div_ceil(64)], drop_name: false }
    }

    /// Folds the samples of a row in; returns by how many bytes the histograms held grew.
    pub(crate) fn fold(&mut self, row: &Row, pos: PosRange, notes: &mut Notes) -> u64 {
        let (mut contributed, mut grown) = (false, 0);
        for (start, word, floats) in row.column.float_words() {
            contributed = true;
            let seen = self.seen[start / 64];
            self.seen[start / 64] |= word;
            let all = !0 >> (64 - floats.len());
            if word & seen == all {
                self.add_all(start, floats);
                continue;
            }
            let mut rest = word;
            while rest != 0 {
                let bit = rest.trailing_zeros() as usize;
                rest &= rest - 1;
                self.add(start + bit, floats[bit], seen >> bit & 1 == 0);
            }
        }
        if row.column.has_histograms() {
            contributed |= self.fold_histograms(row, pos, notes, &mut grown);
        }
        self.drop_name |= contributed && row.drop_name;
        grown
    }

    /// Adds floats at consecutive steps, each of which has a float already.
    fn add_all(&mut self, start: usize, floats: &[f64]) {
        let steps = start..start + floats.len();
        match &mut self.states {
            States::Sum(sums, lost) => {
                kernel::kahan_add_each(&mut sums[steps.clone()], &mut lost[steps], floats);
            }
            States::One(ones) => {
                let pairs = ones[steps].iter_mut().zip(floats);
                match self.op {
                    AggregateOp::Count => pairs.for_each(|(held, _)| *held += 1.0),
                    AggregateOp::Min => pairs.for_each(|(held, v)| {
                        *held = if (*held > *v) | held.is_nan() { *v } else { *held };
                    }),
                    AggregateOp::Max => pairs.for_each(|(held, v)| {
                        *held = if (*held < *v) | held.is_nan() { *v } else { *held };
                    }),
                    _ => {}
                }
            }
            _ => steps.zip(floats).for_each(|(step, v)| self.add(step, *v, false)),
        }
    }

    #[inline]
    fn add(&mut self, step: usize, v: f64, first: bool) {
        match &mut self.states {
            States::Sum(sums, lost) => {
                (sums[step], lost[step]) =
                    if first { (v, 0.0) } else { kahan_add(v, sums[step], lost[step]) };
            }
            States::Avg(means) if first => means[step] = Mean::of(v),
            States::Avg(means) => means[step].add(v),
            States::Values(values) => values[step].push(v),
            States::Variance(states) => states[step].add(v, first),
            States::One(ones) => {
                let held = &mut ones[step];
                match self.op {
                    AggregateOp::Count => *held += 1.0,
                    AggregateOp::Group => *held = 1.0,
                    AggregateOp::Min if first || *held > v || held.is_nan() => *held = v,
                    AggregateOp::Max if first || *held < v || held.is_nan() => *held = v,
                    _ => {}
                }
            }
        }
    }

    /// Folds histograms in, if the operator takes them; returns whether it does.
    fn fold_histograms(&mut self, row: &Row, pos: PosRange, notes: &mut Notes, grown: &mut u64) -> bool {
        match self.op {
            AggregateOp::Count | AggregateOp::Group => {
                for (step, _) in row.column.histograms() {
                    let step = *step as usize;
                    let first = self.seen[step / 64] >> (step % 64) & 1 == 0;
                    self.seen[step / 64] |= 1 << (step % 64);
                    self.add(step, 0.0, first);
                }
                true
            }
            AggregateOp::Sum | AggregateOp::Avg => {
                if self.histograms.is_empty() {
                    self.histograms.resize_with(row.column.len(), || None);
                    *grown += size_of_val(self.histograms.as_slice()) as u64;
                }
                let name = row.labels.metric_name().unwrap_or_default();
                for (step, h) in row.column.histograms() {
                    let step = *step as usize;
                    if self.seen[step / 64] >> (step % 64) & 1 == 1 && self.histograms[step].is_none() {
                        // The step has floats already, so it has no result: only that it is mixed is remembered.
                        self.histograms[step] = Some(Box::new(HistogramFold::mixed()));
                        continue;
                    }
                    match &mut self.histograms[step] {
                        Some(fold) => fold.add(h, name, pos, notes),
                        none => {
                            *grown += (size_of::<HistogramFold>() + h.size_bytes()) as u64;
                            *none = Some(Box::new(HistogramFold::new(self.op, h)));
                        }
                    }
                }
                true
            }
            op => {
                notes.ignored_in_aggregation(op.as_str(), pos);
                false
            }
        }
    }

    /// Whether each step has seen a sample.
    pub(crate) fn is_seen_everywhere(&self) -> bool {
        let n: usize = self.seen.iter().map(|word| word.count_ones() as usize).sum();
        matches!(&self.states, States::One(ones) if ones.len() == n)
    }

    /// The result at all steps, and whether its name is to be dropped. `param` is the parameter of the operator at each
    /// step.
    pub(crate) fn finish(mut self, param: &[f64], pos: PosRange, notes: &mut Notes) -> (Column, bool) {
        let mut column = Column::new(param.len());
        for (step, param) in param.iter().enumerate() {
            let has_float = self.seen[step / 64] >> (step % 64) & 1 == 1;
            let fold = self.histograms.get_mut(step).and_then(Option::take);
            match (has_float, fold) {
                (false, None) => {}
                (true, None) => column.set_float(step, self.value(step, *param)),
                (true, Some(_)) => {
                    notes.warn("encountered a mix of histograms and floats for aggregation", pos);
                }
                (false, Some(fold)) => {
                    if let Some(h) = fold.finish(pos, notes) {
                        column.set_histogram(step, h);
                    }
                }
            }
        }
        (column, self.drop_name)
    }

    fn value(&mut self, step: usize, param: f64) -> f64 {
        match &mut self.states {
            States::Sum(sums, lost) => sums[step] + lost[step],
            States::Avg(means) => means[step].value(),
            States::One(ones) => ones[step],
            States::Values(values) => quantile(param, &mut values[step]),
            States::Variance(states) => {
                let variance = states[step].m2 / states[step].n;
                if self.op == AggregateOp::Stddev { variance.sqrt() } else { variance }
            }
        }
    }
}

impl Variance {
    fn add(&mut self, v: f64, first: bool) {
        if first {
            *self = Variance { n: 1.0, mean: v, m2: if v.is_finite() { 0.0 } else { f64::NAN } };
            return;
        }
        self.n += 1.0;
        let delta = v - self.mean;
        self.mean += delta / self.n;
        self.m2 += delta * (v - self.mean);
    }
}
