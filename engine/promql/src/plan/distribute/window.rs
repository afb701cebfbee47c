//! The times of the samples that selectors read.

use std::collections::HashMap;

use crate::ast::{AtModifier, Expr, MatrixSelector, NodeId, NodeKind, Subquery, VectorSelector};

/// Times that a node reads when it is evaluated at steps: relative to each step, or fixed by `@`. In milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Window {
    /// From `back` before a step to `ahead` after it; each may be negative.
    Moving { back: i64, ahead: i64 },
    /// From `first` to `last`.
    Fixed { first: i64, last: i64 },
}

impl Window {
    /// The window of a node that is evaluated at the steps themselves.
    pub(super) const STEP: Window = Window::Moving { back: 0, ahead: 0 };

    /// The window of what is read at this one with `@` and `offset`, for so long before and after.
    fn shifted(self, at: AtModifier, offset: i64, before: i64, after: i64) -> Window {
        let here = match at {
            AtModifier::At(t) => Window::Fixed { first: t, last: t },
            AtModifier::None | AtModifier::Start | AtModifier::End => self,
        };
        match here {
            Window::Moving { back, ahead } => Window::Moving {
                back: back.saturating_add(offset).saturating_add(before),
                ahead: ahead.saturating_sub(offset).saturating_add(after),
            },
            Window::Fixed { first, last } => Window::Fixed {
                first: first.saturating_sub(offset).saturating_sub(before),
                last: last.saturating_sub(offset).saturating_add(after),
            },
        }
    }

    /// All times of the window of steps from `first` to `last`.
    pub(super) fn over(self, first: i64, last: i64) -> (i64, i64) {
        match self {
            Window::Moving { back, ahead } => (first.saturating_sub(back), last.saturating_add(ahead)),
            Window::Fixed { first, last } => (first, last),
        }
    }
}

/// The windows of the selectors below a node, which is evaluated at the steps. Parameters of aggregations count too.
pub(super) fn of_selectors(expr: &Expr, id: NodeId, lookback: i64) -> HashMap<NodeId, Window> {
    let mut windows = HashMap::new();
    let mut pending = vec![(id, Window::STEP)];
    while let Some((id, window)) = pending.pop() {
        match &expr[id].kind {
            NodeKind::Vector(s) => {
                windows.insert(id, of_selector(window, s, lookback, lookback));
            }
            NodeKind::Matrix(MatrixSelector { selector, range_ms, .. }) => {
                if let NodeKind::Vector(s) = &expr[*selector].kind {
                    let more = if s.anchored || s.smoothed { lookback } else { 0 };
                    let before = range_ms.saturating_add(more);
                    windows.insert(*selector, of_selector(window, s, before, lookback));
                }
            }
            NodeKind::Subquery(s) => pending.push((s.expr, of_subquery(window, s))),
            _ => expr.for_each_child(id, |child| pending.push((child, window))),
        }
    }
    windows
}

fn of_selector(window: Window, s: &VectorSelector, before: i64, lookback: i64) -> Window {
    window.shifted(s.at, s.offset_ms, before, if s.smoothed { lookback } else { 0 })
}

/// The window of the inner expression of a subquery.
pub(super) fn of_subquery(window: Window, s: &Subquery) -> Window {
    window.shifted(s.at, s.offset_ms, s.range_ms, 0)
}
