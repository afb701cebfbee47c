//! Assigns the series of an aggregation to groups.

use std::collections::HashMap;

use tithon_index::Labels;

use crate::frame::label_bytes;
use crate::label_names::NameSet;

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

    /// The number of the group that a series belongs to; a new group gets the next number.
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

    /// The memory that the labels of the newest group take, bytes.
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
