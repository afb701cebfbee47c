//! Matches the series of two vectors: those with the same signature. Signatures are computed once per series.

use std::collections::HashMap;

use tithon_index::Labels;

use crate::ast::{BinaryOp, Cardinality, VectorMatching};
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Row, is_metadata, label_bytes};
use crate::label_names::NameSet;
use crate::operator::is_arithmetic;

/// The signature of a series: the labels that it must share with series of the other side to match them.
pub(super) fn matching_labels(matching: &VectorMatching, labels: &Labels) -> Labels {
    shared_labels(matching.on, &NameSet::new(&matching.labels), labels)
}

/// The labels that are listed (`on`), or those that are not (`ignoring`).
fn shared_labels(on: bool, listed: &NameSet<'_>, labels: &Labels) -> Labels {
    if on {
        return Labels::from_sorted(labels.iter().filter(|(name, _)| listed.contains(name)));
    }
    Labels::from_sorted(labels.iter().filter(|(name, _)| *name != b"__name__" && !listed.contains(name)))
}

/// The labels of the result of two series; `left` are those of the side that may have many matching series.
pub(super) fn result_labels(
    op: BinaryOp,
    drops_name: bool,
    matching: &VectorMatching,
    left: &Labels,
    right: &Labels,
) -> Labels {
    let drops_metadata = drops_name || is_arithmetic(op);
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

/// Gives signatures numbers, the same for both sides.
#[derive(Debug, Default)]
pub(super) struct Signatures {
    at: HashMap<Labels, usize>,
}

impl Signatures {
    /// The number of the signature of each row.
    pub(crate) fn of(
        &mut self,
        ctx: &Context<'_>,
        matching: &VectorMatching,
        rows: &[Row],
    ) -> Result<Vec<usize>, QueryError> {
        let listed = NameSet::new(&matching.labels);
        let mut numbers = Vec::with_capacity(rows.len());
        for row in rows {
            ctx.check_cancelled()?;
            let next = self.at.len();
            let signature = shared_labels(matching.on, &listed, &row.labels);
            let bytes = label_bytes(&signature);
            let number = *self.at.entry(signature).or_insert(next);
            if number == next {
                ctx.held.add(0, bytes)?;
            }
            numbers.push(number);
        }
        Ok(numbers)
    }

    /// How many different signatures there are.
    pub(crate) fn len(&self) -> usize {
        self.at.len()
    }
}
