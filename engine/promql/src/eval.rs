//! Evaluation: each node over all its steps at once, children before parents. Only this module knows which code
//! evaluates which node; operators and functions get evaluated arguments.

mod aggregate;
mod call;
mod input;
mod part;
mod profile;
mod range;
mod remote;
mod root;

use std::ops::ControlFlow;
use std::time::Duration;

use tithon_chunks::TimeRange;

use crate::ast::{NodeId, NodeKind, PosRange};
use crate::context::{Context, Held};
use crate::error::QueryError;
use crate::frame::{Column, Frame, Output, Row, Steps};
use crate::functions::over_range;
use crate::ops::{binary, selector, unary};
use crate::options::EvalContext;
use crate::part::PartValue;
use crate::plan::Prepared;
use crate::read::Selection;
use crate::result::QueryResult;
use crate::rules::Rule;
use crate::series::SelectInput;
use crate::stack::with_room;
use crate::value_type::ValueType;

pub use profile::{Analysis, Clock};

/// One evaluation of a query.
struct Evaluator<'a> {
    /// The query.
    prepared: &'a Prepared,
    /// The state that operators share.
    ctx: Context<'a>,
    profile: Option<profile::Profile<'a>>,
    inputs: Vec<input::Slot>,
    parts: part::Parts,
}

impl Prepared {
    /// Evaluates the query over one input for each of [`Prepared::selects`], followed by one for each of
    /// [`Prepared::remote_parts`].
    pub fn eval(&self, inputs: Vec<SelectInput>, ctx: &EvalContext<'_>) -> Result<QueryResult, QueryError> {
        self.eval_with(inputs, Vec::new(), ctx)
    }

    /// Evaluates like [`Prepared::eval`], with the values of [`Prepared::store_parts`].
    pub fn eval_with(
        &self,
        inputs: Vec<SelectInput>,
        parts: Vec<PartValue>,
        ctx: &EvalContext<'_>,
    ) -> Result<QueryResult, QueryError> {
        run(self, inputs, parts, ctx, None).map(|(result, _)| result)
    }

    /// Evaluates like [`Prepared::eval_with`], and measures with a clock what each operator costs.
    pub fn eval_analyzed(
        &self,
        inputs: Vec<SelectInput>,
        parts: Vec<PartValue>,
        ctx: &EvalContext<'_>,
        clock: Clock<'_>,
    ) -> Result<(QueryResult, Analysis), QueryError> {
        let (result, analysis) = run(self, inputs, parts, ctx, Some(clock))?;
        Ok((result, analysis.expect("a clock makes an analysis")))
    }

    /// Evaluates the node that [`Prepared::keep_only`] has kept, over one input for each of [`Prepared::selects`].
    pub fn eval_part(
        &self,
        inputs: Vec<SelectInput>,
        ctx: &EvalContext<'_>,
    ) -> Result<PartValue, QueryError> {
        let evaluator = Evaluator::new(self, inputs, Vec::new(), ctx, None);
        let steps = evaluator.steps()?;
        evaluator.part_value(self.only.unwrap_or(self.expr.root()), &steps)
    }
}

/// Evaluates the query; returns the costs of the operators if there is a clock.
fn run(
    prepared: &Prepared,
    inputs: Vec<SelectInput>,
    parts: Vec<PartValue>,
    ctx: &EvalContext<'_>,
    clock: Option<Clock<'_>>,
) -> Result<(QueryResult, Option<Analysis>), QueryError> {
    let evaluator = Evaluator::new(prepared, inputs, parts, ctx, clock);
    for pos in &prepared.undistributed {
        let text = "rewriting an external label with label_replace can disable distributed query execution";
        evaluator.ctx.notes().warn(text, *pos);
    }
    let steps = evaluator.steps()?;
    let value = evaluator.root_value(&steps)?;
    let (warnings, infos) = evaluator.ctx.notes().texts(&prepared.query);
    let stats = evaluator.ctx.held.stats();
    let analysis = evaluator.profile.map(|profile| profile.into_analysis(prepared));
    Ok((QueryResult { value, warnings, infos, stats }, analysis))
}

impl<'a> Evaluator<'a> {
    fn new(
        prepared: &'a Prepared,
        inputs: Vec<SelectInput>,
        parts: Vec<PartValue>,
        ctx: &EvalContext<'a>,
        clock: Option<Clock<'a>>,
    ) -> Evaluator<'a> {
        let options = &prepared.options;
        let held = Held::new(options.max_samples, &prepared.budget);
        Evaluator {
            prepared,
            ctx: Context::new(options, *ctx, held),
            profile: clock.map(|clock| profile::Profile::new(prepared, clock)),
            inputs: input::slots(prepared, inputs),
            parts: part::Parts::new(parts),
        }
    }

    /// The steps of the query. Fails if they are more than samples may be held.
    fn steps(&self) -> Result<Steps, QueryError> {
        let params = &self.prepared.params;
        let steps = Steps::new(params.start.0, params.end.0, params.step_ms.max(1));
        self.ctx.held.check_steps(steps.len)?;
        Ok(steps)
    }
}

impl Evaluator<'_> {
    fn kind(&self, id: NodeId) -> &NodeKind {
        &self.prepared.expr[id].kind
    }

    fn ty(&self, id: NodeId) -> ValueType {
        self.prepared.expr[id].ty
    }

    fn pos(&self, id: NodeId) -> PosRange {
        self.prepared.expr[id].pos
    }

    /// The node without parentheses.
    fn unparen(&self, id: NodeId) -> NodeId {
        self.prepared.expr.unparen(id)
    }

    /// The place of the node without parentheses.
    fn inner_pos(&self, id: NodeId) -> PosRange {
        self.pos(self.unparen(id))
    }

    /// The selection of the selector or call of `info` at `id`. Only the first call for a node gets the series.
    fn select(&self, id: NodeId) -> Selection {
        let stats_only = self.prepared.stats_only.contains(&id);
        let Some(reading) = self.prepared.reads.get(&id) else {
            return Selection { input: None, range: TimeRange::ALL, stats_only };
        };
        let range = self.prepared.selects[reading.select].range;
        let input = self.inputs[reading.select].take(&reading.filter, &self.ctx);
        Selection { input, range, stats_only }
    }

    /// Evaluates a node over steps. Afterwards, its result is held in addition to the data held before.
    fn eval(&self, id: NodeId, steps: &Steps) -> Result<Output, QueryError> {
        with_room(|| {
            self.measured(id, |_| {
                self.ctx.check_cancelled()?;
                let before = self.ctx.held.held();
                let output = self.eval_kind(id, steps)?;
                self.ctx.held.settle(before, output.held())?;
                Ok(output)
            })
        })
    }

    fn eval_kind(&self, id: NodeId, steps: &Steps) -> Result<Output, QueryError> {
        Ok(match self.kind(id) {
            NodeKind::Number { value, .. } => {
                let _reserved = self.ctx.reserve(steps.len)?;
                Output::Scalar(vec![*value; steps.len])
            }
            NodeKind::String(text) => Output::Text(text.clone()),
            NodeKind::Paren(inner) => self.eval(self.unparen(*inner), steps)?,
            NodeKind::StepInvariant(inner) => self.eval_invariant(*inner, steps)?,
            NodeKind::Vector(s) => Output::Frame(collected(|sink| {
                selector::for_each(&self.ctx, self.select(id), s, self.pos(id), steps, |row| Ok(sink(row)))
            })?),
            NodeKind::Unary { negate: false, expr } => self.eval(*expr, steps)?,
            NodeKind::Unary { negate: true, expr } => unary::negate(&self.ctx, self.eval(*expr, steps)?)?,
            NodeKind::Binary(b) => {
                let (lhs, rhs) = (self.eval(b.lhs, steps)?, self.eval(b.rhs, steps)?);
                binary::eval(&self.ctx, b, self.pos(id), lhs, rhs, steps)?
            }
            NodeKind::Aggregate(a) => Output::Frame(self.eval_aggregate(id, a, steps)?),
            NodeKind::Call(call) => self.eval_call(id, call, steps)?,
            NodeKind::Remote(remote) => self.eval_remote(remote, self.ty(id), steps)?,
            NodeKind::Part(place) => self.eval_part(place, self.ty(id), steps)?,
            NodeKind::Matrix(_) | NodeKind::Subquery(_) | NodeKind::Duration(_) => {
                return Err(QueryError::Execution("range vectors only stand in function calls".to_owned()));
            }
        })
    }

    /// Hands the rows of a node of vector type to `sink`. If the node is evaluated series by series, its rows are
    /// handed over one by one and only a few are held at a time. A sink that returns `Break` gets no more rows.
    fn for_each_row(
        &self,
        id: NodeId,
        steps: &Steps,
        mut sink: impl FnMut(Row) -> ControlFlow<()> + Send,
    ) -> Result<(), QueryError> {
        let id = self.unparen(id);
        match self.kind(id) {
            NodeKind::Vector(s) => self.measured(id, |foreign| {
                let sink = self.releasing(foreign, sink);
                selector::for_each(&self.ctx, self.select(id), s, self.pos(id), steps, sink)
            }),
            NodeKind::Call(call) if self.is_over_selector(call) => self.measured(id, |foreign| {
                let (range, call) = self.range_call(call, steps)?;
                over_range::for_each(&self.ctx, range, &call, steps, self.releasing(foreign, sink))
            }),
            _ => {
                for row in self.frame(id, steps)?.rows {
                    let (samples, bytes) = row.held();
                    let flow = sink(row);
                    self.ctx.held.release(samples, bytes);
                    if flow.is_break() {
                        break;
                    }
                }
                Ok(())
            }
        }
    }

    /// A sink that releases what a row holds once `sink` has taken it, and adds the time that `sink` takes to `foreign`.
    fn releasing(
        &self,
        foreign: &mut Duration,
        mut sink: impl FnMut(Row) -> ControlFlow<()> + Send,
    ) -> impl FnMut(Row) -> Result<ControlFlow<()>, QueryError> + Send {
        move |row: Row| {
            let (samples, bytes) = (row.column.n_points(), row.column.bytes());
            let begun = self.profile.as_ref().map(profile::Profile::now);
            let flow = sink(row);
            if let Some((profile, begun)) = self.profile.as_ref().zip(begun) {
                *foreign += profile.now().saturating_sub(begun);
            }
            self.ctx.held.release(samples, bytes);
            Ok(flow)
        }
    }

    /// Runs the work of a node, and measures the costs if there is a profile. The work adds the time that belongs to
    /// other nodes to its argument.
    fn measured<T>(&self, id: NodeId, work: impl FnOnce(&mut Duration) -> T) -> T {
        let mut foreign = Duration::ZERO;
        let Some(profile) = &self.profile else { return work(&mut foreign) };
        let begun = profile.begin(&self.ctx.held);
        let result = work(&mut foreign);
        profile.end(id, &begun, foreign, &self.ctx.held);
        result
    }

    /// Whether a node is a selector whose series may be left unread once the result of its consumer is settled.
    fn may_stop_early(&self, id: NodeId) -> bool {
        self.ctx.options.rules.has(Rule::StopEarly)
            && matches!(self.kind(self.unparen(id)), NodeKind::Vector(s) if !s.smoothed)
    }

    /// A node of vector type as a frame; a scalar becomes a row without labels.
    fn frame(&self, id: NodeId, steps: &Steps) -> Result<Frame, QueryError> {
        self.eval(id, steps).map(Output::into_frame)
    }

    /// A node of scalar type as numbers, one a step.
    fn scalar(&self, id: NodeId, steps: &Steps) -> Result<Vec<f64>, QueryError> {
        match self.eval(id, steps)? {
            Output::Scalar(values) => Ok(values),
            Output::Text(_) | Output::Frame(_) => {
                Err(QueryError::Execution("a scalar was expected".to_owned()))
            }
        }
    }

    /// A literal text, possibly in parentheses.
    fn text(&self, id: NodeId) -> &[u8] {
        match self.kind(id) {
            NodeKind::String(text) => text,
            NodeKind::Paren(inner) | NodeKind::StepInvariant(inner) => self.text(*inner),
            _ => b"",
        }
    }

    /// Evaluates once, at the first step, and repeats the result.
    fn eval_invariant(&self, inner: NodeId, steps: &Steps) -> Result<Output, QueryError> {
        let held = &self.ctx.held;
        let touched_before = held.stats().total_samples;
        let first = self.eval(inner, &steps.first_only())?;
        // Samples that the first step touched count at each step.
        let touched = held.stats().total_samples.saturating_sub(touched_before);
        held.touch(touched.saturating_mul(steps.len.saturating_sub(1) as u64), 0);
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
                    self.ctx.check_cancelled()?;
                    let (samples, _) = row.held();
                    held.add(samples.saturating_mul(steps.len as u64), Column::bytes_of(steps.len))?;
                    Ok(Row { column: row.column.spread(steps.len), ..row })
                };
                let rows = frame.rows.into_iter().map(spread).collect::<Result<_, _>>()?;
                Output::Frame(Frame { rows })
            }
        })
    }
}

/// The rows that `produce` hands to its sink.
fn collected(
    produce: impl FnOnce(&mut (dyn FnMut(Row) -> ControlFlow<()> + Send)) -> Result<(), QueryError>,
) -> Result<Frame, QueryError> {
    let mut frame = Frame::default();
    produce(&mut |row| {
        frame.rows.push(row);
        ControlFlow::Continue(())
    })?;
    Ok(frame)
}
