//! A Prometheus as a store. Thanos `pkg/store/prometheus.go`.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tithon_chunks::{ErrorKind, TimeRange};
use tithon_engine::{LabelsRequest, SelectedSeries, SeriesBatch, SeriesRequest, left_to_series};
use tithon_index::{Labels, Matcher, Relabel};
use tithon_proto::JsonLabels;
use tithon_runtime::{Cpu, Priority, RuntimeError};
use tithon_storeapi::{
    Apis, LabelsAnswer, LabelsFuture, SeriesPart, SeriesStream, StoreApi, StoreApiError, StoreInfo, Stretch,
};

use crate::prometheus::{Answer, selector, time_pairs};
use crate::remote_read::remote_read;
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
/// All series of an answer are collected and then sorted, because external labels can change their order.
#[derive(Clone)]
pub struct PrometheusStore(Arc<Inner>);

struct Inner {
    watch: Watch,
    limits: StoreLimits,
    cpu: Cpu,
    metrics: SidecarMetrics,
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
            CallError::Read(_) => ErrorKind::Unknown,
            CallError::Api(error) => error.kind(),
            CallError::NoMatchers | CallError::NoLabel => ErrorKind::Invalid,
            CallError::Limit { .. } => ErrorKind::LimitExceeded,
            CallError::Runtime(error) => error.kind(),
        };
        StoreApiError::new(kind, error)
    }
}

impl PrometheusStore {
    /// The store of the Prometheus that `watch` follows. Series are sorted on `cpu`.
    pub fn new(watch: Watch, limits: StoreLimits, cpu: Cpu, metrics: SidecarMetrics) -> PrometheusStore {
        PrometheusStore(Arc::new(Inner { watch, limits, cpu, metrics }))
    }

    fn prometheus(&self) -> &Prometheus {
        self.0.watch.prometheus()
    }

    async fn select(self, request: SeriesRequest) -> Result<Vec<SeriesPart>, CallError> {
        let external = self.0.watch.external_labels();
        let Some(matchers) = left_to_series(&request.matchers, &external) else { return Ok(Vec::new()) };
        if matchers.is_empty() {
            return Err(CallError::NoMatchers);
        }
        let range = TimeRange { min: request.range.min.max(self.0.watch.range().min), ..request.range };
        let mut found = Found::new(&request, &external, self.0.limits, &self.0.metrics);
        let mut warnings = Vec::new();
        if range.min > range.max {
            return Ok(Vec::new());
        }
        if request.skip_chunks {
            // Series that are dropped or joined here must not count towards the limit in Prometheus.
            let is_all = request.shard.is_none() && request.without_labels.is_empty();
            let answer = self.list(&matchers, range, if is_all { request.limit } else { 0 }).await?;
            warnings = answer.warnings;
            for JsonLabels(labels) in answer.data {
                found.take(SelectedSeries { labels, chunks: Vec::new() })?;
            }
        } else {
            let take = |series| found.take(series);
            remote_read(self.prometheus(), &matchers, range, &self.0.metrics, take).await?;
        }
        let (series, limit) = (found.series, request.limit);
        let batches = self.0.cpu.run(Priority::Query, move || batches(series, limit)).await?;
        let warnings = warnings.into_iter().map(SeriesPart::Warning);
        Ok(warnings.chain(batches.into_iter().map(SeriesPart::Series)).collect())
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
        let parts = stream::once(self.clone().select(request));
        parts
            .map_ok(|parts| stream::iter(parts).map(Ok::<_, CallError>))
            .try_flatten()
            .map_err(StoreApiError::from)
            .boxed()
    }

    fn labels(&self, request: LabelsRequest) -> LabelsFuture {
        let answer = self.clone().find_labels(request);
        async { Ok(answer.await?) }.boxed()
    }
}

/// The series collected for a call, with the labels that they are sent with.
struct Found<'a> {
    request: &'a SeriesRequest,
    relabel: Relabel,
    limits: StoreLimits,
    metrics: &'a SidecarMetrics,
    series: Vec<SelectedSeries>,
    chunks: u64,
    /// Buffer for hashing labels.
    buffer: Vec<u8>,
}

impl<'a> Found<'a> {
    fn new(
        request: &'a SeriesRequest,
        external: &Labels,
        limits: StoreLimits,
        metrics: &'a SidecarMetrics,
    ) -> Found<'a> {
        let relabel = Relabel::new(external, &request.without_labels);
        Found { request, relabel, limits, metrics, series: Vec::new(), chunks: 0, buffer: Vec::new() }
    }

    fn take(&mut self, series: SelectedSeries) -> Result<(), CallError> {
        let labels = self.relabel.apply(&series.labels);
        if let Some(shard) = &self.request.shard
            && !shard.holds(&labels, &mut self.buffer)
        {
            return Ok(());
        }
        self.chunks += series.chunks.len() as u64;
        match self.series.last_mut().filter(|last| last.labels == labels) {
            Some(last) => last.chunks.extend(series.chunks),
            None => self.series.push(SelectedSeries { labels, chunks: series.chunks }),
        }
        self.check("series", self.limits.series, self.series.len() as u64)?;
        self.check("chunks", self.limits.samples, self.chunks.saturating_mul(CHUNK_SAMPLES))
    }

    fn check(&self, what: &'static str, limit: u64, got: u64) -> Result<(), CallError> {
        if limit == 0 || got <= limit {
            return Ok(());
        }
        self.metrics.dropped.get_or_create(&[("reason", what)]).inc();
        let what = if what == "chunks" { "samples" } else { what };
        Err(CallError::Limit { what, limit, got })
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Sorts series and joins those with equal labels. Keeps the first `limit`; 0 means no limit.
fn batches(mut series: Vec<SelectedSeries>, limit: usize) -> Vec<SeriesBatch> {
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    series.dedup_by(|next, kept| {
        let equal = next.labels == kept.labels;
        if equal {
            kept.chunks.append(&mut next.chunks);
        }
        equal
    });
    if limit > 0 {
        series.truncate(limit);
    }
    for one in &mut series {
        one.chunks.sort_by_key(|chunk| (chunk.min_time, chunk.max_time));
    }
    let mut batches = Vec::with_capacity(series.len().div_ceil(PART_SERIES));
    let mut rest = series.into_iter().peekable();
    while rest.peek().is_some() {
        batches.push(SeriesBatch { series: rest.by_ref().take(PART_SERIES).collect() });
    }
    batches
}
