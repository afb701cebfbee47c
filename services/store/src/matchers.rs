//! Prepares the matchers of a request: removes duplicates and checks the budget of their patterns.

use std::collections::HashSet;

use tithon_index::{Matcher, PatternBudget};

use crate::StoreError;

/// Removes repeated matchers. Fails when the patterns exceed the budget of one request.
pub(crate) fn normalise(matchers: &mut Vec<Matcher>) -> Result<(), StoreError> {
    let mut budget = PatternBudget::default();
    matchers.iter().try_for_each(|matcher| budget.add(matcher))?;
    if matchers.len() > 1 {
        let mut seen = HashSet::new();
        matchers.retain(|m| seen.insert((m.op(), m.name().to_vec(), m.value().to_vec())));
    }
    Ok(())
}
