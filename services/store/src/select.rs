//! A `Series` call: selects from all blocks at the same time, merges their series and sends them in batches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use tithon_bucket::BucketBlock;
use tithon_chunks::Aggregate;
use tithon_engine::{SelectRequest, SeriesRequest, left_to_series};
use tithon_index::{MatchOp, Matcher, Relabel};
use tithon_runtime::{InFlight, Priority};
use tithon_storeapi::{Lease, Mapped, SeriesPart};
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::channel;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::field::Empty;
use tracing::{Instrument, Span, info_span};

use crate::api::LentBlock;
use crate::blocks::Blocks;
use crate::drive::{BlockJob, Budget, Kept};
use crate::external::block_matches;
use crate::faults::Faults;
use crate::matchers;
use crate::memory::Call;
use crate::merging::{Incoming, Merging};
use crate::outlet::{Outlet, Refused, SelectStream, outlet};
use crate::postings_cache::{Key, PostingsCache};
use crate::served::ServedBlock;
use crate::store::Inner;
use crate::{Store, StoreError};

/// Number of batches of one block that may wait for the merge.
const BLOCK_BATCHES: usize = 2;
/// A reader counts as stalled when it has read nothing for this long.
const STALLED_AFTER: Duration = Duration::from_millis(200);
/// Requests with more blocks than this use smaller batches, to limit their memory.
const BLOCKS_AT_FULL_SIZE: usize = 8;
/// Only requests with at most this many blocks may do light work on the calling thread.
const LIGHT_BLOCKS: usize = 4;

impl Store {
    /// Selects the series of all blocks, merged in the order of the labels that they are sent with. Must be called
    /// inside a tokio runtime.
    pub(crate) fn select(&self, request: SeriesRequest) -> SelectStream {
        let (outlet, stream) = outlet(self.inner.metrics.waiting_bytes.clone());
        let inner = Arc::clone(&self.inner);
        let work = async move {
            tokio::select! {
                result = run(&inner, request, &outlet) => outlet.end(result),
                () = outlet.closed() => {}
            }
        };
        tokio::spawn(work.instrument(info_span!("bucket_store_series", blocks = Empty, series = Empty)));
        stream
    }
}

async fn run(inner: &Arc<Inner>, mut request: SeriesRequest, outlet: &Outlet) -> Result<(), StoreError> {
    let mut turn = Turn::wait(inner).await;
    let begun = inner.memory.begin().await;
    let call = Arc::new(begun.inspect_err(|error| count_drop(inner, error, &request.tenant))?);
    let choosing = Instant::now();
    let time = inner.time_now();
    request.range.min = request.range.min.max(time.min);
    request.range.max = request.range.max.min(time.max);
    let tenant = [("tenant", request.tenant.clone())];
    let (limit, skip_chunks) = (request.limit, request.skip_chunks);
    let Prepared { jobs, faults } = if is_quick(inner, &request) {
        prepare(inner, request, &call)?.finish(inner).await?
    } else {
        let (given, of) = (Arc::clone(inner), Arc::clone(&call));
        let prepared = inner.cpu.run(Priority::Query, move || prepare(&given, request, &of));
        prepared.await??.finish(inner).await?
    };
    inner.metrics.blocks_queried.get_or_create(&tenant).observe(jobs.len() as f64);
    inner.metrics.get_all_seconds.get_or_create(&tenant).observe(choosing.elapsed().as_secs_f64());
    Span::current().record("blocks", jobs.len());
    let (merging_began, budget) = (Instant::now(), jobs.first().map(|job| Arc::clone(&job.budget)));
    let lent = jobs.iter().map(|job| Arc::new(LentBlock(Arc::clone(&job.block))) as Arc<dyn Mapped>);
    // The queue is empty, so this fails only when the reader is gone.
    let _ = outlet.offer(SeriesPart::Lease(Lease::new(lent.collect())), 0);
    // Dropping the set stops the tasks of the blocks.
    let mut drivers = JoinSet::new();
    let mut incoming = Vec::with_capacity(jobs.len());
    for job in jobs {
        let (sender, parts) = channel(BLOCK_BATCHES);
        incoming.push(Incoming { block: job.block.id(), parts, charge: None });
        let is_light = job.is_light;
        let span = info_span!("block_series", block = %job.block.id());
        let mut driving = Box::pin(job.drive(inner.cpu.clone(), sender).instrument(span));
        if !is_light || futures::poll!(&mut driving).is_pending() {
            drivers.spawn(driving);
        }
    }
    let limit = if limit == 0 { usize::MAX } else { limit };
    let mut merging = Merging::new(incoming, faults, skip_chunks, limit);
    loop {
        let next = merging.next().await.inspect_err(|error| count_drop(inner, error, &tenant[0].1))?;
        let Some((mut part, bytes)) = next else { break };
        if let SeriesPart::Series(batch) = &part {
            inner.metrics.sent_chunks.observe(&batch.series);
        }
        loop {
            match outlet.offer(part, bytes) {
                Ok(()) => break,
                Err(Refused::Gone) => return Ok(()),
                Err(Refused::Full(same)) => part = same,
            }
            if timeout(STALLED_AFTER, outlet.room()).await.is_err() {
                // Other calls may run while the reader is stalled.
                drop(turn);
                call.step_back();
                wait_for_reader(inner, outlet).await?;
                turn = Turn::wait(inner).await;
            }
        }
    }
    inner.metrics.result_series.get_or_create(&tenant).observe(merging.n_sent as f64);
    Span::current().record("series", merging.n_sent);
    inner.metrics.merge_seconds.get_or_create(&tenant).observe(merging_began.elapsed().as_secs_f64());
    if let Some(budget) = budget {
        inner.metrics.touched(&tenant[0].1, budget.spent(), &budget.reads());
    }
    drop(turn);
    Ok(())
}

/// Waits until a stalled reader reads again. Fails after the timeout, or when too many calls are stalled.
async fn wait_for_reader(inner: &Inner, outlet: &Outlet) -> Result<(), StoreError> {
    let _stalled = InFlight::new(&inner.metrics.stalled);
    let (mut stall, begun) = (inner.stalls.enter(), Instant::now());
    tokio::select! {
        () = outlet.room() => return Ok(()),
        () = tokio::time::sleep(inner.options.stalled_reader_timeout) => {}
        () = stall.told_to_go() => {}
    }
    inner.metrics.stalled_ended.inc();
    Err(StoreError::Stalled { after: begun.elapsed() })
}

/// Counts a call that exceeded a limit.
pub(crate) fn count_drop(inner: &Inner, error: &StoreError, tenant: &str) {
    if let StoreError::Limit { what, .. } = error {
        let labels = [("reason", (*what).to_owned()), ("tenant", tenant.to_owned())];
        inner.metrics.queries_dropped.get_or_create(&labels).inc();
    }
}

/// A permit of the gate that limits concurrent calls, released when it is dropped.
struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
    _in_flight: InFlight,
}

impl Turn {
    async fn wait(inner: &Inner) -> Turn {
        let begun = Instant::now();
        let permit = match &inner.gate {
            // The gate is never closed.
            Some(gate) => Arc::clone(gate).acquire_owned().await.ok(),
            None => None,
        };
        let metrics = &inner.metrics.gate;
        metrics.observe_wait(begun.elapsed());
        Turn { _permit: permit, _in_flight: metrics.pass() }
    }
}

/// A prepared request: one job for each block that answers a part of it.
struct Prepared {
    jobs: Vec<BlockJob>,
    faults: Faults,
}

/// A request of which some blocks are yet to be opened.
struct Preparing {
    request: SeriesRequest,
    call: Arc<Call>,
    budget: Arc<Budget>,
    aggregates: Arc<[Aggregate]>,
    /// Jobs with the position of their block in the answer, which orders the chunks of equal series.
    jobs: Vec<(usize, BlockJob)>,
    closed: Vec<(usize, Chosen)>,
    faults: Faults,
}

/// A block that answers a part of a request.
struct Chosen {
    block: Arc<ServedBlock>,
    matchers: Arc<[Matcher]>,
    relabel: Relabel,
}

/// Whether preparing a request takes only microseconds, less than the way to the CPU pool and back.
fn is_quick(inner: &Inner, request: &SeriesRequest) -> bool {
    const MATCHERS_MAX: usize = 16;
    const BLOCKS_MAX: usize = 32;
    let is_plain = |m: &Matcher| matches!(m.op(), MatchOp::Equal | MatchOp::NotEqual);
    request.matchers.len() + request.block_matchers.len() <= MATCHERS_MAX
        && request.matchers.iter().chain(&request.block_matchers).all(is_plain)
        && inner.blocks.load().served.len() <= BLOCKS_MAX
}

fn prepare(inner: &Inner, mut request: SeriesRequest, call: &Arc<Call>) -> Result<Preparing, StoreError> {
    matchers::normalise(&mut request.matchers)?;
    matchers::normalise(&mut request.block_matchers)?;
    let blocks = inner.blocks.load_full();
    inner.postings.keep_served(&blocks);
    let mut faults = Faults::new(request.partial_response);
    for fault in not_served(&blocks, &request) {
        faults.tolerate(fault)?;
    }
    let chosen = choose(inner, &blocks, &request);
    let options = &inner.options;
    let (series_max, chunks_max) = (options.request_series_max, options.request_samples_max / 120);
    let mut preparing = Preparing {
        budget: Arc::new(Budget::new(series_max, chunks_max, options.downloaded_bytes_max)),
        aggregates: request.aggregates.clone().into(),
        request,
        call: Arc::clone(call),
        jobs: Vec::with_capacity(chosen.len()),
        closed: Vec::new(),
        faults,
    };
    for (place, chosen) in chosen.into_iter().enumerate() {
        match chosen.block.if_open() {
            Some(block) => preparing.add(inner, place, block, &chosen)?,
            None => preparing.closed.push((place, chosen)),
        }
    }
    Ok(preparing)
}

impl Preparing {
    /// Opens the blocks that are not open.
    async fn finish(mut self, inner: &Arc<Inner>) -> Result<Prepared, StoreError> {
        let closed = std::mem::take(&mut self.closed);
        let n_closed = closed.len().max(1);
        let opening = closed.into_iter().map(|(place, chosen)| async move {
            let block = chosen.block.get(inner).await;
            (place, chosen, block)
        });
        // The store limits how many blocks are opened at once.
        let opened: Vec<_> = stream::iter(opening).buffered(n_closed).collect().await;
        for (place, chosen, block) in opened {
            match block {
                // Opening the block has built its label filter, which now excludes it.
                Ok(block) if !block.may_match(&chosen.matchers) => drop(inner.metrics.blocks_filtered.inc()),
                Ok(block) => self.add(inner, place, block, &chosen)?,
                Err(error) => self.faults.tolerate(error)?,
            }
        }
        self.jobs.sort_by_key(|(place, _)| *place);
        let parts = self.jobs.len().div_ceil(BLOCKS_AT_FULL_SIZE);
        let smaller = |job: BlockJob| match parts {
            0 | 1 => job,
            _ => BlockJob { select: job.select.in_smaller_batches(parts), ..job },
        };
        let jobs = self.jobs.into_iter().map(|(_, job)| smaller(job)).collect();
        Ok(Prepared { jobs, faults: self.faults })
    }

    fn add(
        &mut self,
        inner: &Inner,
        place: usize,
        block: Arc<BucketBlock>,
        chosen: &Chosen,
    ) -> Result<(), StoreError> {
        if let Err(error) = block.check() {
            return self.faults.tolerate(error.into());
        }
        let (matchers, relabel) = (&*chosen.matchers, &chosen.relabel);
        let request = &self.request;
        let is_light = place < LIGHT_BLOCKS && block.mapped().is_some() && are_light(&block, matchers);
        let select = block.select(SelectRequest {
            matchers: matchers.to_vec(),
            range: request.range,
            skip_chunks: request.skip_chunks,
            // As in Thanos, the limit counts series in index order. With a shard no limit applies here, since the shard
            // is applied later.
            limit: if request.shard.is_some() { 0 } else { request.limit },
            relabel: relabel.clone(),
        });
        let job = BlockJob {
            kept: kept(&inner.postings, &block, matchers, &request.tenant),
            kept_series: kept_series(inner, &block, matchers, request).filter(|_| is_light),
            block,
            select,
            shard: request.shard.clone(),
            aggregates: Arc::clone(&self.aggregates),
            budget: Arc::clone(&self.budget),
            left: if request.limit == 0 { usize::MAX } else { request.limit },
            call: Arc::clone(&self.call),
            is_light,
            read: Vec::new(),
        };
        self.jobs.push((place, job));
        Ok(())
    }
}

/// Whether the postings of the matchers are found quickly: by a search, or by checking few values.
fn are_light(block: &BucketBlock, matchers: &[Matcher]) -> bool {
    const MATCHERS_MAX: usize = 16;
    const VALUES_MAX: usize = 1000;
    let has_few = |m: &Matcher| block.header().n_label_values(m.name()).is_ok_and(|n| n <= VALUES_MAX);
    let is_light = |m: &Matcher| match m.op() {
        MatchOp::Equal => !m.value().is_empty() || has_few(m),
        MatchOp::NotEqual => has_few(m),
        MatchOp::Regex | MatchOp::NotRegex => false,
    };
    matchers.len() <= MATCHERS_MAX && matchers.iter().all(is_light)
}

/// An error for each damaged block that the request needs.
fn not_served(blocks: &Blocks, request: &SeriesRequest) -> Vec<StoreError> {
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

/// The blocks that may have series of the request.
fn choose(inner: &Inner, blocks: &Blocks, request: &SeriesRequest) -> Vec<Chosen> {
    let mut out = Vec::new();
    for (external, group) in &blocks.groups {
        // As in Thanos, a block is left out when external labels satisfy all matchers, so that none is left for its
        // series.
        let left = left_to_series(&request.matchers, external).filter(|left| !left.is_empty());
        let Some(matchers) = left.map(Arc::<[Matcher]>::from) else { continue };
        let relabel = Relabel::new(external, &request.without_labels);
        for block in group.choose(request.range, request.max_resolution_ms) {
            if !block_matches(&request.block_matchers, external, block.id()) {
                continue;
            }
            if !block.may_match(&matchers, inner) {
                inner.metrics.blocks_filtered.inc();
                continue;
            }
            out.push(Chosen { block, matchers: Arc::clone(&matchers), relabel: relabel.clone() });
        }
    }
    out
}

/// The cache entry of the series that these matchers select, if series are cached.
fn kept_series(
    inner: &Inner,
    block: &BucketBlock,
    matchers: &[Matcher],
    request: &SeriesRequest,
) -> Option<Kept> {
    let is_kept = inner.postings.keeps_series() && request.limit == 0;
    is_kept.then(|| Kept {
        cache: Arc::clone(&inner.postings),
        key: Key::of_series(block.id(), matchers, &request.without_labels),
        tenant: request.tenant.clone(),
        was_asked: false,
    })
}

/// The cache entry of the postings that these matchers select, if they are worth caching.
fn kept(cache: &Arc<PostingsCache>, block: &BucketBlock, matchers: &[Matcher], tenant: &str) -> Option<Kept> {
    let (key, tenant) = (|| Key::new(block.id(), matchers), tenant.to_owned());
    let is_for = cache.is_for(block, matchers);
    is_for.then(|| Kept { cache: Arc::clone(cache), key: key(), tenant, was_asked: false })
}
