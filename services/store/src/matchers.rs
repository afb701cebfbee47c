//! The matchers of a request before work begins: each once, and their patterns within the budget of a request.

use std::collections::HashSet;

use tithon_index::{Matcher, PatternBudget};

use crate::StoreError;

/// Removes repeated matchers; fails when the patterns exceed the budget of one request.
pub(crate) fn normalise(matchers: &mut Vec<Matcher>) -> Result<(), StoreError> {
    let mut budget = PatternBudget::default();
    matchers.iter().try_for_each(|matcher| budget.add(matcher))?;
    if matchers.len() > 1 {
        let mut seen = HashSet::new();
        matchers.retain(|m| seen.insert((m.op(), m.name().to_vec(), m.value().to_vec())));
    }
    Ok(())
}
