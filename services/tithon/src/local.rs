//! The blocks of a store in this process as a source of the querier: no gRPC between them.

use futures::StreamExt;
use tithon_engine::SelectedSeries;
use tithon_proto::thanos::Aggr;
use tithon_query::{
    Aggregate, LabelsRequest, LocalSource, SeriesRequest, SeriesStream, SourceError, SourceInfo,
};
use tithon_store::{SelectRequest, SelectStream, Selected, Store};
use tokio::runtime::Handle;

/// A store behind the querier's interface. Its calls wait, so they must not come from an async thread, nor from the
/// pool that the store itself computes on.
pub struct LocalBlocks {
    store: Store,
    runtime: Handle,
}

impl LocalBlocks {
    /// Must be called inside a tokio runtime.
    pub fn new(store: Store) -> LocalBlocks {
        LocalBlocks { store, runtime: Handle::current() }
    }
}

impl LocalSource for LocalBlocks {
    fn info(&self) -> SourceInfo {
        let advertised = self.store.advertised();
        SourceInfo {
            name: "local blocks".into(),
            component: "store".into(),
            label_sets: advertised.label_sets,
            range: advertised.range,
            last_check_ms: 0,
            last_error: None,
        }
    }

    fn series(&self, request: &SeriesRequest) -> Result<SeriesStream, SourceError> {
        let select = SelectRequest {
            max_resolution_ms: request.max_resolution_ms,
            aggregates: request.aggregates.iter().map(|a| aggregate(*a)).collect(),
            skip_chunks: request.skip_chunks,
            without_labels: request.without_labels.clone(),
            limit: request.limit,
            ..SelectRequest::new(request.matchers.clone(), request.range)
        };
        let _inside = self.runtime.enter();
        let parts = self.store.select(select);
        Ok(Box::new(Series { runtime: self.runtime.clone(), parts, batch: Vec::new().into_iter() }))
    }

    fn labels(&self, request: &LabelsRequest) -> Result<Vec<Vec<u8>>, SourceError> {
        let asked = tithon_store::LabelsRequest {
            matchers: request.matchers.clone(),
            range: request.range,
            whole_blocks: true,
            without_labels: request.without_labels.clone(),
            limit: request.limit,
            block_matchers: Vec::new(),
            abort_on_fault: false,
        };
        let answer = match &request.values_of {
            None => self.runtime.block_on(self.store.label_names(asked)),
            Some(label) => self.runtime.block_on(self.store.label_values(label.as_bytes(), asked)),
        };
        Ok(answer?.found)
    }
}

fn aggregate(aggregate: Aggregate) -> Aggr {
    match aggregate {
        Aggregate::Count => Aggr::Count,
        Aggregate::Sum => Aggr::Sum,
        Aggregate::Min => Aggr::Min,
        Aggregate::Max => Aggr::Max,
        Aggregate::Counter => Aggr::Counter,
    }
}

/// Series of an answer, one at a time. A block that cannot be read is an error in its place; the others go on.
struct Series {
    runtime: Handle,
    parts: SelectStream,
    batch: std::vec::IntoIter<SelectedSeries>,
}

impl Iterator for Series {
    type Item = Result<SelectedSeries, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(series) = self.batch.next() {
                return Some(Ok(series));
            }
            match self.runtime.block_on(self.parts.next())? {
                Ok(Selected::Series(batch)) => self.batch = batch.series.into_iter(),
                Ok(Selected::Warning(text)) => return Some(Err(text.into())),
                Err(error) => return Some(Err(error.into())),
            }
        }
    }
}
