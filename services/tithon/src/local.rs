//! The blocks of a store in this process as a source of the querier: no gRPC between them.

use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{self, BoxStream, StreamExt};
use tithon_proto::thanos::Aggr;
use tithon_query::{
    Aggregate, LabelsRequest, Lease, LocalPart, LocalSource, SeriesRequest, SourceError, SourceInfo,
    SourceLabels,
};
use tithon_store::{SelectRequest, Selected, Store};

/// A store behind the querier's interface.
pub struct LocalBlocks {
    store: Store,
}

impl LocalBlocks {
    /// The blocks of `store`.
    pub fn new(store: Store) -> LocalBlocks {
        LocalBlocks { store }
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

    fn series(
        &self,
        request: SeriesRequest,
        partial: bool,
    ) -> BoxStream<'static, Result<LocalPart, SourceError>> {
        let select = SelectRequest {
            max_resolution_ms: request.max_resolution_ms,
            aggregates: request.aggregates.iter().map(|a| aggregate(*a)).collect(),
            skip_chunks: request.skip_chunks,
            without_labels: request.without_labels,
            shard: request.shard,
            limit: request.limit,
            abort_on_fault: !partial,
            ..SelectRequest::new(request.matchers, request.range)
        };
        let parts = self.store.select(select);
        let lease = LocalPart::Lease(Arc::new(Blocks(parts.lease())));
        let parts = parts.map(|part| match part {
            Ok(Selected::Series(batch)) => Ok(LocalPart::Series(batch)),
            Ok(Selected::Warning(text)) => Ok(LocalPart::Warning(text)),
            Err(error) => Err(error.into()),
        });
        stream::iter([Ok(lease)]).chain(parts).boxed()
    }

    fn labels(
        &self,
        request: LabelsRequest,
        partial: bool,
    ) -> BoxFuture<'static, Result<SourceLabels, SourceError>> {
        let store = self.store.clone();
        let ask = async move {
            let asked = tithon_store::LabelsRequest {
                matchers: request.matchers,
                range: request.range,
                whole_blocks: true,
                without_labels: request.without_labels,
                limit: request.limit,
                block_matchers: Vec::new(),
                abort_on_fault: !partial,
            };
            let answer = match &request.values_of {
                None => store.label_names(asked).await?,
                Some(label) => store.label_values(label.as_bytes(), asked).await?,
            };
            Ok(SourceLabels { found: answer.found, warnings: answer.warnings })
        };
        ask.boxed()
    }
}

/// The blocks that chunks of an answer lie in.
#[derive(Debug)]
struct Blocks(tithon_store::Lease);

impl Lease for Blocks {
    fn check(&self) -> Result<(), SourceError> {
        Ok(self.0.check()?)
    }

    fn block_of(&self, chunk: &[u8]) -> Option<String> {
        self.0.block_of(chunk).map(|block| format!("block {block}"))
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
