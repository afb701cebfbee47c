//! The querier as a store: the merged series of its own stores, for queriers above it.

use std::collections::HashMap;
use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tithon_chunks::{ErrorKind, TimeRange};
use tithon_engine::{LabelsRequest, SelectedSeries, SeriesBatch, SeriesRequest};
use tithon_index::Labels;
use tithon_promql::OverBudget;
use tithon_runtime::Priority;
use tithon_storeapi::{
    Apis, LabelsAnswer, LabelsFuture, SeriesPart, SeriesStream, StoreApi, StoreApiError, StoreInfo, Stretch,
};

use crate::QueryService;
use crate::fanout::{Found, LimitViolated, Notes, Scope, SourceError, bytes_of};

/// Number of series in a batch, unless they reach the number of bytes first.
const BATCH_SERIES: usize = 512;
const BATCH_BYTES: u64 = 4 << 20;

impl StoreApi for QueryService {
    fn name(&self) -> String {
        "querier".to_owned()
    }

    fn info(&self) -> Option<StoreInfo> {
        let stores = self.inner.fanout.asked();
        let own = Labels::from_pairs(self.options().selector_labels.iter().map(|(n, v)| (n, v)));
        let with_own = |set: &Labels| {
            let mut builder = set.to_builder();
            for (name, value) in own.iter() {
                builder.set(name, value);
            }
            builder.finish()
        };
        let all = stores.iter().flat_map(stretches);
        let stretches: Vec<Stretch> =
            all.map(|stretch| Stretch { labels: with_own(&stretch.labels), ..stretch }).collect();
        let mut label_sets: Vec<Labels> = stretches.iter().map(|stretch| stretch.labels.clone()).collect();
        label_sets.sort();
        label_sets.dedup();
        // A store without label sets may hold any series, and so may this querier.
        if stores.iter().any(|store| store.label_sets.is_empty()) || stores.is_empty() {
            label_sets = if own.is_empty() { Vec::new() } else { vec![own] };
        }
        let min = stores.iter().map(|store| store.range.min.0).min().unwrap_or(i64::MIN);
        let max = stores.iter().map(|store| store.range.max.0).max().unwrap_or(i64::MAX);
        let apis = Apis {
            store: true,
            rules: true,
            targets: true,
            metadata: true,
            exemplars: true,
            status: true,
            query: true,
        };
        Some(StoreInfo { label_sets, stretches, apis, ..StoreInfo::new("query", TimeRange::new(min, max)) })
    }

    fn series(&self, request: SeriesRequest) -> SeriesStream {
        let service = self.clone();
        let parts = async move {
            let (job, _stop) = service.begin();
            let scope = scope(request.partial_response, &request.tenant);
            let selection = service.inner.fanout.select(request, &scope, &job);
            let selection = in_time(service.options().timeout, selection).await?;
            let lease = stream::iter([Ok(SeriesPart::Lease(selection.handle().lease()))]);
            let warnings = stream::iter(scope.notes.take()).map(|text| Ok(SeriesPart::Warning(text)));
            let merging = Merging { service, series: Box::new(selection.into_stream()) };
            Ok::<_, StoreApiError>(
                lease.chain(warnings).chain(stream::try_unfold(Some(merging), Merging::next)),
            )
        };
        stream::once(parts).try_flatten().boxed()
    }

    fn labels(&self, request: LabelsRequest) -> LabelsFuture {
        let service = self.clone();
        let answer = async move {
            let (job, _stop) = service.begin();
            let scope = scope(request.partial_response, &request.tenant);
            let mut found = Found::new(request.limit, &job);
            let asking = service.inner.fanout.labels(&request, &scope, &mut found);
            in_time(service.options().timeout, asking).await?;
            let (found, warnings) = (found.iter().collect(), scope.notes.take());
            Ok(LabelsAnswer { found, warnings, queried_blocks: None })
        };
        answer.boxed()
    }
}

/// A stretch for each label set of a store, without the gaps in its data: queriers above take the latest minimum time of a
/// label set for the one from which on all its data is there. Label sets of which the store tells no times have its range.
fn stretches(store: &StoreInfo) -> Vec<Stretch> {
    let mut told: HashMap<&Labels, (i64, i64)> = HashMap::new();
    for Stretch { labels, min_time, max_time } in &store.stretches {
        let (min, max) = told.entry(labels).or_insert((*min_time, *max_time));
        (*min, *max) = ((*min).min(*min_time), (*max).max(*max_time));
    }
    let of_set = |set: &Labels| {
        let (min_time, max_time) = told.get(set).copied().unwrap_or((store.range.min.0, store.range.max.0));
        Stretch { labels: set.clone(), min_time, max_time }
    };
    store.label_sets.iter().map(of_set).collect()
}

/// A series call that is being answered.
struct Merging {
    service: QueryService,
    series: MergedSeries,
}

/// Series ascending by labels, each label set once.
type MergedSeries = Box<dyn Iterator<Item = Result<SelectedSeries, SourceError>> + Send>;

type Merged = (SeriesPart, Option<Merging>);

impl Merging {
    /// Merges the next batch of series on the CPU pool.
    async fn next(merging: Option<Merging>) -> Result<Option<Merged>, StoreApiError> {
        let Some(mut merging) = merging else { return Ok(None) };
        let cpu = merging.service.inner.cpu.clone();
        let merge = move || {
            let (batch, is_last) = merging.batch().map_err(store_error)?;
            Ok(Some((SeriesPart::Series(batch), (!is_last).then_some(merging))))
        };
        let merged = cpu.run(Priority::Query, merge).await;
        merged.unwrap_or_else(|error| Err(StoreApiError::new(ErrorKind::Internal, error)))
    }

    /// The next batch, and whether it is the last one.
    fn batch(&mut self) -> Result<(SeriesBatch, bool), SourceError> {
        let (mut series, mut bytes) = (Vec::new(), 0);
        while series.len() < BATCH_SERIES && bytes < BATCH_BYTES {
            let Some(one) = self.series.next().transpose()? else {
                return Ok((SeriesBatch { series }, true));
            };
            bytes += bytes_of(&one);
            series.push(one);
        }
        Ok((SeriesBatch { series }, false))
    }
}

/// Waits for the stores at most as long as a query may take.
async fn in_time<T>(
    timeout: Duration,
    asking: impl Future<Output = Result<T, SourceError>>,
) -> Result<T, StoreApiError> {
    match tokio::time::timeout(timeout, asking).await {
        Ok(answer) => answer.map_err(store_error),
        Err(_) => {
            let text = format!("no answer within {timeout:?} (--query.timeout)");
            Err(StoreApiError::new(ErrorKind::TimedOut, text))
        }
    }
}

fn scope(partial: bool, tenant: &str) -> Scope {
    Scope { tenant: tenant.to_owned(), partial, store_matchers: Vec::new(), notes: Notes::default() }
}

/// The error of a call: aborted, as in Thanos, except that an exceeded limit keeps its kind.
fn store_error(error: SourceError) -> StoreApiError {
    let is_limit = error.is::<OverBudget>() || error.is::<LimitViolated>();
    let kind = if is_limit { ErrorKind::LimitExceeded } else { ErrorKind::Aborted };
    StoreApiError::new(kind, error)
}
