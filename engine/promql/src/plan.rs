//! The plan of a query: its rewritten expression, and the selections that its evaluation reads.

mod constants;
mod depth;
mod distribute;
mod durations;
mod enforced;
mod explain;
mod inner_times;
mod invariant;
mod merge;
mod parts;
mod propagate;
mod query_times;
mod selections;
mod sorts;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tithon_chunks::TimeRange;
use tithon_index::Matcher;

use crate::ast::{Expr, Node, NodeId, NodeKind, PosRange};
use crate::budget::{Budget, Charge};
use crate::error::QueryError;
use crate::options::{Options, TimeParams};
use crate::parse::parse_within;
use crate::rules::Rule;
use crate::value_type::ValueType;
use crate::watch::Watch;

pub(crate) use explain::LEVELS_MAX;
pub use explain::PlanNode;
pub(crate) use inner_times::inner_times;
pub use parts::{Holder, PartUnknown, StorePart};
pub(crate) use selections::{Modifiers, info_matchers};

/// One selection that an evaluation reads.
#[derive(Clone, Debug)]
pub struct SelectSpec {
    /// The matchers that series must fulfil.
    pub matchers: Vec<Matcher>,
    /// The range of the samples needed, both ends inclusive.
    pub range: TimeRange,
    /// The purpose of the selection.
    pub hints: SelectHints,
}

/// The purpose of a selection: it decides which aggregates of downsampled data serve it. Upstream:
/// `storage.SelectHints`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SelectHints {
    /// The nearest function or aggregation around the selector; empty if a binary operator is nearer.
    pub func: String,
    /// The range in milliseconds; 0 for an instant selector.
    pub range_ms: i64,
}

/// A part of a query that another querier evaluates.
#[derive(Clone, Debug, PartialEq)]
pub struct RemotePart {
    /// Index of the querier in [`crate::Remotes::engines`].
    pub engine: usize,
    /// The expression, which any querier parses.
    pub query: Arc<str>,
    /// Its steps, in whole seconds.
    pub times: TimeParams,
}

/// A query ready to be evaluated.
#[derive(Clone, Debug)]
pub struct Prepared {
    pub(crate) query: Vec<u8>,
    pub(crate) expr: Expr,
    pub(crate) params: TimeParams,
    pub(crate) options: Options,
    pub(crate) selects: Vec<SelectSpec>,
    /// What other queriers evaluate.
    pub(crate) remote_parts: Vec<RemotePart>,
    /// What stores evaluate.
    pub(crate) store_parts: Vec<StorePart>,
    /// The node that is evaluated alone, for another process that has the same plan; `None` for the root.
    pub(crate) only: Option<NodeId>,
    /// The time range of all selections, also of those that other processes read.
    range: TimeRange,
    /// The places of calls that keep parts of the query from being evaluated by other queriers.
    pub(crate) undistributed: Vec<PosRange>,
    /// The reading of each selector and each call of `info`.
    pub(crate) reads: HashMap<NodeId, Reading>,
    /// The selectors of whose histograms only count, sum and reset hint matter.
    pub(crate) stats_only: HashSet<NodeId>,
    /// The sorting calls that need not sort, since the order does not show in the result.
    pub(crate) unsorted: HashSet<NodeId>,
    /// The modifiers with which each call of `info` reads info series.
    pub(crate) info_modifiers: HashMap<NodeId, Modifiers>,
    /// The memory that evaluation may hold.
    pub(crate) budget: Arc<Budget>,
    /// The charge for the memory of the plan.
    _held: Arc<Charge>,
}

/// The series that a selector reads: all of a selection, or some of them.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    /// Index of the selection.
    pub(crate) select: usize,
    /// The matchers of the selector that the selection does not have.
    pub(crate) filter: Vec<Matcher>,
}

/// The most nodes of a light expression (see [`Prepared::is_light`]).
const LIGHT_NODES_MAX: usize = 32;
/// Functions whose steps cost more than the samples of their windows, or that make series of their own.
const HEAVY_FUNCTIONS: [&str; 7] = [
    "quantile_over_time",
    "mad_over_time",
    "holt_winters",
    "double_exponential_smoothing",
    "info",
    "histogram_quantile",
    "histogram_quantiles",
];

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
        let (budget, cancelled) = (Budget::new(options.max_bytes, "max_bytes"), AtomicBool::new(false));
        Prepared::within(query, params, options, Watch { budget: &budget, cancelled: &cancelled })
    }

    /// Parses and plans within a budget, which also limits the evaluation. Planning takes time in proportion to the text
    /// and stops when the caller no longer waits for it.
    ///
    /// Errors: those of [`Prepared::new`], [`QueryError::Cancelled`], [`QueryError::TooManyBytes`].
    pub fn within(
        query: impl AsRef<[u8]>,
        params: TimeParams,
        options: &Options,
        watch: Watch<'_>,
    ) -> Result<Prepared, QueryError> {
        Prepared::planned(query.as_ref(), params, options, watch)
    }

    fn planned(
        query: &[u8],
        params: TimeParams,
        options: &Options,
        watch: Watch<'_>,
    ) -> Result<Prepared, QueryError> {
        let (mut expr, held) = parse_within(query, &options.parse, watch)?;
        if !params.is_instant() && !matches!(expr.ty(), ValueType::Scalar | ValueType::Vector) {
            return Err(QueryError::BadData(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                expr.ty().documented()
            )));
        }
        if let Some(matcher) = &options.enforced {
            enforced::in_selectors(&mut expr, matcher);
        }
        depth::check(&expr)?;
        durations::resolve(&mut expr, &params)?;
        query_times::resolve(&mut expr, &params);
        let rules = options.rules;
        if rules.has(Rule::ConstantFolding) {
            constants::fold(&mut expr);
        }
        watch.check()?;
        invariant::resolve(&mut expr, &params);
        let distributed = match &options.remotes {
            // Names that are still to be removed cannot be sent.
            Some(remotes) if !options.delayed_name_removal => {
                distribute::apply(&mut expr, &params, options, remotes, watch)?
            }
            _ => Default::default(),
        };
        propagate::matchers(&mut expr, rules, &options.dropped_labels);
        if rules.has(Rule::StepInvariants) {
            invariant::wrap(&mut expr);
        }
        let mut prepared = Prepared {
            query: query.to_vec(),
            expr,
            params,
            options: options.clone(),
            selects: Vec::new(),
            remote_parts: distributed.parts,
            store_parts: Vec::new(),
            only: None,
            range: TimeRange::ALL,
            undistributed: distributed.rewrites,
            reads: HashMap::new(),
            stats_only: HashSet::new(),
            unsorted: HashSet::new(),
            info_modifiers: HashMap::new(),
            budget: Arc::clone(watch.budget),
            _held: Arc::new(held),
        };
        selections::collect(&mut prepared, watch.cancelled)?;
        if let Some(matcher) = &options.enforced {
            // Calls of `info` select series that no selector names.
            prepared.selects.iter_mut().for_each(|select| enforced::in_set(&mut select.matchers, matcher));
        }
        if rules.has(Rule::MergeSelects) {
            merge::selects(&mut prepared);
        }
        prepared.range = whole_range(&prepared.selects);
        watch.check()?;
        if rules.has(Rule::TrimSorts) {
            prepared.unsorted = sorts::unneeded(&prepared.expr);
        }
        Ok(prepared)
    }

    /// The selections that the evaluation reads, in the order in which [`Prepared::eval`] takes their series.
    pub fn selects(&self) -> &[SelectSpec] {
        &self.selects
    }

    /// The parts that other queriers evaluate. [`Prepared::eval`] takes their results after the series of the selections: each
    /// has its labels once, and samples at the steps of the part only.
    pub fn remote_parts(&self) -> &[RemotePart] {
        &self.remote_parts
    }

    /// The time range of all selections of the query together, also of those in parts that stores evaluate; all times if there
    /// are none. Deduplication follows replicas from its start on, whichever selector reads them.
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// Whether [`Prepared::keep_only`] has kept one node, which [`Prepared::eval_part`] evaluates.
    pub fn is_part(&self) -> bool {
        self.only.is_some()
    }

    /// Whether a step of the evaluation takes little more than a look at the samples of each series once: a small
    /// expression without subqueries, whose functions of ranges neither sort nor nest.
    pub fn is_light(&self) -> bool {
        let is_light = |node: &Node| match &node.kind {
            NodeKind::Subquery(_) => false,
            NodeKind::Call(call) => !HEAVY_FUNCTIONS.contains(&call.func.name()),
            _ => true,
        };
        let nodes = self.expr.nodes();
        nodes.len() <= LIGHT_NODES_MAX && nodes.iter().all(is_light)
    }

    /// The expression as it will be evaluated.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }
}

fn whole_range(selects: &[SelectSpec]) -> TimeRange {
    let all = selects.iter().map(|select| select.range);
    let both = |a: TimeRange, b: TimeRange| TimeRange { min: a.min.min(b.min), max: a.max.max(b.max) };
    all.reduce(both).unwrap_or(TimeRange::ALL)
}
