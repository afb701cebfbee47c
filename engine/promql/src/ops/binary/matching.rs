//! Which series of two vectors belong together: join signatures, found once per series.

use std::collections::HashMap;

use tithon_index::Labels;

use crate::ast::VectorMatching;
use crate::frame::Row;

/// The labels that two series must share to match.
pub(super) fn matching_labels(matching: &VectorMatching, labels: &Labels) -> Labels {
    let listed = |name: &[u8]| matching.labels.iter().any(|n| n.as_ref() == name);
    if matching.on {
        return Labels::from_sorted(labels.iter().filter(|(name, _)| listed(name)));
    }
    Labels::from_sorted(labels.iter().filter(|(name, _)| *name != b"__name__" && !listed(name)))
}

/// Numbers signatures over both sides.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    at: HashMap<Labels, usize>,
}

impl Signatures {
    /// The numbers of the rows' signatures.
    pub(crate) fn of(&mut self, matching: &VectorMatching, rows: &[Row]) -> Vec<usize> {
        rows.iter()
            .map(|row| {
                let next = self.at.len();
                *self.at.entry(matching_labels(matching, &row.labels)).or_insert(next)
            })
            .collect()
    }

    /// How many different ones there are.
    pub(crate) fn len(&self) -> usize {
        self.at.len()
    }
}
