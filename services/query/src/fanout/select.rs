//! One selection from all sources: endpoints are read before evaluation starts, local blocks while it runs.

use std::sync::Arc;

use tithon_engine::{SelectedSeries, merge};
use tithon_index::Matcher;

use super::{Fanout, LocalSource, Notes, SeriesRequest, SeriesStream, Source, SourceError};

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

/// A selection under way: what endpoints sent, and local sources still to be asked.
pub(crate) struct Selection {
    received: Vec<Vec<SelectedSeries>>,
    locals: Vec<Arc<dyn LocalSource>>,
    request: SeriesRequest,
    scope: Scope,
}

impl Fanout {
    /// Asks the endpoints that may hold what is wanted, all at once, and waits for all they have.
    pub(crate) async fn select(
        &self,
        request: SeriesRequest,
        scope: &Scope,
    ) -> Result<Selection, SourceError> {
        let mut locals = Vec::new();
        let mut calls = Vec::new();
        for source in self.candidates(&request.matchers, request.range, &scope.store_matchers) {
            match source {
                Source::Local(local) => locals.push(Arc::clone(local)),
                Source::Remote(endpoint) => calls.push(endpoint.series(&request, scope.partial)),
            }
        }
        let mut received = Vec::with_capacity(calls.len());
        for answer in futures::future::join_all(calls).await {
            for warning in answer.warnings {
                scope.tolerate(warning.into())?;
            }
            if let Some(error) = answer.error {
                scope.tolerate(error.into())?;
            }
            received.push(answer.series);
        }
        Ok(Selection { received, locals, request, scope: scope.clone() })
    }
}

impl Selection {
    /// The series of all sources in label order, equal label sets joined. To be called and read on the CPU pool.
    pub(crate) fn into_stream(self) -> Result<SeriesStream, SourceError> {
        let mut streams: Vec<SeriesStream> = Vec::with_capacity(self.received.len() + self.locals.len());
        for series in self.received {
            streams.push(Box::new(series.into_iter().map(Ok)));
        }
        for local in self.locals {
            match local.series(&self.request) {
                Ok(inner) => streams.push(Box::new(Tolerant { inner, scope: self.scope.clone() })),
                Err(error) => self.scope.tolerate(error)?,
            }
        }
        let limit = if self.request.limit == 0 { usize::MAX } else { self.request.limit };
        Ok(Box::new(merge(streams).take(limit)))
    }
}

/// A stream whose errors may be no more than warnings: what is behind one still counts.
struct Tolerant {
    inner: SeriesStream,
    scope: Scope,
}

impl Iterator for Tolerant {
    type Item = Result<SelectedSeries, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.inner.next()? {
                Ok(series) => return Some(Ok(series)),
                Err(error) => {
                    if let Err(error) = self.scope.tolerate(error) {
                        return Some(Err(error));
                    }
                }
            }
        }
    }
}
