//! Arithmetic and comparison of floats column by column, for operands whose series match the same series at all steps.
//!
//! `vectors.rs` handles all cases step by step; the results are the same to the bit.

use std::collections::{HashMap, HashSet};

use tithon_index::Labels;

use super::matching::{Signatures, result_labels};
use crate::ast::{Binary, BinaryOp, Cardinality};
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Column, Frame, Row, label_bytes};
use crate::operator::{for_operator, is_arithmetic};

/// Evaluates the operator. Returns the operands unchanged in an inner `Err` when there are histograms or fill values, when a
/// series may match several, or when two results may have equal labels. The result is in the order of the "many" side.
pub(super) fn eval(
    ctx: &Context<'_>,
    b: &Binary,
    lhs: Frame,
    rhs: Frame,
) -> Result<Result<Frame, (Frame, Frame)>, QueryError> {
    let matching = b.matching.clone().unwrap_or_default();
    let fills = matching.fill_left.is_some() || matching.fill_right.is_some();
    let has_histograms = |frame: &Frame| frame.rows.iter().any(|row| row.column.has_histograms());
    if !is_of_floats(b.op) || fills || has_histograms(&lhs) || has_histograms(&rhs) {
        return Ok(Err((lhs, rhs)));
    }
    let swapped = matching.cardinality == Cardinality::OneToMany;
    let one_to_one = matching.cardinality == Cardinality::OneToOne;
    let (many, one) = if swapped { (&rhs, &lhs) } else { (&lhs, &rhs) };
    let mut signatures = Signatures::default();
    let one_sigs = signatures.of(ctx, &matching, &one.rows)?;
    let many_sigs = signatures.of(ctx, &matching, &many.rows)?;
    let Some(partner) = unique(&one_sigs, signatures.len()) else { return Ok(Err((lhs, rhs))) };
    if one_to_one && unique(&many_sigs, signatures.len()).is_none() {
        return Ok(Err((lhs, rhs)));
    }
    let drops_name = b.return_bool && !ctx.options.delayed_name_removal;
    let mut seen = HashSet::with_capacity(many.rows.len());
    let mut pairs: Vec<(usize, usize, Labels)> = Vec::with_capacity(many.rows.len());
    for (i, (row, signature)) in many.rows.iter().zip(&many_sigs).enumerate() {
        ctx.check_cancelled()?;
        let Some(j) = partner.get(signature) else { continue };
        let labels = result_labels(b.op, drops_name, &matching, &row.labels, &one.rows[*j].labels);
        ctx.held.add(0, label_bytes(&labels))?;
        if !seen.insert(labels.clone()) {
            return Ok(Err((lhs, rhs)));
        }
        pairs.push((i, *j, labels));
    }
    let (mut many, one) = if swapped { (rhs, lhs) } else { (lhs, rhs) };
    let mut rows = Vec::with_capacity(pairs.len());
    for (i, j, labels) in pairs {
        ctx.check_cancelled()?;
        let mut column = std::mem::take(&mut many.rows[i].column);
        combine(b, &mut column, &one.rows[j].column, swapped);
        if !column.is_empty() {
            rows.push(Row { labels, drop_name: b.return_bool, column });
        }
    }
    Ok(Ok(Frame { rows }))
}

fn is_of_floats(op: BinaryOp) -> bool {
    is_arithmetic(op) || op.is_comparison()
}

/// The row of each signature; `None` if two rows have the same.
fn unique(signatures: &[usize], n_signatures: usize) -> Option<HashMap<usize, usize>> {
    let mut row_of = HashMap::with_capacity(signatures.len().min(n_signatures));
    for (row, signature) in signatures.iter().enumerate() {
        if row_of.insert(*signature, row).is_some() {
            return None;
        }
    }
    Some(row_of)
}

/// Combines the floats of two columns into the first, which is the right operand if `swapped`.
fn combine(b: &Binary, column: &mut Column, other: &Column, swapped: bool) {
    macro_rules! apply {
        (arithmetic, $f:expr) => {{
            let f = |l: f64, r: f64| -> f64 { ($f)(l, r) };
            if swapped { column.zip_floats(other, |v, o| f(o, v)) } else { column.zip_floats(other, f) }
        }};
        (comparison, $f:expr) => {{
            let holds = |l: f64, r: f64| -> bool { ($f)(l, r) };
            let bit = |l: f64, r: f64| f64::from(u8::from(holds(l, r)));
            match (b.return_bool, swapped) {
                (true, false) => column.zip_floats(other, bit),
                (true, true) => column.zip_floats(other, |v, o| bit(o, v)),
                (false, false) => column.filter_floats(other, holds),
                (false, true) => {
                    // A comparison keeps its left operand.
                    column.filter_floats(other, |v, o| holds(o, v));
                    column.zip_floats(other, |_, o| o);
                }
            }
        }};
    }
    for_operator!(b.op, apply, {});
}
