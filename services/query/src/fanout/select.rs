//! One selection from all sources, read to its end before evaluation starts: chunks stay encoded, and those of local
//! blocks stay where they are mapped.

use std::sync::Arc;

use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use tithon_chunks::{EncodedChunk, Samples, TimeRange, decode_samples};
use tithon_engine::dedup::{self, ReadError, Resolved};
use tithon_engine::{SelectedSeries, merge};
use tithon_index::Matcher;
use tithon_promql::Charge;

use super::endpoint::Endpoint;
use super::{
    Fanout, Lease, LocalPart, LocalSource, Notes, SeriesRequest, SeriesStream, Source, SourceError,
    candidates,
};
use crate::job::Job;

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

/// What the sources have, each in label order, and the charge for it.
pub(crate) struct Selection {
    parts: Vec<Part>,
    charge: Charge,
    limit: usize,
}

/// What one source has.
struct Part {
    /// The source, for people.
    source: String,
    series: Vec<SelectedSeries>,
    /// Of a local source: where its chunks lie.
    lease: Option<Arc<dyn Lease>>,
}

impl Fanout {
    /// Asks the sources that may hold what is wanted, all at once, and waits for all they have. What a source sent
    /// before it failed counts, if the failure is tolerated; one that sends more than the request may hold is never.
    pub(crate) async fn select(
        &self,
        request: SeriesRequest,
        scope: &Scope,
        job: &Job,
    ) -> Result<Selection, SourceError> {
        let limit = request.limit;
        let sources = self.sources();
        let candidates = candidates(&sources, &request.matchers, request.range, &scope.store_matchers);
        let calls = candidates.into_iter().map(|source| {
            let call: BoxFuture<'_, Result<(Part, Charge), SourceError>> = match source {
                Source::Local(local) => drain(Arc::clone(local), request.clone(), scope, job).boxed(),
                Source::Remote(endpoint) => receive(endpoint, &request, scope, job).boxed(),
            };
            call
        });
        let (mut parts, mut charge) = (Vec::new(), job.charge());
        for (part, held) in futures::future::try_join_all(calls).await? {
            parts.push(part);
            charge.absorb(held);
        }
        Ok(Selection { parts, charge, limit })
    }
}

async fn drain(
    local: Arc<dyn LocalSource>,
    request: SeriesRequest,
    scope: &Scope,
    job: &Job,
) -> Result<(Part, Charge), SourceError> {
    let source = local.info().name;
    let mut parts = local.series(request, scope.partial);
    let (mut series, mut lease, mut charge) = (Vec::new(), None, job.charge());
    while let Some(part) = parts.next().await {
        match part {
            Ok(LocalPart::Lease(given)) => lease = Some(given),
            Ok(LocalPart::Series(batch)) => {
                charge.grow(batch.series.iter().map(bytes_of).sum())?;
                series.extend(batch.series);
            }
            Ok(LocalPart::Warning(warning)) => scope.tolerate(warning.into())?,
            Err(error) => scope.tolerate(error)?,
        }
    }
    Ok((Part { source, series, lease }, charge))
}

async fn receive(
    endpoint: &Endpoint,
    request: &SeriesRequest,
    scope: &Scope,
    job: &Job,
) -> Result<(Part, Charge), SourceError> {
    let answer = endpoint.series(request, scope.partial, job).await?;
    for warning in answer.warnings {
        scope.tolerate(warning.into())?;
    }
    if let Some(error) = answer.error {
        scope.tolerate(error.into())?;
    }
    let part = Part { source: endpoint.describe(), series: answer.series, lease: None };
    Ok((part, answer.charge))
}

/// What a selected series holds, bytes; its chunks may lie in a message together with the text of the labels.
pub(crate) fn bytes_of(series: &SelectedSeries) -> u64 {
    let chunks: usize = series.chunks.iter().map(|c| size_of::<EncodedChunk>() + c.data.len()).sum();
    (size_of::<SelectedSeries>() + 2 * series.labels.bytes() + chunks) as u64
}

impl Selection {
    /// The series of all sources in label order, equal label sets joined, and the charge for them. To be read on the CPU
    /// pool.
    pub(crate) fn into_stream(self) -> (SeriesStream, Charge) {
        let limit = if self.limit == 0 { usize::MAX } else { self.limit };
        let parts = self.parts.into_iter().map(|part| part.series.into_iter().map(Ok));
        (Box::new(merge(parts).take(limit)), self.charge)
    }

    /// What to ask when the chunks have been used.
    pub(crate) fn leases(&self) -> impl Iterator<Item = Arc<dyn Lease>> {
        self.parts.iter().filter_map(|part| part.lease.clone())
    }

    /// Decodes every chunk and leaves out those that cannot be, each with a warning that names source and series, or
    /// fails with the first, as the scope has it. To be called on the CPU pool.
    pub(crate) fn sound(
        mut self,
        function: &str,
        scope: &Scope,
        job: &Job,
    ) -> Result<Selection, SourceError> {
        for Part { source, series, lease } in &mut self.parts {
            for one in series.iter_mut() {
                job.watch().check()?;
                let labels = &one.labels;
                let mut failed = None;
                one.chunks.retain(|chunk| match decode(chunk, function) {
                    Ok(()) => true,
                    Err(error) => {
                        let block = lease.as_ref().and_then(|lease| lease.block_of(&chunk.data));
                        failed.get_or_insert((block, error));
                        false
                    }
                });
                if let Some((block, error)) = failed {
                    let source = block.as_ref().unwrap_or(source);
                    scope.tolerate(format!("{source}: chunk of series {labels}: {error}").into())?;
                }
            }
            series.retain(|one| !one.chunks.is_empty());
        }
        Ok(self)
    }
}

/// Decodes a chunk as `function` reads it.
fn decode(chunk: &EncodedChunk, function: &str) -> Result<(), ReadError> {
    match dedup::concatenate(vec![chunk.clone()], function, TimeRange::ALL)? {
        Resolved::Samples(_) => Ok(()),
        Resolved::Chunks(chunks) => {
            let mut samples = Samples::default();
            chunks.iter().try_for_each(|chunk| decode_samples(chunk, TimeRange::ALL, &mut samples))?;
            Ok(())
        }
    }
}
