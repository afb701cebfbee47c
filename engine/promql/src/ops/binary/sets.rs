//! `and`, `or`, `unless`, by bitmaps of the steps at which the series of a signature have samples.

use super::matching::Signatures;
use crate::ast::{Binary, BinaryOp};
use crate::context::Context;
use crate::error::QueryError;
use crate::frame::{Frame, Row, merge};

/// Evaluates a set operator.
pub(super) fn eval(
    ctx: &Context<'_>,
    b: &Binary,
    mut lhs: Frame,
    mut rhs: Frame,
) -> Result<Frame, QueryError> {
    let matching = b.matching.clone().unwrap_or_default();
    let mut signatures = Signatures::default();
    let left = signatures.of(ctx, &matching, &lhs.rows)?;
    let right = signatures.of(ctx, &matching, &rhs.rows)?;
    match b.op {
        BinaryOp::Or => {
            let present = presence(&lhs.rows, &left, signatures.len());
            mask(&mut rhs.rows, &right, &present, false);
            lhs.rows.append(&mut rhs.rows);
        }
        op => {
            let present = presence(&rhs.rows, &right, signatures.len());
            mask(&mut lhs.rows, &left, &present, op == BinaryOp::And);
        }
    }
    lhs.rows.retain(|row| !row.column.is_empty());
    merge::equal_labels(lhs)
}

/// For each signature the steps at which one of its rows has a sample; empty for signatures without rows.
fn presence(rows: &[Row], signatures: &[usize], n_signatures: usize) -> Vec<Vec<u64>> {
    let mut present: Vec<Vec<u64>> = vec![Vec::new(); n_signatures];
    for (row, signature) in rows.iter().zip(signatures) {
        let bits = row.column.presence();
        let held = &mut present[*signature];
        if held.is_empty() {
            *held = bits;
        } else {
            held.iter_mut().zip(bits).for_each(|(held, bits)| *held |= bits);
        }
    }
    present
}

/// Keeps the samples at the steps at which the row's signature is present (`keep`), or at the others.
fn mask(rows: &mut [Row], signatures: &[usize], present: &[Vec<u64>], keep: bool) {
    for (row, signature) in rows.iter_mut().zip(signatures) {
        row.column.mask(&present[*signature], keep);
    }
}
