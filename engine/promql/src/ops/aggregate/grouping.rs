//! Which group a series belongs to, and the parameter of an aggregation.

use std::collections::HashMap;

use tithon_index::Labels;

use crate::ast::NodeId;
use crate::error::QueryError;
use crate::eval::Evaluator;
use crate::frame::{Steps, label_bytes};
use crate::ops::math::{go_max, go_min};
use crate::ops::names::NameSet;

/// Numbers groups in order of appearance.
#[derive(Debug)]
pub(crate) struct Grouper<'a> {
    names: NameSet<'a>,
    without: bool,
    at: HashMap<Labels, usize>,
    bytes_of_last: u64,
}

impl<'a> Grouper<'a> {
    /// Groups by, or without, these labels.
    pub(crate) fn new(names: &'a [Box<[u8]>], without: bool) -> Grouper<'a> {
        Grouper { names: NameSet::new(names), without, at: HashMap::new(), bytes_of_last: 0 }
    }

    /// The labels of the group that a series belongs to.
    pub(crate) fn labels(&self, labels: &Labels) -> Labels {
        let listed = |name: &[u8]| self.names.contains(name);
        let kept = |name: &[u8]| {
            if self.without { name != b"__name__" && !listed(name) } else { listed(name) }
        };
        if !self.without && self.names.is_empty() {
            return Labels::default();
        }
        Labels::from_sorted(labels.iter().filter(|(name, _)| kept(name)))
    }

    /// The number of the series' group; new groups get the next number.
    pub(crate) fn index(&mut self, labels: &Labels) -> usize {
        let group = self.labels(labels);
        let next = self.at.len();
        let bytes = label_bytes(&group) + size_of::<usize>() as u64;
        let at = *self.at.entry(group).or_insert(next);
        if at == next {
            self.bytes_of_last = bytes;
        }
        at
    }

    /// What the labels of the newest group hold, bytes.
    pub(crate) fn bytes_of_last(&self) -> u64 {
        self.bytes_of_last
    }

    /// The labels of all groups by number.
    pub(crate) fn into_labels(self) -> Vec<Labels> {
        let mut labels = vec![Labels::default(); self.at.len()];
        for (group, at) in self.at {
            labels[at] = group;
        }
        labels
    }
}

/// The parameter of an aggregation at each step. Upstream: `fParams` in `promql/value.go`.
#[derive(Debug)]
pub(crate) struct Param {
    /// The value at each step.
    pub(crate) values: Vec<f64>,
    /// The largest, NaN if any is NaN.
    pub(crate) max: f64,
    /// The smallest, NaN if any is NaN.
    pub(crate) min: f64,
    /// Whether any is NaN.
    pub(crate) has_nan: bool,
}

impl Param {
    /// Evaluates the parameter, if there is one.
    pub(crate) fn new(ev: &Evaluator<'_>, id: Option<NodeId>, steps: &Steps) -> Result<Param, QueryError> {
        let values = match id {
            Some(id) => ev.scalar(id, steps)?,
            None => vec![0.0; steps.len],
        };
        Ok(Param {
            max: values.iter().copied().fold(-f64::MAX, go_max),
            min: values.iter().copied().fold(f64::MAX, go_min),
            has_nan: values.iter().any(|v| v.is_nan()),
            values,
        })
    }
}
