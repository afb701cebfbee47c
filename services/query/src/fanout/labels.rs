//! Label names and values of all sources.

use std::collections::BTreeSet;
use std::sync::Arc;

use tithon_runtime::{Cpu, Priority};

use super::{Fanout, LabelsRequest, LocalSource, Scope, Source, SourceError};

impl Fanout {
    /// Asks every source that may know; the result ascends and is not yet cut to the limit, of which one more is asked
    /// for, so that the caller sees whether there was more.
    pub(crate) async fn labels(
        &self,
        request: &LabelsRequest,
        scope: &Scope,
        cpu: &Cpu,
    ) -> Result<BTreeSet<Vec<u8>>, SourceError> {
        let request = LabelsRequest { limit: hint(request.limit), ..request.clone() };
        let mut locals: Vec<Arc<dyn LocalSource>> = Vec::new();
        let mut calls = Vec::new();
        for source in self.candidates(&request.matchers, request.range, &scope.store_matchers) {
            match source {
                Source::Local(local) => locals.push(Arc::clone(local)),
                Source::Remote(endpoint) => calls.push(endpoint.labels(&request, scope.partial)),
            }
        }
        let mut found = BTreeSet::new();
        for answer in futures::future::join_all(calls).await {
            match answer {
                Ok((values, warnings)) => {
                    found.extend(values);
                    for warning in warnings {
                        scope.tolerate(warning.into())?;
                    }
                }
                Err(error) => scope.tolerate(error.into())?,
            }
        }
        if locals.is_empty() {
            return Ok(found);
        }
        let ask = move || locals.iter().map(|local| local.labels(&request)).collect::<Vec<_>>();
        for answer in cpu.run(Priority::Query, ask).await? {
            match answer {
                Ok(values) => found.extend(values),
                Err(error) => scope.tolerate(error)?,
            }
        }
        Ok(found)
    }
}

/// What to ask of a source so that truncation can be told.
pub(crate) fn hint(limit: usize) -> usize {
    if limit == 0 { 0 } else { limit.saturating_add(1) }
}
