//! Function calls: which code serves which function, and in which order its arguments are evaluated.

use std::f64::consts::PI;

use tithon_chunks::FloatHistogram;
use tithon_index::Labels;

use super::{Evaluator, collected};
use crate::ast::{Call, NodeId, NodeKind};
use crate::date::Date;
use crate::error::QueryError;
use crate::frame::{Frame, Output, Steps};
use crate::func::Func;
use crate::functions::absent::{self, Absent};
use crate::functions::elementary::{clamp, deg, rad, round, sgn};
use crate::functions::histogram::{self, Measure};
use crate::functions::labels::{LabelJoin, LabelReplace};
use crate::functions::sort::{self, Order};
use crate::functions::{info, native, over_range, per_sample, scalar, timestamp};
use crate::math;
use crate::plan::info_matchers;
use crate::read::Reference;

impl Evaluator<'_> {
    /// Evaluates the call `id`.
    pub(super) fn eval_call(&self, id: NodeId, call: &Call, steps: &Steps) -> Result<Output, QueryError> {
        let ctx = &self.ctx;
        // Counted here for functions that produce numbers without any input.
        let _reserved = ctx.reserve(steps.len)?;
        let args = &call.args;
        let frame = match call.func {
            Func::Pi => return Ok(Output::Scalar(vec![PI; steps.len])),
            Func::Time => return Ok(Output::Scalar(scalar::time(steps))),
            Func::Scalar => {
                return Ok(Output::Scalar(scalar::only_element(&self.frame(args[0], steps)?, steps)));
            }
            Func::MaxOf => return self.pairs(args, steps, math::max),
            Func::MinOf => return self.pairs(args, steps, math::min),
            Func::Start | Func::End | Func::Range | Func::Step => {
                // Planning replaces these calls by numbers.
                return Err(QueryError::Execution(format!("function {} was not resolved", call.func)));
            }

            Func::Vector => Frame::of_numbers(&self.scalar(args[0], steps)?),
            Func::LabelReplace => {
                let texts = [1, 2, 3, 4].map(|i| self.text(args[i]));
                LabelReplace::new(texts)?.apply(ctx, self.frame(args[0], steps)?)?
            }
            Func::LabelJoin => {
                let sources = args[3..].iter().map(|arg| self.text(*arg)).collect();
                let join = LabelJoin::new(self.text(args[1]), self.text(args[2]), sources)?;
                join.apply(ctx, self.frame(args[0], steps)?)?
            }
            Func::Info => self.info(id, call, steps)?,
            Func::Absent => {
                let mut absent = Absent::new(steps, self.may_stop_early(args[0]));
                self.for_each_row(args[0], steps, |row| absent.add(&row))?;
                absent.finish(self.pinned_labels(args[0]))
            }
            Func::AbsentOverTime => {
                let range = self.range_vector(args[0], steps)?;
                absent::over_time(ctx, range, self.pinned_labels(args[0]), steps)?
            }
            Func::Timestamp => self.timestamp(args[0], false, steps)?,
            Func::StartTimestamp => self.timestamp(args[0], true, steps)?,
            Func::Sort => self.sort(id, call, Order::Ascending, steps)?,
            Func::SortDesc => self.sort(id, call, Order::Descending, steps)?,
            Func::SortByLabel => self.sort_by_label(id, call, Order::Ascending, steps)?,
            Func::SortByLabelDesc => self.sort_by_label(id, call, Order::Descending, steps)?,

            Func::HistogramQuantile => {
                let measure = self.quantile(args[0], None, steps)?;
                self.histogram(args[1], self.frame(args[1], steps)?, &[measure], steps)?
            }
            Func::HistogramQuantiles => {
                let frame = self.frame(args[0], steps)?;
                let label = self.text(args[1]);
                let measures: Result<Vec<_>, _> =
                    args[2..].iter().map(|arg| self.quantile(*arg, Some(label), steps)).collect();
                self.histogram(args[0], frame, &measures?, steps)?
            }
            Func::HistogramFraction => {
                let (lower, upper) = (self.scalar(args[0], steps)?, self.scalar(args[1], steps)?);
                let measure = Measure::Fraction { lower, upper };
                self.histogram(args[2], self.frame(args[2], steps)?, &[measure], steps)?
            }
            Func::HistogramCount => self.map_histograms(call, steps, |h| h.count)?,
            Func::HistogramSum => self.map_histograms(call, steps, |h| h.sum)?,
            Func::HistogramAvg => self.map_histograms(call, steps, |h| h.sum / h.count)?,
            Func::HistogramStdvar => self.map_histograms(call, steps, native::variance)?,
            Func::HistogramStddev => self.map_histograms(call, steps, |h| native::variance(h).sqrt())?,

            Func::AvgOverTime
            | Func::Changes
            | Func::CountOverTime
            | Func::Delta
            | Func::Deriv
            | Func::DoubleExponentialSmoothing
            | Func::FirstOverTime
            | Func::Idelta
            | Func::Increase
            | Func::Irate
            | Func::LastOverTime
            | Func::MadOverTime
            | Func::MaxOverTime
            | Func::MinOverTime
            | Func::PredictLinear
            | Func::PresentOverTime
            | Func::QuantileOverTime
            | Func::Rate
            | Func::Resets
            | Func::StddevOverTime
            | Func::StdvarOverTime
            | Func::SumOverTime
            | Func::TsOfFirstOverTime
            | Func::TsOfLastOverTime
            | Func::TsOfMaxOverTime
            | Func::TsOfMinOverTime => {
                let (range, call) = self.range_call(call, steps)?;
                collected(|sink| over_range::for_each(ctx, range, &call, steps, |row| Ok(sink(row))))?
            }

            Func::Abs => self.map(call, steps, f64::abs)?,
            Func::Acos => self.map(call, steps, math::acos)?,
            Func::Acosh => self.map(call, steps, math::acosh)?,
            Func::Asin => self.map(call, steps, math::asin)?,
            Func::Asinh => self.map(call, steps, math::asinh)?,
            Func::Atan => self.map(call, steps, math::atan)?,
            Func::Atanh => self.map(call, steps, math::atanh)?,
            Func::Ceil => self.map(call, steps, f64::ceil)?,
            Func::Cos => self.map(call, steps, math::cos)?,
            Func::Cosh => self.map(call, steps, math::cosh)?,
            Func::Deg => self.map(call, steps, deg)?,
            Func::Exp => self.map(call, steps, math::exp)?,
            Func::Floor => self.map(call, steps, f64::floor)?,
            Func::Ln => self.map(call, steps, math::ln)?,
            Func::Log10 => self.map(call, steps, math::log10)?,
            Func::Log2 => self.map(call, steps, math::log2)?,
            Func::Rad => self.map(call, steps, rad)?,
            Func::Sgn => self.map(call, steps, sgn)?,
            Func::Sin => self.map(call, steps, math::sin)?,
            Func::Sinh => self.map(call, steps, math::sinh)?,
            Func::Sqrt => self.map(call, steps, f64::sqrt)?,
            Func::Tan => self.map(call, steps, math::tan)?,
            Func::Tanh => self.map(call, steps, math::tanh)?,

            Func::Clamp => {
                let (frame, bounds) = self.frame_and_scalars(call, steps)?;
                per_sample::map_floats(ctx, frame, |i, v| clamp(v, bounds[0][i], bounds[1][i]))?
            }
            Func::ClampMin => {
                let (frame, min) = self.frame_and_scalars(call, steps)?;
                per_sample::map_floats(ctx, frame, |i, v| clamp(v, min[0][i], f64::INFINITY))?
            }
            Func::ClampMax => {
                let (frame, max) = self.frame_and_scalars(call, steps)?;
                per_sample::map_floats(ctx, frame, |i, v| clamp(v, f64::NEG_INFINITY, max[0][i]))?
            }
            Func::Round => {
                let (frame, to) = self.frame_and_scalars(call, steps)?;
                let to = to.first();
                per_sample::map_floats(ctx, frame, |i, v| Some(round(v, to.map_or(1.0, |to| to[i]))))?
            }

            Func::DayOfMonth => self.date_part(call, steps, |date| date.day as f64)?,
            Func::DayOfWeek => self.date_part(call, steps, |date| date.weekday as f64)?,
            Func::DayOfYear => self.date_part(call, steps, |date| date.day_of_year() as f64)?,
            Func::DaysInMonth => self.date_part(call, steps, |date| date.days_in_month() as f64)?,
            Func::Hour => self.date_part(call, steps, |date| date.hour as f64)?,
            Func::Minute => self.date_part(call, steps, |date| date.minute as f64)?,
            Func::Month => self.date_part(call, steps, |date| date.month as f64)?,
            Func::Year => self.date_part(call, steps, |date| date.year as f64)?,
        };
        Ok(Output::Frame(frame))
    }

    /// A function of two scalars.
    fn pairs(&self, args: &[NodeId], steps: &Steps, f: fn(f64, f64) -> f64) -> Result<Output, QueryError> {
        let (a, b) = (self.scalar(args[0], steps)?, self.scalar(args[1], steps)?);
        Ok(Output::Scalar(scalar::pairs(a, b, f)))
    }

    /// A function of each float.
    fn map(&self, call: &Call, steps: &Steps, f: fn(f64) -> f64) -> Result<Frame, QueryError> {
        let frame = self.frame(call.args[0], steps)?;
        per_sample::map_floats(&self.ctx, frame, |_, v| Some(f(v)))
    }

    /// A function of each native histogram.
    fn map_histograms(
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

    /// A vector and the scalars that follow it, each with one value a step.
    fn frame_and_scalars(&self, call: &Call, steps: &Steps) -> Result<(Frame, Vec<Vec<f64>>), QueryError> {
        let frame = self.frame(call.args[0], steps)?;
        let scalars: Result<Vec<_>, _> = call.args[1..].iter().map(|arg| self.scalar(*arg, steps)).collect();
        Ok((frame, scalars?))
    }

    /// The quantile that a scalar argument asks for.
    fn quantile(&self, arg: NodeId, label: Option<&[u8]>, steps: &Steps) -> Result<Measure, QueryError> {
        let q = self.scalar(arg, steps)?;
        Ok(Measure::Quantile { q, label: label.map(Into::into), pos: self.inner_pos(arg) })
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
