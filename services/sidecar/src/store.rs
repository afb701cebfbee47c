//! A Prometheus as a store. Thanos `pkg/store/prometheus.go`.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tithon_chunks::{ErrorKind, TimeRange};
use tithon_engine::{LabelsRequest, SelectedSeries, SeriesBatch, SeriesRequest, left_to_series};
use tithon_index::{Labels, Matcher, Relabel};
use tithon_proto::JsonLabels;
use tithon_runtime::{Cpu, Priority, RuntimeError};
use tithon_storeapi::{
    Apis, LabelsAnswer, LabelsFuture, SeriesPart, SeriesStream, StoreApi, StoreApiError, StoreInfo, Stretch,
};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::Instrument;

use crate::prometheus::{Answer, selector, time_pairs};
use crate::remote_read::RemoteRead;
use crate::sorted::{Sorted, Unsorted};
use crate::{Prometheus, PrometheusError, SidecarMetrics, Watch};

/// Number of series in a batch.
const PART_SERIES: usize = 1024;
/// Samples that each chunk is counted as, as in Thanos.
const CHUNK_SAMPLES: u64 = 120;

/// Limits of one call; 0 means no limit.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreLimits {
    /// Series (`--store.limits.request-series`).
    pub series: u64,
    /// Samples, counted as 120 per chunk (`--store.limits.request-samples`).
    pub samples: u64,
}

/// The series of a Prometheus with its external labels. Clones share all state.
///
/// Series are sent on as they come, and kept for a reader that is slower; held back are those whose order external labels can change.
#[derive(Clone)]
pub struct PrometheusStore(Arc<Inner>);

struct Inner {
    watch: Watch,
    limits: StoreLimits,
    cpu: Cpu,
    metrics: SidecarMetrics,
    /// Whether this Prometheus has sent series that were not sorted.
    is_unsorted: AtomicBool,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("query Prometheus: {0}")]
    Read(PrometheusError),
    #[error(transparent)]
    Api(PrometheusError),
    #[error("no matchers specified (excluding external labels)")]
    NoMatchers,
    #[error("label name parameter cannot be empty")]
    NoLabel,
    #[error("failed to send {what}: limit {limit} violated (got {got})")]
    Limit { what: &'static str, limit: u64, got: u64 },
    #[error("query Prometheus: {0}; they are sorted here from now on, ask again")]
    Unsorted(Unsorted),
    #[error("the answer broke off: {0}")]
    Broken(String),
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

impl From<PrometheusError> for CallError {
    fn from(error: PrometheusError) -> CallError {
        CallError::Read(error)
    }
}

impl From<CallError> for StoreApiError {
    fn from(error: CallError) -> StoreApiError {
        let kind = match &error {
            CallError::Read(PrometheusError::Late { .. }) => ErrorKind::TimedOut,
            CallError::Read(_) | CallError::Unsorted(_) => ErrorKind::Unknown,
            CallError::Api(error) => error.kind(),
            CallError::NoMatchers | CallError::NoLabel => ErrorKind::Invalid,
            CallError::Limit { .. } => ErrorKind::LimitExceeded,
            CallError::Broken(_) => ErrorKind::Internal,
            CallError::Runtime(error) => error.kind(),
        };
        StoreApiError::new(kind, error)
    }
}

impl PrometheusStore {
    /// The store of the Prometheus that `watch` follows. Series are sorted on `cpu`.
    pub fn new(watch: Watch, limits: StoreLimits, cpu: Cpu, metrics: SidecarMetrics) -> PrometheusStore {
        PrometheusStore(Arc::new(Inner { watch, limits, cpu, metrics, is_unsorted: AtomicBool::new(false) }))
    }

    fn prometheus(&self) -> &Prometheus {
        self.0.watch.prometheus()
    }

    /// Begins a call; `None` when there is nothing to find.
    async fn begin(self, request: SeriesRequest) -> Result<Option<Call>, CallError> {
        let external = self.0.watch.external_labels();
        let Some(matchers) = left_to_series(&request.matchers, &external) else { return Ok(None) };
        if matchers.is_empty() {
            return Err(CallError::NoMatchers);
        }
        let range = TimeRange { min: request.range.min.max(self.0.watch.range().min), ..request.range };
        if range.min > range.max {
            return Ok(None);
        }
        let (comes_sorted, read, warnings) = if request.skip_chunks {
            // Series that are dropped or joined here must not count towards the limit in Prometheus.
            let is_all = request.shard.is_none() && request.without_labels.is_empty();
            let answer = self.list(&matchers, range, if is_all { request.limit } else { 0 }).await?;
            let series = answer.data.into_iter();
            let series = series.map(|JsonLabels(labels)| SelectedSeries { labels, chunks: Vec::new() });
            (false, RemoteRead::Whole(series.collect()), answer.warnings)
        } else {
            let read = RemoteRead::begin(self.prometheus(), &matchers, range, &self.0.metrics).await?;
            (!self.0.is_unsorted.load(Ordering::Relaxed), read, Vec::new())
        };
        let relabel = Relabel::new(&external, &request.without_labels);
        Ok(Some(Call {
            store: self,
            read: Some(read),
            warnings: warnings.into_iter(),
            arrived: Vec::new(),
            sorted: Sorted::new(relabel, request.shard, comes_sorted),
            left: if request.limit == 0 { usize::MAX } else { request.limit },
        }))
    }

    fn check(&self, what: &'static str, limit: u64, got: u64) -> Result<(), CallError> {
        if limit == 0 || got <= limit {
            return Ok(());
        }
        self.0.metrics.dropped.get_or_create(&[("reason", what)]).inc();
        let what = if what == "chunks" { "samples" } else { what };
        Err(CallError::Limit { what, limit, got })
    }

    /// The label sets of series, at most `limit`; 0 means no limit.
    async fn list(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        limit: usize,
    ) -> Result<Answer<Vec<JsonLabels>>, CallError> {
        let pairs = self.pairs(matchers, range, limit);
        self.prometheus().call(&["series"], &pairs).await.map_err(CallError::Api)
    }

    fn pairs(&self, matchers: &[Matcher], range: TimeRange, limit: usize) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        if !matchers.is_empty() {
            pairs.push(("match[]", selector(matchers)));
        }
        pairs.extend(time_pairs(range));
        if limit > 0 {
            pairs.push(("limit", limit.to_string()));
        }
        pairs
    }

    async fn find_labels(self, request: LabelsRequest) -> Result<LabelsAnswer, CallError> {
        let external = self.0.watch.external_labels();
        let (found, warnings) = match &request.values_of {
            Some(label) if label.is_empty() => return Err(CallError::NoLabel),
            Some(label) if request.is_without(label) => return Ok(LabelsAnswer::default()),
            Some(label) => self.values(label, &external, &request).await?,
            None => self.names(&external, &request).await?,
        };
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        let found = found.into_iter().take(limit).collect();
        Ok(LabelsAnswer { found, warnings, queried_blocks: None })
    }

    async fn names(
        &self,
        external: &Labels,
        request: &LabelsRequest,
    ) -> Result<(BTreeSet<String>, Vec<String>), CallError> {
        let Some(matchers) = left_to_series(&request.matchers, external) else {
            return Ok(Default::default());
        };
        let (mut names, warnings) = if matchers.is_empty() || self.0.watch.filters_label_calls() {
            let pairs = self.pairs(&matchers, request.range, request.limit);
            let answer: Answer<BTreeSet<String>> =
                self.prometheus().call(&["labels"], &pairs).await.map_err(CallError::Api)?;
            (answer.data, answer.warnings)
        } else {
            let answer = self.list(&matchers, request.range, request.limit).await?;
            let names =
                answer.data.iter().flat_map(|JsonLabels(labels)| labels.iter()).map(|(name, _)| text(name));
            (names.collect(), answer.warnings)
        };
        if !names.is_empty() {
            names.extend(external.iter().map(|(name, _)| text(name)));
        }
        names.retain(|name| !request.is_without(name.as_bytes()));
        Ok((names, warnings))
    }

    async fn values(
        &self,
        label: &[u8],
        external: &Labels,
        request: &LabelsRequest,
    ) -> Result<(BTreeSet<String>, Vec<String>), CallError> {
        let Some(matchers) = left_to_series(&request.matchers, external) else {
            return Ok(Default::default());
        };
        if let Some(value) = external.get(label) {
            let value = text(value);
            if matchers.is_empty() {
                return Ok(([value].into(), Vec::new()));
            }
            let answer = self.list(&matchers, request.range, 1).await?;
            return Ok((answer.data.first().map(|_| value).into_iter().collect(), Vec::new()));
        }
        if !matchers.is_empty() && !self.0.watch.filters_label_calls() {
            let answer = self.list(&matchers, request.range, request.limit).await?;
            let values = answer.data.iter().filter_map(|JsonLabels(labels)| labels.get(label)).map(text);
            return Ok((values.collect(), answer.warnings));
        }
        let pairs = self.pairs(&matchers, request.range, request.limit);
        let answer: Answer<BTreeSet<String>> = self
            .prometheus()
            .call(&["label", &text(label), "values"], &pairs)
            .await
            .map_err(CallError::Api)?;
        Ok((answer.data, answer.warnings))
    }
}

impl StoreApi for PrometheusStore {
    fn name(&self) -> String {
        format!("Prometheus {}", self.prometheus().url())
    }

    fn info(&self) -> Option<StoreInfo> {
        if !self.0.watch.is_up() {
            return None;
        }
        let (range, labels) = (self.0.watch.range(), self.0.watch.external_labels());
        let stretch = Stretch { labels: labels.clone(), min_time: range.min.0, max_time: range.max.0 };
        Some(StoreInfo {
            label_sets: vec![labels],
            stretches: vec![stretch],
            apis: Apis {
                store: true,
                rules: true,
                targets: true,
                metadata: true,
                exemplars: true,
                status: true,
                query: false,
            },
            ..StoreInfo::new("sidecar", range)
        })
    }

    fn series(&self, request: SeriesRequest) -> SeriesStream {
        let parts = |call: Option<Call>| match call {
            Some(call) => call.ahead(),
            None => stream::empty().boxed(),
        };
        stream::once(self.clone().begin(request))
            .map_ok(parts)
            .try_flatten()
            .map_err(StoreApiError::from)
            .boxed()
    }

    fn labels(&self, request: LabelsRequest) -> LabelsFuture {
        let answer = self.clone().find_labels(request);
        async { Ok(answer.await?) }.boxed()
    }
}

/// A call under way.
struct Call {
    store: PrometheusStore,
    /// Where series come from; `None` when all have arrived.
    read: Option<RemoteRead>,
    warnings: std::vec::IntoIter<String>,
    /// Series that are not sorted yet.
    arrived: Vec<SelectedSeries>,
    sorted: Sorted,
    /// How many series may still be sent.
    left: usize,
}

type Parts = mpsc::UnboundedReceiver<Result<SeriesPart, CallError>>;

impl Call {
    /// The parts of the answer, made whether they are taken or not: while Prometheus waits for a reader, it cannot cut its head.
    fn ahead(self) -> BoxStream<'static, Result<SeriesPart, CallError>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let make = async move {
            tokio::select! {
                () = self.send_all(&sender) => {}
                () = sender.closed() => {}
            }
        };
        let task = tokio::spawn(make.in_current_span());
        let next = |(mut receiver, task): (Parts, JoinHandle<()>)| async move {
            match receiver.recv().await {
                Some(part) => part.map(|part| Some((part, (receiver, task)))),
                // An answer that broke off must not look like a whole one.
                None => task.await.map(|()| None).map_err(|error| CallError::Broken(error.to_string())),
            }
        };
        stream::try_unfold((receiver, task), next).boxed()
    }

    /// Hands on all parts, or the error that ends them, until nobody takes them any more.
    async fn send_all(self, to: &mpsc::UnboundedSender<Result<SeriesPart, CallError>>) {
        let mut call = Some(self);
        while let Some(current) = call.take() {
            let part = match current.next().await {
                Ok(None) => return,
                Ok(Some((part, rest))) => {
                    call = Some(rest);
                    Ok(part)
                }
                Err(error) => Err(error),
            };
            if to.send(part).is_err() {
                return;
            }
        }
    }

    /// The next part of the answer; `None` at the end.
    async fn next(mut self) -> Result<Option<(SeriesPart, Call)>, CallError> {
        if let Some(warning) = self.warnings.next() {
            return Ok(Some((SeriesPart::Warning(warning), self)));
        }
        loop {
            self.sort_arrived()?;
            let has_ended = self.read.is_none();
            if self.left == 0 {
                return Ok(None);
            }
            if let Some(mut series) = self.sorted.batch(PART_SERIES, has_ended) {
                series.truncate(self.left);
                self.left -= series.len();
                return Ok(Some((SeriesPart::Series(SeriesBatch { series }), self)));
            }
            let Some(read) = &mut self.read else { return Ok(None) };
            if !read.next(&mut self.arrived).await? {
                self.read = None;
                let mut sorted = self.sorted;
                let finish = move || {
                    sorted.finish();
                    sorted
                };
                self.sorted = self.store.0.cpu.run(Priority::Query, finish).await?;
            }
        }
    }

    fn sort_arrived(&mut self) -> Result<(), CallError> {
        let StoreLimits { series, samples } = self.store.0.limits;
        for one in self.arrived.drain(..) {
            if let Err(unsorted) = self.sorted.push(one) {
                self.store.0.is_unsorted.store(true, Ordering::Relaxed);
                return Err(CallError::Unsorted(unsorted));
            }
            self.store.check("series", series, self.sorted.series)?;
            self.store.check("chunks", samples, self.sorted.chunks.saturating_mul(CHUNK_SAMPLES))?;
        }
        Ok(())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
