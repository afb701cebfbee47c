//! Evaluation: each node over all its steps at once, children before parents.

mod finish;
mod held;
mod input;
mod profile;

use std::ops::ControlFlow;
use std::sync::Mutex;
use std::time::Duration;

use tithon_chunks::TimeRange;

use crate::annotations::Notes;
use crate::ast::{NodeId, NodeKind, PosRange, ValueType};
use crate::budget::Charge;
use crate::error::QueryError;
use crate::frame::{Column, Frame, Row, Steps};
use crate::functions;
use crate::ops;
use crate::options::{EvalContext, Options};
use crate::plan::{Prepared, Rule, SelectInput};
use crate::result::QueryResult;
use crate::stack::with_room;

pub(crate) use held::Held;
pub use profile::{Analysis, Clock};

/// What a node evaluates to.
#[derive(Debug)]
pub(crate) enum Output {
    /// A number a step.
    Scalar(Vec<f64>),
    /// A text.
    Text(Box<[u8]>),
    /// Series.
    Frame(Frame),
}

/// One evaluation of a query.
pub(crate) struct Evaluator<'a> {
    /// The query.
    pub(crate) prepared: &'a Prepared,
    /// Where it runs.
    pub(crate) ctx: EvalContext<'a>,
    /// What is held in memory.
    pub(crate) budget: Held,
    profile: Option<profile::Profile<'a>>,
    notes: Mutex<Notes>,
    inputs: Vec<input::Slot>,
}

/// A result, and the costs if there is a clock to find them with.
type Outcome = Result<(QueryResult, Option<Analysis>), QueryError>;

/// Evaluates the query over its inputs.
pub(crate) fn run(
    prepared: &Prepared,
    inputs: Vec<SelectInput>,
    ctx: &EvalContext<'_>,
    clock: Option<Clock<'_>>,
) -> Outcome {
    let inputs = input::slots(prepared, inputs);
    let evaluator = Evaluator {
        prepared,
        ctx: *ctx,
        budget: Held::new(prepared.options.max_samples, &prepared.budget),
        profile: clock.map(|clock| profile::Profile::new(prepared, clock)),
        notes: Mutex::default(),
        inputs,
    };
    let params = &prepared.params;
    let steps = Steps::new(params.start.0, params.end.0, params.step_ms.max(1));
    evaluator.budget.check_steps(steps.len)?;
    let value = finish::value(&evaluator, steps)?;
    let notes = std::mem::take(&mut *evaluator.notes());
    let (mut warnings, infos) = notes.texts(&prepared.query);
    warnings.extend(prepared.warnings.iter().cloned());
    let stats = evaluator.budget.stats();
    let analysis = evaluator.profile.map(|profile| profile.into_analysis(prepared));
    Ok((QueryResult { value, warnings, infos, stats }, analysis))
}

impl Evaluator<'_> {
    /// The options.
    pub(crate) fn options(&self) -> &Options {
        &self.prepared.options
    }

    /// The kind of a node.
    pub(crate) fn kind(&self, id: NodeId) -> &NodeKind {
        &self.prepared.expr[id].kind
    }

    /// The place of a node.
    pub(crate) fn pos(&self, id: NodeId) -> PosRange {
        self.prepared.expr[id].pos
    }

    /// The node without parentheses.
    pub(crate) fn unparen(&self, id: NodeId) -> NodeId {
        self.prepared.expr.unparen(id)
    }

    /// The annotations so far.
    pub(crate) fn notes(&self) -> std::sync::MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The input of a selector or of `info`, which only the first caller gets, and the range that it was asked for.
    pub(crate) fn take_input(&self, id: NodeId) -> (Option<SelectInput>, TimeRange) {
        let Some(reading) = self.prepared.reads.get(&id) else { return (None, TimeRange::ALL) };
        let range = self.prepared.selects[reading.select].range;
        (self.inputs[reading.select].take(&reading.filter, self), range)
    }

    /// Fails when the caller has gone.
    pub(crate) fn check_cancelled(&self) -> Result<(), QueryError> {
        if self.ctx.is_cancelled() { Err(QueryError::Cancelled) } else { Ok(()) }
    }

    /// Holds a column of so many steps while it is made, if that is long: it is counted only when it is done.
    pub(crate) fn reserve(&self, n_steps: usize) -> Result<Option<Charge>, QueryError> {
        /// Shorter columns are not worth it: about what a range query may have.
        const SHORT: usize = 16_384;
        if n_steps <= SHORT {
            return Ok(None);
        }
        self.check_cancelled()?;
        Ok(Some(self.prepared.budget.charge(Column::bytes_of(n_steps))?))
    }

    /// Evaluates a node over steps. Afterwards nothing more is held than before, but for the result.
    pub(crate) fn eval(&self, id: NodeId, steps: &Steps) -> Result<Output, QueryError> {
        with_room(|| self.measured(id, |_| self.eval_settled(id, steps)))
    }

    fn eval_settled(&self, id: NodeId, steps: &Steps) -> Result<Output, QueryError> {
        self.check_cancelled()?;
        let before = self.budget.held();
        let output = self.eval_kind(id, steps)?;
        let (samples, bytes) = match &output {
            Output::Scalar(values) => (values.len() as u64, values.len() as u64 * 8),
            Output::Text(_) => (0, 0),
            Output::Frame(frame) => frame.held(),
        };
        self.budget.settle(before, samples, bytes)?;
        Ok(output)
    }

    fn eval_kind(&self, id: NodeId, steps: &Steps) -> Result<Output, QueryError> {
        let output = match self.kind(id) {
            NodeKind::Number { value, .. } => {
                let _reserved = self.reserve(steps.len)?;
                Output::Scalar(vec![*value; steps.len])
            }
            NodeKind::String(text) => Output::Text(text.clone()),
            NodeKind::Paren(inner) => return self.eval(self.unparen(*inner), steps),
            NodeKind::StepInvariant(inner) => return self.eval_invariant(*inner, steps),
            NodeKind::Vector(s) => Output::Frame(ops::selector::eval(self, id, s, steps)?),
            NodeKind::Unary { negate, expr } => ops::unary::eval(self, *negate, *expr, steps)?,
            NodeKind::Binary(b) => ops::binary::eval(self, id, b, steps)?,
            NodeKind::Aggregate(a) => Output::Frame(ops::aggregate::eval(self, id, a, steps)?),
            NodeKind::Call(call) => functions::eval(self, id, call, steps)?,
            NodeKind::Matrix(_) | NodeKind::Subquery(_) | NodeKind::Duration(_) => {
                return Err(QueryError::Execution("range vectors only stand in function calls".to_owned()));
            }
        };
        Ok(output)
    }

    /// Hands the rows of a node of vector type to `sink`, one by one where the node allows it: then they are
    /// not held. A sink that breaks off gets no more.
    pub(crate) fn for_each_row(
        &self,
        id: NodeId,
        steps: &Steps,
        mut sink: impl FnMut(Row) -> ControlFlow<()> + Send,
    ) -> Result<(), QueryError> {
        let id = self.unparen(id);
        if !self.is_streamed(id) {
            for row in self.frame(id, steps)?.rows {
                let (samples, bytes) = row.held();
                let flow = sink(row);
                self.budget.release(samples, bytes);
                if flow.is_break() {
                    break;
                }
            }
            return Ok(());
        }
        self.measured(id, |foreign| self.stream(id, steps, foreign, sink))
    }

    /// Whether the rows of a node can be had one by one.
    fn is_streamed(&self, id: NodeId) -> bool {
        match self.kind(id) {
            NodeKind::Vector(_) => true,
            NodeKind::Call(call) => functions::is_over_selector(self, call),
            _ => false,
        }
    }

    /// Hands rows to `sink` one by one; adds the time that it takes to `foreign`.
    fn stream(
        &self,
        id: NodeId,
        steps: &Steps,
        foreign: &mut Duration,
        mut sink: impl FnMut(Row) -> ControlFlow<()> + Send,
    ) -> Result<(), QueryError> {
        let fold = |row: Row| {
            let (samples, bytes) = (row.column.n_points(), row.column.bytes());
            let begun = self.profile.as_ref().map(profile::Profile::now);
            let flow = sink(row);
            if let Some((profile, begun)) = self.profile.as_ref().zip(begun) {
                *foreign += profile.now().saturating_sub(begun);
            }
            self.budget.release(samples, bytes);
            Ok(flow)
        };
        match self.kind(id) {
            NodeKind::Vector(s) => ops::selector::for_each(self, id, s, steps, fold),
            NodeKind::Call(call) => functions::for_each(self, call, steps, fold),
            _ => Ok(()),
        }
    }

    /// Runs the work of a node; finds out what it costs if that is asked for. The work may tell how long others took
    /// meanwhile.
    pub(crate) fn measured<T>(&self, id: NodeId, work: impl FnOnce(&mut Duration) -> T) -> T {
        let mut foreign = Duration::ZERO;
        let Some(profile) = &self.profile else { return work(&mut foreign) };
        let begun = profile.begin(&self.budget);
        let result = work(&mut foreign);
        profile.end(id, &begun, foreign, &self.budget);
        result
    }

    /// Whether a node is a selector whose input need not be read further than the result of its consumer asks for.
    pub(crate) fn may_stop_early(&self, id: NodeId) -> bool {
        self.options().rules.has(Rule::StopEarly)
            && matches!(self.kind(self.unparen(id)), NodeKind::Vector(s) if !s.smoothed)
    }

    /// A node of vector type as a frame; a scalar becomes a row without labels.
    pub(crate) fn frame(&self, id: NodeId, steps: &Steps) -> Result<Frame, QueryError> {
        match self.eval(id, steps)? {
            Output::Frame(frame) => Ok(frame),
            Output::Scalar(values) => Ok(functions::scalar::vector(&values)),
            Output::Text(_) => Ok(Frame::default()),
        }
    }

    /// A node of scalar type as numbers, one a step.
    pub(crate) fn scalar(&self, id: NodeId, steps: &Steps) -> Result<Vec<f64>, QueryError> {
        match self.eval(id, steps)? {
            Output::Scalar(values) => Ok(values),
            _ => Err(QueryError::Execution("a scalar was expected".to_owned())),
        }
    }

    /// A literal text, possibly in parentheses.
    pub(crate) fn text(&self, id: NodeId) -> &[u8] {
        match self.kind(id) {
            NodeKind::String(text) => text,
            NodeKind::Paren(inner) | NodeKind::StepInvariant(inner) => self.text(*inner),
            _ => b"",
        }
    }

    /// Evaluates once, at the first step, and repeats the result.
    fn eval_invariant(&self, inner: NodeId, steps: &Steps) -> Result<Output, QueryError> {
        let touched = self.budget.stats().total_samples;
        let first = self.eval(inner, &steps.first_only())?;
        // What one step touched counts at each.
        let touched = self.budget.stats().total_samples.saturating_sub(touched);
        self.budget.touch(touched.saturating_mul(steps.len.saturating_sub(1) as u64), 0);
        if steps.len <= 1 {
            return Ok(first);
        }
        Ok(match first {
            Output::Scalar(values) => {
                Output::Scalar(vec![values.first().copied().unwrap_or(f64::NAN); steps.len])
            }
            Output::Text(text) => Output::Text(text),
            Output::Frame(frame) => {
                let spread = |row: Row| -> Result<Row, QueryError> {
                    self.check_cancelled()?;
                    let (samples, _) = row.held();
                    let (n, bytes) = (steps.len as u64, Column::bytes_of(steps.len));
                    self.budget.add(samples.saturating_mul(n), bytes)?;
                    Ok(Row { column: row.column.spread(steps.len), ..row })
                };
                let rows = frame.rows.into_iter().map(spread).collect::<Result<_, _>>()?;
                Output::Frame(Frame { rows })
            }
        })
    }

    /// The type of a node.
    pub(crate) fn ty(&self, id: NodeId) -> ValueType {
        self.prepared.expr[id].ty
    }
}
