//! Merges label names and values of all stores.

use std::collections::BTreeSet;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tithon_engine::LabelsRequest;
use tithon_index::Texts;
use tithon_promql::Charge;

use super::{Candidates, Fanout, Scope, SourceError};
use crate::job::Job;

/// The distinct names or values found, and the charge for their memory.
pub(crate) struct Found {
    limit: usize,
    texts: BTreeSet<Vec<u8>>,
    charge: Charge,
}

impl Found {
    /// An empty set. Keeps the first `limit` texts and one more, which shows that there are more; 0 is no limit.
    pub(crate) fn new(limit: usize, job: &Job) -> Found {
        let limit = if limit == 0 { usize::MAX } else { limit };
        Found { limit, texts: BTreeSet::new(), charge: job.charge() }
    }

    fn add(&mut self, texts: &Texts) -> Result<(), SourceError> {
        /// Estimated memory of an entry besides its text.
        const OVERHEAD: u64 = 48;
        for text in texts.iter() {
            let bytes = text.len() as u64 + OVERHEAD;
            if self.texts.insert(text.into()) {
                if self.texts.len() > self.limit.saturating_add(1) {
                    self.texts.pop_last();
                } else {
                    self.charge.grow(bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Whether more than `limit` texts were found.
    pub(crate) fn is_truncated(&self) -> bool {
        self.texts.len() > self.limit
    }

    /// The first `limit` texts, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Vec<u8>> {
        self.texts.iter().take(self.limit)
    }
}

impl Fanout {
    /// Asks all stores that may have matching series at once, and adds their answers. Asks for one more than the limit,
    /// so that the caller sees whether there are more.
    pub(crate) async fn labels(
        &self,
        request: &LabelsRequest,
        scope: &Scope,
        found: &mut Found,
    ) -> Result<(), SourceError> {
        let limit = if request.limit == 0 { 0 } else { request.limit.saturating_add(1) };
        let (partial_response, tenant) = (scope.partial, scope.tenant.clone());
        let candidates = self.candidates(&request.matchers, request.range, &scope.store_matchers)?;
        let Some(Candidates { stores, matchers }) = candidates else { return Ok(()) };
        let request = LabelsRequest { limit, partial_response, tenant, matchers, ..request.clone() };
        let mut calls: FuturesUnordered<_> =
            stores.iter().map(|store| store.labels(request.clone())).collect();
        while let Some(answer) = calls.next().await {
            match answer {
                Ok(answer) => {
                    found.add(&answer.found)?;
                    for warning in answer.warnings {
                        scope.tolerate(warning.into())?;
                    }
                }
                Err(error) => scope.tolerate(error.into())?,
            }
        }
        Ok(())
    }
}
