//! Label names and values of all sources.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};

use super::{Fanout, LabelsRequest, Scope, Source, SourceError, SourceLabels};

impl Fanout {
    /// Asks every source that may know, all at once; the result ascends and is not cut to the limit, of which one more
    /// is asked for, so that the caller sees whether there was more.
    pub(crate) async fn labels(
        &self,
        request: &LabelsRequest,
        scope: &Scope,
    ) -> Result<BTreeSet<Vec<u8>>, SourceError> {
        let limit = if request.limit == 0 { 0 } else { request.limit.saturating_add(1) };
        let request = LabelsRequest { limit, ..request.clone() };
        let calls = self.candidates(&request.matchers, request.range, &scope.store_matchers).into_iter().map(
            |source| {
                let call: BoxFuture<'_, Result<SourceLabels, SourceError>> = match source {
                    Source::Local(local) => Arc::clone(local).labels(request.clone(), scope.partial),
                    Source::Remote(endpoint) => endpoint
                        .labels(&request, scope.partial)
                        .map(|answer| answer.map_err(Into::into))
                        .boxed(),
                };
                call
            },
        );
        let mut found = BTreeSet::new();
        for answer in futures::future::join_all(calls).await {
            match answer {
                Ok(answer) => {
                    found.extend(answer.found);
                    for warning in answer.warnings {
                        scope.tolerate(warning.into())?;
                    }
                }
                Err(error) => scope.tolerate(error)?,
            }
        }
        Ok(found)
    }
}
