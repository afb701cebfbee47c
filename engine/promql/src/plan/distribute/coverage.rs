//! Which queriers evaluate an expression at which steps, so that each step of each partition is evaluated by one that has all
//! its data.
//!
//! Upstream: `distributeQuery` and `getStartTimeForEngine` in promql-engine `logicalplan/distribute.go`. Other than there, a
//! querier whose data ends before that of others is not asked for the steps after that end.

use std::collections::HashMap;

use tithon_index::Matcher;

use super::engines::EngineSet;
use super::facts::may_match;
use super::window::{Window, of_selectors};
use crate::ast::{Expr, NodeId, NodeKind};
use crate::remotes::{Holder, Remotes};

/// Evenly spaced steps, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grid {
    pub(super) start: i64,
    /// At least 1.
    pub(super) step: i64,
    /// At least 1.
    pub(super) len: i64,
}

impl Grid {
    /// The time of a step.
    pub(super) fn time(&self, i: i64) -> i64 {
        self.start.saturating_add(i.saturating_mul(self.step))
    }

    pub(super) fn last(&self) -> i64 {
        self.time(self.len - 1)
    }

    /// The first step not before `t`; the number of steps if there is none.
    fn first_from(&self, t: i64) -> i64 {
        let distance = i128::from(t) - i128::from(self.start);
        let steps = distance.div_euclid(i128::from(self.step))
            + i128::from(distance.rem_euclid(i128::from(self.step)) != 0);
        steps.clamp(0, i128::from(self.len)) as i64
    }
}

/// A querier with the first and the last step that it evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) engine: usize,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// The selectors of an expression with the times that they read.
pub(super) struct Needs<'a> {
    selectors: Vec<(&'a [Matcher], Window)>,
}

impl<'a> Needs<'a> {
    /// Those of the selectors below a node.
    pub(super) fn of(expr: &'a Expr, id: NodeId, lookback: i64) -> Needs<'a> {
        let windows: HashMap<NodeId, Window> = of_selectors(expr, id, lookback);
        let selector = |(id, window): (&NodeId, &Window)| match &expr[*id].kind {
            NodeKind::Vector(s) => Some((&s.matchers[..], *window)),
            _ => None,
        };
        Needs { selectors: windows.iter().filter_map(selector).collect() }
    }

    /// Whether a holder may have samples that are read at these steps.
    fn concern(&self, holder: &Holder, grid: &Grid) -> bool {
        self.selectors.iter().any(|(matchers, window)| {
            let (first, last) = window.over(grid.start, grid.last());
            holder.from <= last
                && holder.to > first
                && holder.label_sets.iter().any(|labels| may_match(matchers, labels))
        })
    }

    /// How far before and after a step samples are read.
    fn around(&self) -> (i64, i64) {
        let moving = self.selectors.iter().filter_map(|(_, window)| match window {
            Window::Moving { back, ahead } => Some((*back, *ahead)),
            Window::Fixed { .. } => None,
        });
        moving.reduce(|(a, b), (c, d)| (a.max(c), b.max(d))).unwrap_or((i64::MIN, i64::MIN))
    }

    /// Whether all samples at fixed times lie from `from` on and before `to`.
    fn are_fixed_within(&self, from: i64, to: i64) -> bool {
        self.selectors.iter().all(|(_, window)| match window {
            Window::Moving { .. } => true,
            Window::Fixed { first, last } => *first >= from && *last < to,
        })
    }
}

/// A bound of the steps of a querier, as its partitions give it.
#[derive(Clone, Copy, Default)]
struct Bound {
    /// The narrowest bound; `None` if there is none.
    at: Option<i64>,
    /// Whether a partition needs all steps.
    needs_all: bool,
}

impl Bound {
    fn add(&mut self, limit: Option<i64>, narrower: fn(i64, i64) -> i64) {
        match limit {
            None => self.needs_all = true,
            Some(limit) => self.at = Some(self.at.map_or(limit, |at| narrower(at, limit))),
        }
    }

    /// The bound, which excludes no step of `whole` if a partition needs all of them.
    fn resolve(self, whole: i64) -> Option<i64> {
        let at = self.at.unwrap_or(whole);
        (at == whole || !self.needs_all).then_some(at)
    }
}

/// The shares of those `engines` that have something to evaluate, ascending by the time of their data: where two of them
/// evaluate the same step of a partition, both have all its data. `None` if the steps cannot be shared like this.
pub(super) fn shares(
    needs: &Needs<'_>,
    remotes: &Remotes,
    engines: &EngineSet,
    grid: &Grid,
) -> Option<Vec<Share>> {
    let n = remotes.engines().len();
    let mut bounds = vec![(Bound::default(), Bound::default()); n];
    let mut earliest = vec![i64::MAX; n];
    let mut shared = Vec::new();
    for partition in remotes.partitions() {
        // A holder of data for one operand alone yields nothing, but others may lack that data.
        let concerned = |holder: &&Holder| needs.concern(holder, grid);
        let holders: Vec<&Holder> = partition.holders.iter().filter(concerned).collect();
        if !holders.iter().any(|holder| engines.has(holder.engine)) {
            continue;
        }
        for holder in &holders {
            let (first, last) = limits(holder, &holders, needs, grid)?;
            let (starts, ends) = &mut bounds[holder.engine];
            starts.add(first, i64::max);
            ends.add(last, i64::min);
            earliest[holder.engine] = earliest[holder.engine].min(holder.from);
        }
        if holders.len() > 1 {
            shared.push(holders);
        }
    }
    let mut shares = Vec::new();
    for engine in engines.iter().filter(|engine| earliest[*engine] < i64::MAX) {
        let (starts, ends) = bounds[engine];
        let (first, last) = (starts.resolve(0)?, ends.resolve(grid.len - 1)?);
        shares.push(Share { engine, first, last });
    }
    shares.retain(|share| share.first <= share.last);
    shared.iter().all(|holders| are_covered(holders, &shares, grid)).then_some(())?;
    shares.sort_by_key(|share| (earliest[share.engine], share.engine));
    Some(shares)
}

/// The first and the last step at which a holder has all data of a partition; a bound is `None` where no other holder has older
/// or newer data, so that there is none. `None` as a whole if the holders cannot stand in for each other.
fn limits(
    holder: &Holder,
    all: &[&Holder],
    needs: &Needs<'_>,
    grid: &Grid,
) -> Option<(Option<i64>, Option<i64>)> {
    // Data of other sources is something that this holder lacks at any time.
    if all.iter().any(|other| other.label_sets != holder.label_sets) {
        return None;
    }
    let is_older = all.iter().any(|other| other.from < holder.from);
    let is_newer = all.iter().any(|other| other.to > holder.to);
    let (from, to) =
        (if is_older { holder.safe } else { i64::MIN }, if is_newer { holder.to } else { i64::MAX });
    if !needs.are_fixed_within(from, to) {
        return None;
    }
    let (back, ahead) = needs.around();
    let first = is_older.then(|| grid.first_from(from.saturating_add(back)));
    let last = is_newer.then(|| grid.first_from(to.saturating_sub(ahead)) - 1);
    Some((first, last))
}

/// Whether each step is evaluated by one of the holders.
fn are_covered(holders: &[&Holder], shares: &[Share], grid: &Grid) -> bool {
    let is_holder = |share: &&Share| holders.iter().any(|holder| holder.engine == share.engine);
    let mut own: Vec<&Share> = shares.iter().filter(is_holder).collect();
    own.sort_by_key(|share| share.first);
    let covered =
        own.iter().fold(0, |next, share| if share.first <= next { next.max(share.last + 1) } else { next });
    covered >= grid.len
}
