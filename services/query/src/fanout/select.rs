//! One selection from all stores. What they send waits in queues, which are read once all has arrived or while more is
//! on its way. Chunks stay encoded, and chunks of mapped blocks stay slices of the map.

use std::sync::Arc;

use futures::StreamExt;
use tithon_chunks::{EncodedChunk, Samples, TimeRange};
use tithon_engine::dedup::{self, ReadError};
use tithon_engine::{SelectedSeries, SeriesRequest};
use tithon_index::Matcher;
use tithon_storeapi::{Lease, SeriesPart, StoreApi};
use tracing::field::Empty;
use tracing::{Span, instrument};

use super::bounds::Counting;
use super::queue::{Queue, Reader};
use super::{Fanout, Notes, SourceError};
use crate::job::Job;

/// How a request asks its stores.
#[derive(Clone)]
pub(crate) struct Scope {
    /// The tenant that is forwarded to the stores.
    pub(crate) tenant: String,
    /// Whether a failing store costs a warning instead of the request.
    pub(crate) partial: bool,
    /// `storeMatch[]`: matcher sets on the address of a store.
    pub(crate) store_matchers: Vec<Vec<Matcher>>,
    /// Collects the warnings of the request.
    pub(crate) notes: Notes,
}

impl Scope {
    /// Makes a warning of a failure if partial answers are allowed, else returns it.
    pub(crate) fn tolerate(&self, error: SourceError) -> Result<(), SourceError> {
        if !self.partial {
            return Err(error);
        }
        self.notes.push(error.to_string());
        Ok(())
    }
}

/// The series that stores have sent or will have sent once the calls to them are over.
pub(crate) struct Selection {
    queues: Vec<Arc<Queue>>,
    limit: usize,
    counting: Counting,
}

impl Fanout {
    /// Chooses the stores that may hold matching series, and makes a call to each, which the caller must await.
    ///
    /// Fails when all matchers are on the querier's own labels. A call fails when its store fails and partial answers
    /// are not allowed, when the store sends more than the request may hold, and when it sends series out of order
    /// ([`super::Unordered`]) after reading has begun. Series that came before a tolerated failure count.
    pub(crate) fn begin<'a>(
        &self,
        request: SeriesRequest,
        scope: &'a Scope,
        job: &'a Job,
    ) -> Result<(Selection, Vec<impl Future<Output = Result<(), SourceError>> + use<'a>>), SourceError> {
        let limit = request.limit;
        let (partial_response, tenant) = (scope.partial, scope.tenant.clone());
        let request = SeriesRequest { partial_response, tenant, ..request };
        let counting = self.bounds.counting();
        let candidates = self.candidates(&request.matchers, request.range, &scope.store_matchers)?;
        let (stores, matchers) = candidates.map_or_else(Default::default, |c| (c.stores, c.matchers));
        let request = SeriesRequest { matchers, ..request };
        let waiting_bytes_max = WAITING_BYTES_MAX.min(job.watch().budget.limit() / WAITING_SHARE);
        let (mut queues, mut calls) = (Vec::with_capacity(stores.len()), Vec::new());
        for store in stores {
            let queue = Arc::new(Queue::new(store.name(), waiting_bytes_max));
            queues.push(Arc::clone(&queue));
            calls.push(receive(store, request.clone(), scope, job, queue));
        }
        Ok((Selection { queues, limit, counting }, calls))
    }

    /// Asks all stores that may hold matching series at once, and waits until all have answered.
    pub(crate) async fn select(
        &self,
        request: SeriesRequest,
        scope: &Scope,
        job: &Job,
    ) -> Result<Selection, SourceError> {
        let (selection, calls) = self.begin(request, scope, job)?;
        futures::future::try_join_all(calls).await?;
        Ok(selection)
    }
}

/// Bytes that a queue may hold before its store has to wait; at most this share of what the query may hold.
const WAITING_BYTES_MAX: u64 = 64 << 20;
const WAITING_SHARE: u64 = 4;

/// Pushes all that one store sends into its queue.
#[instrument(name = "store_select", skip_all, fields(store = store.name(), series = Empty, bytes = Empty))]
async fn receive(
    store: Arc<dyn StoreApi>,
    request: SeriesRequest,
    scope: &Scope,
    job: &Job,
    queue: Arc<Queue>,
) -> Result<(), SourceError> {
    let mut parts = store.series(request);
    let (mut all_series, mut all_bytes) = (0, 0);
    while let Some(part) = parts.next().await {
        match part {
            Ok(SeriesPart::Lease(given)) => queue.absorb(given),
            Ok(SeriesPart::Series(batch)) => {
                let bytes = batch.series.iter().map(bytes_of).sum();
                (all_series, all_bytes) = (all_series + batch.series.len(), all_bytes + bytes);
                let mut charge = job.charge();
                charge.grow(bytes)?;
                queue.push(batch.series, charge)?;
                job.received(bytes);
                queue.room().await;
            }
            Ok(SeriesPart::Warning(warning)) => {
                let mut charge = job.charge();
                charge.grow(warning.len() as u64)?;
                job.keep(charge);
                scope.tolerate(warning.into())?;
            }
            Err(error) => scope.tolerate(error.into())?,
        }
    }
    queue.end();
    Span::current().record("series", all_series).record("bytes", all_bytes);
    Ok(())
}

/// Memory of a selected series in bytes. The text of the labels counts twice, because the chunks may be slices of a
/// message that also holds it.
pub(crate) fn bytes_of(series: &SelectedSeries) -> u64 {
    let chunks: usize = series.chunks.iter().map(|c| size_of::<EncodedChunk>() + c.data.len()).sum();
    (size_of::<SelectedSeries>() + 2 * series.labels.bytes() + chunks) as u64
}

impl Selection {
    /// The series of all stores merged in label order; series with equal labels are joined. Reading blocks until series
    /// arrive, so unless all calls are over it must happen on a thread that may wait.
    pub(crate) fn into_stream(self) -> impl Iterator<Item = Result<SelectedSeries, SourceError>> + Send {
        let limit = if self.limit == 0 { usize::MAX } else { self.limit };
        let mut counting = self.counting;
        let counted = move |one: Result<SelectedSeries, SourceError>| {
            let one = one?;
            counting.count(&one)?;
            Ok(one)
        };
        Reader::new(self.queues).take(limit).map(counted)
    }

    /// A handle that outlives the selection when it is read.
    pub(crate) fn handle(&self) -> Handle {
        Handle(self.queues.clone())
    }

    /// Decodes every chunk, and leaves out those that cannot be decoded, each with a warning that names store and
    /// series. Fails with the first of them when partial answers are not allowed. To be called on the CPU pool.
    pub(crate) fn sound(self, function: &str, scope: &Scope, job: &Job) -> Result<Selection, SourceError> {
        for queue in &self.queues {
            let (store, lease) = (queue.store(), queue.lease());
            queue.retain(|one| {
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
                    let place = block.as_deref().unwrap_or(store);
                    scope.tolerate(format!("{place}: chunk of series {labels}: {error}").into())?;
                }
                Ok(!one.chunks.is_empty())
            })?;
        }
        Ok(self)
    }
}

/// The queues of a selection that is being read. When the handle is dropped, no more series arrive.
pub(crate) struct Handle(Vec<Arc<Queue>>);

impl Handle {
    /// The leases of the mapped files that chunks may be slices of, to be checked after the chunks were used and all
    /// calls are over.
    pub(crate) fn lease(&self) -> Lease {
        let mut all = Lease::default();
        self.0.iter().for_each(|queue| all.absorb(queue.lease()));
        all
    }

    /// Says that no more series will arrive; readers that wait for some get an error.
    pub(crate) fn stop(&self) {
        self.0.iter().for_each(|queue| queue.stop());
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Decodes a chunk the way that `function` reads it.
fn decode(chunk: &EncodedChunk, function: &str) -> Result<(), ReadError> {
    dedup::concatenate(std::slice::from_ref(chunk), function, TimeRange::ALL, &mut Samples::default())
}
