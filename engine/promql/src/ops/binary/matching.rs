//! Which series of two vectors belong together: join signatures, found once per series.

use std::collections::HashMap;

use tithon_index::Labels;

use super::changes_schema;
use crate::ast::{BinaryOp, Cardinality, VectorMatching};
use crate::frame::{Row, is_metadata};

/// The labels that two series must share to match.
pub(super) fn matching_labels(matching: &VectorMatching, labels: &Labels) -> Labels {
    let listed = |name: &[u8]| matching.labels.iter().any(|n| n.as_ref() == name);
    if matching.on {
        return Labels::from_sorted(labels.iter().filter(|(name, _)| listed(name)));
    }
    Labels::from_sorted(labels.iter().filter(|(name, _)| *name != b"__name__" && !listed(name)))
}

/// The labels of the result of a pair; `left` is of the side with many series.
pub(super) fn result_labels(
    op: BinaryOp,
    drops_name: bool,
    matching: &VectorMatching,
    left: &Labels,
    right: &Labels,
) -> Labels {
    let drops_metadata = drops_name || changes_schema(op);
    let one_to_one = matching.cardinality == Cardinality::OneToOne;
    let listed = |name: &[u8]| matching.labels.iter().any(|n| n.as_ref() == name);
    let keeps =
        |name: &[u8]| (!drops_metadata || !is_metadata(name)) && (!one_to_one || listed(name) == matching.on);
    let kept = match left.iter().all(|(name, _)| keeps(name)) {
        true => left.clone(),
        false => Labels::from_sorted(left.iter().filter(|(name, _)| keeps(name))),
    };
    if matching.include.is_empty() {
        return kept;
    }
    let mut builder = kept.to_builder();
    for name in &matching.include {
        builder.set(name, right.get(name).unwrap_or_default());
    }
    builder.finish()
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
