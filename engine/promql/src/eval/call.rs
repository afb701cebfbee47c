//! Function calls: evaluates the arguments of a function, and hands them to its code.

use tithon_chunks::FloatHistogram;
use tithon_index::Labels;

use super::{Evaluator, collected};
use crate::ast::{Call, NodeId, NodeKind};
use crate::date::Date;
use crate::error::QueryError;
use crate::frame::{Frame, Output, Steps};
use crate::functions::absent::{self, Absent};
use crate::functions::elementary::{clamp, round};
use crate::functions::histogram::{self, Measure};
use crate::functions::labels::{LabelJoin, LabelReplace};
use crate::functions::sort::{self, Order};
use crate::functions::{Family, info, over_range, per_sample, scalar, timestamp};
use crate::plan::info_matchers;
use crate::read::Reference;

impl Evaluator<'_> {
    /// Evaluates the call `id`.
    pub(super) fn eval_call(&self, id: NodeId, call: &Call, steps: &Steps) -> Result<Output, QueryError> {
        // Counted here for functions that produce numbers without any input.
        let _reserved = self.ctx.reserve(steps.len)?;
        let args = &call.args;
        Ok(Output::Frame(match Family::of(call.func) {
            Family::Constant(value) => return Ok(Output::Scalar(vec![value; steps.len])),
            Family::Time => return Ok(Output::Scalar(scalar::time(steps))),
            Family::Scalar => {
                return Ok(Output::Scalar(scalar::only_element(&self.frame(args[0], steps)?, steps)));
            }
            Family::TwoScalars(f) => return self.two_scalars(args, steps, f),
            Family::Resolved => {
                return Err(QueryError::Execution(format!("function {} was not resolved", call.func)));
            }

            Family::EachFloat(f) => self.each_float(call, steps, f)?,
            Family::EachHistogram(f) => self.each_histogram(call, steps, f)?,
            Family::DatePart(part) => self.date_part(call, steps, part)?,
            Family::OverRange => self.over_range(call, steps)?,
            Family::Clamp => self.with_scalars(call, steps, |v, s, i| clamp(v, s[0][i], s[1][i]))?,
            Family::ClampMin => self.with_scalars(call, steps, |v, s, i| clamp(v, s[0][i], f64::INFINITY))?,
            Family::ClampMax => {
                self.with_scalars(call, steps, |v, s, i| clamp(v, f64::NEG_INFINITY, s[0][i]))?
            }
            Family::Round => {
                self.with_scalars(call, steps, |v, s, i| Some(round(v, s.first().map_or(1.0, |to| to[i]))))?
            }

            Family::Vector => Frame::of_numbers(&self.scalar(args[0], steps)?),
            Family::LabelReplace => self.label_replace(call, steps)?,
            Family::LabelJoin => self.label_join(call, steps)?,
            Family::Info => self.info(id, call, steps)?,
            Family::Absent => self.absent(args[0], steps)?,
            Family::AbsentOverTime => {
                let range = self.range_vector(args[0], steps)?;
                absent::over_time(&self.ctx, range, self.pinned_labels(args[0]), steps)?
            }
            Family::Timestamp { of_start } => self.timestamp(args[0], of_start, steps)?,
            Family::Sort(order) => self.sort(id, call, order, steps)?,
            Family::SortByLabel(order) => self.sort_by_label(id, call, order, steps)?,
            Family::Quantile => {
                let measure = self.quantile(args[0], None, steps)?;
                self.histogram(args[1], self.frame(args[1], steps)?, &[measure], steps)?
            }
            Family::Quantiles => self.quantiles(call, steps)?,
            Family::Fraction => {
                let (lower, upper) = (self.scalar(args[0], steps)?, self.scalar(args[1], steps)?);
                let measure = Measure::Fraction { lower, upper };
                self.histogram(args[2], self.frame(args[2], steps)?, &[measure], steps)?
            }
        }))
    }

    /// A function of two scalars.
    fn two_scalars(
        &self,
        args: &[NodeId],
        steps: &Steps,
        f: fn(f64, f64) -> f64,
    ) -> Result<Output, QueryError> {
        let (a, b) = (self.scalar(args[0], steps)?, self.scalar(args[1], steps)?);
        Ok(Output::Scalar(scalar::pairs(a, b, f)))
    }

    /// A function of each float.
    fn each_float(&self, call: &Call, steps: &Steps, f: fn(f64) -> f64) -> Result<Frame, QueryError> {
        let frame = self.frame(call.args[0], steps)?;
        per_sample::map_floats(&self.ctx, frame, |_, v| Some(f(v)))
    }

    /// A function of each native histogram.
    fn each_histogram(
        &self,
        call: &Call,
        steps: &Steps,
        f: fn(&FloatHistogram) -> f64,
    ) -> Result<Frame, QueryError> {
        per_sample::map_histograms(&self.ctx, self.frame(call.args[0], steps)?, f)
    }

    /// A part of the date that each float is, in seconds; without an argument, of the time of each step.
    fn date_part(&self, call: &Call, steps: &Steps, part: fn(&Date) -> f64) -> Result<Frame, QueryError> {
        let Some(arg) = call.args.first() else { return Ok(per_sample::of_step_dates(steps, part)) };
        let frame = self.frame(*arg, steps)?;
        per_sample::map_floats(&self.ctx, frame, |_, v| Some(part(&Date::from_float(v))))
    }

    /// A function of each float, of the scalars that follow the vector (each with one value a step), and of the step.
    fn with_scalars(
        &self,
        call: &Call,
        steps: &Steps,
        f: impl Fn(f64, &[Vec<f64>], usize) -> Option<f64>,
    ) -> Result<Frame, QueryError> {
        let frame = self.frame(call.args[0], steps)?;
        let scalars: Result<Vec<_>, _> = call.args[1..].iter().map(|arg| self.scalar(*arg, steps)).collect();
        let scalars = scalars?;
        per_sample::map_floats(&self.ctx, frame, |i, v| f(v, &scalars, i))
    }

    fn over_range(&self, call: &Call, steps: &Steps) -> Result<Frame, QueryError> {
        let (range, call) = self.range_call(call, steps)?;
        collected(|sink| over_range::for_each(&self.ctx, range, &call, steps, |row| Ok(sink(row))))
    }

    fn label_replace(&self, call: &Call, steps: &Steps) -> Result<Frame, QueryError> {
        let texts = [1, 2, 3, 4].map(|i| self.text(call.args[i]));
        LabelReplace::new(texts)?.apply(&self.ctx, self.frame(call.args[0], steps)?)
    }

    fn label_join(&self, call: &Call, steps: &Steps) -> Result<Frame, QueryError> {
        let args = &call.args;
        let sources = args[3..].iter().map(|arg| self.text(*arg)).collect();
        let join = LabelJoin::new(self.text(args[1]), self.text(args[2]), sources)?;
        join.apply(&self.ctx, self.frame(args[0], steps)?)
    }

    fn absent(&self, arg: NodeId, steps: &Steps) -> Result<Frame, QueryError> {
        let mut absent = Absent::new(steps, self.may_stop_early(arg));
        self.for_each_row(arg, steps, |row| absent.add(&row))?;
        Ok(absent.finish(self.pinned_labels(arg)))
    }

    /// The quantile that a scalar argument asks for.
    fn quantile(&self, arg: NodeId, label: Option<&[u8]>, steps: &Steps) -> Result<Measure, QueryError> {
        let q = self.scalar(arg, steps)?;
        Ok(Measure::Quantile { q, label: label.map(Into::into), pos: self.inner_pos(arg) })
    }

    fn quantiles(&self, call: &Call, steps: &Steps) -> Result<Frame, QueryError> {
        let frame = self.frame(call.args[0], steps)?;
        let label = self.text(call.args[1]);
        let measures: Result<Vec<_>, _> =
            call.args[2..].iter().map(|arg| self.quantile(*arg, Some(label), steps)).collect();
        self.histogram(call.args[0], frame, &measures?, steps)
    }

    /// Measures of the histograms in the vector `arg`, which is evaluated to `frame`.
    fn histogram(
        &self,
        arg: NodeId,
        frame: Frame,
        measures: &[Measure],
        steps: &Steps,
    ) -> Result<Frame, QueryError> {
        histogram::eval(&self.ctx, &frame, measures, self.inner_pos(arg), steps)
    }

    fn info(&self, id: NodeId, call: &Call, steps: &Steps) -> Result<Frame, QueryError> {
        let base = self.frame(call.args[0], steps)?;
        let matchers = info_matchers(&self.prepared.expr, call.args.get(1).copied());
        let (at, offset) = self.prepared.info_modifiers.get(&id).copied().unwrap_or_default();
        let reference = Reference::new(at, offset);
        info::eval(&self.ctx, &base, &matchers, reference, || self.select(id), steps)
    }

    /// `timestamp` or `start_timestamp`: directly on a selector it sees the samples' own times.
    fn timestamp(&self, arg: NodeId, of_start: bool, steps: &Steps) -> Result<Frame, QueryError> {
        let id = self.unparen(arg);
        if let NodeKind::Vector(s) = self.kind(id) {
            return timestamp::of_selector(&self.ctx, self.select(id), s, of_start, steps);
        }
        timestamp::of_result(&self.ctx, self.frame(id, steps)?, of_start, steps)
    }

    /// Whether the order that the sorting call `id` produces shows in the result. It does not in a range query, whose result
    /// is ordered by labels; a warning says so.
    fn order_shows(&self, id: NodeId, steps: &Steps) -> bool {
        if steps.is_range {
            self.ctx.notes().warn(
                "sort is ineffective for range queries since results are always ordered by labels",
                self.pos(id),
            );
        }
        steps.len == 1 && !self.prepared.unsorted.contains(&id)
    }

    fn sort(&self, id: NodeId, call: &Call, order: Order, steps: &Steps) -> Result<Frame, QueryError> {
        let frame = self.frame(call.args[0], steps)?;
        Ok(sort::by_value(frame, self.order_shows(id, steps).then_some(order)))
    }

    fn sort_by_label(
        &self,
        id: NodeId,
        call: &Call,
        order: Order,
        steps: &Steps,
    ) -> Result<Frame, QueryError> {
        let frame = self.frame(call.args[0], steps)?;
        if !self.order_shows(id, steps) {
            return Ok(frame);
        }
        let labels: Vec<&[u8]> = call.args[1..].iter().map(|arg| self.text(*arg)).collect();
        Ok(sort::by_label(frame, &labels, order))
    }

    /// The labels that a selector pins to one value; none for other expressions.
    fn pinned_labels(&self, id: NodeId) -> Labels {
        let selector = match self.kind(self.unparen(id)) {
            NodeKind::Matrix(m) => self.kind(m.selector),
            kind => kind,
        };
        match selector {
            NodeKind::Vector(s) => absent::pinned_labels(&s.matchers),
            _ => Labels::default(),
        }
    }
}
