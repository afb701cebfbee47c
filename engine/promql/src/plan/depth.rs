//! The depth of a tree, found without recursion, because evaluation recurses.

use crate::ast::Expr;
use crate::error::QueryError;

/// Deeper queries are refused: their evaluation would need too much stack, some kilobytes a level.
const DEPTH_MAX: usize = 30_000;

/// Refuses an expression that is too deep.
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
