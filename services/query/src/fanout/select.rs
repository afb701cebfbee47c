//! One selection from all stores, read to its end before evaluation starts: chunks stay encoded, and those of mapped blocks
//! stay where they are mapped.

use std::sync::Arc;

use futures::StreamExt;
use tithon_chunks::{EncodedChunk, Samples, TimeRange, decode_samples};
use tithon_engine::dedup::{self, ReadError, Resolved};
use tithon_engine::{SelectedSeries, SeriesRequest, merge};
use tithon_index::Matcher;
use tithon_promql::Charge;
use tithon_storeapi::{Lease, SeriesPart, StoreApi};

use super::bounds::Counting;
use super::{Candidates, Fanout, Notes, SourceError};
use crate::job::Job;

/// Series ascending by labels, each label set once; the last item may be the limit that was exceeded.
pub(crate) type MergedSeries = Box<dyn Iterator<Item = Result<SelectedSeries, SourceError>> + Send>;

/// How a request treats its stores.
#[derive(Clone)]
pub(crate) struct Scope {
    /// For whom stores are asked.
    pub(crate) tenant: String,
    /// A failing store costs a warning instead of the request.
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

/// What the stores have, each in label order, and the charge for it.
pub(crate) struct Selection {
    parts: Vec<Part>,
    charge: Charge,
    limit: usize,
    counting: Counting,
}

/// What one store has.
struct Part {
    /// The store's name.
    store: String,
    series: Vec<SelectedSeries>,
    /// What its chunks may be slices of.
    lease: Lease,
}

impl Fanout {
    /// Asks the stores that may hold what is wanted, all at once, and waits for all they have. What a store sent before it
    /// failed counts, if the failure is tolerated; sending more than the request may hold is never tolerated.
    pub(crate) async fn select(
        &self,
        request: SeriesRequest,
        scope: &Scope,
        job: &Job,
    ) -> Result<Selection, SourceError> {
        let limit = request.limit;
        let (partial_response, tenant) = (scope.partial, scope.tenant.clone());
        let request = SeriesRequest { partial_response, tenant, ..request };
        let (counting, mut charge) = (self.bounds.counting(), job.charge());
        let candidates = self.candidates(&request.matchers, request.range, &scope.store_matchers)?;
        let Some(Candidates { stores, matchers }) = candidates else {
            return Ok(Selection { parts: Vec::new(), charge, limit, counting });
        };
        let request = SeriesRequest { matchers, ..request };
        let calls = stores.into_iter().map(|store| receive(store, request.clone(), scope, job));
        let mut parts = Vec::new();
        for (part, held) in futures::future::try_join_all(calls).await? {
            parts.push(part);
            charge.absorb(held);
        }
        Ok(Selection { parts, charge, limit, counting })
    }
}

/// All that one store sends, in label order also where the store does not keep to it, and the charge for it.
async fn receive(
    store: Arc<dyn StoreApi>,
    request: SeriesRequest,
    scope: &Scope,
    job: &Job,
) -> Result<(Part, Charge), SourceError> {
    let mut parts = store.series(request);
    let (mut series, mut lease, mut charge) = (Vec::new(), Lease::default(), job.charge());
    while let Some(part) = parts.next().await {
        match part {
            Ok(SeriesPart::Lease(given)) => lease.absorb(given),
            Ok(SeriesPart::Series(batch)) => {
                charge.grow(batch.series.iter().map(bytes_of).sum())?;
                series.extend(batch.series);
            }
            Ok(SeriesPart::Warning(warning)) => {
                charge.grow(warning.len() as u64)?;
                scope.tolerate(warning.into())?;
            }
            Err(error) => scope.tolerate(error.into())?,
        }
    }
    if !series.is_sorted_by(|a, b| a.labels <= b.labels) {
        series.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    Ok((Part { store: store.name(), series, lease }, charge))
}

/// What a selected series holds, bytes; its chunks may lie in a message together with the text of the labels.
pub(crate) fn bytes_of(series: &SelectedSeries) -> u64 {
    let chunks: usize = series.chunks.iter().map(|c| size_of::<EncodedChunk>() + c.data.len()).sum();
    (size_of::<SelectedSeries>() + 2 * series.labels.bytes() + chunks) as u64
}

impl Selection {
    /// The series of all stores in label order, equal label sets joined, and the charge for them. To be read on the CPU
    /// pool.
    pub(crate) fn into_stream(self) -> (MergedSeries, Charge) {
        let limit = if self.limit == 0 { usize::MAX } else { self.limit };
        let (parts, mut counting) = (self.parts.into_iter().map(|part| part.series), self.counting);
        let counted = move |one: SelectedSeries| counting.count(&one).map(|()| one);
        (Box::new(merge(parts).take(limit).map(counted)), self.charge)
    }

    /// What the chunks may be slices of, to be checked when they have been used.
    pub(crate) fn lease(&self) -> Lease {
        let mut all = Lease::default();
        self.parts.iter().for_each(|part| all.absorb(part.lease.clone()));
        all
    }

    /// Decodes every chunk and leaves out those that cannot be, each with a warning that names store and series, or
    /// fails with the first, as the scope has it. To be called on the CPU pool.
    pub(crate) fn sound(
        mut self,
        function: &str,
        scope: &Scope,
        job: &Job,
    ) -> Result<Selection, SourceError> {
        for Part { store, series, lease } in &mut self.parts {
            for one in series.iter_mut() {
                job.watch().check()?;
                let labels = &one.labels;
                let mut failed = None;
                one.chunks.retain(|chunk| match decode(chunk, function) {
                    Ok(()) => true,
                    Err(error) => {
                        let block = lease.name_of(&chunk.data);
                        failed.get_or_insert((block, error));
                        false
                    }
                });
                if let Some((block, error)) = failed {
                    let place = block.as_ref().unwrap_or(store);
                    scope.tolerate(format!("{place}: chunk of series {labels}: {error}").into())?;
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
