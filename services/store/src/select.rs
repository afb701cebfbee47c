//! Series out of all blocks: each block's are selected at the same time, merged, and sent in batches.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Instant;
use std::vec::IntoIter;

use futures::Stream;
use prometheus_client::metrics::gauge::Gauge;
use tithon_engine::{SelectedSeries, SeriesBatch, merge};
use tithon_runtime::RuntimeError;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;

use crate::blocks::Blocks;
use crate::drive::{BlockJob, Budget};
use crate::external::{block_matches, left_to_series};
use crate::shape::{Relabel, Reorder};
use crate::store::Inner;
use crate::{SelectRequest, Store, StoreError};

/// Series in one batch that is sent on.
const BATCH_SERIES: usize = 256;
/// Batches under way from one block.
const BLOCK_BATCHES: usize = 2;
/// Batches under way to the caller.
const OUT_BATCHES: usize = 8;

/// A part of an answer.
#[derive(Debug)]
pub enum Selected {
    /// The next series, with the labels they are sent with; batches follow each other in label order.
    Series(SeriesBatch),
    /// A block could not be read: the answer goes on without it.
    Warning(String),
}

/// The answer to a [`SelectRequest`]; made by [`Store::select`]. Dropping it ends the work. An error is the last item.
#[derive(Debug)]
pub struct SelectStream {
    parts: Receiver<Result<Selected, StoreError>>,
}

impl Stream for SelectStream {
    type Item = Result<Selected, StoreError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.parts.poll_recv(context)
    }
}

impl Store {
    /// Selects series of all blocks, merged and in the order of the labels that they are sent with. Must be called
    /// inside a tokio runtime.
    pub fn select(&self, request: SelectRequest) -> SelectStream {
        let (out, parts) = channel(OUT_BATCHES);
        let inner = Arc::clone(&self.inner);
        tokio::spawn(async move {
            let error = tokio::select! {
                result = run(inner, request, out.clone()) => result.err(),
                () = out.closed() => None,
            };
            if let Some(error) = error {
                let _ = out.send(Err(error)).await; // the caller may have gone
            }
        });
        SelectStream { parts }
    }
}

async fn run(
    inner: Arc<Inner>,
    mut request: SelectRequest,
    out: Sender<Result<Selected, StoreError>>,
) -> Result<(), StoreError> {
    let _turn = Turn::wait(&inner).await;
    request.range.min = request.range.min.max(inner.options.time.min);
    request.range.max = request.range.max.min(inner.options.time.max);
    let blocks = inner.blocks.load_full();
    for fault in faults(&blocks, &request) {
        if request.abort_on_fault {
            return Err(fault);
        }
        let _ = out.send(Ok(Selected::Warning(fault.to_string()))).await;
    }
    let jobs = jobs(&inner, &blocks, &request);
    let tenant = [("tenant", request.tenant.clone())];
    inner.metrics.blocks_queried.get_or_create(&tenant).observe(jobs.len() as f64);
    let mut drivers = JoinSet::new();
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let mut streams = Vec::with_capacity(jobs.len());
    for job in jobs {
        let (sender, batches) = channel(BLOCK_BATCHES);
        drivers.spawn(job.drive(inner.cpu.clone(), sender));
        streams.push(Incoming {
            batches,
            current: Vec::new().into_iter(),
            warnings: Arc::clone(&warnings),
            abort_on_fault: request.abort_on_fault,
        });
    }
    let limit = if request.limit == 0 { usize::MAX } else { request.limit };
    let metrics = inner.metrics.clone();
    let merging = tokio::task::spawn_blocking(move || {
        let sent = send_merged(streams, limit, &warnings, &out)?;
        metrics.result_series.get_or_create(&tenant).observe(sent as f64);
        Ok(())
    });
    merging.await.unwrap_or_else(|e| Err(RuntimeError::Panic(e.to_string()).into())).inspect_err(|error| {
        if let StoreError::Limit { what, .. } = error {
            let labels = [("reason", (*what).to_owned()), ("tenant", request.tenant.clone())];
            inner.metrics.queries_dropped.get_or_create(&labels).inc();
        }
    })
}

/// A place among the calls that are answered at once, given back when it is dropped.
struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
    in_flight: Gauge,
}

impl Turn {
    async fn wait(inner: &Inner) -> Turn {
        let begun = Instant::now();
        let permit = match &inner.gate {
            // Nobody closes the gate.
            Some(gate) => Arc::clone(gate).acquire_owned().await.ok(),
            None => None,
        };
        inner.metrics.gate_seconds.observe(begun.elapsed().as_secs_f64());
        inner.metrics.gate_total.inc();
        inner.metrics.gate_in_flight.inc();
        Turn { _permit: permit, in_flight: inner.metrics.gate_in_flight.clone() }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.in_flight.dec();
    }
}

/// Blocks that would have to be read and cannot be.
fn faults(blocks: &Blocks, request: &SelectRequest) -> Vec<StoreError> {
    let concerned = blocks.faulty.iter().filter(|(id, faulty)| {
        let external = crate::blocks::external_labels(&faulty.meta);
        faulty.meta.range().overlaps(request.range)
            && faulty.meta.resolution_ms() <= request.max_resolution_ms
            && left_to_series(&request.matchers, &external).is_some()
            && block_matches(&request.block_matchers, &external, **id)
    });
    concerned
        .map(|(id, faulty)| StoreError::NotServed { block: *id, reason: faulty.reason.clone() })
        .collect()
}

/// One job for each block that answers a part of the request.
fn jobs(inner: &Inner, blocks: &Blocks, request: &SelectRequest) -> Vec<BlockJob> {
    let options = &inner.options;
    let budget = Arc::new(Budget::new(options.request_series_max, options.request_samples_max / 120));
    let aggregates: Arc<[_]> = request.aggregates.clone().into();
    let mut jobs = Vec::new();
    for (external, group) in &blocks.groups {
        // As Thanos has it, a block gives nothing when its external labels leave no matcher to its series.
        let left = left_to_series(&request.matchers, external).filter(|left| !left.is_empty());
        let Some(matchers) = left else { continue };
        let relabel = Relabel::new(external, &request.without_labels);
        for block in group.choose(request.range, request.max_resolution_ms) {
            if !block_matches(&request.block_matchers, external, block.id()) {
                continue;
            }
            if !block.may_match(&matchers) {
                inner.metrics.blocks_filtered.inc();
                continue;
            }
            // A header whose names cannot be read fails in the selection too, and is reported there.
            let names = block.header().label_names().unwrap_or_default();
            let disorder = relabel.disorder(names.into_iter());
            let select = block.select(tithon_engine::SelectRequest {
                matchers: matchers.clone(),
                range: request.range,
                skip_chunks: request.skip_chunks,
                limit: 0,
            });
            jobs.push(BlockJob {
                block,
                select,
                reorder: Reorder::new(relabel.clone(), disorder),
                shard: request.shard.clone(),
                aggregates: Arc::clone(&aggregates),
                budget: Arc::clone(&budget),
                left: if request.limit == 0 { usize::MAX } else { request.limit },
            });
        }
    }
    jobs
}

/// The series of one block, as they come; read on a thread that may block.
struct Incoming {
    batches: Receiver<Result<Vec<SelectedSeries>, StoreError>>,
    current: IntoIter<SelectedSeries>,
    warnings: Arc<Mutex<Vec<String>>>,
    abort_on_fault: bool,
}

impl Iterator for Incoming {
    type Item = Result<SelectedSeries, StoreError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(series) = self.current.next() {
                return Some(Ok(series));
            }
            match self.batches.blocking_recv()? {
                Ok(series) => self.current = series.into_iter(),
                Err(error) if self.abort_on_fault || !error.spares_other_blocks() => return Some(Err(error)),
                Err(error) => {
                    tracing::warn!(kind = ?error.kind(), error = %error, "block left out of an answer");
                    self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(error.to_string());
                    return None;
                }
            }
        }
    }
}

/// Merges and sends until the series end, `limit` is reached or the caller is gone; gives the number of series sent.
fn send_merged(
    streams: Vec<Incoming>,
    limit: usize,
    warnings: &Mutex<Vec<String>>,
    out: &Sender<Result<Selected, StoreError>>,
) -> Result<usize, StoreError> {
    let mut merged = merge(streams).take(limit);
    let mut sent = 0;
    loop {
        let mut series = Vec::with_capacity(BATCH_SERIES);
        for next in merged.by_ref().take(BATCH_SERIES) {
            series.push(next?);
        }
        for warning in std::mem::take(&mut *warnings.lock().unwrap_or_else(PoisonError::into_inner)) {
            if out.blocking_send(Ok(Selected::Warning(warning))).is_err() {
                return Ok(sent);
            }
        }
        if series.is_empty() {
            return Ok(sent);
        }
        sent += series.len();
        if out.blocking_send(Ok(Selected::Series(SeriesBatch { series }))).is_err() {
            return Ok(sent);
        }
    }
}
