//! The sum or mean of native histograms at one step of one group.

use std::sync::Arc;

use tithon_chunks::{CounterResetHint, FloatHistogram, HistogramError};

use crate::annotations::Notes;
use crate::ast::{AggregateOp, PosRange};
use crate::stats::HistogramMean;

/// Histograms folded so far.
#[derive(Debug)]
pub(super) struct HistogramFold {
    state: State,
    reset_seen: bool,
    not_reset_seen: bool,
}

#[derive(Debug)]
enum State {
    Sum {
        sum: FloatHistogram,
        lost: Option<FloatHistogram>,
    },
    Mean(HistogramMean),
    /// There is no result: the histograms have custom and exponential buckets, or the step has floats too.
    Nothing,
}

impl HistogramFold {
    /// The state after the first histogram.
    pub(crate) fn new(op: AggregateOp, h: &FloatHistogram) -> HistogramFold {
        let state = match op {
            AggregateOp::Avg => State::Mean(HistogramMean::of(h)),
            _ => State::Sum { sum: h.clone(), lost: None },
        };
        let mut fold = HistogramFold { state, reset_seen: false, not_reset_seen: false };
        fold.track(h);
        fold
    }

    /// The state of a step that has floats too.
    pub(crate) fn mixed() -> HistogramFold {
        HistogramFold { state: State::Nothing, reset_seen: false, not_reset_seen: false }
    }

    fn track(&mut self, h: &FloatHistogram) {
        self.reset_seen |= h.counter_reset_hint == CounterResetHint::Reset;
        self.not_reset_seen |= h.counter_reset_hint == CounterResetHint::NotReset;
    }

    /// Adds a histogram of the series called `name`.
    pub(crate) fn add(&mut self, h: &FloatHistogram, name: &[u8], pos: PosRange, notes: &mut Notes) {
        let added = match &mut self.state {
            State::Nothing => return,
            State::Sum { sum, lost } => sum.kahan_add(h, lost).map(|combined| combined.bounds_reconciled),
            State::Mean(mean) => mean.add(h).map(|()| mean.reconciled),
        };
        self.track(h);
        match added {
            Ok(true) => notes.bounds_reconciled("aggregation", pos),
            Ok(false) => {}
            Err(e) => {
                if e == HistogramError::IncompatibleSchema {
                    notes.mixed_schemas(name, pos);
                }
                self.state = State::Nothing;
            }
        }
    }

    /// The result, compacted.
    pub(crate) fn finish(self, pos: PosRange, notes: &mut Notes) -> Option<Arc<FloatHistogram>> {
        let mut h = match self.state {
            State::Nothing => return None,
            State::Mean(mean) => mean.finish().ok()?,
            State::Sum { mut sum, lost } => {
                if let Some(lost) = lost {
                    sum.add(&lost).ok()?;
                }
                sum
            }
        };
        h.compact(0);
        if self.reset_seen && self.not_reset_seen {
            notes.reset_collision("aggregation", pos);
        }
        Some(Arc::new(h))
    }
}
