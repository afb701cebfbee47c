//! The blocks of a store in this process as a source of the querier: no gRPC between them.

use futures::future::{BoxFuture, FutureExt};
use futures::stream::{BoxStream, StreamExt};
use tithon_chunks::{EncodedChunk, Encoding};
use tithon_index::{Labels, MatchOp, Matcher};
use tithon_proto::thanos::Aggr;
use tithon_query::{
    Aggregate, LabelsRequest, LocalPart, LocalSource, SeriesRequest, SourceError, SourceInfo, SourceLabels,
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
        let parts = self.store.select(select).map(|part| match part {
            Ok(Selected::Series(batch)) => Ok(LocalPart::Series(batch)),
            Ok(Selected::Warning(text)) => Ok(LocalPart::Warning(text)),
            Err(error) => Err(error.into()),
        });
        parts.boxed()
    }

    /// The block whose series has this very chunk.
    fn origin(&self, labels: Labels, chunk: EncodedChunk) -> BoxFuture<'static, Option<String>> {
        let store = self.store.clone();
        let find = async move {
            let equal = |(name, value)| Matcher::new(MatchOp::Equal, name, value);
            let matchers: Vec<Matcher> = labels.iter().map(equal).collect::<Result<_, _>>().ok()?;
            let asked = tithon_store::LabelsRequest::new(matchers.clone(), chunk.range());
            let resolutions: &[i64] = match chunk.encoding {
                Encoding::Aggregate => &[300_000, 3_600_000],
                _ => &[0],
            };
            for block in store.label_names(asked).await.ok()?.queried {
                let id = block.to_string();
                for max_resolution_ms in resolutions {
                    let select = SelectRequest {
                        max_resolution_ms: *max_resolution_ms,
                        block_matchers: vec![Matcher::new(MatchOp::Equal, "__block_id", &id).ok()?],
                        ..SelectRequest::new(matchers.clone(), chunk.range())
                    };
                    let mut parts = store.select(select);
                    while let Some(part) = parts.next().await {
                        let Ok(Selected::Series(batch)) = part else { continue };
                        if batch.series.iter().any(|series| series.chunks.contains(&chunk)) {
                            return Some(format!("block {id}"));
                        }
                    }
                }
            }
            None
        };
        find.boxed()
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

fn aggregate(aggregate: Aggregate) -> Aggr {
    match aggregate {
        Aggregate::Count => Aggr::Count,
        Aggregate::Sum => Aggr::Sum,
        Aggregate::Min => Aggr::Min,
        Aggregate::Max => Aggr::Max,
        Aggregate::Counter => Aggr::Counter,
    }
}
