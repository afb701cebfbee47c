//! One selection from all sources, read to its end before evaluation starts: chunks stay encoded, and those of local
//! blocks stay where they are mapped.

use std::sync::Arc;

use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use tithon_engine::{SelectedSeries, merge};
use tithon_index::Matcher;

use super::endpoint::Endpoint;
use super::{Fanout, LocalPart, LocalSource, Notes, SeriesRequest, SeriesStream, Source, SourceError};

/// How a request treats its sources.
#[derive(Clone)]
pub(crate) struct Scope {
    /// A failing source costs a warning instead of the request.
    pub(crate) partial: bool,
    /// `storeMatch[]`.
    pub(crate) store_matchers: Vec<Vec<Matcher>>,
    /// Where warnings go.
    pub(crate) notes: Notes,
}

impl Scope {
    /// Turns a failure into a warning where that is allowed.
    pub(crate) fn tolerate(&self, error: SourceError) -> Result<(), SourceError> {
        if !self.partial {
            return Err(error);
        }
        self.notes.push(error.to_string());
        Ok(())
    }
}

/// What the sources have, each in label order.
pub(crate) struct Selection {
    parts: Vec<Vec<SelectedSeries>>,
    limit: usize,
}

impl Fanout {
    /// Asks the sources that may hold what is wanted, all at once, and waits for all they have. What a source sent
    /// before it failed counts, if the failure is tolerated.
    pub(crate) async fn select(
        &self,
        request: SeriesRequest,
        scope: &Scope,
    ) -> Result<Selection, SourceError> {
        let limit = request.limit;
        let calls = self.candidates(&request.matchers, request.range, &scope.store_matchers).into_iter().map(
            |source| {
                let call: BoxFuture<'_, Result<Vec<SelectedSeries>, SourceError>> = match source {
                    Source::Local(local) => drain(Arc::clone(local), request.clone(), scope).boxed(),
                    Source::Remote(endpoint) => receive(endpoint, &request, scope).boxed(),
                };
                call
            },
        );
        let parts = futures::future::try_join_all(calls).await?;
        Ok(Selection { parts, limit })
    }
}

async fn drain(
    local: Arc<dyn LocalSource>,
    request: SeriesRequest,
    scope: &Scope,
) -> Result<Vec<SelectedSeries>, SourceError> {
    let mut parts = local.series(request, scope.partial);
    let mut series = Vec::new();
    while let Some(part) = parts.next().await {
        match part {
            Ok(LocalPart::Series(batch)) => series.extend(batch.series),
            Ok(LocalPart::Warning(warning)) => scope.tolerate(warning.into())?,
            Err(error) => scope.tolerate(error)?,
        }
    }
    Ok(series)
}

async fn receive(
    endpoint: &Endpoint,
    request: &SeriesRequest,
    scope: &Scope,
) -> Result<Vec<SelectedSeries>, SourceError> {
    let answer = endpoint.series(request, scope.partial).await;
    for warning in answer.warnings {
        scope.tolerate(warning.into())?;
    }
    if let Some(error) = answer.error {
        scope.tolerate(error.into())?;
    }
    Ok(answer.series)
}

impl Selection {
    /// The series of all sources in label order, equal label sets joined. To be read on the CPU pool.
    pub(crate) fn into_stream(self) -> SeriesStream {
        let limit = if self.limit == 0 { usize::MAX } else { self.limit };
        Box::new(merge(self.parts.into_iter().map(|part| part.into_iter().map(Ok))).take(limit))
    }
}
