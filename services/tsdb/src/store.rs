//! A data directory as a store. Thanos `pkg/store/tsdb.go`.

use std::ops::Range;
use std::sync::Arc;

use futures::stream::try_unfold;
use futures::{FutureExt, StreamExt, TryStreamExt};
use tithon_chunks::{TimeRange, Timestamp};
use tithon_engine::{
    Block, LabelRequest, LabelsRequest, SelectRequest, SelectedSeries, SeriesBatch, SeriesRequest,
    SeriesShard, left_to_series,
};
use tithon_index::{Labels, Matcher, PatternBudget, Relabel, Texts};
use tithon_runtime::Priority;
use tithon_storeapi::{
    Apis, LabelsAnswer, LabelsFuture, Lease, Mapped, SeriesPart, SeriesStream, StoreApi, StoreApiError,
    StoreInfo, Stretch,
};

use crate::readers::Reading;
use crate::{Tsdb, TsdbError};

/// Series in one part of an answer.
const PART_SERIES: usize = 512;
/// A chunk counts as so many samples, as in Thanos.
const CHUNK_SAMPLES: u64 = 120;

/// The series of a data directory with external labels. Clones share it.
#[derive(Clone)]
pub struct TsdbStore {
    tsdb: Tsdb,
    component: &'static str,
    external: Labels,
    apis: Apis,
    series_max: u64,
    samples_max: u64,
}

impl TsdbStore {
    /// A store of the kind `component` with these labels, which tells that its server has `apis`.
    pub fn new(tsdb: Tsdb, component: &'static str, external: Labels, apis: Apis) -> TsdbStore {
        TsdbStore { tsdb, component, external, apis, series_max: 0, samples_max: 0 }
    }

    /// Lets a call select so many series and samples, counted as 120 a chunk; 0 is no limit.
    #[must_use]
    pub fn with_limits(self, series_max: u64, samples_max: u64) -> TsdbStore {
        TsdbStore { series_max, samples_max, ..self }
    }

    /// Begins a selection; `None` when external labels say that nothing matches.
    async fn begin(self, request: SeriesRequest) -> Result<Option<Selection>, TsdbError> {
        let Some(matchers) = left_to_series(&request.matchers, &self.external) else { return Ok(None) };
        if matchers.is_empty() {
            return Err(TsdbError::NoMatchers);
        }
        let relabel = Relabel::new(&self.external, &request.without_labels);
        let SeriesRequest { range, skip_chunks, shard, limit, .. } = request;
        // A limit counts series of the shard.
        let to_select = if shard.is_none() { limit } else { 0 };
        let db = Arc::clone(self.tsdb.db());
        let work = move || {
            check_patterns(&matchers)?;
            Ok::<_, TsdbError>(db.select(SelectRequest {
                relabel,
                skip_chunks,
                limit: to_select,
                ..SelectRequest::new(matchers, range)
            }))
        };
        let select = self.tsdb.cpu().run(Priority::Query, work).await??;
        let left = if limit == 0 { usize::MAX } else { limit };
        let reading = self.tsdb.readers().add(select);
        Ok(Some(Selection { store: self, reading, shard, left, n_series: 0, n_chunks: 0 }))
    }

    async fn find_labels(self, request: LabelsRequest) -> Result<Texts, TsdbError> {
        let Some(matchers) = left_to_series(&request.matchers, &self.external) else {
            return Ok(Texts::default());
        };
        check_patterns(&matchers)?;
        match request.values_of.clone() {
            None => self.names(request, matchers).await,
            Some(label) if label.is_empty() => Err(TsdbError::NoLabel),
            Some(label) if request.is_without(&label) => Ok(Texts::default()),
            Some(label) => match self.external.get(&label).map(<[u8]>::to_vec) {
                None => self.stored_labels(request.values_of, matchers, request.range, request.limit).await,
                Some(value) => {
                    // The label is there where any series matches.
                    let all = matchers.is_empty();
                    let is_there =
                        all || !self.stored_labels(None, matchers, request.range, 1).await?.is_empty();
                    Ok([value].into_iter().filter(|_| is_there).collect())
                }
            },
        }
    }

    async fn names(&self, request: LabelsRequest, matchers: Vec<Matcher>) -> Result<Texts, TsdbError> {
        let own = self.stored_labels(None, matchers, request.range, 0).await?;
        if own.is_empty() {
            return Ok(own);
        }
        let external: Texts = self.external.iter().map(|(name, _)| name.to_vec()).collect();
        let names = own.union(external);
        let limit = if request.limit == 0 { usize::MAX } else { request.limit };
        Ok(names.iter().filter(|name| !request.is_without(name)).take(limit).map(<[u8]>::to_vec).collect())
    }

    async fn stored_labels(
        &self,
        values_of: Option<Vec<u8>>,
        matchers: Vec<Matcher>,
        range: TimeRange,
        limit: usize,
    ) -> Result<Texts, TsdbError> {
        let (db, request) = (Arc::clone(self.tsdb.db()), LabelRequest { values_of, matchers, range, limit });
        Ok(self.tsdb.cpu().run(Priority::Query, move || db.labels(&request)).await??)
    }
}

/// Fails when the patterns of one request take too much memory.
fn check_patterns(matchers: &[Matcher]) -> Result<(), TsdbError> {
    let mut budget = PatternBudget::default();
    Ok(matchers.iter().try_for_each(|matcher| budget.add(matcher))?)
}

/// A call for series on its way.
struct Selection {
    store: TsdbStore,
    reading: Reading,
    shard: Option<SeriesShard>,
    /// How many series may still be sent.
    left: usize,
    n_series: u64,
    n_chunks: u64,
}

impl Selection {
    /// The blocks whose mapped files chunks may be slices of.
    fn lease(&self) -> Lease {
        let lent = self.reading.with(|select| {
            let blocks = select.blocks().iter();
            blocks.map(|block| Arc::new(Lent(Arc::clone(block))) as Arc<dyn Mapped>).collect()
        });
        Lease::new(lent.unwrap_or_default())
    }

    /// The next series; `None` at the end.
    fn next_batch(&mut self) -> Result<Option<SeriesBatch>, TsdbError> {
        let mut buffer = Vec::new();
        while self.left > 0 {
            let next =
                self.reading.with(|select| select.next_batch(PART_SERIES)).ok_or(TsdbError::Stalled)?;
            let Some(mut batch) = next? else { return Ok(None) };
            if let Some(shard) = &self.shard {
                batch.series.retain(|series| shard.holds(&series.labels, &mut buffer));
            }
            batch.series.truncate(self.left);
            if batch.series.is_empty() {
                continue;
            }
            self.left -= batch.series.len();
            self.count(&batch.series)?;
            return Ok(Some(batch));
        }
        Ok(None)
    }

    fn count(&mut self, series: &[SelectedSeries]) -> Result<(), TsdbError> {
        self.n_series += series.len() as u64;
        self.n_chunks += series.iter().map(|one| one.chunks.len() as u64).sum::<u64>();
        let samples = self.n_chunks.saturating_mul(CHUNK_SAMPLES);
        let (series_max, samples_max) = (self.store.series_max, self.store.samples_max);
        for (what, limit, got) in [("series", series_max, self.n_series), ("samples", samples_max, samples)] {
            if limit > 0 && got > limit {
                self.store.tsdb.metrics().dropped.get_or_create(&[("reason", what)]).inc();
                return Err(TsdbError::Limit { what, limit, got });
            }
        }
        Ok(())
    }
}

/// How far the answer to a call for series is.
enum Answer {
    Asked(TsdbStore, Box<SeriesRequest>),
    Begun(Box<Selection>),
}

async fn step(answer: Answer) -> Result<Option<(SeriesPart, Answer)>, TsdbError> {
    match answer {
        Answer::Asked(store, request) => {
            let Some(selection) = store.begin(*request).await? else { return Ok(None) };
            Ok(Some((SeriesPart::Lease(selection.lease()), Answer::Begun(Box::new(selection)))))
        }
        Answer::Begun(mut selection) => {
            let cpu = selection.store.tsdb.cpu().clone();
            let work = move || {
                let batch = selection.next_batch()?;
                Ok::<_, TsdbError>((batch, selection))
            };
            let (batch, selection) = cpu.run(Priority::Query, work).await??;
            Ok(batch.map(|batch| (SeriesPart::Series(batch), Answer::Begun(selection))))
        }
    }
}

impl StoreApi for TsdbStore {
    fn name(&self) -> String {
        format!("local storage {}", self.tsdb.db().dir().display())
    }

    fn info(&self) -> Option<StoreInfo> {
        // New samples come at any time.
        let range = TimeRange { min: self.tsdb.db().range().min, max: Timestamp::MAX };
        let labels = self.external.clone();
        let stretch = Stretch { labels: labels.clone(), min_time: range.min.0, max_time: range.max.0 };
        let (label_sets, apis) = (vec![labels], self.apis);
        Some(StoreInfo {
            label_sets,
            stretches: vec![stretch],
            apis,
            ..StoreInfo::new(self.component, range)
        })
    }

    fn series(&self, request: SeriesRequest) -> SeriesStream {
        let asked = Answer::Asked(self.clone(), Box::new(request));
        try_unfold(asked, step).map_err(StoreApiError::from).boxed()
    }

    fn labels(&self, request: LabelsRequest) -> LabelsFuture {
        let found = self.clone().find_labels(request);
        async { Ok(LabelsAnswer { found: found.await?, ..LabelsAnswer::default() }) }.boxed()
    }
}

/// A block whose mapped files chunks of an answer may be slices of.
#[derive(Debug)]
struct Lent(Arc<Block>);

impl Mapped for Lent {
    fn name(&self) -> String {
        format!("block {}", self.0.id())
    }

    fn check(&self) -> Result<(), StoreApiError> {
        self.0.check().map_err(|error| TsdbError::from(error).into())
    }

    fn holds(&self, bytes: &[u8]) -> bool {
        self.0.holds(bytes)
    }

    fn release(&self, addresses: &Range<usize>) {
        self.0.release_at(addresses);
    }
}
