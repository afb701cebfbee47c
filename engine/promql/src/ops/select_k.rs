//! `topk`, `bottomk`, `limitk` and `limit_ratio`: some elements of each group, unchanged.
//!
//! Upstream: `aggregationK` in `promql/engine.go`.

mod best;
mod check;
mod first;
mod heap;
mod kept;
mod ratio;
#[cfg(test)]
mod tests;

pub(crate) use best::Best;
pub(crate) use first::First;
pub(crate) use ratio::choose;
