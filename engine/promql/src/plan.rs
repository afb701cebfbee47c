//! A query made ready for evaluation: parsed, folded, with what must be selected.

mod constants;
mod depth;
mod distribute;
mod durations;
mod explain;
mod fold;
mod hints;
mod invariant;
mod merge;
mod projection;
mod propagate;
mod rules;
mod sorts;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tithon_chunks::TimeRange;
use tithon_index::Matcher;

use crate::ast::{Expr, NodeId, ValueType};
use crate::budget::{Budget, Charge, Watch};
use crate::error::{QueryError, SourceError};
use crate::eval::{self, Analysis, Clock};
use crate::options::{EvalContext, Options, TimeParams};
use crate::result::QueryResult;
use crate::series::Series;

pub use distribute::{Engine, Fragment, join_answers};
pub(crate) use explain::LEVELS_MAX;
pub use explain::PlanNode;
pub(crate) use hints::{Modifiers, info_matchers};
pub use rules::{Rule, Rules};

/// The series of one selection, ascending by labels.
pub type SelectInput = Box<dyn Iterator<Item = Result<Series, SourceError>> + Send>;

/// One selection that an evaluation reads.
#[derive(Clone, Debug)]
pub struct SelectSpec {
    /// The conditions on labels.
    pub matchers: Vec<Matcher>,
    /// The samples needed, both ends inside.
    pub range: TimeRange,
    /// What the selection is for.
    pub hints: SelectHints,
}

/// What a selection is for. Upstream: `storage.SelectHints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SelectHints {
    /// The first millisecond needed.
    pub start_ms: i64,
    /// The last millisecond needed.
    pub end_ms: i64,
    /// The step in milliseconds; 0 for an instant query.
    pub step_ms: i64,
    /// The nearest function or aggregation around the selector; empty behind a binary operator.
    pub func: String,
    /// The range in milliseconds; 0 for an instant selector.
    pub range_ms: i64,
    /// Whether `grouping` are the labels kept (`by`).
    pub by: bool,
    /// The grouping labels of an aggregation directly around the selector.
    pub grouping: Vec<Box<[u8]>>,
    /// The most series wanted; 0 is all.
    pub limit: u64,
    /// The labels that matter, ascending, where not all do. Series may come without others, if those that are alike then
    /// get one more label of any name to tell them apart, and in their order. Upstream: `ProjectionLabels`.
    pub projection: Option<Vec<Box<[u8]>>>,
}

/// A query ready to be evaluated.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(crate) query: Vec<u8>,
    pub(crate) expr: Expr,
    pub(crate) params: TimeParams,
    pub(crate) options: Options,
    pub(crate) selects: Vec<SelectSpec>,
    /// What a selector, or a call of `info`, reads.
    pub(crate) reads: HashMap<NodeId, Reading>,
    /// The selectors of whose histograms only count, sum and reset hint matter.
    pub(crate) stats_only: HashSet<NodeId>,
    /// The sorting calls whose order nobody sees.
    pub(crate) unsorted: HashSet<NodeId>,
    /// The selectors that stand for what other engines evaluate.
    pub(crate) fragments: HashMap<NodeId, Fragment>,
    /// The modifiers with which calls of `info` read info series.
    pub(crate) info_modifiers: HashMap<NodeId, Modifiers>,
    /// What planning has to say.
    pub(crate) warnings: Vec<String>,
    /// What evaluation may hold.
    pub(crate) budget: Arc<Budget>,
    /// What the plan holds.
    _held: Arc<Charge>,
}

/// What a selector reads: a selection, of which it may have to leave series out.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Index of the selection.
    pub(crate) select: usize,
    /// Conditions that the selection does not make.
    pub(crate) filter: Vec<Matcher>,
}

impl Prepared {
    /// Parses and plans a query.
    ///
    /// Errors: [`QueryError::Parse`]; [`QueryError::BadData`] when the type does not suit a range query, or a
    /// duration expression has no valid value at these times.
    pub fn new(
        query: impl AsRef<[u8]>,
        params: TimeParams,
        options: &Options,
    ) -> Result<Prepared, QueryError> {
        Prepared::distributed(query, params, options, &[])
    }

    /// The same within a budget, which holds for evaluation too. Planning takes time in proportion to the text and ends
    /// when it is no longer wanted.
    ///
    /// Errors besides: [`QueryError::Cancelled`], [`QueryError::TooManyBytes`].
    pub fn within(
        query: impl AsRef<[u8]>,
        params: TimeParams,
        options: &Options,
        watch: Watch<'_>,
    ) -> Result<Prepared, QueryError> {
        Prepared::planned(query.as_ref(), params, options, &[], watch)
    }

    /// The same, with the parts that `engines` may evaluate cut out: [`Prepared::fragment`] tells what a selection
    /// stands for.
    pub fn distributed(
        query: impl AsRef<[u8]>,
        params: TimeParams,
        options: &Options,
        engines: &[Engine],
    ) -> Result<Prepared, QueryError> {
        let (budget, cancelled) = (Budget::new(options.max_bytes, "max_bytes"), AtomicBool::new(false));
        let watch = Watch { budget: &budget, cancelled: &cancelled };
        Prepared::planned(query.as_ref(), params, options, engines, watch)
    }

    fn planned(
        query: &[u8],
        params: TimeParams,
        options: &Options,
        engines: &[Engine],
        watch: Watch<'_>,
    ) -> Result<Prepared, QueryError> {
        let (mut expr, held) = crate::parse_within(query, &options.parse, watch)?;
        if !params.is_instant() && !matches!(expr.ty(), ValueType::Scalar | ValueType::Vector) {
            return Err(QueryError::BadData(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                expr.ty().documented()
            )));
        }
        depth::check(&expr)?;
        durations::resolve(&mut expr, &params)?;
        fold::fold_context_calls(&mut expr, &params);
        let rules = options.rules;
        if rules.has(Rule::ConstantFolding) {
            constants::fold(&mut expr);
        }
        watch.check()?;
        invariant::resolve(&mut expr, &params);
        propagate::matchers(&mut expr, rules, &options.dropped_labels);
        let (fragments, warnings) = match engines {
            [] => Default::default(),
            _ => distribute::cut(&mut expr, &params, options.lookback_delta_ms, engines),
        };
        if rules.has(Rule::StepInvariants) {
            invariant::wrap(&mut expr);
        }
        let mut prepared = Prepared {
            query: query.to_vec(),
            expr,
            params,
            options: options.clone(),
            selects: Vec::new(),
            reads: HashMap::new(),
            stats_only: HashSet::new(),
            unsorted: HashSet::new(),
            fragments: fragments.into_iter().collect(),
            info_modifiers: HashMap::new(),
            warnings,
            budget: Arc::clone(watch.budget),
            _held: Arc::new(held),
        };
        hints::collect(&mut prepared, watch.cancelled)?;
        if rules.has(Rule::MergeSelects) {
            merge::selects(&mut prepared);
        }
        watch.check()?;
        if rules.has(Rule::Projection) {
            projection::labels(&mut prepared);
        }
        if rules.has(Rule::TrimSorts) {
            prepared.unsorted = sorts::unseen(&prepared.expr);
        }
        Ok(prepared)
    }

    /// What must be selected, in the order in which [`Prepared::eval`] takes the inputs.
    pub fn selects(&self) -> &[SelectSpec] {
        &self.selects
    }

    /// The part of a distributed query that the selection stands for: its input are the joined answers of the
    /// engines ([`join_answers`]) and no series of a store.
    pub fn fragment(&self, select: usize) -> Option<&Fragment> {
        let node = self.reads.iter().find(|(_, reading)| reading.select == select)?.0;
        self.fragments.get(node)
    }

    /// The expression as it will be evaluated.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// Evaluates the query over one input for each of [`Prepared::selects`].
    pub fn eval(&self, inputs: Vec<SelectInput>, ctx: &EvalContext<'_>) -> Result<QueryResult, QueryError> {
        eval::run(self, inputs, ctx, None).map(|(result, _)| result)
    }

    /// Evaluates like [`Prepared::eval`], and finds out what each operator costs with a clock.
    pub fn eval_analyzed(
        &self,
        inputs: Vec<SelectInput>,
        ctx: &EvalContext<'_>,
        clock: Clock<'_>,
    ) -> Result<(QueryResult, Analysis), QueryError> {
        let (result, analysis) = eval::run(self, inputs, ctx, Some(clock))?;
        Ok((result, analysis.expect("a clock makes an analysis")))
    }
}
