//! A limit on the depth of a tree, since evaluation recurses.

use crate::ast::Expr;
use crate::error::QueryError;

/// Deeper queries are refused: evaluation takes some kilobytes of stack for each level.
const DEPTH_MAX: usize = 30_000;

/// Refuses an expression that is too deep. Does not recurse itself.
pub(super) fn check(expr: &Expr) -> Result<(), QueryError> {
    let mut pending = vec![(expr.root(), 1)];
    let mut deepest = 0;
    while let Some((id, depth)) = pending.pop() {
        deepest = deepest.max(depth);
        expr.for_each_child(id, |child| pending.push((child, depth + 1)));
    }
    if deepest > DEPTH_MAX {
        return Err(QueryError::BadData(format!("query nests {deepest} levels, more than {DEPTH_MAX}")));
    }
    Ok(())
}
