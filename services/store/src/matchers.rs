//! The matchers of a request before work begins: each once, and their patterns within the budget of a request.

use std::collections::HashSet;

use tithon_index::{Matcher, PatternBudget};
use tithon_proto::matchers_from_wire;
use tithon_proto::thanos::LabelMatcher;

use crate::StoreError;

/// Matchers out of a request; `place` says in errors which part of it they are. Takes long for many patterns: to be called
/// on the CPU pool.
pub(crate) fn from_wire(wire: &[LabelMatcher], place: &'static str) -> Result<Vec<Matcher>, StoreError> {
    let mut budget = PatternBudget::default();
    let mut seen = HashSet::new();
    let mut matchers = Vec::new();
    for one in wire.iter().filter(|one| seen.insert((one.r#type, &one.name, &one.value))) {
        let made = matchers_from_wire(std::slice::from_ref(one));
        let made = made.map_err(|source| StoreError::Request { place, source })?;
        made.iter().try_for_each(|matcher| budget.add(matcher))?;
        matchers.extend(made);
    }
    Ok(matchers)
}

/// Takes out matchers that are there twice; fails when the patterns are more than a request may have.
pub(crate) fn normalise(matchers: &mut Vec<Matcher>) -> Result<(), StoreError> {
    let mut budget = PatternBudget::default();
    matchers.iter().try_for_each(|matcher| budget.add(matcher))?;
    if matchers.len() > 1 {
        let mut seen = HashSet::new();
        matchers.retain(|m| seen.insert((m.op(), m.name().to_vec(), m.value().to_vec())));
    }
    Ok(())
}
