//! The times at which a selector is read: the effect of `offset` and `@`.

use crate::ast::AtModifier;

/// Turns the time of a step into the time at which a selector or subquery is read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reference {
    at: Option<i64>,
    offset_ms: i64,
}

impl Reference {
    /// For a selector or subquery with these modifiers.
    pub(crate) fn new(at: AtModifier, offset_ms: i64) -> Reference {
        let at = match at {
            AtModifier::At(t) => Some(t),
            AtModifier::None | AtModifier::Start | AtModifier::End => None,
        };
        Reference { at, offset_ms }
    }

    /// The time read at step time `t`.
    pub(crate) fn at(&self, t: i64) -> i64 {
        self.at.unwrap_or(t).saturating_sub(self.offset_ms)
    }

    /// Whether all steps read the same time.
    pub(crate) fn is_fixed(&self) -> bool {
        self.at.is_some()
    }

    /// The same, but without the offset if the time is fixed: how upstream's `timestamp` reads its selector.
    pub(crate) fn without_offset_if_fixed(self) -> Reference {
        Reference { offset_ms: if self.is_fixed() { 0 } else { self.offset_ms }, ..self }
    }
}
