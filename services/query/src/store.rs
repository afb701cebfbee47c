//! The querier as a store: what its stores have, for the queriers above it.

use std::time::Duration;

use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tithon_chunks::{ErrorKind, TimeRange};
use tithon_engine::{LabelsRequest, SeriesBatch, SeriesRequest};
use tithon_index::Labels;
use tithon_promql::{Charge, OverBudget};
use tithon_runtime::Priority;
use tithon_storeapi::{
    Apis, LabelsAnswer, LabelsFuture, SeriesPart, SeriesStream, StoreApi, StoreApiError, StoreInfo, Stretch,
};

use crate::QueryService;
use crate::fanout::{Found, MergedSeries, Notes, Scope, SourceError, bytes_of};

/// Series that are merged at a time, or fewer when they hold so many bytes.
const BATCH_SERIES: usize = 512;
const BATCH_BYTES: u64 = 4 << 20;

impl StoreApi for QueryService {
    fn name(&self) -> String {
        "querier".to_owned()
    }

    fn info(&self) -> Option<StoreInfo> {
        let stores = self.inner.fanout.asked();
        let own = Labels::from_pairs(self.options().selector_labels.iter().map(|(n, v)| (n, v)));
        let stretches: Vec<Stretch> = stores
            .iter()
            .flat_map(|store| store.label_sets.iter().map(move |set| (set, store.range)))
            .map(|(set, range)| {
                let mut builder = set.to_builder();
                for (name, value) in own.iter() {
                    builder.set(name, value);
                }
                Stretch { labels: builder.finish(), min_time: range.min.0, max_time: range.max.0 }
            })
            .collect();
        let mut label_sets: Vec<Labels> = stretches.iter().map(|stretch| stretch.labels.clone()).collect();
        label_sets.sort();
        label_sets.dedup();
        // A store without label sets may hold anything, and so may this one.
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
            let lease = stream::iter([Ok(SeriesPart::Lease(selection.lease()))]);
            let warnings = stream::iter(scope.notes.take()).map(|text| Ok(SeriesPart::Warning(text)));
            let (series, held) = selection.into_stream();
            let merging = Merging { service, series, _held: held };
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

/// Series on their way, and the charge for them.
struct Merging {
    service: QueryService,
    series: MergedSeries,
    _held: Charge,
}

type Merged = (SeriesPart, Option<Merging>);

impl Merging {
    /// Merges the next series on the CPU pool, a bounded batch at a time.
    async fn next(merging: Option<Merging>) -> Result<Option<Merged>, StoreApiError> {
        let Some(mut merging) = merging else { return Ok(None) };
        let cpu = merging.service.inner.cpu.clone();
        let merge = move || {
            let (batch, is_last) = merging.batch()?;
            Ok(Some((SeriesPart::Series(batch), (!is_last).then_some(merging))))
        };
        let merged = cpu.run(Priority::Query, merge).await;
        merged.map_err(|error| StoreApiError::new(ErrorKind::Internal, error))?
    }

    /// The next batch, and whether it is the last.
    fn batch(&mut self) -> Result<(SeriesBatch, bool), StoreApiError> {
        let (mut series, mut bytes) = (Vec::new(), 0);
        while series.len() < BATCH_SERIES && bytes < BATCH_BYTES {
            let Some(one) = self.series.next() else {
                return Ok((SeriesBatch { series }, true));
            };
            let one = one.map_err(|error| StoreApiError::new(ErrorKind::LimitExceeded, error))?;
            bytes += bytes_of(&one);
            series.push(one);
        }
        Ok((SeriesBatch { series }, false))
    }
}

/// Waits for the stores no longer than a query may take.
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

/// As Thanos, a call is aborted when a store fails and partial answers are not accepted.
fn store_error(error: SourceError) -> StoreApiError {
    let kind = if error.is::<OverBudget>() { ErrorKind::LimitExceeded } else { ErrorKind::Aborted };
    StoreApiError::new(kind, error)
}
